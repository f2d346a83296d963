"""In a real browser an operator opens the rebalance deployment, fills the form, submits, sees end and report."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId

from tests.browser import browser_page, press, reload_until, seen, shot, visit

if TYPE_CHECKING:
    from deployments.processes import Child
    from deployments.runs import Run
    from deployments.stack import Stack

DEPLOYMENT = "rebalance-bybit-simulated-main"
RUN_MS_MAX = 120_000

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with browser_page(tmp_path) as opened:
        yield opened


def runs_of(client: SyncPrefectClient, deployment: str) -> set[object]:
    """The ids of a deployment's runs."""
    found = client.read_deployment_by_name(deployment)
    wanted = DeploymentFilter(id=DeploymentFilterId(any_=[found.id]))
    return {run.id for run in client.read_flow_runs(deployment_filter=wanted, limit=200)}


def test_an_operator_rebalances_from_the_form(
    stack: Stack, worker: Child, run: Callable[..., Run], page: Page, client: SyncPrefectClient
) -> None:
    visit(page, f"{stack.addresses.ui_url}/deployments")
    page.get_by_placeholder("Search deployments").fill(DEPLOYMENT)  # the list shows ten at a time
    expect(page.get_by_role("link", name=DEPLOYMENT)).to_be_visible()
    shot(page, "1-deployments")

    page.get_by_role("link", name=DEPLOYMENT).click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("Custom run").click()
    expect(page.get_by_role("heading", name="Parameters")).to_be_visible()
    for label in ("account", "portfolio", "mode", "unfinished"):
        expect(page.get_by_label(f"Select {label}")).to_be_visible()
    expect(page.get_by_text("plan shows what would be traded and sends nothing")).to_be_visible()
    expect(page.get_by_label("Select account")).to_have_text("bybit-simulated-main")
    shot(page, "2-form")

    page.get_by_label("Select portfolio").click()
    expect(page.get_by_role("option", name="majors")).to_be_visible()
    page.get_by_role("option", name="us-stocks").click()
    page.get_by_label("Select mode").click()
    expect(page.get_by_role("option", name="plan")).to_be_visible()
    page.get_by_role("option", name="execute").click()
    expect(page.get_by_label("Select mode")).to_have_text("execute")
    expect(page.get_by_role("listbox")).to_have_count(0)
    shot(page, "3-form-filled")

    before = runs_of(client, f"rebalance/{DEPLOYMENT}")
    press(page.get_by_role("button", name="Submit"), until=lambda: runs_of(client, f"rebalance/{DEPLOYMENT}") - before)
    (started,) = runs_of(client, f"rebalance/{DEPLOYMENT}") - before
    visit(page, f"{stack.addresses.ui_url}/runs/flow-run/{started}")
    expect(page.get_by_text("Completed").first).to_be_visible(timeout=RUN_MS_MAX)
    expect(page.get_by_text("Rebalance bybit-simulated-main to us-stocks").first).to_be_visible()
    reload_until(page.get_by_text(re.compile(r"\d+ Task runs")))  # the server shows them some seconds late
    shot(page, "4-run")

    page.get_by_role("tab", name="Artifacts").click()
    page.locator(f"a[href$='/artifacts/key/{DEPLOYMENT}']").click()
    page.locator("a[href*='/artifacts/artifact/']").first.click()
    expect(seen(page, "Target reached")).to_be_visible()
    expect(seen(page, "AAPL/USDT:USDT")).to_be_visible()
    expect(page.locator("img[src^='data:image']").first).to_be_visible()
    shot(page, "5-report")
