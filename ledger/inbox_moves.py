"""Moving alerts and settling lanes: what every part of the queue does, inside the caller's transaction.

A move is compare-and-set on (state, epoch) and writes its event with it. Locks are taken in one order: the lease of the
readers, then lanes by name, then alerts; so no two transactions wait for each other in a ring.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Table, bindparam, insert, select, text, update

from ledger.alert_states import InboxState, LaneState
from ledger.alert_tables import InboxEvent, InboxLeaseRow, InboxRow, LaneRow
from ledger.inbox_values import StoredAlert

CHANNEL = "algotrendy_alerts"  # of NOTIFY on PostgreSQL
READING = "reading"  # the name of the readers' lease
CHUNK = 500  # rows named in one statement, far below either database's limit of bound values
INBOX: Table = InboxRow.__table__  # type: ignore[attr-defined]
LANE: Table = LaneRow.__table__  # type: ignore[attr-defined]
LEASE: Table = InboxLeaseRow.__table__  # type: ignore[attr-defined]
EVENT: Table = InboxEvent.__table__  # type: ignore[attr-defined]

_IN_LANE = tuple(state.value for state in (InboxState.QUEUED, InboxState.WAITING, InboxState.WORKING))
_HEAD = (
    select(INBOX)
    .where(INBOX.c.lane == bindparam("lane_"), INBOX.c.lane_seq >= bindparam("from_seq"), INBOX.c.state.in_(_IN_LANE))
    .order_by(INBOX.c.lane_seq)
    .limit(1)
)
_LEASED = select(INBOX).where(INBOX.c.alert_id == bindparam("id_"))
_LOCK_LANE = select(LANE).where(LANE.c.lane == bindparam("lane_")).with_for_update()
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Where an alert goes, why, and who says so. `values` are further columns to set."""

    alert_id: int
    from_state: InboxState
    from_epoch: int
    to_state: InboxState
    to_epoch: int
    worker: str
    reason: str
    detail: str = ""
    values: Mapping[str, Any]

    def event(self, at: datetime) -> dict[str, Any]:
        return {
            "alert_id": self.alert_id,
            "at": at,
            "worker": self.worker,
            "from_state": self.from_state.value,
            "to_state": self.to_state.value,
            "epoch": self.to_epoch,
            "reason": self.reason,
            "detail": self.detail,
        }


def move(connection: Connection, step: Move, at: datetime) -> bool:
    """Make one move and write its event; False, and nothing written, when the alert is not where it was."""
    statement = (
        update(INBOX)
        .where(
            INBOX.c.alert_id == step.alert_id,
            INBOX.c.state == step.from_state.value,
            INBOX.c.epoch == step.from_epoch,
        )
        .values(
            {
                "state": step.to_state.value,
                "epoch": step.to_epoch,
                "reason": step.reason,
                "detail": step.detail,
                **({"finished_at": at} if step.to_state.is_terminal else {}),
                **step.values,
            }
        )
    )
    if connection.execute(statement).rowcount != 1:
        return False
    write_events(connection, [step.event(at)])
    return True


def write_events(connection: Connection, events: list[dict[str, Any]]) -> None:
    if events:
        connection.execute(insert(EVENT), events)


def lock_alerts(connection: Connection, alert_ids: Iterable[int]) -> None:
    """Lock alerts before several are changed, in the order of their numbers, as everybody does who changes several."""
    if connection.dialect.name != "postgresql":
        return
    for chunk in chunked(sorted(set(alert_ids))):
        query = select(INBOX.c.alert_id).where(INBOX.c.alert_id.in_(chunk)).order_by(INBOX.c.alert_id)
        connection.execute(query.with_for_update()).all()


# -- lanes ------------------------------------------------------------------------------------------------------
def lock_lane(connection: Connection, lane: str) -> Row[Any] | None:
    """Hold off everybody else in this lane until the transaction ends; the lane as it stands."""
    return connection.execute(_LOCK_LANE, {"lane_": lane}).first()


def head_of(connection: Connection, lane: Row[Any]) -> Row[Any] | None:
    """The alert that a lane is at: the one that somebody works on, or else the first that is not over."""
    if lane.leased_alert is not None:
        return connection.execute(_LEASED, {"id_": lane.leased_alert}).one()
    return connection.execute(_HEAD, {"lane_": lane.lane, "from_seq": lane.head_seq}).first()


def settle_lane(connection: Connection, lane: str, now: datetime, *, frees: bool) -> None:
    """Say when the head of a lane is due. A leased lane is left alone, unless this `frees` it."""
    row = lock_lane(connection, lane)
    assert row is not None, f"lane {lane} has alerts and no row"
    if row.leased_alert is not None and not frees:
        return
    head = connection.execute(_HEAD, {"lane_": lane, "from_seq": row.head_seq}).first()
    assert head is None or head.state != InboxState.WORKING.value, f"lane {lane} is free while its head is worked on"
    connection.execute(
        update(LANE)
        .where(LANE.c.lane == lane)
        .values(
            head_seq=row.next_seq if head is None else head.lane_seq,
            due_at=None if head is None else due_at(head, now),
            leased_alert=None,
            lease_owner=None,
            lease_until=None,
        )
    )


def due_at(head: Row[Any], now: datetime) -> datetime:
    """When a head may be claimed: at once, or when it waits no longer; what has expired waits no longer."""
    if head.next_attempt_at is None:
        return now
    wait: datetime = head.next_attempt_at
    return wait if head.expires_at is None else min(wait, head.expires_at)


def stop_lane(connection: Connection, lane: str, *, alert_id: int, reason: str) -> None:
    """Let nothing of a lane be claimed until a person restarts it. The lane must be locked."""
    connection.execute(
        update(LANE)
        .where(LANE.c.lane == lane)
        .values(state=LaneState.STOPPED.value, reason=reason, stopped_by=alert_id)
    )


# -- what else they share ---------------------------------------------------------------------------------------
def alert_of(row: Row[Any]) -> StoredAlert:
    return StoredAlert.of(dict(row._mapping))


def notify(connection: Connection) -> None:
    """Wake whoever listens, once the transaction is committed."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})


def chunked(items: Iterable[Item]) -> Iterable[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk
