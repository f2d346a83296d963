"""Opening, writing, reading: what the door promises on both databases."""

from __future__ import annotations

import os
import pickle
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import col, func, select

from brokers.clock import ManualClock
from brokers.ids import Environment
from ledger import errors
from ledger.engine import (
    CommitUnknown,
    Ledger,
    LedgerClosed,
    LedgerEnvironmentMismatch,
    LedgerError,
    LedgerNested,
    LedgerUnavailable,
    LedgerUrlRefused,
    WriteAborted,
)
from ledger.migrate import head_revision
from ledger.reasons import LedgerReason
from ledger.tables import Control, PlanRow

AT = datetime(2026, 1, 2, tzinfo=UTC)


def control(scope: str = "bybit.simulated.main") -> Control:
    return Control(scope=scope, state="run", reason="start", set_by="test", set_at=AT)


def count(ledger: Ledger) -> int:
    with ledger.read() as session:
        return session.exec(select(func.count()).select_from(Control)).one()


# -- opening ----------------------------------------------------------------------------------------------------
def test_the_tag_is_drawn_once(open_ledger: Callable[..., Ledger]) -> None:
    first = open_ledger()
    assert 0 <= first.installation_tag < 1 << 16
    assert open_ledger().installation_tag == first.installation_tag
    assert (first.environment, first.schema) == (Environment.SIMULATED, head_revision())


def test_another_environment_is_refused(open_ledger: Callable[..., Ledger]) -> None:
    open_ledger(environment=Environment.TESTNET)
    with pytest.raises(LedgerEnvironmentMismatch, match="belongs to environment testnet, was opened for production"):
        open_ledger(environment=Environment.PRODUCTION)


def test_another_environment_is_refused_before_any_write(sqlite_url: str) -> None:
    Ledger.open(sqlite_url, environment=Environment.TESTNET).close()
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    connection = sqlite3.connect(file)
    connection.execute("UPDATE alembic_version SET version_num = '0000'")  # a migration would be due
    connection.commit()
    connection.close()
    before = file.read_bytes()
    with pytest.raises(LedgerEnvironmentMismatch):
        Ledger.open(sqlite_url, environment=Environment.SIMULATED)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "evidence needs a file"),
        ("sqlite:///:memory:", "evidence needs a file"),
        ("sqlite:///file:x?mode=memory&uri=true", "evidence needs a file"),
        ("sqlite:///x.db?nolock=1", "can switch locking off"),
        ("sqlite+aiosqlite:///x.db", "use sqlite:///FILE or postgresql"),
        ("postgresql+psycopg2://user:secret@host/x", "use sqlite:///FILE or postgresql"),
        ("mysql://user:secret@host/x", "use sqlite:///FILE or postgresql"),
        ("not a url", "cannot be read"),
    ],
)
def test_a_url_that_cannot_keep_evidence_is_refused(url: str, message: str) -> None:
    with pytest.raises(LedgerUrlRefused, match=message) as caught:
        Ledger.open(url, environment=Environment.SIMULATED)
    assert "secret" not in str(caught.value)


def test_a_new_file_is_private_and_its_folder_is_made(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "er" / "ledger.db"
    Ledger.open(f"sqlite:///{file}", environment=Environment.SIMULATED).close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.postgres
def test_a_short_postgresql_url_uses_psycopg_3(postgres_url: str) -> None:
    with Ledger.open(postgres_url.replace("+psycopg", ""), environment=Environment.SIMULATED) as ledger:
        assert ledger.url.startswith("postgresql+psycopg://")


def test_the_database_clock_is_aware_and_close(ledger: Ledger) -> None:
    with ledger.write() as session:
        assert abs(ledger.now(session) - datetime.now(UTC)) < timedelta(seconds=30)


def test_the_database_clock_moves_within_a_transaction(ledger: Ledger) -> None:
    with ledger.write() as session:
        start = ledger.now(session)
        deadline = datetime.now(UTC) + timedelta(seconds=20)
        while ledger.now(session) == start:
            assert datetime.now(UTC) < deadline


def test_a_clock_may_be_given(open_ledger: Callable[..., Ledger]) -> None:
    clock = ManualClock(datetime(2020, 1, 1, tzinfo=UTC))
    ledger = open_ledger(clock=clock)
    clock.wait(60)
    with ledger.write() as session:
        assert ledger.now(session) == datetime(2020, 1, 1, 0, 1, tzinfo=UTC)


def test_production_runs_on_the_database_clock(sqlite_url: str) -> None:
    with pytest.raises(LedgerError, match="database's clock"):
        Ledger.open(sqlite_url, environment=Environment.PRODUCTION, clock=ManualClock(AT))
    assert not Path(sqlite_url.removeprefix("sqlite:///")).exists()


def test_a_database_out_of_reach_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match=r"postgresql\+psycopg://me:\*\*\*@/x.* cannot serve") as caught:
        Ledger.open(f"postgresql://me:secret@/x?host={tmp_path}", environment=Environment.SIMULATED)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"not a database" * 100)
    with pytest.raises((LedgerUnavailable, DBAPIError), match="file is not a database"):
        Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", environment=Environment.SIMULATED)


