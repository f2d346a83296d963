"""What the queue promises, said again as simply as possible: lists in memory, no leases of rows, no indexes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ledger.inbox import InboxState

S = InboxState
OPEN_IN_LANE = (S.QUEUED, S.WAITING, S.WORKING)
BACKOFF_S = (1.0, 2.0, 5.0, 15.0, 60.0)
LEASE_S = 15.0
ATTEMPTS_MAX = 5


@dataclass
class ModelAlert:
    number: int
    body: str
    key: str
    lane: str
    ttl_s: float | None
    skippable: bool
    received_at: datetime
    last_at: datetime
    state: InboxState = S.NEW
    seq: int = 0
    attempts: int = 0
    epoch: int = 0
    due_at: datetime | None = None  # when it may be claimed (again)
    expires_at: datetime | None = None
    deliveries: int = 1


@dataclass
class Model:
    alerts: dict[int, ModelAlert] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    lanes: dict[str, int] = field(default_factory=dict)  # the next number
    stopped: dict[str, int] = field(default_factory=dict)  # which alert stopped it

    def receive(self, body: str, now: datetime, **fields: object) -> tuple[int, bool]:
        for alert in reversed(self.alerts.values()):
            if alert.body == body:
                near = now - alert.last_at <= timedelta(seconds=30)
                if near and now - alert.received_at <= timedelta(seconds=60):
                    alert.last_at, alert.deliveries = now, alert.deliveries + 1
                    return alert.number, False
                break
        number = len(self.alerts) + 1
        self.alerts[number] = ModelAlert(number, body, received_at=now, last_at=now, **fields)  # type: ignore[arg-type]
        return number, True

    def admit(self, now: datetime) -> int:
        new = [alert for alert in self.alerts.values() if alert.state is S.NEW]
        for alert in new:
            alert.attempts = 0
            first = self.alerts[self.keys.setdefault(alert.key, alert.number)] if alert.key else alert
            ttl_s = alert.ttl_s
            alert.expires_at = None if ttl_s is None else alert.received_at + timedelta(seconds=ttl_s)
            if first is not alert:
                alert.state = S.DUPLICATE if first.body == alert.body else S.CONFLICT
                if alert.state is S.CONFLICT and first.state is S.QUEUED and first.epoch == 0:
                    first.state = S.CONFLICT
            elif alert.expires_at is not None and alert.expires_at <= now:
                alert.state = S.EXPIRED
            else:
                alert.state, alert.due_at = S.QUEUED, now
                self.lanes[alert.lane] = alert.seq = self.lanes.get(alert.lane, 0) + 1
        return len(new)

    def expire(self, now: datetime) -> None:
        for alert in self.alerts.values():
            if alert.state is S.QUEUED and alert.epoch == 0 and alert.expires_at and alert.expires_at <= now:
                alert.state = S.EXPIRED

    def head(self, lane: str) -> ModelAlert | None:
        """What is worked on, or else the first that is not over."""
        mine = [alert for alert in self.alerts.values() if alert.lane == lane and alert.state in OPEN_IN_LANE]
        return min(mine, key=lambda alert: (alert.state is not S.WORKING, alert.seq), default=None)

    def due(self, now: datetime) -> list[ModelAlert]:
        """The heads that may be claimed or, with their attempts used up, buried."""
        heads = [self.head(lane) for lane in self.lanes if lane not in self.stopped]
        return [head for head in heads if head is not None and head.due_at is not None and head.due_at <= now]

    def claim(self, alert: ModelAlert, now: datetime) -> None:
        alert.state, alert.attempts, alert.epoch = S.WORKING, alert.attempts + 1, alert.epoch + 1
        self.beat(alert, now)

    def beat(self, alert: ModelAlert, now: datetime) -> None:
        alert.due_at = now + timedelta(seconds=LEASE_S + BACKOFF_S[alert.attempts - 1])

    def bury(self, alert: ModelAlert) -> None:
        alert.state, alert.epoch = S.DEAD, alert.epoch + 1
        if not alert.skippable:
            self.stopped[alert.lane] = alert.number

    def finish(self, alert: ModelAlert, state: InboxState, now: datetime, retry_at: datetime | None) -> None:
        if state is S.WAITING and retry_at is None and alert.attempts >= ATTEMPTS_MAX:
            state = S.DEAD
        alert.state = state
        if state is S.WAITING:
            alert.due_at = retry_at or now + timedelta(seconds=BACKOFF_S[alert.attempts - 1])
            alert.attempts -= retry_at is not None
            if alert.expires_at is not None:
                alert.due_at = min(alert.due_at, alert.expires_at)
        if state is S.NEEDS_HUMAN or (state is S.DEAD and not alert.skippable):
            self.stopped[alert.lane] = alert.number

    def decide(self, alert: ModelAlert, state: InboxState, now: datetime) -> None:
        """A person moves it."""
        alert.state, alert.epoch = state, alert.epoch + 1
        if state is S.QUEUED:
            alert.attempts, alert.due_at = 0, now
            alert.expires_at = None if alert.ttl_s is None else now + timedelta(seconds=alert.ttl_s)
        if self.stopped.get(alert.lane) == alert.number:
            del self.stopped[alert.lane]
