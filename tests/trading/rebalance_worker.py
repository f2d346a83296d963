"""The process that a test kills: one rebalance. Forked from a server that has imported everything once."""

from __future__ import annotations

import os

from tests.proof import forking
from tests.trading.simulated import QUICK, QuickClock, book, open_runtime
from trading.orders.crash import VARIABLE
from trading.plans import rebalance

TARGETS = {"AAPL/USDT:USDT": "0.4", "BTC/USDT": "0.3"}


def die(point: str, *arguments: str) -> int | None:
    """Run a rebalance in a process of its own that is killed at the point; its exit code."""
    process = forking.start(_rebalance, point, *arguments)
    process.join(60)
    code: int | None = process.exitcode
    if code is None:
        process.kill()
    return code


def _rebalance(point: str, *arguments: str) -> None:
    os.environ[VARIABLE] = point
    main(*arguments)


def main(venue_url: str, ledger_url: str, key: str) -> None:
    with open_runtime(venue_url, ledger_url, clock=QuickClock(), limits=QUICK) as runtime:
        print(rebalance(runtime, book(TARGETS), business_key=key).state)
