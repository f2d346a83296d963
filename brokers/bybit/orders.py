"""Bybit's order, execution and transaction-log rows as domain values. Pure; malformed rows are AnswerUnreadable.

Source: Bybit V5 documentation, pages "Place Order", "Get Open & Closed Orders", "Get Order History",
"Get Trade History", "Get Transaction Log", "Enums Definitions".
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from functools import reduce

from brokers.bybit.fields import (
    Row,
    flag,
    integer,
    moment,
    number,
    number_or_none,
    number_or_zero,
    positive_or_none,
    required,
    text,
)
from brokers.bybit.instruments import Market
from brokers.errors import AnswerUnreadable
from brokers.fields import member, require_echo, rows
from brokers.ids import AccountId, ClientOrderId, TradeId, VenueOrderId
from brokers.rounding import MONEY
from brokers.strictjson import decode
from brokers.types import (
    CashEvent,
    CashEventKind,
    Fill,
    LiquiditySide,
    Order,
    OrderAck,
    OrderSide,
    OrderStatus,
    OrderType,
    PositionSide,
    ProductKind,
    TimeInForce,
)

SIDES = {"Buy": OrderSide.BUY, "Sell": OrderSide.SELL}
_TIMES_IN_FORCE = {
    "GTC": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    "PostOnly": TimeInForce.GTC,
}
_STATUSES = {
    "Created": OrderStatus.ACCEPTED,
    "New": OrderStatus.WORKING,
    "Untriggered": OrderStatus.WORKING,
    "Triggered": OrderStatus.WORKING,
    "PartiallyFilled": OrderStatus.PARTIALLY_FILLED,
    "Filled": OrderStatus.FILLED,
    "Cancelled": OrderStatus.CANCELLED,
    "PartiallyFilledCanceled": OrderStatus.CANCELLED,
    "Rejected": OrderStatus.REJECTED,
    "Deactivated": OrderStatus.CANCELLED,
}
# Bybit has no status "expired": the reason of a cancellation tells that the order's own terms ended it.
_EXPIRY_REASONS = frozenset(
    {"EC_PostOnlyWillTakeLiquidity", "EC_NoImmediateQtyToFill", "EC_NoEnoughQtyToFill", "EC_CancelForNoFullFill"}
)
_BLOCK_TRADE = "Block trade"  # "Block trade-Limit", "Block trade Roll Back": agreed elsewhere, at a price
_POSITION_SIDES = {0: None, 1: PositionSide.LONG, 2: PositionSide.SHORT}
NOT_FILLS = frozenset({"Funding", "Settle"})

_CASH_KINDS = {
    "TRANSFER_IN": CashEventKind.TRANSFER,
    "TRANSFER_OUT": CashEventKind.TRANSFER,
    "BONUS_TRANSFER_IN": CashEventKind.TRANSFER,
    "BONUS_TRANSFER_OUT": CashEventKind.TRANSFER,
    "TRADE": CashEventKind.TRADE,
    "LIQUIDATION": CashEventKind.TRADE,
    "ADL": CashEventKind.TRADE,
    "CURRENCY_BUY": CashEventKind.TRADE,
    "CURRENCY_SELL": CashEventKind.TRADE,
    "DELIVERY": CashEventKind.SETTLEMENT,
    "INTEREST": CashEventKind.INTEREST,
    "FEE_REFUND": CashEventKind.FEE,
    "BONUS": CashEventKind.TRANSFER,
    "BONUS_RECOLLECT": CashEventKind.TRANSFER,
    "AIRDROP": CashEventKind.TRANSFER,
    "DBS_CASH_IN": CashEventKind.DEPOSIT,
    "DBS_CASH_OUT": CashEventKind.WITHDRAWAL,
}


def ack(envelope: Row, client_order_id: ClientOrderId) -> OrderAck:
    """The acknowledgement of a placement: received, not yet live. Another id in it proves nothing about our order."""
    result: Row = envelope["result"]
    require_echo(result, "orderLinkId", client_order_id)
    return OrderAck(
        client_order_id=client_order_id,
        venue_order_id=VenueOrderId(required(result, "orderId")),
        time=moment(envelope, "time"),
        is_final=False,
    )


def order_status(row: Row) -> OrderStatus:
    """The status; a `Cancelled` order may hold fills, and its reason may say that it expired by its own terms."""
    name = required(row, "orderStatus")
    if name not in _STATUSES:
        raise AnswerUnreadable(f"orderStatus {name!r} is not documented")
    status = _STATUSES[name]
    if status is OrderStatus.CANCELLED and text(row, "rejectReason") in _EXPIRY_REASONS:
        return OrderStatus.EXPIRED
    return status


def order(row: Row, market: Market, *, account_id: AccountId) -> Order:
    status = order_status(row)
    filled = number_or_zero(row, "cumExecQty")
    reason = text(row, "rejectReason")
    order_type = _order_type(row)
    return Order(
        account_id=account_id,
        venue_order_id=VenueOrderId(required(row, "orderId")),
        client_order_id=_client_id(row),
        instrument_id=market.instrument_id,
        side=_side(row),
        order_type=order_type,
        time_in_force=_TIMES_IN_FORCE.get(text(row, "timeInForce")),
        quantity=_quantity(row, market, status, filled),
        filled_quantity=filled,
        average_price=positive_or_none(row, "avgPrice"),
        # The stored price of a market order is the venue's own protection cap.
        limit_price=positive_or_none(row, "price") if order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT) else None,
        trigger_price=positive_or_none(row, "triggerPrice"),
        status=status,
        reduce_only=flag(row, "reduceOnly"),
        created_at=moment(row, "createdTime"),
        updated_at=moment(row, "updatedTime"),
        status_text=text(row, "orderStatus"),
        reject_code="" if reason == "EC_NoError" else reason,
        position_side=_position_side(row),
        fees=_fees(row),
    )


def _client_id(row: Row) -> ClientOrderId | None:
    value = text(row, "orderLinkId")
    return ClientOrderId(value) if value else None


def _side(row: Row) -> OrderSide:
    return member(row, "side", SIDES)


def _order_type(row: Row) -> OrderType:
    name = text(row, "orderType")
    if name.startswith(_BLOCK_TRADE):
        return OrderType.LIMIT
    if name not in ("Market", "Limit"):
        raise AnswerUnreadable(f"orderType must be Market or Limit, was {name!r}")
    is_stop = positive_or_none(row, "triggerPrice") is not None
    if name == "Market":
        return OrderType.STOP_MARKET if is_stop else OrderType.MARKET
    return OrderType.STOP_LIMIT if is_stop else OrderType.LIMIT


def _quantity(row: Row, market: Market, status: OrderStatus, filled: Decimal) -> Decimal:
    """Base units. A spot market order that someone placed by value has its quantity in quote currency instead."""
    by_value = (
        market.product is ProductKind.SPOT
        and text(row, "orderType") == "Market"
        and text(row, "marketUnit") == "quoteCoin"
    )
    return filled if by_value and not status.is_open else number(row, "qty")


def _position_side(row: Row) -> PositionSide | None:
    if not text(row, "positionIdx"):
        return None
    index = integer(row, "positionIdx")
    if index not in _POSITION_SIDES:
        raise AnswerUnreadable(f"positionIdx must be 0, 1 or 2, was {index}")
    return _POSITION_SIDES[index]


def _fees(row: Row) -> dict[str, Decimal]:
    detail = row.get("cumFeeDetail")
    if not isinstance(detail, dict):
        return {}
    return {currency: number(detail, currency) for currency in detail}


def is_fill(row: Row) -> bool:
    """Whether an execution row changed a position or a balance by trading.

    Auto-deleveraging, liquidation, block trades and kinds that Bybit may add are fills under their own name, so that
    reconciliation sees them; funding and session settlement are money only and come as cash events.
    """
    return required(row, "execType") not in NOT_FILLS


def fill(row: Row, market: Market, *, account_id: AccountId) -> Fill:
    """One execution. Taxes that Bybit takes beside its fee (GST, VAT, …: `extraFees`) are a part of the fee here, where
    they are in its currency."""
    own = number_or_zero(row, "execFee")
    currency = text(row, "feeCurrency") or fee_currency(row, market, own)
    fee = reduce(MONEY.add, (amount for coin, amount in _extra_fees(row) if coin == currency), own)
    return Fill(
        account_id=account_id,
        trade_id=_trade_id(row),
        venue_order_id=VenueOrderId(required(row, "orderId")),
        client_order_id=_client_id(row),
        instrument_id=market.instrument_id,
        side=_side(row),
        quantity=number(row, "execQty"),
        price=number(row, "execPrice"),
        fee=fee,
        fee_currency=currency,
        liquidity=_liquidity(row),
        time=moment(row, "execTime"),
        kind=required(row, "execType").lower(),
    )


def _extra_fees(row: Row) -> list[tuple[str, Decimal]]:
    """Coin and amount of each. Documented as text, shown as a list: both are read; "" is none."""
    found = row.get("extraFees")
    if isinstance(found, str) and found:
        try:
            found = decode(found)
        except ValueError as error:
            raise AnswerUnreadable(f"extraFees must be a list, was {found[:80]!r}") from error
    return [
        (required(item, "feeCoin"), number(item, "fee")) for item in rows({"extraFees": found or None}, "extraFees")
    ]


def _trade_id(row: Row) -> TradeId:
    """`execId`, and for a maker's row the order too.

    When two orders of one account trade with each other, both rows may carry one `execId`, and a trade id names one
    fill. One of the two is the maker, so the rule tells them apart by each row alone, whatever the window shows.
    """
    execution_id = required(row, "execId")
    return TradeId(f"{execution_id}:{required(row, 'orderId')}" if row.get("isMaker") is True else execution_id)


def _liquidity(row: Row) -> LiquiditySide:
    if not isinstance(row.get("isMaker"), bool):
        return LiquiditySide.UNKNOWN
    return LiquiditySide.MAKER if row["isMaker"] else LiquiditySide.TAKER


def fee_currency(row: Row, market: Market, fee: Decimal) -> str:
    """Bybit's rule where the row does not say: spot fees are taken from what is received, a maker's rebate is paid in
    the other currency ("Spot Fee Currency Instruction"); linear fees are in the settle currency."""
    if market.product is not ProductKind.SPOT:
        return market.settle
    rate = number_or_none(row, "feeRate")
    is_rebate = row.get("isMaker") is True and (fee < 0 or (rate is not None and rate < 0))
    receives_base = (_side(row) is OrderSide.BUY) != is_rebate
    return market.base if receives_base else market.quote


def cash_event(row: Row, market: Market | None, *, account_id: AccountId) -> CashEvent:
    """One transaction-log row as one event: `amount` is Bybit's `change`, fees and funding included.

    So the amounts of a currency sum to the change of its wallet exactly; a TRADE amount is net of its fee (the fee
    itself is on the fill). USDC contracts settle and fund in one row: with a cash flow it is SETTLEMENT.
    """
    currency = required(row, "currency")
    return CashEvent(
        account_id=account_id,
        event_id=_event_id(row),
        kind=_cash_kind(row),
        currency=currency,
        amount=number(row, "change"),
        time=moment(row, "transactionTime"),
        instrument_id=market.instrument_id if market else None,
        trade_id=TradeId(text(row, "tradeId")) if text(row, "tradeId") else None,
        venue_order_id=VenueOrderId(text(row, "orderId")) if text(row, "orderId") else None,
        balance_after=number_or_none(row, "cashBalance"),
        venue_kind=text(row, "type"),
    )


def _event_id(row: Row) -> str:
    """`id` with the time, and what else tells rows apart in short.

    Bybit calls the id unique, and its own example shows a settlement under the id of the trade before it: a second
    change of the wallet, as the balances after both prove.
    """
    rest = "|".join(text(row, name) for name in ("type", "currency", "tradeId", "orderId"))
    return f"{required(row, 'id')}@{text(row, 'transactionTime')}-{hashlib.sha256(rest.encode()).hexdigest()[:8]}"


def _cash_kind(row: Row) -> CashEventKind:
    name = text(row, "type")
    if name == "SETTLEMENT":
        return CashEventKind.SETTLEMENT if number_or_zero(row, "cashFlow") else CashEventKind.FUNDING
    return _CASH_KINDS.get(name, CashEventKind.UNMAPPED)
