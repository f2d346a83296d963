"""/api/v5/trade/order-algo and its lists: orders that wait for a price, apart from the others until they trigger.

An algo order that triggers ends, and places an ordinary order with another number that names it. Simulated are
`conditional` (one trigger: stop-loss or take-profit) and `trigger`; what else OKX has is refused.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal

from simulators.core.money import ZERO, plain
from simulators.core.types import (
    IdScope,
    Instrument,
    MarketKind,
    Order,
    OrderRequest,
    OrderSide,
    OrderStatus,
    OrderType,
    PositionSide,
    Reason,
    Refusal,
    TimeInForce,
    TriggerDirection,
)
from simulators.okx.desk import AlgoNote, OrderNote, algo_number, waits
from simulators.okx.errors import OKXError, refused, translate, wrong
from simulators.okx.paging import page
from simulators.okx.params import CLIENT_ID, DAY_MS, TAG, TYPES, Context, Params
from simulators.okx.placing import check_state, position_side_of, trade_mode_of, word
from simulators.okx.render import Row, side_name
from simulators.okx.trade import Outcome, items_of

ALGO_TYPES = ("conditional", "oco", "trigger", "move_order_stop", "iceberg", "twap", "chase", "smart_iceberg")
TOGETHER = {"conditional", "oco"}
ENDS = ("effective", "canceled", "order_failed")
KEPT_MS = 90 * DAY_MS
CANCELS_MAX = 10
AT_MARKET = "-1"
# By type: the names of its trigger and of its price. A stop-loss goes before a take-profit.
_FORMS = {
    "conditional": (("slTriggerPx", "slOrdPx"), ("tpTriggerPx", "tpOrdPx")),
    "trigger": (("triggerPx", "orderPx"),),
}
_NOT_SIMULATED = ("closeFraction", "cxlOnClosePos", "attachAlgoOrds", "tpOrdKind", "advanceOrdType", "quickMgnType")
_PRICE_TYPES = ("last", "index", "mark")
_WRONG_SIDE = {("slTriggerPx", "buy"): 51278, ("slTriggerPx", "sell"): 51280}
_WRONG_SIDE |= {("tpTriggerPx", "buy"): 51277, ("tpTriggerPx", "sell"): 51279}
_FAILS = {Reason.INSUFFICIENT_BALANCE: "51008", Reason.REDUCE_ONLY_ZERO: "51169"}


# -- what an algo order is --------------------------------------------------------------------------------------
def failed(order: Order) -> bool:
    """Tell whether an order triggered and could not be placed."""
    if not order.triggered or order.is_open or order.filled_qty:
        return False
    is_market = order.request.order_type is OrderType.MARKET
    return order.reason is Reason.INSUFFICIENT_BALANCE or (is_market and order.reason is Reason.REDUCE_ONLY_ZERO)


def is_plain(order: Order) -> bool:
    """Tell whether an order is, or has become, an ordinary one."""
    return order.request.trigger_price is None or (order.triggered and not failed(order))


def state_of(order: Order) -> str:
    if not order.triggered:
        return "live" if order.is_open else "canceled"
    return "order_failed" if failed(order) else "effective"


# -- placing ----------------------------------------------------------------------------------------------------
def place(context: Context) -> Outcome:
    """POST /api/v5/trade/order-algo: an acknowledgement only; it takes no expTime."""
    return Outcome([_item(context.params, _place, context)])


def _item(params: Params, act: Callable[[Context, Params], Row], context: Context) -> Row:
    given = {name: str(params.values.get(name) or "") for name in ("algoId", "algoClOrdId", "tag")}
    row: Row = {**given, "clOrdId": "", "sCode": "0", "sMsg": ""}
    try:
        return row | act(context, params)
    except OKXError as error:
        return row | {"sCode": str(error.code), "sMsg": error.message}


def _place(context: Context, params: Params) -> Row:
    name = params.text("instId")
    if not name:
        raise wrong("instId")
    instrument = context.instrument(name)
    check_state(context, params, instrument)
    if any(params.has(one) for one in _NOT_SIMULATED):
        raise refused(51010)
    trade_mode = trade_mode_of(context, params, instrument)
    client_id, tag = params.well_formed("algoClOrdId", CLIENT_ID), params.well_formed("tag", TAG)
    kind = params.choice("ordType", ALGO_TYPES)
    if kind not in _FORMS:
        raise refused(51010)
    request, trigger = _request(context, params, instrument, kind)
    _check_client_id(context, client_id)
    try:
        order = context.venue.place(context.me, request, fill_ratio=context.handling.fill_ratio)
    except Refusal as refusal:
        raise _told(refusal, instrument, trigger, request.side) from None
    is_reduction = request.reduce_only and request.position_side is PositionSide.BOTH
    context.desk.notes[order.order_id] = OrderNote(
        trade_mode=trade_mode,
        tag=tag,
        order_type="limit" if request.order_type is OrderType.LIMIT else "market",
        target="base_ccy" if instrument.kind is MarketKind.SPOT and request.order_type is OrderType.MARKET else "",
        reduce_only=is_reduction,
        leverage=None if instrument.kind is MarketKind.SPOT else context.venue.margin.leverage(context.me, instrument),
        algo=AlgoNote(kind, trigger, client_id, f"O{order.order_id}" if context.desk.habits.child_ids else ""),
    )
    return {"algoId": algo_number(order), "algoClOrdId": client_id, "tag": tag}


def _request(context: Context, params: Params, instrument: Instrument, kind: str) -> tuple[OrderRequest, str]:
    spot = instrument.kind is MarketKind.SPOT
    side = word(params, "side", {side.value: side for side in OrderSide})
    position_side = position_side_of(context, params, spot=spot)
    size = params.decimal("sz")
    if not size:
        raise wrong("sz")
    if params.flag("reduceOnly") and spot:
        raise refused(51205)
    trigger_name, price_name = _form(params, kind)
    trigger = params.decimal(trigger_name)
    if not trigger:
        raise wrong(trigger_name)
    kinds_of_price = ("last",) if spot else _PRICE_TYPES
    if params.choice(f"{trigger_name}Type", _PRICE_TYPES, default="last") not in kinds_of_price:
        raise refused(51415)
    market = params.text(price_name) == AT_MARKET
    price = None if market else params.decimal(price_name)
    if not market and not price:
        raise wrong(price_name)
    _check_target(params, kind, side, counts=spot and market)
    closes = position_side is not PositionSide.BOTH and (position_side is PositionSide.LONG) != (side is OrderSide.BUY)
    request = OrderRequest(
        kind=instrument.kind,
        symbol=instrument.symbol,
        side=side,
        order_type=OrderType.MARKET if market else OrderType.LIMIT,
        qty=size,
        price=price,
        time_in_force=TimeInForce.IOC if market else TimeInForce.GTC,
        reduce_only=closes if position_side is not PositionSide.BOTH else params.flag("reduceOnly"),
        position_side=position_side,
        trigger_price=trigger,
        trigger_direction=_direction(context, instrument, trigger_name, side, trigger),
    )
    return request, trigger_name


def _form(params: Params, kind: str) -> tuple[str, str]:
    for form in _FORMS[kind]:
        if params.has(form[0]) or params.has(form[1]):
            return form
    return _FORMS[kind][0]


def _direction(
    context: Context, instrument: Instrument, name: str, side: OrderSide, trigger: Decimal
) -> TriggerDirection:
    """A stop-loss buys into a rise and a take-profit into a fall; a trigger order waits for where the price is not."""
    if name == "triggerPx":
        rises = trigger > context.venue.board.last(instrument)
    else:
        rises = (name == "slTriggerPx") == (side is OrderSide.BUY)
    return TriggerDirection.RISE if rises else TriggerDirection.FALL


def _check_target(params: Params, kind: str, side: OrderSide, *, counts: bool) -> None:
    """A conditional market buy on spot counts in quote currency unless told otherwise; that is not simulated."""
    if params.has("tgtCcy") and kind == "trigger":
        raise refused(51281)
    default = "quote_ccy" if counts and side is OrderSide.BUY and kind == "conditional" else "base_ccy"
    if params.choice("tgtCcy", ("base_ccy", "quote_ccy"), default=default) == "quote_ccy" and counts:
        raise refused(51010)


def _check_client_id(context: Context, client_id: str) -> None:
    """Refuse an id that a waiting algo order has: among which others is not documented."""
    scope = context.desk.habits.id_scope
    if client_id and scope is not IdScope.NONE:
        for order in _named(context, lambda note: note.client_id == client_id):
            if scope is IdScope.FOREVER or (waits(order) and order.is_open):
                raise refused(51068, name="algoClOrdId")


def _told(refusal: Refusal, instrument: Instrument, trigger: str, side: OrderSide) -> OKXError:
    if refusal.reason in (Reason.TRIGGER_NOT_RISING, Reason.TRIGGER_NOT_FALLING):
        return refused(_WRONG_SIDE[(trigger, side.value)]) if trigger != "triggerPx" else wrong(trigger)
    if refusal.reason is Reason.TOO_MANY_CONDITIONAL_ORDERS:
        return refused(51261, maximum=refusal.detail["maximum"])
    return translate(refusal, instrument.kind)


# -- finding ----------------------------------------------------------------------------------------------------
def _note(context: Context, order: Order) -> AlgoNote:
    """Return an order's own words; those of one that came another way are a stop-loss without an id."""
    return context.desk.note(order).algo or AlgoNote("conditional", "slTriggerPx")


