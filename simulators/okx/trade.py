"""/api/v5/trade: order, batch-orders, cancel, amend, close-position, cancel-all-after. Each item has its own code."""

from collections.abc import Callable
from decimal import Decimal

from simulators.core.types import (
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
from simulators.okx.desk import waits
from simulators.okx.errors import OKXError, refused, translate, wrong
from simulators.okx.params import CLIENT_ID, SIDE_NAMES, SIDES, TAG, Context, Params
from simulators.okx.placing import place_one
from simulators.okx.render import Row

BATCH_MAX = 20
CANCEL_AFTER_S = range(10, 121)
ALL_FAILED, SOME_FAILED = "All operations failed", "Bulk operation partially succeeded."
Act = Callable[[Context, Params], Row]


class Outcome:
    """What came of the items of one request."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        failed = sum(row["sCode"] != "0" for row in rows)
        self.code = 0 if not failed else 1 if failed == len(rows) else 2
        self.message = {0: "", 1: ALL_FAILED, 2: SOME_FAILED}[self.code]


def one(context: Context, params: Params, act: Act, *, names: tuple[str, ...]) -> Row:
    """Return an item's row; one that is refused carries the ids that it came with."""
    stamp = str(context.venue.now_ms())
    given = {name: str(params.values.get(name) or "") for name in names if name != "subCode"}
    row: Row = {"clOrdId": "", "ordId": "", **given, "ts": stamp, "sCode": "0", "sMsg": ""}
    row |= {"subCode": ""} if "subCode" in names else {}
    try:
        return row | act(context, params)
    except OKXError as error:
        return row | {"sCode": str(error.code), "sMsg": f"{error.message} " if error.code == 51000 else error.message}


def items_of(context: Context, maximum: int, code: int) -> list[Params]:
    items = context.params.values.get("items")
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise refused(50002)
    if len(items) > maximum:
        raise refused(code, maximum=maximum)
    return [Params(item) for item in items]


# What an item's row has of the request, and subCode where it has one.
_PLACED = ("clOrdId", "tag", "subCode")
_NAMED = ("clOrdId", "ordId")
_AMENDED = ("clOrdId", "ordId", "reqId", "subCode")


def place(context: Context) -> Outcome:
    """POST /api/v5/trade/order: an acknowledgement only."""
    return Outcome([one(context, context.params, place_one, names=_PLACED)])


def place_many(context: Context) -> Outcome:
    """POST /api/v5/trade/batch-orders."""
    return Outcome([one(context, item, place_one, names=_PLACED) for item in items_of(context, BATCH_MAX, 51111)])


def cancel(context: Context) -> Outcome:
    """POST /api/v5/trade/cancel-order: an acknowledgement only."""
    return Outcome([one(context, context.params, _cancel, names=_NAMED)])


def cancel_many(context: Context) -> Outcome:
    """POST /api/v5/trade/cancel-batch-orders."""
    return Outcome([one(context, item, _cancel, names=_NAMED) for item in items_of(context, BATCH_MAX, 51406)])


def amend(context: Context) -> Outcome:
    """POST /api/v5/trade/amend-order."""
    return Outcome([one(context, context.params, _amend, names=_AMENDED)])


def amend_many(context: Context) -> Outcome:
    """POST /api/v5/trade/amend-batch-orders."""
    return Outcome([one(context, item, _amend, names=_AMENDED) for item in items_of(context, BATCH_MAX, 51501)])


def _open_order(context: Context, params: Params, missing: int) -> Order:
    """Return the pending order that is named; ordId goes before clOrdId."""
    name = params.text("instId")
    if not name:
        raise wrong("instId")
    instrument = context.instrument(name)
    order_id, client_id = params.text("ordId"), params.text("clOrdId")
    if not order_id and not client_id:
        raise refused(50015, first="ordId", second="clOrdId")
    found = context.me.order(order_id) if order_id else _pending(context, instrument, client_id)
    if found is None or waits(found) or not found.is_open or found.request.symbol != instrument.symbol:
        raise refused(missing)
    return found


def _pending(context: Context, instrument: Instrument, client_id: str) -> Order | None:
    orders = context.me.orders_by_client(instrument.kind, client_id)
    return next((o for o in orders if o.is_open and not waits(o) and o.request.symbol == instrument.symbol), None)


def _cancel(context: Context, params: Params) -> Row:
    order = _open_order(context, params, 51400)
    if order.order_id in context.desk.cancelling:
        raise refused(51410)
    context.venue.cancel(context.me, order.order_id)
    if context.venue.lags.apply_ms:
        context.desk.cancelling.add(order.order_id)
    return {"ordId": order.order_id, "clOrdId": order.client_id, "ts": str(order.created_ms)}


def _amend(context: Context, params: Params) -> Row:
    order = _open_order(context, params, 51503)
    if params.has("attachAlgoOrds"):
        raise refused(51010)
    qty, price = params.decimal("newSz"), params.decimal("newPx")
    if qty is None and price is None:
        raise refused(51500)
    row: Row = {"ordId": order.order_id, "clOrdId": order.client_id, "ts": str(order.created_ms)}
    try:
        _change(context, order, qty, price)
    except OKXError:
        if params.flag("cxlOnFail"):
            context.venue.cancel(context.me, order.order_id)
        raise
    return row


def _change(context: Context, order: Order, qty: Decimal | None, price: Decimal | None) -> None:
    if price is not None and order.request.time_in_force is TimeInForce.POST_ONLY:
        instrument = context.instrument(order.request.symbol)
        best = context.venue.opposite_quote(instrument, order.request.side)
        if (price - best) * order.request.side.sign >= 0:
            raise refused(51511)
    try:
        context.venue.amend(context.me, order.order_id, qty=qty, price=price)
    except Refusal as refusal:
        if refusal.reason is Reason.ORDER_NOT_MODIFIED:
            return
        error = translate(refusal, order.request.kind)
        raise OKXError(51502 if error.code == 51008 else error.code, error.message) from None


# positions
def close_position(context: Context) -> list[Row]:
    """POST /api/v5/trade/close-position: all of a position at the market; the answer names no order."""
    params = context.params
    instrument = context.instrument(params.required("instId"))
    params.required("mgnMode")
    params.choice("mgnMode", ("cross", "isolated"))
    side = SIDES[params.choice("posSide", ("long", "short") if context.hedged else ("net",), default=_default(context))]
    position = context.me.position(instrument.symbol, side)
    if instrument.kind is not MarketKind.LINEAR or position.side is None or params.text("mgnMode") != "cross":
        raise refused(51023)
    if position.qty > instrument.qty_max_market:
        raise refused(51108)
    client_id, tag = params.well_formed("clOrdId", CLIENT_ID), params.well_formed("tag", TAG)
    _clear_closing(context, instrument, side, position.side)
    request = OrderRequest(
        kind=MarketKind.LINEAR,
        symbol=instrument.symbol,
        side=position.side.opposite,
        order_type=OrderType.MARKET,
        qty=position.qty,
        time_in_force=TimeInForce.IOC,
        client_id=client_id,
        reduce_only=True,
        position_side=side,
    )
    context.venue.place(context.me, request, fill_ratio=context.handling.fill_ratio)
    return [{"instId": instrument.symbol, "posSide": SIDE_NAMES[side], "clOrdId": client_id, "tag": tag}]


def _default(context: Context) -> str:
    return "" if context.hedged else "net"


def _clear_closing(context: Context, instrument: Instrument, side: PositionSide, held: OrderSide) -> None:
    """Refuse while orders wait to close the position, or cancel them where that is asked for."""
    waiting = [
        order
        for order in context.me.open_orders()
        if order.request.symbol == instrument.symbol
        and order.request.reduce_only
        and order.request.position_side is side
        and order.request.side is held.opposite
        and not waits(order)
    ]
    if waiting and not context.params.flag("autoCxl"):
        raise refused(51115)
    for order in waiting:
        context.venue.cancel_now(context.me, order.order_id, Reason.CANCELLED_BY_ADMIN)


def cancel_all_after(context: Context) -> list[Row]:
    """POST /api/v5/trade/cancel-all-after: 0 disarms, otherwise 10 to 120 seconds, by the engine's clock."""
    params = context.params
    params.required("timeOut")
    seconds = params.integer("timeOut")
    assert seconds is not None
    if seconds and seconds not in CANCEL_AFTER_S:
        raise wrong("timeOut")
    tag = params.well_formed("tag", TAG)
    context.desk.arm(context.me, tag, seconds)
    now = context.venue.now_ms()
    due = str(now + seconds * 1000) if seconds else "0"
    return [{"triggerTime": due, "tag": tag, "ts": str(now)}]
