"""Accepted breaks and claims that are taken back, on a simulated account: what a run says of them, what opens them."""

from __future__ import annotations

import json
import sqlite3
from datetime import timedelta
from decimal import Decimal

import pytest

from brokers.ids import InstrumentId
from cli.books import _shown
from flows import reports
from flows.reconcile import verdict
from flows.reports.model import Tone
from flows.sweep_account import sentence
from ledger.auditing import verify_audit
from ledger.reconciliations import runs_of
from ledger.snapshots import ledger_positions
from ledger.states import BreakStep, ReconciliationOutcome
from tests.trading.simulated import ACCOUNT, Stage
from tests.trading.test_breaks import (
    BREAKS,
    CLEAN,
    FILLED,
    LOCKED,
    WRONG_POSITION,
    change,
    decided,
    drop_triggers,
    kinds,
    on,
    run,
    send,
)
from trading.breaks import BreakReason, BreakRefused, read_break, read_breaks
from trading.first_run import latest_full_run
from trading.reconciliation import Tolerances
from trading.reconciliation.equation import EquationState
from trading.reconciling import reconcile_account
from trading.statement import make_statement
from trading.sweeping import sweep_account

__all__ = ["on"]  # the fixture of the other file
D = Decimal
AAPL, MSFT = InstrumentId("AAPL/USDT:USDT"), InstrumentId("MSFT/USDT:USDT")
KNOWN = ReconciliationOutcome.CLEAN_WITH_ACCEPTED
LESS_MONEY = "UPDATE balance SET total = '99990' WHERE snapshot_id = 1"


def other_money(on: Stage, total: str) -> None:
    change(on, f"UPDATE balance SET total = '{total}' WHERE snapshot_id = 1")


def one_of(on: Stage) -> str:
    return read_breaks(on.runtime.ledger).lines[0].row.break_id


# -- acceptances ------------------------------------------------------------------------------------------------
def test_a_run_with_nothing_but_accepted_breaks_has_a_result_of_its_own(on: Stage) -> None:
    change(on, LESS_MONEY)
    run(on)
    assert run(on).outcome is BREAKS
    story = decided(on, BreakStep.ACCEPTED, reason="gift of the venue")
    assert story.line.accepted is not None
    assert (story.line.accepted.amount, story.line.accepted.within) == (D(10), D(0))
    found = run(on)
    assert (found.outcome, kinds(found), found.still_open) == (KNOWN, ["BALANCE_UNEXPLAINED"], ())
    (item,) = found.accepted
    assert item.accepted_text.startswith("BALANCE_UNEXPLAINED balance USDT +10 (by ann until ")
    assert found.books is not None
    (equation,) = [entry for entry in found.books.equations if entry.currency == "USDT"]
    assert (equation.state, equation.accepted, equation.difference) == (EquationState.ACCEPTED, D(10), D(10))
    state = verdict(found)
    assert (state.is_completed(), state.name) == (True, "CLEAN_WITH_ACCEPTED")
    assert item.accepted_text in (state.message or "")
    report = reports.report_of(found, subject=str(ACCOUNT))
    assert report.tone is Tone.NEUTRAL and "person accepted" in report.verdict
    (table,) = [section for section in report.sections if getattr(section, "name", "") == "accepted"]
    assert "+10" in table.rows[0] and "gift of the venue" in table.rows[0]  # type: ignore[union-attr]
    with on.runtime.ledger.read() as session:
        (stored,) = runs_of(session, outcome="clean_with_accepted")
        assert _shown(stored)["accepted"] == [item.accepted_text]
        newest = latest_full_run(session, ACCOUNT)
        assert newest is not None and newest.run_id == found.run_id, "it compared both sides, so a start may rely on it"


