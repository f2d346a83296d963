"""/api/v5/trade: one order, pending orders, history and its archive; an order is known by its venue's or our id."""

from collections.abc import Callable, Iterable, Iterator

from simulators.core.types import Instrument, Order, OrderStatus
from simulators.okx.algos import is_plain
from simulators.okx.errors import refused
from simulators.okx.paging import page, window
from simulators.okx.params import DAY_MS, Context, Params, family
from simulators.okx.render import STATES, Row, order_row, order_type

UNFILLED_KEPT_MS = 2 * 3_600_000
HISTORY_MS, ARCHIVE_MS = 7 * DAY_MS, 90 * DAY_MS


def details(context: Context) -> list[Row]:
    """GET /api/v5/trade/order: of several orders with one clOrdId the latest; 51603 for what is not kept."""
    params = context.params
    instrument = context.instrument(params.required("instId"))
    order_id, client_id = params.text("ordId"), params.text("clOrdId")
    if not order_id and not client_id:
        raise refused(50015, first="ordId", second="clOrdId")
    view = _view(context)
    if order_id:
        found = context.me.order(order_id, view)
        orders = [found] if found is not None else []
    else:
        orders = context.me.orders_by_client(instrument.kind, client_id, view)
    mine = (o for o in _visible(context, orders) if o.request.symbol == instrument.symbol)
    order = next((o for o in mine if o.is_open or _kept(context, o, HISTORY_MS)), None)
    if order is None:
        raise refused(51603)
    return [_row(context, order)]


def pending(context: Context) -> list[Row]:
    """GET /api/v5/trade/orders-pending."""
    states = (STATES[OrderStatus.OPEN], STATES[OrderStatus.PARTIALLY_FILLED])
    context.params.choice("state", ("", *states), default="")
    return _listed(context, lambda order: order.is_open, required=False)


def history(context: Context) -> list[Row]:
    """GET /api/v5/trade/orders-history: done in the last seven days; unfilled cancelled ones for two hours."""
    return _listed(context, lambda order: not order.is_open and _kept(context, order, HISTORY_MS), required=True)


def archive(context: Context) -> list[Row]:
    """GET /api/v5/trade/orders-history-archive: of three months, without unfilled cancelled ones."""

    def kept(order: Order) -> bool:
        return not order.is_open and order.filled_qty > 0 and _kept(context, order, ARCHIVE_MS)

    return _listed(context, kept, required=True)


def _view(context: Context) -> int | None:
    return context.view_ms(context.venue.lags.orders_ms)


def _visible(context: Context, orders: Iterable[Order]) -> Iterator[Order]:
    """Leave out what the engine has not applied yet and what a fault hides."""
    young = context.handling.hide_young_ms
    horizon = context.venue.now_ms() - young if young is not None else None
    for order in orders:
        hidden = horizon is not None and order.created_ms > horizon
        if order.status is not OrderStatus.PENDING and not hidden and is_plain(order):
            yield order


def _kept(context: Context, order: Order, span_ms: int) -> bool:
    kept_ms = span_ms if order.filled_qty > 0 else UNFILLED_KEPT_MS
    return context.venue.now_ms() - order.updated_ms <= kept_ms


def _every(context: Context) -> Iterator[Order]:
    """Yield the caller's orders, newest first, from the one that `after` names back."""
    order_id = context.params.text("after")
    mark = context.me.order(order_id) if order_id else None
    return context.me.orders_newest_first(_view(context), before=mark.sequence if mark is not None else None)


def _live(context: Context) -> Iterator[Order]:
    for order_id in reversed(context.me.open_ids):
        yield context.me.orders[order_id].now


def _listed(context: Context, wanted: Callable[[Order], bool], *, required: bool) -> list[Row]:
    params = context.params
    kinds = context.kinds(required=required)
    name = params.text("instId")
    if name:
        context.instrument(name)
    chosen, within = _chooser(context, params), window(params)
    only_live = not required and _view(context) is None
    orders = _visible(context, _live(context) if only_live else _every(context))
    found = (
        o for o in orders if o.request.kind in kinds and wanted(o) and chosen(o) and within(_placed_ms(context, o))
    )
    return [_row(context, order) for order in page(found, params, number=lambda order: order.order_id)]


def _chooser(context: Context, params: Params) -> Callable[[Order], bool]:
    """Return what the request's further fields ask for."""
    name, state, kinds = params.text("instId"), params.text("state"), params.many("ordType", 10)
    of = params.text("instFamily") or params.text("uly")

    def chosen(order: Order) -> bool:
        if name not in ("", order.request.symbol):
            return False
        if of not in ("", family(_instrument(context, order))):
            return False
        if kinds and order_type(order, context.desk.note(order)) not in kinds:
            return False
        return state in ("", STATES.get(order.status, "canceled"))

    return chosen


def _instrument(context: Context, order: Order) -> Instrument:
    return context.venue.instruments[(order.request.kind, order.request.symbol)]


def _row(context: Context, order: Order) -> Row:
    """Return an order with its fills as far as this reading shows them."""
    instrument = _instrument(context, order)
    fills = context.desk.by_order.get(order.order_id, [])
    shown = [fill for fill in fills if fill.execution.time_ms <= order.updated_ms]
    rate = context.venue.margin.leverage(context.me, instrument)
    note, placed_ms = context.desk.note(order), _placed_ms(context, order)
    return order_row(order, instrument, note, shown, rate=rate, placed_ms=placed_ms)


def _placed_ms(context: Context, order: Order) -> int:
    """Return when an order came to be: one that an algo order placed, when that triggered."""
    return context.desk.triggered_ms(order) or order.created_ms