def _every(context: Context) -> Iterator[Order]:
    """Yield the caller's algo orders, newest first, as far as this reading shows them."""
    view = context.view_ms(context.venue.lags.orders_ms)
    young = context.handling.hide_young_ms
    now = context.venue.now_ms()
    for order in context.me.orders_newest_first(view):
        hidden = young is not None and order.created_ms > now - young
        if order.request.trigger_price is not None and order.status is not OrderStatus.PENDING and not hidden:
            yield order


def _named(context: Context, wanted: Callable[[AlgoNote], bool]) -> list[Order]:
    return [
        order
        for order in context.me.orders_newest_first(None)
        if order.request.trigger_price is not None and wanted(_note(context, order))
    ]


def details(context: Context) -> list[Row]:
    """GET /api/v5/trade/order-algo: of several with one algoClOrdId the latest."""
    number, client_id = context.params.text("algoId"), context.params.text("algoClOrdId")
    if not number and not client_id:
        raise refused(50015, first="algoId", second="algoClOrdId")
    for order in _every(context):
        mine = algo_number(order) == number if number else _note(context, order).client_id == client_id
        if mine and (order.is_open or context.venue.now_ms() - order.updated_ms <= KEPT_MS):
            return [algo_row(context, order)]
    raise refused(51603)