def test_an_accepted_difference_is_watched_beyond_it(on: Stage) -> None:
    """Trading on moves both figures; another cent at the venue, or within the books, opens it again."""
    change(on, LESS_MONEY)
    run(on), run(on)
    decided(on, BreakStep.ACCEPTED)
    assert send(on, "reduces nothing")[1] == "LOCKED_BY_BREAK", "accepting lets nothing out"
    on.sim.control.place_order("main", "MSFTUSDT", "buy", "3")  # other hands trade, with a fee
    found = run(on)
    assert kinds(found) == ["BALANCE_UNEXPLAINED", "ORDER_EXTERNAL"] and len(found.accepted) == 1
    decided(on, BreakStep.CLAIMED, break_id=id_of(on, "ORDER_EXTERNAL"), owner="desk")
    assert run(on).outcome is KNOWN, "its fee is explained, and the 10 are still the 10"
    other_money(on, "99989.99")
    found = run(on)
    assert (found.outcome, found.accepted, len(found.changes.acceptance_ended)) == (BREAKS, (), 1)
    assert "1 no longer as accepted" in (verdict(found).message or "")
    story = read_break(on.runtime.ledger, found.changes.acceptance_ended[0])
    assert (story.events[-1].step, story.line.row.decision, story.line.accepted) == ("acceptance_ended", "", None)
    assert json.loads(story.events[-1].detail)["accepted"]["amount"] == "10"
    other_money(on, "99990")
    assert run(on).outcome is BREAKS, "what ended does not come back by itself"


def test_a_bound_lets_a_sum_move_so_far(on: Stage) -> None:
    change(on, LESS_MONEY)
    run(on), run(on)
    decided(on, BreakStep.ACCEPTED, within=D("0.5"))
    other_money(on, "99989.5")
    assert run(on).outcome is KNOWN
    other_money(on, "99989.49")
    assert run(on).outcome is BREAKS


def test_its_time_ends_it(on: Stage) -> None:
    change(on, LESS_MONEY)
    run(on), run(on)
    decided(on, BreakStep.ACCEPTED, days=1)
    assert run(on).outcome is KNOWN
    connection = sqlite3.connect(on.ledger_url.removeprefix("sqlite:///"))
    with connection:  # the ledger's clock is real: let the acceptance be of another day
        connection.execute("DROP TRIGGER IF EXISTS break_event_no_update")
        (kept,) = connection.execute("SELECT expires_at FROM break_event WHERE step = 'accepted'").fetchone()
        connection.execute("UPDATE break_event SET expires_at = '2000-01-01T00:00:00.000000Z' WHERE step = 'accepted'")
    found = run(on)
    assert (found.outcome, len(found.changes.acceptance_ended)) == (BREAKS, 1)
    with connection:
        connection.execute("UPDATE break_event SET expires_at = ? WHERE step = 'accepted'", (kept,))
    connection.close()


def test_a_person_takes_an_acceptance_back(on: Stage) -> None:
    change(on, LESS_MONEY)
    identity = run(on).changes.opened[0]
    run(on)
    with pytest.raises(BreakRefused) as refused:
        decided(on, BreakStep.UNACCEPTED)
    assert refused.value.reason is BreakReason.BREAK_NOT_ACCEPTED
    decided(on, BreakStep.ACCEPTED)
    assert run(on).outcome is KNOWN
    assert decided(on, BreakStep.UNACCEPTED, reason="it is none").line.accepted is None
    assert run(on).outcome is BREAKS
    steps = [event.step for event in read_break(on.runtime.ledger, identity).events]
    assert steps == ["suspected", "confirmed", "locked", "accepted", "unaccepted"]


def test_accepting_unlocks_nothing_and_counts_as_no_clean_run(on: Stage) -> None:
    change(on, WRONG_POSITION)
    run(on), run(on)
    decided(on, BreakStep.ACCEPTED)
    for _ in range(3):
        found = run(on)
        assert (found.outcome, found.changes.unlocked) == (KNOWN, ())
    assert send(on, "still locked") == LOCKED
    (lock,) = read_breaks(on.runtime.ledger).locks
    assert lock.clean_runs == 0


