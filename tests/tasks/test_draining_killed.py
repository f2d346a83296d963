"""Drains as processes: one is killed on the way to the venue, another while it follows an order, a third finishes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from brokers.ids import Environment
from ledger.engine import Ledger
from ledger.inbox import AlertStore, Delivery, InboxState
from ledger.invariants import check_record
from simulators import running_bybit
from simulators.testing import small_config
from tests.conftest import Eventually
from trading.alerts import AlertConfig
from trading.alerts.operating import apply_routes

PAIRS = ("BTC", "ETH")
ROUTES = "sources: [{name: tv, max_age_s: 600}]\nroutes:" + "".join(
    f"""
  - {{name: {pair.lower()}, source: tv, symbol: {pair}USDT.P, account: bybit.simulated.main, quantity_max: "10",
     instrument: "{pair}/USDT:USDT", bare_action: direction, ttl_market_s: 600}}"""
    for pair in PAIRS
)
ACCOUNTS = """
accounts:
  - {venue: bybit, environment: simulated, name: main, credentials: {api_key: main-key, api_secret: main-secret},
     settle_currencies: [USDT]}
"""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def end_all_leases(url: str) -> None:
    """Let the time of dead processes' leases be over without waiting for it."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=20)
    with connection:
        past = "2000-01-01T00:00:00.000000Z"
        for table in ("order_intent", "inbox", "inbox_lease", "lane"):
            connection.execute(f"UPDATE {table} SET lease_until = '{past}' WHERE lease_until > ''")
        connection.execute(f"UPDATE lane SET due_at = '{past}' WHERE due_at > ''")
    connection.close()


def test_what_killed_drains_held_is_finished_once(tmp_path: Path, stack: ExitStack, eventually: Eventually) -> None:
    sim = stack.enter_context(running_bybit(small_config()))
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = stack.enter_context(Ledger.open(url, environment=Environment.SIMULATED))
    store = AlertStore(ledger, free_bytes=lambda: 10**12)
    apply_routes(AlertConfig.parse(ROUTES), ledger, by="test")
    (tmp_path / "accounts.yaml").write_text(ACCOUNTS)

    def send(number: int) -> int:
        body = {"v": 1, "symbol": f"{PAIRS[number % 2]}USDT.P", "action": "buy", "quantity": "0.01", "id": f"n{number}"}
        body |= {"quantity": "0.1"} if number % 2 else {}
        delivery = Delivery(source="tv", raw=json.dumps(body).encode(), received_at=datetime.now(UTC))
        return store.receive([delivery])[0].alert_id

    def drain(**environ: str) -> subprocess.Popen[bytes]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ALGOTRENDY_", "PREFECT_"))}
        own = {
            "ALGOTRENDY_LEDGER_URL": url,
            "ALGOTRENDY_HOME": str(tmp_path / "home"),
            "ALGOTRENDY_SIMULATOR": sim.url,
        }
        command = [sys.executable, "-m", "cli.main", "alerts", "drain", "-f", str(tmp_path / "accounts.yaml")]
        child = subprocess.Popen(command, env={**kept, **own, **environ}, stderr=subprocess.DEVNULL)
        stack.callback(child.wait)
        stack.callback(child.kill)
        return child

    wanted = [send(number) for number in range(6)]
    # Before anything is sent, and once the venue has the order.
    killed: list[Any] = [drain(ALGOTRENDY_CRASH_AT="C06:2"), drain(ALGOTRENDY_CRASH_AT="C18:2")]
    eventually(lambda: all(one.poll() == -signal.SIGKILL for one in killed), timeout_s=90)
    assert any(store.show(one).state.is_open for one in wanted)
    end_all_leases(url)
    drain()
    eventually(lambda: all(store.show(one).state is InboxState.PLACED for one in wanted), timeout_s=90)
    orders = list(sim.control.orders("main"))
    assert len(orders) == 6 and len({order.client_id for order in orders}) == 6
    with ledger.read() as session:
        assert check_record(session) == ()
