"""TradeStation's order rows as domain values, and fills from what they have filled. Pure.

Source: TradeStation WebAPI v3, "Get Orders", "Get Historical Orders", "Place Order". An order is shown with what it
has filled in all, an average price, and fees for the order as a whole: there are no executions. OrderConfirmID is not
shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from brokers.errors import AnswerUnreadable, BrokerError
from brokers.fields import Row, member, number, number_or_none, number_or_zero, positive_or_none, required, rows, text
from brokers.fields import iso_moment as moment
from brokers.fields import iso_moment_or_none as moment_or_none
from brokers.ids import AccountId, ClientOrderId, TradeId, VenueOrderId
from brokers.tradestation import codes
from brokers.tradestation.instruments import unified
from brokers.tradestation.mapping import CURRENCY
from brokers.types import (
    IMMEDIATE,
    ZERO,
    Fill,
    LiquiditySide,
    Order,
    OrderAck,
    OrderSide,
    OrderStatus,
    OrderType,
    TimeInForce,
)

SIDES = {
    "Buy": OrderSide.BUY,
    "BuyToCover": OrderSide.BUY,
    "Sell": OrderSide.SELL,
    "SellShort": OrderSide.SELL,
}
_REDUCING = frozenset({"Sell", "BuyToCover"})  # of shares: the venue refuses them without a position to reduce
_TYPES = {
    "Market": OrderType.MARKET,
    "Limit": OrderType.LIMIT,
    "StopMarket": OrderType.STOP_MARKET,
    "StopLimit": OrderType.STOP_LIMIT,
}
# Answers write durations otherwise than orders do. What the port has no word for is None.
_DURATIONS = {
    "DAY": TimeInForce.DAY,
    "GTC": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    "DAY+": TimeInForce.DAY_EXTENDED,  # answers print other words than requests say
    "GTC+": TimeInForce.GTC_EXTENDED,
}
_WITHIN_A_SECOND = timedelta(microseconds=999_999)
SHOWN_PRODUCTS = frozenset({"STOCK", "FUTURE"})


class _Kind:
    """What a status says before times and quantities are looked at."""

    NEW = "new"
    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    CANCELLED_WHEN_CLOSED = "cancelled when closed"
    EXPIRED = "expired"
    REJECTED = "rejected"
    BY_CLOSE = "by its closing time and quantities"


_STATUSES: Mapping[str, str] = {
    **dict.fromkeys(("PLA", "DIS"), _Kind.NEW),
    **dict.fromkeys(("ACK", "OPN", "DON", "CND", "OSO", "STP", "STT", "SUS", "OTHER", "COR", "CHG"), _Kind.OPEN),
    **dict.fromkeys(("UCN", "RSN", "RPD", "ECN", "REC", "CSN", "RJC", "LAT", "FPR"), _Kind.OPEN),
    **dict.fromkeys(("BRC", "BRF", "BRO", "DOA", "ASS", "EXE"), _Kind.BY_CLOSE),
    "FLL": _Kind.FILLED,
    "FLP": _Kind.CANCELLED,  # a part is filled, the rest is out: over
    **dict.fromkeys(("CAN", "UCH", "SCN", "TSC"), _Kind.CANCELLED),
    "OUT": _Kind.CANCELLED_WHEN_CLOSED,  # also a step of a replacement
    "RJR": _Kind.CANCELLED_WHEN_CLOSED,  # a change was rejected: the order itself still works
    "EXP": _Kind.EXPIRED,
    "REJ": _Kind.REJECTED,
}


_SAYS_FILLED = frozenset({"FLL", "FLP", "FPR"})


def is_shown(row: Row) -> bool:
    """Whether the port has words for an order: one leg, of shares or a future."""
    legs = rows(row, "Legs")
    return len(legs) == 1 and text(legs[0], "AssetType") in SHOWN_PRODUCTS


def order(row: Row, *, account_id: AccountId) -> Order:
    leg = _leg(row)
    opened, closed = moment(row, "OpenedDateTime"), moment_or_none(row, "ClosedDateTime")
    filled, side = _filled(row, leg), _side(leg)
    order_type = _order_type(row)
    has_limit = order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT)
    has_stop = order_type in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT)
    return Order(
        account_id=account_id,
        venue_order_id=VenueOrderId(order_id(row)),
        client_order_id=None,
        instrument_id=unified(required(leg, "Symbol")),
        side=side,
        order_type=order_type,
        time_in_force=_DURATIONS.get(text(row, "Duration")),
        quantity=number(leg, "QuantityOrdered"),
        filled_quantity=filled,
        average_price=_average(row, leg) if filled else None,
        limit_price=positive_or_none(row, "LimitPrice") if has_limit else None,
        trigger_price=positive_or_none(row, "StopPrice") if has_stop else None,
        status=status(row),
        reduce_only=text(leg, "AssetType") == "STOCK" and text(leg, "BuyOrSell") in _REDUCING,
        created_at=opened,
        updated_at=closed if closed is not None and closed > opened else opened,
        status_text=" ".join(part for part in (text(row, "Status"), text(row, "StatusDescription")) if part),
        reject_code=text(row, "RejectReason"),
        fees=fees(row),
    )


def _filled(row: Row, leg: Row) -> Decimal:
    """What has been executed; where the status itself says that something was, its quantity must be there."""
    read = number if text(row, "Status") in _SAYS_FILLED else number_or_zero
    return read(leg, "ExecQuantity")


def order_id(row: Row) -> str:
    """The id without the dashes that some screens of TradeStation write into it."""
    return required(row, "OrderID").replace("-", "")


def status(row: Row) -> OrderStatus:
    """What the venue says of the order now. A code that nobody documents is open: it is watched, never called over."""
    code = required(row, "Status")
    leg = _leg(row)
    filled, ordered = _filled(row, leg), number(leg, "QuantityOrdered")
    is_closed = moment_or_none(row, "ClosedDateTime") is not None
    kind = _STATUSES.get(code, _Kind.OPEN)
    if kind == _Kind.BY_CLOSE:
        kind = _Kind.OPEN if not is_closed else _Kind.FILLED if filled >= ordered else _Kind.CANCELLED
    if kind == _Kind.CANCELLED_WHEN_CLOSED:
        kind = _Kind.CANCELLED if is_closed else _Kind.OPEN
    if kind == _Kind.CANCELLED and code == "TSC" and text(row, "RejectReason") and not filled:
        kind = _Kind.REJECTED
    if kind == _Kind.CANCELLED and _DURATIONS.get(text(row, "Duration")) in IMMEDIATE:
        kind = _Kind.EXPIRED  # nobody cancels what ends at once: its own terms did
    if kind in (_Kind.NEW, _Kind.OPEN):
        if filled > 0:
            return OrderStatus.PARTIALLY_FILLED
        return OrderStatus.ACCEPTED if kind == _Kind.NEW else OrderStatus.WORKING
    return {
        _Kind.FILLED: OrderStatus.FILLED,
        _Kind.CANCELLED: OrderStatus.CANCELLED,
        _Kind.EXPIRED: OrderStatus.EXPIRED,
        _Kind.REJECTED: OrderStatus.REJECTED,
    }[kind]


def fees(row: Row) -> dict[str, Decimal]:
    """Commission and route fee of the order as a whole, where the venue states one."""
    known = [
        value for name in ("CommissionFee", "UnbundledRouteFee") if (value := number_or_none(row, name)) is not None
    ]
    return {text(row, "Currency") or CURRENCY: sum(known, ZERO)} if known else {}


def end_of(order: Order) -> datetime:
    """When an order ended, at the latest: TradeStation writes whole seconds, and what happened within one must not be
    taken for older than what was read in it."""
    at = order.updated_at
    return at if at.microsecond else at + _WITHIN_A_SECOND


def fill(order: Order, *, time: datetime) -> Fill:
    """What an order has filled in all, as one fill: quantity, average price and fee of the whole order so far.

    Its id names order and cumulative quantity, so that the same total always has the same id. The price is an average
    of the venue's own, not of one execution.
    """
    if order.average_price is None or order.filled_quantity <= 0:
        raise AnswerUnreadable(f"order {order.venue_order_id} has filled {order.filled_quantity} without a price")
    currency, fee = next(iter(order.fees.items()), (CURRENCY, ZERO))
    quantity = format(order.filled_quantity.normalize(), "f")
    return Fill(
        account_id=order.account_id,
        trade_id=TradeId(f"{order.venue_order_id}:{quantity}"),
        venue_order_id=order.venue_order_id,
        client_order_id=None,
        instrument_id=order.instrument_id,
        side=order.side,
        quantity=order.filled_quantity,
        price=order.average_price,
        fee=fee,
        fee_currency=currency,
        liquidity=LiquiditySide.UNKNOWN,
        time=time,
    )


def ack(answer: Row, client_order_id: ClientOrderId, *, time: datetime) -> OrderAck:
    """The acknowledgement of a placement, or the refusal that stands in an answer of 200.

    Accepted is one order with an id and without an error; everything that is neither that nor a refusal by itself
    proves nothing.
    """
    accepted = [row for row in rows(answer, "Orders") if not text(row, "Error")]
    refused = [row for row in (*rows(answer, "Orders"), *rows(answer, "Errors")) if text(row, "Error")]
    if not accepted and refused:
        raise _refusal(refused)
    if len(accepted) != 1 or refused:
        raise AnswerUnreadable(
            f"a placement must be answered by one order or one error, was {len(accepted)} and {len(refused)}"
        )
    return OrderAck(
        client_order_id=client_order_id,
        venue_order_id=VenueOrderId(order_id(accepted[0])),
        time=time,
        is_final=False,
    )


def _refusal(refused: list[Row]) -> BrokerError:
    words = " | ".join(text(row, "Message") or text(row, "Error") for row in refused)[: codes.TEXT_MAX]
    return codes.order_error(words, code=text(refused[0], "Error"))


def require_cancelled(answer: Row) -> None:
    """A cancel that was taken; otherwise the typed refusal."""
    if text(answer, "Error"):
        raise codes.cancel_error(codes.said(answer), code=text(answer, "Error"))
    for row in rows(answer, "Errors"):
        raise codes.cancel_error(codes.said(row), code=text(row, "Error"))
    required(answer, "OrderID")


def _leg(row: Row) -> Row:
    legs = rows(row, "Legs")
    if len(legs) != 1:
        raise AnswerUnreadable(f"order {text(row, 'OrderID')} must have one leg, had {len(legs)}")
    return legs[0]


def _side(leg: Row) -> OrderSide:
    return member(leg, "BuyOrSell", SIDES)


def _order_type(row: Row) -> OrderType:
    return member(row, "OrderType", _TYPES)


def _average(row: Row, leg: Row) -> Decimal | None:
    return positive_or_none(row, "FilledPrice") or positive_or_none(leg, "ExecutionPrice")
