"""One hash of everything that a ledger holds of one history: equal hashes mean that the same happened."""

from __future__ import annotations

import hashlib

from sqlalchemy import Table, select
from sqlmodel import Session

from brokers.ids import AccountId, Environment, Venue
from ledger.tables import metadata
from tests.proof.histories import account_name

# Numbers that count over all histories of a ledger; the order of the rows stands in for them.
_COUNTED = frozenset({"observation_id", "transition_id", "control_id"})
_OF_THE_ACCOUNT = ("order_intent", "order_send", "observation", "venue_order", "fill")
_BY_INTENT = ("order_attempt", "transition")


def history_hash(session: Session, kind: str, seed: int) -> str:
    """Every column of every row of the history's account, but the running numbers."""
    account_id = str(AccountId(Venue.BYBIT, Environment.SIMULATED, account_name(kind, seed)))
    intents = metadata.tables["order_intent"]
    owned = select(intents.c.intent_id).where(intents.c.account_id == account_id)
    total = hashlib.sha256()
    for name in (*_OF_THE_ACCOUNT, *_BY_INTENT, "control"):
        table = metadata.tables[name]
        query = select(*(column for column in table.c if column.name not in _COUNTED)).order_by(*table.primary_key)
        if name in _OF_THE_ACCOUNT:
            query = query.where(table.c.account_id == account_id)
        elif name in _BY_INTENT:
            query = query.where(table.c.intent_id.in_(owned))
        else:
            query = query.where(table.c.scope == account_id)
        _add(total, session, table, query)
    return total.hexdigest()


def _add(total: hashlib._Hash, session: Session, table: Table, query: object) -> None:
    for row in session.connection().execute(query):  # type: ignore[call-overload]
        total.update(f"{table.name} {tuple(map(_plain, row))!r}\n".encode())


def _plain(value: object) -> str:
    return f"{type(value).__name__} {value}"
