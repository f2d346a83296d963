"""The ledger's door: open it safely, write in one transaction, read one consistent state.

Rules that hold on both databases:
- nothing is written before the ledger's environment is known to be ours;
- `write()` takes its lock at once (SQLite: BEGIN IMMEDIATE) and commits when the block ends; moves of current-state
  rows are compare-and-set (`UPDATE … WHERE state=… AND epoch=…`, `rowcount == 1`);
- a commit whose answer is lost raises CommitUnknown, never success and never failure;
- `read()` sees one state of all tables and cannot write. Keep it short: on SQLite it holds up writers;
- a thread has one session at a time.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import psycopg.sql
from sqlalchemy import URL, Engine, create_engine, event, func, literal_column, make_url, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlmodel import Session

from brokers.clock import Clock
from brokers.ids import Environment
from ledger import durability
from ledger.auditing import begin_audit
from ledger.errors import (
    CommitUnknown,
    ConflictingEvidence,
    DurabilityRefused,
    LedgerClosed,
    LedgerEnvironmentMismatch,
    LedgerError,
    LedgerForked,
    LedgerNested,
    LedgerSchemaNewer,
    LedgerUnavailable,
    LedgerUrlRefused,
    NoBaseline,
    WriteAborted,
)
from ledger.migrate import Stamp, migrate, read_stamp, require_environment
from ledger.reading import as_ever, connection_of, read_columns

__all__ = [
    "CommitUnknown",
    "ConflictingEvidence",
    "DurabilityRefused",
    "Ledger",
    "LedgerClosed",
    "LedgerEnvironmentMismatch",
    "LedgerError",
    "LedgerForked",
    "LedgerNested",
    "LedgerSchemaNewer",
    "LedgerUnavailable",
    "LedgerUrlRefused",
    "NoBaseline",
    "WriteAborted",
]

_log = logging.getLogger(__name__)
_BEGIN = "ledger_begin"
_SQLITE_NOW: Any = select(literal_column("strftime('%Y-%m-%dT%H:%M:%f', 'now')"))
_POSTGRESQL_NOW = select(func.clock_timestamp())
_STATEMENTS_KEPT = 1_024  # prepared, per SQLite connection
_SQLITE_NOT_COMMITTED = frozenset({5, 6, 13, 19})  # BUSY, LOCKED, FULL, CONSTRAINT: with the transaction still open
_POSTGRESQL_LOST = ("08", "57P")  # connection exceptions, operator intervention


class Ledger:
    """An opened ledger of one environment; safe to share between threads, not between processes."""

    def __init__(self, engine: Engine, stamp: Stamp, clock: Clock | None) -> None:
        self._engine = engine
        self._stamp = stamp
        self._clock = clock
        self._pid = os.getpid()
        self._closed = False
        self._local = threading.local()
        self._is_sqlite = engine.dialect.name == "sqlite"
        # On SQLite whoever reads has connections of its own, which cannot write. To switch one connection to and fro
        # would make SQLite forget every statement that it has prepared.
        self._reading = _sqlite_engine(engine.url, reads_only=True) if self._is_sqlite else engine
        self._writer = engine.execution_options(**_write_options(self._is_sqlite))
        self._reader = self._reading.execution_options(**_read_options(self._is_sqlite))
        # SQLite has one writer; queueing here is faster than its polling wait.
        self._write_turn = threading.Lock()

    @classmethod
    def open(
        cls, url: str | URL, *, environment: Environment, clock: Clock | None = None, begins_audit: bool = True
    ) -> Self:
        """Check, migrate and stamp the database, and begin its audit; a copy brings the audit of its source along.

        `clock` replaces the database's clock for accelerated runs and tests; production refuses it. Raises
        LedgerUrlRefused, LedgerUnavailable, DurabilityRefused, LedgerEnvironmentMismatch, LedgerSchemaNewer.
        """
        if clock is not None and environment is Environment.PRODUCTION:
            raise LedgerError("a production ledger runs on the database's clock; open it without clock")
        engine = _create_engine(_checked_url(url), environment)
        try:
            with _reachable(engine.url.render_as_string(hide_password=True)):
                stamp = _prepare(engine, environment, begins_audit=begins_audit)
                if stamp.migrated_from:
                    _say_migrated(engine, stamp)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, stamp, clock)

    @property
    def environment(self) -> Environment:
        return self._stamp.environment

    @property
    def installation_tag(self) -> int:
        """16 bits, drawn once when the ledger was made; marks our client order ids."""
        return self._stamp.installation_tag

    @property
    def schema(self) -> str:
        """The migration that the tables stand at."""
        return self._stamp.schema

    @property
    def url(self) -> str:
        """The database's URL without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    def now(self, session: Session) -> datetime:
        """The database's clock, aware UTC (milliseconds on SQLite): leases of all processes go by it."""
        if self._clock is not None:
            return self._clock.now()
        if self._is_sqlite:
            ((found,),) = read_columns(session, _SQLITE_NOW)
            return datetime.fromisoformat(found).replace(tzinfo=UTC)
        ((at,),) = read_columns(session, _POSTGRESQL_NOW)
        assert isinstance(at, datetime)
        return at.astimezone(UTC)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        with (
            self._session_of_thread("write"),
            self._turn(),
            _reachable(self.url),
            _begun(self._writer) as session,
        ):
            yield session
            session.flush()
            self._commit(session)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent state; writing is refused by the database."""
        with (
            self._session_of_thread("read"),
            _reachable(self.url),
            _begun(self._reader) as session,
        ):
            yield session

    def listen(self, channel: str) -> psycopg.Connection[Any] | None:
        """A connection of its own that hears NOTIFY on a channel; the caller closes it. None on SQLite, which has none.

        Raises LedgerUnavailable.
        """
        if self._is_sqlite:
            return None
        try:
            pooled = self._engine.raw_connection()
            driver = pooled.driver_connection
            pooled.detach()
            assert isinstance(driver, psycopg.Connection)
            driver.rollback()
            driver.autocommit = True
            driver.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
        except (psycopg.Error, DBAPIError, PoolExhausted) as error:  # beside a connection of ours nothing is wrapped
            raise LedgerUnavailable(f"the ledger {self.url} cannot be listened to: {error}") from error
        return driver

    def close(self) -> None:
        """Release every connection. Closing twice is harmless."""
        self._closed = True
        # A child process must not touch the connections of its parent.
        for engine in (self._engine, self._reading):
            engine.dispose(close=os.getpid() == self._pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- inside -------------------------------------------------------------------------------------------------
    @contextmanager
    def _session_of_thread(self, purpose: str) -> Iterator[None]:
        if os.getpid() != self._pid:
            raise LedgerForked(
                f"the ledger was opened by process {self._pid} and used in its child {os.getpid()}; "
                "call Ledger.open in the process that uses it"
            )
        if self._closed:
            raise LedgerClosed(f"the ledger {self.url} is closed; call Ledger.open again")
        held: list[str] = self._local.__dict__.setdefault("held", [])
        if held and (purpose == "write" or "write" in held):
            raise LedgerNested(
                f"this thread holds a {held[-1]} session and asked for a {purpose} session; on SQLite the two would "
                "wait for each other: end the first, or pass its session on"
            )
        held.append(purpose)
        try:
            yield
        finally:
            held.pop()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._is_sqlite:
            yield
            return
        with self._write_turn:
            yield

    def _commit(self, session: Session) -> None:
        connection = connection_of(session)
        transaction, pooled = connection.get_transaction(), connection.connection
        driver = pooled.dbapi_connection
        if transaction is None or _is_aborted(driver):
            raise WriteAborted("a statement failed inside this transaction and was passed over; nothing was stored")
        try:
            transaction.commit()
        except DBAPIError as error:
            if _is_surely_not_committed(error, driver):
                pooled.rollback()  # SQLite keeps the transaction open, and SQLAlchemy believes it over
                raise
            if pooled.is_valid:
                pooled.invalidate()
            raise CommitUnknown(
                f"the answer to COMMIT was lost ({type(error.orig).__name__}: {error.orig}); "
                "read the ledger to learn what is stored"
            ) from error


def _prepare(engine: Engine, environment: Environment, *, begins_audit: bool) -> Stamp:
    """Nothing is written before the stamp is read."""
    with engine.connect() as connection:
        require_environment(read_stamp(connection), environment)
    with engine.execution_options(**_write_options(engine.dialect.name == "sqlite")).begin() as connection:
        stamp = migrate(connection, environment)
        if begins_audit:
            begin_audit(connection)
        return stamp


def _say_migrated(engine: Engine, stamp: Stamp) -> None:
    """One line for operators: older installations refuse this ledger from now on."""
    _log.warning(
        "ledger %s: migrated from schema %s to %s; older versions cannot open it any more, so the way back is the "
        "backup from before the upgrade (docs/ledger.md, Backup)",
        engine.url.render_as_string(hide_password=True),
        stamp.migrated_from,
        stamp.schema,
    )


@contextmanager
def _begun(engine: Engine) -> Iterator[Session]:
    """A session on a transaction that has begun: it may write into it and roll it back, and never commits by itself.

    The write lock is taken here, not at the first statement. What is not committed by the end is rolled back.
    """
    with engine.connect() as connection:
        connection.begin()
        with Session(connection, join_transaction_mode="rollback_only") as session:
            yield session


@contextmanager
def _reachable(url: str) -> Iterator[None]:
    """Tell a database that cannot serve from a wrong statement."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise LedgerUnavailable(f"the ledger {url} cannot serve: {error.orig}; nothing was stored") from error
    except PoolExhausted as error:
        raise LedgerUnavailable(f"the ledger {url} has no free connection; nothing was stored") from error


