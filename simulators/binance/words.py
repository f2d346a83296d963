"""Binance's words for the core's closed sets, and what a stored order says of its type, its time in force, its end."""

from decimal import Decimal

from simulators.core.types import (
    MarketKind,
    Order,
    OrderRequest,
    OrderSide,
    OrderStatus,
    OrderType,
    Origin,
    PositionSide,
    Reason,
    TimeInForce,
    TriggerDirection,
)

SIDES = {OrderSide.BUY: "BUY", OrderSide.SELL: "SELL"}
SIDE_WORDS = {name: side for side, name in SIDES.items()}
POSITION_SIDES = {PositionSide.BOTH: "BOTH", PositionSide.LONG: "LONG", PositionSide.SHORT: "SHORT"}
POSITION_SIDE_WORDS = {name: side for side, name in POSITION_SIDES.items()}
SPOT_TIMES = {"GTC": TimeInForce.GTC, "IOC": TimeInForce.IOC, "FOK": TimeInForce.FOK}
FUTURES_TIMES = {**SPOT_TIMES, "GTX": TimeInForce.POST_ONLY}
_TIME_NAMES = {time: name for name, time in FUTURES_TIMES.items()}

_OPEN = {
    OrderStatus.PENDING: "NEW",
    OrderStatus.UNTRIGGERED: "NEW",
    OrderStatus.OPEN: "NEW",
    OrderStatus.PARTIALLY_FILLED: "PARTIALLY_FILLED",
    OrderStatus.FILLED: "FILLED",
    OrderStatus.REJECTED: "REJECTED",
}
_BY_SOMEBODY = frozenset({Reason.CANCELLED_BY_USER, Reason.CANCELLED_BY_ADMIN, Reason.CANCELLED_BY_GROUP})
_ORIGINS = {Origin.HUMAN: "web_", Origin.VENUE: "autoclose-"}
_EXPIRY = {
    Reason.NOT_FULLY_FILLABLE: "UNFILLED_FOK_ORDER_EXPIRED",
    Reason.CANCELLED_BY_LIQUIDATION: "EXCHANGE_CANCELED",
    Reason.INSUFFICIENT_BALANCE: "REJECTED",
}


def status_of(order: Order) -> str:
    """Return status: what its owner or the staff ended is CANCELED, what the venue ended is EXPIRED."""
    known = _OPEN.get(order.status)
    if known is not None:
        return known
    return "CANCELED" if order.reason in _BY_SOMEBODY else "EXPIRED"


def expiry_reason(order: Order) -> str | None:
    """Return spot's expiryReason, which only expired orders have."""
    if status_of(order) != "EXPIRED":
        return None
    if order.reason is Reason.NO_LIQUIDITY:
        market = order.request.order_type is OrderType.MARKET
        return "INSUFFICIENT_LIQUIDITY" if market else "UNFILLED_IOC_QUANTITY_EXPIRED"
    return _EXPIRY.get(order.reason, "EXCHANGE_CANCELED")


def shown_id(order: Order) -> str:
    """Return clientOrderId: what the account's human or the venue itself placed bears an id of that origin."""
    prefix = _ORIGINS.get(order.request.origin, "")
    return order.client_id or f"{prefix}{order.order_id}"


def is_conditional(request: OrderRequest) -> bool:
    """Tell whether an order waits for a trigger, or waited."""
    return request.trigger_price is not None


def is_stop(request: OrderRequest) -> bool:
    """Tell a stop from a take-profit: a stop is hit by a price that moves against its owner."""
    return (request.trigger_direction is TriggerDirection.RISE) == (request.side is OrderSide.BUY)


def trigger_direction(side: OrderSide, *, stop: bool) -> TriggerDirection:
    """Return which way the price must go."""
    return TriggerDirection.RISE if (side is OrderSide.BUY) == stop else TriggerDirection.FALL


def spot_type(request: OrderRequest) -> str:
    """Return a spot order's type."""
    market = request.order_type is OrderType.MARKET
    if is_conditional(request):
        family = "STOP_LOSS" if is_stop(request) else "TAKE_PROFIT"
        return family if market else f"{family}_LIMIT"
    if request.time_in_force is TimeInForce.POST_ONLY:
        return "LIMIT_MAKER"
    return "MARKET" if market else "LIMIT"


def algo_type(request: OrderRequest) -> str:
    """Return a conditional futures order's orderType."""
    family = "STOP" if is_stop(request) else "TAKE_PROFIT"
    return f"{family}_MARKET" if request.order_type is OrderType.MARKET else family


def futures_type(request: OrderRequest) -> str:
    """Return a futures order's type in the book."""
    return "MARKET" if request.order_type is OrderType.MARKET else "LIMIT"


def time_in_force(request: OrderRequest) -> str:
    """Return timeInForce: market orders print GTC, LIMIT_MAKER too."""
    spot_maker = request.kind is MarketKind.SPOT and request.time_in_force is TimeInForce.POST_ONLY
    if request.order_type is OrderType.MARKET or spot_maker:
        return "GTC"
    return _TIME_NAMES[request.time_in_force]


def limit_price(order: Order) -> Decimal:
    """Return an order's own price; a market order has none."""
    return order.request.price or Decimal(0)
