"""From a reading of the account and the intents on record to the exposure that a risk check counts.

Everything open, in flight or ready counts as filled. An order that moved since the account was read counts in full:
its fills may or may not be in the reading, and too much is the safe side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from sqlmodel import Session

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
from ledger.tables import OrderIntent
from trading.orders.context import AccountReading, DeskContext
from trading.orders.equity import mark_equity
from trading.orders.past import read_conduct
from trading.orders.pool import pool_holdings
from trading.orders.reserved import Counted, pending, read_counting
from trading.risk import Exposure
from trading.risk.checks import expected_price, order_notional

ONE = Decimal(1)
_READING_MARGIN = timedelta(seconds=1)


def exposure_for(
    session: Session,
    ctx: DeskContext,
    own: OrderIntent,
    request: OrderRequest,
    instrument: Instrument | None,
    reading: AccountReading,
) -> Exposure:
    """The exposure that `request` of the intent `own` would be added to, without itself, and what came before it.

    Notes the equity that was read. Order rates are counted by the sender.
    """
    now = ctx.ledger.now(session)
    read_at = _started_at(now, ctx, reading)
    since = read_at - _READING_MARGIN
    others = _others(session, ctx, own, min(since, now - _past(ctx, request)))
    own_instrument_id, buy, sell = own.instrument_id, OrderSide.BUY.value, OrderSide.SELL.value
    same = [row for row in others if row.instrument_id == own_instrument_id]
    held = [str(position.instrument_id) for position in reading.positions or ()]
    sizes = ctx.contract_sizes(session, {*held, *(row.instrument_id for row in others)})
    waiting, moves, notional = {buy: ZERO, sell: ZERO}, {buy: ZERO, sell: ZERO}, ZERO
    for row in others:
        quantity, added, move = pending(row, since, sizes.get(row.instrument_id, ONE))
        notional += added
        moves[row.side] += move
        if row.instrument_id == own_instrument_id:
            waiting[row.side] += quantity
    age_s_max = ctx.policy.pool_reading_age_s_max
    pool = pool_holdings(session, ctx.account_id, ctx.instruments, age_s_max=age_s_max, now=now)
    conduct = read_conduct(session, ctx, own, same, now)
    if reading.equity is not None:
        past = mark_equity(session, ctx.account_id, equity=reading.equity, read_at=read_at)
        conduct = replace(conduct, opening_equity=past.opening, highest_equity=past.highest)
    gross, net = _values(sizes, reading.positions)
    return Exposure(
        equity=reading.equity,
        position_quantity=position_of(reading, request, instrument),
        gross_notional=gross,
        net_notional=net,
        pending_buy_quantity=waiting[buy],
        pending_sell_quantity=waiting[sell],
        pending_notional=notional,
        pending_buy_notional=moves[buy],
        pending_sell_notional=moves[sell],
        open_orders=sum(row.is_open for row in same),
        pool_notional=pool.notional,
        pool_unread=pool.unread,
        conduct=conduct,
    )


def _others(session: Session, ctx: DeskContext, own: OrderIntent, since: datetime) -> tuple[Counted, ...]:
    return read_counting(session, ctx.account_id, since=since, own_intent_id=own.intent_id)


def _past(ctx: DeskContext, request: OrderRequest) -> timedelta:
    """How far back orders that are over still matter: for a jump of the price, and for the same order twice."""
    window_s = max(ctx.policy.quote_jump_window_s, ctx.policy.duplicate_window(request.instrument_id))
    return timedelta(seconds=float(window_s))


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


def _started_at(now: datetime, ctx: DeskContext, reading: AccountReading) -> datetime:
    """When the reading began, on the ledger's clock, which `updated_at` goes by: now minus the reading's age.

    The age is a difference on our own clocks, so it does not matter how far they are from the ledger's. The longer of
    the two ages counts: the monotonic clock stands still while a machine sleeps, the wall clock may be set back. `now`
    is taken before the age: a pause in between makes the reading older, never younger.
    """
    elapsed = timedelta(seconds=ctx.clock.monotonic() - reading.read_at_monotonic_s)
    return now - max(elapsed, ctx.clock.now() - reading.taken_at, timedelta(0))


def _values(
    sizes: Mapping[str, Decimal], positions: Iterable[Position] | None
) -> tuple[Decimal | None, Decimal | None]:
    """Gross and net value of all positions at mark; None when one cannot be valued."""
    if positions is None:
        return None, None
    gross = net = ZERO
    for position in positions:
        price = position.mark_price or position.average_price
        contract_size = sizes.get(str(position.instrument_id))
        if position.quantity and (price is None or contract_size is None):
            return None, None
        if price is not None and contract_size is not None:
            gross += abs(position.quantity) * price * contract_size
            net += position.quantity * price * contract_size
    return gross, net
