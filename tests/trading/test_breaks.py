"""What people do about breaks, on a simulated account: claims, corrections and back, locks, overrides."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from sqlmodel import select

from brokers.ids import InstrumentId
from brokers.types import OrderRequest, OrderSide, OrderType, TimeInForce
from ledger.auditing import verify_audit
from ledger.break_tables import InferredFill
from ledger.breaks import record_breaks
from ledger.invariants import check_ledger
from ledger.snapshots import ledger_balances, ledger_positions
from ledger.states import BreakStep, ReconciliationOutcome
from tests.trading.simulated import ACCOUNT, Stage, stage
from trading.breaks import BreakReason, BreakRefused, Decision, decide, read_break, read_breaks
from trading.orders import WantedOrder, gates
from trading.reconciliation import Break, BreakKind, Tolerances
from trading.reconciling import ReconciliationResult, reconcile_account
from trading.sync import sync_account

D = Decimal
AAPL, MSFT = InstrumentId("AAPL/USDT:USDT"), InstrumentId("MSFT/USDT:USDT")
AT_ONCE = Tolerances(guard=timedelta(0))
CLEAN, BREAKS = ReconciliationOutcome.CLEAN, ReconciliationOutcome.BREAKS


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as opened:
        sync_account(opened.runtime.ledger, opened.runtime.broker, clock=opened.clock)
        yield opened
        with opened.runtime.ledger.read() as session:
            assert verify_audit(session).findings == []
            assert [str(item) for item in check_ledger(session) if item.invariant in ("I16", "I17")] == []


def run(on: Stage) -> ReconciliationResult:
    return reconcile_account(on.runtime, tolerances=AT_ONCE)


def kinds(found: ReconciliationResult) -> list[str]:
    assert found.findings is not None
    return [item.kind.value for item in found.findings.breaks]


def change(on: Stage, *statements: str) -> None:
    """Change the ledger behind its back, as a restored backup would."""
    connection = sqlite3.connect(on.ledger_url.removeprefix("sqlite:///"))
    with connection:
        for statement in statements:
            assert connection.execute(statement).rowcount > 0
    connection.close()


def drop_triggers(on: Stage, table: str) -> None:
    """The ledger refuses changes of evidence; a test has to break that first."""
    connection = sqlite3.connect(on.ledger_url.removeprefix("sqlite:///"))
    with connection:
        for verb in ("update", "delete"):
            connection.execute(f"DROP TRIGGER IF EXISTS {table}_no_{verb}")
    connection.close()


def send(
    on: Stage,
    key: str,
    instrument_id: InstrumentId = AAPL,
    *,
    side: OrderSide = OrderSide.BUY,
    before: Callable[[], object] | None = None,
    **terms: Any,
) -> Any:
    """Ask the desk for a market order of 1 and say what became of it."""
    runtime = on.runtime
    quote = runtime.broker.quotes([instrument_id])[0]
    request = OrderRequest(
        instrument_id=instrument_id,
        side=side,
        order_type=OrderType.MARKET,
        quantity=D(1),
        time_in_force=TimeInForce.IOC,
        **terms,
    )
    wanted = WantedOrder(
        account_id=runtime.account_id, business_key=key, source="cli", request=request, reference=quote, ttl_s=30
    )
    if before is not None:
        before()
    runtime.desk.submit(wanted)
    (view,) = runtime.desk.drive([wanted.intent_id], timeout_s=20)
    return view.state.value, str(view.reason)


def decided(on: Stage, step: BreakStep, **fields: Any) -> Any:
    if "break_id" not in fields:
        fields["break_id"] = read_breaks(on.runtime.ledger).lines[0].row.break_id
    fields = {"reason": "as the venue's screen shows", "set_by": "ann", **fields}
    return decide(on.runtime.ledger, Decision(step=step, **fields))


WRONG_POSITION = (
    f"INSERT INTO position (snapshot_id, instrument_id, position_side, quantity) VALUES (1, '{AAPL}', 'net', '7')"
)
FILLED, LOCKED = ("filled", "COMPLETELY_FILLED"), ("denied", "LOCKED_BY_BREAK")


# -- locks ------------------------------------------------------------------------------------------------------
def test_a_wrong_position_locks_its_instrument_until_two_runs_do_not_see_it(on: Stage) -> None:
    assert send(on, "held") == FILLED
    change(on, WRONG_POSITION)
    first = run(on)
    assert (kinds(first), len(first.changes.suspected)) == (["POSITION_DIFFERS"], 1)
    assert send(on, "before it is sure", MSFT) == FILLED
    sure = run(on)
    assert (sure.changes.confirmed, sure.changes.locked) == (first.changes.opened, (f"{ACCOUNT} {AAPL}",))
    assert send(on, "add") == LOCKED
    assert send(on, "reduce", side=OrderSide.SELL, reduce_only=True) == LOCKED, (
        "how much there is to reduce is in doubt"
    )
    assert send(on, "another instrument", MSFT) == FILLED
    decided(on, BreakStep.CORRECTED)
    assert send(on, "corrected and not seen yet") == LOCKED
    once = run(on)
    assert (once.changes.cleared, once.changes.unlocked) == (first.changes.opened, ())
    assert send(on, "one clean run") == LOCKED
    assert run(on).changes.unlocked == (f"{ACCOUNT} {AAPL}",)
    assert send(on, "two clean runs") == FILLED
    assert [item.step for item in read_break(on.runtime.ledger, first.changes.opened[0]).events] == [
        *("suspected", "confirmed", "locked", "corrected", "cleared", "unlocked")
    ]


def test_wrong_money_locks_what_adds_in_the_whole_account_and_lets_reductions_out(on: Stage) -> None:
    assert send(on, "held", MSFT) == FILLED
    assert run(on).outcome is CLEAN
    change(on, "UPDATE balance SET total = '99990' WHERE snapshot_id = 1")
    assert kinds(run(on)) == ["BALANCE_UNEXPLAINED"]
    assert run(on).changes.locked == (f"{ACCOUNT} *",)
    assert send(on, "add", MSFT) == LOCKED
    assert send(on, "reduce", MSFT, side=OrderSide.SELL, reduce_only=True) == FILLED


def test_what_was_seen_once_and_not_again_locks_nothing(on: Stage) -> None:
    change(on, WRONG_POSITION)
    run(on)
    change(on, "DELETE FROM position")
    found = run(on)
    assert (found.outcome, len(found.changes.cleared), found.changes.locked) == (CLEAN, 1, ())
    assert send(on, "free") == FILLED


def test_a_run_that_could_not_judge_a_break_counts_for_nothing(on: Stage) -> None:
    change(on, WRONG_POSITION)
    run(on), run(on)
    change(on, "DELETE FROM position")
    on.sim.control.fault("drop", path="/v5/position/list", times=None)
    for _ in range(3):
        assert run(on).outcome is ReconciliationOutcome.NOT_RECONCILED
    assert send(on, "unread")[0] != "filled"
    on.sim.control.clear_faults()
    assert run(on).changes.unlocked == ()
    assert len(run(on).changes.unlocked) == 1


def test_an_override_lets_out_until_its_time_and_takes_no_lock_away(on: Stage) -> None:
    change(on, WRONG_POSITION)
    run(on), run(on)
    story = decided(on, BreakStep.OVERRIDDEN, hours=2)
    assert story.line.is_overridden
    assert send(on, "overridden") == FILLED
    change(on, "UPDATE instrument_lock SET overridden_until = '2000-01-01T00:00:00.000000Z'")
    assert send(on, "its time is over") == LOCKED


def test_no_sender_passes_a_lock_that_is_set_while_it_sends(on: Stage) -> None:
    """Two processes' desks send while a run sets the lock: what was committed before it went, nothing after."""
    doubt = Break(kind=BreakKind.FILL_MISSING_AT_VENUE, subject="trade 1", instrument_id=AAPL)
    others, ready = [on.open_again() for _ in range(2)], Barrier(3)

    def trade(number: int) -> list[tuple[str, str]]:
        mine = replace(on, runtime=others[number])
        return [send(mine, f"{number}-{key}", before=ready.wait if key == 2 else None) for key in range(5)]

    with ThreadPoolExecutor(2) as pool:
        ends = [pool.submit(trade, number) for number in range(2)]
        ready.wait()
        with on.runtime.ledger.write() as session:
            record_breaks(session, ACCOUNT, [doubt.as_seen()], at=on.runtime.ledger.now(session))
        found = [end for done in ends for end in done.result()]
    assert set(found) == {FILLED, LOCKED}
    assert found.count(FILLED) == len(on.venue_orders())


