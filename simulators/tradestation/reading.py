"""Orders as /v3/brokerage shows them: today's and open ones, by number, and the history of at most ninety days."""

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from heapq import merge
from itertools import islice

from simulators.core.accounts import Account
from simulators.core.types import Order
from simulators.tradestation.book import Sight
from simulators.tradestation.context import Context, House, Row, with_errors
from simulators.tradestation.errors import REJECTS, UNKNOWN_ORDER, bad_request
from simulators.tradestation.render import order_row

PAGE_MAX = 600
ORDER_IDS_MAX = 50
HISTORY_DAYS_MAX = 90
TOKEN_LIFE_MS = 3_600_000
DATES = ("%Y-%m-%d", "%m-%d-%Y", "%Y/%m/%d", "%m/%d/%Y")
Place = tuple[int, int]


def row_of(house: House, sight: Sight) -> Row:
    """Return the row that prints an order as it was seen."""
    reason = REJECTS.get(sight.order.reason, sight.order.reason.value) if sight.code == "REJ" else ""
    symbol = house.symbols[sight.order.request.symbol]
    return order_row(sight, symbol, reject_reason=reason, zero_fields=house.config.quirks.zero_fields)


def orders(context: Context) -> Row:
    """GET /v3/brokerage/accounts/{accounts}/orders: all of today, and all that are open."""
    found, errors = context.named()
    return _paged(context, current(context, found), errors, place=_placed)


def orders_by_id(context: Context) -> Row:
    """GET /v3/brokerage/accounts/{accounts}/orders/{orderIds}: today's and open ones only."""
    found, errors = context.named()
    return _by_id(context, found, errors, lambda order: _is_current(context, order))


def historical_orders(context: Context) -> Row:
    """GET /v3/brokerage/accounts/{accounts}/historicalorders: done orders, the latest closed first."""
    found, errors = context.named()
    start = _since_ms(context)
    done = [sight for sight in _seen(context, found) if _is_done(sight.order, start)]
    return _paged(context, sorted(done, key=_closed, reverse=True), errors, place=_closed)


def historical_orders_by_id(context: Context) -> Row:
    """GET /v3/brokerage/accounts/{accounts}/historicalorders/{orderIds}."""
    found, errors = context.named()
    start = _since_ms(context)
    return _by_id(context, found, errors, lambda order: _is_done(order, start))


def _by_id(context: Context, found: list[Account], errors: list[Row], wanted: Callable[[Order], bool]) -> Row:
    rows: list[Row] = []
    for order_id in context.listed("orderIds", ORDER_IDS_MAX):
        seen = _find(context, found, order_id)
        if seen is not None and wanted(seen.order):
            rows.append(row_of(context.house, seen))
        else:
            names = ",".join(account.name for account in found)
            errors.append({"AccountID": names, "OrderID": order_id, "Error": "NotFound", "Message": UNKNOWN_ORDER})
    return with_errors("Orders", rows, errors)


# what can be seen
def current(context: Context, found: list[Account]) -> Iterator[Sight]:
    """Yield today's orders and the open ones of some accounts, newest first, as far as they can be seen."""
    return (sight for sight in _seen(context, found) if _is_current(context, sight.order))


def _is_current(context: Context, order: Order) -> bool:
    today = context.house.hours.day_start_ms(context.venue.now_ms())
    return order.is_open or max(order.created_ms, order.updated_ms) >= today


def _is_done(order: Order, start_ms: int) -> bool:
    return not order.is_open and order.updated_ms >= start_ms


def _seen(context: Context, found: list[Account]) -> Iterator[Sight]:
    view = context.view_ms(context.venue.lags.orders_ms)
    at_ms = view if view is not None else context.venue.now_ms()
    sources = [account.orders_newest_first(view) for account in found]
    for order in merge(*sources, key=lambda order: order.sequence, reverse=True):
        if not _is_hidden(context, order):
            yield context.house.book.sight(order, at_ms)


def _find(context: Context, found: list[Account], order_id: str) -> Sight | None:
    view = context.view_ms(context.venue.lags.orders_ms)
    at_ms = view if view is not None else context.venue.now_ms()
    for account in found:
        order = account.order(order_id, view)
        if order is not None and not _is_hidden(context, order):
            return context.house.book.sight(order, at_ms)
    return None


def _is_hidden(context: Context, order: Order) -> bool:
    young = context.handling.hide_young_ms
    return young is not None and order.created_ms > context.venue.now_ms() - young


def _since_ms(context: Context) -> int:
    day = _since(context.query.get("since", "").strip('"'))
    hours = context.house.hours
    if day < hours.day(context.venue.now_ms()) - timedelta(days=HISTORY_DAYS_MAX):
        raise bad_request(f"since is limited to {HISTORY_DAYS_MAX} days prior to the current date, was {day}")
    return hours.day_end_ms(day - timedelta(days=1))


def _since(text: str) -> date:
    if not text:
        raise bad_request("since is required")
    for form in DATES:
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007 - a calendar day
        except ValueError:
            continue
    raise bad_request(f"since {text!r} is not a date")


# pages
def _placed(sight: Sight) -> Place:
    return sight.order.sequence, 0


def _closed(sight: Sight) -> Place:
    return sight.order.updated_ms, sight.order.sequence


def _paged(context: Context, sights: Iterable[Sight], errors: list[Row], *, place: Callable[[Sight], Place]) -> Row:
    """Return one page, and the token of the next as long as a page is full."""
    size, below = _page_size(context), _token_place(context)
    if below is not None and size is None:
        raise bad_request("nextToken needs pageSize")
    left = (sight for sight in sights if below is None or place(sight) < below)
    page = list(islice(left, size or PAGE_MAX))
    body = with_errors("Orders", [row_of(context.house, sight) for sight in page], errors)
    if size is not None and len(page) == size:
        body["NextToken"] = _token(context, place(page[-1]))
    return body


def _page_size(context: Context) -> int | None:
    text = context.query.get("pageSize", "")
    if not text:
        return None
    if not text.isdigit() or not 1 <= int(text) <= PAGE_MAX:
        raise bad_request(f"pageSize must be 1 to {PAGE_MAX}, was {text!r}")
    return int(text)


def _token(context: Context, last: Place) -> str:
    raw = f"{last[0]}:{last[1]}:{context.venue.now_ms()}"
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def _token_place(context: Context) -> Place | None:
    text = context.query.get("nextToken", "")
    if not text:
        return None
    try:
        first, second, issued = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().split(":")
        place, age_ms = (int(first), int(second)), context.venue.now_ms() - int(issued)
    except (ValueError, binascii.Error):
        raise bad_request("Invalid nextToken") from None
    if age_ms >= TOKEN_LIFE_MS:
        raise bad_request("nextToken has expired")
    return place
