"""Looking for an order at the venue: by id, in lists, by fingerprint, and by what the position says.

Reads only. A failed read is a result of its own: it proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from brokers.capabilities import OrderIdentity
from brokers.errors import BrokerError
from brokers.ids import ClientOrderId, InstrumentId
from brokers.types import Fill, Order, ProductKind
from ledger.tables import OrderIntent, OrderRow
from trading.orders import store
from trading.orders.context import AccountReading, DeskContext
from trading.orders.exposure import position_of
from trading.orders.intents import request_of
from trading.orders.progress import terms_difference

_BEFORE_S = 2.0  # how far before the send a look-up begins: clocks differ
_LATE_S = 120.0  # how long after its deadline an order without an id may still be taken for ours


class Trace(StrEnum):
    FOUND = "found"
    ABSENT = "absent"
    READ_FAILED = "read_failed"
    UNEXPLAINED = "unexplained"  # no order, but the position moved by more than the known fills
    AMBIGUOUS = "ambiguous"  # several orders without an id fit


@dataclass(frozen=True, slots=True)
class Look:
    """What one look-up showed."""

    trace: Trace
    order: Order | None = None
    fill: Fill | None = None
    detail: str = ""


def quick_look(ctx: DeskContext, row: OrderIntent) -> Look:
    """The cheapest look-up that can show the order."""
    identity = ctx.identity(row.instrument_id)
    try:
        if identity.lookup_by_client_id and row.client_order_id is not None:
            return _look_of(ctx.broker.find_order(**_by_client_id(row)))
        return _by_mark_or_fingerprint(ctx, row, (*ctx.broker.open_orders(), *_history(ctx, row)))
    except BrokerError as error:
        return Look(Trace.READ_FAILED, detail=f"{error.reason}: {error.message}")


def complete_look(ctx: DeskContext, row: OrderIntent) -> Look:
    """Every source, each read to its end, and the position explained by the fills (proof rules P2 and P3)."""
    identity = ctx.identity(row.instrument_id)
    try:
        if identity.lookup_by_client_id and row.client_order_id is not None:
            look = _look_of(ctx.broker.find_order(**_by_client_id(row)))
            if look.trace is Trace.FOUND:
                return look
        look = _by_mark_or_fingerprint(ctx, row, (*ctx.broker.open_orders(), *_history(ctx, row)))
        if look.trace is not Trace.ABSENT:
            return look
        fills = ctx.broker.fills(
            since=_since(ctx, row), until=_until(ctx), instrument_id=InstrumentId(row.instrument_id)
        )
        mine = [fill for fill in fills if fill.client_order_id == ClientOrderId(row.client_order_id or "-")]
        if mine:
            return Look(Trace.FOUND, fill=mine[0])
        reading = ctx.account(instrument_id=InstrumentId(row.instrument_id), fresh=True)
    except BrokerError as error:
        return Look(Trace.READ_FAILED, detail=f"{error.reason}: {error.message}")
    return _position_look(ctx, row, reading, fills)


def order_in_lists(ctx: DeskContext, row: OrderIntent) -> Order | None:
    """The order from the lists of open and done orders, where a venue cannot be asked by our id."""
    return _by_mark_or_fingerprint(ctx, row, (*ctx.broker.open_orders(), *_history(ctx, row))).order


def _by_client_id(row: OrderIntent) -> dict[str, Any]:
    return {
        "instrument_id": InstrumentId(row.instrument_id),
        "client_order_id": ClientOrderId(row.client_order_id or "-"),
    }


def _look_of(order: Order | None) -> Look:
    return Look(Trace.ABSENT) if order is None else Look(Trace.FOUND, order=order)


def _history(ctx: DeskContext, row: OrderIntent) -> tuple[Order, ...]:
    return ctx.broker.order_history(since=_since(ctx, row), until=_until(ctx))


def _since(ctx: DeskContext, row: OrderIntent) -> datetime:
    """A little before the first send of the attempt (and before the position that was read for it)."""
    with ctx.ledger.read() as session:
        sends = store.sends_of(session, row.client_order_id)
        before = store.position_before(session, row)
    times = [sends[0].committed_at] if sends else [row.updated_at]
    if before is not None:
        times.append(datetime.fromisoformat(before.text))
    return min(times) + ctx.offset - timedelta(seconds=_BEFORE_S)


def _until(ctx: DeskContext) -> datetime:
    return ctx.venue_now() + timedelta(seconds=_BEFORE_S)


def _by_mark_or_fingerprint(ctx: DeskContext, row: OrderIntent, orders: tuple[Order, ...]) -> Look:
    """By our id where orders carry one; otherwise the one order that fits and belongs to nobody."""
    identity = ctx.identity(row.instrument_id)
    unique = {order.venue_order_id: order for order in orders}.values()
    marked = [order for order in unique if order.client_order_id == ClientOrderId(row.client_order_id or "-")]
    if marked:
        return Look(Trace.FOUND, order=marked[0])
    if identity.orders_show_client_id and (identity.client_id_length_max > 0 or identity.lookup_by_client_id):
        return Look(Trace.ABSENT)
    fitting = [order for order in unique if _fits(ctx, row, identity, order)]
    if len(fitting) > 1:
        ids = ", ".join(str(order.venue_order_id) for order in fitting)
        return Look(Trace.AMBIGUOUS, order=fitting[0], detail=f"fitting orders: {ids}")
    return _look_of(fitting[0] if fitting else None)


def _fits(ctx: DeskContext, row: OrderIntent, identity: OrderIdentity, order: Order) -> bool:
    with ctx.ledger.read() as session:
        sends = store.sends_of(session, row.client_order_id)
        owner = session.get(OrderRow, (row.account_id, str(order.venue_order_id)))
        is_known = store.is_order_of_another(session, row, str(order.venue_order_id))
    if not sends or is_known or (owner is not None and owner.intent_id not in (None, row.intent_id)):
        return False
    first = sends[0].committed_at + ctx.offset - timedelta(seconds=_BEFORE_S)
    last = sends[-1].not_after + timedelta(seconds=_LATE_S)
    is_ours_by_terms = not terms_difference(request_of(row), order)
    return order.client_order_id is None and is_ours_by_terms and first <= order.created_at <= last


def _position_look(ctx: DeskContext, row: OrderIntent, reading: AccountReading, fills: tuple[Fill, ...]) -> Look:
    """Absent only if the position moved by exactly the fills since it was read before the send."""
    request = request_of(row)
    instrument = ctx.instrument(request.instrument_id)
    now_quantity = position_of(reading, request, instrument)
    with ctx.ledger.read() as session:
        before = store.position_before(session, row)
    if before is None or not before.code or now_quantity is None or instrument is None:
        return Look(Trace.READ_FAILED, detail="the position before the send or now is not known")
    base = instrument.base_currency if instrument.product is ProductKind.SPOT else ""
    taken_at = datetime.fromisoformat(before.text) + ctx.offset
    moved = now_quantity - Decimal(before.code)
    if moved in _possible_moves(fills, taken_at, base):
        return Look(Trace.ABSENT)
    return Look(Trace.UNEXPLAINED, detail=f"the position moved by {moved} since {before.text}, fills do not explain it")


def _possible_moves(fills: tuple[Fill, ...], taken_at: datetime, base_currency: str) -> set[Decimal]:
    """Sums of the fills later than the reading; clocks differ, so fills close to it may be in or out."""
    margin = timedelta(seconds=_BEFORE_S)
    ordered = sorted(fills, key=lambda fill: fill.time, reverse=True)
    total = Decimal(0)
    sums = {total} if not ordered or ordered[0].time <= taken_at + margin else set()
    for index, fill in enumerate(ordered):
        total += fill.side.sign * fill.quantity
        if base_currency and fill.fee_currency == base_currency:
            total -= fill.fee
        following = ordered[index + 1].time if index + 1 < len(ordered) else None
        if following is None or following <= taken_at + margin:
            sums.add(total)
        if following is not None and following < taken_at - margin:
            break
    return sums
