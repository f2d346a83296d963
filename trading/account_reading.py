"""Read what a plan needs to know of an account, each question a step of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from sqlmodel import col, select

from brokers.errors import BrokerError, InstrumentUnknown, Unsupported, VenueUnavailable
from brokers.ids import InstrumentId
from brokers.types import Balance, Instrument, LeverageInfo, MarginHealth, Position, ProductKind, Quote
from ledger.plans import last_traded_at
from ledger.states import TERMINAL_STATES
from ledger.tables import OrderIntent
from trading.rebalancing.portfolio import Portfolio
from trading.rebalancing.view import AccountView, account_view, free_money, is_paid_in_full, usable
from trading.runtime import Runtime
from trading.steps import Step, StepKind

T = TypeVar("T")


def read_account_view(runtime: Runtime, portfolio: Portfolio, *, step: Step) -> AccountView:
    """One snapshot for planning. Instruments or quotes that the venue does not give are left out, not guessed.

    Raises BrokerError where the account itself cannot be read, PlanImpossible where equity or money cannot be told.
    """
    broker, account = runtime.broker, runtime.account_id
    balances = step(f"read balances of {account}", StepKind.READ, broker.balances)
    positions = step(f"read positions of {account}", StepKind.READ, broker.positions)
    open_orders = step(f"read open orders of {account}", StepKind.READ, broker.open_orders)
    margin = _margin(runtime, portfolio.quote_currency, balances, step)
    wanted = [
        key for key in _wanted_ids(portfolio, balances, positions) if _may_list(broker.capabilities.products, key)
    ]
    instruments = _instruments(runtime, wanted, step) if wanted else ()
    quotes = read_quotes(runtime, [item.instrument_id for item in instruments], step=step)
    return account_view(
        portfolio,
        account_id=account,
        time=runtime.clock.now(),
        balances=balances,
        positions=positions,
        instruments=instruments,
        quotes=quotes,
        margin=margin,
        leverages=_leverages(runtime, portfolio, instruments, positions, step),
        open_orders=open_orders,
        fee_rates={product: broker.capabilities.fee_rate_of(product) for product in ProductKind},
        busy_instruments=_busy_instruments(runtime),
        last_traded_at=_last_traded_at(runtime, portfolio.name),
    )


def read_free_money(runtime: Runtime, currency: str, *, step: Step) -> Decimal:
    """What increases may spend now, by the venue."""
    balances = step(f"read balances of {runtime.account_id}", StepKind.READ, runtime.broker.balances)
    return free_money(currency, balances, _margin(runtime, currency, balances, step))


def read_quotes(runtime: Runtime, ids: Sequence[InstrumentId], *, step: Step) -> tuple[Quote, ...]:
    """Usable quotes of the instruments that have one now."""
    if not ids:
        return ()
    name = f"read {len(ids)} quotes" if len(ids) > 1 else f"read the quote of {ids[0]}"
    broker = runtime.broker
    found = _all_or_each(
        ids,
        lambda some: step(name, StepKind.READ, lambda: _all_or_each(some, broker.quotes, (InstrumentUnknown,))),
        (VenueUnavailable,),
    )
    return tuple(quote for quote in found if usable(quote))


def _instruments(runtime: Runtime, ids: Sequence[InstrumentId], step: Step) -> tuple[Instrument, ...]:
    """Those of `ids` that the venue lists. That it does not list one is an answer, so no step fails by it."""
    name = f"read {len(ids)} instruments"
    return step(name, StepKind.READ, lambda: _all_or_each(ids, runtime.broker.instruments, (InstrumentUnknown,)))


def _all_or_each(
    ids: Sequence[InstrumentId],
    read: Callable[[Sequence[InstrumentId]], Sequence[T]],
    absent: tuple[type[BrokerError], ...],
) -> tuple[T, ...]:
    """Read all at once; where one is absent and fails the whole, read each and leave that one out."""
    try:
        return tuple(read(ids))
    except absent:
        if len(ids) == 1:
            return ()
    found: list[T] = []
    for half in (ids[: len(ids) // 2], ids[len(ids) // 2 :]):
        found.extend(_all_or_each(half, read, absent))
    return tuple(found)


def _wanted_ids(portfolio: Portfolio, balances: Iterable[Balance], positions: Iterable[Position]) -> list[InstrumentId]:
    quote = portfolio.quote_currency
    ids = set(portfolio.targets) | {position.instrument_id for position in positions if position.quantity != 0}
    ids |= {InstrumentId(f"{b.currency}/{quote}") for b in balances if b.total != 0 and b.currency != quote}
    return sorted(ids)


def _may_list(products: Set[ProductKind], key: InstrumentId) -> bool:
    """Whether a venue of these products can list a symbol of this form: a portfolio may name several venues' lines."""
    is_pair, is_linear = "/" in str(key), ":" in str(key)
    if is_pair:
        return (ProductKind.LINEAR if is_linear else ProductKind.SPOT) in products
    return not products.isdisjoint({ProductKind.EQUITY, ProductKind.FUTURE})


def _margin(runtime: Runtime, currency: str, balances: Iterable[Balance], step: Step) -> MarginHealth | None:
    """Account-wide margin, only where the wallet itself has no figure of available money."""
    wallet = next((balance for balance in balances if balance.currency == currency), None)
    if wallet is None or wallet.available is not None:
        return None
    try:
        return step(f"read margin of {runtime.account_id}", StepKind.READ, runtime.broker.margin_health)
    except Unsupported:
        return None


def _leverages(
    runtime: Runtime,
    portfolio: Portfolio,
    instruments: Iterable[Instrument],
    positions: Iterable[Position],
    step: Step,
) -> list[LeverageInfo]:
    """Leverage and position mode of wanted margin lines without a position; open positions carry both themselves."""
    known = {position.instrument_id for position in positions if position.leverage is not None and position.quantity}
    found = []
    for item in instruments:
        wanted = portfolio.targets.get(item.instrument_id)
        if not wanted or item.instrument_id in known or is_paid_in_full(item.product):
            continue
        key = item.instrument_id
        try:
            found.append(
                step(f"read leverage of {key}", StepKind.READ, lambda key=key: runtime.broker.leverage(key))  # type: ignore[misc]
            )
        except Unsupported:
            continue  # the venue has no leverage: its full notional counts
    return found


def _busy_instruments(runtime: Runtime) -> frozenset[InstrumentId]:
    """Instruments with an order of ours that has not ended, also one that the venue does not show yet."""
    over = [state.value for state in TERMINAL_STATES]
    with runtime.ledger.read() as session:
        query = select(OrderIntent.instrument_id).where(
            OrderIntent.account_id == str(runtime.account_id), col(OrderIntent.state).not_in(over)
        )
        return frozenset(InstrumentId(name) for name in session.exec(query))


def _last_traded_at(runtime: Runtime, portfolio_name: str) -> datetime | None:
    """When the portfolio last came to a proved end here with orders sent; a run that failed does not count."""
    with runtime.ledger.read() as session:
        return last_traded_at(session, account_id=str(runtime.account_id), portfolio=portfolio_name)
