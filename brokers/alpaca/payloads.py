"""Order terms to Alpaca's wording, frozen before anything is sent. Pure.

Source: Alpaca documentation, pages "Placing Orders", "Fractional Trading", "Crypto Spot Trading". Numbers are text on
the wire, as exact as they were given. An order by value (`notional`) is not in the port: quantities are units, and who
has an amount of money divides it by a price.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from brokers.alpaca.instruments import PENNY_BELOW, is_whole, share_tick
from brokers.alpaca.profile import CLIENT_ID_ALPHABET, CLIENT_ID_LENGTH_MAX
from brokers.errors import InvalidOrder, Unsupported
from brokers.ids import ClientOrderId
from brokers.rounding import MONEY, decimal_text, is_multiple
from brokers.strictjson import encode
from brokers.terms import STOPS, frozen, require_client_id, require_reduction
from brokers.types import (
    Instrument,
    OrderRequest,
    OrderSide,
    OrderType,
    PreparedOrder,
    ProductKind,
    TimeInForce,
)

_TYPES = {
    OrderType.MARKET: "market",
    OrderType.LIMIT: "limit",
    OrderType.STOP_MARKET: "stop",
    OrderType.STOP_LIMIT: "stop_limit",
}
_TIMES_IN_FORCE = {
    TimeInForce.DAY: "day",
    TimeInForce.GTC: "gtc",
    TimeInForce.IOC: "ioc",
    TimeInForce.FOK: "fok",
    TimeInForce.DAY_EXTENDED: "day",
}
_OF_STOPS = (TimeInForce.DAY, TimeInForce.GTC)
_OF_CRYPTO = (TimeInForce.GTC, TimeInForce.IOC)


def needs_position(request: OrderRequest, instrument: Instrument) -> bool:
    """Whether what is held matters: Alpaca has no reducing order, so that one of shares is checked by us."""
    return request.reduce_only and instrument.product is ProductKind.EQUITY


def prepare(
    request: OrderRequest, instrument: Instrument, client_order_id: ClientOrderId, *, position: Decimal | None = None
) -> PreparedOrder:
    """Check the terms against the instrument and freeze them; InvalidOrder names field, value and remedy.

    `position` is what is held now, None where `needs_position` says that it does not matter.
    """
    require_client_id(client_order_id, alphabet=CLIENT_ID_ALPHABET, length_max=CLIENT_ID_LENGTH_MAX)
    _check_shared(request, instrument)
    if instrument.product is ProductKind.SPOT:
        _check_crypto(request, instrument)
    else:
        _check_share(request, instrument, position)
    payload = encode(_fields(request, instrument, client_order_id))
    return frozen(request, client_order_id, payload)


def _fields(request: OrderRequest, instrument: Instrument, client_order_id: ClientOrderId) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "symbol": instrument.venue_symbol,
        "qty": decimal_text(request.quantity),
        "side": request.side.value,
        "type": _TYPES[request.order_type],
        "time_in_force": _TIMES_IN_FORCE[request.time_in_force],
        "client_order_id": client_order_id.value,
    }
    if request.limit_price is not None:
        fields["limit_price"] = decimal_text(request.limit_price)
    if request.trigger_price is not None:
        fields["stop_price"] = decimal_text(request.trigger_price)
    if request.time_in_force.is_extended:
        fields["extended_hours"] = True
    return fields


def _check_shared(request: OrderRequest, instrument: Instrument) -> None:
    if request.time_in_force not in _TIMES_IN_FORCE:
        raise Unsupported(
            f"time_in_force {request.time_in_force} is not offered by Alpaca: orders outside regular hours are for the "
            "day; use day_extended"
        )
    if request.post_only:
        raise Unsupported("post_only is not offered by Alpaca; leave it out")
    if request.position_side is not None:
        raise Unsupported("position_side must be absent: Alpaca has no hedge mode")
    quantity, finest = request.quantity, instrument.finest_lot
    if not is_multiple(quantity, step=finest):
        what = "is not sold in parts" if finest == 1 else "has no smaller parts"
        raise InvalidOrder(
            f"quantity must be a multiple of {decimal_text(finest)}, was {quantity}; round it toward zero "
            f"({instrument.instrument_id} {what})"
        )
    if quantity < instrument.quantity_min:
        raise InvalidOrder(f"quantity must be at least {decimal_text(instrument.quantity_min)}, was {quantity}")


def _check_share(request: OrderRequest, instrument: Instrument, position: Decimal | None) -> None:
    times, quantity = request.time_in_force, request.quantity
    if request.order_type in STOPS and times not in _OF_STOPS:
        raise Unsupported(f"time_in_force of a stop order must be day or gtc at Alpaca, was {times}")
    for name in ("limit_price", "trigger_price"):
        price: Decimal | None = getattr(request, name)
        if price is not None and not is_multiple(price, step=share_tick(price)):
            raise InvalidOrder(
                f"{name} must be a multiple of {share_tick(price)}, was {price} (shares move by a cent, below "
                f"{PENNY_BELOW} dollar by a hundredth of one)"
            )
    parts = instrument.parts
    if parts is not None and not is_whole(quantity):
        if times not in parts.times_in_force:
            raise InvalidOrder(
                f"time_in_force of an order for a part of a share must be day, was {times} with quantity {quantity}; "
                "use day, or round the quantity to whole shares"
            )
        _check_notional(request, parts.notional_min)
    if request.reduce_only:
        require_reduction(request, position)


def _check_crypto(request: OrderRequest, instrument: Instrument) -> None:
    if request.reduce_only:
        raise Unsupported(f"reduce_only is for shares, {instrument.instrument_id} is a pair of coins; leave it out")
    if request.order_type is OrderType.STOP_MARKET:
        raise Unsupported(f"order_type {request.order_type} is not offered for crypto by Alpaca; use stop_limit")
    if request.time_in_force not in _OF_CRYPTO:
        raise Unsupported(f"time_in_force of crypto must be gtc or ioc at Alpaca, was {request.time_in_force}")
    for name in ("limit_price", "trigger_price"):
        price: Decimal | None = getattr(request, name)
        if price is not None and not is_multiple(price, step=instrument.tick_size):
            raise InvalidOrder(
                f"{name} must be a multiple of the tick size {decimal_text(instrument.tick_size)}, was {price}"
            )
    if request.side is OrderSide.BUY:
        _check_notional(request, instrument.notional_min)


def _check_notional(request: OrderRequest, least: Decimal) -> None:
    """Only where the terms carry a price: what a market order costs is not known here."""
    if request.limit_price is None or request.reduce_only:
        return
    notional = MONEY.multiply(request.quantity, request.limit_price)
    if notional < least:
        raise InvalidOrder(f"notional must be at least {decimal_text(least)}, was {decimal_text(notional)}")
