"""Reading new alerts, one reader at a time and in their order: key, conflict, duplicate, lane and number in it.

The lease is short, and an attempt is counted and committed before an alert is read, so that an alert whose reading
kills the process is found out: after such a death alerts are read one by one, and the guilty one ends as dead.
Keys are permanent: what a key was first seen with is what it means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from ledger.alert_states import InboxState, KeyKind
from ledger.alert_tables import AlertKeyRow
from ledger.inbox_judging import GAP, Entry, Judge
from ledger.inbox_moves import (
    INBOX,
    LANE,
    LEASE,
    READING,
    Move,
    alert_of,
    chunked,
    lock_alerts,
    move,
    notify,
    settle_lane,
    write_events,
)
from ledger.inbox_reasons import InboxReason
from ledger.inbox_values import Admission, QueueLimits, StoredAlert
from ledger.records import hold

S = InboxState
_KEY = AlertKeyRow.__table__  # type: ignore[attr-defined]
_NEW = select(INBOX).where(INBOX.c.state == S.NEW.value).order_by(INBOX.c.alert_id)


@dataclass(frozen=True, slots=True)
class Batch:
    """Alerts that one reader has leased. `dead` counts those that ended because their attempts are used up."""

    alerts: tuple[StoredAlert, ...] = ()
    epoch: int = 0
    dead: int = 0


# -- taking alerts to read --------------------------------------------------------------------------------------
def take(connection: Connection, now: datetime, *, worker: str, limit: int, limits: QueueLimits) -> Batch:
    """Lease the oldest new alerts and count the attempt; nothing while another reader's lease runs."""
    if connection.execute(_NEW.limit(1)).first() is None:
        return Batch()
    lease = _lock_lease(connection)
    if lease.lease_until is not None and lease.lease_until > now:
        return Batch()
    rows = list(connection.execute(_NEW.limit(limit)))
    used_up = list(takewhile(lambda row: row.attempts >= limits.attempts_max, rows))
    for row in used_up:
        _bury(connection, row, worker=worker, now=now)
    rows = _side_by_side(rows[len(used_up) :])
    lock_alerts(connection, [row.alert_id for row in rows])
    for chunk in chunked([row.alert_id for row in rows]):
        connection.execute(update(INBOX).where(INBOX.c.alert_id.in_(chunk)).values(attempts=INBOX.c.attempts + 1))
    held = {"lease_owner": worker, "lease_until": now + timedelta(seconds=limits.reading_lease_s)} if rows else {}
    connection.execute(update(LEASE).where(LEASE.c.name == READING).values(epoch=lease.epoch + 1, **held))
    return Batch(tuple(alert_of(row) for row in rows), lease.epoch + 1, len(used_up))


def _side_by_side(rows: list[Row[Any]]) -> list[Row[Any]]:
    """Those that may be read together: what was read before, and not to its end, is read alone."""
    fresh = list(takewhile(lambda row: row.attempts == 0, rows))
    return fresh or rows[:1]


def _bury(connection: Connection, row: Row[Any], *, worker: str, now: datetime) -> None:
    detail = f"{row.attempts} attempts to read it were begun and none came to its end"
    step = Move(
        alert_id=row.alert_id,
        from_state=S.NEW,
        from_epoch=row.epoch,
        to_state=S.DEAD,
        to_epoch=row.epoch,
        worker=worker,
        reason=InboxReason.ALERT_READER_DIED.value,
        detail=detail,
        values={},
    )
    moved = move(connection, step, now)
    assert moved, f"alert {row.alert_id} moved while its reader's lease was held"


def _lock_lease(connection: Connection) -> Row[Any]:
    query = select(LEASE).where(LEASE.c.name == READING).with_for_update()
    found = connection.execute(query).first()
    if found is None:
        hold(connection, "alerts read")  # the very first readers of a ledger
        if connection.execute(query).first() is None:
            connection.execute(insert(LEASE), {"name": READING})
        found = connection.execute(query).first()
    assert found is not None
    return found


# -- reading ----------------------------------------------------------------------------------------------------
def read_all(
    alerts: Iterable[StoredAlert], read: Callable[[StoredAlert], Admission], *, goes_on: Callable[[], bool]
) -> list[tuple[StoredAlert, Admission]]:
    """Read one after the other while `goes_on`; at least one. An error of the reader is that alert's end."""
    found: list[tuple[StoredAlert, Admission]] = []
    for alert in alerts:
        if found and not goes_on():
            break
        try:
            admission = read(alert)
        except Exception as error:  # noqa: BLE001 - a reader with a fault must not stop the alerts behind this one
            admission = Admission(
                state=S.POISON,
                reason=InboxReason.ALERT_READER_FAILED.value,
                detail=f"{type(error).__name__}: {error}",
            )
        found.append((alert, admission))
    return found


