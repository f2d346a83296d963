"""The job over a subscription, in this process, against the simulator: what a form or a command line decides of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter
from prefect.client.schemas.objects import State
from prefect.flow_runs import resume_flow_run

from brokers.ids import Environment
from flows.rebalance_portfolio import rebalance_portfolio
from ledger.auditing import verify_audit
from ledger.engine import Ledger
from ledger.states import RunState
from tasks.blocks import SubscriptionBlock
from tasks.portfolio_blocks import SubscribedRow
from tests.browser import browser_page, press, shot, visit
from trading.runs import Approval, Decision, RunHistory, decide_run, run_history

YES = {"decision": "approve", "approver": "ann", "reason": "looks right"}


@pytest.fixture
def solo(venue: Any) -> str:
    """A subscription of the test's account to the portfolio `pair`, which a person must approve."""
    name = f"solo-{venue.name}"
    SubscriptionBlock(
        subscription_name=name, portfolio="pair", accounts=[SubscribedRow(account=venue.block)], approval="always"
    ).save(name, overwrite=True)
    return name


@contextmanager
def running(name: str, key: str) -> Iterator[Callable[[], State[Any]]]:
    """The job in a thread of its own, as a worker's process would have it; the call waits for its end."""
    ended: list[State[Any]] = []

    def run() -> None:
        ended.append(rebalance_portfolio(name, mode="execute", key=key, return_state=True))

    thread = threading.Thread(target=copy_context().run, args=(run,), daemon=True)
    thread.start()

    def wait() -> State[Any]:
        thread.join(90)
        assert ended, "the job has not ended"
        return ended[0]

    yield wait
    thread.join(90)


def paused_run(name: str) -> Any:
    with get_client(sync_client=True) as client:
        wanted = FlowRunFilter.model_validate(
            {"name": {"any_": [f"Rebalance {name}"]}, "state": {"type": {"any_": ["PAUSED"]}}}
        )
        found = client.read_flow_runs(flow_run_filter=wanted)
    return found[0] if found else None


def runs_in(database: Path, name: str) -> RunHistory:
    with opened(database) as ledger:
        return run_history(ledger, subscription=name)


def opened(database: Path) -> Ledger:
    return Ledger.open(f"sqlite:///{database}", environment=Environment.SIMULATED)


def approve_as_a_person(page: Page, address: str, run_hash: str, *, is_over: Callable[[], object]) -> None:
    """Open the paused run, read the plan and its hash in the form, fill it in and press Resume."""
    visit(page, address)
    page.get_by_role("button", name="Open menu").click()
    page.get_by_role("menuitem", name="Resume").click()
    form = page.get_by_role("dialog")
    expect(form.get_by_text(run_hash[:12]).first).to_be_visible()
    form.get_by_label("Select Decision").click()
    page.get_by_role("option", name="approve").click()
    form.get_by_label("Your name").fill(YES["approver"])
    form.get_by_label("Reason").fill(YES["reason"])
    shot(page, "6-approval")
    press(form.get_by_role("button", name="Resume"), until=is_over)


@pytest.mark.browser
def test_the_form_approves_the_very_plan_that_it_shows(
    solo: str, venue: Any, pool_environment: Path, eventually: Any, tmp_path: Path
) -> None:
    planned = rebalance_portfolio(solo, return_state=True)
    assert "2 orders on 1 accounts; nothing was sent" in str(planned.message)
    assert runs_in(pool_environment, solo).lines == ()
    with running(solo, "monday") as wait:
        run = eventually(lambda: paused_run(solo), timeout_s=60)
        (line,) = runs_in(pool_environment, solo).lines
        assert (line.state.value, venue.orders()) == ("awaiting_approval", [])
        for wrong in ({**YES, "decision": "maybe"}, {**YES, "approver": ""}, {"approver": "ann"}):
            with pytest.raises(RuntimeError, match="Validation failed"):
                resume_flow_run(run.id, run_input=wrong)

        def is_over() -> bool:
            return runs_in(pool_environment, solo).lines[0].state is not RunState.AWAITING_APPROVAL

        with browser_page(tmp_path) as page:
            approve_as_a_person(
                page, f"{venue.stack.addresses.ui_url}/runs/flow-run/{run.id}", line.run_hash, is_over=is_over
            )
        state = wait()
    assert state.name == "Completed", state.message
    assert "2 of 2 legs filled in full" in str(state.message)
    (line,) = runs_in(pool_environment, solo).lines
    assert (line.decided_by, line.legs_whole) == ("ann", 2)
    assert Decimal(venue.positions()["AAPLUSDT"]) > 0
    with opened(pool_environment) as ledger, ledger.read() as session:
        assert verify_audit(session).heads["runs"][0] == 1
    with get_client(sync_client=True) as client:
        keys = [f"rebalance-portfolio-{solo}{part}-simulated" for part in ("", "-plan", "-history")]
        found = client.read_artifacts(artifact_filter=ArtifactFilter.model_validate({"key": {"any_": keys}}))
    texts = {artifact.key: str(artifact.data) for artifact in found}
    assert set(texts) == set(keys)
    assert line.run_hash[:12] in texts[f"rebalance-portfolio-{solo}-plan-simulated"]
    assert "Tracking error over time" in texts[f"rebalance-portfolio-{solo}-history-simulated"]


def test_a_decision_on_the_command_line_lets_the_waiting_job_go_on(
    solo: str, venue: Any, pool_environment: Path, eventually: Any
) -> None:
    with running(solo, "tuesday") as wait:
        eventually(lambda: paused_run(solo), timeout_s=60)
        (line,) = runs_in(pool_environment, solo).lines
        with opened(pool_environment) as ledger:
            said = Approval(decision=Decision.REJECT, by="bob", reason="not today", run_hash=line.run_hash)
            decide_run(ledger, line.run_id, said)
        state = wait()
    assert (state.name, state.type.value) == ("REJECTED", "CANCELLED")
    assert "by bob: not today" in str(state.message)
    assert venue.orders() == []
    again = rebalance_portfolio(solo, mode="execute", key="tuesday", return_state=True)
    assert (again.name, venue.orders()) == ("REJECTED", [])
