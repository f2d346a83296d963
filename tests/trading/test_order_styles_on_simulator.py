"""Order styles end to end against a simulated Bybit, on the venue's own clock: waits pass at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ledger.states import PlanState, ReconciliationOutcome
from simulators.testing import small_config
from tests.trading.simulated import Interrupted, InterruptingStep, Stage, VenueClock, book, stage
from tests.trading.simulated_tradestation import ON_ITS_OWN_CLOCK, START
from trading.plans import cancel_plan, find_plan, rebalance
from trading.reconciliation import Tolerances
from trading.reconciling import reconcile_account
from trading.steps import StepKind

D = Decimal
AAPL = "AAPL/USDT:USDT"
WANTED = D("249.37")
LIVE = ("new", "open", "partially_filled")
PATIENT = book({AAPL: "0.5"}, order_style="limit_then_market", reprice_steps=1, reprice_wait_s=5)


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path, clock=VenueClock(START), config=small_config(clock=ON_ITS_OWN_CLOCK)) as opened:
        yield opened


def assert_clean(on: Stage) -> None:
    on.clock.wait(60)  # on this clock nothing passes by itself, and what happens at the very moment of a look is later
    found = reconcile_account(on.runtime, tolerances=Tolerances(guard=timedelta(0)))
    assert found.outcome is ReconciliationOutcome.CLEAN, [
        (b.kind.value, dict(b.evidence)) for b in found.findings.breaks
    ]


def test_an_order_that_nobody_takes_rests_its_time_and_then_crosses(on: Stage) -> None:
    began = on.clock.now()
    done = rebalance(on.runtime, PATIENT, business_key="run-1")
    assert done.state is PlanState.COMPLETED
    orders = on.venue_orders()
    assert [order.request.time_in_force.value.lower() for order in orders] == ["gtc", "ioc"]
    assert on.positions() == {"AAPLUSDT": WANTED}
    assert (on.clock.now() - began).total_seconds() >= 10
    assert_clean(on)


def test_an_order_that_keeps_its_place_is_looked_at_once_a_step(on: Stage) -> None:
    """A venue may allow thirty requests for quotes in a minute."""
    reads: list[str] = []

    def step(name: str, kind: StepKind, function: Any) -> Any:
        reads.extend([name] if name.startswith("read the quote") else [])
        return function()

    book_ = book({AAPL: "0.5"}, order_style="limit_then_market", reprice_steps=3, reprice_wait_s=5)
    assert rebalance(on.runtime, book_, business_key="run-1", step=step).state is PlanState.COMPLETED
    assert [order.request.time_in_force.value.lower() for order in on.venue_orders()] == ["gtc", "ioc"]
    assert len(reads) <= 8, reads  # the plan, the order, each of four steps' ends, the order that crosses, the proof


def test_an_order_is_repriced_where_the_touch_has_moved_and_two_never_live_at_once(on: Stage) -> None:
    def step(name: str, kind: StepKind, function: Any) -> Any:
        if name.startswith("Advance") and len(on.venue_orders()) == 1 and not moved:
            moved.append(on.sim.control.set_price("AAPLUSDT", "200.5"))
        live = [order for order in on.venue_orders() if order.status.value.lower() in LIVE]
        assert len(live) <= 1
        return function()

    moved: list[None] = []
    done = rebalance(on.runtime, PATIENT, business_key="run-1", step=step)
    assert done.state is PlanState.COMPLETED
    prices = [order.request.price for order in on.venue_orders()]
    assert len(prices) == 3 and len(set(prices)) == 3
    assert on.positions() == {"AAPLUSDT": WANTED}


def test_a_resting_order_that_is_taken_saves_the_spread(on: Stage) -> None:
    def step(name: str, kind: StepKind, function: Any) -> Any:
        if name.startswith("Advance") and len(on.venue_orders()) == 1 and not moved:
            moved.append(on.sim.control.set_price("AAPLUSDT", "199.5"))  # through the order
        return function()

    moved: list[None] = []
    done = rebalance(on.runtime, PATIENT, business_key="run-1", step=step)
    assert done.state is PlanState.COMPLETED
    assert done.result is not None and done.result.shortfall < 0
    assert len(on.venue_orders()) == 1
    assert_clean(on)


def test_killed_while_an_order_rests_the_next_process_follows_that_order(on: Stage) -> None:
    with pytest.raises(Interrupted):
        rebalance(on.runtime, PATIENT, business_key="run-1", step=_UntilResting(on))
    assert len(on.venue_orders()) == 1
    on.clock.wait(40)  # its lease is over, and so is the time to rest
    done = rebalance(on.open_again(), PATIENT, business_key="run-1")
    assert done.state is PlanState.COMPLETED
    assert [order.request.time_in_force.value.lower() for order in on.venue_orders()] == ["gtc", "ioc"]
    assert on.positions() == {"AAPLUSDT": WANTED}


class _UntilResting(InterruptingStep):
    """A process that dies once the order is in the book."""

    def __init__(self, on: Stage) -> None:
        super().__init__(10**9, after=True)
        self._on = on

    def __call__(self, name: str, kind: StepKind, function: Any) -> Any:
        result = function()
        if self._on.venue_orders():
            raise Interrupted(name)
        return result


def test_a_cancelled_plan_takes_its_resting_order_back(on: Stage) -> None:
    with pytest.raises(Interrupted):
        rebalance(on.runtime, PATIENT, business_key="run-1", step=_UntilResting(on))
    stored = find_plan(on.runtime.ledger, on.runtime.account_id, "run-1")
    assert stored is not None
    on.clock.wait(40)
    ended = cancel_plan(on.open_again(), stored.plan_id, reason="no longer wanted")
    assert ended.state is PlanState.CANCELLED_MID_RUN
    (order,) = on.venue_orders()
    assert order.status.value.lower().startswith("cancel")
    assert on.positions() == {}


def test_slices_are_sent_one_after_the_other_with_their_pause(on: Stage) -> None:
    portfolio = book({AAPL: "0.5"}, order_style="sliced", slices=3, slice_interval_s=60)
    on.sim.control.fault("partial_fill", path="/v5/order/create", ratio="0.5", times=1)
    began = on.clock.now()
    done = rebalance(on.runtime, portfolio, business_key="run-1")
    assert done.state is PlanState.COMPLETED
    quantities = [order.request.qty for order in on.venue_orders()]
    assert len(quantities) == 3
    assert quantities[1] > quantities[0]  # with what the first one left
    assert (on.clock.now() - began).total_seconds() >= 120
    assert on.positions() == {"AAPLUSDT": WANTED}
    assert_clean(on)
