"""Rebalancing runs: one decision over several accounts, its events, and which plan belongs to which run.

Revision: 0004, after 0003.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from ledger.errors import LedgerError
from ledger.migrations.protection import protect

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_run()
    _create_event()
    protect("rebalance_run_event")
    op.add_column("plan", sa.Column("run_id", sa.String(), nullable=True))
    op.create_index("ix_plan_run_id", "plan", ["run_id"])


def downgrade() -> None:
    rows = op.get_bind().execute(sa.text("SELECT count(*) FROM rebalance_run")).scalar_one()
    if rows:
        raise LedgerError(f"the migration would drop table rebalance_run, which has {rows} rows: put them away first")
    op.drop_index("ix_plan_run_id", "plan")
    op.drop_column("plan", "run_id")
    op.drop_table("rebalance_run_event")  # its triggers go with it
    op.drop_table("rebalance_run")


def _time() -> sa.types.TypeEngine[Any]:
    return sa.String(32).with_variant(sa.DateTime(timezone=True), "postgresql")


def _number() -> sa.types.TypeEngine[Any]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _create_run() -> None:
    op.create_table(
        "rebalance_run",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("subscription", sa.String(), nullable=False),
        sa.Column("portfolio", sa.String(), nullable=False),
        sa.Column("business_key", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("run_hash", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("planned_at", _time(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("needs_approval", sa.Boolean(), nullable=False),
        sa.Column("approval_until", _time(), nullable=True),
        sa.Column("approved_hash", sa.String(), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=False),
        sa.Column("decision_reason", sa.String(), nullable=False),
        sa.Column("decided_at", _time(), nullable=True),
        sa.Column("cancel_by", sa.String(), nullable=False),
        sa.Column("cancel_reason", sa.String(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("updated_at", _time(), nullable=False),
        sa.Column("ended_at", _time(), nullable=True),
        sa.PrimaryKeyConstraint("run_id"),
        sa.UniqueConstraint("business_key"),
    )
    op.create_index("ix_rebalance_run_subscription", "rebalance_run", ["subscription", "created_at"])


def _create_event() -> None:
    op.create_table(
        "rebalance_run_event",
        sa.Column("run_event_id", _number(), nullable=False, autoincrement=True),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("run_hash", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("run_event_id"),
    )
    op.create_index("ix_rebalance_run_event_run_id", "rebalance_run_event", ["run_id"])
