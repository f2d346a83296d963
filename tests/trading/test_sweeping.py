"""The light sweep and the start-up run: what they find, what they leave alone, what they never call clean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from brokers.errors import AnswerTimedOut
from brokers.ids import Environment, InstrumentId
from brokers.types import CashEventKind
from ledger.breaks import open_breaks
from ledger.states import BreakStep, ReconciliationOutcome
from ledger.tables import AccountSnapshot, ReconciliationRun
from tasks.config import risk_policy
from tests.trading.simulated import Stage, book, stage
from tests.trading.test_reconciling import AT_ONCE, forget, run
from trading.breaks import Decision, decide, read_breaks
from trading.first_run import latest_full_run, reconcile_first
from trading.plans import rebalance
from trading.starting import NotReadyToTrade, StartReason
from trading.sweeping import NOT_SWEPT, RECORDED_EVERY, Sweeper, SweepResult, sweep_account
from trading.sync import sync_account

D = Decimal
AAPL = InstrumentId("AAPL/USDT:USDT")


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as opened:
        sync_account(opened.runtime.ledger, opened.runtime.broker, clock=opened.clock)
        yield opened


def swept(on: Stage) -> SweepResult:
    return sweep_account(on.runtime, tolerances=AT_ONCE)


def kinds(found: SweepResult) -> list[str]:
    assert found.findings is not None
    return [item.kind.value for item in found.findings.breaks]


def claim(on: Stage) -> None:
    """Say whose the orders of other hands are."""
    for line in read_breaks(on.runtime.ledger, kind="ORDER_EXTERNAL").lines:
        claimed = {"step": BreakStep.CLAIMED, "reason": "by hand", "set_by": "ann", "owner": "ann"}
        decide(on.runtime.ledger, Decision(break_id=line.row.break_id, **claimed))  # type: ignore[arg-type]
    assert run(on).outcome is ReconciliationOutcome.CLEAN


def test_a_quiet_account_costs_few_reads_and_says_what_is_not_compared(on: Stage) -> None:
    on.sim.control.place_order("main", "MSFTUSDT", "buy", "1", price="390")
    run(on)
    claim(on)
    before = len(on.sim.control.requests())
    found = swept(on)
    assert found.outcome is ReconciliationOutcome.CLEAN and not found.read_fills
    assert found.findings is not None and found.findings.not_compared == (NOT_SWEPT,)
    assert found.findings.compared["venue_orders"] == 1
    asked = [request.path for request in on.sim.control.requests()[before:]]
    assert len(asked) <= 5 and not [path for path in asked if "execution" in path or "transaction" in path], asked


def test_news_explain_a_position_and_nothing_is_imported(on: Stage) -> None:
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "3")
    found = swept(on)
    assert (found.outcome, found.read_fills) == (ReconciliationOutcome.CLEAN, True)
    assert found.findings is not None and found.findings.news["fills"] == 1
    assert run(on).findings.news["fills"] == 1  # type: ignore[union-attr]


def test_a_position_that_nothing_explains_is_found_and_clears_when_it_is_gone(on: Stage) -> None:
    rebalance(on.runtime, book({str(AAPL): "0.4"}), business_key="run-1")
    run(on)
    forget(on, "fill")
    sweeper = Sweeper(on.runtime, AT_ONCE)
    found = sweeper.sweep()
    assert kinds(found) == ["FILL_MISSING_IN_LEDGER"] and found.outcome is ReconciliationOutcome.BREAKS
    assert found.changes.opened and found.run_id is not None
    again = sweeper.sweep()
    assert again.changes.seen_again and again.run_id is None, "nothing new: no run is stored"
    run(on)
    assert run(on).outcome is ReconciliationOutcome.CLEAN
    assert swept(on).outcome is ReconciliationOutcome.CLEAN


def test_a_correcting_entry_counts_in_the_next_sweep(on: Stage) -> None:
    rebalance(on.runtime, book({str(AAPL): "0.4"}), business_key="run-1")
    run(on)
    sweeper = Sweeper(on.runtime, AT_ONCE)
    assert sweeper.sweep().outcome is ReconciliationOutcome.CLEAN
    read = on.runtime.broker.positions
    on.runtime.broker.positions = lambda: tuple(replace(p, quantity=p.quantity + 1) for p in read())  # type: ignore[method-assign]
    assert sweeper.sweep().changes.suspected and sweeper.sweep().changes.locked
    (line,) = read_breaks(on.runtime.ledger).lines
    corrected = {"step": BreakStep.CORRECTED, "reason": "a transfer of shares", "set_by": "ann"}
    decide(on.runtime.ledger, Decision(break_id=line.row.break_id, **corrected))  # type: ignore[arg-type]
    assert sweeper.sweep().changes.cleared == (line.row.break_id,)
    assert sweeper.sweep().changes.unlocked


def test_an_order_that_vanished_is_found_by_looking_it_up(on: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    on.sim.control.place_order("main", "MSFTUSDT", "buy", "1", price="390")
    run(on)
    claim(on)
    with monkeypatch.context() as hidden:
        hidden.setattr(on.runtime.broker, "open_orders", lambda: ())
        assert kinds(swept(on)) == [], "the look-up shows it"
        hidden.setattr(on.runtime.broker, "find_order", lambda **wanted: None)
        assert kinds(swept(on)) == ["ORDER_MISSING_AT_VENUE"]
    found = swept(on)
    assert found.outcome is ReconciliationOutcome.CLEAN and len(found.changes.cleared) == 1


def test_what_it_does_not_compare_stays_open_and_keeps_it_from_clean(on: Stage) -> None:
    on.sim.control.deposit("main", "USDT", "123.45")
    run(on)
    forget(on, "cash_event", "amount = '123.45'")
    opened = run(on)
    assert opened.outcome is ReconciliationOutcome.BREAKS
    found = swept(on)
    assert (found.outcome, kinds(found), len(found.still_open)) == (ReconciliationOutcome.BREAKS, [], 1)
    with on.runtime.ledger.read() as session:
        assert len(open_breaks(session)) == 1


def test_a_venue_that_does_not_answer_is_never_clean_and_clears_nothing(
    on: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang() -> Any:
        raise AnswerTimedOut("no answer")

    sweeper = Sweeper(on.runtime, AT_ONCE)
    assert sweeper.sweep().outcome is ReconciliationOutcome.CLEAN
    with monkeypatch.context() as dead:
        dead.setattr(on.runtime.broker, "positions", hang)
        found = sweeper.sweep()
        assert (found.outcome, found.findings) == (ReconciliationOutcome.NOT_RECONCILED, None)
        assert found.run_id is not None and found.reason
        assert sweeper.sweep().run_id is None
    back = sweeper.sweep()
    assert back.outcome is ReconciliationOutcome.CLEAN and back.run_id is not None


def test_our_own_act_of_a_moment_ago_is_pending_not_broken(on: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The venue shows the new position before any list shows its fill: the guard is by what we did, not by a fact."""
    rebalance(on.runtime, book({str(AAPL): "0.4"}), business_key="run-1")
    shown = on.runtime.broker.positions()
    doubled = tuple(_doubled(position) for position in shown)
    monkeypatch.setattr(on.runtime.broker, "positions", lambda: doubled)
    found = sweep_account(on.runtime)
    assert found.findings is not None and found.findings.pending == (f"position {AAPL}",)
    assert found.outcome is ReconciliationOutcome.NOT_RECONCILED and found.reason == "RECONCILING_STILL_PENDING"
    assert kinds(swept(on)) == ["POSITION_DIFFERS"], "without a guard it is judged at once"


