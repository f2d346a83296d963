"""Evidence cannot be changed or taken back, not even by a plain SQL statement."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ledger.columns import ExactDecimal, UtcDateTime
from ledger.engine import Ledger
from ledger.tables import APPEND_ONLY, metadata

AT = datetime(2026, 1, 1, tzinfo=UTC)
STAND_INS: dict[str, Any] = {
    "TEXT": "x",
    "VARCHAR": "x",
    "INTEGER": 7,
    "BIGINT": 7,
    "BOOLEAN": False,
}


def store_one(ledger: Ledger, name: str) -> None:
    """One row in an evidence table; parents are stored first."""
    table = metadata.tables[name]

    def value(column: Any) -> Any:
        if isinstance(column.type, ExactDecimal):
            return Decimal(1)
        if isinstance(column.type, UtcDateTime):
            return AT
        return STAND_INS[column.type.compile().split("(")[0]]

    with ledger.write() as session:
        for parent in _parents(name):
            session.connection().execute(
                metadata.tables[parent].insert(), {c.name: value(c) for c in metadata.tables[parent].columns}
            )
        session.connection().execute(table.insert(), {c.name: value(c) for c in table.columns})


def _parents(name: str) -> list[str]:
    keys = metadata.tables[name].foreign_keys
    return [ancestor for key in keys for ancestor in (*_parents(key.column.table.name), key.column.table.name)]


@pytest.mark.parametrize("name", APPEND_ONLY)
@pytest.mark.parametrize("verb", ["UPDATE", "DELETE"])
def test_a_row_of_evidence_stays(ledger: Ledger, name: str, verb: str) -> None:
    with ledger.read() as session:  # the audit of a new ledger has begun
        begun = session.connection().execute(text(f"SELECT count(*) FROM {name}")).scalar_one()
    store_one(ledger, name)
    column = list(metadata.tables[name].columns)[-1].name
    statement = f"UPDATE {name} SET {column} = {column}" if verb == "UPDATE" else f"DELETE FROM {name}"
    with pytest.raises(DBAPIError, match=f"{verb} refused: {name} is append-only evidence"), ledger.write() as session:
        session.connection().execute(text(statement))
    with ledger.read() as session:
        assert session.connection().execute(text(f"SELECT count(*) FROM {name}")).scalar_one() == 1 + begun


@pytest.mark.parametrize("name", APPEND_ONLY)
def test_replacing_or_emptying_is_no_way_round(ledger: Ledger, name: str) -> None:
    store_one(ledger, name)
    is_sqlite = ledger.url.startswith("sqlite")
    statement = f"INSERT OR REPLACE INTO {name} SELECT * FROM {name}" if is_sqlite else f"TRUNCATE {name} CASCADE"
    with pytest.raises(DBAPIError, match=f"refused: {name} is append-only evidence"), ledger.write() as session:
        session.connection().execute(text(statement))
