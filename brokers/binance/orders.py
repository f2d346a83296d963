"""Binance's order, trade and income rows as domain values. Pure; malformed rows are AnswerUnreadable.

Sources: Spot "New order", "Query order", "All orders", "Account trade list"; USDⓈ-M "New Order", "Query Order",
"Account Trade List", "Get Income History"; both "Public endpoint definitions".

Order ids are unique within a symbol of a product, trade ids too, and an account has both products: ids of ours name the
product and the symbol (`spot:BTCUSDT:123`), so that two of them can never be taken for one.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from brokers.binance.fields import quotient
from brokers.binance.instruments import Market
from brokers.errors import AnswerUnreadable, InvalidOrder
from brokers.fields import (
    Row,
    computed_above_zero,
    flag,
    integer,
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

SIDES = {"BUY": OrderSide.BUY, "SELL": OrderSide.SELL}
_SPOT_TYPES = {
    "LIMIT": OrderType.LIMIT,
    "LIMIT_MAKER": OrderType.LIMIT,
    "MARKET": OrderType.MARKET,
    "STOP_LOSS": OrderType.STOP_MARKET,
    "TAKE_PROFIT": OrderType.STOP_MARKET,
    "STOP_LOSS_LIMIT": OrderType.STOP_LIMIT,
    "TAKE_PROFIT_LIMIT": OrderType.STOP_LIMIT,
}
FUTURES_TYPES = {
    "LIMIT": OrderType.LIMIT,
    "MARKET": OrderType.MARKET,
    "LIQUIDATION": OrderType.LIMIT,
    "STOP": OrderType.STOP_LIMIT,
    "TAKE_PROFIT": OrderType.STOP_LIMIT,
    "STOP_MARKET": OrderType.STOP_MARKET,
    "TAKE_PROFIT_MARKET": OrderType.STOP_MARKET,
    "TRAILING_STOP_MARKET": OrderType.STOP_MARKET,
}
TIMES_IN_FORCE = {
    "GTC": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    "GTX": TimeInForce.GTC,  # post-only
    "RPI": TimeInForce.GTC,
}
_STATUSES = {
    "NEW": OrderStatus.WORKING,
    "PENDING_NEW": OrderStatus.WORKING,
    "PENDING_CANCEL": OrderStatus.WORKING,  # documented as unused: until it is over it is open
    "NEW_INSURANCE": OrderStatus.WORKING,
    "NEW_ADL": OrderStatus.WORKING,
    "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELLED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
}
POSITION_SIDES = {"BOTH": None, "LONG": PositionSide.LONG, "SHORT": PositionSide.SHORT}

# A commission is a part of what a trade did to the wallet: with the realised profit it makes the trade's effect net of
# its fee, as the fill tells it.
_BETWEEN_WALLETS = "TRANSFER"
_CASH_KINDS = {
    "REALIZED_PNL": CashEventKind.TRADE,
    "COMMISSION": CashEventKind.TRADE,
    "AUTO_EXCHANGE": CashEventKind.TRADE,
    "FUNDING_FEE": CashEventKind.FUNDING,
    "TRANSFER": CashEventKind.TRANSFER,
    "INTERNAL_TRANSFER": CashEventKind.TRANSFER,
    "CROSS_COLLATERAL_TRANSFER": CashEventKind.TRANSFER,
    "STRATEGY_UMFUTURES_TRANSFER": CashEventKind.TRANSFER,
    "WELCOME_BONUS": CashEventKind.TRANSFER,
    "CONTEST_REWARD": CashEventKind.TRANSFER,
    "COIN_SWAP_DEPOSIT": CashEventKind.DEPOSIT,
    "COIN_SWAP_WITHDRAW": CashEventKind.WITHDRAWAL,
    "INSURANCE_CLEAR": CashEventKind.FEE,
    "REFERRAL_KICKBACK": CashEventKind.FEE,
    "COMMISSION_REBATE": CashEventKind.FEE,
    "API_REBATE": CashEventKind.FEE,
    "FEE_RETURN": CashEventKind.FEE,
    "POSITION_LIMIT_INCREASE_FEE": CashEventKind.FEE,
    "DELIVERED_SETTELMENT": CashEventKind.SETTLEMENT,  # sic
    "BFUSD_REWARD": CashEventKind.INTEREST,
}


# -- ids --------------------------------------------------------------------------------------------------------
def venue_order_id(order_id: str, market: Market) -> VenueOrderId:
    return VenueOrderId(f"{market.product.value}:{market.symbol}:{order_id}")


def order_id_of(identity: VenueOrderId, market: Market) -> str:
    """Binance's own number; InvalidOrder when the id is of another symbol, where the number means another order."""
    scope, _, number_text = identity.value.rpartition(":")
    if scope != f"{market.product.value}:{market.symbol}" or not (number_text.isascii() and number_text.isdigit()):
        raise InvalidOrder(
            f"venue_order_id of {market.instrument_id} must read {market.product.value}:{market.symbol}:NUMBER, "
            f"was {identity}"
        )
    return number_text


def client_id(row: Row) -> ClientOrderId | None:
    """Our id of the order. The answer to a spot cancellation has it in another field, the id of the request here."""
    value = text(row, "origClientOrderId") or text(row, "clientOrderId")
    return ClientOrderId(value) if value else None


