"""A ledger whose tables were made by noted statements is the one that the migrations make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from brokers.ids import Environment
from ledger.engine import Ledger
from ledger.migrate import head_revision
from tests.ledger.conftest import PostgresCluster
from tests.schemas import Schemas

_SQLITE = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
_POSTGRESQL = """
    SELECT 'column', table_name::text, column_name::text, concat_ws(' ', ordinal_position, data_type, is_nullable,
           column_default, numeric_precision, numeric_scale, character_maximum_length)
      FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT 'index', tablename::text, indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT 'constraint', conrelid::regclass::text, conname::text, pg_get_constraintdef(oid)
      FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname::text, pg_get_triggerdef(oid)
      FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'function', proname::text, '', prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    ORDER BY 1, 2, 3, 4
"""


def _made(url: str, query: str) -> list[tuple[Any, ...]]:
    with Ledger.open(url, environment=Environment.SIMULATED) as ledger, ledger.read() as session:
        rows = [tuple(row) for row in session.connection().execute(text(query))]
        version = session.connection().execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    assert version == head_revision()
    return rows


def _three(schemas: Schemas, urls: list[str], query: str) -> None:
    schemas.is_off = True
    migrated = _made(urls[0], query)
    schemas.is_off = False
    assert len(migrated) > 60
    assert _made(urls[1], query) == migrated  # the first of its kind: noted, or already by what was noted
    assert _made(urls[2], query) == migrated


def test_on_sqlite(schemas: Schemas, tmp_path: Path) -> None:
    _three(schemas, [f"sqlite:///{tmp_path / name}.db" for name in "abc"], _SQLITE)


@pytest.mark.postgres
def test_on_postgresql(schemas: Schemas, postgres_cluster: PostgresCluster) -> None:
    names = [f"schema_{name}" for name in "abc"]
    for name in names:
        postgres_cluster.execute(f"CREATE DATABASE {name}")
    _three(schemas, [postgres_cluster.url(name) for name in names], _POSTGRESQL)
