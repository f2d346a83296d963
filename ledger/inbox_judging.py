"""Judging what was read: whose key it is, what repeats or contradicts another, what came too late. Pure.

Invariants: a key belongs to the alert that carried it first, for ever; of two alerts with one key and different bodies
the later never trades; what is let in has a lane; every other end has a reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ledger.alert_states import InboxState, KeyKind
from ledger.inbox_reasons import InboxReason
from ledger.inbox_values import FUTURE_S_MAX, REDELIVERY_S_MAX, Admission, StoredAlert

S = InboxState
GAP = timedelta(seconds=REDELIVERY_S_MAX)


@dataclass(slots=True)
class Entry:
    """What becomes of one alert. `lane` is set for what is let in; its number in it is given under the lane's lock."""

    alert: StoredAlert
    said: Admission
    state: InboxState
    reason: str
    detail: str
    kind: KeyKind
    duplicate_of: int | None = None
    flag: str = ""
    lane: str | None = None
    lane_seq: int | None = None


@dataclass(slots=True)
class Judge:
    """What is known while a batch is stored: keys and bodies, those of the batch itself included."""

    now: datetime
    keys: dict[tuple[str, str], tuple[int, str]]
    bodies: dict[tuple[str, str], list[tuple[int, datetime]]]
    new_keys: list[dict[str, Any]] = field(default_factory=list)
    contested: list[tuple[int, int]] = field(default_factory=list)  # (first, the one that contradicts it)

    def judge(self, alert: StoredAlert, said: Admission) -> Entry:
        kind = KeyKind.EXPLICIT if said.key else KeyKind.WEAK if said.state is S.QUEUED else KeyKind.NONE
        entry = Entry(alert, said, said.state, said.reason, said.detail, kind)
        if said.key and self._is_taken(entry):
            return entry
        if said.state is S.QUEUED:
            self._judge_wanted(entry)
        return entry

    def _is_taken(self, entry: Entry) -> bool:
        """Whether its key belongs to another alert; otherwise it is this one's, for ever."""
        alert = entry.alert
        name = (alert.source, entry.said.key)
        if name not in self.keys:
            self.keys[name] = (alert.alert_id, alert.body_sha256)
            self.new_keys.append(
                {
                    "source": alert.source,
                    "dedupe_key": entry.said.key,
                    "alert_id": alert.alert_id,
                    "body_sha256": alert.body_sha256,
                    "created_at": self.now,
                }
            )
        first, body = self.keys[name]
        if first == alert.alert_id:
            return False
        entry.duplicate_of = first
        if body == alert.body_sha256:
            _end(entry, S.DUPLICATE, InboxReason.ALERT_DUPLICATE, f"alert {first} came first")
        else:
            _end(entry, S.CONFLICT, InboxReason.ALERT_KEY_CONFLICT, f"alert {first} has the same key and another body")
            entry.flag = InboxReason.ALERT_KEY_CONFLICT.value
            self.contested.append((first, alert.alert_id))
        return True

    def _judge_wanted(self, entry: Entry) -> None:
        alert, said = entry.alert, entry.said
        ahead_s = 0.0 if said.alert_time is None else (said.alert_time - alert.received_at).total_seconds()
        if ahead_s > FUTURE_S_MAX:
            what = f"its time {said.alert_time} lies {ahead_s:.3f} s after its receipt, allowed are {FUTURE_S_MAX} s"
            _end(entry, S.CONFLICT, InboxReason.ALERT_TIME_IN_FUTURE, what)
            return
        if not said.key and self._is_repetition(entry):
            return
        if said.expires_at is not None and said.expires_at <= self.now:
            what = f"its time was over at {said.expires_at}, before it was read"
            _end(entry, S.EXPIRED, InboxReason.ALERT_EXPIRED, what)
            return
        entry.lane = f"{said.account_id}|{said.instrument_id}"

    def _is_repetition(self, entry: Entry) -> bool:
        alert = entry.alert
        same = self.bodies.setdefault((alert.source, alert.body_sha256), [])
        for first, received_at in same:
            if first < alert.alert_id and abs(alert.received_at - received_at) <= GAP:
                entry.duplicate_of = first
                entry.flag = InboxReason.ALERT_DUPLICATE_WEAK.value
                _end(entry, S.DUPLICATE, InboxReason.ALERT_DUPLICATE_WEAK, f"alert {first} came first")
                return True
        same.append((alert.alert_id, alert.received_at))
        return False


def _end(entry: Entry, state: InboxState, reason: InboxReason, detail: str) -> None:
    entry.state, entry.reason, entry.detail = state, reason.value, detail
