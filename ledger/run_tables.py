"""The tables of rebalancing runs: one decision over several accounts, and what people and machines said about it.

`ledger.tables` imports them, so that one metadata holds every table.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Text
from sqlmodel import Field, SQLModel

from ledger.columns import UtcDateTime, row_id
from ledger.states import RunState

APPEND_ONLY = ("rebalance_run_event",)


class RunRow(SQLModel, table=True):
    """One run of a subscription. Its legs are those of the plans with this run id; `attempt` counts its decisions.

    `body` is the decision that `run_hash` is the hash of; a new decision replaces it, and the events keep the old hash.
    """

    __tablename__ = "rebalance_run"
    __table_args__ = (Index("ix_rebalance_run_subscription", "subscription", "created_at"),)
    run_id: str = Field(primary_key=True)
    subscription: str
    portfolio: str
    business_key: str = Field(unique=True)  # one key, one run: a second call with the key resumes this one
    attempt: int = 1
    run_hash: str
    body: str = Field(sa_type=Text)  # the run's plan, canonical JSON
    planned_at: datetime = Field(sa_type=UtcDateTime)  # before the accounts were read for it
    state: str = RunState.PLANNED.value
    needs_approval: bool = False
    approval_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    approved_hash: str = ""
    decided_by: str = ""
    decision_reason: str = ""
    decided_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    cancel_by: str = ""  # a person wants it stopped; whoever executes it sees that at every turn
    cancel_reason: str = ""
    result: str = Field(default="", sa_type=Text)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class RunEventRow(SQLModel, table=True):
    """Append-only. One thing that happened to a run: decided, asked, approved, rejected, planned again, ended.

    `who` begins with "person:" where a person decided it: such a row has a link in the audit.
    """

    __tablename__ = "rebalance_run_event"
    run_event_id: int | None = Field(default=None, sa_column=row_id())
    run_id: str = Field(index=True)
    kind: str
    run_hash: str
    who: str
    detail: str = Field(default="", sa_type=Text)
    at: datetime = Field(sa_type=UtcDateTime)
