"""Runs over two accounts at a simulated venue: what both hold at the end, who approved what, and what was left out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from brokers.types import ZERO
from ledger.auditing import verify_audit
from ledger.runs import events_of
from ledger.states import RunState
from tasks.beside import in_threads
from tests.trading.runs.scene import AAPL, BTC, MSFT, Scene, block, saying, scene, two_accounts
from tests.trading.simulated import VenueClock
from tests.trading.simulated_tradestation import ON_ITS_OWN_CLOCK, START
from trading.executing import ExecutionLimits
from trading.rebalancing.release import LegState
from trading.runs import Approval, Decision, RunError, StoredRun, decide_run, resume_run, run_history, want_cancel

D = Decimal
ONE = {AAPL: "0.5"}
PAIR = {AAPL: "0.5", MSFT: "-0.3"}
HELD = {"AAPLUSDT": D("249.37"), "MSFTUSDT": D("-74.81")}
LONG = {"AAPLUSDT": D("249.37")}
REFUSE_MSFT = {"fields": {"symbol": "MSFTUSDT"}, "code": 110007, "message": "ab not enough", "times": None}


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as opened:
        yield opened


def kinds(on: Scene, run_id: str) -> list[str]:
    with on.ledger.read() as session:
        return [event.kind for event in events_of(session, run_id)]


def assert_audited(on: Scene, links: int) -> None:
    with on.ledger.read() as session:
        report = verify_audit(session)
    assert report.findings == []
    assert report.heads.get("runs", (0, ""))[0] == links


def test_every_account_reaches_its_target_and_the_costs_add_up(on: Scene) -> None:
    done = on.run(PAIR)
    assert (done.state, done.is_resumed) == (RunState.COMPLETED, False)
    assert [on.positions(name) for name in ("main", "second")] == [HELD, HELD]
    result = done.result
    assert result is not None and result.drift_after is not None
    assert result.drift_after < D("0.002") < D("0.39") < result.drift_before
    shortfall = result.shortfall
    assert shortfall.total == shortfall.slippage + shortfall.fees + shortfall.opportunity
    assert shortfall.opportunity == 0 < shortfall.slippage
    assert shortfall.fees == sum((item.proof.fees for item in result.accounts if item.proof), ZERO)
    assert 0 < shortfall.bps < 20
    assert result.from_json(result.to_json()) == result


def test_a_key_is_one_run_for_ever(on: Scene) -> None:
    first = on.run(ONE)
    again = on.run(ONE, runtimes=on.open_again())
    assert (again.is_resumed, again.result) == (True, first.result)
    assert len(on.orders()) == 2
    on.run(ONE, key="waits", approval="always")
    with pytest.raises(RunError, match="as it was") as refused:
        on.run({AAPL: "0.4"}, key="waits", approval="always")
    assert refused.value.reason == "RUN_KEY_TAKEN"


def test_an_account_that_is_not_there_is_a_problem_and_stops_no_other(on: Scene) -> None:
    done = on.run(ONE, runtimes={block("main"): on.runtimes[block("main")]})
    assert done.state is RunState.COMPLETED_ADJUSTED
    assert done.result is not None
    assert [problem.account_name for problem in done.result.problems] == [block("second")]
    assert (on.positions("main"), on.positions("second")) == (LONG, {})


def test_terms_that_do_not_belong_together_are_refused_before_anything_is_read(on: Scene) -> None:
    for wrong in ({"portfolio": "other"}, {"base_currency": "EUR"}):
        with pytest.raises(RunError) as refused:
            on.run(ONE, **wrong)
        assert refused.value.reason == "RUN_TERMS_WRONG"
    assert on.sim.control.requests() == []


def test_two_workers_on_one_run_come_to_one_end(on: Scene) -> None:
    ends = in_threads([partial(on.run, ONE), partial(on.run, ONE, runtimes=on.open_again())])
    last = on.run(ONE)
    assert last.state is RunState.COMPLETED
    assert {end.state for end in ends} <= {RunState.COMPLETED, RunState.EXECUTING}
    assert len(on.orders()) == 2


# -- approval ---------------------------------------------------------------------------------------------------
def test_nothing_is_sent_before_the_very_plan_was_approved(on: Scene) -> None:
    waiting = on.run(ONE, approval="always")
    assert (waiting.state, on.orders()) == (RunState.AWAITING_APPROVAL, [])
    run = waiting.run
    assert run is not None
    for run_hash, reason in (("0" * 64, "RUN_HASH_DIFFERS"), (run.run_hash[:8], "RUN_HASH_SHORT")):
        with pytest.raises(RunError) as refused:
            decide_run(on.ledger, run.run_id, _yes(run_hash))
        assert refused.value.reason == reason
    decide_run(on.ledger, run.run_id[:8], _yes(run.run_hash[:12]))
    with pytest.raises(RunError) as twice:
        decide_run(on.ledger, run.run_id, _yes(run.run_hash))
    assert twice.value.reason == "RUN_NOT_WAITING"
    done = resume_run(on.runtimes, run.run_id)
    assert done.state is RunState.COMPLETED
    assert done.run is not None
    assert (done.run.approved_hash, done.run.run_hash, done.run.decided_by) == (run.run_hash, run.run_hash, "ann")
    assert kinds(on, run.run_id) == ["planned", "approval_asked", "approved", "begun", "ended"]
    assert_audited(on, 1)


def _yes(run_hash: str) -> Approval:
    return Approval(decision=Decision.APPROVE, by="ann", reason="looks right", run_hash=run_hash)


def test_prices_that_moved_while_somebody_read_make_a_new_plan_and_a_new_question(on: Scene) -> None:
    seen: list[StoredRun] = []
    moves = saying(Decision.APPROVE, seen=seen, before=lambda: on.sim.control.set_price("AAPLUSDT", "204.5"))
    done = on.run(ONE, approval="always", approve=moves)
    assert done.state is RunState.COMPLETED
    assert done.run is not None
    assert [run.attempt for run in seen] == [1, 2]
    assert seen[0].run_hash != seen[1].run_hash == done.run.approved_hash
    assert kinds(on, done.run.run_id).count("planned_again") == 1
    assert_audited(on, 2)


def test_a_position_that_moved_a_little_is_covered_by_the_approval(on: Scene) -> None:
    def trade() -> None:
        on.sim.control.place_order(account="main", symbol="AAPLUSDT", side="buy", qty="1")

    done = on.run(ONE, approval="always", approve=saying(Decision.APPROVE, before=trade))
    assert done.state is RunState.COMPLETED
    assert done.run is not None
    assert done.run.approved_hash != done.run.run_hash
    assert on.positions("main") == LONG
    assert sum(order.request.qty for order in on.orders("main") if order.request.symbol == "AAPLUSDT") == D("249.37")


def test_what_is_in_an_approved_orders_way_by_now_keeps_it_back(on: Scene) -> None:
    """Somebody's order in the book may be filled at any moment: no plan trades beside it, approved or not."""

    def trade() -> None:
        on.sim.control.place_order(account="main", symbol="AAPLUSDT", side="buy", qty="1", price="150")

    done = on.run(ONE, approval="always", approve=saying(Decision.APPROVE, before=trade))
    assert done.state is RunState.COMPLETED_ADJUSTED
    assert on.positions("main") == {}
    assert on.positions("second") == LONG


