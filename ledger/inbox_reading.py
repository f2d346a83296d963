"""Looking at the queue: what waits, what became of an alert, which lanes stand still."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, Row, func, select

from ledger.alert_states import InboxState, LaneState
from ledger.inbox_moves import EVENT, INBOX, LANE, LEASE, READING, alert_of
from ledger.inbox_values import Backlog, Lane, StoredAlert, StoredEvent

S = InboxState
ROWS_MAX = 500
_WATCHED = [state.value for state in S if state.is_open or state in (S.NEEDS_HUMAN, S.DEAD, S.POISON, S.CONFLICT)]
_OPEN = [state.value for state in S if state.is_open]
_COUNTS = select(INBOX.c.state, func.count()).where(INBOX.c.state.in_(_WATCHED)).group_by(INBOX.c.state)
_OLDEST = select(func.min(INBOX.c.alert_id)).where(INBOX.c.state.in_(_OPEN))


def backlog(connection: Connection, now: datetime) -> Backlog:
    """Counts of what waits and of what asks for a person, the oldest that waits, and the lanes that stand still."""
    counts = {S(state): count for state, count in connection.execute(_COUNTS)}
    oldest = connection.execute(select(INBOX.c.received_at).where(INBOX.c.alert_id.in_(_OLDEST))).scalar()
    stopped = select(LANE).where(LANE.c.state == LaneState.STOPPED.value).order_by(LANE.c.lane)
    return Backlog(
        counts=counts,
        oldest_open_at=oldest,
        stopped_lanes=tuple(_lane(row) for row in connection.execute(stopped)),
        now=now,
    )


def has_work(connection: Connection, now: datetime, *, accounts: Collection[str] | None) -> bool:
    """Whether anything can be read, or claimed for these accounts, now."""
    new = select(INBOX.c.alert_id).where(INBOX.c.state == S.NEW.value).limit(1)
    if connection.execute(new).first() is not None:
        held = select(LEASE.c.name).where(LEASE.c.name == READING, LEASE.c.lease_until > now)
        if connection.execute(held).first() is None:
            return True
    due = select(LANE.c.lane).where(LANE.c.state == LaneState.RUNNING.value, LANE.c.due_at <= now).limit(1)
    if accounts is not None:
        due = due.where(LANE.c.account_id.in_(sorted(accounts)))
    return connection.execute(due).first() is not None


def show(connection: Connection, alert_id: int) -> StoredAlert:
    """One alert; LookupError when there is none."""
    row = connection.execute(select(INBOX).where(INBOX.c.alert_id == alert_id)).first()
    if row is None:
        raise LookupError(f"the ledger has no alert {alert_id}")
    return alert_of(row)


def newest(
    connection: Connection,
    *,
    states: Collection[InboxState] | None,
    source: str,
    account_id: str,
    lane: str,
    flagged: bool,
    before_id: int | None,
    limit: int,
) -> tuple[StoredAlert, ...]:
    """Alerts with these marks, newest first; `before_id` is where the page before ended."""
    if not 0 < limit <= ROWS_MAX:
        raise ValueError(f"limit must be from 1 to {ROWS_MAX}, was {limit}")
    query = select(INBOX)
    if states is not None:
        query = query.where(INBOX.c.state.in_([state.value for state in states]))
    for column, value in ((INBOX.c.source, source), (INBOX.c.account_id, account_id), (INBOX.c.lane, lane)):
        if value:
            query = query.where(column == value)
    if flagged:
        query = query.where(INBOX.c.flag != "")
    if before_id is not None:
        query = query.where(INBOX.c.alert_id < before_id)
    rows = connection.execute(query.order_by(INBOX.c.alert_id.desc()).limit(limit))
    return tuple(alert_of(row) for row in rows)


def events(connection: Connection, alert_id: int) -> tuple[StoredEvent, ...]:
    """What happened to an alert, oldest first."""
    rows = connection.execute(select(EVENT).where(EVENT.c.alert_id == alert_id).order_by(EVENT.c.event_id))
    return tuple(
        StoredEvent(**{**row._mapping, "from_state": S(row.from_state), "to_state": S(row.to_state)}) for row in rows
    )


def lanes(connection: Connection, *, state: LaneState | None) -> tuple[Lane, ...]:
    """The lanes by name, all or those in one state."""
    query = select(LANE).order_by(LANE.c.lane)
    if state is not None:
        query = query.where(LANE.c.state == state.value)
    return tuple(_lane(row) for row in connection.execute(query))


def _lane(row: Row[tuple[object, ...]]) -> Lane:
    return Lane(**{**row._mapping, "state": LaneState(row.state)})
