"""OKX's order and fill rows as domain values. Pure; malformed rows are AnswerUnreadable.

Source: OKX V5 documentation, pages "Place order", "Get order", "Order history", "Transaction details" and "Order
channel" (the sources of a cancellation). Quantities of swaps are contracts.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from brokers.errors import AnswerUnreadable
from brokers.fields import (
    Row,
    computed_above_zero,
    computed_or_none,
    computed_or_zero,
    member,
    moment,
    number,
    number_or_zero,
    positive_or_none,
    require_echo,
    required,
    text,
)
from brokers.ids import AccountId, ClientOrderId, TradeId, VenueOrderId
from brokers.okx.instruments import Market
from brokers.rounding import MONEY
from brokers.types import (
    Fill,
    LiquiditySide,
    Order,
    OrderAck,
    OrderSide,
    OrderStatus,
    OrderType,
    PositionSide,
    TimeInForce,
)

SIDES = {"buy": OrderSide.BUY, "sell": OrderSide.SELL}
_POSITION_SIDES = {"net": None, "long": PositionSide.LONG, "short": PositionSide.SHORT}
# `elp` rests like post_only; `mmp` and its kin are orders in options.
_TYPES: dict[str, tuple[OrderType, TimeInForce]] = {
    "market": (OrderType.MARKET, TimeInForce.IOC),
    "optimal_limit_ioc": (OrderType.MARKET, TimeInForce.IOC),
    "limit": (OrderType.LIMIT, TimeInForce.GTC),
    "post_only": (OrderType.LIMIT, TimeInForce.GTC),
    "ioc": (OrderType.LIMIT, TimeInForce.IOC),
    "fok": (OrderType.LIMIT, TimeInForce.FOK),
    "op_fok": (OrderType.LIMIT, TimeInForce.FOK),
    "elp": (OrderType.LIMIT, TimeInForce.GTC),
    "mmp": (OrderType.LIMIT, TimeInForce.GTC),
    "mmp_and_post_only": (OrderType.LIMIT, TimeInForce.GTC),
}
_STATUSES = {
    "live": OrderStatus.WORKING,
    "partially_filled": OrderStatus.PARTIALLY_FILLED,
    "filled": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELLED,
    "mmp_canceled": OrderStatus.CANCELLED,
}
# OKX has no state "expired": who cancelled tells that the order's own terms ended it. FOK not filled whole, IOC's rest,
# post-only that would take.
_EXPIRY_SOURCES = frozenset({"13", "14", "31"})
# Where it does not tell, an order that cannot rest was ended by its terms.
_CANNOT_REST = frozenset({"market", "optimal_limit_ioc", "ioc", "fok", "op_fok"})
_BY_OTHERS = frozenset({"1", "2", "3", "6", "20", "32", "38", "39"})
_KINDS = {
    **dict.fromkeys(("100", "101", "102", "103", "104", "105", "106", "107"), "liquidation"),
    **dict.fromkeys(("125", "126", "127", "128"), "adl"),
    **dict.fromkeys(("112", "113"), "delivery"),
    **dict.fromkeys(("204", "205", "206", "207", "208", "209"), "block_trade"),
}
_TRADES = frozenset({"", "1", "2", "3", "4", "5", "6"})
_CLOSING = frozenset({("sell", "long"), ("buy", "short")})


def ack(row: Row, client_order_id: ClientOrderId) -> OrderAck:
    """The acknowledgement of a placement: received, not yet live. Another id in it proves nothing about our order."""
    require_echo(row, "clOrdId", client_order_id)
    return OrderAck(
        client_order_id=client_order_id,
        venue_order_id=VenueOrderId(required(row, "ordId")),
        time=moment(row, "ts"),
        is_final=False,
    )


def order_status(row: Row) -> OrderStatus:
    """The state; a `canceled` order may hold fills, and the source of its end may say that it expired."""
    name = required(row, "state")
    if name not in _STATUSES:
        raise AnswerUnreadable(f"state {name!r} of an order is not documented")
    status = _STATUSES[name]
    if name != "canceled":
        return status
    source = text(row, "cancelSource")
    by_terms = source in _EXPIRY_SOURCES or (text(row, "ordType") in _CANNOT_REST and source not in _BY_OTHERS)
    return OrderStatus.EXPIRED if by_terms else status


def order(row: Row, market: Market, *, account_id: AccountId) -> Order:
    status = order_status(row)
    filled = number_or_zero(row, "accFillSz")
    order_type, time_in_force = _type(row)
    source = text(row, "cancelSource")
    return Order(
        account_id=account_id,
        venue_order_id=VenueOrderId(required(row, "ordId")),
        client_order_id=_client_id(row),
        instrument_id=market.instrument_id,
        side=_side(row),
        order_type=order_type,
        time_in_force=time_in_force,
        quantity=_quantity(row, status, filled),
        filled_quantity=filled,
        average_price=computed_above_zero(row, "avgPx"),
        limit_price=positive_or_none(row, "px") if order_type is OrderType.LIMIT else None,
        trigger_price=None,
        status=status,
        reduce_only=is_reduction(row),
        created_at=moment(row, "cTime"),
        updated_at=moment(row, "uTime"),
        status_text=text(row, "state"),
        reject_code=source if status in (OrderStatus.CANCELLED, OrderStatus.EXPIRED) else "",
        position_side=position_side(row),
        fees=_fees(row),
    )


def _client_id(row: Row) -> ClientOrderId | None:
    value = text(row, "clOrdId")
    return ClientOrderId(value) if value else None


def _side(row: Row) -> OrderSide:
    return member(row, "side", SIDES)


def _type(row: Row) -> tuple[OrderType, TimeInForce]:
    return member(row, "ordType", _TYPES)


def _quantity(row: Row, status: OrderStatus, filled: Decimal) -> Decimal:
    """Units of the instrument. A spot market order that someone placed by value has its size in quote currency."""
    by_value = text(row, "ordType") == "market" and text(row, "tgtCcy") == "quote_ccy"
    return filled if by_value and not status.is_open else number(row, "sz")


def position_side(row: Row) -> PositionSide | None:
    return member(row, "posSide", _POSITION_SIDES) if text(row, "posSide") else None


def is_reduction(row: Row) -> bool:
    """In hedge mode OKX ignores the flag: an order that goes against its side only ever reduces."""
    return text(row, "reduceOnly") == "true" or (text(row, "side"), text(row, "posSide")) in _CLOSING


def _fees(row: Row) -> dict[str, Decimal]:
    """What was paid, by currency. OKX writes fees that it charged as negative and rebates as positive."""
    found: dict[str, Decimal] = {}
    for amount, currency in (("fee", "feeCcy"), ("rebate", "rebateCcy")):
        value, name = computed_or_none(row, amount), text(row, currency)
        if value and name:
            found[name] = MONEY.subtract(found.get(name, Decimal(0)), value)
    return found


# -- fills ------------------------------------------------------------------------------------------------------
def fill(row: Row, market: Market, *, account_id: AccountId) -> Fill:
    """One execution, at the time of the match (`fillTime`; `ts` is that of the record)."""
    fee = computed_or_zero(row, "fee")
    return Fill(
        account_id=account_id,
        trade_id=trade_id(row, market),
        venue_order_id=VenueOrderId(required(row, "ordId")),
        client_order_id=_client_id(row),
        instrument_id=market.instrument_id,
        side=_side(row),
        quantity=number(row, "fillSz"),
        price=number(row, "fillPx"),
        fee=fee.copy_negate() if fee else Decimal(0),
        fee_currency=text(row, "feeCcy"),
        liquidity=_LIQUIDITY.get(text(row, "execType"), LiquiditySide.UNKNOWN),
        time=moment(row, "fillTime" if text(row, "fillTime") else "ts"),
        kind=_kind(row),
    )


_LIQUIDITY = {"T": LiquiditySide.TAKER, "M": LiquiditySide.MAKER}


def of_one_trade(one: Fill, other: Fill, *, is_swap: bool) -> Fill:
    """Two records of one trade as the one fill that they are: of a swap OKX books what closes a position and what opens
    the opposite one apart; of a pair a second record is the same fill. AnswerUnreadable where they are of two orders,
    or do not agree."""
    if one.venue_order_id != other.venue_order_id:
        raise AnswerUnreadable(
            f"execution {one.trade_id} is shown for the orders {one.venue_order_id} and {other.venue_order_id}; one "
            "trade id must name one fill"
        )
    if (one.side, one.price, one.time) != (other.side, other.price, other.time):
        raise AnswerUnreadable(f"execution {one.trade_id} is shown with two sides, prices or times")
    if not is_swap:
        return one
    if other.fee and one.fee and other.fee_currency != one.fee_currency:
        raise AnswerUnreadable(f"execution {one.trade_id} is shown with fees in two currencies")
    return replace(
        one,
        quantity=MONEY.add(one.quantity, other.quantity),
        fee=MONEY.add(one.fee, other.fee),
        fee_currency=one.fee_currency if one.fee else other.fee_currency,
    )


def trade_id(row: Row, market: Market) -> TradeId:
    """OKX numbers trades by instrument (below zero where it closed a position by force): the symbol is part of the id.

    A fill without a number, which no market made, is named by its bill.
    """
    number_text = text(row, "tradeId")
    if number_text in ("", "0"):
        return TradeId(f"{market.symbol}:bill-{required(row, 'billId')}")
    return TradeId(f"{market.symbol}:{number_text}")


def _kind(row: Row) -> str:
    sub_type = text(row, "subType")
    return "trade" if sub_type in _TRADES else _KINDS.get(sub_type, f"subtype_{sub_type}")
