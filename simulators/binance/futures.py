"""/fapi/v1: orders and trades of USDⓈ-M Futures."""

from bisect import bisect_right
from dataclasses import replace
from decimal import Decimal

from simulators.binance.errors import BinanceError, not_required, not_simulated, translate
from simulators.binance.filters import Row
from simulators.binance.finding import alive, all_orders, one_order, open_order, open_orders, taken_ms, trades
from simulators.binance.formats import AVERAGE_PLACES, fixed, places, price, qty
from simulators.binance.params import Context, Params
from simulators.binance.placing import check, place
from simulators.binance.words import (
    FUTURES_TIMES,
    POSITION_SIDE_WORDS,
    POSITION_SIDES,
    SIDE_WORDS,
    SIDES,
    algo_type,
    futures_type,
    is_conditional,
    limit_price,
    shown_id,
    status_of,
    time_in_force,
)
from simulators.core.money import ZERO, plain
from simulators.core.types import (
    Execution,
    Instrument,
    MarketKind,
    Order,
    OrderRequest,
    OrderSide,
    OrderStatus,
    OrderType,
    Position,
    PositionMode,
    PositionSide,
    Reason,
    Refusal,
    TimeInForce,
)

Rows = list[object]
ORDER_FIELDS = (
    *("symbol", "side", "positionSide", "type", "timeInForce", "quantity", "reduceOnly", "price", "newClientOrderId"),
    *("newOrderRespType", "selfTradePreventionMode", "priceMatch", "goodTillDate", "closePosition", "stopPrice"),
    *("workingType", "priceProtect", "activationPrice", "callbackRate"),
)
MODIFY_FIELDS = ("symbol", "orderId", "origClientOrderId", "side", "quantity", "price", "priceMatch")
CONDITIONAL_TYPES = frozenset({"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"})
ALL_CANCELLED: Row = {"code": 200, "msg": "The operation of cancel all open order is done."}
_TYPES = {"LIMIT": OrderType.LIMIT, "MARKET": OrderType.MARKET}


# placing
def new_order(context: Context) -> Row:
    """POST /fapi/v1/order: the acknowledgement says NEW whatever happened; RESULT is final for orders of a moment."""
    final = response_type(context.params)
    order = place(context, _request(context), context.listed())
    assert order is not None, "a refusal raises"
    moment = order.request.time_in_force in (TimeInForce.IOC, TimeInForce.FOK)
    shown = order if final and moment else acknowledged(order)
    return order_row(shown, context.listed(), fresh=True)


def test_order(context: Context) -> Row:
    """POST /fapi/v1/order/test: every check but the engine's."""
    response_type(context.params)
    place(context, _request(context), context.listed(), dry=True)
    return {}


def response_type(params: Params) -> bool:
    """Tell whether the final state is asked for."""
    error = BinanceError(-1136)
    return bool(params.word("newOrderRespType", {"ACK": False, "RESULT": True}, error))


def acknowledged(order: Order) -> Order:
    """Return an order as it was before the engine looked at it."""
    return replace(order, status=OrderStatus.OPEN, filled_qty=ZERO, filled_value=ZERO, reason=Reason.NONE)


def _request(context: Context) -> OrderRequest:
    params = context.params
    instrument = context.listed()
    side = params.word("side", SIDE_WORDS, BinanceError(-1117), required=True)
    assert side is not None
    name = params.text("type", required=True)
    if name in CONDITIONAL_TYPES:
        raise BinanceError(-4120)
    if name not in _TYPES:
        raise BinanceError(-1116)
    refuse_unsupported(params)
    order_type = _TYPES[name]
    for unwanted in ("stopPrice", "closePosition", "activationPrice", "callbackRate"):
        if params.text(unwanted) not in ("", "false"):
            raise not_required(unwanted.lower())
    quantity = params.decimal("quantity", required=True)
    assert quantity is not None
    position_side, reduces = direction(context, instrument, side, quantity)
    return OrderRequest(
        kind=MarketKind.LINEAR,
        symbol=instrument.symbol,
        side=side,
        order_type=order_type,
        qty=quantity,
        price=limit_price_of(params, order_type),
        time_in_force=_time(params, order_type),
        client_id=params.client_id("newClientOrderId", MarketKind.LINEAR),
        reduce_only=reduces,
        position_side=position_side,
    )


