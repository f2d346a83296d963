"""A rebalance whose process is killed (SIGKILL) at each step of the send path, and the next process that ends it."""

from __future__ import annotations

import signal
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from ledger.states import PlanState, ReconciliationOutcome
from tests.trading.rebalance_worker import TARGETS, die
from tests.trading.simulated import QUICK, book, end_leases, stage
from trading.plans import rebalance, resume_plans
from trading.reconciliation import Tolerances
from trading.reconciling import reconcile_account

POINTS = ["C05", "C06", "C07", "C08", "C09", "C10", "C11", "C15", "C16", "C17", "C18", "C09:2", "C16:2"]


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_the_next_process_completes_the_plan_without_a_duplicate(tmp_path: Path, point: str) -> None:
    with stage(tmp_path, limits=QUICK) as on:
        assert die(point, on.sim.url, on.ledger_url, "run-1") == -signal.SIGKILL
        end_leases(on.ledger_url)
        runtime = on.open_again()
        (done,) = resume_plans(runtime)
        assert done.state is PlanState.COMPLETED, done
        assert len(on.venue_orders()) == len(TARGETS)
        assert on.positions() == {"AAPLUSDT": Decimal("199.5")}
        again = rebalance(runtime, book(TARGETS), business_key="run-1")
        assert (again.is_resumed, again.state) == (True, PlanState.COMPLETED)
        assert len(on.venue_orders()) == len(TARGETS)
        found = reconcile_account(runtime, tolerances=Tolerances(guard=timedelta(0)))
        assert found.outcome is ReconciliationOutcome.CLEAN, found.findings
