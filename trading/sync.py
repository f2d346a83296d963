"""Sync: read an account at the venue, keep what is new as evidence, and store what the account held.

The first call makes the baseline: the figures that later fills and cash events are added to. It holds only when nothing
happened while it was read, so feeds are read before and after the balances and the whole reading is repeated when
something landed between. Evidence counts from `taken_at` on, in the venue's time; earlier fills are kept as history.

Each later call reads the feeds from their cursors minus an overlap: what became visible late is still found, and what
is known already changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlmodel import Session

from brokers.clock import Clock
from brokers.errors import InstrumentUnknown
from brokers.ids import AccountId, InstrumentId, VenueOrderId
from brokers.port import Broker
from brokers.reasons import Reason
from brokers.types import (
    Balance,
    CashEvent,
    CashEventKind,
    Fill,
    Instrument,
    Order,
    OrderStatus,
    Position,
    Quote,
)
from ledger.contract_sizes import keep_contract_sizes
from ledger.engine import Ledger
from ledger.records import (
    Feed,
    Imported,
    advance_cursor,
    cursor,
    insert_cash_events,
    insert_fills,
    lock_account,
    orders_with_status,
    record_account,
    upsert_orders,
)
from ledger.snapshots import NET, Snapshot, latest_snapshot, load_snapshot, store_snapshot
from ledger.states import SnapshotPurpose
from trading.orders.crash import crash_point
from trading.steps import Step, StepKind, call_directly
from trading.wallet_changes import wallet_changes

OVERLAP = timedelta(minutes=15)  # longer than any feed is known to lag
HISTORY_BEFORE_BASELINE = timedelta(days=1)
SETTLE_S = 1.0  # lets a fill that has just happened become visible before the feeds are believed
BASELINE_ATTEMPTS_MAX = 5
SYNC_ATTEMPTS_MAX = 3
_OPEN = tuple(status.value for status in OrderStatus if status.is_open)


class SyncReason(Reason):
    """Stable codes of this module."""

    SYNC_BASELINE_UNSETTLED = (
        "SYNC_BASELINE_UNSETTLED",
        "Fills or wallet changes kept arriving while the opening figures were read.",
        "Pause trading on the account for a moment and sync again.",
    )


class BaselineUnsettled(Exception):
    """The account moved during every attempt at its baseline; nothing was stored."""

    reason = SyncReason.SYNC_BASELINE_UNSETTLED


@dataclass(frozen=True, slots=True)
class PositionValue:
    """A position at the venue's price. `notional` is signed, in `currency`; None where the instrument is not listed."""

    position: Position
    quote: Quote | None
    price: Decimal | None
    notional: Decimal | None
    currency: str


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What a sync read and what it stored. Times are the venue's.

    `is_settled` is False when fills or cash events arrived while the account was read, so that balances and feeds may
    differ by them. `missing_orders` were open in the ledger and the venue shows them nowhere. Without `has_cash_feed`
    the venue tells no wallet changes, so that none can be stored.
    """

    account_id: AccountId
    purpose: SnapshotPurpose
    snapshot_id: int
    taken_at: datetime
    read_until: datetime
    is_settled: bool
    balances: tuple[Balance, ...]
    positions: tuple[Position, ...]
    open_orders: tuple[Order, ...]
    values: tuple[PositionValue, ...]
    orders: Imported
    fills: Imported
    cash_events: Imported
    unmapped_cash_events: tuple[CashEvent, ...]
    missing_orders: tuple[str, ...]
    differences: tuple[str, ...]
    has_cash_feed: bool = True

    @property
    def is_baseline(self) -> bool:
        return self.purpose is SnapshotPurpose.BASELINE


@dataclass(frozen=True, slots=True)
class _Known:
    """What the ledger knew before: where each feed is read from, and orders it holds for open."""

    has_baseline: bool
    cursors: dict[Feed, datetime]
    open_orders: tuple[tuple[str, str], ...]  # venue order id, instrument id


@dataclass(frozen=True, slots=True)
class _Feeds:
    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]
    cash_events: tuple[CashEvent, ...]
    read: tuple[Feed, ...] = tuple(Feed)

    def keys(self) -> set[str]:
        return {f"fill {f.trade_id}" for f in self.fills} | {f"cash event {e.event_id}" for e in self.cash_events}

    def later_than(self, at: datetime) -> set[str]:
        recent = _Feeds(
            (), tuple(f for f in self.fills if f.time > at), tuple(e for e in self.cash_events if e.time > at)
        )
        return recent.keys()


@dataclass(frozen=True, slots=True)
class _Reading:
    """One pass over the account, and what landed while it was read."""

    taken_at: datetime
    read_until: datetime
    balances: tuple[Balance, ...]
    positions: tuple[Position, ...]
    open_orders: tuple[Order, ...]
    feeds: _Feeds
    landed: frozenset[str]


def sync_account(
    ledger: Ledger,
    broker: Broker,
    *,
    clock: Clock,
    purpose: SnapshotPurpose = SnapshotPurpose.SYNC,
    reference: str = "",
    step: Step = call_directly,
) -> SyncResult:
    """Read the account, store new evidence and a snapshot. The first call of an account stores its baseline.

    Raises BrokerError (nothing was stored), BaselineUnsettled, ConflictingEvidence, or a LedgerError.
    """
    account_id = broker.account_id
    known = step(f"read the ledger of {account_id}", StepKind.READ, lambda: _known(ledger, account_id))
    reading = _read_settled(broker, clock, known, step)
    looked_up, missing = _look_up_closed(broker, known, reading, step)
    values, sizes = _value(broker, reading.positions, step)
    effective = purpose if known.has_baseline else SnapshotPurpose.BASELINE
    recorded = step(
        f"record {account_id}",
        StepKind.RECORD,
        lambda: _record(ledger, account_id, reading, looked_up, effective, reference, sizes),
    )
    return SyncResult(
        account_id=account_id,
        purpose=recorded.purpose,
        snapshot_id=recorded.snapshot_id,
        taken_at=reading.taken_at,
        read_until=reading.read_until,
        is_settled=not reading.landed,
        balances=reading.balances,
        positions=reading.positions,
        open_orders=reading.open_orders,
        values=values,
        orders=recorded.orders,
        fills=recorded.fills,
        cash_events=recorded.cash_events,
        unmapped_cash_events=tuple(e for e in reading.feeds.cash_events if e.kind is CashEventKind.UNMAPPED),
        missing_orders=missing,
        differences=recorded.differences,
        has_cash_feed=broker.capabilities.explains_balances,
    )


# -- reading ----------------------------------------------------------------------------------------------------
def _known(ledger: Ledger, account_id: AccountId) -> _Known:
    with ledger.read() as session:
        cursors = {feed: cursor(session, account_id, feed) for feed in Feed}
        return _Known(
            has_baseline=latest_snapshot(session, account_id, purpose=SnapshotPurpose.BASELINE) is not None,
            cursors={feed: at for feed, at in cursors.items() if at is not None},
            open_orders=tuple(
                (row.venue_order_id, row.instrument_id) for row in orders_with_status(session, account_id, _OPEN)
            ),
        )


def _read_settled(broker: Broker, clock: Clock, known: _Known, step: Step) -> _Reading:
    """Read until nothing landed meanwhile; a baseline must settle, a later sync says when it did not."""
    attempts_max = SYNC_ATTEMPTS_MAX if known.has_baseline else BASELINE_ATTEMPTS_MAX
    reading = _read(broker, clock, known, step)
    for _ in range(attempts_max - 1):
        if not reading.landed:
            break
        clock.wait(SETTLE_S)
        reading = _read(broker, clock, known, step)
    if reading.landed and not known.has_baseline:
        raise BaselineUnsettled(
            f"the opening figures of {broker.account_id} did not settle in {attempts_max} attempts; last arrived: "
            f"{', '.join(sorted(reading.landed)[:5])}; pause trading on the account and sync again"
        )
    return reading


def _read(broker: Broker, clock: Clock, known: _Known, step: Step) -> _Reading:
    account = broker.account_id
    before: set[str] = set()
    if not known.has_baseline:
        start = _venue_time(broker, step)
        before = _read_feeds(broker, known, fallback=start, until=start, step=step).keys()
    taken_at = _venue_time(broker, step)
    balances = step(f"read balances of {account}", StepKind.READ, broker.balances)
    positions = step(f"read positions of {account}", StepKind.READ, broker.positions)
    open_orders = step(f"read open orders of {account}", StepKind.READ, broker.open_orders)
    if not known.has_baseline:
        clock.wait(SETTLE_S)
    read_until = _venue_time(broker, step)
    feeds = _read_feeds(broker, known, fallback=taken_at, until=read_until, step=step)
    landed = feeds.later_than(taken_at)
    if not known.has_baseline:
        landed |= feeds.keys() - before
        if broker.capabilities.fills_are_totals:
            # In the position already; the fill that is told at the end of the order would count it again.
            landed |= {f"a part of open order {o.venue_order_id}" for o in open_orders if o.filled_quantity}
    return _Reading(taken_at, read_until, balances, positions, open_orders, feeds, frozenset(landed))


def _venue_time(broker: Broker, step: Step) -> datetime:
    name = f"read the clock of {broker.account_id.venue}"
    return step(name, StepKind.READ, broker.clock_reading).venue_time


def _read_feeds(broker: Broker, known: _Known, *, fallback: datetime, until: datetime, step: Step) -> _Feeds:
    """Each feed from its cursor minus the overlap, or from some history before `fallback`."""
    since = {
        feed: known.cursors[feed] - OVERLAP if feed in known.cursors else fallback - HISTORY_BEFORE_BASELINE
        for feed in Feed
    }
    account = broker.account_id
    orders = step(
        f"read order history of {account}",
        StepKind.READ,
        lambda: broker.order_history(since=since[Feed.ORDERS], until=until),
    )
    fills = step(f"read fills of {account}", StepKind.READ, lambda: broker.fills(since=since[Feed.FILLS], until=until))
    if not broker.capabilities.explains_balances:
        return _Feeds(orders, fills, (), read=(Feed.ORDERS, Feed.FILLS))
    cash_events = wallet_changes(broker, fills, since=since[Feed.CASH_EVENTS], until=until, step=step)
    return _Feeds(orders, fills, cash_events)


def _look_up_closed(
    broker: Broker, known: _Known, reading: _Reading, step: Step
) -> tuple[tuple[Order, ...], tuple[str, ...]]:
    """Ask for orders that the ledger holds for open and no list shows: some venues list history by creation time."""
    shown = {str(order.venue_order_id) for order in (*reading.open_orders, *reading.feeds.orders)}
    found, missing = [], []
    for venue_order_id, instrument_id in known.open_orders:
        if venue_order_id in shown:
            continue
        order = step(
            f"look up order {venue_order_id} of {broker.account_id}",
            StepKind.READ,
            lambda vid=venue_order_id, iid=instrument_id: broker.find_order(  # type: ignore[misc]
                instrument_id=InstrumentId(iid), venue_order_id=VenueOrderId(vid)
            ),
        )
        if order is None:
            missing.append(venue_order_id)
        else:
            found.append(order)
    return tuple(found), tuple(missing)


def _value(
    broker: Broker, positions: Sequence[Position], step: Step
) -> tuple[tuple[PositionValue, ...], dict[InstrumentId, Decimal]]:
    """Each position with its price, and the contract sizes that were needed."""
    held = [position for position in positions if position.quantity != 0]
    ids = sorted({position.instrument_id for position in held})
    if not ids:
        return (), {}
    try:
        instruments = step("read instruments", StepKind.READ, lambda: broker.instruments(ids))
        quotes = step("read quotes", StepKind.READ, lambda: broker.quotes(ids))
    except InstrumentUnknown:  # delisted while held: the position stands, without a price
        instruments, quotes = (), ()
    by_id = {instrument.instrument_id: instrument for instrument in instruments}
    quoted = {quote.instrument_id: quote for quote in quotes}
    values = tuple(_value_one(p, by_id.get(p.instrument_id), quoted.get(p.instrument_id)) for p in held)
    return values, {key: instrument.contract_size for key, instrument in by_id.items()}


def _value_one(position: Position, instrument: Instrument | None, quote: Quote | None) -> PositionValue:
    if instrument is None or quote is None:
        return PositionValue(position, quote, None, None, "")
    price = quote.mark or quote.mid
    notional = position.quantity * instrument.contract_size * price
    return PositionValue(position, quote, price, notional, instrument.quote_currency)


# -- recording --------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Recorded:
    purpose: SnapshotPurpose
    snapshot_id: int
    orders: Imported
    fills: Imported
    cash_events: Imported
    differences: tuple[str, ...]


def _record(
    ledger: Ledger,
    account_id: AccountId,
    reading: _Reading,
    looked_up: Iterable[Order],
    purpose: SnapshotPurpose,
    reference: str,
    sizes: Mapping[InstrumentId, Decimal],
) -> _Recorded:
    """Evidence, cursors and snapshot in one transaction. Orders first, so that fills find their client order id."""
    crash_point("C19", account_id.environment)
    with ledger.write() as session:
        at = ledger.now(session)
        lock_account(session, account_id)
        record_account(session, account_id, at=at)
        orders = upsert_orders(session, (*reading.feeds.orders, *reading.open_orders, *looked_up), at=at)
        fills = insert_fills(session, reading.feeds.fills, at=at)
        cash_events = insert_cash_events(session, reading.feeds.cash_events, at=at)
        crash_point("C20", account_id.environment)
        for feed in reading.feeds.read:
            advance_cursor(session, account_id, feed, read_until=reading.read_until, at=at)
        previous = latest_snapshot(session, account_id)
        purpose = _purpose_now(session, account_id, purpose)
        snapshot_id = store_snapshot(
            session,
            account_id,
            purpose=purpose,
            taken_at=reading.taken_at,
            balances=reading.balances,
            positions=reading.positions,
            reference=reference,
        )
        keep_contract_sizes(session, account_id.venue, sizes)
        differences = describe_differences(previous, load_snapshot(session, snapshot_id))
        return _Recorded(purpose, snapshot_id, orders, fills, cash_events, differences)


def _purpose_now(session: Session, account_id: AccountId, purpose: SnapshotPurpose) -> SnapshotPurpose:
    """A second first sync at the same time must not make a second baseline."""
    is_late = latest_snapshot(session, account_id, purpose=SnapshotPurpose.BASELINE) is not None
    return SnapshotPurpose.SYNC if purpose is SnapshotPurpose.BASELINE and is_late else purpose


def describe_differences(before: Snapshot | None, after: Snapshot) -> tuple[str, ...]:
    """What changed between two readings, one readable line each; nothing when there was none before."""
    if before is None:
        return ()
    positions = _changes(
        {(row.instrument_id, row.position_side): row.quantity for row in before.positions},
        {(row.instrument_id, row.position_side): row.quantity for row in after.positions},
    )
    balances = _changes(
        {(row.currency, "total"): row.total for row in before.balances},
        {(row.currency, "total"): row.total for row in after.balances},
    )
    return (*positions, *balances)


def _changes(before: dict[tuple[str, str], Decimal], after: dict[tuple[str, str], Decimal]) -> Iterable[str]:
    for key in sorted({*before, *after}):
        old, new = before.get(key, Decimal(0)), after.get(key, Decimal(0))
        if old != new:
            name = key[0] if key[1] == NET else f"{key[0]} {key[1]}"
            yield f"{name}: {old:f} → {new:f} ({new - old:+f})"
