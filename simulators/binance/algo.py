"""/fapi/v1/algoOrder and its lists: conditional orders, which left the ordinary order routes on 2025-12-09."""

from collections.abc import Iterator
from decimal import Decimal

from simulators.binance.errors import BinanceError, missing, not_required, not_simulated
from simulators.binance.filters import Row
from simulators.binance.finding import (
    FUTURES_ORDERS_MS,
    FUTURES_UNFILLED_MS,
    FUTURES_WINDOW_MS,
    first_or_last,
    visible,
    window,
)
from simulators.binance.formats import fixed, price, qty
from simulators.binance.futures import direction, limit_price_of, refuse_unsupported, response_type
from simulators.binance.params import Context, Params
from simulators.binance.placing import place
from simulators.binance.words import (
    FUTURES_TIMES,
    POSITION_SIDES,
    SIDE_WORDS,
    SIDES,
    algo_type,
    futures_type,
    is_conditional,
    limit_price,
    time_in_force,
    trigger_direction,
)
from simulators.core.money import ZERO
from simulators.core.types import (
    Instrument,
    MarketKind,
    Order,
    OrderRequest,
    OrderSide,
    OrderStatus,
    OrderType,
    PositionMode,
    PositionSide,
    TimeInForce,
)

Rows = list[object]
ALGO_FROM = 1_000_000_000_000  # algo ids and order ids are numbers of their own
ORDER_FIELDS = (
    *("algoType", "symbol", "side", "positionSide", "type", "timeInForce", "quantity", "price", "triggerPrice"),
    *("workingType", "priceMatch", "closePosition", "priceProtect", "reduceOnly", "activatePrice", "callbackRate"),
    *("clientAlgoId", "newOrderRespType", "selfTradePreventionMode", "goodTillDate"),
)
_TYPES = {
    "STOP": (OrderType.LIMIT, True),
    "STOP_MARKET": (OrderType.MARKET, True),
    "TAKE_PROFIT": (OrderType.LIMIT, False),
    "TAKE_PROFIT_MARKET": (OrderType.MARKET, False),
}
UNKNOWN = "Unknown order sent."


def new_order(context: Context) -> Row:
    """POST /fapi/v1/algoOrder."""
    response_type(context.params)
    order = place(context, _request(context), context.listed())
    assert order is not None, "a refusal raises"
    return order_row(context, order)


def _request(context: Context) -> OrderRequest:
    params, instrument = context.params, context.listed()
    if params.text("algoType", required=True) != "CONDITIONAL":
        raise BinanceError(-1130, "Data sent for parameter 'algoType' is not valid.")
    side = params.word("side", SIDE_WORDS, BinanceError(-1117), required=True)
    assert side is not None
    name = params.text("type", required=True)
    if name == "TRAILING_STOP_MARKET":
        raise not_simulated(name)
    if name not in _TYPES:
        raise BinanceError(-1116)
    refuse_unsupported(params)
    _refuse_other_triggers(params)
    order_type, stop = _TYPES[name]
    closes_all = bool(params.flag("closePosition"))
    quantity = _quantity(params, closes_all=closes_all)
    position_side, reduces = direction(context, instrument, side, None)
    if closes_all:
        _check_closing(context, instrument, side, position_side)
    return OrderRequest(
        kind=MarketKind.LINEAR,
        symbol=instrument.symbol,
        side=side,
        order_type=order_type,
        qty=quantity,
        price=limit_price_of(params, order_type),
        time_in_force=_time(params, order_type),
        client_id=params.client_id("clientAlgoId", MarketKind.LINEAR),
        reduce_only=reduces or closes_all,
        close_on_trigger=closes_all,
        position_side=position_side,
        trigger_price=params.decimal("triggerPrice", required=True),
        trigger_direction=trigger_direction(side, stop=stop),
    )


def _refuse_other_triggers(params: Params) -> None:
    if params.text("workingType") not in ("", "CONTRACT_PRICE", "MARK_PRICE"):
        raise BinanceError(-4031, f"Invalid parameter working type: {params.text('workingType')}")
    if params.flag("priceProtect"):
        raise not_simulated("priceProtect")
    for name in ("activatePrice", "callbackRate"):
        if params.text(name):
            raise not_required(name)


def _quantity(params: Params, *, closes_all: bool) -> Decimal:
    quantity = params.decimal("quantity")
    if closes_all:
        if quantity is not None:
            raise BinanceError(-4137, "Quantity must be zero with closePosition equals true")
        if params.given("reduceOnly"):
            raise not_required("reduceonly")
        return ZERO
    if quantity is None:
        raise missing("quantity")
    return quantity


def _check_closing(context: Context, instrument: Instrument, side: OrderSide, position_side: PositionSide) -> None:
    """Refuse to close all of what an order of that side could only enlarge."""
    hedged = context.me.mode(instrument) is PositionMode.HEDGE
    enlarges = (position_side is PositionSide.LONG) == (side is OrderSide.BUY)
    if hedged and enlarges:
        raise BinanceError(-4061)


def _time(params: Params, order_type: OrderType) -> TimeInForce:
    found = params.word("timeInForce", FUTURES_TIMES, BinanceError(-1115))
    return TimeInForce.IOC if order_type is OrderType.MARKET else found or TimeInForce.GTC


