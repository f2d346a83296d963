"""Reads one order request as OKX does and places it: the words of tdMode, posSide, tgtCcy and sz."""

from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

from simulators.core.money import ZERO, floor_to, is_multiple
from simulators.core.prices import plan_fills
from simulators.core.types import (
    IdScope,
    Instrument,
    MarketKind,
    Order,
    OrderRequest,
    OrderSide,
    OrderType,
    PositionSide,
    Reason,
    Refusal,
    TimeInForce,
)
from simulators.okx.closing import check_closing, place_reducing
from simulators.okx.desk import AccountLevel, OrderNote
from simulators.okx.errors import refused, translate, wrong
from simulators.okx.params import CLIENT_ID, SIDES, TAG, Context, Params
from simulators.okx.render import ORDER_TYPES, Row

V = TypeVar("V")
MARKET_TYPES = ("market", "optimal_limit_ioc")
TIMES = {name: tif for tif, name in ORDER_TYPES.items()}
STP_MODES = ("", "cancel_maker", "cancel_taker", "cancel_both")
UNSUPPORTED = ("attachAlgoOrds", "tpTriggerPx", "tpOrdPx", "slTriggerPx", "slOrdPx", "quickMgnType")
NOT_YET = frozenset({"preopen", "test"})
SLIPPAGE_MAX, SLIPPAGE_STEP = Decimal("0.05"), Decimal("0.0001")
OPTIONS_ONLY = ("pxUsd", "pxVol")


def place_one(context: Context, params: Params) -> Row:
    """Place one order and return what its item says."""
    name = params.text("instId")
    if not name:
        raise wrong("instId")
    instrument = context.instrument(name)
    check_state(context, params, instrument)
    _refuse_unsupported(params, instrument)
    trade_mode = trade_mode_of(context, params, instrument)
    client_id, tag = params.well_formed("clOrdId", CLIENT_ID), params.well_formed("tag", TAG)
    request, note = _request(context, params, instrument, client_id)
    _check_client_id(context, client_id)
    check_closing(context, request)
    note = replace(note, trade_mode=trade_mode, tag=tag)
    try:
        order = _place(context, params, instrument, request, note)
    except Refusal as refusal:
        refusal.detail.update(_limits(context, instrument))
        raise translate(refusal, instrument.kind, at_market=request.price is None) from None
    return {"ordId": order.order_id, "clOrdId": client_id, "sMsg": "Order placed", "ts": str(order.created_ms)}


def check_state(context: Context, params: Params, instrument: Instrument) -> None:
    state = context.desk.state(instrument)
    if state == "live" or (state == "post_only" and params.text("ordType") == "post_only"):
        return
    raise refused(51021 if state in NOT_YET else 51022)


def _limits(context: Context, instrument: Instrument) -> dict[str, object]:
    """Return both ends of the price band, which the text of 51006 names."""
    band, last = context.venue.rules.price_band, context.venue.board.last(instrument)
    return {"highest": last * (1 + band), "lowest": last * (1 - band)} if band is not None else {}


def _refuse_unsupported(params: Params, instrument: Instrument) -> None:
    """Refuse what is not simulated rather than ignore it."""
    if any(params.has(name) for name in UNSUPPORTED):
        raise refused(51010)
    for name in OPTIONS_ONLY:
        if params.has(name):
            raise wrong(name)
    if params.text("pxAmendType") not in ("", "0"):
        raise wrong("pxAmendType")
    if params.text("tradeQuoteCcy") not in ("", instrument.quote):
        raise wrong("tradeQuoteCcy")
    params.choice("stpMode", STP_MODES, default="")


def trade_mode_of(context: Context, params: Params, instrument: Instrument) -> str:
    """Return tdMode: which one an account mode wants differs; isolated margin is not simulated."""
    mode = params.choice("tdMode", ("cash", "cross", "isolated"))
    level, spot = context.level, instrument.kind is MarketKind.SPOT
    crossed = level in (AccountLevel.MULTI_CURRENCY, AccountLevel.PORTFOLIO)
    if not spot and level is AccountLevel.SPOT:
        raise refused(51010)
    if mode == "isolated":
        raise refused(50072) if crossed else refused(51010)
    if spot and not crossed and mode == "cross":
        raise refused(51010)
    if mode != ("cash" if spot and not crossed else "cross"):
        raise wrong("tdMode")
    return mode


