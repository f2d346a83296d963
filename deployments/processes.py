"""Start child processes so that none of them can be left behind.

A `Supervisor` starts a warden first (deployments/warden.py), then children, each in a process group of its own with its
output in a log file. `stop` ends them in the reverse order of starting and then sweeps everything that carries the
stack's mark, which also reaches flow processes that a worker put into sessions of their own.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from deployments.home import PROJECT
from deployments.warden import MARK_VARIABLE, sweep

STOP_S_MAX = 3.0  # Prefect's server takes longer when asked politely; its database survives being ended
TAIL_LINES = 15


class StackFailed(RuntimeError):
    """A part of the stack did not come up or went down; the message holds the end of its log."""


class Stopped(BaseException):
    """The operator or the system asked for the end; not an Exception, so that no job code catches it."""


@dataclass(frozen=True, slots=True)
class Child:
    """One process of the stack."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def ended(self) -> bool:
        return self.process.poll() is not None

    def log_tail(self) -> str:
        """The last lines that it wrote."""
        with suppress(FileNotFoundError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
        return ""


class Supervisor:
    """Owns every process of one stack. Use as a context manager; signals end it cleanly."""

    def __init__(self, *, logs: Path, env: Mapping[str, str], handle_signals: bool = True) -> None:
        self.mark = secrets.token_hex(16)
        self.children: list[Child] = []
        self._logs = logs
        self._env = {**env, MARK_VARIABLE: self.mark}
        self._warden: subprocess.Popen[bytes] | None = None
        self._previous: dict[int, object] = {}
        self._stopping = False
        self._handle_signals = handle_signals

    def __enter__(self) -> Self:
        self._warden = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "deployments.warden", self.mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={key: value for key, value in os.environ.items() if key != MARK_VARIABLE},
            cwd=PROJECT,
        )
        if self._handle_signals:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for number, handler in self._previous.items():
            # Once told to stop, the process is on its way out: a further Ctrl-C must not spoil its exit status.
            signal.signal(number, signal.SIG_IGN if kind is Stopped else handler)  # type: ignore[arg-type]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._stopping:
            return  # a second Ctrl-C does not interrupt the clean-up; the warden would finish it anyway
        self._stopping = True
        raise Stopped(signal.Signals(number).name)

    def start(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Child:
        """Start a child whose output goes to `logs/NAME.log`."""
        log = self._logs / f"{name}.log"
        with log.open("ab") as sink:
            process = subprocess.Popen(  # noqa: S603 - commands of deployments/stack.py, no shell
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**self._env, **(env or {})},
                cwd=cwd,
            )
        child = Child(name=name, process=process, log=log)
        self.children.append(child)
        return child

    def check(self) -> None:
        """StackFailed when a child ended without being asked."""
        for child in self.children:
            if child.ended():
                raise StackFailed(
                    f"{child.name} ended with exit status {child.process.returncode}; "
                    f"its log {child.log} ends with:\n{child.log_tail()}"
                )

    def wait_until(self, what: str, ready: Callable[[], bool], *, timeout_s: float, poll_s: float = 0.15) -> float:
        """Wait for `ready`, failing early when a child dies; return the seconds it took."""
        started = time.monotonic()
        while not ready():
            self.check()
            if time.monotonic() - started > timeout_s:
                tails = "\n".join(f"--- {child.name}\n{child.log_tail()}" for child in self.children)
                raise StackFailed(f"{what} was not ready after {timeout_s:.0f} s; the logs end with:\n{tails}")
            time.sleep(poll_s)
        return time.monotonic() - started

    def end(self, child: Child, *, timeout_s: float = STOP_S_MAX) -> None:
        """End one child: its whole process group, politely, then not."""
        self._signal_group(child, signal.SIGTERM)
        try:
            child.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._signal_group(child, signal.SIGKILL)
            child.process.wait(timeout_s)
        if child in self.children:
            self.children.remove(child)

    def stop(self) -> None:
        """End everything; safe to call twice. StackFailed names what would not end."""
        self._stopping = True
        if self._warden is None:
            return
        for child in reversed(self.children):
            self._signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S_MAX
        for child in reversed(self.children):
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.1, deadline - time.monotonic()))
        left = sweep(self.mark, spare=(os.getpid(), self._warden.pid), polite_s=0.5)
        for child in self.children:
            child.process.wait(STOP_S_MAX)
        self.children.clear()
        self._dismiss_warden()
        if left:
            raise StackFailed(f"these processes of the stack would not end: {', '.join(map(str, left))}")

    def _dismiss_warden(self) -> None:
        assert self._warden is not None and self._warden.stdin is not None
        self._warden.stdin.close()
        self._warden.wait()
        self._warden = None

    @staticmethod
    def _signal_group(child: Child, number: signal.Signals) -> None:
        if not child.ended():
            with suppress(ProcessLookupError):
                os.killpg(child.process.pid, number)