def test_a_sweep_says_it_too_and_sees_a_change(on: Stage) -> None:
    change(on, WRONG_POSITION)
    at_once = Tolerances(guard=timedelta(0))
    sweep_account(on.runtime, tolerances=at_once), sweep_account(on.runtime, tolerances=at_once)
    decided(on, BreakStep.ACCEPTED)
    found = sweep_account(on.runtime, tolerances=at_once)
    assert (found.outcome, len(found.accepted), found.still_open) == (KNOWN, 1, ())
    assert "agree but for what was accepted: POSITION_VANISHED position AAPL/USDT:USDT -7 (by ann" in sentence(found)
    change(on, "UPDATE position SET quantity = '8' WHERE snapshot_id = 1")
    found = sweep_account(on.runtime, tolerances=at_once)
    assert (found.outcome, found.is_news, found.accepted) == (BREAKS, True, ())


def test_one_accepted_and_one_that_is_not_are_breaks(on: Stage) -> None:
    change(on, LESS_MONEY)
    run(on), run(on)
    decided(on, BreakStep.ACCEPTED)
    on.sim.control.place_order("main", "MSFTUSDT", "buy", "3")
    found = run(on)
    assert (found.outcome, len(found.accepted)) == (BREAKS, 1)
    assert "accepted: BALANCE_UNEXPLAINED" in (verdict(found).message or "")


def test_a_cleared_break_comes_back_without_its_acceptance(on: Stage) -> None:
    change(on, LESS_MONEY)
    run(on), run(on)
    decided(on, BreakStep.ACCEPTED)
    other_money(on, "100000")
    assert run(on).outcome is CLEAN
    other_money(on, "99990")
    assert run(on).outcome is BREAKS


def test_the_statement_names_what_is_accepted(on: Stage) -> None:
    change(on, LESS_MONEY)
    run(on), run(on)
    decided(on, BreakStep.ACCEPTED)
    run(on)
    made = make_statement(on.runtime, on.runtime.clock.now().date())
    assert (made.breaks.opened, len(made.breaks.accepted), made.breaks.since, made.breaks.left) == (1, 1, (), 0)
    report = reports.report_of(made, subject=str(ACCOUNT))
    assert any(made.breaks.accepted[0] in getattr(section, "lines", ()) for section in report.sections)


def test_an_acceptance_from_before_there_was_a_bound_is_named_and_counts_until_it_is_made_anew(on: Stage) -> None:
    change(on, LESS_MONEY)
    run(on), run(on)
    decided(on, BreakStep.ACCEPTED, reason="gift of the venue")
    drop_triggers(on, "break_event")
    (kept,) = [step for step in read_break(on.runtime.ledger, one_of(on)).events if step.step == "accepted"]
    assert kept.expires_at is not None
    change(on, "UPDATE break_event SET expires_at = NULL, detail = '{}' WHERE step = 'accepted'")
    found = run(on)
    assert (found.outcome, found.accepted) == (BREAKS, ())
    named = "counts no longer: accept it again: gift of the venue (ann)"
    (table,) = [part for part in reports.report_of(found).sections if getattr(part, "name", "") == "open_breaks"]
    assert named in str(table)
    assert named in str(reports.report_of(read_breaks(on.runtime.ledger)).sections)
    story = read_break(on.runtime.ledger, found.open_breaks[0].break_id)
    assert "counts no longer: accept it again. It locks" in reports.report_of(story).verdict
    assert not decided(on, BreakStep.ACCEPTED, days=7, within=D(1)).line.is_unbounded
    assert run(on).outcome is KNOWN
    until = kept.expires_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # the audit at the end holds the step as it was written
    values = f"expires_at = '{until}', detail = '{kept.detail}'"
    change(on, f"UPDATE break_event SET {values} WHERE event_id = {kept.event_id}")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"days": 0}, BreakReason.BREAK_DECISION_INCOMPLETE),
        ({"days": 366}, BreakReason.BREAK_DECISION_INCOMPLETE),
        ({"within": D(-1)}, BreakReason.BREAK_DECISION_INCOMPLETE),
        ({"within": D(1)}, BreakReason.BREAK_NOT_BOUNDED),
    ],
)
def test_an_acceptance_has_limits(on: Stage, fields: dict[str, object], reason: BreakReason) -> None:
    on.sim.control.place_order("main", "MSFTUSDT", "buy", "3")
    run(on)
    with pytest.raises(BreakRefused) as refused:
        decided(on, BreakStep.ACCEPTED, **fields)
    assert refused.value.reason is reason


