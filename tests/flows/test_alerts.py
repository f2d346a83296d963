"""The jobs of alerts on a real Prefect server: drain, replay, apply; what they show and what they never hold."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.settings import PREFECT_API_URL, temporary_settings

from brokers.ids import Environment
from deployments.alerting import ROUTES
from flows import drain_alerts as draining
from flows.apply_routes import apply_routes
from flows.replay_alert import replay_alert
from ledger.engine import Ledger
from ledger.inbox import AlertStore, Delivery, InboxState
from tasks.blocks import AlertRoutes
from tests.conftest import Eventually
from trading.alerts import AlertConfig
from trading.alerts.operating import apply_routes as apply_to

S = InboxState
SECRET_WORD = "strategy-of-the-house"  # what a sender writes must not reach the server


@pytest.fixture
def store(venue: Any, pool_environment: Path) -> Iterator[AlertStore]:
    """The pool's queue with a route to the test's own account."""
    with Ledger.open(f"sqlite:///{pool_environment}", environment=Environment.SIMULATED) as ledger:
        text = (
            f"sources: [{{name: tv}}]\nroutes: [{{name: apple, source: tv, symbol: AAPLUSDT.P, account: {venue.block}, "
            'instrument: "AAPL/USDT:USDT", quantity_max: "50", bare_action: direction, ttl_market_s: 120}]'
        )
        apply_to(AlertConfig.parse(text), ledger, by="test")
        yield AlertStore(ledger, free_bytes=lambda: 10**12)


def send(store: AlertStore, key: str, *, action: str = "buy", quantity: str | None = "2", **fields: str) -> int:
    body = {"v": 1, "symbol": "AAPLUSDT.P", "action": action, "id": key, "strategy": SECRET_WORD, **fields}
    if quantity is not None:
        body["quantity"] = quantity
    delivery = Delivery(source="tv", raw=json.dumps(body).encode(), received_at=datetime.now(UTC))
    return store.receive([delivery])[0].alert_id


@pytest.fixture
def until(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let a drain end when something is so."""

    def end_when(is_so: Callable[[], bool]) -> None:
        limit = datetime.now(UTC) + timedelta(seconds=60)
        goes_on = lambda clock, slot: lambda: not is_so() and datetime.now(UTC) < limit  # noqa: E731
        monkeypatch.setattr(draining, "until_relieved", goes_on)

    return end_when


def task_names(run_id: Any) -> list[str]:
    with get_client(sync_client=True) as client:
        wanted = FlowRunFilter.model_validate({"id": {"any_": [run_id]}})
        return sorted(task.name for task in client.read_task_runs(flow_run_filter=wanted))


def test_each_alert_is_a_task_that_reads_and_nothing_of_its_body_is_kept(
    venue: Any, store: AlertStore, until: Callable[..., None], logged: Any, eventually: Eventually
) -> None:
    buy, out = send(store, "one"), send(store, "two", action="exit", quantity=None)
    bad = store.receive([Delivery(source="tv", raw=b'{"v":1,', received_at=datetime.now(UTC))])[0].alert_id
    until(lambda: all(store.show(one).state.is_terminal for one in (buy, out, bad)))
    state = draining.drain_alerts(return_state=True)
    assert state.name == "COMPLETED_ADJUSTED" and str(state.message).startswith("3 alerts read: 2 placed")
    assert str(state.message).endswith(f"not understood or not carried out: {bad}"), state.message
    assert [order["request"]["side"].lower() for order in venue.orders()] == ["buy", "sell"]
    run_id = state.state_details.flow_run_id
    names = [f"alert {buy} buy AAPL/USDT:USDT", f"alert {out} exit AAPL/USDT:USDT"]
    eventually(lambda: task_names(run_id) == names, timeout_s=60)
    text = logged(run_id)
    assert "Alerts of simulated" in text and f"alert {buy} buy AAPL/USDT:USDT: placed" in text
    assert SECRET_WORD not in text
    assert '"parameters":{"minutes":360,"lanes":4}' in text


def test_a_server_that_goes_away_keeps_no_alert_waiting(
    venue: Any, store: AlertStore, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the task run nor the page can be had: the order goes out all the same."""
    alerts: list[int] = []

    def lose_the_server(drain: Any, seen: Any) -> None:
        raise ConnectionError("no server")

    def no_task(name: str, kind: Any, function: Any) -> Any:
        raise ConnectionError("no server")

    monkeypatch.setattr("flows.watch_orders.prefect_step", no_task)
    monkeypatch.setattr(draining.Page, "refresh", lose_the_server)
    alerts.append(send(store, "one"))
    until(lambda: all(store.show(one).state.is_terminal for one in alerts))
    state = draining.drain_alerts(return_state=True)
    assert store.show(alerts[0]).state is S.PLACED and len(venue.orders()) == 1
    assert state.name == "Completed" and "looks ended early" in str(state.message)


def test_two_runs_at_once_do_each_alert_once(
    venue: Any, store: AlertStore, until: Callable[..., None], stack: Any
) -> None:
    wanted = [send(store, f"n{n}", quantity="1") for n in range(6)]
    until(lambda: all(store.show(one).state.is_terminal for one in wanted))
    settings = {PREFECT_API_URL: PREFECT_API_URL.value()}
    states: list[Any] = []

    def run() -> None:
        with temporary_settings(updates=settings):
            states.append(draining.drain_alerts(return_state=True))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert [state.name for state in states] == ["Completed"] * 2
    assert [store.show(one).state for one in wanted] == [S.PLACED] * 6
    assert len(venue.orders()) == 6 and venue.positions() == {"AAPLUSDT": "6"}


def test_an_alert_is_put_back_by_name_and_reason(venue: Any, store: AlertStore, until: Callable[..., None]) -> None:
    refused = send(store, "large", quantity="99")
    until(lambda: store.show(refused).state.is_terminal)
    draining.drain_alerts(return_state=True)
    assert store.show(refused).state is S.REFUSED
    state = replay_alert(refused, "Ann Ash", "the route allows more now", return_state=True)
    assert state.name == "Completed" and "is queued again under its key" in str(state.message)
    assert store.events(refused)[-1].worker.endswith("Ann Ash")
    missing = replay_alert(999, "Ann Ash", "a typing mistake", return_state=True)
    assert missing.name == "REFUSED" and "ALERT_UNKNOWN" in str(missing.message)
    twice = replay_alert(refused, "Ann Ash", "once more for luck", return_state=True)
    assert twice.name == "REFUSED" and "ALERT_NOT_MOVED" in str(twice.message)


def test_routes_of_a_block_are_checked_and_applied(stack: Any, pool_environment: Path) -> None:
    AlertRoutes(routes=ROUTES.read_text()).save("alert-routes", overwrite=True)
    AlertRoutes(routes="sources: [{name: tv, dialekt: auto}]").save("misspelt", overwrite=True)
    done = apply_routes("Ann Ash", return_state=True)
    assert done.message == "version 1 counts from now on: 1 sources and 3 routes", done.message
    assert "version 1 counts already" in str(apply_routes("Bob Birch", return_state=True).message)
    wrong = apply_routes("Ann Ash", "misspelt", return_state=True)
    assert wrong.name == "REFUSED" and "dialekt" in str(wrong.message)
    absent = apply_routes("Ann Ash", "not-there", return_state=True)
    assert absent.name == "REFUSED" and "alert-routes/not-there is missing" in str(absent.message)