def test_a_send_past_the_gate_is_named_by_the_invariant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with stage(tmp_path) as on:
        sync_account(on.runtime.ledger, on.runtime.broker, clock=on.clock)
        change(on, WRONG_POSITION)
        run(on), run(on)
        monkeypatch.setattr(gates, "_lock", lambda session, row, now: None)
        assert send(on, "past the gate") == FILLED
        with on.runtime.ledger.read() as session:
            (finding,) = [item for item in check_ledger(session) if item.invariant == "I16"]
    assert f"locked {AAPL} then" in finding.detail


@pytest.mark.parametrize("hours", [0, 25])
def test_an_override_has_a_limit(on: Stage, hours: int) -> None:
    change(on, WRONG_POSITION)
    run(on), run(on)
    with pytest.raises(BreakRefused, match=f"hours must be 1 to 24, was {hours}"):
        decided(on, BreakStep.OVERRIDDEN, hours=hours)


# -- correcting entries -----------------------------------------------------------------------------------------
def test_a_correcting_entry_counts_from_then_on_and_another_takes_it_back(on: Stage) -> None:
    change(on, "UPDATE balance SET total = '99990' WHERE snapshot_id = 1")
    run(on)
    with pytest.raises(BreakRefused) as refused:
        decided(on, BreakStep.CORRECTED)
    assert refused.value.reason is BreakReason.BREAK_UNSURE
    run(on)
    (entry,) = decided(on, BreakStep.CORRECTED).adjustments
    assert (entry.currency, entry.amount, entry.instrument_id) == ("USDT", D(10), None)
    with pytest.raises(BreakRefused) as refused:
        decided(on, BreakStep.CORRECTED)
    assert refused.value.reason is BreakReason.BREAK_CORRECTED_ALREADY
    identity = run(on).changes.cleared[0]
    assert run(on).outcome is CLEAN
    with on.runtime.ledger.read() as session:
        assert ledger_balances(session, ACCOUNT) == {"USDT": D(100_000)}
    story = decided(on, BreakStep.CORRECTED, break_id=identity, reverses=entry.adjustment_id, reason="it was no gift")
    assert [row.amount for row in story.adjustments] == [D(10), D(-10)]
    assert run(on).changes.reopened == (identity,)
    with pytest.raises(BreakRefused) as refused:
        decided(on, BreakStep.CORRECTED, break_id=identity, reverses=entry.adjustment_id)
    assert refused.value.reason is BreakReason.BREAK_ENTRY_UNKNOWN


