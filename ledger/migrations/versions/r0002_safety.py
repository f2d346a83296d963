"""What order safety remembers: second approvers, kills, arming, the audit chain, equity by day.

Revision: 0002, after 0001. New columns may be empty: rows from before did not know them.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from ledger.migrations.protection import protect, unprotect

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NEW_TABLES = ("kill", "arming", "audit", "equity_mark")
_EVIDENCE = ("arming", "audit")


def upgrade() -> None:
    for table, columns in _new_columns().items():
        for column in columns:
            op.add_column(table, column)
    _create_kill()
    _create_arming()
    _create_audit()
    _create_equity_mark()
    for table in _EVIDENCE:
        protect(table)


def downgrade() -> None:
    for table in _NEW_TABLES:
        op.drop_table(table)  # its triggers go with it
    for table, columns in _new_columns().items():
        evidence = table != "order_intent"
        if evidence:
            unprotect(table)
        for column in columns:
            op.drop_column(table, column.name)
        if evidence:
            protect(table)


def _amount() -> sa.types.TypeEngine[Any]:
    return sa.String(64).with_variant(sa.Numeric(38, 18), "postgresql")


def _time() -> sa.types.TypeEngine[Any]:
    return sa.String(32).with_variant(sa.DateTime(timezone=True), "postgresql")


def _number() -> sa.types.TypeEngine[Any]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _new_columns() -> dict[str, list[sa.Column[Any]]]:
    return {
        "order_intent": [sa.Column("strategy", sa.String(), nullable=True)],
        "order_send": [
            sa.Column("arming_id", sa.Integer(), nullable=True),
            sa.Column("notional", _amount(), nullable=True),
        ],
        "control": [
            sa.Column("approved_by", sa.String(), nullable=True),
            sa.Column("flatten", sa.Boolean(), nullable=True),
        ],
    }


def _create_kill() -> None:
    op.create_table(
        "kill",
        sa.Column("kill_id", _number(), nullable=False, autoincrement=True),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("flatten", sa.Boolean(), nullable=False),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("started_at", _time(), nullable=False),
        sa.Column("updated_at", _time(), nullable=False),
        sa.Column("finished_at", _time(), nullable=True),
        sa.PrimaryKeyConstraint("kill_id"),
    )
    op.create_index("ix_kill_account_id", "kill", ["account_id"])


def _create_arming() -> None:
    op.create_table(
        "arming",
        sa.Column("arming_id", _number(), nullable=False, autoincrement=True),
        sa.Column("pool", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("accounts", sa.Text(), nullable=False),
        sa.Column("notional_max", _amount(), nullable=True),
        sa.Column("policy_sha256", sa.String(), nullable=False),
        sa.Column("code_sha256", sa.String(), nullable=False),
        sa.Column("record_sha256", sa.String(), nullable=False),
        sa.Column("signature", sa.String(), nullable=False),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("approved_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("expires_at", _time(), nullable=True),
        sa.Column("recorded_at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("arming_id"),
    )
    op.create_index("ix_arming_pool", "arming", ["pool"])


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("audit_id", _number(), nullable=False, autoincrement=True),
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("previous_sha256", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("recorded_at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("audit_id"),
        sa.UniqueConstraint("chain", "ordinal"),
    )
    op.create_index("ix_audit_chain", "audit", ["chain"])
    op.create_index("ix_audit_subject", "audit", ["subject"])


def _create_equity_mark() -> None:
    op.create_table(
        "equity_mark",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("opening", _amount(), nullable=False),
        sa.Column("highest", _amount(), nullable=False),
        sa.Column("lowest", _amount(), nullable=False),
        sa.Column("latest", _amount(), nullable=False),
        sa.Column("updated_at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "day"),
    )
