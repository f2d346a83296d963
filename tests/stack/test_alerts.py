"""From the webhook to the venue through a real worker, a drain that is killed on the way, and a look at the page."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page, expect
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter

from brokers.ids import Environment
from deployments import alerting, demo_alerts, runs
from ledger.engine import Ledger
from ledger.inbox import AlertStore, InboxState
from tests.browser import reload_until, seen, shot, visit
from tests.proof.process_prefect import processes_of
from tests.stack.test_browser import page as page

if TYPE_CHECKING:
    from deployments.processes import Child
    from deployments.stack import Stack
    from tests.conftest import Eventually

DRAIN = demo_alerts.DEPLOYMENT
pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


@pytest.fixture
def store(stack: Stack) -> Iterator[AlertStore]:
    url = stack.home.ledger_url(Environment.SIMULATED)
    with Ledger.open(url, environment=Environment.SIMULATED) as ledger:
        yield AlertStore(ledger)


def send(stack: Stack, key: str, **fields: str) -> int:
    url = alerting.webhook_url(stack.home, stack.addresses.receiver_url)
    return demo_alerts._post(url, key, demo_alerts._body(id=key, **fields)).alert_id


def knows_the_token(stack: Stack) -> bool:
    """Whether the receiver has read the token that the stack has just made; it reads them every two seconds."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{stack.addresses.receiver_url}/metrics", timeout=5) as answer:
        return f'source="{alerting.SOURCE}"' in answer.read().decode()


def test_a_killed_drain_is_started_again_and_an_operator_sees_its_alerts(
    stack: Stack, client: SyncPrefectClient, worker: Child, store: AlertStore, eventually: Eventually, page: Page
) -> None:
    deployment = client.read_deployment_by_name(DRAIN)
    mine = FlowRunFilter.model_validate({"deployment_id": {"any_": [deployment.id]}})

    def running() -> list[Any]:
        stack.supervisor.check()
        return [run for run in client.read_flow_runs(flow_run_filter=mine) if run.state_name == "Running"]

    first = runs.start(client, DRAIN)
    eventually(lambda: knows_the_token(stack))
    bought = send(stack, "stack-buy", action="buy", quantity="3")
    eventually(lambda: store.show(bought).state is InboxState.PLACED, timeout_s=60.0)
    (process,) = processes_of(first)
    os.kill(process.pid, signal.SIGKILL)
    left = send(stack, "stack-exit", action="exit")
    eventually(lambda: store.show(left).state is InboxState.PLACED, timeout_s=90.0)
    (second,) = running()
    assert second.id != first and second.name == "Drain the alerts of simulated"
    orders = stack.control("orders", venue="tradestation", account=demo_alerts.VENUE_ACCOUNT)
    assert [(str(order["request"]["side"]).lower(), order["filled_qty"]) for order in orders] == [
        ("buy", "3"),
        ("sell", "3"),
    ]

    visit(page, f"{stack.addresses.ui_url}/runs/flow-run/{second.id}?tab=TaskRuns")
    reload_until(seen(page, f"alert {left} exit AAPL"))
    shot(page, "6-alerts-tasks")

    page_key = "alerts-simulated"  # written by itself some seconds after a drain has begun

    def is_written() -> bool:
        found = client.read_artifacts(artifact_filter=ArtifactFilter.model_validate({"key": {"any_": [page_key]}}))
        return any(artifact.flow_run_id == second.id for artifact in found)

    eventually(is_written, timeout_s=60.0)
    visit(page, f"{stack.addresses.ui_url}/artifacts/key/{page_key}")
    page.locator("a[href*='/artifacts/artifact/']").first.click()
    expect(seen(page, "Alerts of simulated")).to_be_visible()
    expect(seen(page, "exit AAPL")).to_be_visible()
    expect(page.locator("img[src^='data:image']").nth(1)).to_be_visible()  # counts by end, and the way to the order
    shot(page, "7-alerts-page")
    runs.cancel(client, second.id)
    eventually(lambda: not running(), timeout_s=60.0)
