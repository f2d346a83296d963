"""Reading orders and activities: filters, order and pages, and how stale the answer is."""

from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal

from simulators.alpaca.config import USD
from simulators.alpaca.context import Context, Row
from simulators.alpaca.errors import bad_parameter, not_found
from simulators.alpaca.fees import Posting
from simulators.alpaca.render import activity_time, eastern, fill_id, fill_row, order_row, posting_row
from simulators.alpaca.trade import find_order
from simulators.core.sessions import NEW_YORK
from simulators.core.types import Entry, EntryKind, ExecutionKind, MarketKind, Order

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


# activities
Keyed = tuple[str, int, Row]
"""An activity under what it is sorted by: the moment in its id, then its number in the list that it comes from."""


def activities(context: Context) -> list[Row]:
    """GET /v2/account/activities, or of one type."""
    kinds = _kinds(context)
    ascending = context.choice("direction", ("desc", "asc")) == "asc"
    on_date = context.day("date")
    size = context.whole("page_size", 10**9 if on_date else ACTIVITIES_MAX, 10**9 if on_date else ACTIVITIES_MAX)
    view = context.view_ms(context.venue.lags.executions_ms)
    found = [*_fills(context, view)] if _wants(kinds, "FILL") else []
    found += [*_postings(context, kinds)]
    found = [row for row in found if _in_window(context, row[0], on_date)]
    found.sort(key=lambda row: row[:2], reverse=not ascending)
    return [row for _, _, row in _after_token(found, context.query.get("page_token", ""), ascending)[:size]]


def _kinds(context: Context) -> set[str]:
    """Return the wanted types; empty means all."""
    one = context.path.get("activity_type", "")
    asked = one or context.query.get("activity_types", "")
    kinds = {kind.strip() for kind in asked.split(",") if kind.strip()}
    if "TRANS" in kinds:
        kinds = (kinds - {"TRANS"}) | set(TRANSFERS)
    category = context.query.get("category", "")
    if category == "trade_activity":
        kinds = {"FILL"}
    elif category == "non_trade_activity":
        kinds = {"CSD", "CSW", "JNLC", "JNLS", "FEE", "CFEE"}
    return kinds


def _wants(kinds: set[str], kind: str) -> bool:
    return not kinds or kind in kinds


def _in_window(context: Context, stamp: str, on_date: date | None) -> bool:
    """Tell whether an activity's moment is within the asked ones; a day begins at New York's midnight."""
    if on_date is not None:
        return stamp[:8] == f"{on_date:%Y%m%d}"
    after, until = context.moment_us("after"), context.moment_us("until")
    at_us = _us_of(stamp)
    return (after is None or at_us > after) and (until is None or at_us < until)


def _us_of(stamp: str) -> int:
    local = datetime.strptime(stamp[:14], "%Y%m%d%H%M%S").replace(tzinfo=NEW_YORK)
    return int(local.timestamp()) * 1_000_000 + int(stamp[14:17]) * 1000


def _after_token(rows: list[Keyed], token: str, ascending: bool) -> list[Keyed]:
    """Return what follows the row with an id; one that is not there counts by the moment in it."""
    if not token:
        return rows
    for index, row in enumerate(rows):
        if row[2]["id"] == token:
            return rows[index + 1 :]
    stamp = token.partition("::")[0]
    return [row for row in rows if (row[0] > stamp if ascending else row[0] < stamp)]


def _fills(context: Context, view: int | None) -> Iterator[Keyed]:
    account, book = context.account, context.house.book
    filled: dict[str, Decimal] = {}
    for execution in account.executions:
        if execution.kind is ExecutionKind.FUNDING:
            continue
        filled[execution.order_id] = total = filled.get(execution.order_id, Decimal(0)) + execution.qty
        if view is not None and execution.time_ms > view:
            continue
        order = account.orders[execution.order_id].now
        row = fill_row(execution, order, book.ticket(order), total)
        yield fill_id(execution).partition("::")[0], execution.sequence, row


def _postings(context: Context, kinds: set[str]) -> Iterator[Keyed]:
    postings = (posting for posting in context.house.fees.postings if posting.account == context.account.name)
    cash = (_cash(entry) for entry in context.account.entries if entry.kind in CASH_KINDS)
    for posting in (*postings, *cash):
        if _wants(kinds, posting.kind):
            yield posting.activity_id.partition("::")[0], posting.sequence, posting_row(posting)


def _cash(entry: Entry) -> Posting:
    """Return what a deposit, a withdrawal or a journal looks like; other coins than dollars move as securities."""
    in_usd = entry.coin == USD
    day = eastern(entry.time_ms).date()
    stamp = activity_time(int(datetime.combine(day, time(0), NEW_YORK).timestamp() * 1000))
    kind = CASH_KINDS[entry.kind] if in_usd else "JNLS"
    return Posting(
        activity_id=f"{stamp}::{entry.entry_id}",
        sequence=entry.sequence,
        account=entry.account,
        kind=kind,
        day=day,
        net_amount=entry.change if in_usd else Decimal(0),
        description="",
        symbol="" if in_usd else f"{entry.coin}{USD}",
        qty=None if in_usd else entry.change,
    )