def _request(
    context: Context, params: Params, instrument: Instrument, client_id: str
) -> tuple[OrderRequest, OrderNote]:
    spot = instrument.kind is MarketKind.SPOT
    side = word(params, "side", {side.value: side for side in OrderSide})
    kind = params.text("ordType")
    if kind not in (*TIMES, "market") and (spot or kind not in MARKET_TYPES):
        raise wrong("ordType")
    market = kind in MARKET_TYPES
    position_side = position_side_of(context, params, spot=spot)
    size = params.decimal("sz")
    if not size:
        raise wrong("sz")
    price = None if market else params.decimal("px")
    if not market and not price:
        raise wrong("px")
    target = _target(params, side) if spot and market else ""
    reduce_only = params.flag("reduceOnly")
    if reduce_only and spot:
        raise refused(51205)
    closes = position_side is not PositionSide.BOTH and (position_side is PositionSide.LONG) != (side is OrderSide.BUY)
    request = OrderRequest(
        kind=instrument.kind,
        symbol=instrument.symbol,
        side=side,
        order_type=OrderType.MARKET if market else OrderType.LIMIT,
        qty=ZERO if target == "quote_ccy" else size,
        quote_qty=size if target == "quote_ccy" else None,
        price=price,
        time_in_force=TimeInForce.IOC if market else TIMES[kind],
        client_id=client_id,
        # Orders that close in long/short mode only ever reduce, whatever they say (docs-v5, place order).
        reduce_only=closes if position_side is not PositionSide.BOTH else reduce_only,
        position_side=position_side,
        cap_ratio=_slippage(params, received=target != "" and (target == "base_ccy") == (side is OrderSide.BUY)),
    )
    note = OrderNote(
        order_type=kind,
        target=target,
        reduce_only=reduce_only and position_side is PositionSide.BOTH,
        stp_mode=params.text("stpMode") or "cancel_maker",
        leverage=None if spot else context.venue.margin.leverage(context.me, instrument),
    )
    return request, note


def _slippage(params: Params, *, received: bool) -> Decimal | None:
    """Return slippagePct, which spot market orders in the currency that they receive may state."""
    value = params.decimal("slippagePct")
    if value is None:
        return None
    if not received:
        raise wrong("slippagePct")
    if value > SLIPPAGE_MAX:
        raise refused(54084)
    if not is_multiple(value, SLIPPAGE_STEP):
        raise refused(54085)
    return value or None


def word(params: Params, name: str, table: dict[str, V]) -> V:
    found = table.get(params.text(name))
    if found is None:
        raise wrong(name)
    return found


def position_side_of(context: Context, params: Params, *, spot: bool) -> PositionSide:
    name = params.text("posSide")
    if spot:
        if name not in ("", "net"):
            raise wrong("posSide")
        return PositionSide.BOTH
    if name not in (("long", "short") if context.hedged else ("", "net")):
        raise wrong("posSide")
    return SIDES[name or "net"]


def _target(params: Params, side: OrderSide) -> str:
    """OKX's trap: a spot market buy counts in quote currency unless told otherwise."""
    default = "quote_ccy" if side is OrderSide.BUY else "base_ccy"
    return params.choice("tgtCcy", ("base_ccy", "quote_ccy"), default=default)


def _check_client_id(context: Context, client_id: str) -> None:
    """Refuse an id that a pending order of any instrument carries; after its end it may be used again."""
    scope = context.desk.habits.id_scope
    if not client_id or scope is IdScope.NONE:
        return
    for kind in MarketKind:
        known = context.me.orders_by_client(kind, client_id)
        if any(scope is IdScope.FOREVER or order.is_open for order in known):
            raise refused(51016)


def _place(context: Context, params: Params, instrument: Instrument, request: OrderRequest, note: OrderNote) -> Order:
    """Place an order; a spot market order in the other currency shrinks to what there is, unless that is banned."""
    _check_value(context, instrument, request)
    shrinks = note.target != "" and (note.target == "base_ccy") == (request.side is OrderSide.BUY)
    try:
        order = _handed(context, request)
    except Refusal as refusal:
        if not shrinks or refusal.reason is not Reason.INSUFFICIENT_BALANCE or params.flag("banAmend"):
            raise
        order = _handed(context, _shrunk(context, instrument, request, refusal))
        note = replace(note, target="base_ccy")
    known = context.desk.notes.get(order.order_id)
    context.desk.notes[order.order_id] = replace(note, ending=known.ending if known else None)
    return order


def _handed(context: Context, request: OrderRequest) -> Order:
    if request.reduce_only and request.position_side is PositionSide.BOTH:
        return place_reducing(context, request)
    return context.venue.place(context.me, request, fill_ratio=context.handling.fill_ratio)


def _check_value(context: Context, instrument: Instrument, request: OrderRequest) -> None:
    """Refuse an order by value that is worth less than the least quantity."""
    if request.quote_qty is not None:
        best = context.venue.opposite_quote(instrument, request.side)
        if request.quote_qty < instrument.qty_min * best:
            raise refused(51020)


def _shrunk(context: Context, instrument: Instrument, request: OrderRequest, refusal: Refusal) -> OrderRequest:
    free = refusal.detail["free"]
    assert isinstance(free, Decimal)
    levels = context.venue.board.levels(instrument, request.side)
    cap = context.venue.matching.cap_price(request, instrument)
    if request.side is OrderSide.BUY:
        fills = plan_fills(levels, side=request.side, limit=cap, qty=None, value=max(free, ZERO), step=instrument.step)
        qty = sum((taken for _, taken in fills), ZERO)
    else:
        qty = floor_to(max(free, ZERO), instrument.step)
    if qty < instrument.qty_min:
        raise refusal
    return replace(request, qty=qty, quote_qty=None)
