"""What goes into the alert queue and what comes out of it: frozen values, and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ledger.alert_states import InboxState, KeyKind, LaneState

REDELIVERY_S_MAX = 30.0  # between two deliveries of the same bytes that are taken for one alert
REDELIVERY_SPAN_S_MAX = 60.0  # after the first delivery: no sender repeats itself longer
FUTURE_S_MAX = 5.0  # how far an alert's own time may lie after its receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """Bounds of the queue. `disk_path`: whose file system must have room; None: where an SQLite ledger lies."""

    rows_new_max: int = 50_000
    disk_free_bytes_min: int = 500_000_000
    disk_path: Path | None = None
    attempts_max: int = 5  # to read an alert, and again to work on it
    backoff_s: tuple[float, ...] = (1.0, 2.0, 5.0, 15.0, 60.0)  # after the first, second, … failed attempt
    lease_s: float = 15.0
    heartbeat_s: float = 5.0  # how often a worker should renew its lease
    reading_lease_s: float = 5.0
    raw_days: int = 90

    def __post_init__(self) -> None:
        for name in ("rows_new_max", "attempts_max", "raw_days", "lease_s", "heartbeat_s", "reading_lease_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above zero, was {getattr(self, name)}")
        if not self.backoff_s or self.heartbeat_s >= self.lease_s:
            raise ValueError(
                f"backoff_s must name a wait and heartbeat_s be below lease_s, were {self.backoff_s}, "
                f"{self.heartbeat_s} and {self.lease_s}"
            )

    def backoff(self, attempts: int) -> timedelta:
        """How long to wait after this many attempts; the last figure stands for all later ones."""
        return timedelta(seconds=self.backoff_s[min(max(attempts, 1), len(self.backoff_s)) - 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One authenticated request, as it came."""

    source: str
    raw: bytes
    received_at: datetime
    source_ip: str = ""
    content_type: str = ""

    def __post_init__(self) -> None:
        if not self.source:
            raise ValueError("a delivery needs a source, was ''")
        if self.received_at.tzinfo is None:
            raise ValueError(f"received_at must be aware UTC, was naive {self.received_at!r}")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a delivery became: a new alert, or one more delivery of a known one."""

    alert_id: int
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What reading an alert came to: a place in the queue, or the end."""

    state: InboxState
    reason: str
    detail: str = ""
    key: str = ""
    account_id: str = ""
    instrument_id: str = ""
    strategy: str = ""
    is_exit: bool = False
    skippable: bool = True
    alert_time: datetime | None = None
    expires_at: datetime | None = None
    parsed: str = ""

    def __post_init__(self) -> None:
        is_queued = self.state is InboxState.QUEUED
        if not (is_queued or self.state.is_terminal):
            raise ValueError(f"reading ends in queued or a terminal state, was {self.state.value}")
        if is_queued and not (self.account_id and self.instrument_id):
            raise ValueError(
                f"an alert in the queue needs account and instrument, were {self.account_id!r} and "
                f"{self.instrument_id!r}"
            )
        if not is_queued and not self.reason:
            raise ValueError(f"an alert that ends as {self.state.value} needs a reason, was ''")
        for name in ("alert_time", "expires_at"):
            at = getattr(self, name)
            if at is not None and at.tzinfo is None:
                raise ValueError(f"{name} must be aware UTC, was naive {at!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAlert:
    """An alert as the ledger holds it. `raw` is empty, and `raw_kept` false, once retention has emptied it."""

    alert_id: int
    source: str
    raw: bytes
    raw_kept: bool
    body_sha256: str
    content_type: str
    source_ip: str
    received_at: datetime
    deliveries: int
    last_delivered_at: datetime
    state: InboxState
    reason: str
    detail: str
    flag: str
    dedupe_key: str
    key_kind: KeyKind
    duplicate_of: int | None
    strategy: str
    account_id: str
    instrument_id: str
    lane: str | None
    lane_seq: int | None
    is_exit: bool
    skippable: bool
    alert_time: datetime | None
    expires_at: datetime | None
    attempts: int
    next_attempt_at: datetime | None
    lease_owner: str | None
    lease_until: datetime | None
    epoch: int
    parsed: str
    review: str
    finished_at: datetime | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> StoredAlert:
        """From a row of the table."""
        raw = row["raw"]
        return cls(
            **{
                **row,
                "raw": b"" if raw is None else bytes(raw),
                "raw_kept": raw is not None,
                "state": InboxState(row["state"]),
                "key_kind": KeyKind(row["key_kind"]),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One alert, leased to one worker. Every write for it names `epoch`; a later claim has a higher one.

    `is_expired`: its time is over and somebody has worked on it before. Finish what is on its way, begin nothing.
    """

    alert: StoredAlert
    worker: str
    epoch: int
    attempt: int  # 1 for the first
    claimed_at: datetime
    lease_until: datetime

    @property
    def alert_id(self) -> int:
        return self.alert.alert_id

    @property
    def lane(self) -> str:
        assert self.alert.lane is not None
        return self.alert.lane

    @property
    def expires_at(self) -> datetime | None:
        return self.alert.expires_at

    @property
    def is_expired(self) -> bool:
        return self.alert.expires_at is not None and self.alert.expires_at <= self.claimed_at


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """One move of an alert, or a note on the way (then both states are the same)."""

    event_id: int
    alert_id: int
    at: datetime
    worker: str
    from_state: InboxState
    to_state: InboxState
    epoch: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """Where one instrument of one account stands. `due_at`: when its next alert may be claimed; None: it has none."""

    lane: str
    account_id: str
    instrument_id: str
    state: LaneState
    reason: str
    stopped_by: int | None
    next_seq: int
    head_seq: int
    due_at: datetime | None
    leased_alert: int | None
    lease_owner: str | None
    lease_until: datetime | None
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits, and what asks for a person. `counts` holds open states, needs_human, dead, poison and conflict."""

    counts: Mapping[InboxState, int] = field(default_factory=dict)
    oldest_open_at: datetime | None = None
    stopped_lanes: tuple[Lane, ...] = ()
    now: datetime

    @property
    def open(self) -> int:
        """New, queued, working and waiting."""
        return sum(count for state, count in self.counts.items() if state.is_open)

    @property
    def oldest_age_s(self) -> float:
        """Of what is open; 0 when nothing is."""
        return 0.0 if self.oldest_open_at is None else max(0.0, (self.now - self.oldest_open_at).total_seconds())
