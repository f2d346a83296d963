"""Conditional futures orders: rows of the algo service as orders, and the mark by which ours are told. Pure.

Since 2025-12-09 they are algo orders, with ids, lists and look-ups of their own. When one triggers, the engine gets an
ordinary order with another number (`actualOrderId`), under the same client id. One of ours stays one order here, with
the algo service's number for good: what the engine made of it is told as its own. So that the engine's order says by
itself whose it is, our client ids carry a mark in the algo service, which is taken off again in what is shown. The
stops of other people are seen, looked up and cancelled; what became of one is an order of its own.

Source: USDⓈ-M "New Algo Order", "Query Algo Order", "Current All Algo Open Orders", "Query All Algo Orders", "Cancel
Algo Order", "Event: Algo Order Update" (the states). That the engine's order bears the clientAlgoId is not documented,
but seen in recorded events of live accounts; where it did not, the order itself is found all the same.
"""

from __future__ import annotations

from dataclasses import replace

from brokers.binance.instruments import Market
from brokers.binance.orders import FUTURES_TYPES, POSITION_SIDES, SIDES, TIMES_IN_FORCE
from brokers.errors import AnswerUnreadable, InvalidOrder
from brokers.fields import Row, flag, integer, member, moment, number_or_zero, positive_or_none, require_echo, text
from brokers.ids import AccountId, ClientOrderId, VenueOrderId
from brokers.types import ZERO, Order, OrderAck, OrderStatus

MARK = "st-"
_KIND = "algo"
_STATUSES = {
    "NEW": OrderStatus.WORKING,
    "TRIGGERING": OrderStatus.WORKING,
    "TRIGGERED": OrderStatus.EXPIRED,  # over as what it was: what it became speaks for it
    "FINISHED": OrderStatus.EXPIRED,
    "CANCELED": OrderStatus.CANCELLED,
    "EXPIRED": OrderStatus.EXPIRED,
    "REJECTED": OrderStatus.REJECTED,
}
_IN_THE_ENGINE = ("TRIGGERED", "FINISHED")


# -- ids --------------------------------------------------------------------------------------------------------
def is_algo(identity: VenueOrderId) -> bool:
    return identity.value.startswith(f"{_KIND}:")


def venue_order_id(row: Row, market: Market) -> VenueOrderId:
    return VenueOrderId(f"{_KIND}:{market.symbol}:{integer(row, 'algoId')}")


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


def marked(client_order_id: ClientOrderId) -> str:
    """Our id as the algo service knows it, and the engine afterwards."""
    return f"{MARK}{client_order_id}"


def is_ours(row: Row) -> bool:
    """Whether an order of the algo service bears the mark."""
    return text(row, "clientAlgoId").startswith(MARK)


def may_be_child(row: Row) -> bool:
    """Whether an order of the engine bears the mark of a conditional one."""
    return text(row, "clientOrderId").startswith(MARK)


def child_number(row: Row) -> str:
    """The number of the engine's order that it became; "" while there is none."""
    number = text(row, "actualOrderId")
    return "" if number == "0" else number


# -- orders -----------------------------------------------------------------------------------------------------
def ack(row: Row, market: Market, wanted: ClientOrderId) -> OrderAck:
    """The answer to a placement: it waits. Another id in it proves nothing about ours."""
    require_echo(row, "clientAlgoId", marked(wanted))
    if text(row, "symbol") != market.symbol:
        raise AnswerUnreadable(f"answered symbol must be {market.symbol}, was {text(row, 'symbol')!r}")
    member(row, "algoStatus", _STATUSES)
    return OrderAck(
        client_order_id=wanted,
        venue_order_id=venue_order_id(row, market),
        time=moment(row, "createTime"),
        is_final=True,
    )


def order(row: Row, market: Market, *, account_id: AccountId) -> Order:
    """One conditional order by itself: nothing is filled while it waits."""
    ours = text(row, "clientAlgoId").removeprefix(MARK)
    return Order(
        account_id=account_id,
        venue_order_id=venue_order_id(row, market),
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


def is_in_the_engine(row: Row) -> bool:
    """Whether it is over as what it was, so that only the engine's order tells what became of it."""
    return text(row, "algoStatus") in _IN_THE_ENGINE


def joined(parent: Order, child: Order) -> Order:
    """A conditional order with what the engine made of it: its own id and terms, the engine's outcome.

    The engine cuts a reducing order to the position, so that its quantity counts.
    """
    return replace(
        parent,
        quantity=child.quantity,
        filled_quantity=child.filled_quantity,
        average_price=child.average_price,
        status=child.status,
        updated_at=max(parent.updated_at, child.updated_at),
        status_text=child.status_text,
        reject_code=child.reject_code,
    )


def gone(parent: Order) -> Order:
    """A conditional order whose engine order is shown no more: that was cancelled or expired without a fill."""
    return replace(parent, status=OrderStatus.CANCELLED)
