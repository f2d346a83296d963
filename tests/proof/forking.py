"""Processes that are forked from a server which has imported everything once, whatever program starts them.

Without this, multiprocessing runs the starting program's main module again in every child, which costs more than all
that the child does, and fails where there is no such file.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing import spawn
from threading import Lock
from typing import Any

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["tests.trading.rebalance_worker", "tests.trading.runs.worker", "tests.proof.process_worker"]
)
_turn = Lock()


def pipe() -> tuple[Any, Any]:
    """The parent's end, which receives, and the child's, which sends."""
    return _context.Pipe(duplex=False)


def start(target: Any, *arguments: Any) -> Any:
    """Start `target`, a function of a module, in a process of its own."""
    process = _context.Process(target=target, args=arguments, daemon=True)
    with _turn:
        prepare = spawn.get_preparation_data
        spawn.get_preparation_data = lambda name: {
            key: value for key, value in prepare(name).items() if not key.startswith("init_main")
        }
        try:
            process.start()
        finally:
            spawn.get_preparation_data = prepare
    _read_its_end_once(process._popen)
    return process


def _read_its_end_once(popen: Any) -> None:
    """How a process ended comes through a pipe, once: of two threads that ask at the same time (each start asks of all
    that run), the second would read nothing, and take it for the end of the server, code 255."""
    ask, turn = popen.poll, Lock()

    def poll(*flag: int) -> Any:
        with turn:
            return ask(*flag)

    popen.poll = poll
