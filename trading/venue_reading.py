"""The venue's side of a reconciliation: figures first, histories after them, window by window into spools."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlmodel import select

from brokers.ids import InstrumentId, VenueOrderId
from brokers.types import Balance, CashEvent, Fill, LeverageInfo, Order, Position
from ledger.reading import table_of
from ledger.records import orders_with_status
from ledger.tables import FillRow, OrderRow
from trading.fact_rows import CASH_EVENTS, FILLS, ORDERS, Spool
from trading.ledger_view import OPEN_STATUSES
from trading.reconciliation import VenueView
from trading.runtime import Runtime
from trading.steps import Step, StepKind
from trading.wallet_changes import wallet_changes

WINDOW_FILLS = 20_000  # of the ledger's; an account with fewer is read at once
T = TypeVar("T")
Fact = TypeVar("Fact", Fill, CashEvent)


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueReading:
    """One reading. `read_at` is the venue's time before the figures, `now` that before the histories.

    `…_shown` is all that the histories hold; `orders`, `fills` and `cash_events` what of it is left to compare once
    what the ledger holds alike was taken out (trading.settling), and nothing before that.
    """

    read_at: datetime
    now: datetime
    orders_shown: Spool[Order]
    fills_shown: Spool[Fill]
    cash_events_shown: Spool[CashEvent]
    orders: tuple[Order, ...] = ()
    fills: tuple[Fill, ...] = ()
    cash_events: tuple[CashEvent, ...] = ()
    positions: tuple[Position, ...]
    balances: tuple[Balance, ...]
    leverages: tuple[LeverageInfo, ...]
    has_cash_feed: bool
    feed_is_whole: bool
    fills_are_totals: bool

    def view(self, runtime: Runtime, start: datetime) -> VenueView:
        """As the pure comparison takes it; facts count from `start` on."""
        return VenueView(
            account_id=runtime.account_id,
            orders=self.orders,
            fills=self.fills,
            cash_events=self.cash_events,
            positions=self.positions,
            balances=self.balances,
            leverages=self.leverages,
            window_start=start,
            read_at=self.read_at,
            has_cash_feed=self.has_cash_feed,
            feed_is_whole=self.feed_is_whole,
            fills_are_totals=self.fills_are_totals,
        )


def read_venue(
    runtime: Runtime, start: datetime, *, leverage_of: Iterable[InstrumentId] = (), step: Step
) -> VenueReading:
    """Figures first, histories after them: what happens meanwhile is in the histories and known to be later."""
    broker, account = runtime.broker, runtime.account_id
    read_at = step("read the venue's clock", StepKind.READ, broker.clock_reading).venue_time
    positions = step(f"read positions of {account}", StepKind.READ, broker.positions)
    balances = step(f"read balances of {account}", StepKind.READ, broker.balances)
    leverages = tuple(
        step(f"read leverage of {key}", StepKind.READ, lambda key=key: broker.leverage(key))  # type: ignore[misc]
        for key in sorted(leverage_of)
    )
    open_orders = step(f"read open orders of {account}", StepKind.READ, broker.open_orders)
    now = step("read the venue's clock", StepKind.READ, broker.clock_reading).venue_time
    orders, fills, events = Spool(ORDERS), Spool(FILLS), Spool(CASH_EVENTS)
    orders.add(open_orders)
    shown = {order.venue_order_id for order in open_orders}
    held_open = {row.venue_order_id for row in _open_in_ledger(runtime)}
    for window in _windows(runtime, start, now):
        history = step(f"read order history of {account}{window}", StepKind.READ, _reader(broker.order_history, window))
        orders.add(history)
        shown |= {order.venue_order_id for order in history if str(order.venue_order_id) in held_open}
        found = window.only(step(f"read fills of {account}{window}", StepKind.READ, _reader(broker.fills, window)))
        fills.add(found)
        events.add(window.only(wallet_changes(broker, found, since=window.since, until=window.until, step=step)))
    orders.add(look_up(runtime, shown, step))
    return VenueReading(
        read_at=read_at,
        now=now,
        orders_shown=orders,
        fills_shown=fills,
        cash_events_shown=events,
        positions=positions,
        balances=balances,
        leverages=leverages,
        has_cash_feed=broker.capabilities.explains_balances,
        feed_is_whole=broker.capabilities.cash_events,
        fills_are_totals=broker.capabilities.fills_are_totals,
    )


# -- windows ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Window:
    """A part of the look-back, `since <= time < until`, that holds about WINDOW_FILLS fills."""

    number: int
    count: int
    since: datetime
    until: datetime

    def __str__(self) -> str:
        return f", part {self.number} of {self.count}" if self.count > 1 else ""

    def only(self, facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Those of this window: a venue that counts both ends in lists what lies on one twice."""
        if self.count == 1:
            return facts
        is_first, is_last = self.number == 1, self.number == self.count
        return tuple(
            fact for fact in facts if (is_first or fact.time >= self.since) and (is_last or fact.time < self.until)
        )


def _windows(runtime: Runtime, start: datetime, now: datetime) -> list[_Window]:
    """The look-back cut at every WINDOW_FILLS-th fill on record, at whole seconds, which every venue can name."""
    table = table_of(FillRow)
    cuts, reached = [start], start
    with runtime.ledger.read() as session:
        while True:
            query = select(table.c.time).where(table.c.account_id == str(runtime.account_id), table.c.time > reached)
            found = session.connection().execute(query.order_by(table.c.time).offset(WINDOW_FILLS).limit(1)).scalar()
            if found is None or found >= now:
                break
            cut, reached = found.replace(microsecond=0), found
            if cut > cuts[-1]:
                cuts.append(cut)
    ends = [*cuts[1:], now]
    return [_Window(place, len(cuts), *both) for place, both in enumerate(zip(cuts, ends, strict=True), start=1)]


def _reader(read: Callable[..., tuple[T, ...]], window: _Window) -> Callable[[], tuple[T, ...]]:
    return lambda: read(since=window.since, until=window.until)


def _open_in_ledger(runtime: Runtime) -> list[OrderRow]:
    with runtime.ledger.read() as session:
        return list(orders_with_status(session, runtime.account_id, OPEN_STATUSES))


def look_up(runtime: Runtime, shown: Iterable[VenueOrderId], step: Step) -> tuple[Order, ...]:
    """Ask for orders that the ledger holds for open and no list shows: look-ups reach further than lists."""
    known = {str(identity) for identity in shown}
    rows = [row for row in _open_in_ledger(runtime) if row.venue_order_id not in known]
    found = []
    for row in rows:
        key, identity = InstrumentId(row.instrument_id), VenueOrderId(row.venue_order_id)
        order = step(
            f"look up order {identity}",
            StepKind.READ,
            lambda key=key, identity=identity: runtime.broker.find_order(  # type: ignore[misc]
                instrument_id=key, venue_order_id=identity
            ),
        )
        if order is not None:
            found.append(order)
    return tuple(found)