# -- claims that are taken back ---------------------------------------------------------------------------------
def id_of(on: Stage, kind: str) -> str:
    return read_breaks(on.runtime.ledger, kind=kind, cleared=True).lines[0].row.break_id


def test_a_claim_is_taken_back_and_judged_anew(on: Stage) -> None:
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "3")
    run(on)
    identity = id_of(on, "ORDER_EXTERNAL")
    decided(on, BreakStep.CLAIMED, owner="discretionary desk")
    assert run(on).outcome is CLEAN
    story = decided(on, BreakStep.UNCLAIMED, break_id=identity, reason="the desk denies it", set_by="bob")
    row = story.line.row
    assert (row.state, row.owner, row.cleared_at, row.decision) == ("open", None, None, "the desk denies it")
    with on.runtime.ledger.read() as session:
        assert ledger_positions(session, ACCOUNT) == {str(AAPL): D(3)}, "the fill counts, whosever it is"
    found = run(on)
    assert (found.outcome, kinds(found), found.changes.seen_again) == (BREAKS, ["ORDER_EXTERNAL"], (identity,))
    assert [item.step for item in story.events] == ["opened", "claimed", "cleared", "unclaimed"]
    decided(on, BreakStep.CLAIMED, break_id=identity, owner="the other desk")
    assert run(on).outcome is CLEAN
    with pytest.raises(BreakRefused) as refused:
        decided(on, BreakStep.CLAIMED, break_id=identity, owner="me")
    assert refused.value.reason is BreakReason.BREAK_OVER
    assert read_break(on.runtime.ledger, identity).line.row.owner == "the other desk"


def test_a_claim_is_taken_back_however_long_ago_the_order_was(on: Stage) -> None:
    """A look-back of nothing would not reach it: the run goes back to the order's own time."""
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "3")
    run(on)
    decided(on, BreakStep.CLAIMED, owner="desk")
    brief = Tolerances(guard=timedelta(0))
    assert reconcile_account(on.runtime, tolerances=brief, lookback=timedelta(0)).outcome is CLEAN
    identity = id_of(on, "ORDER_EXTERNAL")
    change(on, f"UPDATE reconciliation_break SET evidence = '{{}}' WHERE break_id = '{identity}'")  # as of an open one
    decided(on, BreakStep.UNCLAIMED, break_id=identity)
    found = reconcile_account(on.runtime, tolerances=brief, lookback=timedelta(0))
    assert (kinds(found), found.changes.seen_again) == (["ORDER_EXTERNAL"], (identity,))


def test_only_a_claim_that_stands_is_taken_back(on: Stage) -> None:
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "3")
    run(on)
    for _ in range(2):
        with pytest.raises(BreakRefused) as refused:
            decided(on, BreakStep.UNCLAIMED)
        assert refused.value.reason is BreakReason.BREAK_NOT_CLAIMED
        decided(on, BreakStep.CLAIMED, owner="desk")
        decided(on, BreakStep.UNCLAIMED)
    with on.runtime.ledger.read() as session:
        assert verify_audit(session).findings == []
    assert send(on, "ours", MSFT) == FILLED, "a claim, and taking it back, lock nothing"
