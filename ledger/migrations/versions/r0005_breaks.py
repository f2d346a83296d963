"""The life of breaks: state and owner, every step, locks, correcting entries, inferred fills.

Revision: 0005, after 0004. A break from before is open or cleared; it gets its lock when a run sees it again.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from ledger.errors import LedgerError
from ledger.migrations.protection import protect

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_EVIDENCE = ("break_event", "adjustment", "inferred_fill")
_NEW_TABLES = ("instrument_lock", *_EVIDENCE)


def upgrade() -> None:
    op.add_column("reconciliation_break", sa.Column("state", sa.String(), nullable=False, server_default="open"))
    op.add_column("reconciliation_break", sa.Column("owner", sa.String(), nullable=True))
    op.execute("UPDATE reconciliation_break SET state = 'cleared' WHERE cleared_at IS NOT NULL")
    _create_break_event()
    _create_instrument_lock()
    _create_adjustment()
    _create_inferred_fill()
    for table in _EVIDENCE:
        protect(table)


def downgrade() -> None:
    for table in ("adjustment", "inferred_fill"):
        _require_empty(table)
    for table in reversed(_NEW_TABLES):
        op.drop_table(table)  # its triggers go with it
    op.drop_column("reconciliation_break", "owner")
    op.drop_column("reconciliation_break", "state")


def _require_empty(table: str) -> None:
    """Without these entries the books would say something else than before."""
    rows = op.get_bind().execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608 - our own names
    if rows:
        raise LedgerError(f"the migration would drop table {table}, which has {rows} rows: put them away first")


def _time() -> sa.types.TypeEngine[Any]:
    return sa.String(32).with_variant(sa.DateTime(timezone=True), "postgresql")


def _amount() -> sa.types.TypeEngine[Any]:
    return sa.String(64).with_variant(sa.Numeric(38, 18), "postgresql")


def _number() -> sa.types.TypeEngine[Any]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _create_break_event() -> None:
    op.create_table(
        "break_event",
        sa.Column("event_id", _number(), nullable=False, autoincrement=True),
        sa.Column("break_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("approved_by", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("runs_before", sa.Integer(), nullable=False),
        sa.Column("expires_at", _time(), nullable=True),
        sa.Column("at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index("ix_break_event_break_id", "break_event", ["break_id"])
    op.create_index("ix_break_event_account_id", "break_event", ["account_id"])


def _create_instrument_lock() -> None:
    op.create_table(
        "instrument_lock",
        sa.Column("lock_id", _number(), nullable=False, autoincrement=True),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("break_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("lets_reductions_out", sa.Boolean(), nullable=False),
        sa.Column("clean_runs", sa.Integer(), nullable=False),
        sa.Column("overridden_until", _time(), nullable=True),
        sa.Column("locked_at", _time(), nullable=False),
        sa.Column("unlocked_at", _time(), nullable=True),
        sa.PrimaryKeyConstraint("lock_id"),
    )
    op.create_index("ix_instrument_lock_standing", "instrument_lock", ["account_id", "unlocked_at"])
    op.create_index("ix_instrument_lock_break_id", "instrument_lock", ["break_id"])


def _create_adjustment() -> None:
    op.create_table(
        "adjustment",
        sa.Column("adjustment_id", _number(), nullable=False, autoincrement=True),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("break_id", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("instrument_id", sa.String(), nullable=True),
        sa.Column("currency", sa.String(), nullable=True),
        sa.Column("amount", _amount(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("reverses", _number(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("set_by", sa.String(), nullable=False),
        sa.Column("approved_by", sa.String(), nullable=False),
        sa.Column("counts_from", _time(), nullable=False),
        sa.Column("recorded_at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("adjustment_id"),
    )
    op.create_index("ix_adjustment_account_id", "adjustment", ["account_id"])


def _create_inferred_fill() -> None:
    op.create_table(
        "inferred_fill",
        sa.Column("inferred_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("venue_order_id", sa.String(), nullable=False),
        sa.Column("client_order_id", sa.String(), nullable=True),
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("quantity", _amount(), nullable=False),
        sa.Column("price", _amount(), nullable=True),
        sa.Column("cumulative_from", _amount(), nullable=False),
        sa.Column("cumulative_to", _amount(), nullable=False),
        sa.Column("time", _time(), nullable=False),
        sa.Column("recorded_at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("inferred_id"),
    )
    op.create_index("ix_inferred_fill_account_id", "inferred_fill", ["account_id"])
