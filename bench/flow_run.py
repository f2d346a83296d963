"""The rebalance flow against an empty flow with as many tasks, on a real Prefect server.

Both run in a process of their own that talks to the same server, one after the other, each started afresh: what is
compared is a whole run, from the call to its final state. The empty flow runs as many tasks as the rebalance did, each
of which does nothing, so the ratio shows what trading adds to what Prefect costs anyway.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.measure import Row
from bench.processes import prefect_server, simulator

RUNS = 3
RUN_S_MAX = 90
NAME = "bybit-simulated-bench"
PORTFOLIO = {"BTC/USDT:USDT": "0.2", "ETH/USDT:USDT": "0.2", "SOL/USDT:USDT": "-0.1", "XRP/USDT:USDT": "0.1"}
SIMULATOR = """
seed: 7
accounts:
  - {name: bench, balances: {USDT: "1000000"}}
instruments:
  - {symbol: BTCUSDT, base: BTC, tick: "0.1", step: "0.001", qty_min: "0.001"}
  - {symbol: ETHUSDT, base: ETH, tick: "0.01", step: "0.01", qty_min: "0.01"}
  - {symbol: SOLUSDT, base: SOL, tick: "0.01", step: "0.1", qty_min: "0.1"}
  - {symbol: XRPUSDT, base: XRP, tick: "0.0001", step: "1", qty_min: "1"}
prices: {start: {BTCUSDT: "60000", ETHUSDT: "3000", SOLUSDT: "150", XRPUSDT: "0.6"}}
rate_limits: {enabled: false}
"""


def run(folder: Path, *, runs: int = RUNS) -> list[Row]:
    """Median seconds of a whole rebalance run and of an empty run with as many tasks."""
    with prefect_server(folder) as client, simulator(folder, SIMULATOR) as address:
        environ = {
            **client,
            "ALGOTRENDY_ENVIRONMENT": "simulated",
            "ALGOTRENDY_LEDGER_URL": f"sqlite:///{folder / 'flows.db'}",
            "ALGOTRENDY_POOL": "simulated",
            "ALGOTRENDY_REPORTS": str(folder / "reports"),
            "ALGOTRENDY_KEY_REGISTRY": str(folder / "key-registry.json"),
            "PREFECT_LOGGING_LEVEL": "WARNING",
        }
        _in_child("prepare", environ, address)
        ours, empty, tasks = [], [], 0
        for number in range(runs):
            # Alternating targets: every run has as much to trade as the one before.
            done = _in_child("rebalance", environ, "1" if number % 2 else "-1")
            tasks = done["tasks"]
            ours.append(done["seconds"])
            empty.append(_in_child("empty", environ, str(tasks))["seconds"])
    mine, bare = statistics.median(ours), statistics.median(empty)
    return [
        Row(
            section="Flow",
            what=f"rebalance of {len(PORTFOLIO)} lines, {tasks} tasks",
            ours=f"{mine:.2f} s",
            baseline=f"{bare:.2f} s for an empty flow with {tasks} tasks",
            ratio=f"{mine / bare:.2f}",
            detail=f"median of {runs} runs of each",
        )
    ]


def _in_child(what: str, environ: Mapping[str, str], argument: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.flow_run", what, argument],
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=RUN_S_MAX,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the {what} process ended with {done.returncode}:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# -- in the child -----------------------------------------------------------------------------------------------
def _prepare(address: str) -> dict[str, Any]:
    """Store account and two opposite portfolios as blocks."""
    from deployments.register import apply
    from tasks.config import Configuration

    account = {
        "venue": "bybit",
        "environment": "simulated",
        "name": "bench",
        "credentials": {"api_key": "bench-key", "api_secret": "bench-secret"},
        "base_url": address,
        # The limiter is not what is measured here.
        "risk": {"order_rate_max": 1000, "venue_rate_share": "1"},
    }
    portfolios = [
        {
            "name": f"bench{sign}",
            "quote_currency": "USDT",
            "targets": {key: weight if sign == "1" else str(-float(weight)) for key, weight in PORTFOLIO.items()},
        }
        for sign in ("1", "-1")
    ]
    for _ in apply(Configuration.model_validate({"accounts": [account], "portfolios": portfolios})):
        pass
    return {}


def _rebalance(sign: str) -> dict[str, Any]:
    from flows.rebalance import rebalance

    return _timed(lambda: rebalance(account=NAME, portfolio=f"bench{sign}", mode="execute", return_state=True))


def _empty(tasks: str) -> dict[str, Any]:
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE

    @task(persist_result=False, cache_policy=NO_CACHE)
    def nothing() -> None:
        return None

    @flow(name="empty", persist_result=False)
    def empty() -> None:
        for _ in range(int(tasks)):
            nothing()

    return _timed(lambda: empty(return_state=True))


def _timed(call: Any) -> dict[str, Any]:
    """Run one flow; its seconds and how many tasks it ran."""
    import time

    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    began = time.perf_counter()
    state = call()
    took = time.perf_counter() - began
    if not state.is_completed():
        raise RuntimeError(f"the run ended {state.name}: {state.message}")
    run_id = state.state_details.flow_run_id
    with get_client(sync_client=True) as client:
        # The server's recorder is some seconds behind: wait until the count stands still.
        chosen, counted, deadline = FlowRunFilter(id=FlowRunFilterId(any_=[run_id])), -1, time.monotonic() + 20
        while True:
            found = _count(client, chosen)
            if (found == counted and found > 0) or time.monotonic() > deadline:
                return {"seconds": took, "tasks": found}
            counted = found
            time.sleep(2)


def _count(client: Any, chosen: Any) -> int:
    total = 0
    while True:
        page = client.read_task_runs(flow_run_filter=chosen, limit=200, offset=total)
        total += len(page)
        if len(page) < 200:
            return total


if __name__ == "__main__":
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    jobs = {"prepare": _prepare, "rebalance": _rebalance, "empty": _empty}
    print(json.dumps(jobs[sys.argv[1]](sys.argv[2])))