# -- orders -----------------------------------------------------------------------------------------------------
def ack(row: Row, market: Market, wanted: ClientOrderId) -> OrderAck:
    """The answer to a placement: the order as it stands in the engine. Another id in it proves nothing about ours."""
    require_echo(row, "clientOrderId", wanted)
    if text(row, "symbol") != market.symbol:
        raise AnswerUnreadable(f"answered symbol must be {market.symbol}, was {text(row, 'symbol')!r}")
    member(row, "status", _STATUSES)
    return OrderAck(
        client_order_id=wanted,
        venue_order_id=venue_order_id(str(integer(row, "orderId")), market),
        time=moment(row, "transactTime" if market.is_spot else "updateTime"),
        is_final=True,
    )


def order(row: Row, market: Market, *, account_id: AccountId) -> Order:
    filled = number(row, "executedQty")
    order_type = _order_type(row, market)
    is_limit = order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT)
    is_stop = order_type in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT)
    trigger = positive_or_none(row, "stopPrice")
    return Order(
        account_id=account_id,
        venue_order_id=venue_order_id(str(integer(row, "orderId")), market),
        client_order_id=client_id(row),
        instrument_id=market.instrument_id,
        side=member(row, "side", SIDES),
        order_type=order_type,
        time_in_force=TIMES_IN_FORCE.get(text(row, "timeInForce")),
        quantity=number(row, "origQty") or filled,  # a close-position order is placed without a quantity
        filled_quantity=filled,
        average_price=_average_price(row, market, filled),
        limit_price=positive_or_none(row, "price") if is_limit else None,
        trigger_price=trigger if is_stop else None,
        status=member(row, "status", _STATUSES),
        reduce_only=flag(row, "reduceOnly") or flag(row, "closePosition"),
        created_at=moment(row, "time"),
        updated_at=moment(row, "updateTime"),
        status_text=text(row, "status"),
        reject_code=text(row, "expiryReason"),
        position_side=member(row, "positionSide", POSITION_SIDES) if text(row, "positionSide") else None,
    )


def _order_type(row: Row, market: Market) -> OrderType:
    kind: OrderType = member(row, "type", _SPOT_TYPES if market.is_spot else FUTURES_TYPES)
    return kind


def _average_price(row: Row, market: Market, filled: Decimal) -> Decimal | None:
    """Futures state it; on spot it is the sum over the quantity. A negative sum means that Binance has it no more."""
    if not market.is_spot:
        return computed_above_zero(row, "avgPrice")
    paid = number_or_zero(row, "cummulativeQuoteQty")  # sic
    return quotient(paid, filled) if filled > 0 and paid > 0 else None


# -- fills ------------------------------------------------------------------------------------------------------
def fill(row: Row, market: Market, *, account_id: AccountId) -> Fill:
    """One trade. Binance carries no client order id on it; a commission is positive when paid."""
    is_maker = row.get("isMaker" if market.is_spot else "maker")
    order_id = str(integer(row, "orderId"))
    return Fill(
        account_id=account_id,
        trade_id=_trade_id(row, market, order_id, is_maker=is_maker is True),
        venue_order_id=venue_order_id(order_id, market),
        client_order_id=None,
        instrument_id=market.instrument_id,
        side=_fill_side(row, market),
        quantity=number(row, "qty"),
        price=number(row, "price"),
        fee=number(row, "commission"),
        fee_currency=required(row, "commissionAsset"),
        liquidity=_LIQUIDITY.get(is_maker, LiquiditySide.UNKNOWN) if isinstance(is_maker, bool) else _UNKNOWN,
        time=moment(row, "time"),
    )


_LIQUIDITY = {True: LiquiditySide.MAKER, False: LiquiditySide.TAKER}
_UNKNOWN = LiquiditySide.UNKNOWN


def _trade_id(row: Row, market: Market, order_id: str, *, is_maker: bool) -> TradeId:
    """When two orders of one account trade with each other, both rows carry one id: the maker's names its order too."""
    trade = f"{market.product.value}:{market.symbol}:{integer(row, 'id')}"
    return TradeId(f"{trade}:{order_id}" if is_maker else trade)


def _fill_side(row: Row, market: Market) -> OrderSide:
    if not market.is_spot:
        side: OrderSide = member(row, "side", SIDES)
        return side
    if not isinstance(row.get("isBuyer"), bool):
        raise AnswerUnreadable(f"isBuyer must be true or false, was {row.get('isBuyer')!r}")
    return OrderSide.BUY if row["isBuyer"] else OrderSide.SELL


# -- wallet changes ---------------------------------------------------------------------------------------------
def income_id(row: Row) -> str:
    """`tranId` is unique within its type for one account."""
    return f"{required(row, 'incomeType')}:{required(row, 'tranId')}:{required(row, 'asset')}"


def both_sides(event: CashEvent) -> tuple[CashEvent, ...]:
    """A transfer between spot and futures, which moves nothing in an account of both, beside its other side.

    One that went to yet another wallet is told in the same word: its money is then missing in the balances.
    """
    if event.venue_kind != _BETWEEN_WALLETS:
        return (event,)
    return (event, replace(event, event_id=f"{event.event_id}:spot", amount=-event.amount))


def cash_event(row: Row, market: Market | None, *, account_id: AccountId) -> CashEvent:
    """One income row of futures as one event; the amounts of an asset sum to the change of its wallet."""
    symbol, trade = text(row, "symbol"), text(row, "tradeId")
    return CashEvent(
        account_id=account_id,
        event_id=income_id(row),
        kind=_CASH_KINDS.get(text(row, "incomeType"), CashEventKind.UNMAPPED),
        currency=required(row, "asset"),
        amount=number(row, "income"),
        time=moment(row, "time"),
        instrument_id=market.instrument_id if market else None,
        trade_id=TradeId(f"{ProductKind.LINEAR.value}:{symbol}:{trade}") if symbol and trade else None,
        venue_kind=text(row, "incomeType"),
    )
