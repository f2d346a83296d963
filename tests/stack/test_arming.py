"""Two people arm a pool: one starts the job, the other approves in a real browser (screenshots: test-artifacts/)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect
from prefect.client.orchestration import SyncPrefectClient
from sqlmodel import select

from brokers.ids import Environment
from deployments import runs
from ledger.auditing import verify_audit
from ledger.engine import Ledger
from ledger.tables import ArmingRow
from tests.browser import visit
from tests.stack.test_browser import RUN_MS_MAX, page, press, shot  # noqa: F401  a fixture
from trading.arming import People, Role
from trading.arming.people import code_of, read_person_key
from trading.arming.record import grouped

if TYPE_CHECKING:
    from deployments.processes import Child
    from deployments.stack import Stack
    from tests.conftest import Eventually

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
DEPLOYMENT = "arm-production/arm-production-bybit-simulated-main"
WISH = {"requested_by": "ann", "reason": "practice of arming", "notional": "25000", "hours": 2}


def test_another_person_approves_in_the_browser(
    stack: Stack,
    worker: Child,
    client: SyncPrefectClient,
    page: Page,  # noqa: F811
    eventually: Eventually,
) -> None:
    people = People(stack.home.secrets)
    files = {name: people.enrol(name) for name in ("ann", "bob")}
    run_id = runs.start(client, DEPLOYMENT, WISH)

    def state() -> str:
        found = client.read_flow_run(run_id).state
        return "" if found is None else found.name or ""

    eventually(lambda: state() == "Suspended", timeout_s=120)
    url = stack.home.ledger_url(Environment.SIMULATED)
    with Ledger.open(url, environment=Environment.SIMULATED) as ledger, ledger.read() as session:
        (request,) = session.exec(select(ArmingRow))
    record = request.record_sha256

    def code(name: str, role: Role) -> str:
        return code_of(read_person_key(files[name]), name=name, role=role, record_sha256=record)

    visit(page, f"{stack.addresses.ui_url}/runs/flow-run/{run_id}")
    expect(page.get_by_text("Suspended").first).to_be_visible()
    _open_resume(page)
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text(grouped(record))).to_be_visible()
    expect(dialog.get_by_text("bybit.simulated.main")).to_be_visible()
    shot(page, "arm-1-form")
    dialog.get_by_label("Select decision").click()
    page.get_by_role("option", name="approve").click()
    for label, text in (
        ("Approver", "bob"),
        ("Your code", code("bob", Role.APPROVE)),
        ("Code of the person who asks", code("ann", Role.REQUEST)),
    ):
        dialog.get_by_label(label, exact=False).first.fill(text)
    shot(page, "arm-2-filled")
    press(dialog.get_by_role("button", name="Resume"), until=lambda: state() != "Suspended")
    visit(page, f"{stack.addresses.ui_url}/runs/flow-run/{run_id}")
    expect(page.get_by_text("Completed").first).to_be_visible(timeout=RUN_MS_MAX)
    shot(page, "arm-3-armed")

    ended = client.read_flow_run(run_id).state
    assert ended is not None and "is armed until" in (ended.message or ""), ended
    with Ledger.open(url, environment=Environment.SIMULATED) as ledger, ledger.read() as session:
        steps = [(row.state, row.requested_by, row.approved_by) for row in session.exec(select(ArmingRow))]
        assert verify_audit(session).is_whole
    assert steps == [("requested", "ann", ""), ("armed", "ann", "bob")]


def _open_resume(page: Page) -> None:  # noqa: F811
    """The UI has no button for it: it is in the menu of the three dots."""
    page.get_by_role("button", name="Open menu").or_(
        page.locator("main button:has(svg.lucide-ellipsis-vertical)")
    ).first.click()
    page.get_by_role("menuitem", name="Resume").click()
