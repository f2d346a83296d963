"""Indexes by time and by status for what is asked before every order, so that it does not read the orders of the past.

Revision: 0006, after 0005.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Table, name, columns; where the name of an index that it takes the place of is given, that one goes.
_INDEXES = (
    ("order_intent", "ix_order_intent_moved", ["account_id", "updated_at"], "ix_order_intent_account_id"),
    ("order_send", "ix_order_send_committed", ["account_id", "committed_at"], "ix_order_send_account_id"),
    ("observation", "ix_observation_observed", ["account_id", "observed_at"], "ix_observation_account_id"),
    ("venue_order", "ix_venue_order_status", ["account_id", "status"], None),
)


def upgrade() -> None:
    for table, name, columns, former in _INDEXES:
        op.create_index(name, table, columns)
        if former is not None:
            op.drop_index(former, table)


def downgrade() -> None:
    for table, name, columns, former in _INDEXES:
        if former is not None:
            op.create_index(former, table, columns[:1])
        op.drop_index(name, table)
