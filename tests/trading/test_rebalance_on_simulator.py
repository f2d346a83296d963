"""Rebalances end to end against a simulated Bybit: what the venue holds at the end is the only truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from brokers.clock import ManualClock
from brokers.ids import InstrumentId
from ledger.errors import ConflictingEvidence
from ledger.states import IntentState, PlanState, ReconciliationOutcome
from simulators.core.config import AccountConfig
from simulators.core.types import PositionMode
from simulators.testing import small_config
from tests.trading.simulated import Interrupted, InterruptingStep, Stage, book, end_leases, stage
from trading.plan_store import plan_lease, read_progress
from trading.plans import (
    AnotherPlanRuns,
    ExecutionLimits,
    PlanBusy,
    PlanKeyTaken,
    PlanProgress,
    PlanStale,
    PlanUnfinished,
    RebalanceMode,
    cancel_plan,
    execute_plan,
    find_plan,
    get_plan,
    make_plan,
    rebalance,
    resume_plans,
    verify_plan,
)
from trading.rebalancing.verdict import PlanResult, Verdict
from trading.reconciliation import Tolerances
from trading.reconciling import reconcile_account
from trading.steps import StepKind

D = Decimal
AAPL, MSFT, BTC, ETH = "AAPL/USDT:USDT", "MSFT/USDT:USDT", "BTC/USDT", "ETH/USDT"
AT_ONCE = Tolerances(guard=timedelta(0))


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as opened:
        yield opened


def verdicts(result: PlanResult | None) -> dict[str, str]:
    assert result is not None
    return {str(line.instrument_id): line.verdict.value for line in result.lines}


def assert_reconciled(on: Stage) -> None:
    found = reconcile_account(on.runtime, tolerances=AT_ONCE)
    assert (found.outcome, found.reason) == (ReconciliationOutcome.CLEAN, ""), found.findings


def test_long_short_and_spot_reach_their_targets(on: Stage) -> None:
    seen: list[PlanProgress] = []
    targets = {AAPL: "0.5", MSFT: "-0.3", BTC: "0.2"}
    done = rebalance(on.runtime, book(targets), business_key="run-1", on_progress=seen.append)
    assert done.state is PlanState.COMPLETED
    assert set(verdicts(done.result).values()) == {"reached"}
    assert done.result is not None
    assert done.result.fees > 0 < done.result.shortfall
    assert done.result.drift_after < D("0.002") < D("0.4") < done.result.drift_before
    assert on.positions() == {"AAPLUSDT": D("249.37"), "MSFTUSDT": D("-74.81")}
    assert on.wallet("BTC") == D("0.3321675")  # the fee of a spot purchase is taken out of the coin
    assert seen[-1].legs == seen[-1].legs_over == 3
    assert_reconciled(on)


def test_the_same_key_twice_is_one_execution(on: Stage) -> None:
    portfolio = book({AAPL: "0.5", MSFT: "-0.3"})
    first = rebalance(on.runtime, portfolio, business_key="run-1")
    on.sim.control.set_price("AAPLUSDT", "250")
    second = rebalance(on.open_again(), portfolio, business_key="run-1")
    assert second.is_resumed
    assert (second.state, second.result) == (first.state, first.result)
    assert len(on.venue_orders()) == 2
    assert len(on.sim.control.requests(path="/v5/order/create")) == 2
    with pytest.raises(PlanKeyTaken, match="run-1"):
        rebalance(on.runtime, book({AAPL: "0.5"}, name="other"), business_key="run-1")


def test_a_long_line_becomes_short_in_two_legs(on: Stage) -> None:
    rebalance(on.runtime, book({AAPL: "0.4"}), business_key="long")
    done = rebalance(on.runtime, book({AAPL: "-0.4"}), business_key="short")
    assert done.state is PlanState.COMPLETED
    assert [order.request.reduce_only for order in on.venue_orders()] == [False, True, False]
    assert on.positions()["AAPLUSDT"] < -190


def test_increases_wait_for_the_money_of_reductions(on: Stage) -> None:
    rebalance(on.runtime, book({BTC: "0.95", ETH: "0"}), business_key="one")
    done = rebalance(on.runtime, book({BTC: "0", ETH: "0.95"}), business_key="two")
    assert done.state is PlanState.COMPLETED
    assert [(o.request.symbol, o.request.side.value) for o in on.venue_orders()] == [
        ("BTCUSDT", "buy"),
        ("BTCUSDT", "sell"),
        ("ETHUSDT", "buy"),
    ]
    assert on.wallet("BTC") < D("0.000002")
    assert_reconciled(on)


def test_a_fully_invested_book_spends_its_last_money_without_a_refusal(on: Stage) -> None:
    done = rebalance(on.runtime, book({BTC: "0.6", ETH: "0.4"}, cash_buffer="0.001", collar="0.02"), business_key="all")
    assert done.state in (PlanState.COMPLETED, PlanState.COMPLETED_ADJUSTED)
    assert "refused" not in verdicts(done.result).values()
    assert done.result is not None
    assert D(0) < on.wallet("USDT") < D(500)


def test_partial_fills_are_followed_by_further_rounds(on: Stage) -> None:
    on.sim.control.fault("partial_fill", path="/v5/order/create", ratio="0.5", times=2)
    done = rebalance(on.runtime, book({AAPL: "0.5"}), business_key="run-1")
    assert done.state is PlanState.COMPLETED
    assert done.result is not None
    assert done.result.legs[0].orders == 3
    assert on.positions() == {"AAPLUSDT": D("249.37")}
    assert_reconciled(on)


def test_rounds_are_bounded_and_what_is_left_is_said(on: Stage) -> None:
    on.sim.control.fault("partial_fill", path="/v5/order/create", ratio="0.5", times=None)
    done = rebalance(on.runtime, book({AAPL: "0.5"}, rounds_max=2), business_key="run-1")
    assert done.state is PlanState.COMPLETED_ADJUSTED
    assert done.result is not None
    (line,) = done.result.lines
    assert line.verdict is Verdict.RESIDUAL
    assert line.reasons == ("ROUNDS_USED_UP",)
    assert line.venue_quantity == on.positions()["AAPLUSDT"]
    assert len(on.venue_orders()) == 2


def test_a_refused_leg_is_recorded_and_stops_no_other(on: Stage) -> None:
    on.sim.control.fault(
        "error",
        path="/v5/order/create",
        fields={"symbol": "MSFTUSDT"},
        code=110007,
        message="ab not enough",
        times=None,
    )
    done = rebalance(on.runtime, book({AAPL: "0.5", MSFT: "0.3"}), business_key="run-1")
    assert done.state is PlanState.COMPLETED_ADJUSTED
    assert verdicts(done.result) == {AAPL: "reached", MSFT: "refused"}
    assert done.result is not None
    refused = done.result.lines[1]
    assert refused.reasons == ("VENUE_INSUFFICIENT_FUNDS",)
    assert "ab not enough" in refused.detail
    assert on.positions() == {"AAPLUSDT": D("249.37")}


def test_when_everything_is_refused_the_plan_failed(on: Stage) -> None:
    on.sim.control.fault("error", path="/v5/order/create", code=110007, message="ab not enough", times=None)
    done = rebalance(on.runtime, book({AAPL: "0.5"}), business_key="run-1")
    assert done.state is PlanState.FAILED


def test_risk_denials_are_told_apart_from_the_venue(tmp_path: Path) -> None:
    with stage(tmp_path, order_notional_max=D(1000)) as on:
        done = rebalance(on.runtime, book({AAPL: "0.5"}), business_key="run-1")
        assert done.state is PlanState.FAILED or done.state is PlanState.COMPLETED_ADJUSTED
        assert done.result is not None
        assert done.result.lines[0].reasons == ("RISK_ORDER_NOTIONAL",)
        assert on.venue_orders() == []


def test_an_answer_lost_after_execution_leaves_one_order(on: Stage) -> None:
    on.sim.control.fault("execute_then_drop", path="/v5/order/create", times=1)
    done = rebalance(on.runtime, book({AAPL: "0.5", MSFT: "-0.3"}), business_key="run-1")
    assert done.state is PlanState.COMPLETED
    assert len(on.venue_orders()) == 2
    assert on.positions() == {"AAPLUSDT": D("249.37"), "MSFTUSDT": D("-74.81")}
    assert_reconciled(on)


def test_stale_positions_are_read_again_and_never_cause_an_order(on: Stage) -> None:
    stored = make_plan(on.runtime, book({AAPL: "0.5"}), business_key="run-1")
    assert execute_plan(on.runtime, stored.plan_id).is_finished
    on.sim.control.fault("stale", path="/v5/position/list", stale_s=600, times=3)
    result = verify_plan(on.runtime, stored.plan_id)
    assert result.state is PlanState.COMPLETED
    assert result.reads > 1
    assert len(on.venue_orders()) == 1


def test_hedge_mode_names_position_sides(tmp_path: Path) -> None:
    account = AccountConfig(name="main", balances={"USDT": D(100_000)}, position_mode=PositionMode.HEDGE)
    with stage(tmp_path, config=small_config(accounts=(account,))) as on:
        assert rebalance(on.runtime, book({AAPL: "0.4"}), business_key="long").state is PlanState.COMPLETED
        done = rebalance(on.runtime, book({AAPL: "-0.2"}), business_key="short")
        assert done.state is PlanState.COMPLETED
        held = {p.position_side.value: p.qty for p in on.sim.control.positions("main") if p.qty}
        assert set(held) == {"short"}


SWAP = book({AAPL: "0.4", BTC: "0.3"})
WRITING = frozenset(StepKind) - {StepKind.READ}  # where an interruption matters


def test_interrupted_at_each_writing_step_the_next_run_completes_without_a_duplicate(tmp_path: Path) -> None:
    """After the first, the second and so on, until a run has no further step: how many there are may vary."""
    for number in count(1):
        (tmp_path / str(number)).mkdir()
        with stage(tmp_path / str(number)) as on:
            interrupting = InterruptingStep(number, after=True, kinds=WRITING)
            with suppress(Interrupted):
                rebalance(on.runtime, SWAP, business_key="run-1", step=interrupting)
            was_interrupted = interrupting.calls == number
            done = rebalance(on.open_again(), SWAP, business_key="run-1")
            assert done.state is PlanState.COMPLETED, (number, done)
            assert len(on.venue_orders()) == 2, number
            assert on.positions() == {"AAPLUSDT": D("199.5")}, number
        if not was_interrupted:
            break
    assert number > 7


def test_a_plan_only_run_sends_nothing_and_a_later_run_with_its_key_executes_it(on: Stage) -> None:
    planned = rebalance(on.runtime, book({AAPL: "0.5"}), business_key="run-1", mode=RebalanceMode.PLAN)
    assert planned.state is PlanState.PLANNED
    assert planned.result is None
    assert on.venue_orders() == []
    done = rebalance(on.runtime, book({AAPL: "0.5"}), business_key="run-1")
    assert done.is_resumed
    assert done.plan.plan == planned.plan.plan
    assert done.state is PlanState.COMPLETED


def test_a_plan_inside_its_bands_completes_without_an_order(on: Stage) -> None:
    rebalance(on.runtime, book({AAPL: "0.5"}), business_key="run-1")
    again = rebalance(on.runtime, book({AAPL: "0.49"}, drift={"absolute": "0.05"}, tolerance="0.001"), business_key="2")
    assert again.state is PlanState.COMPLETED
    assert verdicts(again.result) == {AAPL: "within_band"}
    assert len(on.venue_orders()) == 1


def test_a_stale_plan_is_not_begun(on: Stage) -> None:
    stored = make_plan(on.runtime, book({AAPL: "0.5"}, plan_age_s_max=60), business_key="run-1")
    later = replace(on.runtime, clock=ManualClock(on.runtime.clock.now() + timedelta(seconds=61)))
    with pytest.raises(PlanStale, match="plan_age_s_max 60"):
        execute_plan(later, stored.plan_id)
    assert get_plan(on.runtime.ledger, stored.plan_id).state is PlanState.PLANNED


def test_a_moved_price_skips_the_leg(on: Stage) -> None:
    stored = make_plan(on.runtime, book({AAPL: "0.5", MSFT: "0.2"}), business_key="run-1")
    on.sim.control.set_price("AAPLUSDT", "210")
    execute_plan(on.runtime, stored.plan_id)
    result = verify_plan(on.runtime, stored.plan_id)
    assert result.state is PlanState.COMPLETED_ADJUSTED
    assert [(line.verdict.value, line.reasons) for line in result.lines] == [
        ("skipped", ("PRICE_MOVED",)),
        ("reached", ()),
    ]
    assert verify_plan(on.runtime, stored.plan_id) == result  # the stored result, unread


def test_one_account_runs_one_plan_at_a_time_and_an_unfinished_one_is_resumed(on: Stage) -> None:
    stored = make_plan(on.runtime, book({AAPL: "0.5"}), business_key="run-1")
    with pytest.raises(Interrupted):
        execute_plan(on.runtime, stored.plan_id, step=InterruptingStep(6, after=True))
    with pytest.raises(AnotherPlanRuns, match="resume or cancel"):
        make_plan(on.runtime, book({MSFT: "0.5"}), business_key="run-2")
    with pytest.raises(PlanUnfinished, match="have not ended"):
        verify_plan(on.runtime, stored.plan_id)
    (done,) = resume_plans(on.open_again())
    assert done.state is PlanState.COMPLETED
    assert resume_plans(on.runtime) == ()
    assert len(on.venue_orders()) == 1


def test_an_execution_that_runs_out_of_time_says_so_and_goes_on_later(on: Stage) -> None:
    done = rebalance(on.runtime, book({AAPL: "0.5"}), business_key="run-1", limits=ExecutionLimits(timeout_s=0.0))
    assert (done.state, done.result) == (PlanState.EXECUTING, None)
    assert "not finished" in done.message
    assert rebalance(on.runtime, book({AAPL: "0.5"}), business_key="run-1").state is PlanState.COMPLETED


def test_a_plan_held_by_another_worker_is_left_alone(on: Stage) -> None:
    stored = make_plan(on.runtime, book({AAPL: "0.5"}), business_key="run-1")
    other = on.open_again()

    def second_executor(name: str, kind: StepKind, function: Callable[[], Any]) -> Any:
        if kind is StepKind.ADVANCE and not tried:
            tried.append(name)
            impatient = replace(other, clock=ManualClock(on.runtime.clock.now()))
            with pytest.raises(PlanBusy, match="held by another worker"):
                execute_plan(impatient, stored.plan_id)
        return function()

    tried: list[str] = []
    assert execute_plan(on.runtime, stored.plan_id, step=second_executor).is_finished
    assert tried
    assert len(on.venue_orders()) == 1


def test_a_cancelled_plan_stays_cancelled(on: Stage) -> None:
    stored = make_plan(on.runtime, book({AAPL: "0.5", MSFT: "0.2"}), business_key="run-1")
    with pytest.raises(ValueError, match="reason"):
        cancel_plan(on.runtime, stored.plan_id, reason=" ")
    with pytest.raises(Interrupted):
        execute_plan(on.runtime, stored.plan_id, step=InterruptingStep(6, after=True))  # one order submitted, unsent
    cancelled = cancel_plan(on.runtime, stored.plan_id, reason="wrong portfolio")
    assert (cancelled.state, cancelled.note) == (PlanState.CANCELLED_MID_RUN, "cancelled: wrong portfolio")
    assert cancel_plan(on.runtime, stored.plan_id, reason="again").state is PlanState.CANCELLED_MID_RUN
    again = rebalance(on.runtime, book({AAPL: "0.5", MSFT: "0.2"}), business_key="run-1")
    assert again.state is PlanState.CANCELLED_MID_RUN
    assert on.venue_orders() == []
    with pytest.raises(PlanUnfinished, match="without a result"):
        verify_plan(on.runtime, stored.plan_id)


def test_an_executor_that_stood_still_sends_nothing_for_a_plan_that_was_cancelled_meanwhile(on: Stage) -> None:
    stored = make_plan(on.runtime, book({AAPL: "0.5"}), business_key="run-1")
    other = on.open_again()

    def standing_still(name: str, kind: StepKind, function: Callable[[], Any]) -> Any:
        if name.startswith("Submit"):  # it has decided, and wakes up when its lease is over
            end_leases(on.ledger_url)
            assert cancel_plan(other, stored.plan_id, reason="wrong portfolio").state is PlanState.CANCELLED_MID_RUN
        return function()

    with pytest.raises(PlanBusy, match="taken over"):
        execute_plan(on.runtime, stored.plan_id, step=standing_still)
    assert on.runtime.desk.views(plan_id=stored.plan_id) == ()
    assert on.venue_orders() == []


def test_foreign_trading_during_the_plan_is_not_called_success(on: Stage) -> None:
    stored = make_plan(on.runtime, book({AAPL: "0.5"}), business_key="run-1")
    execute_plan(on.runtime, stored.plan_id)
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "7")
    result = verify_plan(on.runtime, stored.plan_id)
    assert result.state is PlanState.FAILED
    assert result.lines[0].verdict is Verdict.DISAGREES
    assert result.lines[0].venue_quantity - result.lines[0].expected_quantity == 7


def test_unlisted_instruments_and_unpriced_coins_are_reported(on: Stage) -> None:
    on.sim.control.deposit("main", "DOGE", "100")
    done = rebalance(on.runtime, book({AAPL: "0.3", "XYZ/USDT": "0.1"}), business_key="run-1")
    assert done.state is PlanState.COMPLETED_ADJUSTED
    assert verdicts(done.result) == {AAPL: "reached", "XYZ/USDT": "skipped"}
    assert [item.name for item in done.plan.plan.unmanaged] == ["DOGE"]


def test_an_open_order_keeps_its_line_out_of_the_plan(on: Stage) -> None:
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "1", price="150")
    done = rebalance(on.runtime, book({AAPL: "0.3", MSFT: "0.1"}), business_key="run-1")
    assert done.result is not None
    assert done.result.lines[0].reasons == ("OPEN_ORDER_AT_VENUE",)
    assert set(on.positions()) == {"MSFTUSDT"}


def test_progress_is_read_from_the_ledger_alone(on: Stage) -> None:
    rebalance(on.runtime, book({AAPL: "0.3"}), business_key="run-1")
    stored = find_plan(on.runtime.ledger, on.runtime.account_id, "run-1")
    assert stored is not None
    legs = read_progress(on.open_again(), stored)
    assert legs[1].filled_quantity == stored.plan.legs[0].quantity
    assert stored.plan.legs[0].instrument_id == InstrumentId(AAPL)


def test_a_plan_made_before_another_one_ran_is_never_begun(on: Stage) -> None:
    portfolio = book({AAPL: "0.3"})
    rebalance(on.runtime, portfolio, business_key="x", mode=RebalanceMode.PLAN)
    assert rebalance(on.runtime, portfolio, business_key="y").state is PlanState.COMPLETED
    held = on.positions()
    with pytest.raises(PlanStale, match=f"{AAPL} from 0 to"):
        rebalance(on.runtime, portfolio, business_key="x")
    on.sim.control.place_order("main", "AAPLUSDT", "sell", str(held["AAPLUSDT"]))  # flat again, as the plan saw it
    with pytest.raises(PlanStale, match="ended after plan"):
        rebalance(on.runtime, portfolio, business_key="x")
    assert on.positions() == {}
    known = find_plan(on.runtime.ledger, on.runtime.account_id, "x")
    assert known is not None and known.state is PlanState.PLANNED


@pytest.mark.parametrize("symbol", ["AAPLUSDT", "MSFTUSDT"])
def test_a_position_that_moved_since_the_plan_keeps_it_from_its_begin(on: Stage, symbol: str) -> None:
    stored = make_plan(on.runtime, book({AAPL: "0.3"}), business_key="run-1")
    on.sim.control.place_order("main", symbol, "buy", "7")
    before = len(on.venue_orders())
    with pytest.raises(PlanStale, match=f"{symbol[:4]}/USDT:USDT from 0 to 7"):
        execute_plan(on.runtime, stored.plan_id)
    assert get_plan(on.runtime.ledger, stored.plan_id).state is PlanState.PLANNED
    assert len(on.venue_orders()) == before


def test_a_plan_begun_in_the_same_moment_keeps_the_other_from_its_begin(on: Stage) -> None:
    first = make_plan(on.runtime, book({AAPL: "0.3"}), business_key="k1")
    second = make_plan(on.open_again(), book({AAPL: "0.3"}), business_key="k2")
    other = on.open_again()
    held: list[str] = []

    def racing(name: str, kind: StepKind, function: Callable[[], Any]) -> Any:
        found = function()
        if not held and name.startswith("read positions"):  # after every look at the account, before the claim
            with plan_lease(other, second.plan_id, begins=True) as lease:
                held.append(lease.plan_id)
        return found

    with pytest.raises(AnotherPlanRuns, match=second.plan_id):
        execute_plan(on.runtime, first.plan_id, step=racing)
    assert get_plan(on.runtime.ledger, first.plan_id).state is PlanState.PLANNED
    assert on.venue_orders() == []
    assert cancel_plan(on.runtime, first.plan_id, reason="late").state is PlanState.CANCELLED_MID_RUN


def test_an_edited_portfolio_needs_a_new_key_but_a_begun_plan_goes_on(on: Stage) -> None:
    edited = book({AAPL: "0.4"})
    stored = make_plan(on.runtime, book({AAPL: "0.5"}), business_key="run-1")
    with pytest.raises(PlanKeyTaken, match="before it was edited"):
        rebalance(on.runtime, edited, business_key="run-1")
    with pytest.raises(Interrupted):
        execute_plan(on.runtime, stored.plan_id, step=InterruptingStep(6, after=True))
    done = rebalance(on.open_again(), edited, business_key="run-1")
    assert (done.state, on.positions()) == (PlanState.COMPLETED, {"AAPLUSDT": D("249.37")})
    with pytest.raises(PlanKeyTaken, match="before it was edited"):
        rebalance(on.runtime, edited, business_key="run-1")


def test_a_snapshot_in_conflict_does_not_keep_a_plan_from_its_end(on: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    portfolio = book({AAPL: "0.5"})
    stored = make_plan(on.runtime, portfolio, business_key="run-1")

    def conflicting(*args: Any, **named: Any) -> Any:
        raise ConflictingEvidence("fill 1", stored={"price": "1"}, received={"price": "2"})

    monkeypatch.setattr("trading.plans.sync_account", conflicting)
    with pytest.raises(ConflictingEvidence):
        rebalance(on.runtime, portfolio, business_key="run-1")
    assert get_plan(on.runtime.ledger, stored.plan_id).state is PlanState.COMPLETED


def test_a_plan_with_an_order_for_a_person_is_not_cancelled(on: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = make_plan(on.runtime, book({AAPL: "0.5"}), business_key="run-1")
    with pytest.raises(Interrupted):
        execute_plan(on.runtime, stored.plan_id, step=InterruptingStep(6, after=True))
    stuck = tuple(
        replace(view, state=IntentState.NEEDS_HUMAN) for view in on.runtime.desk.views(plan_id=stored.plan_id)
    )
    monkeypatch.setattr(on.runtime.desk, "views", lambda **_: stuck)
    monkeypatch.setattr(on.runtime.desk, "cancel", lambda *_, **__: stuck[0])
    monkeypatch.setattr(on.runtime.desk, "drive", lambda ids, **_: tuple(v for v in stuck if v.intent_id in ids))
    assert cancel_plan(on.runtime, stored.plan_id, reason="wrong").state is PlanState.EXECUTING
