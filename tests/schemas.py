"""The tables of new ledgers, made for the first one by the migrations and for every later one by the same statements.

Running the migrations takes most of a short test's time, and hundreds of tests begin with a new ledger. A ledger that
is not new is migrated as ever; so are all in the tests of the migrations (fixture `migrates`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, inspect

_ASKS = ("SELECT", "PRAGMA", "SHOW")
Statement = tuple[str, Any]


class Schemas:
    """In the place of `alembic.command.upgrade`."""

    def __init__(self, upgrade: Callable[[Config, str], None]) -> None:
        self._upgrade = upgrade
        self._made_by: dict[str, list[Statement]] = {}  # by dialect
        self.is_off = False

    def __call__(self, config: Config, revision: str) -> None:
        connection: Connection = config.attributes["connection"]
        if self.is_off or revision != "head" or inspect(connection).has_table("alembic_version"):
            self._upgrade(config, revision)
            return
        dialect = connection.dialect.name
        if dialect in self._made_by:
            for statement, parameters in self._made_by[dialect]:
                connection.exec_driver_sql(statement, parameters)
            return
        with _noted(connection) as statements:
            self._upgrade(config, revision)
        self._made_by[dialect] = statements


@contextmanager
def _noted(connection: Connection) -> Iterator[list[Statement]]:
    """What is executed on the connection meanwhile, but for questions."""
    noted: list[Statement] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if not statement.lstrip().upper().startswith(_ASKS):
            assert not many
            noted.append((statement, parameters or None))

    event.listen(connection, "before_cursor_execute", note)
    try:
        yield noted
    finally:
        event.remove(connection, "before_cursor_execute", note)


@contextmanager
def made_once() -> Iterator[Schemas]:
    """Every new ledger of this process, until the end of the block."""
    upgrade = command.upgrade
    schemas = Schemas(upgrade)
    command.upgrade = schemas
    try:
        yield schemas
    finally:
        command.upgrade = upgrade
