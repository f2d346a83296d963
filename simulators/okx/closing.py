"""Orders that only reduce: how much they may ask for, and which of several is served (docs-v5, place order).

What asks for more than the position is refused whole. Several waiting ones may together not exceed it either: those of
better price and time are served, the others are canceled, the new one (cancelSource 22) or those that wait (23).
"""

from dataclasses import replace
from decimal import Decimal

from simulators.core.accounts import Account
from simulators.core.money import ZERO
from simulators.core.types import Order, OrderRequest, OrderStatus, PositionSide, Reason
from simulators.okx.desk import waits
from simulators.okx.errors import refused
from simulators.okx.params import Context

NEW_IS_WORSE = (
    "22",
    "Order canceled: Due to a better price was available for the order in the same direction, the current operation "
    "reduce-only order was automatically canceled",
)
OLD_IS_WORSE = (
    "23",
    "Order canceled: Due to a better price was available for the order in the same direction, the existing reduce-only "
    "order was automatically canceled",
)


def waiting(account: Account, request: OrderRequest) -> list[Order]:
    """Return the orders that wait to reduce the same position, the one that is served first at the front."""
    sign = request.side.sign
    mine = [
        order
        for order in account.open_orders()
        if order.request.symbol == request.symbol
        and order.request.kind is request.kind
        and order.request.position_side is request.position_side
        and order.request.side is request.side
        and order.request.reduce_only
        and not waits(order)
    ]
    return sorted(mine, key=lambda order: (-sign * order.price, order.sequence))


def check_closing(context: Context, request: OrderRequest) -> None:
    """Refuse to reduce more than there is; in long/short mode what waits already counts."""
    if not request.reduce_only:
        return
    position = context.me.position(request.symbol, request.position_side)
    if request.position_side is not PositionSide.BOTH:
        if position.qty == ZERO:
            raise refused(51169)
        if request.qty > position.qty - _total(waiting(context.me, request)):
            raise refused(51112)
        return
    reduces = position.side is request.side.opposite
    if reduces and request.qty > position.qty and not context.desk.habits.reduce_only_shrinks:
        raise refused(51112)


def _total(orders: list[Order]) -> Decimal:
    return sum((order.remaining_qty for order in orders), ZERO)


def place_reducing(context: Context, request: OrderRequest) -> Order:
    """Place a reduce-only order of net mode and end what is then one too many."""
    venue, account = context.venue, context.me
    others = waiting(account, request)
    order = venue.place(account, request, fill_ratio=context.handling.fill_ratio, hold=True)
    sign = request.side.sign
    before = [o for o in others if request.price is not None and sign * o.price >= sign * request.price]
    held = venue.matching.closable(account, request)
    if _total(before) + order.qty > held:
        _end(context, order, NEW_IS_WORSE)
        return order
    left = held - _total(before) - order.qty
    for other in others[len(before) :]:
        left -= other.remaining_qty
        if left < ZERO:
            _end(context, other, OLD_IS_WORSE)
    if venue.lags.apply_ms:
        venue.later(venue.lags.apply_ms, lambda: venue.release(account, order.order_id))
    else:
        venue.release(account, order.order_id)
    return order


def _end(context: Context, order: Order, why: tuple[str, str]) -> None:
    desk = context.desk
    desk.notes[order.order_id] = replace(desk.note(order), ending=why)
    context.venue.matching.end(context.me, order, OrderStatus.CANCELLED, Reason.CANCELLED_BY_GROUP)
