"""Plans that a dead run left: reconciled first, and only where every order's outcome is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from sqlmodel import select

from flows.resume_orders import continue_plans, finish_orders
from ledger.states import IntentState, PlanState
from ledger.tables import ReconciliationRun
from tests.trading.simulated import Interrupted, InterruptingStep, Stage, book, end_leases, stage
from trading.orders import SweepReport
from trading.plans import begun_plans, rebalance
from trading.rebalancing.portfolio import OrderStyle
from trading.runtime import Runtime
from trading.starting import NotReadyToTrade
from trading.steps import StepKind, call_directly

TARGETS = {"AAPL/USDT:USDT": "0.2", "MSFT/USDT:USDT": "0.2"}


@contextmanager
def interrupted(directory: Path, *, lost: bool = False) -> Iterator[Stage]:
    """A process that died after the first order of a plan, whose request the venue may never have got."""
    with stage(directory, reconciled_age_s_max=Decimal("0.001")) as opened:
        if lost:
            opened.sim.control.fault("drop", path="/v5/order/create", times=1)
        dying = InterruptingStep(1, after=True, kinds={StepKind.ADVANCE})
        with pytest.raises(Interrupted):
            rebalance(opened.runtime, book(TARGETS, order_style=OrderStyle.LIMIT), business_key="monday", step=dying)
        end_leases(opened.ledger_url)
        yield opened


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Stage]:
    with interrupted(tmp_path) as opened:
        yield opened


def finished(runtime: Runtime) -> SweepReport:
    return finish_orders(runtime, timeout_s=5.0, step=call_directly)


def runs(runtime: Runtime) -> int:
    with runtime.ledger.read() as session:
        return len(session.exec(select(ReconciliationRun)).all())


def test_the_account_is_reconciled_before_an_interrupted_plan_goes_on(on: Stage) -> None:
    runtime = on.open_again()
    swept = finished(runtime)
    assert runs(runtime) == 0 and len(begun_plans(runtime)) == 1
    (done,) = continue_plans(runtime, swept, step=call_directly)
    assert done.state is PlanState.COMPLETED and runs(runtime) == 1
    assert len(on.sim.control.orders("main")) == 2
    assert continue_plans(runtime, swept, step=call_directly) == () and runs(runtime) == 1, "nothing is left to do"


def test_no_plan_goes_on_where_the_venue_cannot_be_compared(on: Stage) -> None:
    runtime = on.open_again()
    swept, orders = finished(runtime), len(on.sim.control.orders("main"))
    on.sim.control.fault("status", path="/v5/execution/list", status=503, execute=False, times=50)
    with pytest.raises(NotReadyToTrade, match="not reconciled"):
        continue_plans(runtime, swept, step=call_directly)
    assert len(on.sim.control.orders("main")) == orders and len(begun_plans(runtime)) == 1


def test_no_plan_goes_on_while_the_outcome_of_an_order_is_not_known(tmp_path: Path) -> None:
    with interrupted(tmp_path, lost=True) as on:
        runtime = on.open_again()
        swept = finish_orders(runtime, timeout_s=0.0, step=call_directly)
        assert [view.state for view in swept.advanced] == [IntentState.UNKNOWN]
        assert continue_plans(runtime, swept, step=call_directly) == ()
        assert len(begun_plans(runtime)) == 1 and runs(runtime) == 0
