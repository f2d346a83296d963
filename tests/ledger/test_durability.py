"""A database that could lose committed evidence is refused, each setting by its name."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
import pytest

from brokers.ids import Environment
from ledger import durability
from ledger.engine import DurabilityRefused, Ledger

SAFE_SQLITE = {
    "journal_mode": "delete",
    "synchronous": "3",
    "busy_timeout": "30000",
    "foreign_keys": "1",
    "recursive_triggers": "1",
    "mmap_size": "0",
    "locking_mode": "normal",
    "ignore_check_constraints": "0",
}
SAFE_POSTGRESQL = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "data_sync_retry": "off",
    "zero_damaged_pages": "off",
    "ignore_checksum_failure": "off",
    "server_encoding": "UTF8",
    "transaction_read_only": "off",
    "in_hot_standby": "off",
    "server_version_num": "180006",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def open_file(file: Path) -> None:
    Ledger.open(f"sqlite:///{file}", environment=Environment.SIMULATED).close()


# -- SQLite -----------------------------------------------------------------------------------------------------
def test_an_open_sqlite_ledger_is_safe(file: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{file}", environment=Environment.SIMULATED)
    with ledger.write() as session:
        driver = session.connection().connection.dbapi_connection
        assert driver is not None
        assert durability.read_sqlite(driver) == SAFE_SQLITE
    ledger.close()


@pytest.mark.parametrize(
    ("pragma", "shown"),
    [
        ("journal_mode=WAL", "journal_mode was 'wal'"),
        ("journal_mode=TRUNCATE", "journal_mode was 'truncate'"),
        ("journal_mode=OFF", "journal_mode was 'off'"),
        ("synchronous=FULL", "synchronous was '2'"),
        ("synchronous=NORMAL", "synchronous was '1'"),
        ("busy_timeout=4999", "busy_timeout was '4999'"),
        ("foreign_keys=OFF", "foreign_keys was '0'"),
        ("recursive_triggers=OFF", "recursive_triggers was '0'"),
        ("mmap_size=4096", "mmap_size was '4096'"),
        ("locking_mode=EXCLUSIVE", "locking_mode was 'exclusive'"),
        ("ignore_check_constraints=ON", "ignore_check_constraints was '1'"),
    ],
)
def test_each_wrong_pragma_is_named(file: Path, pragma: str, shown: str) -> None:
    connection = sqlite3.connect(file)
    durability.secure_sqlite(connection)
    connection.execute(f"PRAGMA {pragma}").fetchall()
    with pytest.raises(DurabilityRefused, match=f"ledger setting {shown}: .{{10}}"):
        durability.check(durability.SQLITE_REQUIREMENTS, durability.read_sqlite(connection))
    connection.close()


def test_a_wal_file_is_refused_and_stays_as_it_is(file: Path) -> None:
    open_file(file)
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    with pytest.raises(DurabilityRefused, match=r"journal_mode was 'wal': .*run PRAGMA journal_mode=DELETE"):
        open_file(file)
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
    connection.close()
    open_file(file)


def test_every_requirement_has_a_test() -> None:
    assert {r.setting for r in durability.SQLITE_REQUIREMENTS} == set(SAFE_SQLITE)
    assert {r.setting for r in durability.POSTGRESQL_REQUIREMENTS} == set(SAFE_POSTGRESQL)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_network_file_systems_are_refused(tmp_path: Path, kind: str) -> None:
    table = tmp_path / "mounts"
    table.write_text(f"root / ext4 rw 0 0\nserver:/x /mnt/a\\040b {kind} rw 0 0\n")
    with pytest.raises(DurabilityRefused, match=f"file_system was '{kind}': /mnt/a b/ledger.db lies on a network"):
        durability.refuse_network_file_system(Path("/mnt/a b/ledger.db"), mount_table=table)
    durability.refuse_network_file_system(Path("/mnt/a/ledger.db"), mount_table=table)
    durability.refuse_network_file_system(Path("/mnt/a b/ledger.db"), mount_table=tmp_path / "absent")


# -- PostgreSQL -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("synchronous_commit", "local"),
        ("synchronous_commit", "remote_write"),
        ("full_page_writes", "off"),
        ("data_sync_retry", "on"),
        ("zero_damaged_pages", "on"),
        ("ignore_checksum_failure", "on"),
        ("server_encoding", "SQL_ASCII"),
        ("transaction_read_only", "on"),
        ("in_hot_standby", "on"),
        ("server_version_num", "120017"),
    ],
)
def test_each_wrong_server_setting_is_named(setting: str, value: str) -> None:
    durability.check(durability.POSTGRESQL_REQUIREMENTS, SAFE_POSTGRESQL)
    with pytest.raises(DurabilityRefused, match=f"ledger setting {setting} was '{value}': .{{10}}") as caught:
        durability.check(durability.POSTGRESQL_REQUIREMENTS, SAFE_POSTGRESQL | {setting: value})
    assert (caught.value.setting, caught.value.value) == (setting, value)


def test_a_setting_that_the_server_does_not_show_is_refused() -> None:
    found = {name: value for name, value in SAFE_POSTGRESQL.items() if name != "fsync"}
    with pytest.raises(DurabilityRefused, match="fsync was ''"):
        durability.check(durability.POSTGRESQL_REQUIREMENTS, found)


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("synchronous_commit", "off"),
        ("zero_damaged_pages", "on"),
        ("ignore_checksum_failure", "on"),
        ("default_transaction_read_only", "on"),
    ],
)
def test_a_wrong_setting_of_the_database_is_refused(
    postgres_cluster: Any, postgres_database: str, postgres_url: str, setting: str, value: str
) -> None:
    postgres_cluster.execute(f"ALTER DATABASE {postgres_database} SET {setting} = {value}")
    shown = setting.removeprefix("default_")
    with pytest.raises(DurabilityRefused, match=f"{shown} was '{value}'"):
        Ledger.open(postgres_url, environment=Environment.SIMULATED)


@pytest.fixture
def server_setting(postgres_cluster: Any) -> Iterator[Any]:
    """Change a setting of the whole server, and take it back after the test."""

    def change(name: str, value: str) -> None:
        postgres_cluster.execute(f"ALTER SYSTEM SET {name} = {value}")
        reload(name, value)

    def reload(name: str, value: str) -> None:
        postgres_cluster.execute("SELECT pg_reload_conf()")
        deadline = monotonic() + 20
        while postgres_setting(postgres_cluster, name) != value:
            assert monotonic() < deadline, f"{name} did not become {value}"

    yield change
    postgres_cluster.execute("ALTER SYSTEM RESET ALL")
    reload("fsync", "on")
    reload("full_page_writes", "on")


def postgres_setting(cluster: Any, name: str) -> str:
    with psycopg.connect(f"host={cluster.directory} user=postgres dbname=postgres") as connection:
        row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
        assert row is not None
        return str(row[0])


@pytest.mark.postgres
@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_wrong_setting_of_the_server_is_refused_by_the_next_connection(
    postgres_url: str, server_setting: Any, setting: str
) -> None:
    ledger = Ledger.open(postgres_url, environment=Environment.SIMULATED)
    server_setting(setting, "off")
    with pytest.raises(DurabilityRefused, match=f"{setting} was 'off'"):
        Ledger.open(postgres_url, environment=Environment.SIMULATED)
    ledger._engine.dispose()  # the running ledger has to connect again
    with pytest.raises(DurabilityRefused, match=f"{setting} was 'off'"), ledger.write():
        pass
    ledger.close()


@pytest.mark.postgres
def test_an_ascii_database_is_refused(postgres_cluster: Any) -> None:
    postgres_cluster.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0")
    with pytest.raises(DurabilityRefused, match="server_encoding was 'SQL_ASCII'"):
        Ledger.open(postgres_cluster.url("ascii"), environment=Environment.SIMULATED)


@pytest.mark.postgres
def test_production_needs_page_checksums(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = durability.read_postgresql

    def without_checksums(connection: Any) -> dict[str, str]:
        return found(connection) | {"data_checksums": "off"}

    monkeypatch.setattr(durability, "read_postgresql", without_checksums)
    Ledger.open(postgres_url, environment=Environment.SIMULATED).close()
    with pytest.raises(DurabilityRefused, match="data_checksums was 'off'"):
        Ledger.open(postgres_url, environment=Environment.PRODUCTION)


def test_a_refused_database_is_left_without_tables(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE other (a)")
    connection.close()
    with pytest.raises(DurabilityRefused):
        open_file(file)
    connection = sqlite3.connect(file)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("other",)]
    connection.close()
