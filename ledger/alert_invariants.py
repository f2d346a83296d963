"""I12: every acknowledged alert is on record, is worked on in its turn, and ends with a reason.

Judged by the inbox and its events alone: the events of an alert lead from where it began to where it stands, without a
gap; what is over says why; what repeats another names it; nobody overtakes in a lane.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import select
from sqlmodel import Session

from ledger.alert_states import InboxState
from ledger.alert_tables import AlertKeyRow, InboxEvent, InboxRow

S = InboxState
_INBOX = InboxRow.__table__  # type: ignore[attr-defined]
_EVENT = InboxEvent.__table__  # type: ignore[attr-defined]
_KEY = AlertKeyRow.__table__  # type: ignore[attr-defined]
_COLUMNS = (
    "alert_id",
    "source",
    "body_sha256",
    "received_at",
    "state",
    "reason",
    "duplicate_of",
    "lane",
    "lane_seq",
    "expires_at",
    "epoch",
    "finished_at",
)


@dataclass(frozen=True, slots=True)
class SeenAlert:
    """The part of an alert that checks need: raw bytes may be many."""

    alert_id: int
    source: str
    body_sha256: str
    received_at: datetime
    state: str
    reason: str
    duplicate_of: int | None
    lane: str | None
    lane_seq: int | None
    expires_at: datetime | None
    epoch: int
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class SeenEvent:
    event_id: int
    alert_id: int
    from_state: str
    to_state: str
    epoch: int


@dataclass(frozen=True, slots=True)
class AlertEvidence:
    """What the ledger holds of alerts, events in the order in which they were written."""

    alerts: Mapping[int, SeenAlert]
    events: tuple[SeenEvent, ...]
    keys: tuple[tuple[str, str, int, str], ...]  # source, key, alert, body's hash
    is_whole: bool  # of all accounts


def read_alert_evidence(session: Session, account_id: str | None) -> AlertEvidence:
    """Of the alerts of one account, or of all. Keys are of all accounts, and read only with all."""
    connection = session.connection()
    alerts: Any = select(*(_INBOX.c[name] for name in _COLUMNS))
    moves: Any = select(_EVENT.c.event_id, _EVENT.c.alert_id, _EVENT.c.from_state, _EVENT.c.to_state, _EVENT.c.epoch)
    if account_id is not None:
        alerts = alerts.where(_INBOX.c.account_id == account_id)
        owned = select(_INBOX.c.alert_id).where(_INBOX.c.account_id == account_id)
        moves = moves.where(_EVENT.c.alert_id.in_(owned))
    keys: list[tuple[str, str, int, str]] = []
    if account_id is None:
        query = select(_KEY.c.source, _KEY.c.dedupe_key, _KEY.c.alert_id, _KEY.c.body_sha256)
        keys = [(row[0], row[1], row[2], row[3]) for row in connection.execute(query)]
    return AlertEvidence(
        alerts={row.alert_id: SeenAlert(*row) for row in connection.execute(alerts)},
        events=tuple(SeenEvent(*row) for row in connection.execute(moves.order_by(_EVENT.c.event_id))),
        keys=tuple(keys),
        is_whole=account_id is None,
    )


def alert_findings(evidence: AlertEvidence, *, now: datetime | None, overdue_s_max: float) -> Iterator[str]:
    """What breaks I12. `now` None stands for a ledger in which everything has come to rest."""
    moves: dict[int, list[SeenEvent]] = {}
    for event in evidence.events:
        moves.setdefault(event.alert_id, []).append(event)
    for alert_id in moves.keys() - evidence.alerts.keys():
        yield f"events of alert {alert_id} belong to no alert on record"
    for alert in evidence.alerts.values():
        yield from _chain(alert, moves.get(alert.alert_id, []))
        yield from _end(alert, now, overdue_s_max)
        other = alert.duplicate_of
        if other is not None and (other == alert.alert_id or (evidence.is_whole and other not in evidence.alerts)):
            yield f"alert {alert.alert_id} repeats alert {other}, which is not another one on record"
    yield from _keys(evidence)
    yield from _turns(evidence)


def _chain(alert: SeenAlert, moves: list[SeenEvent]) -> Iterator[str]:
    who = f"alert {alert.alert_id}"
    if not moves:
        if alert.state != S.NEW.value:
            yield f"{who} is {alert.state} without any event"
        return
    if moves[0].from_state != S.NEW.value:
        yield f"{who}: the first event starts at {moves[0].from_state}"
    for before, after in pairwise(moves):
        if after.from_state != before.to_state:
            yield (
                f"{who}: event {after.event_id} starts at {after.from_state}, the one before ended at {before.to_state}"
            )
        rise = after.epoch - before.epoch
        is_claim = after.to_state == S.WORKING.value and after.from_state != S.WORKING.value
        if rise < 0 or (is_claim and rise < 1):
            yield f"{who}: epoch went from {before.epoch} to {after.epoch} at {after.to_state}"
    if (moves[-1].to_state, moves[-1].epoch) != (alert.state, alert.epoch):
        yield (
            f"{who} is {alert.state} at epoch {alert.epoch}, its last event led to {moves[-1].to_state} "
            f"at epoch {moves[-1].epoch}"
        )


def _end(alert: SeenAlert, now: datetime | None, overdue_s_max: float) -> Iterator[str]:
    state = S(alert.state)
    if (state.is_terminal or state is S.NEEDS_HUMAN) and not alert.reason:
        yield f"alert {alert.alert_id} ended as {alert.state} without a reason"
    if state.is_terminal != (alert.finished_at is not None):
        yield f"alert {alert.alert_id} is {alert.state}, and its end is {alert.finished_at}"
    if not state.is_open:
        return
    if now is None:
        yield f"alert {alert.alert_id} came to rest as {alert.state}"
        return
    late_s = (now - (alert.expires_at or alert.received_at)).total_seconds()
    if late_s > overdue_s_max and (alert.expires_at is not None or state is S.NEW):
        yield f"alert {alert.alert_id} is {alert.state}, {late_s:.0f} s after its time was over"


def _keys(evidence: AlertEvidence) -> Iterator[str]:
    for source, key, alert_id, body_sha256 in evidence.keys:
        alert = evidence.alerts.get(alert_id)
        if alert is None or (alert.source, alert.body_sha256) != (source, body_sha256):
            yield f"key {key!r} of {source} belongs to alert {alert_id}, which is not on record with that body"


def _turns(evidence: AlertEvidence) -> Iterator[str]:
    """First claims of a lane rise with the numbers in it; what was claimed before may come again at any time."""
    highest: dict[str, SeenAlert] = {}
    for event in evidence.events:
        alert = evidence.alerts.get(event.alert_id)
        is_first = event.to_state == S.WORKING.value and event.from_state == S.QUEUED.value and event.epoch == 1
        if alert is None or not is_first or alert.lane is None or alert.lane_seq is None:
            continue
        before = highest.get(alert.lane)
        if before is not None and before.lane_seq is not None and before.lane_seq > alert.lane_seq:
            yield f"alert {before.alert_id} overtook alert {alert.alert_id} in lane {alert.lane}"
        highest[alert.lane] = alert