# -- storing what was read --------------------------------------------------------------------------------------
def store(
    connection: Connection,
    now: datetime,
    read: Sequence[tuple[StoredAlert, Admission]],
    *,
    batch: Batch,
    worker: str,
) -> int | None:
    """Store what was read and free the lease; None, and nothing stored, when another reader has taken over."""
    lease = _lock_lease(connection)
    if lease.epoch != batch.epoch or lease.lease_owner != worker:
        return None
    judge = Judge(now, _keys(connection, read), _bodies(connection, [alert for alert, _ in read]))
    entries = [judge.judge(alert, said) for alert, said in read]
    lanes = _lock_lanes(connection, entries, [first for first, _ in judge.contested])
    lock_alerts(connection, [alert.alert_id for alert in batch.alerts] + [first for first, _ in judge.contested])
    _number(entries, lanes)
    _write(connection, entries, worker=worker, now=now)
    if judge.new_keys:
        connection.execute(insert(_KEY), judge.new_keys)
    _write_lanes(connection, lanes, now)
    for first, other in judge.contested:
        _contest(connection, first, other, worker=worker, now=now)
    unread = [alert.alert_id for alert in batch.alerts[len(read) :]]
    for chunk in chunked(unread):  # leased, and never begun
        connection.execute(update(INBOX).where(INBOX.c.alert_id.in_(chunk)).values(attempts=INBOX.c.attempts - 1))
    connection.execute(update(LEASE).where(LEASE.c.name == READING).values(lease_owner=None, lease_until=None))
    if lanes:
        notify(connection)
    return len(entries)


def _keys(
    connection: Connection, read: Sequence[tuple[StoredAlert, Admission]]
) -> dict[tuple[str, str], tuple[int, str]]:
    """Source by source: SQLite reads all keys there ever were when it is asked for pairs."""
    wanted: dict[str, set[str]] = {}
    for alert, said in read:
        if said.key:
            wanted.setdefault(alert.source, set()).add(said.key)
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for source, keys in wanted.items():
        for chunk in chunked(sorted(keys)):
            query = select(_KEY).where(_KEY.c.source == source, _KEY.c.dedupe_key.in_(chunk))
            for row in connection.execute(query):
                found[source, row.dedupe_key] = (row.alert_id, row.body_sha256)
    return found


def _bodies(connection: Connection, alerts: Sequence[StoredAlert]) -> dict[tuple[str, str], list[tuple[int, datetime]]]:
    """Alerts without a key that wanted to trade, and have the body of one of these."""
    first_at = min((alert.received_at for alert in alerts), default=None)
    found: dict[tuple[str, str], list[tuple[int, datetime]]] = {}
    if first_at is None:
        return found
    query = select(INBOX.c.alert_id, INBOX.c.source, INBOX.c.body_sha256, INBOX.c.received_at).where(
        INBOX.c.received_at >= first_at - GAP,
        INBOX.c.key_kind == KeyKind.WEAK.value,
        INBOX.c.state != S.DUPLICATE.value,
    )
    for chunk in chunked(sorted({alert.body_sha256 for alert in alerts})):
        for row in connection.execute(query.where(INBOX.c.body_sha256.in_(chunk)).order_by(INBOX.c.alert_id)):
            found.setdefault((row.source, row.body_sha256), []).append((row.alert_id, row.received_at))
    return found


def _lock_lanes(connection: Connection, entries: Sequence[Entry], contested: Sequence[int]) -> dict[str, _Numbered]:
    """Lock every lane that this touches, by name; those that there are."""
    wanted = {entry.lane for entry in entries if entry.lane}
    for chunk in chunked(sorted(set(contested))):
        found = connection.execute(select(INBOX.c.lane).where(INBOX.c.alert_id.in_(chunk), INBOX.c.lane.is_not(None)))
        wanted |= set(found.scalars())
    lanes: dict[str, _Numbered] = {}
    for names in chunked(sorted(wanted)):
        rows = connection.execute(select(LANE).where(LANE.c.lane.in_(names)).order_by(LANE.c.lane).with_for_update())
        lanes |= {row.lane: _Numbered(row.next_seq, row.due_at, is_new=False) for row in rows}
    return lanes


def _number(entries: Sequence[Entry], lanes: dict[str, _Numbered]) -> None:
    """Give each alert its number, in the order in which the alerts came."""
    for entry in entries:
        if entry.lane:
            lane = lanes.setdefault(entry.lane, _Numbered(1, None, is_new=True))
            lane.account_id, lane.instrument_id = entry.said.account_id, entry.said.instrument_id
            entry.lane_seq = lane.next_seq
            lane.next_seq += 1
            lane.is_longer = True


