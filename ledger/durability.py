"""What a database must promise before it may hold evidence: set what can be set, read everything back, refuse the rest.

SQLite up to 3.51.2 can corrupt a WAL file when two connections checkpoint at once (the "WAL-reset" bug), and several
processes write this file. So the ledger uses the rollback journal (DELETE), where that code never runs. `synchronous`
is EXTRA, not FULL: with a rollback journal FULL does not sync the directory after the journal is deleted, and a
machine that loses power then may bring the journal back and undo a commit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brokers.ids import Environment
from ledger.errors import DurabilityRefused

BUSY_TIMEOUT_MS = 30_000
BUSY_TIMEOUT_MS_MIN = 5_000
LOCK_TIMEOUT_MS = 30_000
IDLE_IN_TRANSACTION_MS_MAX = 60_000
POSTGRESQL_VERSION_MIN = 130_000
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs", "fuse.glusterfs"}
)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One setting, the test that its value must pass, and what to do when it does not."""

    setting: str
    accepts: Callable[[str], bool]
    remedy: str


def _is(*values: str) -> Callable[[str], bool]:
    return lambda found: found in values


def _at_least(minimum: int) -> Callable[[str], bool]:
    return lambda found: found.isdecimal() and int(found) >= minimum


SQLITE_REQUIREMENTS = (
    Requirement(
        "journal_mode",
        _is("delete"),
        "the ledger needs the rollback journal; with nothing else open, run PRAGMA journal_mode=DELETE on the file",
    ),
    Requirement("synchronous", _is("3"), "a commit must reach the disk and its directory; PRAGMA synchronous=EXTRA"),
    Requirement("busy_timeout", _at_least(BUSY_TIMEOUT_MS_MIN), f"wait at least {BUSY_TIMEOUT_MS_MIN} ms for a writer"),
    Requirement("foreign_keys", _is("1"), "use an SQLite library with foreign keys; PRAGMA foreign_keys=ON"),
    Requirement("recursive_triggers", _is("1"), "without it REPLACE would pass the append-only triggers"),
    Requirement("mmap_size", _is("0", ""), "memory-mapped writes hide disk errors; PRAGMA mmap_size=0"),
    Requirement("locking_mode", _is("normal"), "other processes must be able to write; PRAGMA locking_mode=NORMAL"),
    Requirement("ignore_check_constraints", _is("0", ""), "PRAGMA ignore_check_constraints=OFF"),
)
_SQLITE_SET = (
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
    "PRAGMA synchronous=EXTRA",
    "PRAGMA foreign_keys=ON",
    "PRAGMA recursive_triggers=ON",
    "PRAGMA mmap_size=0",
    "PRAGMA trusted_schema=OFF",
)

POSTGRESQL_REQUIREMENTS = (
    Requirement("fsync", _is("on"), "a crash would lose or corrupt commits; set fsync=on and restart the server"),
    Requirement(
        "synchronous_commit",
        _is("on", "remote_apply"),
        "the last commits would be lost in a crash; set it to on for the server, the database and the role",
    ),
    Requirement("full_page_writes", _is("on"), "a torn page could not be repaired; set full_page_writes=on"),
    Requirement("data_sync_retry", _is("off"), "a failed fsync must stop the server; set data_sync_retry=off"),
    Requirement("zero_damaged_pages", _is("off"), "damaged evidence must not be blanked; set zero_damaged_pages=off"),
    Requirement("ignore_checksum_failure", _is("off"), "set ignore_checksum_failure=off"),
    Requirement("server_encoding", _is("UTF8"), "create the database with ENCODING 'UTF8'"),
    Requirement("transaction_read_only", _is("off"), "the server is read-only; use the primary"),
    Requirement("in_hot_standby", _is("off", ""), "the server is a standby; use the primary"),
    Requirement(
        "server_version_num",
        _at_least(POSTGRESQL_VERSION_MIN),
        "use a PostgreSQL that is still maintained (13 or newer)",
    ),
)
_POSTGRESQL_PRODUCTION = (
    Requirement(
        "data_checksums",
        _is("on"),
        "production evidence needs page checksums; stop the server and run pg_checksums --enable",
    ),
)


def check(requirements: tuple[Requirement, ...], found: Mapping[str, str]) -> None:
    """Raise DurabilityRefused for the first setting whose value is not accepted. A setting not found counts as ''."""
    for requirement in requirements:
        value = found.get(requirement.setting, "")
        if not requirement.accepts(value):
            raise DurabilityRefused(requirement.setting, value, requirement.remedy)


def secure_sqlite(connection: Any) -> None:
    """Set what is set per connection, then read every setting back."""
    for statement in _SQLITE_SET:
        connection.execute(statement)
    check(SQLITE_REQUIREMENTS, read_sqlite(connection))


def read_sqlite(connection: Any) -> dict[str, str]:
    found = {}
    for requirement in SQLITE_REQUIREMENTS:
        row = connection.execute(f"PRAGMA {requirement.setting}").fetchone()
        found[requirement.setting] = "" if row is None else str(row[0]).lower()
    return found


def secure_postgresql(connection: Any, environment: Environment) -> None:
    """Set the session's limits, then read every setting back."""
    with connection.cursor() as cursor:
        cursor.execute("SET TIME ZONE 'UTC'")
        cursor.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
        cursor.execute(f"SET idle_in_transaction_session_timeout = {IDLE_IN_TRANSACTION_MS_MAX}")
    found = read_postgresql(connection)
    connection.commit()
    check(POSTGRESQL_REQUIREMENTS, found)
    if environment is Environment.PRODUCTION:
        check(_POSTGRESQL_PRODUCTION, found)


def read_postgresql(connection: Any) -> dict[str, str]:
    names = [r.setting for r in (*POSTGRESQL_REQUIREMENTS, *_POSTGRESQL_PRODUCTION)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", (names,))
        return {_text(name): _text(setting) for name, setting in cursor.fetchall()}


def _text(value: str | bytes) -> str:
    """A database in SQL_ASCII answers in bytes."""
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value


def refuse_network_file_system(path: Path, *, mount_table: Path = Path("/proc/self/mounts")) -> None:
    """Locks and syncs of network file systems cannot be trusted; where mounts cannot be listed, nothing is said."""
    if not mount_table.exists():
        return
    best, kind = Path("/"), ""
    for line in mount_table.read_text(encoding="utf-8").splitlines():
        _, raw_point, file_system, *_ = line.split(" ")
        point = Path(raw_point.encode("latin-1", "backslashreplace").decode("unicode_escape"))
        if path.is_relative_to(point) and len(point.parts) >= len(best.parts):
            best, kind = point, file_system
    if kind in NETWORK_FILE_SYSTEMS:
        raise DurabilityRefused(
            "file_system", kind, f"{path} lies on a network file system ({best}); use a local disk, or PostgreSQL"
        )