def _write_options(is_sqlite: bool) -> dict[str, Any]:
    return {_BEGIN: "BEGIN IMMEDIATE"} if is_sqlite else {"isolation_level": "READ COMMITTED"}


def _read_options(is_sqlite: bool) -> dict[str, Any]:
    if is_sqlite:
        return {_BEGIN: "BEGIN"}
    return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


def _is_aborted(driver: Any) -> bool:
    return isinstance(driver, psycopg.Connection) and (
        driver.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
    )


def _is_surely_not_committed(error: DBAPIError, driver: Any) -> bool:
    if isinstance(error.orig, psycopg.Error):
        state = error.orig.sqlstate
        return state is not None and not state.startswith(_POSTGRESQL_LOST) and not error.connection_invalidated
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _SQLITE_NOT_COMMITTED and bool(driver.in_transaction)


# -- databases --------------------------------------------------------------------------------------------------
def _checked_url(given: str | URL) -> URL:
    """SQLite on a file, or PostgreSQL through psycopg 3; anything else is refused by name."""
    try:
        url = make_url(given)
    except ArgumentError as error:
        raise LedgerUrlRefused("the ledger URL cannot be read; use sqlite:///FILE or postgresql+psycopg://…") from error
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    shown = url.render_as_string(hide_password=True)
    if url.drivername == "postgresql+psycopg":
        return url
    if url.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise LedgerUrlRefused(f"the ledger URL was {shown}; use sqlite:///FILE or postgresql+psycopg://…")
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise LedgerUrlRefused(f"the ledger URL was {shown}: evidence needs a file, use sqlite:///FILE")
    if url.query:
        raise LedgerUrlRefused(f"the ledger URL was {shown}: SQLite options can switch locking off; leave them out")
    return url


