"""Order terms to Binance's wording, frozen before anything is sent. Pure.

Sources: Spot and USDⓈ-M "New order". Quantities are always in base currency, never `quoteOrderQty`. What is frozen is
the form itself, sorted and percent-encoded: all of the body before recvWindow, timestamp and signature.

Stop orders in contracts are orders of the algo service ("New Algo Order"), which has other names for some terms.
"""

from __future__ import annotations

from collections.abc import Mapping

from brokers.binance import algos
from brokers.binance.fields import form
from brokers.binance.profile import CLIENT_ID_ALPHABET, CLIENT_ID_LENGTH_MAX
from brokers.errors import InvalidOrder, Unsupported
from brokers.ids import ClientOrderId
from brokers.rounding import decimal_text
from brokers.terms import LIMITS, STOPS, frozen, require_client_id, require_notional, require_quantity, require_ticks
from brokers.types import (
    ZERO,
    Instrument,
    OrderRequest,
    OrderSide,
    OrderType,
    PositionSide,
    PreparedOrder,
    ProductKind,
    TimeInForce,
)

_TIMES_IN_FORCE = (TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK)
_SPOT_TYPES = {
    OrderType.MARKET: "MARKET",
    OrderType.LIMIT: "LIMIT",
    OrderType.STOP_MARKET: "STOP_LOSS",
    OrderType.STOP_LIMIT: "STOP_LOSS_LIMIT",
}
_CONDITIONAL_TYPES = {OrderType.STOP_MARKET: "STOP_MARKET", OrderType.STOP_LIMIT: "STOP"}
_CLOSES = {PositionSide.LONG: OrderSide.SELL, PositionSide.SHORT: OrderSide.BUY}


def prepare(request: OrderRequest, instrument: Instrument, client_order_id: ClientOrderId) -> PreparedOrder:
    """Check the terms against the instrument and freeze them; InvalidOrder names field, value and remedy."""
    require_client_id(client_order_id, alphabet=CLIENT_ID_ALPHABET, length_max=CLIENT_ID_LENGTH_MAX)
    _check_support(request, instrument)
    require_quantity(request, instrument)
    require_ticks(request, instrument)
    require_notional(request, instrument)
    is_spot = instrument.product is ProductKind.SPOT
    if not is_spot and client_order_id.value.startswith(algos.MARK):
        raise InvalidOrder(f"client_order_id must not begin with {algos.MARK}: by that conditional orders are told")
    if not is_spot and request.order_type in STOPS:
        return frozen(request, client_order_id, form(_conditional(request, instrument, client_order_id)))
    own = _spot(request, instrument) if is_spot else _linear(request, instrument)
    payload = form({**own, "newClientOrderId": client_order_id.value})
    return frozen(request, client_order_id, payload)


def is_conditional(parameters: Mapping[str, str]) -> bool:
    """Whether a frozen payload is one for the algo service."""
    return "algoType" in parameters


def _common(request: OrderRequest, instrument: Instrument) -> dict[str, str]:
    fields = {
        "symbol": instrument.venue_symbol,
        "side": request.side.value.upper(),
        "quantity": decimal_text(request.quantity),
    }
    if request.limit_price is not None:
        fields["price"] = decimal_text(request.limit_price)
    return fields


def _spot(request: OrderRequest, instrument: Instrument) -> dict[str, str]:
    """LIMIT_MAKER takes no timeInForce, nor do market orders. A stop buys into a rise and sells into a fall."""
    fields = _common(request, instrument) | {"newOrderRespType": "RESULT"}
    fields["type"] = "LIMIT_MAKER" if request.post_only else _SPOT_TYPES[request.order_type]
    if request.order_type in LIMITS and not request.post_only:
        fields["timeInForce"] = request.time_in_force.value.upper()
    if request.trigger_price is not None:
        fields["stopPrice"] = decimal_text(request.trigger_price)
    return fields


def _linear(request: OrderRequest, instrument: Instrument) -> dict[str, str]:
    """RESULT, because the answer would otherwise show even an executed market order as new and unfilled."""
    fields = _common(request, instrument) | {"newOrderRespType": "RESULT", "type": request.order_type.value.upper()}
    if request.order_type in LIMITS:
        fields["timeInForce"] = "GTX" if request.post_only else request.time_in_force.value.upper()
    if request.position_side is None:
        return fields | {"positionSide": "BOTH", "reduceOnly": "true" if request.reduce_only else "false"}
    return fields | {"positionSide": _leg(request)}


def _conditional(request: OrderRequest, instrument: Instrument, client_order_id: ClientOrderId) -> dict[str, str]:
    """Triggered by the last price. A stop buys into a rise and sells into a fall. reduceOnly is sent only where it is
    wanted: what is said of a flag that is sent without need (-1106) differs from page to page."""
    identity = algos.marked(client_order_id)
    if len(identity) > CLIENT_ID_LENGTH_MAX:
        most = CLIENT_ID_LENGTH_MAX - len(algos.MARK)
        raise InvalidOrder(
            f"client_order_id of a conditional order must have at most {most} characters, was {client_order_id}"
        )
    fields = _common(request, instrument) | {
        "algoType": "CONDITIONAL",
        "clientAlgoId": identity,
        "type": _CONDITIONAL_TYPES[request.order_type],
        "triggerPrice": decimal_text(request.trigger_price or ZERO),
        "workingType": "CONTRACT_PRICE",
    }
    if request.order_type in LIMITS:
        fields["timeInForce"] = request.time_in_force.value.upper()
    if request.position_side is not None:
        return fields | {"positionSide": _leg(request)}
    return fields | {"positionSide": "BOTH"} | ({"reduceOnly": "true"} if request.reduce_only else {})


def _leg(request: OrderRequest) -> str:
    """In hedge mode leg and side say whether an order opens or closes; reduceOnly is refused there (-1106)."""
    side = request.position_side
    if side is None or side is PositionSide.FLAT:
        raise InvalidOrder("position_side must be long or short in hedge mode and absent in one-way mode, was flat")
    if request.reduce_only and request.side is not _CLOSES[side]:
        raise InvalidOrder(f"reduce_only on the {side} side needs side {_CLOSES[side]}, was {request.side}")
    return side.value.upper()


def _check_support(request: OrderRequest, instrument: Instrument) -> None:
    if instrument.product is ProductKind.SPOT:
        for name in ("reduce_only", "position_side"):
            if getattr(request, name):
                raise Unsupported(f"{name} is for contracts, {instrument.instrument_id} is spot; leave it out")
    if request.time_in_force not in _TIMES_IN_FORCE:
        raise Unsupported(f"time_in_force {request.time_in_force} is not offered by Binance; use gtc, ioc or fok")
    if request.post_only and request.time_in_force is not TimeInForce.GTC:
        raise InvalidOrder(f"post_only needs time_in_force gtc, was {request.time_in_force}")
    if request.order_type not in LIMITS and request.time_in_force is TimeInForce.FOK:
        raise Unsupported("Binance executes market orders as ioc; fok needs order_type limit")
