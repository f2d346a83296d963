"""The process that a test kills: one run over two accounts. Forked from a server that has imported everything once."""

from __future__ import annotations

import os

from tasks.beside import in_threads
from tests.proof import forking
from tests.trading.runs.scene import open_accounts, subscribed
from tests.trading.simulated import QUICK, QuickClock, book
from trading.orders.crash import VARIABLE
from trading.rebalancing.portfolio import OrderStyle, Portfolio
from trading.runs import run_portfolio

STYLES: dict[OrderStyle, dict[str, int]] = {
    OrderStyle.LIMIT: {},
    OrderStyle.SLICED: {"slices": 3, "slice_interval_s": 1},
    OrderStyle.LIMIT_THEN_MARKET: {"reprice_steps": 1, "reprice_wait_s": 1},
    OrderStyle.MARKET: {},
}
TARGETS = {"AAPL/USDT:USDT": "0.4", "BTC/USDT": "0.3"}


def portfolio(style: OrderStyle) -> Portfolio:
    """What the run is for, its legs sent in this style."""
    return book(TARGETS, order_style=style, **STYLES[style])


def die(point: str, *arguments: str) -> int | None:
    """Execute the run in a process of its own that is killed at the point; its exit code."""
    process = forking.start(_run, point, *arguments)
    process.join(60)
    code: int | None = process.exitcode
    if code is None:
        process.kill()
    return code


def _run(point: str, venue_url: str, ledger_url: str, key: str, style: str) -> None:
    os.environ[VARIABLE] = point
    with open_accounts(venue_url, ledger_url, clock=QuickClock(), limits=QUICK) as runtimes:
        run_portfolio(runtimes, subscribed(), portfolio(OrderStyle(style)), business_key=key, beside=in_threads)
