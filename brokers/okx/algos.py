"""Conditional ("algo") orders of OKX: ids, rows and states. Pure; malformed rows are AnswerUnreadable.

They are orders apart, with ids, lists and look-ups of their own. When one triggers, OKX places an ordinary order with
another number, and with a client id of OKX's making or none; of the algo order that order names number and client id.

A conditional order with a client id stays one order here, from its placement to the end of what it became (*followed*):
one id, `algo:NUMBER`, and the fills of the orders that it placed. One without a client id was left by a person: it ends
when it triggers, and what it became speaks for itself.

Source: OKX V5 documentation, pages "Place algo order", "Algo order details", "Algo order list", "Algo order history",
"Cancel algo order", and "Get order" (`algoId`, `algoClOrdId`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from brokers.errors import AnswerUnreadable, InvalidOrder
from brokers.fields import Row, member, moment, number_or_zero, positive_or_none, require_echo, required, text
from brokers.ids import AccountId, ClientOrderId, VenueOrderId
from brokers.okx.instruments import Market
from brokers.okx.orders import SIDES, is_reduction, position_side
from brokers.rounding import MONEY
from brokers.types import ZERO, Order, OrderAck, OrderStatus, OrderType, TimeInForce

PLACED_AS = "conditional"  # the one type that stops of ours have
FOLLOWED = "conditional,oco"
# Every type that waits or works at OKX; each is listed by a request of its own, but for the first two.
LISTS = (FOLLOWED, "trigger", "move_order_stop", "chase", "twap", "smart_iceberg")
OLDER_NAMES = {"smart_iceberg": "iceberg"}  # until 2025; which sites know which is not documented
ENDS = ("effective", "canceled", "order_failed")  # the states by which the history is listed
AT_MARKET = "-1"
_KIND = "algo"
_STEP = Decimal("1E-12")
_STATUSES = {
    "live": OrderStatus.WORKING,
    "pause": OrderStatus.WORKING,
    "partially_effective": OrderStatus.WORKING,
    "effective": OrderStatus.EXPIRED,  # over as what it was
    "partially_failed": OrderStatus.EXPIRED,
    "canceled": OrderStatus.CANCELLED,
    "order_failed": OrderStatus.REJECTED,
}
_TRIGGERED = frozenset({"partially_effective", "effective", "partially_failed"})
# Where each type writes its trigger and its price: stop-loss goes before take-profit where an order has both.
_TRIGGERS = ("slTriggerPx", "triggerPx", "tpTriggerPx", "moveTriggerPx", "activePx")
_PRICES = {"slTriggerPx": "slOrdPx", "triggerPx": "ordPx", "tpTriggerPx": "tpOrdPx"}
_SLICED = frozenset({"chase", "twap", "iceberg", "smart_iceberg"})  # no trigger: they place orders as they go


# -- ids --------------------------------------------------------------------------------------------------------
def is_algo(identity: VenueOrderId) -> bool:
    return identity.value.startswith(f"{_KIND}:")


def venue_order_id(algo_id: str) -> VenueOrderId:
    """OKX numbers algo orders and orders apart: the kind is part of the id."""
    return VenueOrderId(f"{_KIND}:{algo_id}")


def algo_id_of(identity: VenueOrderId) -> str:
    """OKX's own number; InvalidOrder when the id is none of a conditional order."""
    kind, _, number = identity.value.partition(":")
    if kind != _KIND or not (number.isascii() and number.isdigit()):
        raise InvalidOrder(f"venue_order_id of a conditional order must read {_KIND}:NUMBER, was {identity}")
    return number


def is_followed(row: Row) -> bool:
    """Whether an algo order stays one order with what it becomes."""
    return bool(text(row, "algoClOrdId")) and text(row, "ordType") in FOLLOWED.split(",")


def parent_of(row: Row) -> str:
    """The number of the followed order that placed an ordinary one, by the row of the latter; "" where none did.

    `source` 7 is what take-profit and stop-loss orders placed; 6, 13, 25 and 34 are the other types.
    """
    return text(row, "algoId") if text(row, "algoClOrdId") and text(row, "source") in ("", "7") else ""


def children_of(row: Row) -> tuple[str, ...]:
    """The numbers of the orders that an algo order placed: OKX splits what is too large for one."""
    found = row.get("ordIdList")
    if found is not None and not (isinstance(found, list) and all(isinstance(item, str) for item in found)):
        raise AnswerUnreadable(f"ordIdList of {text(row, 'algoId')} must be a list of numbers, was {found!r}")
    last = text(row, "ordId")
    return tuple(dict.fromkeys((*(found or ()), *([last] if last else ()))))


