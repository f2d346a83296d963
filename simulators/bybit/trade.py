"""/v5/order and /v5/execution: create, amend, cancel, cancel-all, realtime, history, executions."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

from simulators.bybit.errors import BybitError, bad_request
from simulators.bybit.paging import page
from simulators.bybit.params import DAY_MS, POSITION_SIDES, WINDOW_MS, Context, Params
from simulators.bybit.render import EXECUTIONS, SIDES, TIMES, TYPES, Row, execution_row, order_row
from simulators.core.accounts import newest_first
from simulators.core.money import BASIS_POINT
from simulators.core.types import (
    Execution,
    MarketKind,
    Order,
    OrderRequest,
    OrderSide,
    OrderStatus,
    OrderType,
    PositionSide,
    Reason,
    Refusal,
    TimeInForce,
    TriggerDirection,
)

V = TypeVar("V")
RECENT_CLOSED_MAX = 500
UNSUPPORTED = ("takeProfit", "stopLoss", "bboSideType", "isLeverage", "orderIv", "mmp")
_SIDES = {name: side for side, name in SIDES.items()}
_TYPES = {name: kind for kind, name in TYPES.items()}
_TIMES = {name: tif for tif, name in TIMES.items()}
_DIRECTIONS = {1: TriggerDirection.RISE, 2: TriggerDirection.FALL}
_ZERO_FILL_ENDS = frozenset({OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.DEACTIVATED})

_FILTERS = ("Order", "tpslOrder", "StopOrder")


def create(context: Context) -> Row:
    """POST /v5/order/create: an acknowledgement only."""
    request = _request(context)
    order = context.venue.place(context.me, request, fill_ratio=context.handling.fill_ratio)
    return {"orderId": order.order_id, "orderLinkId": order.client_id}


def _refuse_unsupported(params: Params) -> None:
    """Refuse what is not simulated rather than ignore it."""
    for name in UNSUPPORTED:
        if params.values.get(name) not in (None, "", "0", 0, False):
            raise bad_request(f"params error: {name} is not supported by this simulator")


def _request(context: Context) -> OrderRequest:
    params = context.params
    _refuse_unsupported(params)
    kind = params.category()
    spot = kind is MarketKind.SPOT
    symbol = params.text("symbol", required=True)
    instrument = context.venue.instrument(kind, symbol)
    side = _word(params, "side", _SIDES, (170117, "Invalid side.") if spot else (10001, "Side invalid"))
    order_type = _word(
        params, "orderType", _TYPES, (170116, "Invalid orderType.") if spot else (10001, "OrderType invalid")
    )
    qty = params.decimal("qty", required=True)
    assert qty is not None
    by_value = spot and order_type is OrderType.MARKET and _in_quote(params, side)
    index = params.integer("positionIdx", 0)
    if index not in POSITION_SIDES:
        raise bad_request("position idx not match position mode")
    trigger = params.decimal("triggerPrice")
    request = OrderRequest(
        kind=kind,
        symbol=instrument.symbol,
        side=side,
        order_type=order_type,
        qty=Decimal(0) if by_value else qty,
        quote_qty=qty if by_value else None,
        price=params.decimal("price", required=True) if order_type is OrderType.LIMIT else None,
        time_in_force=_time_in_force(params, order_type, spot=spot),
        client_id=params.link_id(),
        reduce_only=params.flag("reduceOnly") and not spot,
        close_on_trigger=params.flag("closeOnTrigger") and not spot,
        position_side=PositionSide.BOTH if spot else POSITION_SIDES[index],
        trigger_price=trigger,
        trigger_direction=_direction(context, kind, symbol, trigger),
    )
    return _with_tolerance(params, request)


def _word(params: Params, name: str, table: dict[str, V], error: tuple[int, str]) -> V:
    value = table.get(params.text(name, required=True))
    if value is None:
        raise BybitError(*error)
    return value


def _in_quote(params: Params, side: OrderSide) -> bool:
    """Bybit's trap: a spot market buy counts in quote currency unless told otherwise."""
    default = "quoteCoin" if side is OrderSide.BUY else "baseCoin"
    return params.choice("marketUnit", ("baseCoin", "quoteCoin"), default=default) == "quoteCoin"


def _time_in_force(params: Params, order_type: OrderType, *, spot: bool) -> TimeInForce:
    if order_type is OrderType.MARKET:
        return TimeInForce.IOC
    found = _TIMES.get(params.text("timeInForce") or "GTC")
    if found is None:
        raise BybitError(170115, "Invalid timeInForce.") if spot else bad_request("TimeInForce invalid")
    return found


