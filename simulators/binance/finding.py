"""Which stored order or trade a request means: by id, client id, window or first number; and what has been dropped."""

import itertools
from collections.abc import Iterable, Iterator
from typing import TypeVar

from simulators.binance.errors import BinanceError
from simulators.binance.params import DAY_MS, Context
from simulators.binance.words import is_conditional, shown_id
from simulators.core.accounts import newest_first
from simulators.core.types import Execution, ExecutionKind, Instrument, MarketKind, Order, OrderStatus

T = TypeVar("T")
SPOT_ARCHIVE_MS = 90 * DAY_MS
FUTURES_UNFILLED_MS = 3 * DAY_MS
FUTURES_ORDERS_MS = 90 * DAY_MS
FUTURES_TRADES_MS = 183 * DAY_MS
SPOT_WINDOW_MS = DAY_MS
FUTURES_WINDOW_MS = 7 * DAY_MS
NO_ID = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"


def in_book(order: Order) -> bool:
    """Tell whether the ordinary order routes show an order: futures' waiting conditionals have routes of their own."""
    return order.request.kind is MarketKind.SPOT or order.triggered or not is_conditional(order.request)


def taken_ms(order: Order) -> int:
    """Return when the engine got an order: a conditional one of futures when its trigger was hit."""
    is_handed_over = order.request.kind is MarketKind.LINEAR and order.triggered
    return order.triggered_ms if is_handed_over else order.created_ms


def visible(context: Context, orders: Iterable[Order]) -> Iterator[Order]:
    """Leave out other products' orders, what the engine has not applied yet and what a fault hides."""
    young = context.handling.hide_young_ms
    horizon = context.venue.now_ms() - young if young is not None else None
    for order in orders:
        hidden = horizon is not None and order.created_ms > horizon
        if order.request.kind is context.kind and order.status is not OrderStatus.PENDING and not hidden:
            yield order


def is_over(order: Order) -> bool:
    """Tell whether an order ended without any fill: those are forgotten first."""
    return not order.is_open and order.filled_qty == 0


def is_dropped(context: Context, order: Order) -> bool:
    """Tell whether a futures order is too old to be found: unfilled ones after three days, the rest after ninety."""
    age_ms = context.venue.now_ms() - taken_ms(order)
    if context.kind is MarketKind.SPOT or order.is_open:
        return False
    return age_ms > FUTURES_ORDERS_MS or (is_over(order) and age_ms > FUTURES_UNFILLED_MS)


def by_ids(
    context: Context, instrument: Instrument, *, view_ms: int | None = None, mismatch: BinanceError
) -> list[Order]:
    """Return the orders that `orderId` or `origClientOrderId` name, newest first; both must agree."""
    params, account = context.params, context.me
    number, client_id = params.integer("orderId"), params.text("origClientOrderId")
    if number is None and not client_id:
        raise BinanceError(-1102, NO_ID)
    if number is not None:
        one = account.order(str(number), view_ms)
        found = [one] if one is not None else []
    else:
        found = account.orders_by_client(context.kind, client_id, view_ms) or _of_others(context, client_id, view_ms)
    found = [o for o in found if o.request.kind is context.kind and o.request.symbol == instrument.symbol]
    if number is not None and client_id and found and shown_id(found[0]) != client_id:
        raise mismatch
    return found


def _of_others(context: Context, client_id: str, view_ms: int | None) -> list[Order]:
    """Return the order that the account's human or the venue placed, by the id that it is shown with."""
    number = "".join(itertools.takewhile(str.isdigit, reversed(client_id)))[::-1]
    order = context.me.order(number, view_ms)
    return [order] if order is not None and shown_id(order) == client_id else []


def one_order(context: Context, instrument: Instrument) -> Order:
    """Return the order that a query names, the latest of several with the same client id."""
    view = context.view_ms(context.venue.lags.orders_ms)
    mismatch = BinanceError(-2039)
    found = [o for o in visible(context, by_ids(context, instrument, view_ms=view, mismatch=mismatch)) if in_book(o)]
    found = [order for order in found if not is_dropped(context, order)]
    if not found:
        raise BinanceError(-2013)
    order = found[0]
    old = context.venue.now_ms() - order.updated_ms > SPOT_ARCHIVE_MS
    if context.kind is MarketKind.SPOT and is_over(order) and old:
        raise BinanceError(-2026)
    return order


def open_order(context: Context, instrument: Instrument) -> Order:
    """Return the open order that a cancel or an amendment names."""
    for order in by_ids(context, instrument, mismatch=BinanceError(-2011)):
        if order.is_open and in_book(order):
            return order
    raise BinanceError(-2011)


