"""The tables of the alert queue: what came in, in which order it is worked on, and what became of it.

`ledger.tables` imports them, so that one metadata holds every table. The store (`ledger.inbox`) writes them with plain
statements; the mappers serve the migrations' test, reading, and the links of the audit.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, LargeBinary, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from ledger.alert_states import InboxState, KeyKind, LaneState
from ledger.columns import UtcDateTime, row_id, row_number


class InboxRow(SQLModel, table=True):
    """One alert and where it stands. `raw` is what came, byte by byte; None once retention has emptied it."""

    __tablename__ = "inbox"
    __table_args__ = (
        Index("ix_inbox_state", "state", "alert_id"),
        Index("ix_inbox_expiry", "state", "expires_at"),
        Index("ix_inbox_body", "body_sha256", "received_at"),
        UniqueConstraint("lane", "lane_seq"),
    )
    alert_id: int | None = Field(default=None, sa_column=row_id())
    source: str
    raw: bytes | None = Field(default=None, sa_type=LargeBinary)
    body_sha256: str
    content_type: str = ""
    source_ip: str = ""
    received_at: datetime = Field(sa_type=UtcDateTime)
    deliveries: int = 1
    last_delivered_at: datetime = Field(sa_type=UtcDateTime)

    state: str = InboxState.NEW.value
    reason: str = ""
    detail: str = Field(default="", sa_type=Text)
    flag: str = ""  # why a person should look at it, although it was worked on
    dedupe_key: str = ""
    key_kind: str = KeyKind.NONE.value
    duplicate_of: int | None = Field(default=None, sa_column=row_number(nullable=True))
    strategy: str = ""
    account_id: str = ""
    instrument_id: str = ""
    lane: str | None = None
    lane_seq: int | None = None
    is_exit: bool = False
    skippable: bool = True  # whether its lane goes on when it is dead
    alert_time: datetime | None = Field(default=None, sa_type=UtcDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    attempts: int = 0  # to read it while it is new, to work on it afterwards
    next_attempt_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    lease_owner: str | None = None
    lease_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    epoch: int = 0  # of claims; 0 says that nobody ever worked on it
    parsed: str = Field(default="", sa_type=Text)  # JSON
    review: str = Field(default="", sa_type=Text)  # JSON
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class LaneRow(SQLModel, table=True):
    """The order of one instrument on one account. `due_at` is when its head may be claimed; None when it has none.

    Every number below `head_seq` is over; `due_at` and `head_seq` follow from the alerts and are set with every move.
    """

    __tablename__ = "lane"
    __table_args__ = (Index("ix_lane_due", "state", "due_at"),)
    lane: str = Field(primary_key=True)
    account_id: str
    instrument_id: str
    next_seq: int = 1
    head_seq: int = 1
    due_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    state: str = LaneState.RUNNING.value
    reason: str = ""
    stopped_by: int | None = Field(default=None, sa_column=row_number(nullable=True))
    leased_alert: int | None = Field(default=None, sa_column=row_number(nullable=True))  # at most one is worked on
    lease_owner: str | None = None
    lease_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    epoch: int = 0


class InboxLeaseRow(SQLModel, table=True):
    """A lease that is not a lane's: whoever reads new alerts does it alone."""

    __tablename__ = "inbox_lease"
    name: str = Field(primary_key=True)
    lease_owner: str | None = None
    lease_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    epoch: int = 0


class InboxEvent(SQLModel, table=True):
    """Append-only. Every move of an alert, and what was noted on the way."""

    __tablename__ = "inbox_event"
    event_id: int | None = Field(default=None, sa_column=row_id())
    alert_id: int = Field(sa_column=row_number(index=True))
    at: datetime = Field(sa_type=UtcDateTime)
    worker: str
    from_state: str
    to_state: str
    epoch: int
    reason: str
    detail: str = Field(default="", sa_type=Text)


class AlertKeyRow(SQLModel, table=True):
    """Append-only. The first alert of a source that carried a key: kept for ever."""

    __tablename__ = "alert_key"
    source: str = Field(primary_key=True)
    dedupe_key: str = Field(primary_key=True)
    alert_id: int = Field(sa_column=row_number())
    body_sha256: str
    created_at: datetime = Field(sa_type=UtcDateTime)


class AlertTokenRow(SQLModel, table=True):
    """Append-only. One step of a source's token: active or retired; the newest row of a hash counts."""

    __tablename__ = "alert_token"
    token_id: int | None = Field(default=None, sa_column=row_id())
    source: str = Field(index=True)
    token_sha256: str
    state: str
    set_by: str
    reason: str
    set_at: datetime = Field(sa_type=UtcDateTime)


class AlertConfigRow(SQLModel, table=True):
    """Append-only. One version of sources and routes, as canonical text; the newest counts."""

    __tablename__ = "alert_config"
    version: int | None = Field(default=None, sa_column=row_id())
    body: str = Field(sa_type=Text)
    sha256: str
    applied_by: str
    applied_at: datetime = Field(sa_type=UtcDateTime)


APPEND_ONLY = ("inbox_event", "alert_key", "alert_token", "alert_config")
