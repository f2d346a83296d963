"""Every table. Evidence tables (marked append-only) refuse UPDATE and DELETE by trigger; the others hold current state
and can be rebuilt from the evidence.

Text columns that hold a closed set store the enum's value. Amounts are `ExactDecimal`, times `UtcDateTime`.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from ledger import alert_tables, break_tables, run_tables
from ledger.columns import ExactDecimal, UtcDateTime, row_id
from ledger.states import BreakState, CancelState, IntentState, PlanState

metadata: MetaData = SQLModel.metadata
APPEND_ONLY = (
    "order_send",
    "observation",
    "transition",
    "fill",
    "cash_event",
    "control",
    "arming",
    "audit",
    *alert_tables.APPEND_ONLY,
    *run_tables.APPEND_ONLY,
    *break_tables.APPEND_ONLY,
)


class LedgerMeta(SQLModel, table=True):
    """What this ledger is: its environment, its installation tag, its schema; and contract sizes by venue."""

    __tablename__ = "ledger_meta"
    key: str = Field(primary_key=True)
    value: str


class AccountRow(SQLModel, table=True):
    """An account that was proved at least once."""

    __tablename__ = "account"
    account_id: str = Field(primary_key=True)
    venue: str
    environment: str
    name: str
    venue_account: str = ""
    key_fingerprint: str = ""
    first_seen_at: datetime = Field(sa_type=UtcDateTime)
    last_proved_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class OrderIntent(SQLModel, table=True):
    """One intention to trade and where it stands. `intent_id` is the hash of account and business key."""

    __tablename__ = "order_intent"
    __table_args__ = (
        Index("ix_order_intent_due", "account_id", "state", "next_check_at"),
        Index("ix_order_intent_moved", "account_id", "updated_at"),
        Index("ix_order_intent_plan", "plan_id", "leg_number"),
    )
    intent_id: str = Field(primary_key=True)
    account_id: str
    business_key: str
    terms_sha256: str  # the same key with other terms is a conflict
    source: str  # the job that wants it: rebalance, close_positions, cli, alert
    strategy: str | None = None  # what decided it: a portfolio, an alert's strategy; the source where nothing is named
    plan_id: str | None = None
    leg_number: int | None = None

    instrument_id: str
    side: str
    order_type: str
    time_in_force: str
    quantity: Decimal = Field(sa_type=ExactDecimal)
    limit_price: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    trigger_price: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    post_only: bool = False
    reduce_only: bool = False
    position_side: str | None = None

    reference_price: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    reference_time: datetime | None = Field(default=None, sa_type=UtcDateTime)
    reserved_notional: Decimal = Field(default=Decimal(0), sa_type=ExactDecimal)

    state: str = IntentState.RECEIVED.value
    state_reason: str = ""
    state_detail: str = Field(default="", sa_type=Text)
    epoch: int = 0
    lease_owner: str | None = None
    lease_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    attempt_count: int = 0
    attempts_max: int = 3
    client_order_id: str | None = Field(default=None, index=True)  # of the current attempt
    venue_order_id: str | None = Field(default=None, index=True)
    clean_ladders: int = 0  # complete look-ups without a trace, in a row
    last_ladder_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    next_check_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    cancel_state: str = CancelState.NONE.value
    cancel_reason: str = ""

    filled_quantity: Decimal = Field(default=Decimal(0), sa_type=ExactDecimal)
    average_price: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)


class OrderAttempt(SQLModel, table=True):
    """One client order id with its frozen payload. A new id is a new attempt; the same id sent again is a new send."""

    __tablename__ = "order_attempt"
    __table_args__ = (UniqueConstraint("intent_id", "attempt_number"),)
    client_order_id: str = Field(primary_key=True)
    intent_id: str = Field(index=True, foreign_key="order_intent.intent_id")
    attempt_number: int
    payload: str = Field(sa_type=Text)
    payload_sha256: str
    created_at: datetime = Field(sa_type=UtcDateTime)


class OrderSend(SQLModel, table=True):
    """Append-only. One SENDING step: committed before the first byte leaves."""

    __tablename__ = "order_send"
    __table_args__ = (
        UniqueConstraint("client_order_id", "ordinal"),
        Index("ix_order_send_committed", "account_id", "committed_at"),
    )
    send_id: str = Field(primary_key=True)
    client_order_id: str = Field(index=True, foreign_key="order_attempt.client_order_id")
    account_id: str
    ordinal: int
    epoch: int
    worker: str
    not_after: datetime = Field(sa_type=UtcDateTime)
    venue_offset_us: int = 0
    arming_id: int | None = None  # the production arming that it was sent under
    notional: Decimal | None = Field(default=None, sa_type=ExactDecimal)  # what it may add, in quote currency
    committed_at: datetime = Field(sa_type=UtcDateTime, index=True)


class Observation(SQLModel, table=True):
    """Append-only. Every answer and every look-up, as it was seen."""

    __tablename__ = "observation"
    __table_args__ = (Index("ix_observation_observed", "account_id", "observed_at"),)
    observation_id: int | None = Field(default=None, sa_column=row_id())
    account_id: str
    intent_id: str | None = Field(default=None, index=True)
    client_order_id: str | None = None
    send_id: str | None = None
    source: str
    outcome: str  # definite_yes, definite_no, not_sent, unknown, found, absent, read_failed
    status: int | None = None  # HTTP
    code: str = ""
    text: str = Field(default="", sa_type=Text)
    raw: str = Field(default="", sa_type=Text)
    raw_sha256: str = ""
    observed_at: datetime = Field(sa_type=UtcDateTime)


class Transition(SQLModel, table=True):
    """Append-only. Every move of an intent."""

    __tablename__ = "transition"
    transition_id: int | None = Field(default=None, sa_column=row_id())
    intent_id: str = Field(index=True)
    from_state: str
    to_state: str
    epoch: int
    who: str
    reason: str
    detail: str = Field(default="", sa_type=Text)
    observation_id: int | None = None
    at: datetime = Field(sa_type=UtcDateTime)


class OrderRow(SQLModel, table=True):
    """An order as the venue last reported it; `intent_id` is empty for orders that are not ours."""

    __tablename__ = "venue_order"
    __table_args__ = (Index("ix_venue_order_status", "account_id", "status"),)
    account_id: str = Field(primary_key=True)
    venue_order_id: str = Field(primary_key=True)
    client_order_id: str | None = Field(default=None, index=True)
    intent_id: str | None = Field(default=None, index=True)
    instrument_id: str
    side: str
    order_type: str
    time_in_force: str | None = None
    quantity: Decimal = Field(sa_type=ExactDecimal)
    filled_quantity: Decimal = Field(sa_type=ExactDecimal)
    average_price: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    limit_price: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    trigger_price: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    status: str
    status_text: str = ""
    reject_code: str = ""
    reduce_only: bool = False
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    first_seen_at: datetime = Field(sa_type=UtcDateTime)
    last_seen_at: datetime = Field(sa_type=UtcDateTime)


class FillRow(SQLModel, table=True):
    """Append-only. One execution, once: unique by account and trade id."""

    __tablename__ = "fill"
    __table_args__ = (Index("ix_fill_account_time", "account_id", "time"),)
    account_id: str = Field(primary_key=True)
    trade_id: str = Field(primary_key=True)
    venue_order_id: str = Field(index=True)
    client_order_id: str | None = None
    instrument_id: str
    side: str
    quantity: Decimal = Field(sa_type=ExactDecimal)
    price: Decimal = Field(sa_type=ExactDecimal)
    fee: Decimal = Field(sa_type=ExactDecimal)
    fee_currency: str
    liquidity: str
    kind: str = "trade"
    time: datetime = Field(sa_type=UtcDateTime)
    recorded_at: datetime = Field(sa_type=UtcDateTime)


class CashEventRow(SQLModel, table=True):
    """Append-only. One change of one currency's wallet, from the venue's own feed."""

    __tablename__ = "cash_event"
    __table_args__ = (Index("ix_cash_event_account_time", "account_id", "time"),)
    account_id: str = Field(primary_key=True)
    event_id: str = Field(primary_key=True)
    kind: str
    venue_kind: str = ""
    currency: str
    amount: Decimal = Field(sa_type=ExactDecimal)
    balance_after: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    instrument_id: str | None = None
    trade_id: str | None = None
    venue_order_id: str | None = None
    time: datetime = Field(sa_type=UtcDateTime)
    recorded_at: datetime = Field(sa_type=UtcDateTime)


class FeedCursor(SQLModel, table=True):
    """How far a venue feed (fills, cash_events, orders) was read for an account."""

    __tablename__ = "feed_cursor"
    account_id: str = Field(primary_key=True)
    feed: str = Field(primary_key=True)
    read_until: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class AccountSnapshot(SQLModel, table=True):
    """One reading of an account: balances and positions at one time."""

    __tablename__ = "account_snapshot"
    snapshot_id: int | None = Field(default=None, sa_column=row_id())
    account_id: str = Field(index=True)
    purpose: str
    taken_at: datetime = Field(sa_type=UtcDateTime)
    reference: str = ""  # plan id, run id


class BalanceRow(SQLModel, table=True):
    __tablename__ = "balance"
    snapshot_id: int = Field(
        sa_column=Column(
            BigInteger().with_variant(Integer, "sqlite"), ForeignKey("account_snapshot.snapshot_id"), primary_key=True
        )
    )
    currency: str = Field(primary_key=True)
    total: Decimal = Field(sa_type=ExactDecimal)
    available: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    held: Decimal = Field(sa_type=ExactDecimal)


class PositionRow(SQLModel, table=True):
    """`position_side` tells the two legs of hedge mode apart; in one-way mode it is 'net'."""

    __tablename__ = "position"
    snapshot_id: int = Field(
        sa_column=Column(
            BigInteger().with_variant(Integer, "sqlite"), ForeignKey("account_snapshot.snapshot_id"), primary_key=True
        )
    )
    instrument_id: str = Field(primary_key=True)
    position_side: str = Field(primary_key=True)
    quantity: Decimal = Field(sa_type=ExactDecimal)
    average_price: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    mark_price: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    unrealised_pnl: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    leverage: Decimal | None = Field(default=None, sa_type=ExactDecimal)


class PlanRow(SQLModel, table=True):
    """A rebalance plan as it was decided (`body`, canonical JSON, hashed) and what became of it."""

    __tablename__ = "plan"
    plan_id: str = Field(primary_key=True)
    account_id: str = Field(index=True)
    portfolio: str
    business_key: str = Field(unique=True)  # one key, one plan: a second run with the key resumes this one
    plan_hash: str
    body: str = Field(sa_type=Text)
    state: str = PlanState.PLANNED.value
    epoch: int = 0
    lease_owner: str | None = None
    lease_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    result: str = Field(default="", sa_type=Text)
    created_at: datetime = Field(sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    run_id: str | None = Field(default=None, index=True)  # the run that it is a part of, if any


class PlanLegRow(SQLModel, table=True):
    """One line of a plan and its fate; its orders are the intents with this plan id and leg number."""

    __tablename__ = "plan_leg"
    plan_id: str = Field(primary_key=True, foreign_key="plan.plan_id")
    leg_number: int = Field(primary_key=True)
    instrument_id: str
    side: str
    quantity: Decimal = Field(sa_type=ExactDecimal)
    is_reduction: bool
    state: str = "waiting"  # waiting, released, done, skipped, refused
    reason: str = ""
    detail: str = Field(default="", sa_type=Text)
    filled_quantity: Decimal = Field(default=Decimal(0), sa_type=ExactDecimal)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class ReconciliationRun(SQLModel, table=True):
    __tablename__ = "reconciliation_run"
    run_id: int | None = Field(default=None, sa_column=row_id())
    account_id: str = Field(index=True)
    outcome: str
    summary: str = Field(default="", sa_type=Text)  # JSON: what was compared, how many
    started_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime = Field(sa_type=UtcDateTime)


class ReconciliationBreak(SQLModel, table=True):
    """A difference between the venue and the ledger, as a durable object; `break_event` has every step of its life."""

    __tablename__ = "reconciliation_break"
    break_id: str = Field(primary_key=True)  # hash of account, kind and subject: seen again is the same row
    account_id: str = Field(index=True)
    kind: str
    severity: str
    subject: str
    instrument_id: str | None = None
    currency: str | None = None
    ledger_amount: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    venue_amount: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    difference: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    tolerance: Decimal = Field(default=Decimal(0), sa_type=ExactDecimal)
    evidence: str = Field(default="", sa_type=Text)
    first_seen_at: datetime = Field(sa_type=UtcDateTime)
    last_seen_at: datetime = Field(sa_type=UtcDateTime)
    times_seen: int = 1
    cleared_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    state: str = Field(default=BreakState.OPEN.value, sa_column_kwargs={"server_default": "open"})
    owner: str | None = None
    decision: str = ""
    decided_by: str = ""


class Control(SQLModel, table=True):
    """Append-only. A control state set for a scope (ledger.controls names them); the newest row counts.

    `approved_by` is the second person where one is needed; `flatten` says that a kill also closes positions.
    """

    __tablename__ = "control"
    control_id: int | None = Field(default=None, sa_column=row_id())
    scope: str = Field(index=True)
    state: str
    reason: str
    set_by: str
    approved_by: str | None = None
    flatten: bool | None = None
    set_at: datetime = Field(sa_type=UtcDateTime)


class KillRow(SQLModel, table=True):
    """One kill of one account and how far it has come; it is continued after a crash."""

    __tablename__ = "kill"
    kill_id: int | None = Field(default=None, sa_column=row_id())
    account_id: str = Field(index=True)
    state: str
    flatten: bool
    requested_by: str
    reason: str
    result: str = Field(default="", sa_type=Text)  # JSON: what was cancelled, closed, left
    started_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class ArmingRow(SQLModel, table=True):
    """Append-only. One step of arming a pool: requested, armed or disarmed; the newest row of a pool counts.

    `record_sha256` is the hash of what was asked for, and `signature` its HMAC with a key that is not in the database.
    """

    __tablename__ = "arming"
    arming_id: int | None = Field(default=None, sa_column=row_id())
    pool: str = Field(index=True)
    state: str
    accounts: str = Field(default="[]", sa_type=Text)  # JSON: account ids
    notional_max: Decimal | None = Field(default=None, sa_type=ExactDecimal)  # of all sends, in quote currency
    policy_sha256: str = ""
    code_sha256: str = ""
    record_sha256: str = ""
    signature: str = ""
    requested_by: str = ""
    approved_by: str = ""
    reason: str
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    recorded_at: datetime = Field(sa_type=UtcDateTime)


class AuditRow(SQLModel, table=True):
    """Append-only. One link of a chain (one chain per account or scope): its hash covers the one before it."""

    __tablename__ = "audit"
    __table_args__ = (UniqueConstraint("chain", "ordinal"),)
    audit_id: int | None = Field(default=None, sa_column=row_id())
    chain: str = Field(index=True)
    ordinal: int
    kind: str
    subject: str = Field(index=True)  # the id of what it speaks of: a send, a control, an arming, an intent, a break
    who: str
    detail: str = Field(sa_type=Text)  # canonical JSON
    previous_sha256: str
    sha256: str
    recorded_at: datetime = Field(sa_type=UtcDateTime)


class EquityMark(SQLModel, table=True):
    """The equity of an account over one UTC day, as the readings before its orders saw it."""

    __tablename__ = "equity_mark"
    account_id: str = Field(primary_key=True)
    day: str = Field(primary_key=True)  # ISO date
    opening: Decimal = Field(sa_type=ExactDecimal)
    highest: Decimal = Field(sa_type=ExactDecimal)
    lowest: Decimal = Field(sa_type=ExactDecimal)
    latest: Decimal = Field(sa_type=ExactDecimal)
    updated_at: datetime = Field(sa_type=UtcDateTime)
