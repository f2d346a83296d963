"""`make demo` and `make up` as processes: Ctrl-C and kill -9 at any time leave nothing running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deployments import runs
from deployments.home import Addresses, Home
from deployments.register import connected
from deployments.warden import MARK_VARIABLE
from tests.conftest import Eventually
from tests.proof.process_prefect import processes_of

ROOT = Path(__file__).resolve().parents[2]
Start = Callable[[str], "subprocess.Popen[bytes]"]

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("commands"), pytest.mark.timeout(600)]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start one in a session of its own, as a terminal would; its output goes to a file. A failure leaves nothing."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one(module: str) -> subprocess.Popen[bytes]:
        arguments = ["--report", str(tmp_path / "report")] if module == "demo" else []
        with (tmp_path / "output.txt").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", f"deployments.{module}", "--home", str(tmp_path / "home"), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=ROOT,
                env={key: value for key, value in os.environ.items() if key != MARK_VARIABLE},
            )
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()  # its warden ends the rest
        process.wait()


def of_this_stack(tmp_path: Path) -> list[psutil.Process]:
    """Every process that has this stack's folder in its environment or on its command line."""
    needle = str(tmp_path / "home")
    found = []
    for process in psutil.process_iter():
        try:
            texts = [*process.environ().values(), *process.cmdline(), process.cwd()]
        except (psutil.Error, OSError):
            continue
        if any(text.startswith(needle) for text in texts):
            found.append(process)
    return found


def said(tmp_path: Path) -> str:
    return (tmp_path / "output.txt").read_text(errors="replace")


MOMENTS = {
    "at once": "starting the Prefect server",
    "while the server starts": "the simulated venues listen",
    "while registering": "block type",
}
IN_A_RUN = "Sync positions"


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_twice_at_any_time_leaves_nothing(
    start: Start, tmp_path: Path, eventually: Eventually, moment: str
) -> None:
    process = start("demo")
    eventually(lambda: MOMENTS[moment] in said(tmp_path) or process.poll() is not None, timeout_s=300.0)
    assert process.poll() is None, f"it never said {MOMENTS[moment]!r}: {said(tmp_path)}"
    before = len(of_this_stack(tmp_path))
    os.killpg(process.pid, signal.SIGINT)
    eventually(lambda: len(of_this_stack(tmp_path)) < before)  # the clean-up is under way
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130, said(tmp_path)
    assert "Stopped; nothing is left running." in said(tmp_path)
    eventually(lambda: not of_this_stack(tmp_path))


def test_kill_9_of_the_command_leaves_nothing(start: Start, tmp_path: Path, eventually: Eventually) -> None:
    process = start("demo")
    eventually(lambda: IN_A_RUN in said(tmp_path) or process.poll() is not None, timeout_s=300.0)
    assert process.poll() is None, f"it never said {IN_A_RUN!r}: {said(tmp_path)}"
    assert len(of_this_stack(tmp_path)) >= 4  # the command, server, simulator, worker
    os.kill(process.pid, signal.SIGKILL)
    process.wait(60)
    eventually(lambda: not of_this_stack(tmp_path))


def test_up_says_where_it_is_and_leaves_nothing_when_it_is_stopped_in_a_run(
    start: Start, tmp_path: Path, eventually: Eventually
) -> None:
    process = start("up")
    eventually(lambda: "AlgoTrendy is up" in said(tmp_path) or process.poll() is not None, timeout_s=300.0)
    assert "/v2" in said(tmp_path) and "Custom run" in said(tmp_path)
    home = Home(tmp_path / "home")
    addresses = Addresses.read(home.addresses_file)
    assert addresses is not None
    with connected(home, addresses.api_url) as client:
        run_id = runs.start(client, "check-account/check-account-bybit-simulated-main")
        eventually(lambda: processes_of(run_id), timeout_s=60.0)
    os.killpg(process.pid, signal.SIGINT)
    eventually(lambda: processes_of(run_id) == [])  # the clean-up is under way
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 0, said(tmp_path)
    eventually(lambda: not of_this_stack(tmp_path))
    # Ledger and addresses stay; a second start keeps the ports.
    assert (tmp_path / "home" / "stack.json").exists()
