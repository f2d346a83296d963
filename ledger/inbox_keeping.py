"""How long what came is kept: raw bytes for a time, keys and what became of each alert for ever."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from ledger.alert_states import TERMINAL_STATES
from ledger.inbox_moves import CHUNK, INBOX
from ledger.inbox_values import QueueLimits

_OVER = sorted(state.value for state in TERMINAL_STATES)


def empty_raw(connection: Connection, now: datetime, *, limits: QueueLimits, after_id: int) -> tuple[int, int]:
    """Empty the raw bytes of some alerts that are over and old enough: how many, and the number to go on after.

    The second is 0 at the end. Few at a time, so that nobody waits long for the database.
    """
    query = (
        select(INBOX.c.alert_id)
        .where(
            INBOX.c.alert_id > after_id,
            INBOX.c.received_at < now - timedelta(days=limits.raw_days),
            INBOX.c.state.in_(_OVER),
            INBOX.c.raw.is_not(None),
        )
        .order_by(INBOX.c.alert_id)
        .limit(CHUNK)
    )
    found = list(connection.execute(query).scalars())
    if not found:
        return 0, 0
    connection.execute(update(INBOX).where(INBOX.c.alert_id.in_(found)).values(raw=None))
    return len(found), found[-1]