def _doubled(position: Any) -> Any:
    return replace(position, quantity=2 * position.quantity)


def test_runs_of_sweeps_do_not_fill_the_ledger(on: Stage) -> None:
    sweeper = Sweeper(on.runtime, AT_ONCE)
    stored = [sweeper.sweep().run_id for _ in range(4)]
    assert stored[0] is not None and stored[1:] == [None, None, None]
    assert sweeper._last is not None
    sweeper._last = (sweeper._last[0], sweeper._last[1] - RECORDED_EVERY)
    assert sweeper.sweep().run_id is not None
    with on.runtime.ledger.read() as session:
        rows = session.exec(select(ReconciliationRun)).all()
        assert latest_full_run(session, on.runtime.account_id) is None, "a sweep is no full run"
    assert ['"sweeps":1' in row.summary for row in rows] == [True, False] and '"sweeps":4' in rows[1].summary


# -- the start-up run -------------------------------------------------------------------------------------------


def test_a_new_account_takes_its_opening_figures_and_is_reconciled_once(tmp_path: Path) -> None:
    with stage(tmp_path) as on:
        first = reconcile_first(on.runtime)
        assert first is not None and first.outcome is ReconciliationOutcome.CLEAN
        with on.runtime.ledger.read() as session:
            assert {row.purpose for row in session.exec(select(AccountSnapshot))} == {"baseline", "reconciliation"}
        before = len(on.sim.control.requests())
        assert reconcile_first(on.open_again()) is None
        assert len(on.sim.control.requests()) == before, "one of late is enough: nothing is asked"


