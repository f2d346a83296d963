"""What a person does with the queue: put an alert back, let a lane go on. Both are links of the audit."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select, update
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
    connection = session.connection()
    lane: str | None = connection.execute(select(INBOX.c.lane).where(INBOX.c.alert_id == alert_id)).scalar()
    if lane is not None:
        lock_lane(connection, lane)
    row = connection.execute(select(INBOX).where(INBOX.c.alert_id == alert_id).with_for_update()).first()
    if row is None:
        raise LookupError(f"the ledger has no alert {alert_id}")
    before, after = _revivable(row), S.NEW if lane is None else S.QUEUED
    values: dict[str, Any] = {"state": after.value, "epoch": row.epoch + 1, "attempts": 0, "finished_at": None}
    values |= {"next_attempt_at": None, "reason": InboxReason.ALERT_REVIVED.value, "detail": reason}
    if lane is not None and row.expires_at is not None:
        values["expires_at"] = now + max(row.expires_at - row.received_at, timedelta(0))
    moved = connection.execute(update(INBOX).where(INBOX.c.alert_id == alert_id).values(values)).rowcount
    assert moved == 1, f"alert {alert_id} moved while it was locked"
    session.add(_decision(row, before, after, now, by=by, reason=InboxReason.ALERT_REVIVED, detail=reason))
    session.flush()
    if lane is not None:
        found = lock_lane(connection, lane)
        assert found is not None, f"lane {lane} has alerts and no row"
        again: dict[str, Any] = {"head_seq": min(found.head_seq, row.lane_seq)}
        if found.stopped_by == alert_id:  # it was this one that it waited for
            again |= _GOES_ON
        connection.execute(update(LANE).where(LANE.c.lane == lane).values(again))
        settle_lane(connection, lane, now, frees=False)
    notify(connection)
    return after


def _revivable(row: Row[Any]) -> InboxState:
    state = S(row.state)
    if state not in REVIVABLE_STATES:
        raise AlertNotMoved(
            f"alert {row.alert_id} is {state.value} and cannot be put back; that is for "
            f"{', '.join(sorted(REVIVABLE_STATES))}"
        )
    if row.lane is None and row.raw is None:
        raise AlertNotMoved(f"alert {row.alert_id} was never let into a lane, and its raw bytes are no longer kept")
    return state


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
