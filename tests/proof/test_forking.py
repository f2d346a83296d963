"""Processes of tests: how one ended is told to all who ask."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver
from threading import Event

import pytest

from tests.proof import forking


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_two_who_ask_at_once_learn_the_same_end(monkeypatch: pytest.MonkeyPatch) -> None:
    read, second = forkserver.read_signed, Event()
    asking = 0

    def read_beside_another(pipe: int) -> int:
        nonlocal asking
        asking += 1
        if asking == 2:
            second.set()
        second.wait(0.2)  # long enough for whoever else is let in
        return int(read(pipe))

    monkeypatch.setattr(forkserver, "read_signed", read_beside_another)
    process = forking.start(_killed)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: process.join(30), range(2)))
    assert process.exitcode == -signal.SIGKILL
