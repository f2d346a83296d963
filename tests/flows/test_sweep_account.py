"""The sweep as a flow: how often it looks, what it tells, and what it ends as."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from brokers.clock import ManualClock
from brokers.ids import AccountId, Environment
from deployments import automations
from flows import sweep_account as sweeping
from flows.daily_statement import daily_statement
from flows.rebalance import rebalance
from ledger.engine import Ledger
from ledger.errors import LedgerUnavailable
from ledger.states import ReconciliationOutcome
from ledger.tables import OrderSend
from tasks.blocks import TradingAccount
from tasks.process import LEDGER_VARIABLE
from trading.first_run import latest_full_run
from trading.reconciliation import Findings
from trading.sweeping import SweepResult

AT = datetime(2026, 3, 1, tzinfo=UTC)
ACCOUNT = AccountId.parse("bybit.simulated.main")
O = ReconciliationOutcome  # noqa: E741


def result(outcome: ReconciliationOutcome) -> SweepResult:
    findings = Findings(breaks=(), pending=(), news={}, compared={"positions": 2, "venue_orders": 1})
    unread = outcome is O.NOT_RECONCILED
    return SweepResult(
        account_id=ACCOUNT,
        outcome=outcome,
        findings=None if unread else findings,
        started_at=AT,
        ended_at=AT,
        reason="VENUE_TIMEOUT" if unread else "",
    )


class Scripted:
    """Sweeps that end as they are told."""

    def __init__(self, clock: ManualClock, *outcomes: ReconciliationOutcome | Exception) -> None:
        self.clock, self.outcomes, self.at = clock, list(outcomes), [0.0]
        self.at.clear()

    def sweep(self) -> SweepResult:
        self.at.append(self.clock.monotonic())
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return result(outcome)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    class Log:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *arguments: None

    monkeypatch.setattr(sweeping, "get_run_logger", Log)


@pytest.mark.usefixtures("quiet")
def test_a_venue_that_does_not_answer_is_asked_less_often_and_a_ledger_that_is_away_ends_nothing() -> None:
    clock = ManualClock(AT)
    scripted = Scripted(clock, O.CLEAN, O.NOT_RECONCILED, O.NOT_RECONCILED, LedgerUnavailable("away"), O.CLEAN, O.CLEAN)
    published: list[SweepResult] = []
    seen = sweeping.sweep_until(
        scripted,  # type: ignore[arg-type]
        goes_on=lambda: bool(scripted.outcomes),
        clock=clock,
        pause_s=15.0,
        publish=published.append,
    )
    assert [after - before for before, after in zip(scripted.at, scripted.at[1:], strict=False)] == [15, 30, 60, 60, 15]
    assert (seen.sweeps, seen.unread, seen.failed) == (5, 2, 1)
    assert len(published) == 1, "the first sweep's page; nothing came or went later"
    state = sweeping.verdict(seen)
    assert state.name == "Completed"
    assert state.message == (
        "5 sweeps, 0 with breaks, 2 without an answer of the venue; last: 2 positions and 1 open orders agree; "
        "not compared: "
    )


@pytest.mark.parametrize(("last", "name"), [(O.BREAKS, "BREAKS_FOUND"), (O.NOT_RECONCILED, "NOT_RECONCILED")])
def test_a_run_ends_as_its_last_sweep_left_the_account(last: ReconciliationOutcome, name: str) -> None:
    assert sweeping.verdict(sweeping.Swept(sweeps=9, last=result(last))).name == name
    assert sweeping.verdict(sweeping.Swept(failed=3)).name == "NOT_RECONCILED"


def test_a_crashed_sweep_is_started_again_by_its_own_deployment() -> None:
    automation = automations.sweep_again()
    assert sweeping.sweep_account.name == automations.SWEEP_FLOW
    assert [action.type for action in automation.actions] == ["run-deployment"]


def test_the_first_order_of_a_new_account_comes_after_a_reconciliation_and_its_books_agree(
    venue: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    block = TradingAccount.load(venue.block)
    block.risk_overrides = {}
    block.save(venue.block, overwrite=True)
    state = rebalance(venue.block, "pair", mode="execute", return_state=True)
    assert state.name == "Completed", state.message
    with (
        Ledger.open(os.environ[LEDGER_VARIABLE], environment=Environment.SIMULATED) as ledger,
        ledger.read() as session,
    ):
        run = latest_full_run(session, f"bybit.simulated.{venue.name}")
        sends = session.exec(select(OrderSend)).all()
    assert run is not None and sends and all(run.ended_at < send.committed_at for send in sends)
    monkeypatch.setattr(sweeping, "slot_end", lambda now, minutes: now + timedelta(seconds=1))
    swept = sweeping.sweep_account(venue.block, seconds=5, return_state=True)
    assert swept.name == "Completed", swept.message
    assert "2 positions and 0 open orders agree" in str(swept.message)
    made = daily_statement(venue.block, return_state=True)
    assert made.name == "COMPLETED_ADJUSTED", "today is not over: " + str(made.message)
    written = next(tmp_path.glob(f"reports/daily-statement-{venue.block}/*/result.json")).read_text()
    assert json.loads(written)["adds_up"] and "currencies.csv" in {f.name for f in tmp_path.rglob("*.csv")}
    ahead = daily_statement(venue.block, day="2099-01-01", return_state=True)
    assert ahead.name == "REFUSED" and str(ahead.message).startswith("STATEMENT_DAY_AHEAD")
