"""The account as a plan sees it: one snapshot of money, holdings, quotes and rules, in one quote currency.

Equity is what the portfolio's weights are fractions of: the wallet in the quote currency, plus unrealised profit of
positions settled in it, plus the market value of holdings that were paid in full (spot, equity) and that the portfolio
names or closes. Holdings that are left alone count neither as equity nor as money.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext

from brokers.ids import AccountId, InstrumentId
from brokers.rounding import MONEY
from brokers.types import (
    ZERO,
    Balance,
    Instrument,
    LeverageInfo,
    MarginHealth,
    Order,
    Position,
    PositionMode,
    PositionSide,
    ProductKind,
    Quote,
)
from trading.rebalancing.portfolio import Portfolio, Unmanaged


class PlanImpossible(ValueError):
    """No plan can be made from this snapshot; `reason` is the stable code."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


PLAN_IMPOSSIBLE: dict[str, tuple[str, str]] = {
    "CONVERSION_MISSING": (
        "A currency of a subscription cannot be converted: its instrument has no usable quote.",
        "Run again when it is quoted, or state a fixed rate.",
    ),
    "CONVERSION_STALE": (
        "The quote that converts a currency is older than its quote_age_s_max.",
        "Run again when the market moves, raise quote_age_s_max, or state a fixed rate.",
    ),
    "EQUITY_NOT_POSITIVE": ("Equity in the quote currency is zero or less.", "Deposit, or close positions."),
    "HOLDING_UNPRICED": ("A holding that counts as equity has no usable quote.", "Run again when it is quoted."),
    "MONEY_UNKNOWN": ("The venue gave no figure of free money.", "Check the account's margin mode and permissions."),
    "TARGETS_STALE": (
        "The portfolio's weights are older than target_age_s_max, or past targets_valid_until.",
        "Make new weights and state their time, or move the limit on purpose.",
    ),
    "SPOT_WEIGHTS_ABOVE_ONE": ("Weights of products paid in full sum to more than 1.", "Lower the weights."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What is held of one instrument (in hedge mode: of one side). `available` is the part that may be sold now."""

    instrument_id: InstrumentId
    quantity: Decimal
    available: Decimal | None = None
    position_side: PositionSide | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """One consistent snapshot.

    `free_money` may be spent by increases; `unpriced` are currencies held without an instrument to price them.
    `fee_rates` are of orders that take, as fractions of their notional, for every product.
    `last_traded_at` is when the portfolio was last rebalanced here with orders.
    """

    account_id: AccountId
    quote_currency: str
    time: datetime
    equity: Decimal
    free_money: Decimal
    holdings: tuple[Holding, ...]
    quotes: Mapping[InstrumentId, Quote]
    instruments: Mapping[InstrumentId, Instrument]
    fee_rates: Mapping[ProductKind, Decimal]
    leverages: Mapping[InstrumentId, Decimal]
    modes: Mapping[InstrumentId, PositionMode]
    open_order_instruments: frozenset[InstrumentId] = frozenset()
    unpriced: tuple[tuple[str, Decimal], ...] = ()
    last_traded_at: datetime | None = None

    def net_quantities(self) -> dict[InstrumentId, Decimal]:
        """Signed quantity held by instrument, over all sides."""
        found: dict[InstrumentId, Decimal] = {}
        for holding in self.holdings:
            found[holding.instrument_id] = MONEY.add(found.get(holding.instrument_id, ZERO), holding.quantity)
        return found


def is_paid_in_full(product: ProductKind) -> bool:
    """Whether a purchase costs its notional (spot, equity) rather than a margin (linear, future)."""
    return product in (ProductKind.SPOT, ProductKind.EQUITY)


def usable(quote: Quote | None) -> bool:
    """Whether a quote has both sides, the right way round."""
    return quote is not None and ZERO < quote.bid <= quote.ask


def account_view(
    portfolio: Portfolio,
    *,
    account_id: AccountId,
    time: datetime,
    balances: Iterable[Balance],
    positions: Iterable[Position],
    instruments: Iterable[Instrument],
    quotes: Iterable[Quote],
    margin: MarginHealth | None,
    leverages: Iterable[LeverageInfo],
    open_orders: Iterable[Order],
    fee_rates: Mapping[ProductKind, Decimal],
    busy_instruments: frozenset[InstrumentId] = frozenset(),
    last_traded_at: datetime | None = None,
) -> AccountView:
    """Put the venue's answers together; PlanImpossible where equity or money cannot be told.

    `busy_instruments` have an order of ours that has not ended, whether the venue shows it already or not.
    """
    known = {item.instrument_id: item for item in instruments}
    quoted = {quote.instrument_id: quote for quote in quotes if usable(quote)}
    wallets = {balance.currency: balance for balance in balances}
    held = [position for position in positions if position.quantity != 0]
    infos = {info.instrument_id: info for info in leverages}
    with localcontext(MONEY):
        holdings, unpriced = _holdings(portfolio, wallets, held, known)
        equity = _equity(portfolio, wallets, held, holdings, known, quoted)
    return AccountView(
        account_id=account_id,
        quote_currency=portfolio.quote_currency,
        time=time,
        equity=equity,
        free_money=free_money(portfolio.quote_currency, wallets.values(), margin),
        holdings=holdings,
        quotes=quoted,
        instruments=known,
        fee_rates=fee_rates,
        leverages=_leverages(held, infos),
        modes={p.instrument_id: p.mode for p in held} | {key: info.position_mode for key, info in infos.items()},
        open_order_instruments=busy_instruments
        | {order.instrument_id for order in open_orders if order.status.is_open},
        unpriced=unpriced,
        last_traded_at=last_traded_at,
    )


def _holdings(
    portfolio: Portfolio,
    wallets: Mapping[str, Balance],
    held: Iterable[Position],
    known: Mapping[InstrumentId, Instrument],
) -> tuple[tuple[Holding, ...], tuple[tuple[str, Decimal], ...]]:
    found = [
        Holding(
            instrument_id=position.instrument_id,
            quantity=position.quantity,
            position_side=position.side if position.mode is PositionMode.HEDGE else None,
        )
        for position in held
    ]
    spot = {
        item.base_currency: item.instrument_id
        for item in known.values()
        if item.product is ProductKind.SPOT and item.quote_currency == portfolio.quote_currency
    }
    unpriced = []
    for currency, balance in sorted(wallets.items()):
        if currency == portfolio.quote_currency or balance.total == 0:
            continue
        if currency in spot:
            available = balance.available if balance.available is not None else balance.total - balance.held
            found.append(Holding(instrument_id=spot[currency], quantity=balance.total, available=max(available, ZERO)))
        else:
            unpriced.append((currency, balance.total))
    side_order = {None: 0, PositionSide.LONG: 1, PositionSide.SHORT: 2, PositionSide.FLAT: 3}
    found.sort(key=lambda holding: (holding.instrument_id, side_order[holding.position_side]))
    return tuple(found), tuple(unpriced)


def _equity(
    portfolio: Portfolio,
    wallets: Mapping[str, Balance],
    held: Iterable[Position],
    holdings: Iterable[Holding],
    known: Mapping[InstrumentId, Instrument],
    quoted: Mapping[InstrumentId, Quote],
) -> Decimal:
    wallet = wallets.get(portfolio.quote_currency)
    equity = wallet.total if wallet else ZERO
    for position in held:
        instrument = known.get(position.instrument_id)
        if instrument is None or is_paid_in_full(instrument.product):
            continue
        if instrument.settle_currency == portfolio.quote_currency:
            equity += _unrealised(position, instrument, quoted)
    for holding in holdings:
        instrument = known.get(holding.instrument_id)
        counts = holding.instrument_id in portfolio.targets or portfolio.unmanaged is Unmanaged.CLOSE
        if instrument is None or not counts or not is_paid_in_full(instrument.product):
            continue
        if instrument.quote_currency == portfolio.quote_currency:
            equity += holding.quantity * instrument.contract_size * _mid(holding.instrument_id, quoted)
    return equity


def _unrealised(position: Position, instrument: Instrument, quoted: Mapping[InstrumentId, Quote]) -> Decimal:
    if position.unrealised_pnl is not None:
        return position.unrealised_pnl
    if position.average_price is None:
        raise PlanImpossible("HOLDING_UNPRICED", f"{position.instrument_id} has neither profit nor entry price")
    price = position.mark_price if position.mark_price is not None else _mid(position.instrument_id, quoted)
    return (price - position.average_price) * position.quantity * instrument.contract_size


def _mid(instrument_id: InstrumentId, quoted: Mapping[InstrumentId, Quote]) -> Decimal:
    quote = quoted.get(instrument_id)
    if quote is None:
        raise PlanImpossible("HOLDING_UNPRICED", f"{instrument_id} is held without a usable quote; run again later")
    return quote.mid


def free_money(currency: str, balances: Iterable[Balance], margin: MarginHealth | None) -> Decimal:
    """The smallest figure that the venue gives: what the wallet can pay and what the margin allows.

    Where the margin figure is in another currency (Bybit states US dollars for the whole account), it is taken one to
    one, as a bound besides the wallet's own.
    """
    wallet = next((balance for balance in balances if balance.currency == currency), None)
    if wallet is None:
        return ZERO
    figures = [MONEY.subtract(wallet.total, wallet.held)]
    if wallet.available is not None:
        figures.append(wallet.available)
    elif margin is not None and margin.available is not None:
        figures.append(margin.available)
    else:
        raise PlanImpossible("MONEY_UNKNOWN", f"neither {currency} nor the account has a figure of available money")
    return max(min(figures), ZERO)


def _leverages(held: Iterable[Position], infos: Mapping[InstrumentId, LeverageInfo]) -> dict[InstrumentId, Decimal]:
    found = {p.instrument_id: p.leverage for p in held if p.leverage is not None and p.leverage > 0}
    for key, info in infos.items():
        found[key] = min(info.long_leverage, info.short_leverage)
    return found
