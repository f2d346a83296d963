"""The venue's side of a reconciliation, read into memory: figures first, histories after them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from brokers.ids import InstrumentId, VenueOrderId
from brokers.types import Balance, CashEvent, Fill, LeverageInfo, Order, Position
from ledger.records import orders_with_status
from trading.ledger_view import OPEN_STATUSES
from trading.reconciliation import VenueView
from trading.runtime import Runtime
from trading.steps import Step, StepKind
from trading.wallet_changes import wallet_changes


@dataclass(frozen=True, slots=True)
class VenueReading:
    """One reading. `read_at` is the venue's time before the figures, `now` that before the histories."""

    read_at: datetime
    now: datetime
    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]
    cash_events: tuple[CashEvent, ...]
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
    history = step(
        f"read order history of {account}", StepKind.READ, lambda: broker.order_history(since=start, until=now)
    )
    fills = step(f"read fills of {account}", StepKind.READ, lambda: broker.fills(since=start, until=now))
    events = wallet_changes(broker, fills, since=start, until=now, step=step)
    shown = {order.venue_order_id: order for order in (*open_orders, *history)}
    return VenueReading(
        read_at=read_at,
        now=now,
        orders=(*shown.values(), *look_up(runtime, shown.keys(), step)),
        fills=fills,
        cash_events=events,
        positions=positions,
        balances=balances,
        leverages=leverages,
        has_cash_feed=broker.capabilities.explains_balances,
        feed_is_whole=broker.capabilities.cash_events,
        fills_are_totals=broker.capabilities.fills_are_totals,
    )


def look_up(runtime: Runtime, shown: Iterable[VenueOrderId], step: Step) -> tuple[Order, ...]:
    """Ask for orders that the ledger holds for open and no list shows: look-ups reach further than lists."""
    known = {str(identity) for identity in shown}
    with runtime.ledger.read() as session:
        rows = [
            row
            for row in orders_with_status(session, runtime.account_id, OPEN_STATUSES)
            if row.venue_order_id not in known
        ]
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