@pytest.mark.postgres
def test_a_deadlock_is_ended_and_may_be_repeated(postgres_url: str) -> None:
    with Ledger.open(postgres_url, environment=Environment.SIMULATED) as ledger:
        with ledger.write() as session:
            for key in ("a", "b"):
                session.add(
                    PlanRow(
                        plan_id=key,
                        account_id="a",
                        portfolio="f",
                        business_key=key,
                        plan_hash="",
                        body="",
                        created_at=AT,
                    )
                )
        barrier, outcomes = threading.Barrier(2), []

        def lock(worker: int) -> None:
            keys = ("a", "b") if worker else ("b", "a")
            try:
                with ledger.write() as session:
                    session.get(PlanRow, keys[0], with_for_update=True)
                    barrier.wait(timeout=60)
                    session.get(PlanRow, keys[1], with_for_update=True)
                outcomes.append("done")
            except LedgerUnavailable as error:
                outcomes.append("deadlock" if "deadlock detected" in str(error) else str(error))

        run_threads(lock, 2)
        assert sorted(outcomes) == ["deadlock", "done"]


# -- sessions ---------------------------------------------------------------------------------------------------
def test_a_write_is_seen_by_a_later_read(ledger: Ledger) -> None:
    with ledger.write() as session:
        row = control()
        session.add(row)
    assert row.scope == "bybit.simulated.main"  # still readable after the commit
    assert count(ledger) == 1


def test_a_block_that_raises_stores_nothing(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), ledger.write() as session:
        session.add(control())
        session.flush()
        raise ZeroDivisionError
    assert count(ledger) == 0


def test_a_refused_row_stores_nothing(ledger: Ledger) -> None:
    def plan(plan_id: str) -> PlanRow:
        return PlanRow(
            plan_id=plan_id, account_id="a", portfolio="p", business_key="k", plan_hash="", body="", created_at=AT
        )

    with pytest.raises(IntegrityError), ledger.write() as session:
        session.add(control())
        session.add_all([plan("1"), plan("2")])
    assert count(ledger) == 0
    with ledger.write() as session:  # and the door is open again
        session.add(control())
    assert count(ledger) == 1


def test_a_read_session_cannot_write(ledger: Ledger) -> None:
    with pytest.raises((DBAPIError, LedgerUnavailable), match=r"read-?only"), ledger.read() as session:
        session.add(control())
        session.flush()
    with ledger.write() as session:
        session.add(control())


def test_every_session_has_its_own_right_to_write(ledger: Ledger) -> None:
    """Whatever the connection was used for before, also on one that is new."""
    for is_new in (False, False, True, False):
        if is_new:
            ledger._engine.dispose()
        for _ in range(2):
            with ledger.write() as session:
                session.add(control())
        for _ in range(2):
            with pytest.raises((DBAPIError, LedgerUnavailable), match=r"read-?only"), ledger.read() as session:
                session.add(control())
                session.flush()
    assert count(ledger) == 8


def test_a_reading_forgotten_add_is_not_stored(ledger: Ledger) -> None:
    with ledger.read() as session:
        session.add(control())
    assert count(ledger) == 0


