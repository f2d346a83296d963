"""The warden outlives a stack that is killed and ends what the stack left behind.

Every process of a stack, and everything those start, carries the stack's mark in its environment. The warden sits in a
session of its own, holds the reading end of a pipe whose other end only the supervisor has, and sweeps when the pipe
closes: after a clean stop there is nothing left to sweep; after kill -9 of the supervisor there is everything.

Run as `python -m deployments.warden MARK`; imports stay light because it starts with every stack.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable

import psutil

MARK_VARIABLE = "ALGOTRENDY_STACK_MARK"
POLITE_S = 4.0
SWEEP_S_MAX = 15.0


def marked(mark: str) -> list[psutil.Process]:
    """Every living process, other than this one, that carries the mark."""
    if not mark:
        raise ValueError("mark must not be empty: an empty mark would fit any process")
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK_VARIABLE) == mark:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess, OSError):
            continue  # gone, or another user's: not ours
    return found


def sweep(mark: str, *, spare: Iterable[int] = (), polite_s: float = POLITE_S) -> list[int]:
    """End every marked process, politely first; return the ids of those that would not end."""
    spared = set(spare)
    asked: set[int] = set()
    started = time.monotonic()
    while time.monotonic() - started < SWEEP_S_MAX:
        left = [process for process in marked(mark) if process.pid not in spared]
        if not left:
            return []
        harsh = time.monotonic() - started >= polite_s
        for process in left:
            if harsh or process.pid not in asked:
                asked.add(process.pid)
                _signal(process, signal.SIGKILL if harsh else signal.SIGTERM)
        psutil.wait_procs(left, timeout=0.2)
    return [process.pid for process in marked(mark) if process.pid not in spared]


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def main() -> int:
    """Wait for the end of file on standard input, then sweep."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        continue
    return 1 if sweep(sys.argv[1]) else 0


if __name__ == "__main__":
    raise SystemExit(main())
