"""Alpaca's order rows as domain values. Pure; malformed rows and unknown words are AnswerUnreadable.

Source: Alpaca documentation, pages "Working with /orders", "Placing Orders" (order lifecycle), and its OpenAPI
description.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from brokers.alpaca.fields import (
    Row,
    flag,
    instrument_id_of,
    is_option,
    moment,
    moment_or_none,
    number,
    number_or_none,
    positive_or_none,
    product_of_class,
    required,
    text,
)
from brokers.errors import AnswerUnreadable
from brokers.fields import computed_above_zero, member, require_echo
from brokers.ids import AccountId, ClientOrderId, VenueOrderId
from brokers.types import IMMEDIATE, ZERO, Order, OrderAck, OrderSide, OrderStatus, OrderType, TimeInForce

SIDES = {"buy": OrderSide.BUY, "sell": OrderSide.SELL, "sell_short": OrderSide.SELL}
_TYPES = {
    "market": OrderType.MARKET,
    "limit": OrderType.LIMIT,
    "stop": OrderType.STOP_MARKET,
    "stop_limit": OrderType.STOP_LIMIT,
    "trailing_stop": OrderType.STOP_MARKET,  # of another hand; its trigger moves
}
_TIMES_IN_FORCE = {
    "day": TimeInForce.DAY,
    "gtc": TimeInForce.GTC,
    "ioc": TimeInForce.IOC,
    "fok": TimeInForce.FOK,
}  # what the port has no word for (opg, cls) is None
_EXTENDED = {TimeInForce.DAY: TimeInForce.DAY_EXTENDED, TimeInForce.GTC: TimeInForce.GTC_EXTENDED}
A, W = OrderStatus.ACCEPTED, OrderStatus.WORKING
STATUSES: Mapping[str, OrderStatus] = {
    "pending_new": A,
    "accepted_for_bidding": A,
    "pending_review": A,
    "accepted": A,  # also outside hours: queued for the next session
    "held": A,  # a leg that waits for another order
    "new": W,
    "activated": W,
    "pending_replace": W,
    "pending_cancel": W,  # a fill may still come
    "stopped": W,  # its price is guaranteed, its fill follows
    "suspended": W,
    "done_for_day": W,  # over for the day; the final word follows
    "calculated": W,
    "partially_filled": OrderStatus.PARTIALLY_FILLED,
    "filled": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELLED,
    "replaced": OrderStatus.CANCELLED,  # over under this id; `replaced_by` names the order that follows it
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
}
_ENDS = ("filled_at", "canceled_at", "expired_at", "failed_at", "replaced_at")


def is_shown(row: Row) -> bool:
    """Whether the port has words for an order: of one share or one pair. Options and their spreads have none."""
    symbol, kind = text(row, "symbol"), text(row, "asset_class")
    return bool(symbol) and not is_option(symbol) and (not kind or product_of_class(kind) is not None)


def order(row: Row, *, account_id: AccountId) -> Order:
    order_type, filled = _order_type(row), number(row, "filled_qty")
    created = moment(row, "created_at")
    found = status(row)
    return Order(
        account_id=account_id,
        venue_order_id=VenueOrderId(required(row, "id")),
        client_order_id=_client_id(row),
        instrument_id=instrument_id_of(required(row, "symbol")),
        side=side(row),
        order_type=order_type,
        time_in_force=_time_in_force(row),
        quantity=_quantity(row, filled),
        filled_quantity=filled,
        average_price=computed_above_zero(row, "filled_avg_price"),
        limit_price=positive_or_none(row, "limit_price"),
        trigger_price=positive_or_none(row, "stop_price"),
        status=found,
        reduce_only=False,
        created_at=created,
        updated_at=_updated_at(row, found, created),
        status_text=_status_text(row),
        reject_code=text(row, "reject_reason"),
    )


def status(row: Row) -> OrderStatus:
    """What the venue says of the order now; AnswerUnreadable names a word that nobody documents."""
    name = required(row, "status")
    found = STATUSES.get(name)
    if found is None:
        raise AnswerUnreadable(
            f"status {name!r} of order {text(row, 'id')} is not documented; nothing may be concluded from it", text=name
        )
    if found in (A, W) and number(row, "filled_qty") > 0:
        return OrderStatus.PARTIALLY_FILLED
    if found is OrderStatus.CANCELLED and name == "canceled" and _time_in_force(row) in IMMEDIATE:
        return OrderStatus.EXPIRED  # nobody cancels what ends at once: its own terms did
    return found


def side(row: Row) -> OrderSide:
    return member(row, "side", SIDES)


def ack(row: Row, client_order_id: ClientOrderId) -> OrderAck:
    """The acknowledgement of a placement: received, not yet live. Another id in it proves nothing about our order."""
    require_echo(row, "client_order_id", client_order_id)
    return OrderAck(
        client_order_id=client_order_id,
        venue_order_id=VenueOrderId(required(row, "id")),
        time=moment_or_none(row, "submitted_at") or moment(row, "created_at"),
        is_final=False,
    )


def submitted_at(row: Row) -> datetime:
    """What lists of orders are paged by."""
    return moment_or_none(row, "submitted_at") or moment(row, "created_at")


def _order_type(row: Row) -> OrderType:
    name = text(row, "type") or required(row, "order_type")
    if name not in _TYPES:
        raise AnswerUnreadable(f"type must be one of {', '.join(_TYPES)}, was {name!r}")
    return _TYPES[name]


def _time_in_force(row: Row) -> TimeInForce | None:
    found = _TIMES_IN_FORCE.get(text(row, "time_in_force"))
    if found is not None and flag(row, "extended_hours"):
        return _EXTENDED.get(found, found)
    return found


def _quantity(row: Row, filled: Decimal) -> Decimal:
    """In units. An order that another hand placed by value has no quantity but what it has filled."""
    quantity = number_or_none(row, "qty")
    if quantity is not None:
        return quantity
    if number_or_none(row, "notional") is None:
        raise AnswerUnreadable(f"order {text(row, 'id')} has neither qty nor notional")
    return filled


def _client_id(row: Row) -> ClientOrderId | None:
    value = text(row, "client_order_id")
    return ClientOrderId(value) if 0 < len(value) <= ClientOrderId.length_max else None


def _updated_at(row: Row, found: OrderStatus, created: datetime) -> datetime:
    """When it last changed: `updated_at` where the venue gives it, else the end of an order that is over."""
    names = ("updated_at",) if found.is_open else ("updated_at", *_ENDS)
    told: list[datetime] = [at for name in names if (at := moment_or_none(row, name)) is not None]
    return max([created, *told])


def _status_text(row: Row) -> str:
    parts = [text(row, "status")]
    if text(row, "replaced_by"):
        parts.append(f"replaced by {text(row, 'replaced_by')}")
    if number_or_none(row, "qty") is None and number_or_none(row, "notional") not in (None, ZERO):
        parts.append(f"placed by value of {text(row, 'notional')}")
    return ", ".join(parts)
