"""/api/v3: orders and trades of Spot."""

from decimal import Decimal

from simulators.binance.errors import BinanceError, not_required, not_simulated
from simulators.binance.filters import Row
from simulators.binance.finding import alive, all_orders, fills_of, one_order, open_order, open_orders, trades
from simulators.binance.formats import fixed
from simulators.binance.params import Context, Params
from simulators.binance.placing import place
from simulators.binance.words import (
    SIDE_WORDS,
    SIDES,
    SPOT_TIMES,
    expiry_reason,
    is_conditional,
    limit_price,
    shown_id,
    spot_type,
    status_of,
    time_in_force,
    trigger_direction,
)
from simulators.core.money import ZERO
from simulators.core.types import (
    Execution,
    MarketKind,
    Order,
    OrderRequest,
    OrderSide,
    OrderStatus,
    OrderType,
    TimeInForce,
)

Rows = list[object]
STP_MODE = "EXPIRE_MAKER"
ORDER_FIELDS = (
    *("symbol", "side", "type", "timeInForce", "quantity", "quoteOrderQty", "price", "newClientOrderId", "stopPrice"),
    *("newOrderRespType", "selfTradePreventionMode", "icebergQty", "trailingDelta", "strategyId", "strategyType"),
    *("pegPriceType", "pegOffsetType", "pegOffsetValue", "computeCommissionRates"),
)
_UNSUPPORTED = ("icebergQty", "trailingDelta", "strategyId", "strategyType", "pegPriceType", "pegOffsetType")
_LIMIT, _MARKET = OrderType.LIMIT, OrderType.MARKET
_TYPES: dict[str, tuple[OrderType, bool | None]] = {
    "LIMIT": (_LIMIT, None),
    "LIMIT_MAKER": (_LIMIT, None),
    "MARKET": (_MARKET, None),
    "STOP_LOSS": (_MARKET, True),
    "STOP_LOSS_LIMIT": (_LIMIT, True),
    "TAKE_PROFIT": (_MARKET, False),
    "TAKE_PROFIT_LIMIT": (_LIMIT, False),
}
_RESPONSES = {"ACK": 0, "RESULT": 1, "FULL": 2}
_RESTRICTIONS = {"ONLY_NEW": OrderStatus.OPEN, "ONLY_PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED}


# placing
def new_order(context: Context) -> Row:
    """POST /api/v3/order."""
    request = _request(context)
    level = _response_level(context.params)
    order = place(context, request, context.listed())
    assert order is not None, "a refusal raises"
    return _placed(context, order, level)


def test_order(context: Context) -> Row:
    """POST /api/v3/order/test: every check but the engine's."""
    request = _request(context)
    _response_level(context.params)
    place(context, request, context.listed(), dry=True)
    return {}


def _request(context: Context) -> OrderRequest:
    params = context.params
    instrument = context.listed()
    side = params.word("side", SIDE_WORDS, BinanceError(-1117), required=True)
    name = params.text("type", required=True)
    if name not in _TYPES:
        raise BinanceError(-1116)
    assert side is not None
    _refuse_unsupported(params)
    order_type, stop = _TYPES[name]
    qty, quote_qty = _amounts(params, by_value=name == "MARKET")
    trigger = _demanded(params, "stopPrice", wanted=stop is not None)
    return OrderRequest(
        kind=MarketKind.SPOT,
        symbol=instrument.symbol,
        side=side,
        order_type=order_type,
        qty=qty,
        quote_qty=quote_qty,
        price=_demanded(params, "price", wanted=order_type is _LIMIT),
        time_in_force=_time(params, name),
        client_id=params.client_id("newClientOrderId", MarketKind.SPOT),
        trigger_price=trigger,
        trigger_direction=None if stop is None else trigger_direction(side, stop=stop),
    )


def _refuse_unsupported(params: Params) -> None:
    """Refuse what is not simulated rather than ignore it."""
    for name in _UNSUPPORTED:
        if params.text(name):
            raise not_simulated(name)
    if params.text("selfTradePreventionMode") not in ("", STP_MODE):
        raise not_simulated("a selfTradePreventionMode other than the symbol's default")


def _amounts(params: Params, *, by_value: bool) -> tuple[Decimal, Decimal | None]:
    quote_qty = params.decimal("quoteOrderQty")
    if quote_qty is not None:
        if not by_value or params.given("quantity"):
            raise not_required("quoteOrderQty")
        return ZERO, quote_qty
    qty = params.decimal("quantity", required=True)
    assert qty is not None
    return qty, None


def _demanded(params: Params, name: str, *, wanted: bool) -> Decimal | None:
    """Return a number that a type of order needs and the others must not have."""
    if not wanted and params.given(name):
        raise not_required(name)
    return params.decimal(name, required=wanted)


def _time(params: Params, name: str) -> TimeInForce:
    if name in ("MARKET", "STOP_LOSS", "TAKE_PROFIT", "LIMIT_MAKER"):
        if params.given("timeInForce"):
            raise not_required("timeInForce")
        return TimeInForce.POST_ONLY if name == "LIMIT_MAKER" else TimeInForce.IOC
    found = params.word("timeInForce", SPOT_TIMES, BinanceError(-1115), required=True)
    assert found is not None
    return found


def _response_level(params: Params) -> int:
    """Return how much is answered; MARKET and LIMIT say everything unless asked for less."""
    error = BinanceError(-1130, "Data sent for parameter 'newOrderRespType' is not valid.")
    asked = params.word("newOrderRespType", _RESPONSES, error)
    return asked if asked is not None else 2 if params.text("type") in ("MARKET", "LIMIT") else 0


def _placed(context: Context, order: Order, level: int) -> Row:
    row = _identity(order) | {"clientOrderId": shown_id(order), "transactTime": order.updated_ms}
    if level == 0:
        return row
    row |= _amounts_row(order)
    row |= {"workingTime": _working_ms(order), "selfTradePreventionMode": STP_MODE} | _conditional_fields(order)
    if level == 2:
        row["fills"] = [_fill_row(execution) for execution in fills_of(context, order)]
    return row


# rows
def _identity(order: Order) -> Row:
    return {"symbol": order.request.symbol, "orderId": int(order.order_id), "orderListId": -1}


def _amounts_row(order: Order) -> Row:
    request = order.request
    by_value = request.quote_qty is not None
    return {
        "price": fixed(limit_price(order)),
        "origQty": fixed(order.filled_qty if by_value else order.qty),
        "executedQty": fixed(order.filled_qty),
        "origQuoteOrderQty": fixed(request.quote_qty if request.quote_qty is not None else ZERO),
        "cummulativeQuoteQty": fixed(order.filled_value),
        "status": status_of(order),
        "timeInForce": time_in_force(request),
        "type": spot_type(request),
        "side": SIDES[request.side],
    }


def _working_ms(order: Order) -> int:
    """Return since when an order is in the book; a stop that waits is not."""
    waits = is_conditional(order.request) and not order.triggered
    return -1 if waits else order.updated_ms if order.triggered else order.created_ms


def _conditional_fields(order: Order) -> Row:
    """Return the fields that only some orders have."""
    row: Row = {}
    if order.request.trigger_price is not None:
        row["stopPrice"] = fixed(order.request.trigger_price)
    reason = expiry_reason(order)
    return row if reason is None else row | {"expiryReason": reason}


def _fill_row(execution: Execution) -> Row:
    return {
        "price": fixed(execution.price),
        "qty": fixed(execution.qty),
        "commission": fixed(execution.fee),
        "commissionAsset": execution.fee_coin,
        "tradeId": int(execution.execution_id),
    }


def order_row(order: Order) -> Row:
    """Return one row of order, openOrders and allOrders."""
    return (
        _identity(order)
        | {"clientOrderId": shown_id(order)}
        | _amounts_row(order)
        | {
            "stopPrice": fixed(order.request.trigger_price or ZERO),
            "icebergQty": fixed(ZERO),
            "time": order.created_ms,
            "updateTime": order.updated_ms,
            "isWorking": not is_conditional(order.request) or order.triggered,
            "workingTime": _working_ms(order),
            "selfTradePreventionMode": STP_MODE,
        }
        | _conditional_fields(order)
    )


def trade_row(execution: Execution) -> Row:
    """Return one row of myTrades: no client id, no side."""
    return {
        "symbol": execution.symbol,
        "id": int(execution.execution_id),
        "orderId": int(execution.order_id),
        "orderListId": -1,
        "price": fixed(execution.price),
        "qty": fixed(execution.qty),
        "quoteQty": fixed(execution.value),
        "commission": fixed(execution.fee),
        "commissionAsset": execution.fee_coin,
        "time": execution.time_ms,
        "isBuyer": execution.side is OrderSide.BUY,
        "isMaker": execution.is_maker,
        "isBestMatch": True,
    }


# cancelling
def cancel_order(context: Context) -> Row:
    """DELETE /api/v3/order: `clientOrderId` of the answer is the cancel's, not the order's."""
    params = context.params
    error = BinanceError(-1145)
    wanted = params.word("cancelRestrictions", _RESTRICTIONS, error)
    cancel_id = params.client_id("newClientOrderId", MarketKind.SPOT)
    order = open_order(context, context.listed())
    if wanted is not None and order.status is not wanted:
        raise BinanceError(-2011, "Order was not canceled due to cancel restrictions.")
    return _cancelled(context, order, cancel_id)


def _cancelled(context: Context, order: Order, cancel_id: str = "") -> Row:
    venue = context.venue
    after = venue.cancel(context.me, order.order_id)
    made = cancel_id or venue.ids.client_id(MarketKind.SPOT, venue.now_ms(), venue.rng)
    return (
        _identity(after)
        | {"origClientOrderId": shown_id(after), "clientOrderId": made, "transactTime": after.updated_ms}
        | _amounts_row(after)
        | {"selfTradePreventionMode": STP_MODE}
        | _conditional_fields(after)
    )


def cancel_open_orders(context: Context) -> Rows:
    """DELETE /api/v3/openOrders: every open order of a symbol."""
    found = alive(context, context.listed())
    if not found:
        raise BinanceError(-2011)
    return [_cancelled(context, order) for order in found]


# reading
def get_order(context: Context) -> Row:
    """GET /api/v3/order."""
    return order_row(one_order(context, context.listed()))


def get_open_orders(context: Context) -> Rows:
    """GET /api/v3/openOrders."""
    return [order_row(order) for order in open_orders(context, context.instrument(required=False))]


def get_all_orders(context: Context) -> Rows:
    """GET /api/v3/allOrders."""
    return [order_row(order) for order in all_orders(context, context.listed())]


def my_trades(context: Context) -> Rows:
    """GET /api/v3/myTrades."""
    return [trade_row(execution) for execution in trades(context, context.listed())]
