"""Setting a control state in database and file: a stop needs one of them, loosening both, and people must be two."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from brokers.ids import Environment
from ledger.control_file import ControlFile, entry_of
from ledger.controlling import ControlChange, ControlChanged, change_control
from ledger.controls import lets_more_out, set_control, state_of, strategy_scope, strictest
from ledger.engine import Ledger
from ledger.errors import (
    ControlError,
    ControlIncomplete,
    ControlMoved,
    ControlNotLowered,
    ControlNotSet,
    KillUnfinished,
    LedgerUnavailable,
    NeedsTwoPeople,
)
from ledger.states import ControlState, KillState
from ledger.tables import Control, KillRow

C = ControlState
NOW = datetime(2026, 1, 5, tzinfo=UTC)
SCOPE = "bybit.simulated.main"
PRODUCTION, SIMULATED = Environment.PRODUCTION, Environment.SIMULATED


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    Ledger.open(f"sqlite:///{path}", environment=SIMULATED).close()
    return path


@pytest.fixture
def ledger(tmp_path: Path, template: Path) -> Iterator[Ledger]:
    shutil.copy(template, tmp_path / "ledger.db")
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", environment=SIMULATED) as opened:
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> ControlFile:
    return ControlFile(tmp_path / "control.json")


def unreachable() -> Ledger:
    raise LedgerUnavailable("the database does not answer")


@pytest.fixture
def change(ledger: Ledger, file: ControlFile) -> Callable[..., ControlChanged]:
    def call(state: C, *, environment: Environment = SIMULATED, down: bool = False, **fields: Any) -> ControlChanged:
        words = {"scope": SCOPE, "reason": "drill", "set_by": "Ada"}
        wanted = ControlChange(state=state, **{**words, **fields})
        return change_control(wanted, environment=environment, ledger=unreachable if down else ledger, file=file)

    return call


def in_database(ledger: Ledger, state: C, scope: str = SCOPE) -> None:
    with ledger.write() as session:
        set_control(session, scope, state, reason="before", set_by="me", at=NOW)


def in_file(file: ControlFile, state: C, scope: str = SCOPE) -> None:
    with file.locked():
        file.put(scope, entry_of(state, reason="before", set_by="me"))


def counts(ledger: Ledger, file: ControlFile) -> C:
    with ledger.read() as session:
        return state_of(session, SCOPE, file=file)


def rows(ledger: Ledger) -> list[str]:
    with ledger.read() as session:
        return [row.state for row in session.exec(select(Control).order_by("control_id"))]


@pytest.mark.parametrize("database", C)
def test_every_change_needs_two_people_exactly_when_more_is_let_out(
    change: Any, ledger: Ledger, file: ControlFile, database: C
) -> None:
    """All 125 combinations of database, file and wish; judged by what counts of the two."""
    for said, wanted in product(C, C):
        in_database(ledger, database)
        in_file(file, said)
        before = counts(ledger, file)
        lowers = lets_more_out(wanted, before)
        if lowers:
            with pytest.raises(NeedsTwoPeople):
                change(wanted, environment=PRODUCTION)
            assert counts(ledger, file) is before and file.state(SCOPE) is said
        done = change(wanted, environment=PRODUCTION, approved_by="Bob" if lowers else "")
        assert (done.before, done.after, done.is_lowered, done.problems) == (before, wanted, lowers, ())
        assert counts(ledger, file) is wanted


@pytest.mark.parametrize("second", ["", "Ada", " ada ", "ADA"])
def test_the_second_person_is_another_one(change: Any, second: str, ledger: Ledger, file: ControlFile) -> None:
    change(C.HALT)
    with pytest.raises(NeedsTwoPeople, match="two different people"):
        change(C.RUN, environment=PRODUCTION, approved_by=second)
    assert counts(ledger, file) is C.HALT


@pytest.mark.parametrize("missing", ["reason", "set_by", "scope"])
def test_nothing_is_set_without_name_and_reason(change: Any, missing: str, ledger: Ledger, file: ControlFile) -> None:
    with pytest.raises(ControlIncomplete, match=missing):
        change(C.HALT, **{missing: "  "})
    assert rows(ledger) == [] and not file.path.exists()


def test_flattening_needs_two_people_in_production(change: Any, ledger: Ledger, file: ControlFile) -> None:
    with pytest.raises(NeedsTwoPeople, match="closing positions"):
        change(C.KILL, environment=PRODUCTION, flatten=True)
    assert counts(ledger, file) is C.RUN and file.read() == {}
    assert change(C.KILL, environment=PRODUCTION, flatten=True, approved_by="Bob").after is C.KILL


# -- one of the two fails ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("state", [C.PAUSE, C.REDUCE_ONLY, C.HALT, C.KILL])
def test_a_stop_works_while_the_database_does_not(change: Any, state: C, ledger: Ledger, file: ControlFile) -> None:
    done = change(state, down=True)
    assert (done.in_database, done.in_file) == (False, True)
    assert "does not answer" in done.problems[0]
    assert counts(ledger, file) is state


def test_the_file_holds_the_stop_before_the_database_is_opened(ledger: Ledger, file: ControlFile) -> None:
    seen: list[Any] = []

    def slow() -> Ledger:
        seen.append(file.state(SCOPE))
        return ledger

    wanted = ControlChange(scope=SCOPE, state=C.HALT, reason="r", set_by="Ada")
    change_control(wanted, environment=SIMULATED, ledger=slow, file=file)
    assert seen == [C.HALT]


@pytest.mark.parametrize("said", [C.RUN, C.HALT])
def test_nothing_is_loosened_without_the_database(change: Any, said: C, ledger: Ledger, file: ControlFile) -> None:
    in_database(ledger, C.HALT)
    in_file(file, said)
    with pytest.raises(ControlNotLowered, match="does not answer"):
        change(C.RUN, down=True, approved_by="Bob")
    assert (counts(ledger, file), file.state(SCOPE)) == (C.HALT, said)


def test_a_stop_works_while_the_file_cannot_be_written(
    change: Any, ledger: Ledger, file: ControlFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ControlFile, "put", failing)
    done = change(C.HALT)
    assert (done.in_database, done.in_file, done.after) == (True, False, C.HALT)
    assert "No space" in done.problems[0]
    assert counts(ledger, file) is C.HALT


def failing(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_loosening_with_a_file_that_cannot_be_written_leaves_the_stricter(
    change: Any, ledger: Ledger, file: ControlFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(C.HALT)
    monkeypatch.setattr(ControlFile, "put", failing)
    with pytest.raises(ControlNotLowered, match="No space"):
        change(C.RUN)
    assert counts(ledger, file) is C.HALT


def test_when_neither_takes_a_stop_it_is_an_error(change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ControlFile, "put", failing)
    with pytest.raises(ControlNotSet) as refused:
        change(C.HALT, down=True)
    assert "does not answer" in str(refused.value) and "No space" in str(refused.value)


def test_an_unreadable_file_halts_and_cannot_be_lowered_through(change: Any, ledger: Ledger, file: ControlFile) -> None:
    file.path.write_text("HALT")
    assert counts(ledger, file) is C.HALT
    with pytest.raises(ControlNotLowered, match="cannot be read"):
        change(C.RUN)
    done = change(C.KILL)
    assert (done.after, done.in_file) == (C.KILL, False) and done.problems
    assert file.path.read_text() == "HALT"  # the evidence stays


@pytest.mark.parametrize("database", [C.RUN, C.KILL])
def test_a_death_between_file_and_database_leaves_the_stricter(ledger: Ledger, file: ControlFile, database: C) -> None:
    in_database(ledger, database)

    def dies() -> Ledger:
        raise KeyboardInterrupt

    wanted = ControlChange(scope=SCOPE, state=C.HALT, reason="r", set_by="Ada")
    with pytest.raises(KeyboardInterrupt):
        change_control(wanted, environment=SIMULATED, ledger=dies, file=file)
    assert counts(ledger, file) is strictest((database, C.HALT))


# -- several at once --------------------------------------------------------------------------------------------
def test_what_was_looked_at_must_still_be_so(change: Any, ledger: Ledger, file: ControlFile) -> None:
    change(C.HALT)
    with pytest.raises(ControlMoved, match="halt by now"):
        change(C.PAUSE, expected=C.RUN)
    assert change(C.RUN, expected=C.HALT).after is C.RUN


def test_of_many_who_lower_what_they_saw_one_wins(change: Any, ledger: Ledger, file: ControlFile) -> None:
    change(C.HALT)
    start = threading.Barrier(4)

    def lower(name: str) -> str:
        start.wait()
        try:
            return str(change(C.PAUSE, set_by=name, expected=C.HALT).after)
        except ControlError as error:
            return error.reason.value

    with ThreadPoolExecutor(4) as pool:
        ended = sorted(pool.map(lower, ["Ada", "Bob", "Cy", "Di"]))
    assert ended == ["CONTROL_CHANGED_MEANWHILE"] * 3 + ["pause"]
    assert rows(ledger) == ["halt", "pause"]


# -- kills ------------------------------------------------------------------------------------------------------
def add_kill(ledger: Ledger, state: KillState, account: str = SCOPE) -> None:
    with ledger.write() as session:
        row = KillRow(
            account_id=account,
            state=state.value,
            flatten=False,
            requested_by="Ada",
            reason="r",
            started_at=NOW,
            updated_at=NOW,
        )
        session.add(row)


@pytest.mark.parametrize("scope", [SCOPE, "pool:simulated"])
@pytest.mark.parametrize("state", list(KillState))
def test_a_kill_that_is_not_over_keeps_the_stop(change: Any, ledger: Ledger, state: KillState, scope: str) -> None:
    change(C.KILL, scope=scope)
    add_kill(ledger, state)
    if not state.keeps_the_stop:
        assert change(C.RUN, scope=scope).after is C.RUN
        return
    with pytest.raises(KillUnfinished, match=state.value):
        change(C.HALT, scope=scope)
    if state is KillState.LEFT:
        assert change(C.RUN, scope=scope, acknowledge_left=True).after is C.RUN
        with ledger.read() as session:
            assert [row.state for row in session.exec(select(KillRow))] == ["left_acknowledged"]
    else:
        with pytest.raises(KillUnfinished):
            change(C.HALT, scope=scope, acknowledge_left=True)


def test_the_kill_of_another_account_does_not(change: Any, ledger: Ledger) -> None:
    change(C.KILL)
    add_kill(ledger, KillState.CANCELLING, account="bybit.simulated.other")
    assert change(C.RUN).after is C.RUN


def test_a_strategy_is_a_scope_of_its_own(change: Any, ledger: Ledger, file: ControlFile) -> None:
    change(C.HALT, scope=strategy_scope("trend", SCOPE))
    assert counts(ledger, file) is C.RUN
    with pytest.raises(ValueError, match="without '@'"):
        strategy_scope("a@b", SCOPE)
