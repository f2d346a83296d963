"""The process that a test kills: one rebalance, from the command line's arguments."""

from __future__ import annotations

import sys

from tests.trading.simulated import QUICK, QuickClock, book, open_runtime
from trading.plans import rebalance

TARGETS = {"AAPL/USDT:USDT": "0.4", "BTC/USDT": "0.3"}


def main(venue_url: str, ledger_url: str, key: str) -> None:
    with open_runtime(venue_url, ledger_url, clock=QuickClock(), limits=QUICK) as runtime:
        print(rebalance(runtime, book(TARGETS), business_key=key).state)


if __name__ == "__main__":
    main(*sys.argv[1:4])
