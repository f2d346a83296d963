"""The system calls of the receiver: between an alert's bytes and its 200 lies a completed sync of the ledger.

On SQLite the whole commit is seen: the file of the ledger is synced, its journal is unlinked, and the folder is synced,
all before the answer is written. On PostgreSQL the syncs are the server's; seen is that its answer to COMMIT has come.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.webhooks.client import ask
from tests.webhooks.conftest import PATH, TOKEN, Launch, Process

ALERTS = 60
CALLS = "fsync,fdatasync,read,recvfrom,recvmsg,write,writev,sendto,sendmsg,unlink,openat"
HERE = f"{PATH}/{TOKEN}"


@dataclass(frozen=True)
class Call:
    """A completed system call: when it began and when it was over, counted in lines of the trace."""

    name: str
    begun: int
    over: int
    text: str


def completed(trace: str) -> list[Call]:
    """The calls in the order in which they were over; strace splits those that another thread's call interrupts."""
    open_: dict[tuple[str, str], tuple[int, str]] = {}
    found: list[Call] = []
    for number, line in enumerate(trace.splitlines()):
        if match := re.match(r"(\d+) +(\w+)\((.*?) <unfinished \.\.\.>$", line):
            open_[match[1], match[2]] = (number, match[3])
        elif match := re.match(r"(\d+) +<\.\.\. (\w+) resumed>(.*)$", line):
            begun, text = open_.pop((match[1], match[2]), (number, ""))
            found.append(Call(match[2], begun, number, text + match[3]))
        elif match := re.match(r"(\d+) +(\w+)\((.*)$", line):
            found.append(Call(match[2], number, number, match[3]))
    return [call for call in found if "= -1" not in call.text]


@pytest.fixture
def strace() -> str:
    found = shutil.which("strace")
    if found is None:
        pytest.skip("strace is not installed (Debian: apt-get install strace)")
    with subprocess.Popen(["sleep", "60"]) as asleep:
        probe = subprocess.Popen([found, "-o", "/dev/null", "-p", str(asleep.pid)], stderr=subprocess.PIPE, text=True)
        with probe:
            assert probe.stderr is not None
            told = probe.stderr.readline()
            probe.send_signal(signal.SIGINT)
        asleep.kill()
    if "attached" not in told:
        pytest.skip(f"strace may not trace a process here: {told.strip()[:200]}")
    return found


def test_every_200_comes_after_a_sync_that_began_after_its_alert_was_read(
    strace: str, launch: Launch, process_ledger_url: str, tmp_path: Path
) -> None:
    ledger_url = process_ledger_url
    process = launch(ledger_url, "--quiet")

    def send(number: int) -> int:
        answer = ask(process.url, HERE, b"traced alert %04d." % number)
        assert answer.status == 200
        return int(answer.json["id"])

    with traced(strace, process, tmp_path / "trace"), ThreadPoolExecutor(8) as pool:
        numbers = dict(enumerate(pool.map(send, range(ALERTS))))
    calls = completed((tmp_path / "trace").read_text(errors="replace"))
    for number, alert_id in numbers.items():
        read = next(call for call in calls if is_input(call) and f"traced alert {number:04d}." in call.text)
        answer = next(
            call for call in calls if is_output(call) and re.search(rf'\{{\\"id\\": {alert_id}\}}', call.text)
        )
        between = [call for call in calls if call.begun > read.over and call.over < answer.begun]
        check = is_committed_on_sqlite if ledger_url.startswith("sqlite") else is_committed_on_postgresql
        assert check(between), f"alert {number}: no commit between its bytes and its answer"
    print(f"{ALERTS} alerts: each 200 was written after a commit that began after the alert's bytes had been read")


@contextmanager
def traced(strace: str, process: Process, trace: Path) -> Iterator[None]:
    """The process under strace, all of its threads."""
    command = [strace, "-f", "-y", "-s", "4096", "-e", f"trace={CALLS}", "-o", str(trace), "-p", str(process.child.pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:
        assert tracer.stderr is not None
        told = tracer.stderr.readline()
        assert b"attached" in told, told
        try:
            yield
        finally:
            tracer.send_signal(signal.SIGINT)  # it detaches


def is_input(call: Call) -> bool:
    return call.name in ("read", "recvfrom", "recvmsg")


def is_output(call: Call) -> bool:
    return call.name in ("write", "writev", "sendto", "sendmsg")


def is_committed_on_sqlite(calls: list[Call]) -> bool:
    """Journal synced, ledger synced, journal gone, folder synced: in this order."""
    wanted = (
        lambda call: call.name in ("fsync", "fdatasync") and "ledger.db-journal>" in call.text,
        lambda call: call.name in ("fsync", "fdatasync") and "ledger.db>" in call.text,
        lambda call: call.name == "unlink" and "ledger.db-journal" in call.text,
        lambda call: call.name in ("fsync", "fdatasync") and "ledger.db" not in call.text,
    )
    step = 0
    for call in calls:
        if wanted[step](call):
            step += 1
        if step == len(wanted):
            return True
    return False


def is_committed_on_postgresql(calls: list[Call]) -> bool:
    asked = [call.over for call in calls if is_output(call) and "COMMIT" in call.text]
    return (
        any(is_input(call) and "COMMIT" in call.text and call.begun > min(asked) for call in calls) if asked else False
    )
