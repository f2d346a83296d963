"""Reading orders and activities: filters, order and pages, and how stale the answer is."""

from collections.abc import Iterator

from simulators.alpaca.context import Context, Row
from simulators.alpaca.errors import bad_parameter, not_found
from simulators.alpaca.render import order_row
from simulators.alpaca.trade import find_order
from simulators.core.types import EntryKind, MarketKind, Order

ORDERS_DEFAULT, ORDERS_MAX = 50, 500
ACTIVITIES_MAX = 100
CASH_KINDS = {
    EntryKind.DEPOSIT: "CSD",
    EntryKind.WITHDRAWAL: "CSW",
    EntryKind.TRANSFER_IN: "JNLC",
    EntryKind.TRANSFER_OUT: "JNLC",
}
TRANSFERS = ("CSD", "CSW")


# orders
def _view(context: Context) -> int | None:
    return context.view_ms(context.venue.lags.orders_ms)


def _visible(context: Context, order: Order) -> Order | None:
    """Return an order as this read shows it, None when it shows nothing of it."""
    young = context.handling.hide_young_ms
    if young is not None and context.venue.now_ms() - order.created_ms < young:
        return None
    return context.account.orders[order.order_id].at(_view(context))


def _row(context: Context, order: Order, *, nested: bool) -> Row:
    book = context.house.book
    ticket = book.ticket(order)
    legs = None
    if nested and ticket.legs:
        children = (_visible(context, context.account.orders[leg].now) for leg in ticket.legs)
        legs = [order_row(book.sight(child)) for child in children if child is not None]
    return order_row(book.sight(order), legs)


def orders(context: Context) -> list[Row]:
    """GET /v2/orders: open ones unless asked otherwise, newest first, fifty unless asked for more."""
    status = context.choice("status", ("open", "closed", "all"))
    direction = context.choice("direction", ("desc", "asc"))
    limit = context.whole("limit", ORDERS_DEFAULT, ORDERS_MAX)
    nested = context.flag("nested")
    rows: list[Row] = []
    for order in _listed(context, status, ascending=direction == "asc"):
        if nested and context.house.book.ticket(order).parent:
            continue
        rows.append(_row(context, order, nested=nested))
        if len(rows) == limit:
            break
    return rows


def _listed(context: Context, status: str, *, ascending: bool) -> Iterator[Order]:
    book, account = context.house.book, context.account
    after, until = context.moment_us("after"), context.moment_us("until")
    names = {name.strip().replace("/", "") for name in context.query.get("symbols", "").split(",") if name.strip()}
    side, asset_class = context.query.get("side", ""), context.query.get("asset_class", "")
    lagged = _view(context) is not None or status != "open"
    newest = reversed(account.placed if lagged else account.open_orders())
    oldest = iter(account.placed if lagged else account.open_orders())
    for placed in oldest if ascending else newest:
        ticket = book.ticket(placed)
        if until is not None and ticket.submitted_us >= until:
            continue
        if after is not None and ticket.submitted_us <= after:
            continue
        if names and ticket.asset.symbol.replace("/", "") not in names:
            continue
        if side not in ("", placed.request.side.value) or asset_class not in ("", ticket.asset.asset_class.value):
            continue
        order = _visible(context, placed)
        if order is not None and (status == "all" or order.is_open == (status == "open")):
            yield order


def order_by_id(context: Context) -> Row:
    """GET /v2/orders/{order_id}."""
    order = _visible(context, find_order(context))
    if order is None:
        raise not_found(f"order not found for {context.path['order_id']}")
    return _row(context, order, nested=context.flag("nested"))


def order_by_client_id(context: Context) -> Row:
    """GET /v2/orders:by_client_order_id: exact, whatever became of the order."""
    name = context.query.get("client_order_id", "")
    if not name:
        raise bad_parameter("client_order_id is required")
    found = [one for kind in MarketKind for one in context.account.orders_by_client(kind, name)]
    foreign = context.account.order(name)  # one from the venue's own screens has its id for a client id
    for order in found or ([foreign] if foreign is not None else []):
        seen = _visible(context, order)
        if seen is not None:
            return _row(context, seen, nested=context.flag("nested"))
    raise not_found(f"order not found for {name}")
