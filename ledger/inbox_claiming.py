"""Working on alerts: the head of one lane at a time, under a lease with an epoch, until it ends with a reason.

Attempts are counted when an alert is claimed, so that one that kills its worker is counted too. Only what nobody has
worked on expires by itself: after a claim there may be orders, and the next worker is told that the time is over.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update

from ledger.alert_states import InboxState, LaneState
from ledger.errors import LeaseLost
from ledger.inbox_moves import (
    INBOX,
    LANE,
    Move,
    chunked,
    head_of,
    lock_alerts,
    lock_lane,
    move,
    settle_lane,
    stop_lane,
    write_events,
)
from ledger.inbox_reasons import InboxReason
from ledger.inbox_values import Claim, QueueLimits, StoredAlert

S = InboxState
STALE_ROWS_MAX = 5_000  # ended in one transaction


# -- expiring ---------------------------------------------------------------------------------------------------
def expire(connection: Connection, now: datetime, *, worker: str) -> int:
    """End what nobody has worked on and whose time is over, but for lanes that another worker holds right now."""
    query = (
        select(INBOX.c.alert_id, INBOX.c.lane, INBOX.c.expires_at)
        .where(INBOX.c.state == S.QUEUED.value, INBOX.c.expires_at <= now, INBOX.c.epoch == 0)
        .order_by(INBOX.c.expires_at)
        .limit(STALE_ROWS_MAX)
    )
    stale = connection.execute(query).all()
    if not stale:
        return 0
    free = _lock_free(connection, sorted({row.lane for row in stale}))
    ended: set[int] = set()
    lock_alerts(connection, [row.alert_id for row in stale if row.lane in free])
    for chunk in chunked([row.alert_id for row in stale if row.lane in free]):
        ended |= _end_stale(connection, chunk, now)
    gone = [row for row in stale if row.alert_id in ended]
    write_events(connection, [_expired_event(row.alert_id, row.expires_at, worker, now) for row in gone])
    for lane in sorted({row.lane for row in gone}):
        settle_lane(connection, lane, now, frees=False)
    return len(gone)


def _lock_free(connection: Connection, lanes: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for chunk in chunked(lanes):
        query = select(LANE.c.lane).where(LANE.c.lane.in_(chunk)).order_by(LANE.c.lane)
        found |= set(connection.execute(query.with_for_update(skip_locked=True)).scalars())
    return found


def _end_stale(connection: Connection, alert_ids: Sequence[int], now: datetime) -> set[int]:
    """Those that are still where they were; on PostgreSQL another worker may have been faster before the lock."""
    statement = (
        update(INBOX)
        .where(INBOX.c.alert_id.in_(alert_ids), INBOX.c.state == S.QUEUED.value, INBOX.c.epoch == 0)
        .values(state=S.EXPIRED.value, reason=InboxReason.ALERT_EXPIRED.value, finished_at=now)
        .returning(INBOX.c.alert_id)
    )
    return set(connection.execute(statement).scalars())


def _expired_event(alert_id: int, expires_at: datetime, worker: str, now: datetime) -> dict[str, Any]:
    return {
        "alert_id": alert_id,
        "at": now,
        "worker": worker,
        "from_state": S.QUEUED.value,
        "to_state": S.EXPIRED.value,
        "epoch": 0,
        "reason": InboxReason.ALERT_EXPIRED.value,
        "detail": f"its time was over at {expires_at}",
    }


# -- claiming ---------------------------------------------------------------------------------------------------
def claim(
    connection: Connection,
    now: datetime,
    *,
    worker: str,
    accounts: Collection[str] | None,
    limits: QueueLimits,
) -> Claim | None:
    """Lease the head of the lane that has waited longest; None when nothing is due."""
    query = select(LANE).where(LANE.c.state == LaneState.RUNNING.value, LANE.c.due_at <= now)
    if accounts is not None:
        query = query.where(LANE.c.account_id.in_(sorted(accounts)))
    query = query.order_by(LANE.c.due_at, LANE.c.lane).limit(1).with_for_update(skip_locked=True)
    while (lane := connection.execute(query).first()) is not None:
        head = head_of(connection, lane)
        claimed = None if head is None else _claim_head(connection, lane, head, now, worker=worker, limits=limits)
        if claimed is not None:
            return claimed
        settle_lane(connection, lane.lane, now, frees=True)
    return None


def _claim_head(
    connection: Connection, lane: Row[Any], head: Row[Any], now: datetime, *, worker: str, limits: QueueLimits
) -> Claim | None:
    """The claim, or None when the head has ended instead: its lane then has another head, or stands still."""
    if head.state == S.QUEUED.value and head.epoch == 0 and head.expires_at is not None and head.expires_at <= now:
        _expire_head(connection, head, now, worker)
        return None
    if head.attempts >= limits.attempts_max:  # only a lapsed lease leaves it so: `finish` ends it otherwise
        _bury(connection, head, now, worker)
        return None
    lease_until = now + timedelta(seconds=limits.lease_s)
    attempt, epoch = head.attempts + 1, head.epoch + 1
    is_lapsed = head.state == S.WORKING.value
    step = Move(
        alert_id=head.alert_id,
        from_state=S(head.state),
        from_epoch=head.epoch,
        to_state=S.WORKING,
        to_epoch=epoch,
        worker=worker,
        reason=(InboxReason.ALERT_TAKEN_OVER if is_lapsed else InboxReason.ALERT_CLAIMED).value,
        detail=f"attempt {attempt}" + (f", after {head.lease_owner} fell silent" if is_lapsed else ""),
        values={
            "attempts": attempt,
            "lease_owner": worker,
            "lease_until": lease_until,
            "next_attempt_at": None,
            **_said_before(head),
        },
    )
    moved = move(connection, step, now)
    assert moved, f"alert {head.alert_id} moved while its lane was locked"
    due = lease_until + limits.backoff(attempt)
    _lease_lane(
        connection,
        lane.lane,
        leased_alert=head.alert_id,
        lease_owner=worker,
        lease_until=lease_until,
        due_at=due,
        epoch=lane.epoch + 1,
    )
    changed = {
        "state": S.WORKING.value,
        "epoch": epoch,
        "attempts": attempt,
        "lease_owner": worker,
        "lease_until": lease_until,
        "next_attempt_at": None,
        **_said_before(head),
    }
    alert = StoredAlert.of({**head._mapping, **changed})
    return Claim(alert=alert, worker=worker, epoch=epoch, attempt=attempt, claimed_at=now, lease_until=lease_until)


def _said_before(head: Row[Any]) -> dict[str, str]:
    """What the attempt before said, kept until this one says something; what reading said is in the events."""
    is_again = head.state in (S.WAITING.value, S.WORKING.value)
    return {"reason": head.reason if is_again else "", "detail": head.detail if is_again else ""}


def _lease_lane(connection: Connection, lane: str, **values: Any) -> None:
    """It is due again when the lease has lapsed, and the wait after a failed attempt with it."""
    connection.execute(update(LANE).where(LANE.c.lane == lane).values(values))


def _expire_head(connection: Connection, head: Row[Any], now: datetime, worker: str) -> None:
    """Another worker held its lane while the others of its time were ended."""
    if _end_stale(connection, [head.alert_id], now):
        write_events(connection, [_expired_event(head.alert_id, head.expires_at, worker, now)])


def _bury(connection: Connection, head: Row[Any], now: datetime, worker: str) -> None:
    reason = head.reason or InboxReason.ALERT_WORKER_DIED.value
    last = f"{head.reason}: {head.detail}" if head.reason else "no attempt came to its end"
    step = Move(
        alert_id=head.alert_id,
        from_state=S(head.state),
        from_epoch=head.epoch,
        to_state=S.DEAD,
        to_epoch=head.epoch + 1,
        worker=worker,
        reason=reason,
        detail=f"{head.attempts} attempts; {last}; {head.lease_owner} fell silent",
        values={"lease_owner": None, "lease_until": None},
    )
    moved = move(connection, step, now)
    assert moved, f"alert {head.alert_id} moved while its lane was locked"
    if not head.skippable:
        stop_lane(connection, head.lane, alert_id=head.alert_id, reason=reason)


# -- holding on, and ending -------------------------------------------------------------------------------------
def heartbeat(connection: Connection, claimed: Claim, now: datetime, *, limits: QueueLimits) -> bool:
    """Renew the lease; False when the alert is another's, or over."""
    lane = lock_lane(connection, claimed.lane)
    until = now + timedelta(seconds=limits.lease_s)
    held = update(INBOX).where(*_held(claimed)).values(lease_until=until)
    if lane is None or connection.execute(held).rowcount != 1:
        return False
    _lease_lane(connection, lane.lane, lease_until=until, due_at=until + limits.backoff(claimed.attempt))
    return True


