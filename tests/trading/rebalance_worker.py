"""The process that a test kills: one rebalance. Forked from a server that has imported everything once."""

from __future__ import annotations

import multiprocessing
import os

from tests.trading.simulated import QUICK, QuickClock, book, open_runtime
from trading.orders.crash import VARIABLE
from trading.plans import rebalance

TARGETS = {"AAPL/USDT:USDT": "0.4", "BTC/USDT": "0.3"}


_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.trading.rebalance_worker", "tests.proof.process_worker"])


def die(point: str, *arguments: str) -> int | None:
    """Run a rebalance in a process of its own that is killed at the point; its exit code."""
    process = _context.Process(target=_rebalance, args=(point, *arguments), daemon=True)
    process.start()
    process.join(60)
    if process.exitcode is None:
        process.kill()
    return process.exitcode


def _rebalance(point: str, *arguments: str) -> None:
    os.environ[VARIABLE] = point
    main(*arguments)


def main(venue_url: str, ledger_url: str, key: str) -> None:
    with open_runtime(venue_url, ledger_url, clock=QuickClock(), limits=QUICK) as runtime:
        print(rebalance(runtime, book(TARGETS), business_key=key).state)
