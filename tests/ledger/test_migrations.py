"""Models and migrations say the same; the schema goes up and down; a newer schema stops an older program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, inspect, text

from brokers.ids import Environment
from ledger import migrate
from ledger.engine import Ledger, LedgerError, LedgerSchemaNewer
from ledger.tables import APPEND_ONLY, metadata

pytestmark = pytest.mark.usefixtures("migrates")


@pytest.fixture
def connection(ledger_url: str) -> Any:
    engine: Engine = create_engine(ledger_url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def test_migrations_build_what_the_models_say(connection: Connection) -> None:
    command.upgrade(migrate.alembic_config(connection), "head")
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    assert compare_metadata(context, metadata) == []


def test_a_missing_column_would_be_noticed(connection: Connection) -> None:
    command.upgrade(migrate.alembic_config(connection), "head")
    connection.execute(text("ALTER TABLE plan DROP COLUMN result"))
    differences = compare_metadata(MigrationContext.configure(connection), metadata)
    assert [(kind, table, column.name) for kind, _, table, column in differences] == [("add_column", "plan", "result")]


def test_the_schema_goes_down_and_up_again(connection: Connection) -> None:
    config = migrate.alembic_config(connection)
    command.upgrade(config, "head")
    command.downgrade(config, "0001")
    command.upgrade(config, "head")
    assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    command.downgrade(config, "base")
    assert set(inspect(connection).get_table_names()) == {"alembic_version"}
    command.upgrade(config, "head")
    assert set(metadata.tables) <= set(inspect(connection).get_table_names())


def test_there_is_one_head_and_every_revision_can_go_back(connection: Connection) -> None:
    scripts = ScriptDirectory.from_config(migrate.alembic_config(connection))
    assert scripts.get_heads() == [migrate.head_revision()]
    assert [script.revision for script in scripts.walk_revisions()][-1] == "0001"


def test_every_evidence_table_has_its_triggers(connection: Connection) -> None:
    command.upgrade(migrate.alembic_config(connection), "head")
    if connection.dialect.name == "sqlite":
        names = connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))
        verbs = ("update", "delete")
    else:
        names = connection.scalars(text("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"))
        verbs = ("update", "delete", "truncate")
    assert set(names) == {f"{table}_no_{verb}" for table in APPEND_ONLY for verb in verbs}


def test_a_newer_schema_is_refused(open_ledger: Any) -> None:
    ledger = open_ledger()
    with ledger.write() as session:
        session.connection().execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(LedgerSchemaNewer, match="stands at schema 9999, this version knows up to 0006; upgrade"):
        open_ledger()


def test_the_stamp_is_drawn_with_the_first_migration(connection: Connection) -> None:
    assert migrate.read_stamp(connection) == {}
    stamp = migrate.migrate(connection, Environment.TESTNET)
    assert (stamp.environment, stamp.schema) == (Environment.TESTNET, migrate.head_revision())
    assert migrate.migrate(connection, Environment.TESTNET) == stamp


def test_no_table_with_rows_is_dropped(connection: Connection) -> None:
    """Revision 0003 takes the unused table `alert` away, and its way back the alert queue."""
    config = migrate.alembic_config(connection)
    command.upgrade(config, "0002")
    connection.execute(
        text(
            "INSERT INTO alert (source, dedupe_key, body_sha256, raw, state, reason, received_at) "
            "VALUES ('s', 'k', 'h', 'r', 'new', '', '2026-01-01T00:00:00.000000Z')"
        )
    )
    with pytest.raises(LedgerError, match="would drop table alert, which has 1 rows: put them away first"):
        command.upgrade(config, "0003")
    connection.execute(text("DELETE FROM alert"))
    command.upgrade(config, "0003")
    connection.execute(
        text(
            "INSERT INTO alert_config (body, sha256, applied_by, applied_at) "
            "VALUES ('b', 'h', 'ann', '2026-01-01T00:00:00.000000Z')"
        )
    )
    with pytest.raises(LedgerError, match="would drop table alert_config, which has 1 rows"):
        command.downgrade(config, "0002")


def test_a_migration_is_said_in_one_line_with_the_way_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    engine = create_engine(url)
    with engine.begin() as connection:
        command.upgrade(migrate.alembic_config(connection), "0005")
    engine.dispose()
    for _ in range(2):
        Ledger.open(url, environment=Environment.TESTNET).close()
    (line,) = [record.getMessage() for record in caplog.records if record.name == "ledger.engine"]
    assert f"migrated from schema 0005 to {migrate.head_revision()}" in line and "old.db" in line
    assert "backup" in line