@dataclass(slots=True)
class _Numbered:
    next_seq: int
    due_at: datetime | None
    is_new: bool
    is_longer: bool = False
    account_id: str = ""
    instrument_id: str = ""


def _write_lanes(connection: Connection, lanes: dict[str, _Numbered], now: datetime) -> None:
    """A lane that had nothing to do is due at once."""
    new = [
        {
            "lane": name,
            "account_id": lane.account_id,
            "instrument_id": lane.instrument_id,
            "next_seq": lane.next_seq,
            "due_at": now,
        }
        for name, lane in sorted(lanes.items())
        if lane.is_new
    ]
    known = [
        {"lane_": name, "next": lane.next_seq, "due": lane.due_at or now}
        for name, lane in sorted(lanes.items())
        if lane.is_longer and not lane.is_new
    ]
    if new:
        connection.execute(insert(LANE), new)
    if known:
        connection.execute(_EXTEND_LANE, known)


_EXTEND_LANE = (
    update(LANE).where(LANE.c.lane == bindparam("lane_")).values(next_seq=bindparam("next"), due_at=bindparam("due"))
)
_ADMIT_COLUMNS = (
    "state",
    "reason",
    "detail",
    "flag",
    "dedupe_key",
    "key_kind",
    "duplicate_of",
    "strategy",
    "account_id",
    "instrument_id",
    "lane",
    "lane_seq",
    "is_exit",
    "skippable",
    "alert_time",
    "expires_at",
    "parsed",
    "finished_at",
)
_ADMIT = (
    update(INBOX)
    .where(INBOX.c.alert_id == bindparam("id_"), INBOX.c.state == S.NEW.value)
    .values({"attempts": 0, **{name: bindparam(f"to_{name}") for name in _ADMIT_COLUMNS}})
)


def _write(connection: Connection, entries: Sequence[Entry], *, worker: str, now: datetime) -> None:
    rows = []
    for entry in entries:
        said = entry.said
        values = {name: getattr(said, name) for name in _ADMIT_COLUMNS if hasattr(said, name)}
        values |= {name: getattr(entry, name) for name in ("reason", "detail", "flag", "duplicate_of", "lane")}
        values |= {
            "state": entry.state.value,
            "dedupe_key": said.key,
            "key_kind": entry.kind.value,
            "lane_seq": entry.lane_seq,
            "finished_at": now if entry.state.is_terminal else None,
        }
        rows.append({"id_": entry.alert.alert_id, **{f"to_{name}": value for name, value in values.items()}})
    moved = connection.execute(_ADMIT, rows).rowcount
    assert moved == len(entries), f"{len(entries) - moved} alerts moved while their reader's lease was held"
    write_events(connection, [_event(entry, worker, now) for entry in entries])


def _event(entry: Entry, worker: str, now: datetime) -> dict[str, Any]:
    return {
        "alert_id": entry.alert.alert_id,
        "at": now,
        "worker": worker,
        "from_state": S.NEW.value,
        "to_state": entry.state.value,
        "epoch": entry.alert.epoch,
        "reason": entry.reason or InboxReason.ALERT_QUEUED.value,
        "detail": entry.detail,
    }


def _contest(connection: Connection, first: int, other: int, *, worker: str, now: datetime) -> None:
    """Another alert contradicts `first`: it does not trade either, unless somebody has worked on it."""
    where = select(INBOX.c.lane).where(INBOX.c.alert_id == first)
    lane: str | None = connection.execute(where).scalar_one()
    row = connection.execute(select(INBOX).where(INBOX.c.alert_id == first)).one()
    reason, detail = InboxReason.ALERT_KEY_CONFLICT.value, f"alert {other} has the same key and another body"
    if row.state == S.QUEUED.value and row.epoch == 0:
        step = Move(
            alert_id=first,
            from_state=S.QUEUED,
            from_epoch=0,
            to_state=S.CONFLICT,
            to_epoch=0,
            worker=worker,
            reason=reason,
            detail=detail,
            values={"flag": reason},
        )
        moved = move(connection, step, now)
        assert moved, f"alert {first} moved while its lane was locked"
        assert lane is not None, f"alert {first} is queued and has no lane"
        settle_lane(connection, lane, now, frees=False)
        return
    connection.execute(update(INBOX).where(INBOX.c.alert_id == first).values(flag=reason))
    state = S(row.state)
    write_events(
        connection,
        [
            Move(
                alert_id=first,
                from_state=state,
                from_epoch=row.epoch,
                to_state=state,
                to_epoch=row.epoch,
                worker=worker,
                reason=reason,
                detail=detail,
                values={},
            ).event(now)
        ],
    )
