"""Hands an order to the core, after what Binance's gateway refuses without storing anything."""

from simulators.binance.errors import translate
from simulators.binance.filters import check_filters
from simulators.binance.params import Context
from simulators.core.money import ZERO
from simulators.core.prices import plan_fills
from simulators.core.rules import check_request
from simulators.core.types import Instrument, MarketKind, Order, OrderRequest, Reason, Refusal, TimeInForce


def place(context: Context, request: OrderRequest, instrument: Instrument, *, dry: bool = False) -> Order | None:
    """Place an order, or only check it (`dry`); refusals leave no trace, as Binance records no rejected order."""
    try:
        check(context, request, instrument)
        if dry:
            return None
        return context.venue.place(context.me, request, fill_ratio=context.handling.fill_ratio)
    except Refusal as refusal:
        raise translate(refusal, context.kind, request.order_type) from None


def check(context: Context, request: OrderRequest, instrument: Instrument) -> None:
    """Refuse what breaks a filter or may not take; the money is checked by the core."""
    venue = context.venue
    quote = venue.board.quote(instrument)
    check_filters(request, instrument, quote, context.house)
    if request.qty or not request.close_on_trigger:
        check_request(request, instrument, quote, mode=context.me.mode(instrument), band=None)
    if request.price is None or request.trigger_price is not None:
        return
    best = venue.opposite_quote(instrument, request.side)
    takes = (request.price - best) * request.side.sign >= 0
    if request.time_in_force is TimeInForce.POST_ONLY and takes:
        raise Refusal(Reason.POST_ONLY_WOULD_TAKE)
    if request.time_in_force is TimeInForce.FOK and context.kind is MarketKind.LINEAR:
        levels = venue.board.levels(instrument, request.side)
        fills = plan_fills(levels, side=request.side, limit=request.price, qty=request.qty, step=instrument.step)
        if sum((qty for _, qty in fills), ZERO) < request.qty:
            raise Refusal(Reason.NOT_FULLY_FILLABLE)