@pytest.mark.parametrize(("outer", "inner"), [("write", "write"), ("write", "read"), ("read", "write")])
def test_a_thread_has_one_session_at_a_time(ledger: Ledger, outer: str, inner: str) -> None:
    with getattr(ledger, outer)(), pytest.raises(LedgerNested, match=f"holds a {outer} .* asked for a {inner}"):
        getattr(ledger, inner)().__enter__()
    with ledger.write() as session:
        session.add(control())


def test_two_reads_may_overlap(ledger: Ledger) -> None:
    with ledger.read(), ledger.read():
        pass


def test_a_closed_ledger_says_so(ledger: Ledger) -> None:
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerClosed), ledger.read():
        pass


@pytest.mark.postgres
def test_a_read_sees_one_state(postgres_url: str) -> None:
    with Ledger.open(postgres_url, environment=Environment.SIMULATED) as ledger:
        with ledger.read() as session:
            query = select(func.count()).select_from(Control)
            assert session.exec(query).one() == 0
            writer = threading.Thread(target=write_one, args=(ledger,))
            writer.start()
            writer.join()
            assert session.exec(query).one() == 0
        assert count(ledger) == 1


def write_one(ledger: Ledger) -> None:
    with ledger.write() as session:
        session.add(control())


# -- many writers -----------------------------------------------------------------------------------------------
def test_compare_and_set_has_one_winner(ledger: Ledger) -> None:
    plan = PlanRow(plan_id="p", account_id="a", portfolio="f", business_key="k", plan_hash="", body="{}", created_at=AT)
    with ledger.write() as session:
        session.add(plan)
    barrier, wins = threading.Barrier(8), []

    def compete(worker: int) -> None:
        for epoch in range(10):
            barrier.wait(timeout=60)
            with ledger.write() as session:
                moved = session.connection().execute(
                    update(PlanRow)
                    .where(col(PlanRow.plan_id) == "p", col(PlanRow.state) == "planned", col(PlanRow.epoch) == epoch)
                    .values(epoch=epoch + 1, lease_owner=str(worker))
                )
                if moved.rowcount == 1:
                    wins.append(epoch)

    run_threads(compete, 8)
    assert sorted(wins) == list(range(10))


def test_threads_wait_for_each_other(ledger: Ledger) -> None:
    def write_some(worker: int) -> None:
        for number in range(10):
            with ledger.write() as session:
                session.add(control(f"{worker}-{number}"))

    run_threads(write_some, 8)
    assert count(ledger) == 80


def run_threads(function: Callable[[int], None], number: int) -> None:
    failures: list[BaseException] = []

    def guarded(worker: int) -> None:
        try:
            function(worker)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(worker,)) for worker in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


# -- commits ----------------------------------------------------------------------------------------------------
@pytest.mark.postgres
def test_a_connection_lost_at_commit_is_unknown(postgres_cluster: Any, postgres_url: str) -> None:
    with Ledger.open(postgres_url, environment=Environment.SIMULATED) as ledger:
        with pytest.raises(CommitUnknown, match="the answer to COMMIT was lost"), ledger.write() as session:
            session.add(control())
            session.flush()
            pid = session.connection().execute(text("SELECT pg_backend_pid()")).scalar_one()
            postgres_cluster.execute(f"SELECT pg_terminate_backend({pid}, 20000)")
        assert count(ledger) == 0  # the pool connects again by itself