def _direction(context: Context, kind: MarketKind, symbol: str, trigger: Decimal | None) -> TriggerDirection | None:
    if trigger is None:
        return None
    if kind is MarketKind.LINEAR:
        return _DIRECTIONS.get(context.params.integer("triggerDirection", 0) or 0)
    if context.params.choice("orderFilter", _FILTERS, default="Order") == "Order":
        raise BybitError(170201, "Invalid orderFilter parameter")
    last = context.venue.board.last(context.venue.instrument(kind, symbol))
    return TriggerDirection.RISE if trigger > last else TriggerDirection.FALL


def _with_tolerance(params: Params, request: OrderRequest) -> OrderRequest:
    kind = params.text("slippageToleranceType")
    if not kind:
        return request
    value = params.decimal("slippageTolerance", required=True)
    assert value is not None
    if kind == "TickSize" and 1 <= value <= 10_000 and value == int(value):
        return replace(request, cap_ticks=int(value))
    if kind == "Percent" and Decimal("0.01") <= value <= 10:
        return replace(request, cap_ratio=value * 100 * BASIS_POINT)
    raise bad_request("params error: slippageTolerance invalid")


def amend(context: Context) -> Row:
    """POST /v5/order/amend."""
    params = context.params
    _refuse_unsupported(params)
    order = _find_open(context)
    after = context.venue.amend(
        context.me,
        order.order_id,
        qty=params.decimal("qty"),
        price=params.decimal("price"),
        trigger_price=params.decimal("triggerPrice"),
    )
    return {"orderId": after.order_id, "orderLinkId": after.client_id}


def cancel(context: Context) -> Row:
    """POST /v5/order/cancel: an acknowledgement only. On spot what waits for its price is found by its kind alone."""
    order = _find_open(context)
    wanted = context.params.choice("orderFilter", _FILTERS, default="Order")
    if order.request.kind is MarketKind.SPOT and (wanted == "Order") is (order.status is OrderStatus.UNTRIGGERED):
        raise Refusal(Reason.ORDER_NOT_FOUND)
    context.venue.cancel(context.me, order.order_id)
    return {"orderId": order.order_id, "orderLinkId": order.client_id}


def _find_open(context: Context) -> Order:
    params = context.params
    kind = params.category()
    symbol = params.text("symbol", required=True)
    context.venue.instrument(kind, symbol)
    order_id, link_id = params.text("orderId"), params.text("orderLinkId")
    if not order_id and not link_id:
        raise bad_request("params error: orderId or orderLinkId is required")
    if order_id:
        found = context.me.order(order_id)
        orders = [found] if found else []
    else:
        orders = context.me.orders_by_client(kind, link_id)
    orders = [o for o in orders if o.request.kind is kind and o.request.symbol == symbol]
    alive = [order for order in orders if order.is_open]
    if alive:
        return alive[0]
    raise Refusal(Reason.ORDER_NOT_FOUND, order=orders[0] if orders else None)


def cancel_all(context: Context) -> Row:
    """POST /v5/order/cancel-all."""
    params = context.params
    kind = params.category()
    symbol, coin = params.text("symbol"), params.text("settleCoin")
    base = params.text("baseCoin")
    if kind is MarketKind.LINEAR and not (symbol or coin or base):
        raise bad_request("params error: symbol, settleCoin or baseCoin is required")
    rows = []
    for order in context.me.open_orders():
        if order.request.kind is kind and _matches(context, order, symbol=symbol, coin=coin, base=base):
            context.venue.cancel(context.me, order.order_id)
            rows.append({"orderId": order.order_id, "orderLinkId": order.client_id})
    return {"list": rows, "success": "1"}


def _matches(context: Context, order: Order, *, symbol: str, coin: str, base: str) -> bool:
    instrument = context.venue.instruments[(order.request.kind, order.request.symbol)]
    if symbol:
        return instrument.symbol == symbol
    if base:
        return instrument.base == base
    return not coin or instrument.settle == coin


def _visible(context: Context, orders: Iterable[Order]) -> Iterator[Order]:
    """Leave out what the engine has not applied yet and what a fault hides."""
    young = context.handling.hide_young_ms
    horizon = context.venue.now_ms() - young if young is not None else None
    for order in orders:
        hidden = horizon is not None and order.created_ms > horizon
        if order.status is not OrderStatus.PENDING and not hidden:
            yield order


def _named(context: Context, kind: MarketKind) -> list[Order] | None:
    """Return the orders asked for by id, or None when the request names none; orderId goes before orderLinkId."""
    params = context.params
    view = context.view_ms(context.venue.lags.orders_ms)
    order_id, link_id = params.text("orderId"), params.text("orderLinkId")
    if order_id:
        found = context.me.order(order_id, view)
        return list(_visible(context, [found] if found and found.request.kind is kind else []))
    if link_id:
        return list(_visible(context, context.me.orders_by_client(kind, link_id, view)))
    return None