# rows
def _status(order: Order) -> str:
    if order.status in (OrderStatus.PENDING, OrderStatus.UNTRIGGERED):
        return "NEW"
    if order.status is OrderStatus.DEACTIVATED:
        return "CANCELED"
    if order.is_open:
        return "TRIGGERED"
    return "REJECTED" if not order.triggered or order.status is OrderStatus.REJECTED else "FINISHED"


def algo_id(order: Order) -> int:
    """Return the number of a conditional order, which is none of an order in the book."""
    return ALGO_FROM + int(order.order_id)


def order_row(context: Context, order: Order) -> Row:
    """Return one conditional order; `actualOrderId` is the order it became."""
    request = order.request
    instrument = context.venue.instruments[(request.kind, request.symbol)]
    average = order.average_price
    nothing = price(ZERO, instrument)
    return {
        "algoId": algo_id(order),
        "clientAlgoId": order.client_id,
        "algoType": "CONDITIONAL",
        "orderType": algo_type(request),
        "symbol": request.symbol,
        "side": SIDES[request.side],
        "positionSide": POSITION_SIDES[request.position_side],
        "timeInForce": time_in_force(request),
        "quantity": qty(order.qty, instrument),
        "algoStatus": _status(order),
        "actualOrderId": order.order_id if order.triggered else "",
        "actualPrice": fixed(average or ZERO, 5),
        "actualType": futures_type(request) if order.triggered else "",
        "actualQty": qty(order.filled_qty, instrument) if order.triggered else "",
        "triggerPrice": price(request.trigger_price or ZERO, instrument),
        "price": price(limit_price(order), instrument),
        "icebergQuantity": None,
        "tpTriggerPrice": nothing,
        "tpPrice": nothing,
        "slTriggerPrice": nothing,
        "slPrice": nothing,
        "tpOrderType": "",
        "selfTradePreventionMode": "NONE",
        "workingType": "CONTRACT_PRICE",
        "priceMatch": "NONE",
        "closePosition": request.close_on_trigger,
        "priceProtect": False,
        "reduceOnly": request.reduce_only,
        "createTime": order.created_ms,
        "updateTime": order.updated_ms,
        "triggerTime": order.triggered_ms,
        "goodTillDate": 0,
    }


# finding
def _conditionals(context: Context) -> Iterator[Order]:
    """Yield the account's conditional orders, newest first."""
    view = context.view_ms(context.venue.lags.orders_ms)
    for order in visible(context, context.me.orders_newest_first(view)):
        if is_conditional(order.request) and not _is_dropped(context, order):
            yield order


def _is_dropped(context: Context, order: Order) -> bool:
    """Tell whether a conditional order is shown no more: one that never triggered after three days, others later."""
    if order.is_open:
        return False
    kept_ms = FUTURES_ORDERS_MS if order.triggered else FUTURES_UNFILLED_MS
    return context.venue.now_ms() - order.created_ms > kept_ms


def _named(context: Context, error: BinanceError) -> list[Order]:
    params = context.params
    number, client_id = params.integer("algoId"), params.text("clientAlgoId")
    if number is None and not client_id:
        raise BinanceError(-1102, "Param 'algoId' or 'clientAlgoId' must be sent, but both were empty/null!")
    found = [
        order
        for order in _conditionals(context)
        if (number is None or algo_id(order) == number) and client_id in ("", order.client_id)
    ]
    if not found:
        raise error
    return found


def get_order(context: Context) -> Row:
    """GET /fapi/v1/algoOrder."""
    return order_row(context, _named(context, BinanceError(-2013))[0])


def cancel_order(context: Context) -> Row:
    """DELETE /fapi/v1/algoOrder: only what still waits."""
    for order in _named(context, BinanceError(-2011, UNKNOWN)):
        if order.status is OrderStatus.UNTRIGGERED:
            context.venue.cancel(context.me, order.order_id)
            return {"algoId": algo_id(order), "clientAlgoId": order.client_id, "code": "200", "msg": "success"}
    raise BinanceError(-2011, UNKNOWN)


def cancel_open_orders(context: Context) -> Row:
    """DELETE /fapi/v1/algoOpenOrders."""
    symbol = context.listed().symbol
    for order in context.me.open_orders():
        mine = order.request.kind is context.kind and order.request.symbol == symbol
        if mine and order.status is OrderStatus.UNTRIGGERED:
            context.venue.cancel(context.me, order.order_id)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def get_open_orders(context: Context) -> Rows:
    """GET /fapi/v1/openAlgoOrders."""
    wanted = context.instrument(required=False)
    found = [
        order
        for order in _conditionals(context)
        if order.status is OrderStatus.UNTRIGGERED and (wanted is None or order.request.symbol == wanted.symbol)
    ]
    return [order_row(context, order) for order in reversed(found)]


def get_all_orders(context: Context) -> Rows:
    """GET /fapi/v1/allAlgoOrders."""
    wanted, number = context.listed(), context.params.integer("algoId")
    span = window(context, FUTURES_WINDOW_MS)
    chosen = (
        order
        for order in _conditionals(context)
        if order.request.symbol == wanted.symbol
        and (span is None or span[0] <= order.created_ms <= span[1])
        and (number is None or algo_id(order) >= number)
    )
    latest = span is None and number is None
    found = first_or_last(chosen, limit=context.params.limit(500, 1000), oldest=not latest)
    return [order_row(context, order) for order in found]
