"""Order terms to OKX's wording, frozen before anything is sent. Pure.

Source: OKX V5 documentation, pages "Place order" and "Place algo order". Sizes are always in units of the instrument:
on spot in base currency (`tgtCcy=base_ccy`, where OKX's default for a market buy is quote currency) and never changed
by OKX (`banAmend`). A stop is a stop-loss order (`conditional`): its direction follows from its side alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from brokers.errors import InvalidOrder, Unsupported
from brokers.ids import ClientOrderId
from brokers.okx.algos import AT_MARKET, PLACED_AS
from brokers.okx.mapping import AccountMode
from brokers.okx.profile import CLIENT_ID_ALPHABET, CLIENT_ID_LENGTH_MAX, ORDER_TAG
from brokers.rounding import decimal_text
from brokers.strictjson import encode
from brokers.terms import (
    LIMITS,
    STOPS,
    frozen,
    require_client_id,
    require_quantity,
    require_sides_of_product,
    require_ticks,
)
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
    require_client_id(client_order_id, alphabet=CLIENT_ID_ALPHABET, length_max=CLIENT_ID_LENGTH_MAX)
    require_quantity(request, instrument)
    require_ticks(request, instrument)
    require_sides_of_product(request, instrument)
    _check_sides(request, instrument, mode)
    if instrument.product is ProductKind.SPOT:
        fields = _spot_fields(request, instrument, mode)
    else:
        fields = _swap_fields(request, instrument, mode, held)
    id_name = "algoClOrdId" if request.order_type in STOPS else "clOrdId"
    payload = encode({**fields, id_name: client_order_id.value, "tag": ORDER_TAG})
    return frozen(request, client_order_id, payload)


def _spot_fields(request: OrderRequest, instrument: Instrument, mode: AccountMode) -> dict[str, Any]:
    fields = _common(request, instrument, mode.spot_trade_mode)
    if request.order_type is OrderType.MARKET:
        fields |= {"tgtCcy": "base_ccy", "banAmend": True}
    if request.order_type is OrderType.STOP_MARKET and request.side is OrderSide.BUY:
        fields["tgtCcy"] = "base_ccy"  # which only a buy of this kind may name; a sale counts in base currency
    return fields


def _swap_fields(
    request: OrderRequest, instrument: Instrument, mode: AccountMode, held: tuple[Held, ...]
) -> dict[str, Any]:
    fields = _common(request, instrument, _margin(request, held))
    if request.position_side is not None:
        return fields | {"posSide": request.position_side.value}  # an order against its side can only reduce
    if request.reduce_only:
        if mode.margin_mode is MarginMode.PORTFOLIO:
            if request.order_type in STOPS:
                raise Unsupported(
                    f"a reduce-only {request.order_type} of {instrument.instrument_id} is not sent in portfolio "
                    "margin: OKX does not promise there that it only reduces, and what will be held is not known"
                )
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
    if request.trigger_price is not None:
        limit = request.limit_price
        return fields | {
            "slTriggerPx": decimal_text(request.trigger_price),
            "slTriggerPxType": "last",
            "slOrdPx": AT_MARKET if limit is None else decimal_text(limit),
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
    if request.time_in_force not in _LIMIT_TYPES:
        raise Unsupported(f"time_in_force {request.time_in_force} is not offered by OKX; use gtc, ioc or fok")
    if request.order_type not in LIMITS and request.time_in_force is TimeInForce.FOK:
        raise Unsupported("OKX executes market orders as ioc; fok needs order_type limit")
    if request.order_type is OrderType.STOP_LIMIT and request.time_in_force is not TimeInForce.GTC:
        raise Unsupported(
            f"a stop_limit rests at OKX once it has triggered: use time_in_force gtc, was {request.time_in_force}"
        )
    if request.order_type in STOPS:
        return PLACED_AS
    if request.order_type is OrderType.MARKET:
        return "market"
    if not request.post_only:
        return _LIMIT_TYPES[request.time_in_force]
    if request.time_in_force is not TimeInForce.GTC:
        raise InvalidOrder(f"post_only needs time_in_force gtc, was {request.time_in_force}")
    return "post_only"


def _check_sides(request: OrderRequest, instrument: Instrument, mode: AccountMode) -> None:
    side, name = request.position_side, instrument.instrument_id
    if instrument.product is ProductKind.SPOT:
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
