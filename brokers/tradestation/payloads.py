"""Order terms to TradeStation's wording, frozen before anything is sent. Pure.

Source: TradeStation WebAPI v3, "Place Order". Shares are bought and sold with four actions: the position decides
whether a sale closes (SELL) or opens a short (SELLSHORT), and an order may not cross zero. Futures know BUY and SELL
only.
"""

from __future__ import annotations

from decimal import Decimal

from brokers.errors import InvalidOrder, Unsupported
from brokers.ids import ClientOrderId
from brokers.rounding import decimal_text, is_multiple
from brokers.strictjson import encode
from brokers.terms import frozen, require_client_id, require_reduction, require_ticks
from brokers.tradestation.profile import CLIENT_ID_ALPHABET, CLIENT_ID_LENGTH_MAX
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
    OrderType.MARKET: "Market",
    OrderType.LIMIT: "Limit",
    OrderType.STOP_MARKET: "StopMarket",
    OrderType.STOP_LIMIT: "StopLimit",
}
_DURATIONS = {
    TimeInForce.DAY: "DAY",
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.DAY_EXTENDED: "DYP",
    TimeInForce.GTC_EXTENDED: "GCP",
}
_ROUTE = "Intelligent"


def needs_position(request: OrderRequest, instrument: Instrument) -> bool:
    """Whether what is held matters: for the action of shares that are not a reduction, and to check one of futures."""
    return request.reduce_only is (instrument.product is ProductKind.FUTURE)


def prepare(
    request: OrderRequest,
    instrument: Instrument,
    client_order_id: ClientOrderId,
    *,
    account: str,
    position: Decimal | None,
) -> PreparedOrder:
    """Check the terms and freeze them; InvalidOrder names field, value and remedy.

    `position` is what is held now, None where `needs_position` says that it does not matter.
    """
    require_client_id(client_order_id, alphabet=CLIENT_ID_ALPHABET, length_max=CLIENT_ID_LENGTH_MAX)
    _check_terms(request, instrument)
    fields: dict[str, object] = {
        "AccountID": account,
        "Symbol": instrument.venue_symbol,
        "Quantity": decimal_text(request.quantity),
        "OrderType": _TYPES[request.order_type],
        "TradeAction": trade_action(request, instrument, position),
        "TimeInForce": {"Duration": _DURATIONS[request.time_in_force]},
        "OrderConfirmID": client_order_id.value,
    }
    if instrument.product is ProductKind.EQUITY:
        fields["Route"] = _ROUTE
    if request.limit_price is not None:
        fields["LimitPrice"] = decimal_text(request.limit_price)
    if request.trigger_price is not None:
        fields["StopPrice"] = decimal_text(request.trigger_price)
    payload = encode(fields)
    return frozen(request, client_order_id, payload)


def trade_action(request: OrderRequest, instrument: Instrument, position: Decimal | None) -> str:
    """BUY, SELL, SELLSHORT or BUYTOCOVER; InvalidOrder for an order that would cross zero."""
    is_buy = request.side is OrderSide.BUY
    if instrument.product is ProductKind.FUTURE:
        if request.reduce_only:
            require_reduction(request, position)
        return "BUY" if is_buy else "SELL"
    if request.reduce_only:
        return "BUYTOCOVER" if is_buy else "SELL"
    if position is None:
        raise InvalidOrder(f"the position in {request.instrument_id} must be known to choose the action; read it first")
    reduces = position < 0 if is_buy else position > 0
    if not reduces:
        return "BUY" if is_buy else "SELLSHORT"
    if request.quantity > abs(position):
        held, rest = abs(position), request.quantity - abs(position)
        raise InvalidOrder(
            f"quantity {request.quantity} would cross zero: the position in {request.instrument_id} is {position}; "
            f"close it with an order for {decimal_text(held)}, then open {decimal_text(rest)} with a second one"
        )
    return "BUYTOCOVER" if is_buy else "SELL"


def _check_terms(request: OrderRequest, instrument: Instrument) -> None:
    if request.post_only:
        raise Unsupported("post_only is not offered by TradeStation; leave it out")
    if request.position_side is not None:
        raise Unsupported("position_side must be absent: TradeStation has no hedge mode")
    quantity = request.quantity
    if not is_multiple(quantity, step=instrument.lot_size):
        raise InvalidOrder(
            f"quantity must be a multiple of {instrument.lot_size}, was {quantity}; round it toward zero "
            "(shares and contracts are whole)"
        )
    if quantity < instrument.quantity_min:
        raise InvalidOrder(f"quantity must be at least {instrument.quantity_min}, was {quantity}")
    require_ticks(request, instrument)
