"""Order terms to Bybit's wording, frozen before anything is sent. Pure.

Source: Bybit V5 documentation, page "Place Order". Quantities are always in base currency (`marketUnit=baseCoin` on
spot, where Bybit's default for a market buy is quote currency).
"""

from __future__ import annotations

from typing import Any

from brokers.bybit.instruments import CATEGORY
from brokers.bybit.profile import CLIENT_ID_ALPHABET, CLIENT_ID_LENGTH_MAX
from brokers.errors import InvalidOrder, Unsupported
from brokers.ids import ClientOrderId
from brokers.rounding import decimal_text
from brokers.strictjson import encode
from brokers.terms import (
    LIMITS,
    STOPS,
    frozen,
    require_client_id,
    require_notional,
    require_quantity,
    require_sides_of_product,
    require_ticks,
)
from brokers.types import (
    Instrument,
    OrderRequest,
    OrderSide,
    PositionSide,
    PreparedOrder,
    ProductKind,
    TimeInForce,
)

_SIDE = {OrderSide.BUY: "Buy", OrderSide.SELL: "Sell"}
_TIMES_IN_FORCE = (TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK)
_POSITION_INDEX = {None: 0, PositionSide.LONG: 1, PositionSide.SHORT: 2}
_TRIGGER_RISES, _TRIGGER_FALLS = 1, 2


def prepare(request: OrderRequest, instrument: Instrument, client_order_id: ClientOrderId) -> PreparedOrder:
    """Check the terms against the instrument and freeze them; InvalidOrder names field, value and remedy."""
    require_client_id(client_order_id, alphabet=CLIENT_ID_ALPHABET, length_max=CLIENT_ID_LENGTH_MAX)
    require_quantity(request, instrument, reductions_may_be_less=True)
    require_ticks(request, instrument)
    require_notional(request, instrument)
    require_sides_of_product(request, instrument)
    payload = encode(_fields(request, instrument, client_order_id))
    return frozen(request, client_order_id, payload)


def _fields(request: OrderRequest, instrument: Instrument, client_order_id: ClientOrderId) -> dict[str, Any]:
    is_limit, is_stop = request.order_type in LIMITS, request.order_type in STOPS
    fields: dict[str, Any] = {
        "category": CATEGORY[instrument.product],
        "symbol": instrument.venue_symbol,
        "side": _SIDE[request.side],
        "orderType": "Limit" if is_limit else "Market",
        "qty": decimal_text(request.quantity),
        "timeInForce": _time_in_force(request),
        "orderLinkId": client_order_id.value,
    }
    if request.limit_price is not None:
        fields["price"] = decimal_text(request.limit_price)
    if request.trigger_price is not None:
        fields["triggerPrice"] = decimal_text(request.trigger_price)
    if instrument.product is ProductKind.SPOT:
        fields["isLeverage"] = 0
        if not is_limit:
            fields["marketUnit"] = "baseCoin"
        if is_stop:
            fields["orderFilter"] = "StopOrder"
        return fields
    fields["positionIdx"] = _POSITION_INDEX[request.position_side]
    fields["reduceOnly"] = request.reduce_only
    if is_stop:
        # A stop buys into a rise and sells into a fall; the direction follows from the side, not from a price read.
        fields["triggerDirection"] = _TRIGGER_RISES if request.side is OrderSide.BUY else _TRIGGER_FALLS
        fields["triggerBy"] = "LastPrice"
    return fields


def _time_in_force(request: OrderRequest) -> str:
    if request.time_in_force not in _TIMES_IN_FORCE:
        raise Unsupported(f"time_in_force {request.time_in_force} is not offered by Bybit; use gtc, ioc or fok")
    if request.post_only:
        if request.time_in_force is not TimeInForce.GTC:
            raise InvalidOrder(f"post_only needs time_in_force gtc, was {request.time_in_force}")
        return "PostOnly"
    if request.order_type in LIMITS:
        return request.time_in_force.value.upper()
    if request.time_in_force is TimeInForce.FOK:
        raise Unsupported("Bybit executes market orders as ioc; fok needs order_type limit")
    return "IOC"