def pending(context: Context) -> list[Row]:
    """GET /api/v5/trade/orders-algo-pending: of one type at a time, or of conditional and oco."""
    number = context.params.text("algoId")
    return _listed(context, lambda order: state_of(order) == "live" and number in ("", algo_number(order)))


def history(context: Context) -> list[Row]:
    """GET /api/v5/trade/orders-algo-history: three months, by state or number."""
    state, number = context.params.choice("state", ("", *ENDS), default=""), context.params.text("algoId")
    if not state and not number:
        raise refused(50015, first="state", second="algoId")
    now = context.venue.now_ms()

    def wanted(order: Order) -> bool:
        is_over = state_of(order) != "live" and now - order.updated_ms <= KEPT_MS
        return is_over and state in ("", state_of(order)) and number in ("", algo_number(order))

    return _listed(context, wanted)


def _listed(context: Context, wanted: Callable[[Order], bool]) -> list[Row]:
    params = context.params
    params.required("ordType")
    types = params.many("ordType", len(ALGO_TYPES))
    if any(kind not in ALGO_TYPES for kind in types) or (len(types) > 1 and not set(types) <= TOGETHER):
        raise wrong("ordType")
    kinds, name = context.kinds(), params.text("instId")
    if name:
        context.instrument(name)
    found = (
        order
        for order in _every(context)
        if order.request.kind in kinds
        and name in ("", order.request.symbol)
        and _note(context, order).kind in types
        and wanted(order)
    )
    return [algo_row(context, order) for order in page(found, params, number=algo_number)]


