"""What a look at the venue's order says about the intent: pure, and it never moves backwards on a stale read.

Invariants
- The filled quantity never falls; a report with less filled than is known changes nothing.
- A terminal state is reached only when the fills, recorded one by one, add up to what the order reports as filled.
- Terms that differ from the intent, or more filled than asked for, go to a person.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from brokers.capabilities import OrderIdentity
from brokers.rounding import decimal_text
from brokers.types import Order, OrderRequest, OrderStatus, OrderType
from ledger.states import IntentState
from trading.orders.protocol import ProtocolLimits
from trading.orders.reasons import OrderReason

S = IntentState


class Known(NamedTuple):
    """What is recorded of a live order. `last_seen_at` is when the venue last showed it (or acknowledged it)."""

    state: IntentState
    request: OrderRequest
    filled_quantity: Decimal
    last_seen_at: datetime
    doubted_at: datetime | None = None  # the first look that did not fit; None: doubted ever since it was last seen
    doubtful_looks: int = 5


class Progress(NamedTuple):
    """Where the intent stands after the look; `state` may be the one that it had."""

    state: IntentState
    reason: OrderReason | None
    detail: str = ""
    filled_quantity: Decimal = Decimal(0)


_OPEN_STATE = {
    OrderStatus.ACCEPTED: (S.ACKED, OrderReason.ACCEPTED),
    OrderStatus.WORKING: (S.WORKING, OrderReason.WORKING_AT_VENUE),
    OrderStatus.PARTIALLY_FILLED: (S.PARTIALLY_FILLED, OrderReason.PARTLY_FILLED),
}
_DONE_STATE = {
    OrderStatus.FILLED: (S.FILLED, OrderReason.COMPLETELY_FILLED),
    OrderStatus.CANCELLED: (S.CANCELLED, OrderReason.CANCELLED_AT_VENUE),
    OrderStatus.EXPIRED: (S.VENUE_EXPIRED, OrderReason.EXPIRED_AT_VENUE),
    OrderStatus.REJECTED: (S.REFUSED, OrderReason.ENGINE_REJECTED),
}
_PRICED = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT})
_RANK = {S.ACKED: 0, S.WORKING: 1, S.PARTIALLY_FILLED: 2, S.ADOPTED_LATE: 3}


def progress(
    known: Known,
    order: Order | None,
    fills_quantity: Decimal,
    *,
    identity: OrderIdentity,
    now: datetime,
    limits: ProtocolLimits = ProtocolLimits(),
) -> Progress:
    """Judge one look at the order; `fills_quantity` is the sum of its fills on record."""
    filled = max(known.filled_quantity, fills_quantity, order.filled_quantity if order else known.filled_quantity)
    if filled > known.request.quantity:
        text = f"filled {filled} of {known.request.quantity}"
        return Progress(S.NEEDS_HUMAN, OrderReason.OVERFILLED, text, filled)
    if order is None:
        patience_s = limits.horizon(identity) + limits.resolve_s_max
        if _is_overdue(known, known.last_seen_at, patience_s, now, limits):
            return Progress(S.NEEDS_HUMAN, OrderReason.ACKED_NOT_VISIBLE, filled_quantity=filled)
        return Progress(known.state, None, filled_quantity=filled)
    difference = terms_difference(known.request, order)
    if difference:
        return Progress(S.NEEDS_HUMAN, OrderReason.TERMS_DIFFER, difference, filled)
    if order.filled_quantity < filled:
        is_done = order.status in _DONE_STATE
        if is_done and _is_overdue(known, order.updated_at, limits.fills_s_max, now, limits):
            text = f"{order.status}: reports {order.filled_quantity} filled, {filled} are recorded"
            return Progress(S.NEEDS_HUMAN, OrderReason.FILLS_DISAGREE, text, filled)
        return _with_fills(known.state, filled, "an older report: less filled than is known")
    if order.status in _DONE_STATE:
        return _done(known, order, fills_quantity, now, limits)
    return _open(known, order, filled)


def _is_overdue(known: Known, since: datetime, patience_s: float, now: datetime, limits: ProtocolLimits) -> bool:
    """Whether looks really went on not to fit: time in which nobody looked does not count."""
    if known.doubtful_looks < limits.looks_min:
        return False
    return now > max(since, known.doubted_at or since) + timedelta(seconds=patience_s)


def terms_difference(request: OrderRequest, order: Order) -> str:
    """Name the first term in which the venue's order differs from the intent; empty when it is the same order.

    A venue may cut a reduce-only order to the position, so its quantity may be smaller.
    """
    if request.instrument_id != order.instrument_id:
        return f"instrument_id must be {request.instrument_id}, was {order.instrument_id}"
    if request.side is not order.side:
        return f"side must be {request.side}, was {order.side}"
    if request.order_type is not order.order_type:
        return f"order_type must be {request.order_type}, was {order.order_type}"
    if request.order_type in _PRICED and request.limit_price != order.limit_price:
        return f"limit_price must be {_told(request.limit_price)}, was {_told(order.limit_price)}"
    if None not in (request.trigger_price, order.trigger_price) and request.trigger_price != order.trigger_price:
        return f"trigger_price must be {_told(request.trigger_price)}, was {_told(order.trigger_price)}"
    is_cut = request.reduce_only and order.quantity < request.quantity
    if order.quantity != request.quantity and not is_cut:
        return f"quantity must be {request.quantity}, was {order.quantity}"
    return ""


def _told(value: Decimal | None) -> str:
    return "none" if value is None else decimal_text(value)


def _done(known: Known, order: Order, fills_quantity: Decimal, now: datetime, limits: ProtocolLimits) -> Progress:
    filled = order.filled_quantity
    short = order.status is OrderStatus.FILLED and filled < order.quantity
    if short or fills_quantity != filled:
        text = f"{order.status}: reports {filled} of {order.quantity} filled, fills add up to {fills_quantity}"
        if _is_overdue(known, order.updated_at, limits.fills_s_max, now, limits):
            return Progress(S.NEEDS_HUMAN, OrderReason.FILLS_MISSING, text, filled)
        return _with_fills(known.state, filled, text)
    state, reason = _DONE_STATE[order.status]
    if state is S.REFUSED and (filled > 0 or known.state is S.PARTIALLY_FILLED or known.state is S.ADOPTED_LATE):
        state, reason = S.CANCELLED, OrderReason.CANCELLED_AT_VENUE
    text = " ".join(filter(None, (order.reject_code, order.status_text)))
    return Progress(state, reason, text, filled)


def _open(known: Known, order: Order, filled: Decimal) -> Progress:
    state, reason = _OPEN_STATE[order.status]
    if filled > 0 and state is not S.PARTIALLY_FILLED:
        state, reason = S.PARTIALLY_FILLED, OrderReason.PARTLY_FILLED
    if _RANK[state] <= _RANK[known.state]:
        return Progress(known.state, None, filled_quantity=filled)
    return Progress(state, reason, filled_quantity=filled)


def _with_fills(state: IntentState, filled: Decimal, detail: str) -> Progress:
    """Not over yet; what is filled counts all the same."""
    if filled > 0 and _RANK[state] < _RANK[S.PARTIALLY_FILLED]:
        return Progress(S.PARTIALLY_FILLED, OrderReason.PARTLY_FILLED, detail, filled)
    return Progress(state, None, detail, filled)
