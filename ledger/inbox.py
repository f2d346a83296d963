"""The durable alert queue: what was acknowledged is worked on in order, once, and ends with a reason (docs/alerts.md).

Every call but `finish(session=…)` and `note(session=…)` is its own transaction. Any process may die at any line: what
it had leased falls to another worker when the lease lapses, and what it writes afterwards is refused.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, make_url
from sqlmodel import Session

from brokers.clock import Clock, SystemClock
from ledger import (
    inbox_admitting,
    inbox_claiming,
    inbox_keeping,
    inbox_people,
    inbox_reading,
    inbox_receiving,
)
from ledger.alert_states import InboxState, LaneState
from ledger.engine import Ledger
from ledger.errors import DiskLow, LeaseLost, QueueFull
from ledger.inbox_reasons import InboxReason
from ledger.inbox_values import (
    Admission,
    Backlog,
    Claim,
    Delivery,
    Lane,
    QueueLimits,
    Receipt,
    StoredAlert,
    StoredEvent,
)
from ledger.inbox_waiting import AlertWaiter

__all__ = [
    "Admission",
    "AlertStore",
    "AlertWaiter",
    "Backlog",
    "Claim",
    "Delivery",
    "DiskLow",
    "InboxReason",
    "InboxState",
    "Lane",
    "LaneState",
    "LeaseLost",
    "QueueFull",
    "QueueLimits",
    "Receipt",
    "StoredAlert",
    "StoredEvent",
]

Result = TypeVar("Result")
_ENDS_OF_WORK = frozenset(state for state in InboxState if state.is_terminal) | {
    InboxState.NEEDS_HUMAN,
    InboxState.WAITING,
}


class AlertStore:
    """The queue of one ledger; share it between threads. `clock` only measures how long reading takes."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        limits: QueueLimits = QueueLimits(),
        clock: Clock | None = None,
        free_bytes: Callable[[], int] | None = None,
    ) -> None:
        self._ledger = ledger
        self._limits = limits
        self._clock = clock or SystemClock()
        path = limits.disk_path or _folder_of(ledger)
        free = free_bytes or (inbox_receiving.free_bytes_at(path) if path else None)
        self._room = inbox_receiving.Room(limits, free)
        self._receiving = threading.Lock()
        self._waiters: weakref.WeakSet[AlertWaiter] = weakref.WeakSet()

    @property
    def ledger(self) -> Ledger:
        return self._ledger

    @property
    def limits(self) -> QueueLimits:
        return self._limits

    # -- coming in ----------------------------------------------------------------------------------------------
    def receive(self, deliveries: Sequence[Delivery]) -> tuple[Receipt, ...]:
        """Store a group in one transaction; when this returns it is on disk. One receipt for each, in their order.

        The same bytes from the same source within 30 s of their last delivery, and 60 s of the first, are one alert.
        QueueFull (and DiskLow) and LedgerUnavailable stored nothing; CommitUnknown may have: send again.
        """
        if not deliveries:
            return ()
        with self._receiving, self._ledger.write() as session:
            receipts, is_new = inbox_receiving.receive(session.connection(), deliveries, self._room)
        if is_new:
            self._wake()
        return receipts

    def admit(self, read: Callable[[StoredAlert], Admission], *, worker: str, limit: int = 100) -> int:
        """Read new alerts in their order and give each its place or its end; how many are new no more.

        0 also when another worker reads right now. `read` is called outside of any transaction.
        """
        if limit <= 0:
            raise ValueError(f"limit must be above zero, was {limit}")
        with self._ledger.write() as session:
            now = self._ledger.now(session)
            batch = inbox_admitting.take(session.connection(), now, worker=worker, limit=limit, limits=self._limits)
        if not batch.alerts:
            return batch.dead
        stop_at = self._clock.monotonic() + self._limits.reading_lease_s / 2
        found = inbox_admitting.read_all(batch.alerts, read, goes_on=lambda: self._clock.monotonic() < stop_at)
        with self._ledger.write() as session:
            now = self._ledger.now(session)
            stored = inbox_admitting.store(session.connection(), now, found, batch=batch, worker=worker)
        self._wake()
        return batch.dead + (stored or 0)

    # -- being worked on ----------------------------------------------------------------------------------------
    def claim(self, *, worker: str, accounts: Collection[str] | None = None) -> Claim | None:
        """Lease the next alert, of these accounts or of all, for 15 s; None when nothing is due.

        Ends what is stale on the way. One alert of a lane at a time, in the order in which they came.
        """
        while True:
            with self._ledger.write() as session:
                connection, now = session.connection(), self._ledger.now(session)
                if inbox_claiming.expire(connection, now, worker=worker) < inbox_claiming.STALE_ROWS_MAX:
                    return inbox_claiming.claim(connection, now, worker=worker, accounts=accounts, limits=self._limits)

    def heartbeat(self, claim: Claim) -> bool:
        """Renew the lease, every 5 s while working; False: it is lost, stop."""
        with self._ledger.write() as session:
            now = self._ledger.now(session)
            return inbox_claiming.heartbeat(session.connection(), claim, now, limits=self._limits)

    def finish(
        self,
        claim: Claim,
        state: InboxState,
        *,
        reason: str,
        detail: str = "",
        session: Session | None = None,
        retry_at: datetime | None = None,
        review: str | None = None,
    ) -> InboxState:
        """End the claim; the state that the alert has now. Inside `session`'s transaction when one is given.

        `waiting` with `retry_at` is a wait that was asked for (a closed market). Without, it is a failed attempt: it
        waits 1, 2, 5, 15 s and is dead after the fifth. `needs_human`, and a dead alert that may not be skipped, stop
        the lane. LeaseLost when another worker has taken over; nothing is stored then.
        """
        if state not in _ENDS_OF_WORK:
            raise ValueError(f"a claim ends as waiting, needs_human or a terminal state, was {state.value}")
        if not reason:
            raise ValueError(f"an alert that ends as {state.value} needs a reason, was ''")
        if retry_at is not None and state is not InboxState.WAITING:
            raise ValueError(f"only a waiting alert is tried again, was {state.value} with retry_at {retry_at}")

        def write(connection: Connection, now: datetime) -> InboxState:
            return inbox_claiming.finish(
                connection,
                claim,
                state,
                now,
                reason=reason,
                detail=detail,
                retry_at=retry_at,
                review=review,
                limits=self._limits,
            )

        return self._within(session, write)

    def note(self, claim: Claim, *, reason: str, detail: str = "", session: Session | None = None) -> None:
        """Write an event without a move; LeaseLost when the claim no longer counts."""

        def write(connection: Connection, now: datetime) -> None:
            inbox_claiming.note(connection, claim, now, reason=reason, detail=detail)

        self._within(session, write)

    # -- people -------------------------------------------------------------------------------------------------
    def revive(self, alert_id: int, *, by: str, reason: str) -> InboxState:
        """Put a dead, refused, unreadable or needs_human alert back, under its key; the state that it has now."""
        with self._ledger.write() as session:
            now = self._ledger.now(session)
            state = inbox_people.revive(session, alert_id, now, by=by, reason=reason)
        self._wake()
        return state

    def dismiss(self, alert_id: int, *, by: str, reason: str) -> None:
        """End an alert that needs a person, or that nobody has worked on yet, as refused; its lane goes on."""
        with self._ledger.write() as session:
            inbox_people.dismiss(session, alert_id, self._ledger.now(session), by=by, reason=reason)
        self._wake()

    def restart_lane(self, lane: str, *, by: str, reason: str) -> None:
        """Let a lane that stands still go on with its next alert."""
        with self._ledger.write() as session:
            inbox_people.restart_lane(session, lane, self._ledger.now(session), by=by, reason=reason)
        self._wake()

    # -- looking ------------------------------------------------------------------------------------------------
    def backlog(self) -> Backlog:
        """What waits, what asks for a person, and which lanes stand still."""
        with self._ledger.read() as session:
            return inbox_reading.backlog(session.connection(), self._ledger.now(session))

    def has_work(self, *, accounts: Collection[str] | None = None) -> bool:
        """Whether something can be read, or claimed for these accounts (or any), now."""
        with self._ledger.read() as session:
            return inbox_reading.has_work(session.connection(), self._ledger.now(session), accounts=accounts)

    def show(self, alert_id: int) -> StoredAlert:
        """One alert; LookupError when there is none."""
        with self._ledger.read() as session:
            return inbox_reading.show(session.connection(), alert_id)

    def list(
        self,
        *,
        states: Collection[InboxState] | None = None,
        source: str = "",
        account_id: str = "",
        lane: str = "",
        flagged: bool = False,
        before_id: int | None = None,
        limit: int = 100,
    ) -> tuple[StoredAlert, ...]:
        """Alerts, newest first, at most 500; `flagged`: what a person should look at; `before_id`: the next page."""
        with self._ledger.read() as session:
            return inbox_reading.newest(
                session.connection(),
                states=states,
                source=source,
                account_id=account_id,
                lane=lane,
                flagged=flagged,
                before_id=before_id,
                limit=limit,
            )

    def events(self, alert_id: int) -> tuple[StoredEvent, ...]:
        """What happened to an alert, oldest first."""
        with self._ledger.read() as session:
            return inbox_reading.events(session.connection(), alert_id)

    def lanes(self, *, state: LaneState | None = None) -> tuple[Lane, ...]:
        """The lanes, by name."""
        with self._ledger.read() as session:
            return inbox_reading.lanes(session.connection(), state=state)

    def waiter(self, *, accounts: Collection[str] | None = None) -> AlertWaiter:
        """Waits for something to read, or to claim for these accounts; one for each thread, closed by the caller."""
        waiter = AlertWaiter(self._ledger, lambda: self.has_work(accounts=accounts))
        self._waiters.add(waiter)
        return waiter

    # -- keeping ------------------------------------------------------------------------------------------------
    def retain(self, now: datetime | None = None) -> int:
        """Empty the raw bytes of alerts that are over and 90 days old; how many. Keys and events stay for ever."""
        emptied = 0
        after_id: int | None = 0
        while after_id is not None:
            with self._ledger.write() as session:
                at = now or self._ledger.now(session)
                count, after_id = inbox_keeping.empty_raw(
                    session.connection(), at, limits=self._limits, after_id=after_id
                )
            emptied += count
        return emptied

    # -- inside -------------------------------------------------------------------------------------------------
    def _within(self, session: Session | None, write: Callable[[Connection, datetime], Result]) -> Result:
        if session is not None:
            session.flush()
            return write(session.connection(), self._ledger.now(session))
        with self._ledger.write() as own:
            return write(own.connection(), self._ledger.now(own))

    def _wake(self) -> None:
        for waiter in tuple(self._waiters):
            waiter.wake()


def _folder_of(ledger: Ledger) -> Path | None:
    """Where an SQLite ledger lies; the disk of a PostgreSQL server is not ours to see."""
    url = make_url(ledger.url)
    return Path(url.database).parent if url.get_backend_name() == "sqlite" and url.database else None