# -- cancelling -------------------------------------------------------------------------------------------------
def cancel(context: Context) -> Outcome:
    """POST /api/v5/trade/cancel-algos: a list of at most ten; only what still waits."""
    return Outcome([_item(item, _cancel, context) for item in items_of(context, CANCELS_MAX, 51406)])


def _cancel(context: Context, params: Params) -> Row:
    name, number, client_id = params.text("instId"), params.text("algoId"), params.text("algoClOrdId")
    if not name:
        raise wrong("instId")
    context.instrument(name)
    if not number and not client_id:
        raise refused(50015, first="algoId", second="algoClOrdId")
    every = _named(context, lambda note: bool(number) or note.client_id == client_id)
    mine = [o for o in every if o.request.symbol == name and (not number or algo_number(o) == number)]
    if not mine:
        raise refused(51400)
    order = next((o for o in mine if waits(o) and o.is_open), mine[0])
    if order.triggered and is_plain(order):
        raise refused(51416)
    if not order.is_open:
        raise refused(51400)
    context.venue.cancel(context.me, order.order_id)
    return {"algoId": algo_number(order), "algoClOrdId": "", "tag": ""}


# -- rows -------------------------------------------------------------------------------------------------------
def algo_row(context: Context, order: Order) -> Row:
    """Return one algo order: every value a string, "" for what does not apply."""
    request, note, words = order.request, _note(context, order), context.desk.note(order)
    spot = request.kind is MarketKind.SPOT
    state = state_of(order)
    trigger_ms = context.desk.triggered_ms(order)
    placed = [order.order_id] if state == "effective" else []
    market = request.order_type is OrderType.MARKET
    form = {note.trigger: plain(request.trigger_price or ZERO), f"{note.trigger}Type": "last"}
    form[_price_field(note)] = AT_MARKET if market else plain(request.price or ZERO)
    return _UNUSED | {
        "instType": TYPES[request.kind],
        "instId": request.symbol,
        "algoId": algo_number(order),
        "algoClOrdId": note.client_id,
        "ordType": note.kind,
        "state": state,
        "side": request.side.value,
        "posSide": side_name(request.kind, request.position_side),
        "tdMode": words.trade_mode,
        "tgtCcy": words.target if spot and request.side is OrderSide.BUY else "",
        "sz": plain(request.qty),
        "reduceOnly": "true" if words.reduce_only else "false",
        "tag": words.tag,
        "last": plain(order.last_on_created),
        "lever": "" if spot else plain(words.leverage or ZERO),
        "ordId": placed[0] if placed else "",
        "ordIdList": placed,
        "actualSz": plain(order.qty) if placed else "0",
        "actualPx": plain(order.average_price or order.price) if placed else "",
        "actualSide": note.trigger[:2] if placed and note.kind == "conditional" else "",
        "failCode": _FAILS.get(order.reason, "") if state == "order_failed" else "",
        "triggerTime": str(trigger_ms) if trigger_ms else "",
        "cTime": str(order.created_ms),
        "uTime": str(trigger_ms or order.updated_ms),
        "tradeQuoteCcy": context.instrument(request.symbol).quote if spot else "",
        **form,
    }


def _price_field(note: AlgoNote) -> str:
    """A trigger order's price is sent as orderPx and shown as ordPx."""
    return {"slTriggerPx": "slOrdPx", "tpTriggerPx": "tpOrdPx"}.get(note.trigger, "ordPx")


_UNUSED: Row = {
    **dict.fromkeys(("activePx", "amendPxOnTriggerType", "callbackRatio", "callbackSpread", "ccy", "chaseType"), ""),
    **dict.fromkeys(("chaseVal", "clOrdId", "closeFraction", "isTradeBorrowMode", "maxChaseType", "maxChaseVal"), ""),
    **dict.fromkeys(("moveTriggerPx", "ordPx", "pxLimit", "pxSpread", "pxVar", "quickMgnType", "slOrdPx"), ""),
    **dict.fromkeys(("slTriggerPx", "slTriggerPxType", "szLimit", "timeInterval", "tpOrdPx", "tpTriggerPx"), ""),
    **dict.fromkeys(("tpTriggerPxType", "triggerPx", "triggerPxType"), ""),
    "attachAlgoOrds": [],
    "linkedOrd": {"ordId": ""},
    "subAlgoIdList": [],
}