def _held(claimed: Claim) -> tuple[Any, ...]:
    return (
        INBOX.c.alert_id == claimed.alert_id,
        INBOX.c.state == S.WORKING.value,
        INBOX.c.epoch == claimed.epoch,
    )


def finish(
    connection: Connection,
    claimed: Claim,
    state: InboxState,
    now: datetime,
    *,
    reason: str,
    detail: str,
    retry_at: datetime | None,
    review: str | None,
    limits: QueueLimits,
) -> InboxState:
    """End the claim and free the lane; the state that the alert has now. LeaseLost when the claim no longer counts."""
    lock_lane(connection, claimed.lane)
    final, values = _outcome(claimed, state, now, retry_at=retry_at, limits=limits)
    if review is not None:
        values["review"] = review
    step = Move(
        alert_id=claimed.alert_id,
        from_state=S.WORKING,
        from_epoch=claimed.epoch,
        to_state=final,
        to_epoch=claimed.epoch,
        worker=claimed.worker,
        reason=reason,
        detail=detail,
        values={"lease_owner": None, "lease_until": None, **values},
    )
    if not move(connection, step, now):
        raise LeaseLost(_lost(claimed))
    settle_lane(connection, claimed.lane, now, frees=True)
    if final is S.NEEDS_HUMAN or (final is S.DEAD and not claimed.alert.skippable):
        stop_lane(connection, claimed.lane, alert_id=claimed.alert_id, reason=reason)
    return final