@pytest.mark.postgres
def test_a_commit_whose_answer_is_lost_may_be_stored(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open(postgres_url, environment=Environment.SIMULATED) as ledger:
        commit = psycopg.Connection.commit

        def commit_and_lose(connection: psycopg.Connection[Any]) -> None:
            commit(connection)
            raise psycopg.OperationalError("server closed the connection unexpectedly")

        with pytest.raises(CommitUnknown), ledger.write() as session:
            session.add(control())
            session.flush()
            monkeypatch.setattr(psycopg.Connection, "commit", commit_and_lose)
        monkeypatch.undo()
        assert count(ledger) == 1


@pytest.mark.postgres
def test_a_connection_lost_before_the_commit_is_a_plain_failure(postgres_cluster: Any, postgres_url: str) -> None:
    with Ledger.open(postgres_url, environment=Environment.SIMULATED) as ledger:
        with pytest.raises(LedgerUnavailable), ledger.write() as session:
            pid = session.connection().execute(text("SELECT pg_backend_pid()")).scalar_one()
            postgres_cluster.execute(f"SELECT pg_terminate_backend({pid}, 20000)")
            session.add(control())
        assert count(ledger) == 0


@pytest.mark.postgres
def test_a_deferred_refusal_at_commit_is_definite(postgres_cluster: Any, postgres_url: str) -> None:
    with Ledger.open(postgres_url, environment=Environment.SIMULATED) as ledger:
        with ledger.write() as session:
            session.connection().execute(
                text("ALTER TABLE control ADD CONSTRAINT late UNIQUE (scope) DEFERRABLE INITIALLY DEFERRED")
            )
        with pytest.raises(IntegrityError), ledger.write() as session:
            session.add_all([control(), control()])
        assert count(ledger) == 0


@pytest.mark.postgres
def test_a_swallowed_failure_is_not_called_a_success(postgres_url: str) -> None:
    with Ledger.open(postgres_url, environment=Environment.SIMULATED) as ledger:
        with pytest.raises(WriteAborted, match="nothing was stored"), ledger.write() as session:
            session.add(control())
            session.flush()
            with pytest.raises(DBAPIError):
                session.connection().execute(text("SELECT 1/0"))
        assert count(ledger) == 0


def test_a_busy_file_at_commit_is_a_definite_failure(sqlite_url: str) -> None:
    with Ledger.open(sqlite_url, environment=Environment.SIMULATED) as ledger:
        reader = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM control").fetchall()
        with (
            pytest.raises(LedgerUnavailable, match="database is locked; nothing was stored"),
            ledger.write() as session,
        ):
            session.connection().exec_driver_sql("PRAGMA busy_timeout=20")
            session.add(control())
        reader.close()
        assert count(ledger) == 0


def test_a_disk_error_at_commit_is_unknown(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class FailingDisk(sqlite3.Connection):
        def commit(self) -> None:
            super().commit()
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = 10 | (5 << 8)  # SQLITE_IOERR_DIR_FSYNC
            raise error

    Ledger.open(sqlite_url, environment=Environment.SIMULATED).close()
    real = sqlite3.connect
    with Ledger.open(sqlite_url, environment=Environment.SIMULATED) as ledger:
        ledger._engine.dispose()
        monkeypatch.setattr(ledger._engine.dialect.dbapi, "connect", lambda *a, **k: real(*a, factory=FailingDisk, **k))
        with pytest.raises(CommitUnknown, match="disk I/O error"), ledger.write() as session:
            session.add(control())
        monkeypatch.undo()
        ledger._engine.dispose()
        assert count(ledger) == 1


# -- errors -----------------------------------------------------------------------------------------------------
def test_every_error_has_a_reason_of_its_own() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, LedgerError)]
    own = [kind.reason for kind in kinds if "reason" in vars(kind)]  # a branch of the tree has its root's
    assert sorted(own) == sorted(LedgerReason)
    assert all(reason.meaning.endswith(".") and reason.remedy.endswith(".") for reason in LedgerReason)


@pytest.mark.parametrize(
    "error",
    [
        errors.DurabilityRefused("fsync", "off", "set it on"),
        errors.ConflictingEvidence("fill 1", stored={"price": "1"}, received={"price": "2"}),
        errors.CommitUnknown("lost"),
    ],
)
def test_errors_survive_the_way_between_processes(error: LedgerError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))
    assert vars(copy) == vars(error)


def test_the_child_of_a_fork_is_refused(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: here + 1)
    with pytest.raises(errors.LedgerForked, match=f"opened by process {here} and used in its child {here + 1}"):
        ledger.write().__enter__()


def test_a_ledger_that_another_process_keeps_locked_cannot_serve(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(f"sqlite:///{path}", environment=Environment.SIMULATED) as ledger:
        for engine in (ledger._writer, ledger._reader):  # production waits for half a minute
            event.listen(engine, "checkout", lambda driver, *_: driver.execute("PRAGMA busy_timeout=1"))
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN EXCLUSIVE")
            for opening in (ledger.write, ledger.read):
                locked = pytest.raises(LedgerUnavailable, match="database is locked; nothing was stored")
                with locked, opening() as session:
                    ledger.now(session)
            other.rollback()
        assert count(ledger) == 0
