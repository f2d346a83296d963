"""Order terms to Bybit's wording, frozen before anything is sent. Pure.

Source: Bybit V5 documentation, page "Place Order". Quantities are always in base currency (`marketUnit=baseCoin` on
spot, where Bybit's default for a market buy is quote currency).
"""

from __future__ import annotations

import hashlib
import re
from decimal import Decimal
from typing import Any

from brokers.bybit.instruments import CATEGORY
from brokers.bybit.profile import CLIENT_ID_ALPHABET, CLIENT_ID_LENGTH_MAX
from brokers.errors import InvalidOrder, Unsupported
from brokers.ids import ClientOrderId
from brokers.rounding import MONEY, decimal_text, is_multiple
from brokers.strictjson import encode
from brokers.types import (
    Instrument,
    OrderRequest,
    OrderSide,
    OrderType,
    PositionSide,
    PreparedOrder,
    ProductKind,
    TimeInForce,
)

_CLIENT_ID = re.compile(f"{CLIENT_ID_ALPHABET}{{1,{CLIENT_ID_LENGTH_MAX}}}", re.ASCII)
_SIDE = {OrderSide.BUY: "Buy", OrderSide.SELL: "Sell"}
_LIMITS = (OrderType.LIMIT, OrderType.STOP_LIMIT)
_STOPS = (OrderType.STOP_MARKET, OrderType.STOP_LIMIT)
_TIMES_IN_FORCE = (TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK)
_POSITION_INDEX = {None: 0, PositionSide.LONG: 1, PositionSide.SHORT: 2}
_TRIGGER_RISES, _TRIGGER_FALLS = 1, 2


def prepare(request: OrderRequest, instrument: Instrument, client_order_id: ClientOrderId) -> PreparedOrder:
    """Check the terms against the instrument and freeze them; InvalidOrder names field, value and remedy."""
    require_client_id(client_order_id)
    _check_quantity(request, instrument)
    _check_prices(request, instrument)
    _check_product(request, instrument)
    payload = encode(_fields(request, instrument, client_order_id))
    return PreparedOrder(
        client_order_id=client_order_id,
        request=request,
        payload=payload,
        sha256=hashlib.sha256(payload.encode()).hexdigest(),
    )


def require_client_id(client_order_id: ClientOrderId) -> None:
    if not _CLIENT_ID.fullmatch(client_order_id.value):
        raise InvalidOrder(
            f"client_order_id must be 1-{CLIENT_ID_LENGTH_MAX} of {CLIENT_ID_ALPHABET}, was {client_order_id.value!r}"
        )


def _fields(request: OrderRequest, instrument: Instrument, client_order_id: ClientOrderId) -> dict[str, Any]:
    is_limit, is_stop = request.order_type in _LIMITS, request.order_type in _STOPS
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
    if request.order_type in _LIMITS:
        return request.time_in_force.value.upper()
    if request.time_in_force is TimeInForce.FOK:
        raise Unsupported("Bybit executes market orders as ioc; fok needs order_type limit")
    return "IOC"


def _check_quantity(request: OrderRequest, instrument: Instrument) -> None:
    quantity = request.quantity
    if not is_multiple(quantity, step=instrument.lot_size):
        raise InvalidOrder(
            f"quantity must be a multiple of the lot size {instrument.lot_size}, was {quantity}; round it toward zero"
        )
    if quantity < instrument.quantity_min and not request.reduce_only:
        raise InvalidOrder(f"quantity must be at least {instrument.quantity_min}, was {quantity}")
    is_limit = request.order_type in _LIMITS
    most = instrument.quantity_max_limit if is_limit else instrument.quantity_max_market
    if most is not None and quantity > most:
        raise InvalidOrder(f"quantity must be at most {most} for {request.order_type}, was {quantity}; split the order")


def _check_prices(request: OrderRequest, instrument: Instrument) -> None:
    for name in ("limit_price", "trigger_price"):
        price: Decimal | None = getattr(request, name)
        if price is not None and not is_multiple(price, step=instrument.tick_size):
            raise InvalidOrder(f"{name} must be a multiple of the tick size {instrument.tick_size}, was {price}")
    if request.limit_price is not None and not request.reduce_only:
        notional = MONEY.multiply(request.quantity, request.limit_price)
        if notional < instrument.notional_min:
            raise InvalidOrder(
                f"notional must be at least {instrument.notional_min} {instrument.quote_currency}, was {notional}"
            )


def _check_product(request: OrderRequest, instrument: Instrument) -> None:
    if request.position_side is PositionSide.FLAT:
        raise InvalidOrder("position_side must be long or short in hedge mode and absent in one-way mode, was flat")
    if instrument.product is not ProductKind.SPOT:
        return
    if request.reduce_only:
        raise Unsupported(f"reduce_only is for contracts, {instrument.instrument_id} is spot; leave it out")
    if request.position_side is not None:
        raise Unsupported(f"position_side is for contracts, {instrument.instrument_id} is spot; leave it out")