def refuse_unsupported(params: Params) -> None:
    """Refuse what is not simulated rather than ignore it."""
    if params.text("priceMatch") not in ("", "NONE"):
        raise not_simulated("priceMatch")
    if params.text("selfTradePreventionMode") not in ("", "NONE"):
        raise not_simulated("selfTradePreventionMode")
    if params.text("timeInForce") in ("GTD", "RPI") or params.text("goodTillDate"):
        raise not_simulated("timeInForce GTD and RPI")


def limit_price_of(params: Params, order_type: OrderType) -> Decimal | None:
    """Return the price that a limit order needs and a market order must not have."""
    if order_type is OrderType.MARKET and params.given("price"):
        raise not_required("price")
    return params.decimal("price", required=order_type is OrderType.LIMIT)


def _time(params: Params, order_type: OrderType) -> TimeInForce:
    if order_type is OrderType.MARKET:
        if params.given("timeInForce"):
            raise not_required("timeInForce")
        return TimeInForce.IOC
    found = params.word("timeInForce", FUTURES_TIMES, BinanceError(-1115), required=True)
    assert found is not None
    return found


def direction(
    context: Context, instrument: Instrument, side: OrderSide, quantity: Decimal | None
) -> tuple[PositionSide, bool]:
    """Return the position an order belongs to and whether it only reduces it.

    In hedge mode the two sides say it themselves, so that reduceOnly must not be sent. An order that would turn a
    position around is refused (venues/binance.md §3.13), open orders that reduce it already counted in (-2022's text).
    """
    params, account = context.params, context.me
    hedged = account.mode(instrument) is PositionMode.HEDGE
    named = params.word("positionSide", POSITION_SIDE_WORDS, BinanceError(-4060))
    position_side = named or PositionSide.BOTH
    if (position_side is not PositionSide.BOTH) != hedged:
        raise BinanceError(-4061)
    asked = params.flag("reduceOnly")
    if hedged and asked is not None:
        raise not_required("reduceonly")
    closes = (position_side is PositionSide.LONG) == (side is OrderSide.SELL)
    reduces = closes if hedged else bool(asked)
    if reduces and quantity is not None:
        position = account.position(instrument.symbol, position_side)
        reducing = sum((order.remaining_qty for order in alive(context, instrument) if _reduces(order, position)), ZERO)
        if position.side is not side.opposite or quantity + reducing > position.qty:
            raise translate(Refusal(Reason.REDUCE_ONLY_ZERO), MarketKind.LINEAR)
    return position_side, reduces


def _reduces(order: Order, position: Position) -> bool:
    """Tell whether an open order only reduces a position."""
    request = order.request
    return request.reduce_only and request.position_side is position.position_side


# rows
def order_row(order: Order, instrument: Instrument, *, fresh: bool = False) -> Row:
    """Return one order; `fresh` as placing and cancelling answer it, otherwise as queries do."""
    request = order.request
    average = order.average_price
    nothing = fixed(ZERO, 2 if fresh else AVERAGE_PLACES)
    conditional = is_conditional(request)
    row: Row = {
        "orderId": int(order.order_id),
        "symbol": request.symbol,
        "status": status_of(order),
        "clientOrderId": shown_id(order),
        "price": price(limit_price(order), instrument) if limit_price(order) or fresh else "0",
        "avgPrice": nothing if average is None else fixed(average, AVERAGE_PLACES),
        "origQty": qty(order.qty, instrument),
        "executedQty": qty(order.filled_qty, instrument),
        "cumQuote": value(order.filled_value, instrument),
        "timeInForce": time_in_force(request),
        "type": futures_type(request),
        "reduceOnly": request.reduce_only,
        "closePosition": request.close_on_trigger,
        "side": SIDES[request.side],
        "positionSide": POSITION_SIDES[request.position_side],
        "stopPrice": price(request.trigger_price or ZERO, instrument) if fresh or conditional else "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": algo_type(request) if conditional else futures_type(request),
        "priceMatch": "NONE",
        "selfTradePreventionMode": "NONE",
        "goodTillDate": 0,
    }
    if fresh:
        return row | {"cumQty": qty(order.filled_qty, instrument), "updateTime": order.updated_ms}
    return row | {"time": taken_ms(order), "updateTime": order.updated_ms}