def test_a_part_of_a_sum_is_corrected_and_the_rest_stays_a_break(on: Stage) -> None:
    change(on, WRONG_POSITION)
    run(on), run(on)
    decided(on, BreakStep.CORRECTED, amount=D(-5))
    found = run(on)
    assert found.findings is not None
    assert [(item.kind.value, item.difference) for item in found.findings.breaks] == [("POSITION_VANISHED", D(-2))]


def test_a_fill_that_the_venue_took_back_is_corrected_whole(on: Stage) -> None:
    assert send(on, "real") == FILLED
    assert run(on).outcome is CLEAN
    connection = sqlite3.connect(on.ledger_url.removeprefix("sqlite:///"))
    with connection:
        connection.execute("CREATE TEMP TABLE copy AS SELECT * FROM fill")
        connection.execute("UPDATE copy SET trade_id = 'busted'")
        connection.execute("INSERT INTO fill SELECT * FROM copy")
    connection.close()
    assert kinds(run(on)) == ["FILL_MISSING_AT_VENUE"]
    assert send(on, "locked at once") == LOCKED
    with pytest.raises(BreakRefused, match="give no amount"):
        decided(on, BreakStep.CORRECTED, amount=D(1))
    decided(on, BreakStep.CORRECTED)
    found = run(on)
    assert (kinds(found), len(found.changes.cleared)) == ([], 1)
    with on.runtime.ledger.read() as session:
        assert ledger_positions(session, ACCOUNT) == {str(AAPL): D(1)}


def test_a_fee_that_the_venue_changed_is_corrected_and_no_longer_stops_the_import(on: Stage) -> None:
    assert send(on, "real") == FILLED
    drop_triggers(on, "fill")
    change(on, "UPDATE fill SET fee = '0.01'")
    found = run(on)
    assert (kinds(found), found.reason) == (["FEE_DIFFERS"], "LEDGER_CONFLICTING_EVIDENCE")
    decided(on, BreakStep.CORRECTED)
    found = run(on)
    assert (found.outcome, found.reason) == (CLEAN, "")
    drop_triggers(on, "fill")
    change(on, "UPDATE fill SET price = '1'")
    assert kinds(run(on)) == ["FILL_DIFFERS"], "a correction is of one content, not of the fact for ever"


def test_what_no_entry_puts_right_is_refused(on: Stage) -> None:
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "3")
    run(on)
    with pytest.raises(BreakRefused, match="put right by its cause"):
        decided(on, BreakStep.CORRECTED)


