"""One whole reconciliation of an account with N fills and N wallet changes: read, compare, balance, record.

The ledger is an SQLite file that holds all of it, the venue a stand-in that answers at once with the same facts: what
is measured is ours: neither the venue's network nor the time in which the stand-in makes its facts. Setting it up
takes longer than the run and is not counted.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from bench.reconciling import (
    ACCOUNT,
    FEE,
    Taken,
    at,
    fees_of,
    fills_of,
    numbers_in,
    peak_mb,
    position_of,
)
from brokers.bybit.profile import CAPABILITIES
from brokers.clock import ManualClock
from brokers.ids import Environment, InstrumentId
from brokers.types import (
    Balance,
    CashEvent,
    ClockReading,
    Fill,
    Order,
    OrderStatus,
    OrderType,
    ProductKind,
    TimeInForce,
)
from ledger.engine import Ledger
from ledger.records import (
    Feed,
    advance_cursor,
    insert_cash_events,
    insert_fills,
    lock_account,
    record_account,
    upsert_orders,
)
from ledger.snapshots import store_snapshot
from ledger.states import ReconciliationOutcome, SnapshotPurpose
from trading.orders.identity import make_client_order_id, make_intent_id
from trading.reconciliation.equation import EquationState
from trading.reconciling import reconcile_account
from trading.runtime import Runtime

T = TypeVar("T")
OPENING = Decimal(1_000_000)
LOOKBACK = timedelta(days=60)
IDENTITY = CAPABILITIES.identity[ProductKind.LINEAR]


class StandIn:
    """A venue that holds N fills with a fee each and answers from memory."""

    account_id = ACCOUNT
    capabilities = CAPABILITIES

    def __init__(self, fills: int) -> None:
        self.count, self.tag, self.cpu_s = fills, 0, 0.0
        self.now = at(fills) + timedelta(hours=1)
        self._held: dict[InstrumentId, Decimal] = {}
        for fill in fills_of(fills):
            signed = fill.side.sign * fill.quantity
            self._held[fill.instrument_id] = self._held.get(fill.instrument_id, Decimal(0)) + signed

    def clock_reading(self) -> ClockReading:
        return ClockReading(self.now, timedelta(0), timedelta(0))

    def positions(self) -> tuple[Any, ...]:
        return tuple(position_of(key, quantity) for key, quantity in self._held.items() if quantity)

    def balances(self) -> tuple[Balance, ...]:
        return (Balance(ACCOUNT, "USDT", OPENING - FEE * self.count, None, Decimal(0), self.now),)

    def open_orders(self) -> tuple[Any, ...]:
        return ()

    def order_history(self, *, since: datetime, until: datetime) -> tuple[Order, ...]:
        return self._answered(orders_of(self.count, self.tag, numbers_in(self.count, since, until)))

    def fills(self, *, since: datetime, until: datetime, instrument_id: Any = None) -> tuple[Fill, ...]:
        return self._answered(fills_of(self.count, numbers_in(self.count, since, until)))

    def cash_events(self, *, since: datetime, until: datetime) -> tuple[CashEvent, ...]:
        return self._answered(fees_of(self.count, numbers_in(self.count, since, until)))

    def _answered(self, facts: Iterator[T]) -> tuple[T, ...]:
        began = time.process_time()
        found = tuple(facts)
        self.cpu_s += time.process_time() - began
        return found

    def instruments(self, ids: Any = None) -> tuple[Any, ...]:
        return ()

    def quotes(self, ids: Any) -> tuple[Any, ...]:
        return ()


def orders_of(fills: int, tag: int, numbers: range | None = None) -> Iterator[Order]:
    """The order of each two fills, ours by its client order id."""
    numbers = range(fills) if numbers is None else numbers
    first_halves = range(numbers.start + numbers.start % 2, numbers.stop, 2)
    for number, fill in zip(first_halves, fills_of(fills, first_halves), strict=True):
        intent = make_intent_id(ACCOUNT, f"bench-{number}")
        pair = 2 * fill.quantity
        yield Order(
            account_id=ACCOUNT,
            venue_order_id=fill.venue_order_id,
            client_order_id=make_client_order_id(intent, attempt=1, tag=tag, is_production=False, identity=IDENTITY),
            instrument_id=fill.instrument_id,
            side=fill.side,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.IOC,
            quantity=pair,
            filled_quantity=pair,
            average_price=fill.price,
            limit_price=None,
            trigger_price=None,
            status=OrderStatus.FILLED,
            reduce_only=False,
            created_at=fill.time,
            updated_at=fill.time + timedelta(milliseconds=500),
        )


def measure(fills: int, folder: Path) -> Taken:
    """Fill a ledger, then reconcile it in this process."""
    venue = StandIn(fills)
    clock = ManualClock(venue.now)
    with Ledger.open(f"sqlite:///{folder / 'ledger.sqlite'}", environment=Environment.SIMULATED) as ledger:
        venue.tag = ledger.installation_tag
        _fill(ledger, venue)
        runtime = Runtime(account_id=ACCOUNT, ledger=ledger, broker=venue, desk=None, clock=clock)  # type: ignore[arg-type]
        before = peak_mb()
        began, cpu = time.perf_counter(), time.process_time()
        found = reconcile_account(runtime, lookback=LOOKBACK)
        taken = Taken(fills, time.perf_counter() - began, time.process_time() - cpu - venue.cpu_s, peak_mb() - before)
    assert found.outcome is ReconciliationOutcome.CLEAN, (
        f"equal sides must be clean, were {found.outcome} {found.detail}"
    )
    assert found.findings is not None and found.findings.compared["venue_fills"] == fills
    assert found.books is not None and found.books.chained_rows == fills
    assert [item.state for item in found.books.equations] == [EquationState.HOLDS]
    return taken


def _fill(ledger: Ledger, venue: StandIn) -> None:
    start = at(0) - timedelta(seconds=1)
    with ledger.write() as session:
        lock_account(session, ACCOUNT)
        record_account(session, ACCOUNT, at=start)
        store_snapshot(
            session,
            ACCOUNT,
            purpose=SnapshotPurpose.BASELINE,
            taken_at=start,
            balances=[Balance(ACCOUNT, "USDT", OPENING, None, Decimal(0), start)],
            positions=[],
        )
        upsert_orders(session, orders_of(venue.count, venue.tag), at=venue.now)
        insert_fills(session, fills_of(venue.count), at=venue.now)
        insert_cash_events(session, fees_of(venue.count), at=venue.now)
        for feed in Feed:
            advance_cursor(session, ACCOUNT, feed, read_until=venue.now, at=venue.now)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        print(json.dumps(asdict(measure(int(sys.argv[1]), Path(name)))))
