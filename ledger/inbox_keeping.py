"""How long what came is kept: raw bytes for a time, keys and what became of each alert for ever."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from ledger.alert_states import TERMINAL_STATES
from ledger.inbox_moves import INBOX
from ledger.inbox_values import QueueLimits

STEP = 2_000  # numbers looked at in one transaction, so that nobody waits long for the database
_OVER = sorted(state.value for state in TERMINAL_STATES)


def empty_raw(connection: Connection, now: datetime, *, limits: QueueLimits, after_id: int) -> tuple[int, int | None]:
    """Empty what is over and old enough among the next alerts: how many, and the number to go on after (None: done).

    Alerts are numbered in the order in which they came, so the first that is too young ends the search.
    """
    before = now - timedelta(days=limits.raw_days)
    following = select(INBOX.c.alert_id, INBOX.c.received_at).where(INBOX.c.alert_id > after_id)
    first = connection.execute(following.order_by(INBOX.c.alert_id).limit(1)).first()
    if first is None or first.received_at >= before:
        return 0, None
    last = first.alert_id + STEP - 1
    statement = (
        update(INBOX)
        .where(
            INBOX.c.alert_id.between(first.alert_id, last),
            INBOX.c.received_at < before,
            INBOX.c.state.in_(_OVER),
            INBOX.c.raw.is_not(None),
        )
        .values(raw=None)
    )
    return connection.execute(statement).rowcount, last
