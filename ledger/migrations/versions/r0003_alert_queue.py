"""The alert queue: inbox, lanes, events, keys, tokens and configuration; the table `alert`, which nothing used, goes.

Revision: 0003, after 0002.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from ledger.errors import LedgerError
from ledger.migrations.protection import protect

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_EVIDENCE = ("inbox_event", "alert_key", "alert_token", "alert_config")
_NEW_TABLES = ("inbox", "lane", "inbox_lease", *_EVIDENCE)


def upgrade() -> None:
    _require_empty("alert")
    op.drop_table("alert")
    _create_inbox()
    _create_lane()
    _create_inbox_lease()
    _create_inbox_event()
    _create_alert_key()
    _create_alert_token()
    _create_alert_config()
    for table in _EVIDENCE:
        protect(table)


def downgrade() -> None:
    for table in ("inbox", "alert_config"):
        _require_empty(table)
    for table in reversed(_NEW_TABLES):
        op.drop_table(table)  # its triggers go with it
    _create_alert()


def _require_empty(table: str) -> None:
    rows = op.get_bind().execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608 - our own names
    if rows:
        raise LedgerError(f"the migration would drop table {table}, which has {rows} rows: put them away first")


def _time() -> sa.types.TypeEngine[Any]:
    return sa.String(32).with_variant(sa.DateTime(timezone=True), "postgresql")


def _number() -> sa.types.TypeEngine[Any]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _create_inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("alert_id", _number(), nullable=False, autoincrement=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=True),
        sa.Column("body_sha256", sa.String(), nullable=False),
        sa.Column("content_type", sa.String(), nullable=False),
        sa.Column("source_ip", sa.String(), nullable=False),
        sa.Column("received_at", _time(), nullable=False),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.Column("last_delivered_at", _time(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("flag", sa.String(), nullable=False),
        sa.Column("dedupe_key", sa.String(), nullable=False),
        sa.Column("key_kind", sa.String(), nullable=False),
        sa.Column("duplicate_of", _number(), nullable=True),
        sa.Column("strategy", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("lane", sa.String(), nullable=True),
        sa.Column("lane_seq", sa.Integer(), nullable=True),
        sa.Column("is_exit", sa.Boolean(), nullable=False),
        sa.Column("skippable", sa.Boolean(), nullable=False),
        sa.Column("alert_time", _time(), nullable=True),
        sa.Column("expires_at", _time(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", _time(), nullable=True),
        sa.Column("lease_owner", sa.String(), nullable=True),
        sa.Column("lease_until", _time(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("parsed", sa.Text(), nullable=False),
        sa.Column("review", sa.Text(), nullable=False),
        sa.Column("finished_at", _time(), nullable=True),
        sa.PrimaryKeyConstraint("alert_id"),
        sa.UniqueConstraint("lane", "lane_seq"),
    )
    op.create_index("ix_inbox_state", "inbox", ["state", "alert_id"])
    op.create_index("ix_inbox_expiry", "inbox", ["state", "expires_at"])
    op.create_index("ix_inbox_body", "inbox", ["body_sha256", "received_at"])


def _create_lane() -> None:
    op.create_table(
        "lane",
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("next_seq", sa.Integer(), nullable=False),
        sa.Column("head_seq", sa.Integer(), nullable=False),
        sa.Column("due_at", _time(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("stopped_by", _number(), nullable=True),
        sa.Column("leased_alert", _number(), nullable=True),
        sa.Column("lease_owner", sa.String(), nullable=True),
        sa.Column("lease_until", _time(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("lane"),
    )
    op.create_index("ix_lane_due", "lane", ["state", "due_at"])


def _create_inbox_lease() -> None:
    op.create_table(
        "inbox_lease",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("lease_owner", sa.String(), nullable=True),
        sa.Column("lease_until", _time(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _create_inbox_event() -> None:
    op.create_table(
        "inbox_event",
        sa.Column("event_id", _number(), nullable=False, autoincrement=True),
        sa.Column("alert_id", _number(), nullable=False),
        sa.Column("at", _time(), nullable=False),
        sa.Column("worker", sa.String(), nullable=False),
        sa.Column("from_state", sa.String(), nullable=False),
        sa.Column("to_state", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index("ix_inbox_event_alert_id", "inbox_event", ["alert_id"])


def _create_alert_key() -> None:
    op.create_table(
        "alert_key",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("dedupe_key", sa.String(), nullable=False),
        sa.Column("alert_id", _number(), nullable=False),
        sa.Column("body_sha256", sa.String(), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("source", "dedupe_key"),
    )


def _create_alert_token() -> None:
    op.create_table(
        "alert_token",
        sa.Column("token_id", _number(), nullable=False, autoincrement=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("set_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("set_at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("token_id"),
    )
    op.create_index("ix_alert_token_source", "alert_token", ["source"])


def _create_alert_config() -> None:
    op.create_table(
        "alert_config",
        sa.Column("version", _number(), nullable=False, autoincrement=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("applied_by", sa.String(), nullable=False),
        sa.Column("applied_at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )


def _create_alert() -> None:
    """The table of revision 0001, as it was."""
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
