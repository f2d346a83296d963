"""What makes an order request invalid before any money is looked at: pure checks against the instrument."""

from decimal import Decimal

from simulators.core.money import is_multiple
from simulators.core.types import (
    Instrument,
    MarketKind,
    OrderRequest,
    OrderType,
    PositionMode,
    PositionSide,
    Quote,
    Reason,
    Refusal,
    TriggerDirection,
)


def check_qty(request: OrderRequest, instrument: Instrument) -> None:
    """Refuse quantities off the grid or out of bounds."""
    if request.quote_qty is not None:
        if request.quote_qty <= 0:
            raise Refusal(Reason.QTY_INVALID, qty=request.quote_qty)
        if not is_multiple(request.quote_qty, instrument.quote_step):
            raise Refusal(Reason.QTY_STEP, qty=request.quote_qty, step=instrument.quote_step)
        return
    if request.qty <= 0:
        raise Refusal(Reason.QTY_INVALID, qty=request.qty)
    if not is_multiple(request.qty, instrument.step):
        raise Refusal(Reason.QTY_STEP, qty=request.qty, step=instrument.step)
    if request.qty < instrument.qty_min:
        raise Refusal(Reason.QTY_BELOW_MIN, qty=request.qty, minimum=instrument.qty_min)
    largest = instrument.qty_max_market if request.order_type is OrderType.MARKET else instrument.qty_max
    if request.qty > largest:
        raise Refusal(Reason.QTY_ABOVE_MAX, qty=request.qty, maximum=largest)


def check_price(price: Decimal, instrument: Instrument, *, field: str = "price") -> None:
    """Refuse prices off the grid or out of the instrument's bounds."""
    if price <= 0:
        raise Refusal(Reason.PRICE_INVALID, field=field, price=price)
    if not is_multiple(price, instrument.tick):
        raise Refusal(Reason.PRICE_TICK, field=field, price=price, tick=instrument.tick)
    if price < instrument.price_min:
        raise Refusal(Reason.PRICE_BELOW_MIN, field=field, price=price, minimum=instrument.price_min)
    if price > instrument.price_max:
        raise Refusal(Reason.PRICE_ABOVE_MAX, field=field, price=price, maximum=instrument.price_max)


def check_band(request: OrderRequest, instrument: Instrument, quote: Quote, band: Decimal | None) -> None:
    """Refuse limit prices on the aggressive side of the venue's price band (a fraction of the last price)."""
    if band is None or request.price is None:
        return
    highest = quote.last * (1 + band)
    lowest = quote.last * (1 - band)
    if request.side.sign > 0 and request.price > highest:
        raise Refusal(Reason.PRICE_ABOVE_MAX, field="price", price=request.price, maximum=highest)
    if request.side.sign < 0 and request.price < lowest:
        raise Refusal(Reason.PRICE_BELOW_MIN, field="price", price=request.price, minimum=lowest)


def check_notional(request: OrderRequest, instrument: Instrument, price: Decimal) -> None:
    """Refuse orders worth too little or too much; closing orders may be small."""
    if request.reduce_only:
        return
    value = request.quote_qty if request.quote_qty is not None else request.qty * price * instrument.multiplier
    if value < instrument.notional_min:
        raise Refusal(Reason.NOTIONAL_BELOW_MIN, value=value, minimum=instrument.notional_min)
    if value > instrument.notional_max:
        raise Refusal(Reason.NOTIONAL_ABOVE_MAX, value=value, maximum=instrument.notional_max)


def check_position_side(request: OrderRequest, mode: PositionMode) -> None:
    """Refuse an order that names a position the account's mode does not have."""
    hedged = request.position_side is not PositionSide.BOTH
    if request.kind is MarketKind.LINEAR and hedged != (mode is PositionMode.HEDGE):
        raise Refusal(Reason.POSITION_SIDE_MISMATCH, mode=mode.value, position_side=request.position_side.value)


def check_trigger(request: OrderRequest, instrument: Instrument, quote: Quote) -> None:
    """Refuse a conditional order that would trigger at once or has no direction."""
    if request.trigger_price is None:
        return
    check_price(request.trigger_price, instrument, field="trigger_price")
    if request.trigger_direction is None:
        raise Refusal(Reason.TRIGGER_DIRECTION_MISSING)
    if request.trigger_direction is TriggerDirection.RISE and request.trigger_price <= quote.last:
        raise Refusal(Reason.TRIGGER_NOT_RISING, trigger=request.trigger_price, last=quote.last)
    if request.trigger_direction is TriggerDirection.FALL and request.trigger_price >= quote.last:
        raise Refusal(Reason.TRIGGER_NOT_FALLING, trigger=request.trigger_price, last=quote.last)


def check_request(
    request: OrderRequest, instrument: Instrument, quote: Quote, *, mode: PositionMode, band: Decimal | None
) -> None:
    """Run every check that needs no account balance; raise the first refusal."""
    if not instrument.trading:
        raise Refusal(Reason.SYMBOL_NOT_TRADING, symbol=instrument.symbol)
    check_position_side(request, mode)
    check_qty(request, instrument)
    if request.order_type is OrderType.LIMIT:
        if request.price is None:
            raise Refusal(Reason.PRICE_INVALID, field="price", price=None)
        check_price(request.price, instrument)
        check_band(request, instrument, quote, band)
    check_trigger(request, instrument, quote)
    check_notional(request, instrument, request.price if request.price is not None else quote.last)
