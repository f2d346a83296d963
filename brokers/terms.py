"""What venues ask of an order's terms alike, and how terms are frozen. Pure; what a venue asks beside is its own.

Every refusal is InvalidOrder or Unsupported, and names field, value and remedy.
"""

from __future__ import annotations

import hashlib
import re
from decimal import Decimal

from brokers.errors import InvalidOrder, Unsupported
from brokers.ids import ClientOrderId
from brokers.rounding import MONEY, is_multiple
from brokers.types import ZERO, Instrument, OrderRequest, OrderSide, OrderType, PositionSide, PreparedOrder, ProductKind

LIMITS = (OrderType.LIMIT, OrderType.STOP_LIMIT)
STOPS = (OrderType.STOP_MARKET, OrderType.STOP_LIMIT)


def frozen(request: OrderRequest, client_order_id: ClientOrderId, payload: str) -> PreparedOrder:
    """The order as it will be sent: its bytes and their sha256."""
    return PreparedOrder(
        client_order_id=client_order_id,
        request=request,
        payload=payload,
        sha256=hashlib.sha256(payload.encode()).hexdigest(),
    )


def require_client_id(client_order_id: ClientOrderId, *, alphabet: str, length_max: int) -> None:
    """`alphabet` is a class of characters, for instance [A-Za-z0-9]."""
    if not re.fullmatch(f"{alphabet}{{1,{length_max}}}", client_order_id.value, re.ASCII):
        raise InvalidOrder(f"client_order_id must be 1-{length_max} of {alphabet}, was {client_order_id.value!r}")


def require_leverage(leverage: Decimal, instrument: Instrument) -> None:
    """Above 0 and, where the venue tells them, within the instrument's bounds and on its step."""
    least, most, step = instrument.leverage_min, instrument.leverage_max, instrument.leverage_step
    if not leverage.is_finite() or leverage <= 0:
        raise InvalidOrder(f"leverage must be above 0, was {leverage}")
    if (least is not None and leverage < least) or (most is not None and leverage > most):
        raise InvalidOrder(f"leverage of {instrument.instrument_id} must be from {least} to {most}, was {leverage}")
    if step is not None and not is_multiple(leverage, step=step):
        raise InvalidOrder(f"leverage of {instrument.instrument_id} must be a multiple of {step}, was {leverage}")


def require_quantity(request: OrderRequest, instrument: Instrument, *, reductions_may_be_less: bool = False) -> None:
    """A multiple of the lot within the instrument's bounds."""
    quantity = request.quantity
    if not is_multiple(quantity, step=instrument.lot_size):
        raise InvalidOrder(
            f"quantity must be a multiple of the lot size {instrument.lot_size}, was {quantity}; round it toward zero"
        )
    if quantity < instrument.quantity_min and not (reductions_may_be_less and request.reduce_only):
        raise InvalidOrder(f"quantity must be at least {instrument.quantity_min}, was {quantity}")
    most = instrument.quantity_max_limit if request.order_type in LIMITS else instrument.quantity_max_market
    if most is not None and quantity > most:
        raise InvalidOrder(f"quantity must be at most {most} for {request.order_type}, was {quantity}; split the order")


def require_ticks(request: OrderRequest, instrument: Instrument) -> None:
    """Prices on the instrument's grid."""
    for name in ("limit_price", "trigger_price"):
        price: Decimal | None = getattr(request, name)
        if price is not None and not is_multiple(price, step=instrument.tick_size):
            raise InvalidOrder(f"{name} must be a multiple of the tick size {instrument.tick_size}, was {price}")


def require_notional(request: OrderRequest, instrument: Instrument) -> None:
    """Only where the terms carry a price: what a market order costs is not known here. Reductions may be small."""
    if request.limit_price is None or request.reduce_only:
        return
    notional = MONEY.multiply(request.quantity, request.limit_price)
    if notional < instrument.notional_min:
        raise InvalidOrder(
            f"notional must be at least {instrument.notional_min} {instrument.quote_currency}, was {notional}"
        )


def require_sides_of_product(request: OrderRequest, instrument: Instrument) -> None:
    """A side of a hedge is long or short, and spot has neither sides nor reductions."""
    if request.position_side is PositionSide.FLAT:
        raise InvalidOrder("position_side must be long or short in hedge mode and absent in one-way mode, was flat")
    if instrument.product is not ProductKind.SPOT:
        return
    if request.reduce_only:
        raise Unsupported(f"reduce_only is for contracts, {instrument.instrument_id} is spot; leave it out")
    if request.position_side is not None:
        raise Unsupported(f"position_side is for contracts, {instrument.instrument_id} is spot; leave it out")


def require_reduction(request: OrderRequest, position: Decimal | None) -> None:
    """For venues without a reducing order: what is checked is the position as it was just read, not by the venue."""
    held = position if position is not None else ZERO
    opposite = held < 0 if request.side is OrderSide.BUY else held > 0
    if not opposite or request.quantity > abs(held):
        raise InvalidOrder(
            f"reduce_only {request.side} of {request.quantity} {request.instrument_id} must reduce the position, which "
            f"is {held}"
        )