def open_orders(context: Context, instrument: Instrument | None) -> list[Order]:
    """Return a product's open orders, oldest first."""
    view = context.view_ms(context.venue.lags.orders_ms)
    if view is None:
        every: Iterable[Order] = context.me.open_orders()
    else:
        every = reversed([order for order in context.me.orders_newest_first(view) if order.is_open])
    return [
        order
        for order in visible(context, every)
        if in_book(order) and (instrument is None or order.request.symbol == instrument.symbol)
    ]


def alive(context: Context, instrument: Instrument) -> list[Order]:
    """Return a symbol's open orders as the engine has them, for cancels."""
    return [
        order
        for order in context.me.open_orders()
        if order.request.kind is context.kind and order.request.symbol == instrument.symbol and in_book(order)
    ]


def fills_of(context: Context, order: Order) -> list[Execution]:
    """Return an order's fills, oldest first."""
    later = itertools.takewhile(lambda row: row.sequence > order.sequence, newest_first(context.me.executions))
    return [execution for execution in later if execution.order_id == order.order_id][::-1]


# windows and pages
def window(context: Context, length_ms: int) -> tuple[int, int] | None:
    """Return startTime and endTime, at most `length_ms` apart; None when neither was sent."""
    start, end = context.params.integer("startTime"), context.params.integer("endTime")
    if start is None and end is None:
        return None
    if start is not None and end is not None:
        if start > end:
            raise BinanceError(-1023)
        if end - start > length_ms:
            raise _too_wide(context.kind, length_ms)
        return start, end
    if start is not None:
        return start, start + length_ms
    assert end is not None
    return end - length_ms, end


def _too_wide(kind: MarketKind, length_ms: int) -> BinanceError:
    if kind is MarketKind.SPOT:
        return BinanceError(-1127, f"More than {length_ms // 3_600_000} hours between startTime and endTime.")
    return BinanceError(-4165, f"Maximum time interval is {length_ms // DAY_MS} days.")


def first_or_last(newest: Iterable[T], *, limit: int, oldest: bool) -> list[T]:
    """Return at most `limit` rows, oldest first: the oldest of them, or the latest."""
    if oldest:
        return list(reversed(list(newest)))[:limit]
    return list(reversed(list(itertools.islice(newest, limit))))


def all_orders(context: Context, instrument: Instrument) -> list[Order]:
    """Return a symbol's orders of a window, from a number on, or the latest; oldest first."""
    spot = context.kind is MarketKind.SPOT
    number = context.params.integer("orderId")
    span = window(context, SPOT_WINDOW_MS if spot else FUTURES_WINDOW_MS)
    now = context.venue.now_ms()
    if span is None and number is None and not spot:
        span = (now - FUTURES_WINDOW_MS, now)
        latest = True
    else:
        latest = span is None and number is None
    view = context.view_ms(context.venue.lags.orders_ms)
    chosen = (
        order
        for order in visible(context, context.me.orders_newest_first(view))
        if order.request.symbol == instrument.symbol
        and in_book(order)
        and (span is None or span[0] <= taken_ms(order) <= span[1])
        and (number is None or int(order.order_id) >= number)
        and not is_dropped(context, order)
        and not (spot and is_over(order) and now - order.updated_ms > SPOT_ARCHIVE_MS)
    )
    return first_or_last(chosen, limit=context.params.limit(500, 1000), oldest=not latest)


def trades(context: Context, instrument: Instrument) -> list[Execution]:
    """Return a symbol's fills of a window, of an order, from a number on, or the latest; oldest first."""
    params, spot = context.params, context.kind is MarketKind.SPOT
    order_id, first = params.integer("orderId"), params.integer("fromId")
    span = window(context, SPOT_WINDOW_MS if spot else FUTURES_WINDOW_MS)
    if (first is not None and span is not None) or (spot and order_id is not None and span is not None):
        raise BinanceError(-1128)
    now = context.venue.now_ms()
    latest = span is None and first is None
    if not spot and span is None and first is None and order_id is None:
        span = (now - FUTURES_WINDOW_MS, now)
    view = context.view_ms(context.venue.lags.executions_ms)
    young = context.handling.hide_young_ms
    until = min(now if view is None else view, now if young is None else now - young)

    def wanted(execution: Execution) -> bool:
        if execution.kind is ExecutionKind.FUNDING or execution.market is not context.kind:
            return False
        if execution.symbol != instrument.symbol or execution.time_ms > until:
            return False
        if not spot and now - execution.time_ms > FUTURES_TRADES_MS:
            return False
        in_span = span is None or span[0] <= execution.time_ms <= span[1]
        mine = order_id is None or execution.order_id == str(order_id)
        return in_span and mine and (first is None or int(execution.execution_id) >= first)

    chosen = filter(wanted, newest_first(context.me.executions))
    return first_or_last(chosen, limit=params.limit(500, 1000), oldest=not latest)
