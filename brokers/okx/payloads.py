"""Order terms to OKX's wording, frozen before anything is sent. Pure.

Source: OKX V5 documentation, page "Place order". Sizes are always in units of the instrument: on spot in base currency
(`tgtCcy=base_ccy`, where OKX's default for a market buy is quote currency) and never changed by OKX (`banAmend`).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from brokers.errors import InvalidOrder, Unsupported
from brokers.ids import ClientOrderId
from brokers.okx.mapping import AccountMode
from brokers.okx.profile import CLIENT_ID_ALPHABET, CLIENT_ID_LENGTH_MAX, ORDER_TAG
from brokers.rounding import decimal_text, is_multiple
from brokers.strictjson import encode
from brokers.types import (
    Instrument,
    MarginMode,
    OrderRequest,
    OrderSide,
    OrderType,
    PositionMode,
    PositionSide,
    PreparedOrder,
    ProductKind,
    TimeInForce,
)

_CLIENT_ID = re.compile(f"{CLIENT_ID_ALPHABET}{{1,{CLIENT_ID_LENGTH_MAX}}}", re.ASCII)
_SIDE = {OrderSide.BUY: "buy", OrderSide.SELL: "sell"}
_LIMIT_TYPES = {TimeInForce.GTC: "limit", TimeInForce.IOC: "ioc", TimeInForce.FOK: "fok"}
_CLOSING_SIDE = {PositionSide.LONG: OrderSide.SELL, PositionSide.SHORT: OrderSide.BUY}


@dataclass(frozen=True, slots=True)
class Held:
    """What is held of a swap under one kind of margin, in contracts; short is negative."""

    margin: str  # OKX's `mgnMode`: cross or isolated
    quantity: Decimal


def needs_position(request: OrderRequest, instrument: Instrument) -> bool:
    """Whether the payload depends on the position: a reduction goes to the margin under which it is held."""
    return instrument.product is ProductKind.LINEAR and is_reduction(request)


def is_reduction(request: OrderRequest) -> bool:
    side = request.position_side
    return request.reduce_only or (side is not None and is_opposite(side, request.side))


def prepare(
    request: OrderRequest,
    instrument: Instrument,
    client_order_id: ClientOrderId,
    *,
    mode: AccountMode,
    held: tuple[Held, ...] = (),
) -> PreparedOrder:
    """Check the terms against instrument and account and freeze them; InvalidOrder names field, value and remedy."""
    require_client_id(client_order_id)
    _check_quantity(request, instrument)
    _check_price(request, instrument)
    _check_sides(request, instrument, mode)
    if instrument.product is ProductKind.SPOT:
        fields = _spot_fields(request, instrument, mode)
    else:
        fields = _swap_fields(request, instrument, mode, held)
    payload = encode({**fields, "clOrdId": client_order_id.value, "tag": ORDER_TAG})
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


def _spot_fields(request: OrderRequest, instrument: Instrument, mode: AccountMode) -> dict[str, Any]:
    fields = _common(request, instrument, mode.spot_trade_mode)
    if request.order_type is OrderType.MARKET:
        fields |= {"tgtCcy": "base_ccy", "banAmend": True}
    return fields


def _swap_fields(
    request: OrderRequest, instrument: Instrument, mode: AccountMode, held: tuple[Held, ...]
) -> dict[str, Any]:
    fields = _common(request, instrument, _margin(request, held))
    if request.position_side is not None:
        return fields | {"posSide": request.position_side.value}  # an order against its side can only reduce
    if request.reduce_only:
        if mode.margin_mode is MarginMode.PORTFOLIO:
            _require_reduction(request, held)  # there OKX does not promise to enforce the flag
        fields["reduceOnly"] = True
    return fields


def _common(request: OrderRequest, instrument: Instrument, trade_mode: str) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "instId": instrument.venue_symbol,
        "tdMode": trade_mode,
        "side": _SIDE[request.side],
        "ordType": _order_type(request),
        "sz": decimal_text(request.quantity),
    }
    if request.limit_price is not None:
        fields["px"] = decimal_text(request.limit_price)
    return fields


def _margin(request: OrderRequest, held: tuple[Held, ...]) -> str:
    """Cross; a reduction of what is held under isolated margin alone must name that, or it would open another one."""
    against = {item.margin for item in held if _goes_against(request, item.quantity)}
    return "isolated" if against == {"isolated"} else "cross"


def _goes_against(request: OrderRequest, quantity: Decimal) -> bool:
    return quantity < 0 if request.side is OrderSide.BUY else quantity > 0


def _require_reduction(request: OrderRequest, held: tuple[Held, ...]) -> None:
    """What is checked here is the position as it was read now, not by the venue."""
    most = max((abs(item.quantity) for item in held if _goes_against(request, item.quantity)), default=Decimal(0))
    if request.quantity > most:
        raise InvalidOrder(
            f"reduce_only {request.side} of {request.quantity} {request.instrument_id} must reduce the position, and "
            f"{most} can be reduced by it; OKX does not enforce it in portfolio margin"
        )


def _order_type(request: OrderRequest) -> str:
    if request.order_type not in (OrderType.MARKET, OrderType.LIMIT):
        raise Unsupported(
            f"order_type {request.order_type} is not offered here: OKX keeps stop orders apart, under ids of their "
            "own; use market or limit"
        )
    if request.time_in_force not in _LIMIT_TYPES:
        raise Unsupported(f"time_in_force {request.time_in_force} is not offered by OKX; use gtc, ioc or fok")
    if request.order_type is OrderType.MARKET:
        if request.time_in_force is TimeInForce.FOK:
            raise Unsupported("OKX executes market orders as ioc; fok needs order_type limit")
        return "market"
    if not request.post_only:
        return _LIMIT_TYPES[request.time_in_force]
    if request.time_in_force is not TimeInForce.GTC:
        raise InvalidOrder(f"post_only needs time_in_force gtc, was {request.time_in_force}")
    return "post_only"


def _check_quantity(request: OrderRequest, instrument: Instrument) -> None:
    quantity = request.quantity
    if not is_multiple(quantity, step=instrument.lot_size):
        raise InvalidOrder(
            f"quantity must be a multiple of the lot size {instrument.lot_size}, was {quantity}; round it toward zero"
        )
    if quantity < instrument.quantity_min:
        raise InvalidOrder(f"quantity must be at least {instrument.quantity_min}, was {quantity}")
    is_limit = request.order_type is OrderType.LIMIT
    most = instrument.quantity_max_limit if is_limit else instrument.quantity_max_market
    if most is not None and quantity > most:
        raise InvalidOrder(f"quantity must be at most {most} for {request.order_type}, was {quantity}; split the order")


def _check_price(request: OrderRequest, instrument: Instrument) -> None:
    price = request.limit_price
    if price is not None and not is_multiple(price, step=instrument.tick_size):
        raise InvalidOrder(f"limit_price must be a multiple of the tick size {instrument.tick_size}, was {price}")


def _check_sides(request: OrderRequest, instrument: Instrument, mode: AccountMode) -> None:
    side, name = request.position_side, instrument.instrument_id
    if side is PositionSide.FLAT:
        raise InvalidOrder("position_side must be long or short in hedge mode and absent in one-way mode, was flat")
    if instrument.product is ProductKind.SPOT:
        if request.reduce_only:
            raise Unsupported(f"reduce_only is for contracts, {name} is spot; leave it out")
        if side is not None:
            raise Unsupported(f"position_side is for contracts, {name} is spot; leave it out")
        return
    if not mode.trades_swaps:
        raise InvalidOrder(f"{name} cannot be traded in OKX's spot mode (acctLv 1); change the account mode at OKX")
    if mode.position_mode is PositionMode.HEDGE and side is None:
        raise InvalidOrder(
            f"position_side must be long or short: the account is in hedge mode, and {name} has two sides"
        )
    if mode.position_mode is PositionMode.ONE_WAY and side is not None:
        raise InvalidOrder(f"position_side must be absent in one-way mode, was {side}")
    if request.reduce_only and side is not None and not is_opposite(side, request.side):
        raise InvalidOrder(f"reduce_only {request.side} must go against position_side, was {side}")


def is_opposite(side: PositionSide, order_side: OrderSide) -> bool:
    """Whether an order closes this side."""
    return _CLOSING_SIDE.get(side) is order_side