def has_triggered(row: Row) -> bool:
    return text(row, "state") in _TRIGGERED


# -- orders -----------------------------------------------------------------------------------------------------
def ack(row: Row, client_order_id: ClientOrderId, *, time: datetime) -> OrderAck:
    """The acknowledgement: received. It carries no time of the venue's, so `time` is ours on the venue's clock."""
    require_echo(row, "algoClOrdId", client_order_id)
    return OrderAck(
        client_order_id=client_order_id,
        venue_order_id=venue_order_id(required(row, "algoId")),
        time=time,
        is_final=False,
    )


def order(row: Row, market: Market, *, account_id: AccountId) -> Order:
    """One algo order by itself; nothing is ever filled under its own id."""
    ours = text(row, "algoClOrdId")
    trigger_name = next((name for name in _TRIGGERS if positive_or_none(row, name) is not None), "")
    limit = _limit(row, trigger_name)
    order_type, time_in_force = _type(row, limit)
    status = member(row, "state", _STATUSES)
    return Order(
        account_id=account_id,
        venue_order_id=venue_order_id(required(row, "algoId")),
        client_order_id=ClientOrderId(ours) if ours else None,
        instrument_id=market.instrument_id,
        side=member(row, "side", SIDES),
        order_type=order_type,
        time_in_force=time_in_force,
        quantity=number_or_zero(row, "sz"),  # one that closes all of a position has none
        filled_quantity=ZERO,
        average_price=None,
        limit_price=limit,
        trigger_price=positive_or_none(row, trigger_name) if trigger_name else None,
        status=status,
        reduce_only=is_reduction(row) or bool(text(row, "closeFraction")),
        created_at=moment(row, "cTime"),
        updated_at=moment(row, "uTime" if text(row, "uTime") else "cTime"),
        status_text=text(row, "state"),
        reject_code=text(row, "failCode") if "failed" in text(row, "state") else "",
        position_side=position_side(row),
    )


def _limit(row: Row, trigger_name: str) -> Decimal | None:
    """None at the market, which OKX writes as a price of -1."""
    name = "pxLimit" if text(row, "ordType") in _SLICED else _PRICES.get(trigger_name, "")
    return positive_or_none(row, name) if name and text(row, name) != AT_MARKET else None


def _type(row: Row, limit: Decimal | None) -> tuple[OrderType, TimeInForce]:
    if text(row, "ordType") in _SLICED:
        return OrderType.LIMIT, TimeInForce.GTC
    if limit is None:
        return OrderType.STOP_MARKET, TimeInForce.IOC
    return OrderType.STOP_LIMIT, TimeInForce.GTC


def followed(own: Order, children: Sequence[Order], *, is_whole: bool) -> Order:
    """The one order that a conditional order and what it placed are. `own` is the conditional order by itself.

    `is_whole`: no order of it can be hidden any more. Until then it is open, whatever the others say.
    """
    filled, average = _filled(children)
    status = _status(own, children, filled, is_whole=is_whole)
    codes = [child.reject_code for child in children if child.reject_code]
    return replace(
        own,
        filled_quantity=filled,
        average_price=average,
        status=status,
        updated_at=max((own.updated_at, *(child.updated_at for child in children))),
        status_text=" ".join((own.status_text, *(child.status_text for child in children))),
        reject_code=own.reject_code or ("" if status.is_open else next(iter(codes), "")),
        fees=_fees(children),
    )


def _status(own: Order, children: Sequence[Order], filled: Decimal, *, is_whole: bool) -> OrderStatus:
    is_open = own.status.is_open or not is_whole or any(child.status.is_open for child in children)
    if is_open:
        return OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.WORKING
    if filled >= own.quantity > 0:
        return OrderStatus.FILLED
    ends = {child.status for child in children}
    if own.status is OrderStatus.EXPIRED and (not children or OrderStatus.CANCELLED in ends):
        return OrderStatus.CANCELLED
    return own.status


def _filled(children: Iterable[Order]) -> tuple[Decimal, Decimal | None]:
    quantity = value = ZERO
    prices: list[Decimal | None] = []
    for child in children:
        if child.filled_quantity:
            quantity = MONEY.add(quantity, child.filled_quantity)
            prices.append(child.average_price)
            value = MONEY.add(value, MONEY.multiply(child.filled_quantity, child.average_price or ZERO))
    if len(prices) == 1 or None in prices:
        return quantity, prices[0] if len(prices) == 1 else None
    return quantity, MONEY.divide(value, quantity).quantize(_STEP, context=MONEY) if quantity else None


def _fees(children: Iterable[Order]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for child in children:
        for currency, amount in child.fees.items():
            found[currency] = MONEY.add(found.get(currency, ZERO), amount)
    return found
