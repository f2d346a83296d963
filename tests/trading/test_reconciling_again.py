"""A break that is open stays open until a run has really looked: activity, look-back and age clear nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.ids import InstrumentId
from brokers.types import OrderRequest, OrderSide, OrderType, TimeInForce
from ledger.breaks import decide_break, latest_run, open_breaks
from ledger.states import BreakStep, IntentState, ReconciliationOutcome
from ledger.tables import OrderIntent, Transition
from simulators.core.clock import ClockMode, GatewayClock
from simulators.testing import small_config
from tests.trading.simulated import Stage, VenueClock, book, stage
from trading import venue_reading
from trading.breaks import Decision, decide
from trading.ledger_view import ledger_view
from trading.orders import WantedOrder
from trading.plans import rebalance
from trading.reconciliation import Tolerances
from trading.reconciling import READINGS_MAX, ReconciliationResult, ReconcilingReason, reconcile_account
from trading.steps import StepKind
from trading.sync import sync_account

D = Decimal
AAPL = InstrumentId("AAPL/USDT:USDT")
AT_ONCE = Tolerances(guard=timedelta(0))
BREAKS, CLEAN = ReconciliationOutcome.BREAKS, ReconciliationOutcome.CLEAN
START = datetime(2025, 3, 3, tzinfo=UTC)


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as opened:
        sync_account(opened.runtime.ledger, opened.runtime.broker, clock=opened.clock)
        yield opened


@pytest.fixture
def ticking(tmp_path: Path) -> Iterator[Stage]:
    """The same on the venue's own clock: a wait moves all there is."""
    plain = small_config()
    own = {"gateway": GatewayClock.ENGINE, "mode": ClockMode.MANUAL, "start": START}
    config = plain.model_copy(update={"clock": plain.clock.model_copy(update=own)})
    with stage(tmp_path, clock=VenueClock(START), config=config) as opened:
        sync_account(opened.runtime.ledger, opened.runtime.broker, clock=opened.clock)
        yield opened


def tamper(on: Stage, *statements: str) -> None:
    """Change evidence behind the ledger's back, as a restored backup would."""
    connection = sqlite3.connect(on.ledger_url.removeprefix("sqlite:///"))
    with connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert connection.execute(statement).rowcount > 0
    connection.close()


def subjects(found: ReconciliationResult) -> list[str]:
    assert found.findings is not None
    return [f"{item.kind.value} {item.subject}" for item in found.findings.breaks]


class Counting:
    """A step that counts the comparisons."""

    def __init__(self) -> None:
        self.comparisons = 0

    def __call__(self, name, kind: StepKind, function):  # type: ignore[no-untyped-def]
        self.comparisons += name.startswith("compare")
        return function()


def test_a_rebalance_hides_no_wrong_position(on: Stage) -> None:
    tamper(
        on,
        f"INSERT INTO position (snapshot_id, instrument_id, position_side, quantity) VALUES (1, '{AAPL}', 'net', '7')",
    )
    assert subjects(reconcile_account(on.runtime)) == [f"POSITION_VANISHED position {AAPL}"]
    rebalance(on.runtime, book({str(AAPL): "0.1"}), business_key="run-1")
    found = reconcile_account(on.runtime)
    assert (found.outcome, subjects(found)) == (BREAKS, [f"POSITION_DIFFERS position {AAPL}"])


def test_a_reconciliation_right_after_a_rebalance_reads_once_and_is_clean(on: Stage) -> None:
    rebalance(on.runtime, book({str(AAPL): "0.1"}), business_key="run-1")
    counting = Counting()
    assert reconcile_account(on.runtime, step=counting).outcome is CLEAN
    assert counting.comparisons == 1


def test_what_stays_too_young_is_not_called_clean_and_clears_nothing(on: Stage) -> None:
    rebalance(on.runtime, book({str(AAPL): "0.1"}), business_key="run-1")
    tamper(on, "DELETE FROM fill")
    counting = Counting()
    found = reconcile_account(on.runtime, step=counting, tolerances=Tolerances(guard=timedelta(hours=1)))
    assert counting.comparisons == READINGS_MAX
    assert found.outcome is ReconciliationOutcome.NOT_RECONCILED
    assert found.reason == ReconcilingReason.RECONCILING_STILL_PENDING
    assert found.findings is not None and found.findings.pending
    assert found.detail == ", ".join(found.findings.pending)
    with on.runtime.ledger.read() as session:
        stored = latest_run(session, on.runtime.account_id)
    assert stored is not None and stored.outcome == "not_reconciled"