def test_a_run_that_is_too_old_is_done_again(tmp_path: Path) -> None:
    with stage(tmp_path, reconciled_age_s_max=D("0.001")) as on:
        assert [reconcile_first(on.runtime) is not None for _ in range(2)] == [True, True]


def test_nothing_starts_while_the_venue_cannot_be_compared(on: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(**window: Any) -> Any:
        raise AnswerTimedOut("no answer")

    monkeypatch.setattr(on.runtime.broker, "fills", hang)
    for _ in range(2):
        with pytest.raises(NotReadyToTrade, match="not reconciled") as refused:
            reconcile_first(on.runtime)
        assert refused.value.reason is StartReason.NOT_RECONCILED_YET


def test_a_simulated_account_may_do_without(tmp_path: Path) -> None:
    with stage(tmp_path, reconciled_first=False) as on:
        assert reconcile_first(on.runtime) is None


def test_breaks_do_not_keep_a_process_from_starting(on: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    on.sim.control.deposit("main", "USDT", "5")
    read, unknown = on.runtime.broker.cash_events, {"kind": CashEventKind.UNMAPPED, "venue_kind": "GIFT"}
    monkeypatch.setattr(
        on.runtime.broker, "cash_events", lambda **window: tuple(replace(e, **unknown) for e in read(**window)[1:])
    )
    found = reconcile_first(on.runtime)
    assert found is not None and found.outcome is ReconciliationOutcome.BREAKS


@pytest.mark.parametrize("environment", [Environment.TESTNET, Environment.PRODUCTION])
def test_only_simulated_accounts_may_do_without(environment: Environment) -> None:
    assert not risk_policy(Environment.SIMULATED, {"reconciled_first": False}).reconciled_first
    with pytest.raises(ValueError, match="reconciled_first cannot be switched off"):
        risk_policy(environment, {"reconciled_first": False})
    assert risk_policy(environment, {}).reconciled_first


def test_the_look_back_of_a_sweep_is_bounded_by_what_was_imported(on: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[timedelta] = []
    read = on.runtime.broker.fills

    def fills(**window: Any) -> Any:
        asked.append(window["until"] - window["since"])
        return read(**window)

    on.sim.control.place_order("main", "AAPLUSDT", "buy", "3")
    monkeypatch.setattr(on.runtime.broker, "fills", fills)
    swept(on)
    assert len(asked) == 1 and asked[0] < timedelta(minutes=16)