# -- other hands ------------------------------------------------------------------------------------------------
def test_an_order_of_other_hands_is_flagged_until_it_is_claimed(on: Stage) -> None:
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "3")
    found = run(on)
    assert (kinds(found), found.outcome, found.changes.locked) == (["ORDER_EXTERNAL"], BREAKS, ())
    assert kinds(run(on)) == ["ORDER_EXTERNAL"], "imported, and still nobody's"
    assert send(on, "ours") == FILLED
    story = decided(on, BreakStep.CLAIMED, owner="discretionary desk")
    assert story.line.row.owner == "discretionary desk"
    found = run(on)
    assert (found.outcome, len(found.changes.cleared)) == (CLEAN, 1)


def test_only_what_other_hands_did_is_claimed(on: Stage) -> None:
    change(on, WRONG_POSITION)
    run(on)
    with pytest.raises(BreakRefused) as refused:
        decided(on, BreakStep.CLAIMED, owner="me")
    assert refused.value.reason is BreakReason.BREAK_NOT_CLAIMABLE


# -- inferred fills ---------------------------------------------------------------------------------------------
@contextmanager
def feed_without_fills(on: Stage) -> Iterator[None]:
    """The venue's feed of fills lags; orders and positions do not."""
    broker, read = on.runtime.broker, on.runtime.broker.fills
    broker.fills = lambda **window: ()  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        broker.fills = read  # type: ignore[method-assign]


def test_a_fill_that_the_feed_does_not_show_is_inferred_and_the_real_one_takes_its_place(on: Stage) -> None:
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "3")
    with feed_without_fills(on):
        first = run(on)
        assert kinds(first) == ["FILL_INFERRED", "ORDER_EXTERNAL"], "position and order agree: one cause, one break"
        assert inferred(on) == []
        run(on)
        (kept,) = inferred(on)
        assert (kept.quantity, kept.cumulative_from, kept.cumulative_to) == (D(3), D(0), D(3))
        with on.runtime.ledger.read() as session:
            assert ledger_positions(session, ACCOUNT) == {str(AAPL): D(3)}
        assert kinds(run(on)) == ["FILL_INFERRED", "ORDER_EXTERNAL"]
        assert [row.inferred_id for row in inferred(on)] == [kept.inferred_id], "the same again changes nothing"
    found = run(on)
    assert kinds(found) == ["ORDER_EXTERNAL"]
    assert found.findings is not None and len(found.findings.replaced) == 1
    with on.runtime.ledger.read() as session:
        assert ledger_positions(session, ACCOUNT) == {str(AAPL): D(3)}, "counted once"
    assert (kinds(run(on)), len(inferred(on))) == (["ORDER_EXTERNAL"], 1)


def inferred(on: Stage) -> list[InferredFill]:
    with on.runtime.ledger.read() as session:
        return list(session.exec(select(InferredFill)))


# -- words ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("step", "fields", "named"),
    [
        (BreakStep.ACCEPTED, {"reason": " "}, "reason must be given"),
        (BreakStep.EXPLAINED, {"set_by": ""}, "set_by must be given"),
        (BreakStep.ASSIGNED, {}, "owner must be given"),
        (BreakStep.OVERRIDDEN, {"hours": 1}, "locks nothing"),
    ],
)
def test_a_decision_says_what_it_needs(on: Stage, step: BreakStep, fields: dict[str, str], named: str) -> None:
    change(on, WRONG_POSITION)
    run(on)
    with pytest.raises(BreakRefused, match=named):
        decided(on, step, **fields)


def test_decisions_are_steps_and_none_edits_another(on: Stage) -> None:
    change(on, WRONG_POSITION)
    identity = run(on).changes.opened[0]
    decided(on, BreakStep.ASSIGNED, owner="bob", reason="he moved it")
    decided(on, BreakStep.EXPLAINED, break_id=identity[:8], reason="a transfer of shares", set_by="bob")
    story = decided(on, BreakStep.ACCEPTED, reason="until Monday", set_by="eve")
    assert [(item.step, item.who, item.reason) for item in story.events[1:]] == [
        ("assigned", "person:ann", "he moved it"),
        ("explained", "person:bob", "a transfer of shares"),
        ("accepted", "person:eve", "until Monday"),
    ]
    assert (story.line.row.owner, story.line.row.decision, story.line.row.decided_by) == ("bob", "until Monday", "eve")
    with pytest.raises(BreakRefused) as refused:
        decided(on, BreakStep.ACCEPTED, break_id="nope")
    assert refused.value.reason is BreakReason.BREAK_UNKNOWN
    change(on, "DELETE FROM position")
    run(on)
    with pytest.raises(BreakRefused) as refused:
        decided(on, BreakStep.ACCEPTED, break_id=identity)
    assert refused.value.reason is BreakReason.BREAK_OVER