def test_an_open_break_that_is_too_young_now_stays_and_decides_the_outcome(on: Stage) -> None:
    rebalance(on.runtime, book({str(AAPL): "0.1"}), business_key="run-1")
    connection = sqlite3.connect(on.ledger_url.removeprefix("sqlite:///"))
    with connection:
        connection.execute("CREATE TEMP TABLE copy AS SELECT * FROM fill")
        connection.execute("UPDATE copy SET trade_id='invented'")
        connection.execute("INSERT INTO fill SELECT * FROM copy")
    connection.close()
    (opened,) = reconcile_account(on.runtime, tolerances=AT_ONCE).changes.opened
    patient = Tolerances(guard=timedelta(hours=1))
    found = reconcile_account(on.runtime, tolerances=patient)
    assert (found.outcome, found.changes.cleared) == (BREAKS, ())
    assert found.still_open == ("FILL_MISSING_AT_VENUE trade invented",)
    with on.runtime.ledger.write() as session:
        assert [row.break_id for row in open_breaks(session)] == [opened]
        decide_break(session, opened, decision="busted by the venue", decided_by="me", at=START)
    found = reconcile_account(on.runtime, tolerances=patient)
    assert (found.outcome, len(found.still_open)) == (BREAKS, 1), "an explanation is no acceptance"
    accepted = Decision(break_id=opened, step=BreakStep.ACCEPTED, reason="busted", set_by="me")
    decide(on.runtime.ledger, accepted)
    found = reconcile_account(on.runtime, tolerances=patient)
    assert (found.outcome, found.still_open) == (ReconciliationOutcome.NOT_RECONCILED, ())


def test_the_guard_is_waited_for_and_then_judged(ticking: Stage) -> None:
    on = ticking
    on.clock.wait(60)
    rebalance(on.runtime, book({str(AAPL): "0.1"}), business_key="run-1")
    on.clock.wait(1)
    sync_account(on.runtime.ledger, on.runtime.broker, clock=on.clock)
    tamper(on, "DELETE FROM fill")
    found = reconcile_account(on.runtime)
    assert (found.outcome, [text.split()[0] for text in subjects(found)]) == (BREAKS, ["FILL_MISSING_IN_LEDGER"])
    assert reconcile_account(on.runtime).outcome is CLEAN


def test_a_shorter_look_back_clears_no_break_of_an_order(on: Stage) -> None:
    rebalance(on.runtime, book({str(AAPL): "0.1"}), business_key="run-1")
    tamper(on, "UPDATE venue_order SET client_order_id='somebody-else'")
    first = reconcile_account(on.runtime, tolerances=AT_ONCE)
    assert [text.split()[0] for text in subjects(first)] == ["ORDER_TERMS_DIFFER"]
    again = reconcile_account(on.runtime, tolerances=AT_ONCE, lookback=timedelta(0))
    assert (again.outcome, again.changes.cleared) == (BREAKS, ())
    assert again.changes.seen_again == first.changes.opened


def test_looking_again_makes_no_unknown_outcome_young(on: Stage) -> None:
    runtime = on.runtime
    quote = runtime.broker.quotes([AAPL])[0]
    request = OrderRequest(
        instrument_id=AAPL,
        side=OrderSide.BUY,
        order_type=OrderType.MARKET,
        quantity=D(1),
        time_in_force=TimeInForce.IOC,
    )
    wanted = WantedOrder(
        account_id=runtime.account_id, business_key="w", source="cli", request=request, reference=quote, ttl_s=60
    )
    identity = str(runtime.desk.submit(wanted).intent_id)
    sent_at = START.replace(hour=5)
    moves = [("ready", "sending", 0), ("sending", "unknown", 1), ("unknown", "needs_human", 2)]
    with runtime.ledger.write() as session:
        row = session.get(OrderIntent, identity)
        assert row is not None
        row.state, row.updated_at = IntentState.NEEDS_HUMAN.value, runtime.ledger.now(session)
        for before, after, minutes in moves:
            session.add(
                Transition(
                    intent_id=identity,
                    from_state=before,
                    to_state=after,
                    epoch=1,
                    who="test",
                    reason="",
                    at=sent_at + timedelta(minutes=minutes),
                )
            )
    with runtime.ledger.read() as session:
        (item,) = ledger_view(session, runtime.account_id, since=START, until=on.clock.now()).unresolved
    assert (item.state, item.since) == ("needs_human", sent_at)


def test_histories_are_read_in_parts_that_overlap_in_nothing(ticking: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of an account with more fills than are read at once: the same facts, each once, and the same breaks."""
    on = ticking
    for number in range(6):
        on.clock.wait(60)
        rebalance(on.runtime, book({str(AAPL): f"0.{number + 1}"}), business_key=f"run-{number}")
    on.clock.wait(60)
    assert reconcile_account(on.runtime, tolerances=AT_ONCE).outcome is CLEAN, "what was new was imported"
    whole = reconcile_account(on.runtime, tolerances=AT_ONCE)
    monkeypatch.setattr(venue_reading, "WINDOW_FILLS", 1)
    steps: list[str] = []
    found = reconcile_account(on.runtime, step=telling(steps), tolerances=AT_ONCE)
    parts = [name for name in steps if name.startswith("read fills") and ", part " in name]
    assert len(parts) > 2
    assert parts[-1].endswith(f", part {len(parts)} of {len(parts)}")
    assert found.findings is not None and whole.findings is not None
    assert (found.outcome, dict(found.findings.compared)) == (CLEAN, dict(whole.findings.compared))
    tamper(on, "DELETE FROM fill WHERE rowid = (SELECT min(rowid) FROM fill)")
    found = reconcile_account(on.runtime, tolerances=AT_ONCE)
    assert [text.split()[0] for text in subjects(found)] == ["FILL_MISSING_IN_LEDGER"]
    assert reconcile_account(on.runtime, tolerances=AT_ONCE).outcome is CLEAN, "it was imported"


def telling(into: list[str]) -> Callable[..., Any]:
    def step(name: str, kind: StepKind, function: Callable[[], Any]) -> Any:
        into.append(name)
        return function()

    return step
