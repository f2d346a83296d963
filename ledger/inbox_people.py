"""What a person does with the queue: put an alert back, end it, let a lane go on. Each is a link of the audit."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update
from sqlmodel import Session

from ledger.alert_states import REVIVABLE_STATES, InboxState, LaneState
from ledger.alert_tables import InboxEvent
from ledger.audit import PERSON
from ledger.errors import AlertNotMoved
from ledger.inbox_moves import INBOX, LANE, lock_lane, notify, settle_lane
from ledger.inbox_reasons import InboxReason

S = InboxState
_GOES_ON = {"state": LaneState.RUNNING.value, "reason": "", "stopped_by": None}


def revive(session: Session, alert_id: int, now: datetime, *, by: str, reason: str) -> InboxState:
    """Give an alert that ended badly its attempts and its time again; the state that it has now.

    It keeps its key, its place in its lane and its orders: what was sent for it is found, not sent again. One without a
    place was never let into a lane: it is read again, with what sources and routes say now.
    """
    require_words(by=by, reason=reason)
    row = _lock(session.connection(), alert_id)
    _require_revivable(row)
    after = S.NEW if row.lane is None else S.QUEUED
    values: dict[str, Any] = {"attempts": 0, "finished_at": None, "next_attempt_at": None}
    if row.lane is not None and row.expires_at is not None:
        values["expires_at"] = now + max(row.expires_at - row.received_at, timedelta(0))
    _decide(session, row, after, now, by=by, reason=InboxReason.ALERT_REVIVED, detail=reason, values=values)
    return after


def dismiss(session: Session, alert_id: int, now: datetime, *, by: str, reason: str) -> None:
    """End an alert that waits for a person, or that nobody has worked on yet. Its orders, if any, are not touched."""
    require_words(by=by, reason=reason)
    row = _lock(session.connection(), alert_id)
    is_untouched = row.state == S.QUEUED.value and row.epoch == 0
    if row.state != S.NEEDS_HUMAN.value and not is_untouched:
        raise AlertNotMoved(
            f"alert {alert_id} is {row.state} (epoch {row.epoch}): only one that is needs_human, or queued and never "
            "worked on, can be dismissed"
        )
    values = {"finished_at": now}
    _decide(session, row, S.REFUSED, now, by=by, reason=InboxReason.ALERT_DISMISSED, detail=reason, values=values)


def _lock(connection: Connection, alert_id: int) -> Row[Any]:
    """The alert, after its lane and it were locked."""
    lane: str | None = connection.execute(select(INBOX.c.lane).where(INBOX.c.alert_id == alert_id)).scalar()
    if lane is not None:
        lock_lane(connection, lane)
    row = connection.execute(select(INBOX).where(INBOX.c.alert_id == alert_id).with_for_update()).first()
    if row is None:
        raise LookupError(f"the ledger has no alert {alert_id}")
    return row


def _require_revivable(row: Row[Any]) -> None:
    if row.state not in REVIVABLE_STATES:
        raise AlertNotMoved(
            f"alert {row.alert_id} is {row.state} and cannot be put back; that is for "
            f"{', '.join(sorted(REVIVABLE_STATES))}"
        )
    if row.lane is None and row.raw is None:
        raise AlertNotMoved(f"alert {row.alert_id} was never let into a lane, and its raw bytes are no longer kept")


def _decide(
    session: Session,
    row: Row[Any],
    after: InboxState,
    now: datetime,
    *,
    by: str,
    reason: InboxReason,
    detail: str,
    values: dict[str, Any],
) -> None:
    """Move a locked alert for a person, and let its lane go on where it was this alert that stopped it."""
    connection = session.connection()
    said = {"state": after.value, "epoch": row.epoch + 1, "reason": reason.value, "detail": detail}
    statement = update(INBOX).where(INBOX.c.alert_id == row.alert_id).values({**values, **said})
    moved = connection.execute(statement).rowcount
    assert moved == 1, f"alert {row.alert_id} moved while it was locked"
    session.add(_decision(row, S(row.state), after, now, by=by, reason=reason, detail=detail))
    session.flush()
    if row.lane is not None:
        lane = lock_lane(connection, row.lane)
        assert lane is not None, f"lane {row.lane} has alerts and no row"
        again: dict[str, Any] = {"head_seq": min(lane.head_seq, row.lane_seq)}
        if lane.stopped_by == row.alert_id:
            again |= _GOES_ON
        connection.execute(update(LANE).where(LANE.c.lane == row.lane).values(again))
        settle_lane(connection, row.lane, now, frees=False)
    notify(connection)


def restart_lane(session: Session, lane: str, now: datetime, *, by: str, reason: str) -> None:
    """Let a lane that stands still go on with its next alert; the alert that stopped it stays as it is."""
    require_words(by=by, reason=reason)
    connection = session.connection()
    found = lock_lane(connection, lane)
    if found is None:
        raise LookupError(f"the ledger has no lane {lane}")
    if found.state != LaneState.STOPPED.value:
        raise AlertNotMoved(f"lane {lane} is {found.state}: only a lane that stands still is restarted")
    cause = connection.execute(select(INBOX).where(INBOX.c.alert_id == found.stopped_by)).one()
    connection.execute(update(LANE).where(LANE.c.lane == lane).values(_GOES_ON))
    state = S(cause.state)
    session.add(_decision(cause, state, state, now, by=by, reason=InboxReason.ALERT_LANE_RESTARTED, detail=reason))
    session.flush()
    settle_lane(connection, lane, now, frees=False)
    notify(connection)


def _decision(
    row: Row[Any],
    before: InboxState,
    after: InboxState,
    at: datetime,
    *,
    by: str,
    reason: InboxReason,
    detail: str,
) -> InboxEvent:
    """Through the mapper, which links it into the audit."""
    return InboxEvent(
        alert_id=row.alert_id,
        at=at,
        worker=f"{PERSON}{by}",
        from_state=before.value,
        to_state=after.value,
        epoch=row.epoch + (before is not after),
        reason=reason.value,
        detail=detail,
    )


def require_words(**words: str) -> None:
    """Each must say something."""
    for name, value in words.items():
        if not value.strip():
            raise ValueError(f"{name} must say something, was {value!r}: who decides, and why")