def value(amount: Decimal, instrument: Instrument) -> str:
    """Return price times quantity with as many decimals as it can have."""
    return fixed(amount, max(AVERAGE_PLACES, places(instrument.tick) + places(instrument.step)))


def trade_row(context: Context, execution: Execution, instrument: Instrument) -> Row:
    """Return one row of userTrades; a positive commission was paid."""
    account = context.me
    index = bisect_right(account.entries, execution.sequence, key=lambda entry: entry.sequence)
    entry = account.entries[index]  # the wallet's row of a fill is the next event after it
    order = account.order(execution.order_id)
    side = order.request.position_side if order is not None else PositionSide.BOTH
    return {
        "symbol": execution.symbol,
        "id": int(execution.execution_id),
        "orderId": int(execution.order_id),
        "side": SIDES[execution.side],
        "price": price(execution.price, instrument),
        "qty": qty(execution.qty, instrument),
        "realizedPnl": fixed(entry.cash_flow) if entry.cash_flow else "0",
        "quoteQty": value(execution.value, instrument),
        "commission": fixed(execution.fee),
        "commissionAsset": execution.fee_coin,
        "time": execution.time_ms,
        "positionSide": POSITION_SIDES[side],
        "maker": execution.is_maker,
        "buyer": execution.side is OrderSide.BUY,
    }


# changing
def modify_order(context: Context) -> Row:
    """PUT /fapi/v1/order: a limit order's quantity and price, both mandatory."""
    params = context.params
    instrument = context.listed()
    refuse_unsupported(params)
    side = params.word("side", SIDE_WORDS, BinanceError(-1117), required=True)
    quantity, new_price = params.decimal("quantity", required=True), params.decimal("price", required=True)
    order = open_order(context, instrument)
    if order.request.order_type is not OrderType.LIMIT:
        raise BinanceError(-5025)
    if order.request.side is not side:
        raise BinanceError(-1117)
    wanted = replace(order.request, qty=quantity or ZERO, price=new_price)
    try:
        check(context, wanted, instrument)
        after = context.venue.amend(context.me, order.order_id, qty=quantity, price=new_price)
    except Refusal as refusal:
        if refusal.reason is Reason.NOTIONAL_BELOW_MIN:
            text = f"Order's notional must be no smaller than {plain(instrument.notional_min)}"
            raise BinanceError(-5029, text) from None
        raise translate(refusal, MarketKind.LINEAR) from None
    return order_row(after, instrument, fresh=True)


def cancel_order(context: Context) -> Row:
    """DELETE /fapi/v1/order: `clientOrderId` of the answer is the order's own."""
    instrument = context.listed()
    order = open_order(context, instrument)
    return order_row(context.venue.cancel(context.me, order.order_id), instrument, fresh=True)


def cancel_open_orders(context: Context) -> Row:
    """DELETE /fapi/v1/allOpenOrders: none is fine."""
    for order in alive(context, context.listed()):
        context.venue.cancel(context.me, order.order_id)
    return ALL_CANCELLED


# reading
def get_order(context: Context) -> Row:
    """GET /fapi/v1/order."""
    instrument = context.listed()
    return order_row(one_order(context, instrument), instrument)


def get_open_order(context: Context) -> Row:
    """GET /fapi/v1/openOrder: -2013 for one that is over, too."""
    instrument = context.listed()
    order = one_order(context, instrument)
    if not order.is_open:
        raise BinanceError(-2013)
    return order_row(order, instrument)


def _of(context: Context, order: Order) -> Instrument:
    return context.venue.instruments[(order.request.kind, order.request.symbol)]


def get_open_orders(context: Context) -> Rows:
    """GET /fapi/v1/openOrders: without the algo orders."""
    found = open_orders(context, context.instrument(required=False))
    return [order_row(order, _of(context, order)) for order in found]


def get_all_orders(context: Context) -> Rows:
    """GET /fapi/v1/allOrders."""
    instrument = context.listed()
    return [order_row(order, instrument) for order in all_orders(context, instrument)]


def user_trades(context: Context) -> Rows:
    """GET /fapi/v1/userTrades."""
    instrument = context.listed()
    return [trade_row(context, execution, instrument) for execution in trades(context, instrument)]
