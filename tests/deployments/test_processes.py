"""Nothing that a stack starts is left behind: after a clean stop, after kill -9, by children of children."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deployments import processes
from deployments.processes import StackFailed, Supervisor
from deployments.warden import MARK_VARIABLE, marked, sweep
from tests.conftest import Eventually

ROOT = Path(__file__).resolve().parents[2]
# A child that ignores SIGTERM and puts a grandchild into a session of its own, as a worker does with flow processes.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("started", flush=True)
time.sleep(600)
"""
OWNER = """
import os, signal, sys, time
from pathlib import Path
from deployments.processes import Supervisor, Stopped
logs = Path(sys.argv[1])
try:
    with Supervisor(logs=logs, env=dict(os.environ)) as supervisor:
        child = supervisor.start("stubborn", [sys.executable, "-c", sys.argv[2]])
        supervisor.wait_until("the child", lambda: "started" in child.log_tail(), timeout_s=20)
        print(supervisor.mark, flush=True)
        time.sleep(600)
except Stopped as stopped:
    print("stopped by", stopped, flush=True)
"""


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_S_MAX", 0.5)


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != MARK_VARIABLE}


def supervisor(tmp_path: Path) -> Supervisor:
    return Supervisor(logs=tmp_path, env=environment(), handle_signals=False)


def start_stubborn(owner: Supervisor) -> None:
    child = owner.start("stubborn", [sys.executable, "-c", STUBBORN])
    owner.wait_until("the child", lambda: "started" in child.log_tail(), timeout_s=20)


def test_a_clean_stop_leaves_nothing(tmp_path: Path, eventually: Eventually) -> None:
    with supervisor(tmp_path) as owner:
        start_stubborn(owner)
        eventually(lambda: len(marked(owner.mark)) == 2)
    assert marked(owner.mark) == []


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="in the middle"), supervisor(tmp_path) as owner:
        start_stubborn(owner)
        raise RuntimeError("in the middle")
    assert marked(owner.mark) == []


def _owner(tmp_path: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), STUBBORN],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=ROOT,
        start_new_session=True,
    )
    assert process.stdout is not None
    mark = process.stdout.readline().strip()
    assert len(mark) == 32
    return process, mark


def test_kill_9_of_the_owner_leaves_nothing(tmp_path: Path, eventually: Eventually) -> None:
    process, mark = _owner(tmp_path)
    eventually(lambda: len(marked(mark)) == 2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    assert process.stdout is not None
    process.stdout.close()
    eventually(lambda: marked(mark) == [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_two_signals_leave_nothing(tmp_path: Path, eventually: Eventually, number: signal.Signals) -> None:
    process, mark = _owner(tmp_path)
    os.killpg(process.pid, number)
    eventually(lambda: len(marked(mark)) < 2 or process.poll() is not None)
    if process.poll() is None:
        os.killpg(process.pid, number)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert f"stopped by {number.name}" in out
    eventually(lambda: marked(mark) == [])


def test_a_child_that_dies_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    with supervisor(tmp_path) as owner:
        owner.start("short", [sys.executable, "-c", "print('the reason'); raise SystemExit(3)"])
        with pytest.raises(StackFailed, match=r"short ended with exit status 3(.|\n)*the reason"):
            owner.wait_until("something", lambda: False, timeout_s=20)


def test_what_does_not_come_up_in_time_is_told(tmp_path: Path) -> None:
    with supervisor(tmp_path) as owner, pytest.raises(StackFailed, match="the impossible was not ready after 0 s"):
        owner.wait_until("the impossible", lambda: False, timeout_s=0.2)


def test_one_child_can_be_ended_alone(tmp_path: Path) -> None:
    with supervisor(tmp_path) as owner:
        first = owner.start("first", [sys.executable, "-c", "import time; time.sleep(600)"])
        second = owner.start("second", [sys.executable, "-c", "import time; time.sleep(600)"])
        owner.end(first)
        assert first.ended() and not second.ended()
        owner.check()


def test_an_empty_mark_would_fit_anything_and_is_refused() -> None:
    with pytest.raises(ValueError, match="mark must not be empty"):
        sweep("")