def _outcome(
    claimed: Claim, state: InboxState, now: datetime, *, retry_at: datetime | None, limits: QueueLimits
) -> tuple[InboxState, dict[str, Any]]:
    """A failed attempt waits and, after the last one, is dead; a wait that was asked for is not an attempt."""
    if state is not S.WAITING:
        return state, {"next_attempt_at": None}
    if retry_at is not None:
        return S.WAITING, {"next_attempt_at": retry_at, "attempts": claimed.attempt - 1}
    if claimed.attempt >= limits.attempts_max:
        return S.DEAD, {"next_attempt_at": None}
    return S.WAITING, {"next_attempt_at": now + limits.backoff(claimed.attempt)}


def note(connection: Connection, claimed: Claim, now: datetime, *, reason: str, detail: str) -> None:
    """Write an event without a move. LeaseLost when the claim no longer counts."""
    lock_lane(connection, claimed.lane)
    if connection.execute(select(INBOX.c.alert_id).where(*_held(claimed))).first() is None:
        raise LeaseLost(_lost(claimed))
    step = Move(
        alert_id=claimed.alert_id,
        from_state=S.WORKING,
        from_epoch=claimed.epoch,
        to_state=S.WORKING,
        to_epoch=claimed.epoch,
        worker=claimed.worker,
        reason=reason,
        detail=detail,
        values={},
    )
    write_events(connection, [step.event(now)])


def _lost(claimed: Claim) -> str:
    return (
        f"{claimed.worker} no longer holds alert {claimed.alert_id} (epoch {claimed.epoch}): "
        "another worker has taken it over, or it has ended; nothing was stored"
    )