def _create_engine(url: URL, environment: Environment) -> Engine:
    return _create_sqlite(url) if url.get_backend_name() == "sqlite" else _create_postgresql(url, environment)


def _create_sqlite(url: URL) -> Engine:
    assert url.database is not None
    path = Path(url.database).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    durability.refuse_network_file_system(path.resolve())
    # Created here so that only the owner can read it; SQLite gives its journal the same mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    return _sqlite_engine(url.set(database=str(path)), reads_only=False)


def _sqlite_engine(url: URL, *, reads_only: bool) -> Engine:
    engine = create_engine(
        url,
        connect_args={
            "check_same_thread": False,
            "timeout": durability.BUSY_TIMEOUT_MS / 1000,
            "cached_statements": _STATEMENTS_KEPT,
        },
        pool_size=4,
        max_overflow=28,
    )

    @event.listens_for(engine, "connect")
    def secure(connection: Any, record: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        durability.secure_sqlite(connection)
        if reads_only:
            connection.execute("PRAGMA query_only=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        statement = connection.get_execution_options().get(_BEGIN, "BEGIN")
        try:
            connection.connection.cursor().execute(statement)
        except sqlite3.Error as error:  # another process has the lock, or the disk cannot be written
            raise as_ever(connection, statement, error) from error

    return engine


def _create_postgresql(url: URL, environment: Environment) -> Engine:
    engine = create_engine(
        url,
        pool_pre_ping=True,
        pool_size=4,
        max_overflow=28,
        connect_args={"connect_timeout": 10, "application_name": "algotrendy-ledger"},
    )

    @event.listens_for(engine, "connect", insert=True)  # before SQLAlchemy asks anything of its own
    def secure(connection: Any, record: object) -> None:
        try:
            durability.secure_postgresql(connection, environment)
        except BaseException:
            connection.close()  # the pool does not know of it yet
            raise

    return engine
