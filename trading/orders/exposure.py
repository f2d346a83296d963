"""From a reading of the account and the intents on record to the exposure that a risk check counts.

Everything open, in flight or ready counts as filled. An order that moved since the account was read counts in full:
its fills may or may not be in the reading, and too much is the safe side.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from sqlmodel import Session, col, select

from brokers.ids import InstrumentId
from brokers.types import (
    ZERO,
    Instrument,
    OrderRequest,
    OrderSide,
    Position,
    PositionMode,
    ProductKind,
    Quote,
)
from ledger.states import TERMINAL_STATES, IntentState
from ledger.tables import OrderIntent
from trading.orders.context import AccountReading, DeskContext
from trading.risk import Exposure
from trading.risk.checks import expected_price, order_notional

_TERMINAL = [state.value for state in TERMINAL_STATES]
_READING_MARGIN = timedelta(seconds=1)
_NOT_COUNTED = (IntentState.RECEIVED.value, IntentState.DENIED.value)


def exposure_for(
    session: Session,
    ctx: DeskContext,
    request: OrderRequest,
    instrument: Instrument | None,
    reading: AccountReading,
    *,
    own_intent_id: str,
) -> Exposure:
    """The exposure that `request` would be added to, without itself; order rates are counted by the sender."""
    since = _started_at(session, ctx, reading) - _READING_MARGIN
    others = _counting_intents(session, ctx.account_id, since, own_intent_id)
    same = [row for row in others if row.instrument_id == str(request.instrument_id)]
    pending = dict.fromkeys(OrderSide, ZERO)
    notional = ZERO
    for row in others:
        quantity = _pending_quantity(row, since)
        if row.instrument_id == str(request.instrument_id):
            pending[OrderSide(row.side)] += quantity
        if not row.reduce_only:
            notional += _pending_notional(row, quantity)
    return Exposure(
        equity=reading.equity,
        position_quantity=position_of(reading, request, instrument),
        gross_notional=_gross(ctx, reading.positions),
        pending_buy_quantity=pending[OrderSide.BUY],
        pending_sell_quantity=pending[OrderSide.SELL],
        pending_notional=notional,
        open_orders=sum(1 for row in same if row.state not in _TERMINAL),
    )


def position_of(reading: AccountReading, request: OrderRequest, instrument: Instrument | None) -> Decimal | None:
    """The signed quantity held: on spot the base currency, otherwise the position (in hedge mode of its leg)."""
    if instrument is None:
        return None
    if instrument.product is ProductKind.SPOT:
        if reading.balances is None:
            return None
        return sum((b.total for b in reading.balances if b.currency == instrument.base_currency), ZERO)
    if reading.positions is None:
        return None
    legs = [p for p in reading.positions if p.instrument_id == request.instrument_id]
    if request.position_side is not None:
        legs = [p for p in legs if p.mode is not PositionMode.HEDGE or p.side is request.position_side]
    return sum((p.quantity for p in legs), ZERO)


def reserved_notional(
    request: OrderRequest, instrument: Instrument | None, quote: Quote | None, position: Decimal | None
) -> Decimal:
    """What the order may add to the gross exposure, in quote currency; nothing when it only reduces."""
    if instrument is None or quote is None or request.reduce_only:
        return ZERO
    if position is not None and abs(position + request.side.sign * request.quantity) <= abs(position):
        return ZERO
    return order_notional(request, instrument, expected_price(request, quote)).quantize(Decimal("1e-12"))


def _started_at(session: Session, ctx: DeskContext, reading: AccountReading) -> datetime:
    """When the reading began, on the ledger's clock, which `updated_at` goes by: now minus the reading's age.

    The age is a difference on our own clocks, so it does not matter how far they are from the ledger's. The longer of
    the two ages counts: the monotonic clock stands still while a machine sleeps, the wall clock may be set back.
    """
    now = ctx.ledger.now(session)  # before the age is taken: a pause in between makes the reading older, never younger
    elapsed = timedelta(seconds=ctx.clock.monotonic() - reading.read_at_monotonic_s)
    return now - max(elapsed, ctx.clock.now() - reading.taken_at, timedelta(0))


def _counting_intents(
    session: Session, account_id: str, since: datetime, own_intent_id: str
) -> tuple[OrderIntent, ...]:
    query = select(OrderIntent).where(
        OrderIntent.account_id == account_id,
        OrderIntent.intent_id != own_intent_id,
        col(OrderIntent.state).not_in(_NOT_COUNTED),
        col(OrderIntent.state).not_in(_TERMINAL) | (col(OrderIntent.updated_at) >= since),
    )
    return tuple(session.exec(query))


def _pending_quantity(row: OrderIntent, since: datetime) -> Decimal:
    moved_since = row.updated_at >= since
    if row.state in _TERMINAL:
        return row.filled_quantity
    return row.quantity if moved_since else max(row.quantity - row.filled_quantity, ZERO)


def _pending_notional(row: OrderIntent, quantity: Decimal) -> Decimal:
    if row.reserved_notional > 0:
        return row.reserved_notional * quantity / row.quantity
    if row.state in _TERMINAL and row.average_price is not None:
        return quantity * row.average_price
    return ZERO


def _gross(ctx: DeskContext, positions: Iterable[Position] | None) -> Decimal | None:
    """Sum of all positions' absolute values at mark; None when one cannot be valued."""
    if positions is None:
        return None
    total = ZERO
    for position in positions:
        price = position.mark_price or position.average_price
        contract_size = _contract_size(ctx, position.instrument_id)
        if position.quantity and (price is None or contract_size is None):
            return None
        if price is not None and contract_size is not None:
            total += abs(position.quantity) * price * contract_size
    return total


def _contract_size(ctx: DeskContext, instrument_id: InstrumentId) -> Decimal | None:
    instrument = ctx.instruments.get(instrument_id)
    return None if instrument is None else instrument.contract_size
