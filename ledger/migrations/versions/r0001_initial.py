"""The first schema: every table, and the triggers that keep evidence append-only.

Revision: 0001, after nothing. Types are spelled out here so that later changes of the models cannot change the past.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_EVIDENCE = ("order_send", "observation", "transition", "fill", "cash_event", "control")
_REFUSAL = "is append-only evidence: add a correcting row with a reason instead"


def upgrade() -> None:
    for create in _CREATE:
        create()
    if op.get_bind().dialect.name == "postgresql":
        _protect_on_postgresql()
    else:
        _protect_on_sqlite()


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)  # its triggers go with it
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION ledger_refuse_change()")


def _amount() -> sa.types.TypeEngine[Any]:
    return sa.String(64).with_variant(sa.Numeric(38, 18), "postgresql")


def _time() -> sa.types.TypeEngine[Any]:
    return sa.String(32).with_variant(sa.DateTime(timezone=True), "postgresql")


def _number() -> sa.types.TypeEngine[Any]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _protect_on_sqlite() -> None:
    for table in _EVIDENCE:
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{verb} refused: {table} {_REFUSAL}'); END"
            )


def _protect_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION '% refused: % {_REFUSAL}', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; "
        "END $$"
    )
    for table in _EVIDENCE:
        for verb in ("UPDATE", "DELETE", "TRUNCATE"):
            level = "STATEMENT" if verb == "TRUNCATE" else "ROW"
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"FOR EACH {level} EXECUTE FUNCTION ledger_refuse_change()"
            )


def _create_ledger_meta() -> None:
    op.create_table(
        "ledger_meta",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )


def _create_account() -> None:
    op.create_table(
        "account",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("venue", sa.String(), nullable=False),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("venue_account", sa.String(), nullable=False),
        sa.Column("key_fingerprint", sa.String(), nullable=False),
        sa.Column("first_seen_at", _time(), nullable=False),
        sa.Column("last_proved_at", _time(), nullable=True),
        sa.PrimaryKeyConstraint("account_id"),
    )


def _create_order_intent() -> None:
    op.create_table(
        "order_intent",
        sa.Column("intent_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("business_key", sa.String(), nullable=False),
        sa.Column("terms_sha256", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("plan_id", sa.String(), nullable=True),
        sa.Column("leg_number", sa.Integer(), nullable=True),
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("order_type", sa.String(), nullable=False),
        sa.Column("time_in_force", sa.String(), nullable=False),
        sa.Column("quantity", _amount(), nullable=False),
        sa.Column("limit_price", _amount(), nullable=True),
        sa.Column("trigger_price", _amount(), nullable=True),
        sa.Column("post_only", sa.Boolean(), nullable=False),
        sa.Column("reduce_only", sa.Boolean(), nullable=False),
        sa.Column("position_side", sa.String(), nullable=True),
        sa.Column("reference_price", _amount(), nullable=True),
        sa.Column("reference_time", _time(), nullable=True),
        sa.Column("reserved_notional", _amount(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("state_reason", sa.String(), nullable=False),
        sa.Column("state_detail", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(), nullable=True),
        sa.Column("lease_until", _time(), nullable=True),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("attempts_max", sa.Integer(), nullable=False),
        sa.Column("client_order_id", sa.String(), nullable=True),
        sa.Column("venue_order_id", sa.String(), nullable=True),
        sa.Column("clean_ladders", sa.Integer(), nullable=False),
        sa.Column("last_ladder_at", _time(), nullable=True),
        sa.Column("next_check_at", _time(), nullable=True),
        sa.Column("cancel_state", sa.String(), nullable=False),
        sa.Column("cancel_reason", sa.String(), nullable=False),
        sa.Column("filled_quantity", _amount(), nullable=False),
        sa.Column("average_price", _amount(), nullable=True),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("updated_at", _time(), nullable=False),
        sa.Column("expires_at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("intent_id"),
    )
    op.create_index("ix_order_intent_account_id", "order_intent", ["account_id"])
    op.create_index("ix_order_intent_client_order_id", "order_intent", ["client_order_id"])
    op.create_index("ix_order_intent_due", "order_intent", ["account_id", "state", "next_check_at"])
    op.create_index("ix_order_intent_plan", "order_intent", ["plan_id", "leg_number"])
    op.create_index("ix_order_intent_venue_order_id", "order_intent", ["venue_order_id"])


def _create_order_attempt() -> None:
    op.create_table(
        "order_attempt",
        sa.Column("client_order_id", sa.String(), nullable=False),
        sa.Column("intent_id", sa.String(), nullable=False),
        sa.Column("attempt_number", sa.Integer(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("payload_sha256", sa.String(), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.ForeignKeyConstraint(["intent_id"], ["order_intent.intent_id"]),
        sa.PrimaryKeyConstraint("client_order_id"),
        sa.UniqueConstraint("intent_id", "attempt_number"),
    )
    op.create_index("ix_order_attempt_intent_id", "order_attempt", ["intent_id"])


def _create_order_send() -> None:
    op.create_table(
        "order_send",
        sa.Column("send_id", sa.String(), nullable=False),
        sa.Column("client_order_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(), nullable=False),
        sa.Column("not_after", _time(), nullable=False),
        sa.Column("venue_offset_us", sa.Integer(), nullable=False),
        sa.Column("committed_at", _time(), nullable=False),
        sa.ForeignKeyConstraint(["client_order_id"], ["order_attempt.client_order_id"]),
        sa.PrimaryKeyConstraint("send_id"),
        sa.UniqueConstraint("client_order_id", "ordinal"),
    )
    op.create_index("ix_order_send_account_id", "order_send", ["account_id"])
    op.create_index("ix_order_send_client_order_id", "order_send", ["client_order_id"])
    op.create_index("ix_order_send_committed_at", "order_send", ["committed_at"])


def _create_observation() -> None:
    op.create_table(
        "observation",
        sa.Column("observation_id", _number(), nullable=False, autoincrement=True),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("intent_id", sa.String(), nullable=True),
        sa.Column("client_order_id", sa.String(), nullable=True),
        sa.Column("send_id", sa.String(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("raw_sha256", sa.String(), nullable=False),
        sa.Column("observed_at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("observation_id"),
    )
    op.create_index("ix_observation_account_id", "observation", ["account_id"])
    op.create_index("ix_observation_intent_id", "observation", ["intent_id"])


def _create_transition() -> None:
    op.create_table(
        "transition",
        sa.Column("transition_id", _number(), nullable=False, autoincrement=True),
        sa.Column("intent_id", sa.String(), nullable=False),
        sa.Column("from_state", sa.String(), nullable=False),
        sa.Column("to_state", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("observation_id", sa.Integer(), nullable=True),
        sa.Column("at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("transition_id"),
    )
    op.create_index("ix_transition_intent_id", "transition", ["intent_id"])


def _create_venue_order() -> None:
    op.create_table(
        "venue_order",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("venue_order_id", sa.String(), nullable=False),
        sa.Column("client_order_id", sa.String(), nullable=True),
        sa.Column("intent_id", sa.String(), nullable=True),
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("order_type", sa.String(), nullable=False),
        sa.Column("time_in_force", sa.String(), nullable=True),
        sa.Column("quantity", _amount(), nullable=False),
        sa.Column("filled_quantity", _amount(), nullable=False),
        sa.Column("average_price", _amount(), nullable=True),
        sa.Column("limit_price", _amount(), nullable=True),
        sa.Column("trigger_price", _amount(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("status_text", sa.String(), nullable=False),
        sa.Column("reject_code", sa.String(), nullable=False),
        sa.Column("reduce_only", sa.Boolean(), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("updated_at", _time(), nullable=False),
        sa.Column("first_seen_at", _time(), nullable=False),
        sa.Column("last_seen_at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "venue_order_id"),
    )
    op.create_index("ix_venue_order_client_order_id", "venue_order", ["client_order_id"])
    op.create_index("ix_venue_order_intent_id", "venue_order", ["intent_id"])


def _create_fill() -> None:
    op.create_table(
        "fill",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("trade_id", sa.String(), nullable=False),
        sa.Column("venue_order_id", sa.String(), nullable=False),
        sa.Column("client_order_id", sa.String(), nullable=True),
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("quantity", _amount(), nullable=False),
        sa.Column("price", _amount(), nullable=False),
        sa.Column("fee", _amount(), nullable=False),
        sa.Column("fee_currency", sa.String(), nullable=False),
        sa.Column("liquidity", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("time", _time(), nullable=False),
        sa.Column("recorded_at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "trade_id"),
    )
    op.create_index("ix_fill_account_time", "fill", ["account_id", "time"])
    op.create_index("ix_fill_venue_order_id", "fill", ["venue_order_id"])


def _create_cash_event() -> None:
    op.create_table(
        "cash_event",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("venue_kind", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("amount", _amount(), nullable=False),
        sa.Column("balance_after", _amount(), nullable=True),
        sa.Column("instrument_id", sa.String(), nullable=True),
        sa.Column("trade_id", sa.String(), nullable=True),
        sa.Column("venue_order_id", sa.String(), nullable=True),
        sa.Column("time", _time(), nullable=False),
        sa.Column("recorded_at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "event_id"),
    )
    op.create_index("ix_cash_event_account_time", "cash_event", ["account_id", "time"])


def _create_feed_cursor() -> None:
    op.create_table(
        "feed_cursor",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("feed", sa.String(), nullable=False),
        sa.Column("read_until", _time(), nullable=False),
        sa.Column("updated_at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "feed"),
    )


def _create_account_snapshot() -> None:
    op.create_table(
        "account_snapshot",
        sa.Column("snapshot_id", _number(), nullable=False, autoincrement=True),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("taken_at", _time(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("snapshot_id"),
    )
    op.create_index("ix_account_snapshot_account_id", "account_snapshot", ["account_id"])


def _create_balance() -> None:
    op.create_table(
        "balance",
        sa.Column("snapshot_id", _number(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("total", _amount(), nullable=False),
        sa.Column("available", _amount(), nullable=True),
        sa.Column("held", _amount(), nullable=False),
        sa.ForeignKeyConstraint(["snapshot_id"], ["account_snapshot.snapshot_id"]),
        sa.PrimaryKeyConstraint("snapshot_id", "currency"),
    )


def _create_position() -> None:
    op.create_table(
        "position",
        sa.Column("snapshot_id", _number(), nullable=False),
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("position_side", sa.String(), nullable=False),
        sa.Column("quantity", _amount(), nullable=False),
        sa.Column("average_price", _amount(), nullable=True),
        sa.Column("mark_price", _amount(), nullable=True),
        sa.Column("unrealised_pnl", _amount(), nullable=True),
        sa.Column("leverage", _amount(), nullable=True),
        sa.ForeignKeyConstraint(["snapshot_id"], ["account_snapshot.snapshot_id"]),
        sa.PrimaryKeyConstraint("snapshot_id", "instrument_id", "position_side"),
    )


def _create_plan() -> None:
    op.create_table(
        "plan",
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("portfolio", sa.String(), nullable=False),
        sa.Column("business_key", sa.String(), nullable=False),
        sa.Column("plan_hash", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(), nullable=True),
        sa.Column("lease_until", _time(), nullable=True),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("finished_at", _time(), nullable=True),
        sa.PrimaryKeyConstraint("plan_id"),
        sa.UniqueConstraint("business_key"),
    )
    op.create_index("ix_plan_account_id", "plan", ["account_id"])


def _create_plan_leg() -> None:
    op.create_table(
        "plan_leg",
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("leg_number", sa.Integer(), nullable=False),
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("quantity", _amount(), nullable=False),
        sa.Column("is_reduction", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("filled_quantity", _amount(), nullable=False),
        sa.Column("updated_at", _time(), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plan.plan_id"]),
        sa.PrimaryKeyConstraint("plan_id", "leg_number"),
    )


def _create_reconciliation_run() -> None:
    op.create_table(
        "reconciliation_run",
        sa.Column("run_id", _number(), nullable=False, autoincrement=True),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("started_at", _time(), nullable=False),
        sa.Column("ended_at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index("ix_reconciliation_run_account_id", "reconciliation_run", ["account_id"])


def _create_reconciliation_break() -> None:
    op.create_table(
        "reconciliation_break",
        sa.Column("break_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("instrument_id", sa.String(), nullable=True),
        sa.Column("currency", sa.String(), nullable=True),
        sa.Column("ledger_amount", _amount(), nullable=True),
        sa.Column("venue_amount", _amount(), nullable=True),
        sa.Column("difference", _amount(), nullable=True),
        sa.Column("tolerance", _amount(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("first_seen_at", _time(), nullable=False),
        sa.Column("last_seen_at", _time(), nullable=False),
        sa.Column("times_seen", sa.Integer(), nullable=False),
        sa.Column("cleared_at", _time(), nullable=True),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("break_id"),
    )
    op.create_index("ix_reconciliation_break_account_id", "reconciliation_break", ["account_id"])


def _create_alert() -> None:
    op.create_table(
        "alert",
        sa.Column("alert_id", _number(), nullable=False, autoincrement=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("dedupe_key", sa.String(), nullable=False),
        sa.Column("body_sha256", sa.String(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("received_at", _time(), nullable=False),
        sa.Column("expires_at", _time(), nullable=True),
        sa.PrimaryKeyConstraint("alert_id"),
        sa.UniqueConstraint("source", "dedupe_key"),
    )


def _create_control() -> None:
    op.create_table(
        "control",
        sa.Column("control_id", _number(), nullable=False, autoincrement=True),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("set_by", sa.String(), nullable=False),
        sa.Column("set_at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("control_id"),
    )
    op.create_index("ix_control_scope", "control", ["scope"])


_TABLES = (
    "ledger_meta",
    "account",
    "order_intent",
    "order_attempt",
    "order_send",
    "observation",
    "transition",
    "venue_order",
    "fill",
    "cash_event",
    "feed_cursor",
    "account_snapshot",
    "balance",
    "position",
    "plan",
    "plan_leg",
    "reconciliation_run",
    "reconciliation_break",
    "alert",
    "control",
)
_CREATE = (
    _create_ledger_meta,
    _create_account,
    _create_order_intent,
    _create_order_attempt,
    _create_order_send,
    _create_observation,
    _create_transition,
    _create_venue_order,
    _create_fill,
    _create_cash_event,
    _create_feed_cursor,
    _create_account_snapshot,
    _create_balance,
    _create_position,
    _create_plan,
    _create_plan_leg,
    _create_reconciliation_run,
    _create_reconciliation_break,
    _create_alert,
    _create_control,
)
