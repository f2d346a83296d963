"""What changed an account's wallets: the venue's own feed, and where it has none, what fills moved.

A venue without a feed may still tell each fill with its fee to the last digit (Binance on spot). Balances are then
explained by trades; a deposit, a withdrawal, a dividend is told by nothing, and so becomes a break of the balance.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from brokers.port import Broker, PartialCashFeed
from brokers.types import ZERO, CashEvent, CashEventKind, Fill
from trading.cash_flows import is_spot
from trading.reconciliation.exact import EXACT
from trading.steps import Step, StepKind

FROM_FILL = "fill"  # the venue kind of what no row of the venue says


def wallet_changes(
    broker: Broker, fills: Iterable[Fill], *, since: datetime, until: datetime, step: Step
) -> tuple[CashEvent, ...]:
    """Wallet changes in `since <= time < until`, and those of `fills` where they are what tells them."""
    facts, name = broker.capabilities, f"read wallet changes of {broker.account_id}"
    if facts.cash_events:
        return step(name, StepKind.READ, lambda: broker.cash_events(since=since, until=until))
    if not facts.fills_tell_balances:
        return ()
    found: tuple[CashEvent, ...] = ()
    if isinstance(broker, PartialCashFeed):
        found = step(name, StepKind.READ, lambda: broker.partial_cash_events(since=since, until=until))
    moved = (event for fill in fills if is_spot(fill.instrument_id) for event in events_of(fill))
    return tuple(sorted((*found, *moved), key=lambda event: event.time))


def events_of(fill: Fill) -> tuple[CashEvent, ...]:
    """What a spot fill moved, by currency, net of its fee; a fee in a third currency is a change of its own."""
    base, _, quote = str(fill.instrument_id).partition("/")
    signed = fill.side.sign * fill.quantity
    moves: dict[str, Decimal] = {}
    for currency, amount in (
        (base, signed),
        (quote, EXACT.multiply(-signed, fill.price)),
        (fill.fee_currency, -fill.fee),
    ):
        moves[currency] = EXACT.add(moves.get(currency, ZERO), amount)
    return tuple(
        CashEvent(
            account_id=fill.account_id,
            event_id=f"{fill.trade_id}:{currency}",
            kind=CashEventKind.TRADE,
            currency=currency,
            amount=amount,
            time=fill.time,
            instrument_id=fill.instrument_id,
            trade_id=fill.trade_id,
            venue_order_id=fill.venue_order_id,
            venue_kind=FROM_FILL,
        )
        for currency, amount in moves.items()
        if amount
    )
