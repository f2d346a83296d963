"""From an alert to its order at the simulated venue: receiver, queue, drain flow, desk, wire; and where the time goes.

One alert at a time, so that nothing waits in a queue: what is measured is the way, not the crowd. Ledger on disk with
synced commits; receiver, drain, Prefect server and venue are processes of their own. The same way without Prefect
(`alerts drain`) is the baseline. Times are read from the ledger: the receiver's, the queue's events, the commit before
the first byte, and the venue's own time of the order; all are of one machine's clock, to the millisecond.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlmodel import col, select

from bench.flow_run import NAME, SIMULATOR
from bench.flow_run import _in_child as in_child
from bench.measure import Row
from bench.processes import child, prefect_server, simulator
from brokers.ids import Environment
from deployments import ports
from ledger.engine import Ledger
from ledger.inbox import AlertStore, InboxState
from ledger.inbox_tokens import AlertTokens
from ledger.tables import OrderAttempt, OrderIntent, OrderRow, OrderSend
from trading.alerts.operating import apply_routes
from trading.alerts.routing import AlertConfig

ALERTS = 100
WARM_UP = 6
AIM_MS = 100.0
OVER_S_MAX = 30.0
PARTS = ("received to read", "read to claimed", "claimed to decided", "decided to committed", "committed to the venue")
ROUTES = f"""
sources: [{{name: bench}}]
routes:
  - {{name: btc, source: bench, symbol: BTCUSDT.P, account: {NAME}, instrument: "BTC/USDT:USDT", quantity_max: "1",
     bare_action: direction}}
"""
ACCOUNTS = """
accounts:
  - venue: bybit
    environment: simulated
    name: bench
    credentials: {{api_key: bench-key, api_secret: bench-secret}}
    base_url: {url}
    risk: {{order_rate_max: 1000, venue_rate_share: "1"}}
"""


@dataclass(frozen=True, slots=True)
class Way:
    """One alert's times, in milliseconds: the answer to its sender, each part, and all of them together."""

    answer_ms: float
    parts_ms: tuple[float, ...]

    @property
    def total_ms(self) -> float:
        return sum(self.parts_ms)


def run(folder: Path, *, alerts: int = ALERTS) -> list[Row]:
    """p50 and p99 of the way through Prefect, beside the way without it."""
    with prefect_server(folder) as client, simulator(folder, SIMULATOR) as address:
        in_child("prepare", {**client, **_environ(folder, "prepare")}, address)
        (folder / "accounts.yaml").write_text(ACCOUNTS.format(url=address))
        through = _measure(folder, "flow", ["bench.alerts"], client, alerts)
        command = ["cli.main", "alerts", "drain", "--accounts", str(folder / "accounts.yaml")]
        plain = _measure(folder, "plain", command, client, alerts)
    p50, p99, bare = _share(through, 50), _share(through, 99), _share(plain, 50)
    parts = ", ".join(
        f"{name} {_middle([way.parts_ms[place] for way in through]):.0f} ms" for place, name in enumerate(PARTS)
    )
    answers = sorted(way.answer_ms for way in through)
    return [
        Row(
            section="Alerts",
            what="alert to order at the venue, through Prefect",
            ours=f"{p50:.0f} ms p50, {p99:.0f} ms p99",
            baseline=f"{bare:.0f} ms p50, {_share(plain, 99):.0f} ms p99 without Prefect",
            ratio=f"{p50 / bare:.2f}",
            aim=f"p50 at most {AIM_MS:.0f} ms",
            held=p50 <= AIM_MS,
            detail=f"{len(through)} alerts, medians: {parts}; the sender was answered after {_middle(answers):.0f} ms",
        )
    ]


def _environ(folder: Path, name: str) -> dict[str, str]:
    return {
        "ALGOTRENDY_ENVIRONMENT": "simulated",
        "ALGOTRENDY_LEDGER_URL": f"sqlite:///{folder / f'{name}.db'}",
        "ALGOTRENDY_POOL": "simulated",
        "ALGOTRENDY_REPORTS": str(folder / "reports"),
        "ALGOTRENDY_KEY_REGISTRY": str(folder / "key-registry.json"),
        "ALGOTRENDY_HOME": str(folder / "home"),
        "PREFECT_LOGGING_LEVEL": "WARNING",
    }


def _measure(folder: Path, name: str, drain: list[str], client: Mapping[str, str], alerts: int) -> list[Way]:
    """Each alert's way, one after the other, after some that warm everything up."""
    environ = {**client, **_environ(folder, name)}
    url = environ["ALGOTRENDY_LEDGER_URL"]
    with Ledger.open(url, environment=Environment.SIMULATED) as ledger:
        apply_routes(AlertConfig.parse(ROUTES), ledger, by="bench")
        token = AlertTokens(ledger).add_token("bench", by="bench")
        store, (port,) = AlertStore(ledger), ports.pick(1)
        receiver = ["cli.main", "receive", "--port", str(port), "--quiet"]
        with child(receiver, environ=environ, log=folder / f"{name}-receiver.log"):
            address = f"http://127.0.0.1:{port}"
            _wait(lambda: _answers(f"{address}/health"), "the receiver")
            with child(drain, environ=environ, log=folder / f"{name}-drain.log"):
                ways = [
                    _one(store, f"{address}/api/webhook/tradingview/{token}", number)
                    for number in range(alerts + WARM_UP)
                ]
    return ways[WARM_UP:]


def _one(store: AlertStore, url: str, number: int) -> Way:
    """Buy, then exit, then buy …: each alert has something to do."""
    body = {"v": 1, "symbol": "BTCUSDT.P", "id": f"bench-{number}", "action": "exit" if number % 2 else "buy"}
    if not number % 2:
        body["quantity"] = "0.01"
    began = time.perf_counter()
    request = urllib.request.Request(url, data=json.dumps(body).encode())
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as response:
        alert_id = int(json.load(response)["id"])
    answer_ms = (time.perf_counter() - began) * 1000
    _wait(lambda: store.show(alert_id).state is InboxState.PLACED, f"alert {alert_id}")
    return Way(answer_ms, _parts(store, alert_id))


def _parts(store: AlertStore, alert_id: int) -> tuple[float, ...]:
    stored = store.show(alert_id)
    at = {event.reason: event.at for event in reversed(store.events(alert_id))}
    with store.ledger.read() as session:
        query = (
            select(OrderSend.committed_at, OrderRow.created_at)
            .join(OrderAttempt, col(OrderAttempt.client_order_id) == col(OrderSend.client_order_id))
            .join(OrderIntent, col(OrderIntent.intent_id) == col(OrderAttempt.intent_id))
            .join(OrderRow, col(OrderRow.intent_id) == col(OrderIntent.intent_id))
            .where(col(OrderIntent.business_key).startswith(f"alert:{alert_id}:"))
        )
        committed, arrived = session.exec(query).one()
    moments: list[datetime] = [
        stored.received_at,
        at["READY_TO_TRADE"],
        at["ALERT_CLAIMED"],
        at["ORDERS_DECIDED"],
        committed,
        arrived,
    ]
    return tuple((later - earlier).total_seconds() * 1000 for earlier, later in pairwise(moments))


def _share(ways: list[Way], percent: int) -> float:
    ordered = sorted(way.total_ms for way in ways)
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _wait(holds: Any, what: str) -> None:
    deadline = time.monotonic() + OVER_S_MAX
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} was not ready after {OVER_S_MAX:.0f} s")
        time.sleep(0.02)


def _answers(url: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    from flows.drain_alerts import drain_alerts

    drain_alerts(minutes=1440)
