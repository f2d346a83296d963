"""A process that kills one account: `python -m bench.kill_worker VENUE_URL LEDGER_URL`. It may die on its way."""

from __future__ import annotations

import sys

from bench.calls import our_broker
from bench.stopping import KILL_LIMITS, runtime_on
from brokers.ids import Environment
from ledger.engine import Ledger
from trading.kill_model import KillRequest
from trading.killing import kill_account


def main() -> None:
    venue_url, ledger_url = sys.argv[1:]
    with our_broker(venue_url) as broker, Ledger.open(ledger_url, environment=Environment.SIMULATED) as ledger:
        request = KillRequest(requested_by="bench", reason="bench")
        print("ready", flush=True)
        kill_account(runtime_on(ledger, broker), request, settle_currencies=("USDT",), limits=KILL_LIMITS)


if __name__ == "__main__":
    main()
