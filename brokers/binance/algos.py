"""Conditional futures orders of others: seen, looked up and cancelled, never placed. Pure.

Since 2025-12-09 they are algo orders, with ids, lists and look-ups of their own. None of ours is one, but a stop that a
person left at the venue is open risk: whoever proves that nothing is open must see it. When one triggers it ends, and
the order that it became is an ordinary order with another id.

Source: USDⓈ-M "New Algo Order", "Query Algo Order", "Current All Algo Open Orders", "Cancel Algo Order".
"""

from __future__ import annotations

from brokers.binance.instruments import Market
from brokers.binance.orders import FUTURES_TYPES, POSITION_SIDES, SIDES, TIMES_IN_FORCE
from brokers.errors import InvalidOrder
from brokers.fields import Row, flag, integer, member, moment, number_or_zero, positive_or_none, text
from brokers.ids import AccountId, ClientOrderId, VenueOrderId
from brokers.types import ZERO, Order, OrderStatus

_KIND = "algo"
_STATUSES = {
    "NEW": OrderStatus.WORKING,
    "TRIGGERING": OrderStatus.WORKING,
    "TRIGGERED": OrderStatus.EXPIRED,  # over as what it was: what it became speaks for itself
    "FINISHED": OrderStatus.EXPIRED,
    "CANCELED": OrderStatus.CANCELLED,
    "EXPIRED": OrderStatus.EXPIRED,
    "REJECTED": OrderStatus.REJECTED,
}


def is_algo(identity: VenueOrderId) -> bool:
    return identity.value.startswith(f"{_KIND}:")


def algo_id_of(identity: VenueOrderId, market: Market) -> str:
    """Binance's own number; InvalidOrder when the id is of another symbol."""
    scope, _, number = identity.value.rpartition(":")
    is_here = scope == f"{_KIND}:{market.symbol}" and not market.is_spot
    if not is_here or not (number.isascii() and number.isdigit()):
        raise InvalidOrder(
            f"venue_order_id of a conditional order in {market.instrument_id} must read "
            f"{_KIND}:{market.symbol}:NUMBER, was {identity}"
        )
    return number


def order(row: Row, market: Market, *, account_id: AccountId) -> Order:
    """One conditional order; nothing is ever filled under its own id."""
    ours = text(row, "clientAlgoId")
    return Order(
        account_id=account_id,
        venue_order_id=VenueOrderId(f"{_KIND}:{market.symbol}:{integer(row, 'algoId')}"),
        client_order_id=ClientOrderId(ours) if ours else None,
        instrument_id=market.instrument_id,
        side=member(row, "side", SIDES),
        order_type=member(row, "orderType", FUTURES_TYPES),
        time_in_force=TIMES_IN_FORCE.get(text(row, "timeInForce")),
        quantity=number_or_zero(row, "quantity"),  # one that closes all of a position has none
        filled_quantity=ZERO,
        average_price=None,
        limit_price=positive_or_none(row, "price"),
        trigger_price=positive_or_none(row, "triggerPrice"),
        status=member(row, "algoStatus", _STATUSES),
        reduce_only=flag(row, "reduceOnly") or flag(row, "closePosition"),
        created_at=moment(row, "createTime"),
        updated_at=moment(row, "updateTime"),
        status_text=text(row, "algoStatus"),
        position_side=member(row, "positionSide", POSITION_SIDES) if text(row, "positionSide") else None,
    )
