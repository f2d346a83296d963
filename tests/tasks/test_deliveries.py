"""Many alerts, each delivered four times in any order, several drains at once: one order for each, and no more.

`ALGOTRENDY_DELIVERIES=2000 pytest -n 0 tests/tasks/test_deliveries.py` is the size that docs/alerts.md tells of.
"""

from __future__ import annotations

import json
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from brokers.clock import SystemClock
from brokers.ids import Environment
from ledger.alert_tables import InboxRow
from ledger.engine import Ledger
from ledger.inbox import AlertStore, Delivery, InboxState
from ledger.invariants import check_ledger
from ledger.tables import OrderIntent
from simulators import running_bybit
from simulators.testing import small_config
from tasks.accounts import Accounts
from tasks.draining import Drain, DrainLimits
from tests.conftest import Eventually
from tests.trading.simulated import QuickClock, open_runtime
from trading.alerts import AlertConfig
from trading.alerts.operating import apply_routes

ALERTS = int(os.environ.get("ALGOTRENDY_DELIVERIES", "32"))
DELIVERIES, GROUP = 4, 25
DRAINS = 8 if ALERTS >= 400 else 3
SIZES = {"AAPL": "0.1", "MSFT": "0.05", "BTC": "0.001", "ETH": "0.01"}
ROUTES = "sources: [{name: tv, max_age_s: 86400}]\nroutes:" + "".join(
    f"""
  - {{name: {asset.lower()}, source: tv, symbol: {asset}USDT.P, account: bybit.simulated.main,
     instrument: "{asset}/USDT:USDT", quantity_max: "10", bare_action: direction, ttl_market_s: 80000}}"""
    for asset in SIZES
)


def body(number: int) -> bytes:
    asset = list(SIZES)[number % len(SIZES)]
    fields = {"v": 1, "id": f"n{number}", "symbol": f"{asset}USDT.P", "action": "buy", "quantity": SIZES[asset]}
    return json.dumps(fields).encode()


@pytest.mark.timeout(60 + ALERTS)
def test_each_of_many_alerts_becomes_one_order_however_often_it_comes(tmp_path: Path, eventually: Eventually) -> None:
    with ExitStack() as stack:
        sim = stack.enter_context(running_bybit(small_config()))
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
        ledger = stack.enter_context(Ledger.open(url, environment=Environment.SIMULATED))
        store = AlertStore(ledger, free_bytes=lambda: 10**12)
        apply_routes(AlertConfig.parse(ROUTES), ledger, by="test")
        stack.enter_context(draining(store, sim.url, url))
        wanted = [number for number in range(ALERTS) for _ in range(DELIVERIES)]
        random.Random(4).shuffle(wanted)
        for first in range(0, len(wanted), GROUP):
            group = wanted[first : first + GROUP]
            store.receive([Delivery(source="tv", raw=body(n), received_at=datetime.now(UTC)) for n in group])

        eventually(lambda: store.backlog().open == 0, timeout_s=50.0 + ALERTS)
        with ledger.read() as session:
            rows = session.exec(select(InboxRow.state, InboxRow.deliveries)).all()
            intents = session.exec(select(OrderIntent.business_key)).all()
            findings = check_ledger(session)
        orders = sim.control.orders("main")
    states = Counter(InboxState(state) for state, _ in rows)
    assert states[InboxState.PLACED] == len(intents) == len(set(intents)) == ALERTS
    assert set(states) <= {InboxState.PLACED, InboxState.DUPLICATE}
    assert sum(count for _, count in rows) == ALERTS * DELIVERIES
    assert not findings
    assert len(orders) == ALERTS and {order.status.value for order in orders} == {"filled"}


@contextmanager
def draining(store: AlertStore, venue_url: str, ledger_url: str) -> Iterator[None]:
    """The drains, each with an account of its own, as processes have them."""
    ends = threading.Event()

    @contextmanager
    def opened(account: Any) -> Iterator[Any]:
        risk = {"repeat_max": 10 * ALERTS, "order_rate_max": 10_000, "message_rate_max": 10_000}
        with open_runtime(venue_url, ledger_url, clock=QuickClock(), **risk) as runtime:
            yield runtime

    def one() -> None:
        account = object()  # the same one: what has changed is opened anew
        accounts = Accounts(load=lambda account_id: account, open_account=opened, clock=SystemClock())  # type: ignore[arg-type,return-value]
        try:
            Drain(store, accounts, limits=DrainLimits(lanes=2, sweep_s=0.2, poll_s=0.02)).run(lambda: not ends.is_set())
        finally:
            accounts.close()

    threads = [threading.Thread(target=one) for _ in range(DRAINS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ends.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