def realtime(context: Context) -> Row:
    """GET /v5/order/realtime: open orders, and the 500 most recently made closed ones by id or openOnly=1."""
    params = context.params
    kind = params.category()
    symbol, coin, base = params.text("symbol"), params.text("settleCoin"), params.text("baseCoin")
    named = _named(context, kind)
    if symbol:
        context.venue.instrument(kind, symbol)
    if kind is MarketKind.LINEAR and not (symbol or coin or base):
        raise bad_request("params error: symbol, settleCoin or baseCoin is required")
    every = context.me.orders_newest_first(_orders_view(context), before=params.before())
    orders: Iterable[Order]
    if named is not None:
        orders = [o for o in _below(named, params.before()) if o.is_open or _is_recent(context, o)]
    elif params.integer("openOnly", 0):
        orders = (o for o in every if o.is_open or _is_recent(context, o))
    elif _orders_view(context) is None:
        orders = _live(context, params.before())
    else:
        orders = (o for o in every if o.is_open)
    conditional = {"StopOrder": True, "tpslOrder": True, "Order": False}.get(params.text("orderFilter"))
    chosen = (
        order
        for order in _visible(context, orders)
        if order.request.kind is kind
        and (named is not None or _matches(context, order, symbol=symbol, coin=coin, base=base))
        and (conditional is None or conditional == (order.request.trigger_price is not None))
    )
    return _orders_page(context, chosen, default=20)


def _live(context: Context, before: int | None) -> Iterator[Order]:
    for order_id in reversed(context.me.open_ids):
        order = context.me.orders[order_id].now
        if before is None or order.sequence < before:
            yield order


def _below(orders: list[Order], before: int | None) -> list[Order]:
    return [order for order in orders if before is None or order.sequence < before]


def _is_recent(context: Context, order: Order) -> bool:
    """Tell whether a closed order is among the 500 most recently placed closed ones of its category."""
    if context.me.orders_after(order) < RECENT_CLOSED_MAX:
        return True
    newer = 0
    for other in context.me.orders_newest_first():
        if other.sequence <= order.sequence or newer >= RECENT_CLOSED_MAX:
            break
        newer += other.request.kind is order.request.kind and not other.is_open
    return newer < RECENT_CLOSED_MAX


def _orders_page(context: Context, orders: Iterable[Order], *, default: int) -> Row:
    body = page(
        orders,
        anchor=lambda order: (order.order_id, order.sequence),
        render=order_row,
        limit=context.params.limit(default, 50),
    )
    return body | {"category": context.params.text("category")}


def history(context: Context) -> Row:
    """GET /v5/order/history: closed orders within their windows; unfilled cancelled ones live 24 hours."""
    params = context.params
    kind = params.category()
    symbol, coin, base = params.text("symbol"), params.text("settleCoin"), params.text("baseCoin")
    now = context.venue.now_ms()
    start, end = params.window(now)
    named = _named(context, kind)
    view, before = _orders_view(context), params.before()
    every = _below(named, before) if named is not None else context.me.orders_newest_first(view, before=before)
    if named is not None and params.integer("startTime") is None and params.integer("endTime") is None:
        start = now - 730 * DAY_MS
    chosen = (
        order
        for order in _visible(context, every)
        if order.request.kind is kind
        and not order.is_open
        and start <= order.created_ms <= end
        and (named is not None or _matches(context, order, symbol=symbol, coin=coin, base=base))
        and _retained(order, now)
    )
    return _orders_page(context, chosen, default=20)


def _orders_view(context: Context) -> int | None:
    return context.view_ms(context.venue.lags.orders_ms)


def _retained(order: Order, now: int) -> bool:
    if order.filled_qty > 0:
        return True
    kept_ms = DAY_MS if order.status in _ZERO_FILL_ENDS else WINDOW_MS
    return now - order.updated_ms <= kept_ms


def executions(context: Context) -> Row:
    """GET /v5/execution/list: newest first, funding and liquidation rows mixed in."""
    params = context.params
    kind = params.category()
    symbol, base = params.text("symbol"), params.text("baseCoin")
    order_id, link_id, exec_type = params.text("orderId"), params.text("orderLinkId"), params.text("execType")
    start, end = params.window(context.venue.now_ms())
    view = context.view_ms(context.venue.lags.executions_ms)
    until = end if view is None else min(end, view)

    def wanted(execution: Execution) -> bool:
        instrument = context.venue.instruments[(execution.market, execution.symbol)]
        if execution.market is not kind or not start <= execution.time_ms <= until:
            return False
        if order_id or link_id:
            mine = execution.order_id == order_id if order_id else execution.client_id == link_id
        else:
            mine = execution.symbol == symbol if symbol else not base or instrument.base == base
        return mine and (not exec_type or EXECUTIONS[execution.kind] == exec_type)

    body = page(
        filter(wanted, newest_first(context.me.executions, params.before())),
        anchor=lambda execution: (execution.execution_id, execution.sequence),
        render=execution_row,
        limit=params.limit(50, 100),
    )
    return body | {"category": kind.value}
