"""Tables of breaks beside the row of the break itself: its steps, its locks, correcting entries, inferred fills."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Index, Text
from sqlmodel import Field, SQLModel

from ledger.columns import ExactDecimal, UtcDateTime, row_id, row_number

APPEND_ONLY = ("break_event", "adjustment", "inferred_fill")


class BreakEvent(SQLModel, table=True):
    """Append-only. One step in the life of a break: what a run saw, or what a person decided.

    `runs_before` is the account's newest run when it was written: the run that a step belongs to is a later one.
    """

    __tablename__ = "break_event"
    event_id: int | None = Field(default=None, sa_column=row_id())
    break_id: str = Field(index=True)
    account_id: str = Field(index=True)
    subject: str
    step: str
    who: str  # "run", or "person:NAME"
    approved_by: str = ""
    reason: str = Field(default="", sa_type=Text)
    detail: str = Field(default="{}", sa_type=Text)  # canonical JSON
    runs_before: int = 0
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    at: datetime = Field(sa_type=UtcDateTime)


class InstrumentLock(SQLModel, table=True):
    """What a critical break keeps from being sent; `instrument_id` is '*' where it is the whole account."""

    __tablename__ = "instrument_lock"
    __table_args__ = (Index("ix_instrument_lock_standing", "account_id", "unlocked_at"),)
    lock_id: int | None = Field(default=None, sa_column=row_id())
    account_id: str
    instrument_id: str
    break_id: str = Field(index=True)
    kind: str
    lets_reductions_out: bool
    clean_runs: int = 0  # in a row, of those that could judge the break
    overridden_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    locked_at: datetime = Field(sa_type=UtcDateTime)
    unlocked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Adjustment(SQLModel, table=True):
    """Append-only. A correcting entry: the books count `amount` in the instrument's position or the currency's balance
    from `counts_from` on. Neither is named where the entry only says which of two contents of a fact is right.

    `content` is the venue's side of a fact that differed, as it was when it was corrected. `reverses` takes back.
    """

    __tablename__ = "adjustment"
    adjustment_id: int | None = Field(default=None, sa_column=row_id())
    account_id: str = Field(index=True)
    break_id: str
    subject: str  # what it corrects: "position …", "balance …", "trade …", "cash event …"
    instrument_id: str | None = None
    currency: str | None = None
    amount: Decimal = Field(sa_type=ExactDecimal)
    content: str = Field(default="", sa_type=Text)
    reverses: int | None = Field(default=None, sa_column=row_number(nullable=True))
    reason: str = Field(sa_type=Text)
    set_by: str
    approved_by: str = ""
    counts_from: datetime = Field(sa_type=UtcDateTime)
    recorded_at: datetime = Field(sa_type=UtcDateTime)


class InferredFill(SQLModel, table=True):
    """Append-only. What an order must have filled between two cumulative quantities and the feed does not show.

    It is no execution: it counts in positions only, and only as far as real fills of the order do not reach.
    """

    __tablename__ = "inferred_fill"
    inferred_id: str = Field(primary_key=True)  # hash of account, order and both cumulative quantities
    account_id: str = Field(index=True)
    venue_order_id: str
    client_order_id: str | None = None
    instrument_id: str
    side: str
    quantity: Decimal = Field(sa_type=ExactDecimal)
    price: Decimal | None = Field(default=None, sa_type=ExactDecimal)  # the order's average, rounded
    cumulative_from: Decimal = Field(sa_type=ExactDecimal)
    cumulative_to: Decimal = Field(sa_type=ExactDecimal)
    time: datetime = Field(sa_type=UtcDateTime)
    recorded_at: datetime = Field(sa_type=UtcDateTime)
