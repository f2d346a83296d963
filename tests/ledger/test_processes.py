"""Several processes on one ledger: starting at once, writing at once, dying in the middle, forking."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlmodel import func, select

from brokers.ids import Environment
from ledger.engine import Ledger
from ledger.tables import Control, PlanRow

PRELUDE = """
import os, sys
from datetime import UTC, datetime
from brokers.ids import Environment
from ledger.engine import Ledger, LedgerForked
from ledger.tables import Control
from sqlmodel import func, select

def control(scope, reason="r"):
    return Control(scope=scope, state="run", reason=reason, set_by="test", set_at=datetime(2026, 1, 1, tzinfo=UTC))

def say(word):
    print(word, flush=True)

def wait():
    sys.stdin.readline()

"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Run a script in a process of its own; whatever is left at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def start_one(url: str, script: str) -> subprocess.Popen[str]:
        opened = PRELUDE + f"url = {url!r}\n" + textwrap.dedent(script)
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", opened],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        running.append(process)
        return process

    yield start_one
    for process in running:
        process.kill()
        process.communicate()


def hears(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == f"{word}\n"


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def scopes(ledger: Ledger) -> list[str]:
    with ledger.read() as session:
        return sorted(session.exec(select(Control.scope)))


def test_processes_that_start_at_once_make_one_ledger(
    start: Start, ledger_url: str, open_ledger: Callable[..., Ledger]
) -> None:
    script = """
        say("ready")
        wait()
        ledger = Ledger.open(url, environment=Environment.SIMULATED)
        say(str(ledger.installation_tag))
        for number in range(20):
            with ledger.write() as session:
                session.add(control(f"{sys.argv} {os.getpid()} {number}"))
    """
    processes = [start(ledger_url, script) for _ in range(2)]
    for process in processes:
        hears(process, "ready")
    for process in processes:
        tell(process)
    tags = {process.stdout.readline().strip() for process in processes if process.stdout}
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    ledger = open_ledger()
    assert tags == {str(ledger.installation_tag)}
    assert len(scopes(ledger)) == 40


def test_two_processes_do_not_lose_each_others_updates(
    start: Start, ledger_url: str, open_ledger: Callable[..., Ledger]
) -> None:
    """Read, add one, write: with BEGIN IMMEDIATE (or a row lock) none is lost."""
    ledger = open_ledger()
    with ledger.write() as session:
        session.add(counter(0))
    script = """
        from ledger.tables import PlanRow
        ledger = Ledger.open(url, environment=Environment.SIMULATED)
        for _ in range(40):
            with ledger.write() as session:
                row = session.get(PlanRow, "counter", with_for_update=True)
                row.epoch += 1
    """
    processes = [start(ledger_url, script), start(ledger_url, script)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    with ledger.read() as session:
        row = session.get(PlanRow, "counter")
        assert row is not None and row.epoch == 80


def counter(epoch: int) -> PlanRow:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return PlanRow(
        plan_id="counter",
        account_id="a",
        portfolio="p",
        business_key="k",
        plan_hash="",
        body="{}",
        epoch=epoch,
        created_at=at,
    )


@pytest.mark.parametrize("rows", [1, 3000])  # 3,000 rows of 1 KiB: SQLite has written part of them to the file
def test_kill_9_in_a_transaction_leaves_what_was_committed(
    start: Start, open_ledger: Callable[..., Ledger], ledger_url: str, rows: int
) -> None:
    process = start(
        ledger_url,
        f"""
        ledger = Ledger.open(url, environment=Environment.SIMULATED)
        with ledger.write() as session:
            session.add(control("committed"))
        with ledger.write() as session:
            session.add_all([control("lost", "x" * 1024) for _ in range({rows})])
            session.flush()
            say("written")
            wait()
        """,
    )
    hears(process, "written")
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=30) == -signal.SIGKILL
    ledger = open_ledger()
    assert scopes(ledger) == ["committed"]
    with ledger.write() as session:
        session.add(Control(scope="after", state="run", reason="r", set_by="t", set_at=ledger.now(session)))
    assert scopes(ledger) == ["after", "committed"]
    if ledger_url.startswith("sqlite"):
        require_sound(Path(ledger_url.removeprefix("sqlite:///")))


def require_sound(file: Path) -> None:
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def test_kill_9_at_any_moment_leaves_a_sound_file(start: Start, sqlite_url: str) -> None:
    """Each transaction writes two rows: never may one of them be missing."""
    for round_ in range(3):
        process = start(
            sqlite_url,
            f"""
            ledger = Ledger.open(url, environment=Environment.SIMULATED)
            say("open")
            for number in range(10_000):
                with ledger.write() as session:
                    session.add(control(f"{round_} {{number}}", "x" * 3000))
                    session.flush()
                    session.add(control(f"{round_} {{number}}"))
                if number == {round_ * 7}:
                    say("go")
            """,
        )
        hears(process, "open")
        hears(process, "go")
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
        with Ledger.open(sqlite_url, environment=Environment.SIMULATED) as ledger, ledger.read() as session:
            grouped = select(Control.scope, func.count()).group_by(Control.scope)
            counts = dict(session.exec(grouped).all())
        assert len(counts) > round_ * 7
        assert set(counts.values()) == {2}
        require_sound(Path(sqlite_url.removeprefix("sqlite:///")))


def test_a_forked_child_is_refused_and_the_parent_goes_on(
    start: Start, ledger_url: str, open_ledger: Callable[..., Ledger]
) -> None:
    process = start(
        ledger_url,
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of fork with threads
        ledger = Ledger.open(url, environment=Environment.SIMULATED)
        with ledger.write() as session:
            session.add(control("before"))
        child = os.fork()
        if child == 0:
            try:
                with ledger.write() as session:
                    session.add(control("child"))
            except LedgerForked:
                ledger.close()
                os._exit(7)
            os._exit(1)
        say(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
        with ledger.write() as session:
            session.add(control("parent"))
        """,
    )
    hears(process, "7")
    assert process.wait(timeout=30) == 0
    assert scopes(open_ledger()) == ["before", "parent"]