def test_a_position_that_moved_far_is_asked_about_again(on: Scene) -> None:
    def trade() -> None:
        on.sim.control.place_order(account="main", symbol="AAPLUSDT", side="buy", qty="50")

    seen: list[StoredRun] = []
    done = on.run(ONE, approval="always", approve=saying(Decision.APPROVE, seen=seen, before=trade))
    assert (done.state, len(seen)) == (RunState.COMPLETED, 2)


def test_a_rejected_run_ends_and_sends_nothing(on: Scene) -> None:
    done = on.run(ONE, approval="always", approve=saying(Decision.REJECT))
    assert (done.state, on.orders()) == (RunState.REJECTED, [])
    assert on.run(ONE, approval="always").state is RunState.REJECTED
    assert_audited(on, 1)


def test_a_run_that_nobody_approves_times_out(tmp_path: Path) -> None:
    clock = VenueClock(START)
    with scene(tmp_path, clock=clock, config=two_accounts(clock=ON_ITS_OWN_CLOCK)) as on:
        waiting = on.run(ONE, approval="always", approval_timeout_s=600)
        assert waiting.run is not None
        clock.advance(timedelta(seconds=601))
        with pytest.raises(RunError) as late:
            decide_run(on.ledger, waiting.run.run_id, _yes(waiting.run.run_hash))
        assert late.value.reason == "RUN_NOT_WAITING"
        assert resume_run(on.runtimes, waiting.run.run_id).state is RunState.APPROVAL_TIMED_OUT
        assert on.orders() == []


def test_an_approved_run_that_waited_longer_than_a_plan_may_age_is_still_carried_out(tmp_path: Path) -> None:
    clock = VenueClock(START)
    with scene(tmp_path, clock=clock, config=two_accounts(clock=ON_ITS_OWN_CLOCK)) as on:
        waiting = on.run(ONE, approval="always", plan_age_s_max=60)
        assert waiting.run is not None
        clock.advance(timedelta(seconds=1200))
        decide_run(on.ledger, waiting.run.run_id, _yes(waiting.run.run_hash))
        done = resume_run(on.open_again(), waiting.run.run_id)
        assert done.state is RunState.COMPLETED


