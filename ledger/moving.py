"""Copy a whole ledger into a new database: from SQLite to PostgreSQL when it is outgrown, or to a file as a backup.

The source is read in one consistent state and may be in use. Environment and installation tag go along, so client
order ids of the copy carry on where the source stopped: afterwards only one of the two may be used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import typer
from sqlalchemy import Connection, Table, func, select, text

from brokers.ids import Environment
from ledger.engine import Ledger, LedgerError
from ledger.tables import LedgerMeta, metadata

ROWS_AT_ONCE = 1_000
_META: Table = LedgerMeta.__table__  # type: ignore[attr-defined]
_CONTENT = tuple(table for table in metadata.sorted_tables if table is not _META)


def copy_ledger(source: Ledger, target: Ledger) -> Mapping[str, int]:
    """Copy every row into an empty ledger of the same environment and return the number of rows by table.

    Open the target with `begins_audit=False`: its audit is the source's.

    Both sides are read again at the end; LedgerError when the target was not empty or a table differs.
    """
    if source.environment is not target.environment:
        raise LedgerError(f"the source belongs to {source.environment}, the target to {target.environment}")
    with source.read() as reading:
        origin = reading.connection()
        with target.write() as writing:
            _require_empty(writing.connection())
            for table in _CONTENT:
                _copy_table(origin, writing.connection(), table)
            _copy_stamp(origin, writing.connection())
            _continue_numbering(writing.connection())
        with target.read() as written:
            return {table.name: _require_equal(origin, written.connection(), table) for table in _CONTENT}


def _require_empty(connection: Connection) -> None:
    for table in _CONTENT:
        if connection.execute(select(table).limit(1)).first() is not None:
            raise LedgerError(f"the target's table {table.name} has rows; copy into a new database")


def _copy_table(origin: Connection, target: Connection, table: Table) -> None:
    rows = origin.execute(select(table).execution_options(yield_per=ROWS_AT_ONCE)).mappings()
    for batch in rows.partitions():
        target.execute(table.insert(), [dict(row) for row in batch])


def _copy_stamp(origin: Connection, target: Connection) -> None:
    target.execute(_META.delete())
    target.execute(_META.insert(), [dict(row) for row in origin.execute(select(_META)).mappings()])


def _continue_numbering(connection: Connection) -> None:
    """PostgreSQL counts row numbers in sequences of its own; SQLite takes the highest row."""
    if connection.dialect.name != "postgresql":
        return
    for table in _CONTENT:
        column = table.autoincrement_column
        if column is None or column.foreign_keys:
            continue
        highest = connection.execute(select(func.max(column))).scalar()
        if highest is not None:
            sequence = f"pg_get_serial_sequence('{table.name}', '{column.name}')"
            connection.execute(text(f"SELECT setval({sequence}, :highest)"), {"highest": highest})


def _require_equal(origin: Connection, copy: Connection, table: Table) -> int:
    rows, content = fingerprint(origin, table)
    if (rows, content) != fingerprint(copy, table):
        raise LedgerError(f"the copy of table {table.name} differs from its source; do not use the copy")
    return rows


def fingerprint(connection: Connection, table: Table) -> tuple[int, str]:
    """Number of rows and a hash of their content that does not depend on their order."""
    number, total = 0, 0
    for row in connection.execute(select(table).execution_options(yield_per=ROWS_AT_ONCE)):
        number += 1
        total += int.from_bytes(hashlib.sha256(repr(tuple(map(_plain, row))).encode()).digest())
    return number, f"{total % (1 << 256):064x}"


def _plain(value: Any) -> str:
    return f"{type(value).__name__} {value}"


def main(source: str, target: str, environment: Environment) -> None:
    """Copy the ledger at the URL SOURCE into the new database at the URL TARGET."""
    try:
        with (
            Ledger.open(source, environment=environment) as opened,
            Ledger.open(target, environment=environment, begins_audit=False) as new,
        ):
            for name, rows in copy_ledger(opened, new).items():
                typer.echo(f"{name}: {rows} rows, read back equal")
    except LedgerError as error:
        typer.echo(f"{error.reason}: {error}", err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    typer.run(main)
