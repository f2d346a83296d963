"""Bring a database to the schema of this version, and prove whose it is.

Everything happens in one transaction that holds the database's write lock, so two processes that start at once
migrate once. The stamp (environment, installation tag) is written with the first migration and never changed.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, select, text

from brokers.ids import Environment
from ledger.errors import LedgerEnvironmentMismatch, LedgerSchemaNewer
from ledger.tables import LedgerMeta

_ADVISORY_LOCK = 0x41_4C_47_4F  # "ALGO": any number that no other program on the server uses
_alembic_turn = threading.Lock()  # alembic keeps its context in module globals


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the ledger says of itself. `migrated_from` is the schema that opening it found, where it was another one."""

    environment: Environment
    installation_tag: int
    schema: str
    migrated_from: str = field(default="", compare=False)


def alembic_config(connection: Connection) -> Config:
    """Alembic on an open connection, with the revisions packaged in `ledger.migrations`."""
    config = Config()
    config.set_main_option("script_location", "ledger:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@lru_cache(maxsize=1)
def head_revision() -> str:
    """The schema that this version of the program writes."""
    head = _scripts().get_current_head()
    assert head is not None
    return head


@lru_cache(maxsize=1)
def _scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", "ledger:migrations")
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def read_stamp(connection: Connection) -> dict[str, str]:
    """The stamp's rows; empty for a new database. Writes nothing."""
    if not inspect(connection).has_table("ledger_meta"):
        return {}
    rows = connection.execute(select(LedgerMeta.__table__)).all()  # type: ignore[attr-defined]
    return {row.key: row.value for row in rows}


def require_environment(stamp: dict[str, str], environment: Environment) -> None:
    """Raise LedgerEnvironmentMismatch when the ledger is stamped with another environment."""
    found = stamp.get("environment", environment.value)
    if found != environment.value:
        raise LedgerEnvironmentMismatch(
            f"the ledger belongs to environment {found}, was opened for {environment.value}; "
            f"give this environment a ledger of its own"
        )


def migrate(connection: Connection, environment: Environment) -> Stamp:
    """Upgrade inside the caller's transaction and return the stamp, drawn when the ledger is new."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    found = MigrationContext.configure(connection).get_current_revision()
    if found != head_revision():
        _require_known(found)
        with _alembic_turn:
            command.upgrade(alembic_config(connection), "head")
    stamp = read_stamp(connection)
    require_environment(stamp, environment)
    if "environment" not in stamp:
        stamp = _draw_stamp(environment)
        table = LedgerMeta.__table__  # type: ignore[attr-defined]
        connection.execute(table.insert(), [{"key": key, "value": value} for key, value in stamp.items()])
    migrated_from = found if found is not None and found != head_revision() else ""
    return Stamp(environment, int(stamp["installation_tag"]), head_revision(), migrated_from)


def _require_known(revision: str | None) -> None:
    known = {script.revision for script in _scripts().walk_revisions()}
    if revision is not None and revision not in known:
        raise LedgerSchemaNewer(
            f"the ledger stands at schema {revision}, this version knows up to {head_revision()}; "
            "upgrade this installation"
        )


def _draw_stamp(environment: Environment) -> dict[str, str]:
    return {
        "environment": environment.value,
        "installation_tag": str(secrets.randbelow(1 << 16)),
        "created_at": datetime.now(UTC).isoformat(),
    }