def test_an_approval_is_not_lost_while_no_account_can_be_read(on: Scene) -> None:
    waiting = on.run(ONE, approval="always")
    assert waiting.run is not None
    decide_run(on.ledger, waiting.run.run_id, _yes(waiting.run.run_hash))
    on.sim.control.fault("status", path="/v5/account/wallet-balance", status=503, execute=False, times=None)
    unread = resume_run(on.runtimes, waiting.run.run_id)
    assert (unread.state, len(unread.interruptions)) == (RunState.APPROVED, 2)
    on.sim.control.clear_faults()
    assert resume_run(on.runtimes, waiting.run.run_id).state is RunState.COMPLETED


# -- refusals and cancelling ------------------------------------------------------------------------------------
def test_a_refused_leg_stops_no_other_and_is_told(on: Scene) -> None:
    on.sim.control.fault("error", path="/v5/order/create", **REFUSE_MSFT)
    done = on.run(PAIR)
    assert done.state is RunState.COMPLETED_ADJUSTED
    assert done.result is not None
    assert dict(done.result.reasons) == {"VENUE_INSUFFICIENT_FUNDS": 2}
    assert [on.positions(name) for name in ("main", "second")] == [{"AAPLUSDT": HELD["AAPLUSDT"]}] * 2


def test_a_refused_leg_stops_the_others_where_the_subscription_says_so(on: Scene) -> None:
    on.sim.control.fault("error", path="/v5/order/create", **REFUSE_MSFT)
    done = on.run({MSFT: "-0.3", AAPL: "0.5"}, on_refusal="stop", limits=ExecutionLimits(batch_max=1))
    result = done.result
    assert result is not None
    assert {leg.reason for leg in result.legs if leg.account_name == block("second")} == {"STOPPED_BY_REFUSAL"}
    assert on.orders("second") == []
    assert sum(leg.reason == "VENUE_INSUFFICIENT_FUNDS" for leg in result.legs) == 1


def test_a_run_is_cancelled_in_the_middle_and_says_what_was_left(on: Scene) -> None:
    def cancel(progress: object) -> None:
        (run,) = run_history(on.ledger).lines
        want_cancel(on.ledger, run.run_id, by="ann", reason="wrong portfolio")

    done = on.run(PAIR, limits=ExecutionLimits(batch_max=1), on_progress=cancel)
    assert done.state is RunState.CANCELLED_MID_RUN
    result = done.result
    assert result is not None
    assert [leg.state for leg in result.legs] == [LegState.DONE, *[LegState.SKIPPED] * 3]
    assert {leg.reason for leg in result.legs[1:]} == {"RUN_CANCELLED"}
    assert result.shortfall.unpriced == 0
    assert (on.positions("main"), on.positions("second")) == ({"AAPLUSDT": HELD["AAPLUSDT"]}, {})
    assert_audited(on, 1)
    with pytest.raises(RunError) as ended:
        want_cancel(on.ledger, run_history(on.ledger).lines[0].run_id, by="ann", reason="again")
    assert ended.value.reason == "RUN_ENDED"


def test_a_run_that_waits_is_cancelled_at_once(on: Scene) -> None:
    waiting = on.run(ONE, approval="always")
    assert waiting.run is not None
    want_cancel(on.ledger, waiting.run.run_id, by="ann", reason="not today")
    assert resume_run(on.runtimes, waiting.run.run_id).state is RunState.CANCELLED_MID_RUN
    assert on.orders() == []


def test_an_account_whose_venue_fails_is_resumed_and_the_others_have_ended(on: Scene) -> None:
    on.sim.control.fault(
        "status", path="/v5/market/tickers", status=503, execute=False, times=None, nth=tuple(range(5, 200))
    )
    stuck = on.run({BTC: "0.5"})
    assert stuck.state is RunState.EXECUTING
    assert {item.reason for item in stuck.interruptions} == {"RUN_ACCOUNT_INTERRUPTED"}
    on.sim.control.clear_faults()
    done = on.run({BTC: "0.5"}, runtimes=on.open_again())
    assert (done.state, len(on.orders())) == (RunState.COMPLETED, 2)


def test_the_history_shows_tracking_error_before_and_after(on: Scene) -> None:
    on.run(ONE, key="one")
    on.run({AAPL: "0.2"}, key="two")
    history = run_history(on.ledger, subscription="both")
    assert [line.business_key for line in history.lines] == ["two", "one"]
    points = [value for _, value in history.tracking_error()["both"]]
    assert len(points) == 4
    assert points[0] > points[1] < points[2] > points[3]
