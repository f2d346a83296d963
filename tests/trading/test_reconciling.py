"""Reconciling a simulated account: what the ledger missed is found before it is imported, and clears by itself."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlmodel import select

from brokers.ids import InstrumentId
from ledger.breaks import latest_run, open_breaks
from ledger.states import ReconciliationOutcome
from ledger.tables import ReconciliationBreak
from tests.trading.simulated import Stage, book, stage
from trading.plans import rebalance
from trading.reconciliation import BreakKind, Tolerances
from trading.reconciling import ReconciliationResult, reconcile_account
from trading.sync import sync_account

D = Decimal
AAPL = InstrumentId("AAPL/USDT:USDT")
AT_ONCE = Tolerances(guard=timedelta(0))


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as opened:
        sync_account(opened.runtime.ledger, opened.runtime.broker, clock=opened.clock)
        yield opened


def run(on: Stage, **options: object) -> ReconciliationResult:
    options.setdefault("tolerances", AT_ONCE)
    return reconcile_account(on.runtime, **options)  # type: ignore[arg-type]


def kinds(found: ReconciliationResult) -> list[str]:
    assert found.findings is not None
    return [item.kind.value for item in found.findings.breaks]


def forget(on: Stage, table: str, where: str = "1=1") -> None:
    """Lose evidence behind the ledger's back, as a restored backup would."""
    connection = sqlite3.connect(on.ledger_url.removeprefix("sqlite:///"))
    with connection:
        drop_triggers(connection, table)
        assert connection.execute(f"DELETE FROM {table} WHERE {where}").rowcount > 0
    connection.close()


def drop_triggers(connection: sqlite3.Connection, table: str) -> None:
    """The ledger refuses changes of evidence; a test has to break that first."""
    query = "SELECT name FROM sqlite_master WHERE type='trigger' AND tbl_name=?"
    for (name,) in connection.execute(query, (table,)).fetchall():
        connection.execute(f"DROP TRIGGER {name}")


def test_a_quiet_account_is_clean(on: Stage) -> None:
    found = run(on)
    assert found.outcome is ReconciliationOutcome.CLEAN
    assert found.sync is not None
    with on.runtime.ledger.read() as session:
        stored = latest_run(session, on.runtime.account_id)
    assert stored is not None
    assert stored.outcome == "clean"
    assert json.loads(stored.summary)["compared"]["balances"] == 1


def test_foreign_trading_after_the_last_sync_is_news_and_is_imported(on: Stage) -> None:
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "3")
    on.sim.control.deposit("main", "USDT", "500")
    found = run(on)
    assert kinds(found) == ["ORDER_EXTERNAL"]
    assert found.findings is not None
    assert found.findings.news == {"cash_events": 2, "fills": 1, "orders": 1}
    again = run(on)
    assert again.findings is not None
    assert (kinds(again), again.findings.news) == (["ORDER_EXTERNAL"], {})


def test_a_missed_fill_is_found_then_imported_and_the_break_clears(on: Stage) -> None:
    rebalance(on.runtime, book({str(AAPL): "0.4"}), business_key="run-1")
    forget(on, "fill")
    found = run(on)
    assert kinds(found) == ["FILL_MISSING_IN_LEDGER"]
    assert found.outcome is ReconciliationOutcome.BREAKS
    assert len(found.changes.opened) == 1
    again = run(on)
    assert again.outcome is ReconciliationOutcome.CLEAN
    assert again.changes.cleared == found.changes.opened
    with on.runtime.ledger.read() as session:
        (row,) = session.exec(select(ReconciliationBreak)).all()
    assert row.cleared_at is not None
    assert row.venue_amount == on.positions()["AAPLUSDT"]


def test_a_missed_wallet_change_is_found_with_its_amount(on: Stage) -> None:
    on.sim.control.deposit("main", "USDT", "123.45")
    run(on)
    forget(on, "cash_event", "amount = '123.45'")
    found = run(on)
    assert kinds(found) == ["CASH_EVENT_MISSING_IN_LEDGER"]
    assert found.findings is not None
    assert found.findings.breaks[0].venue_amount == D("123.45")
    assert run(on).outcome is ReconciliationOutcome.CLEAN


def test_a_missed_order_is_found(on: Stage) -> None:
    rebalance(on.runtime, book({str(AAPL): "0.4"}), business_key="run-1")
    forget(on, "venue_order")
    assert kinds(run(on)) == ["ORDER_UNKNOWN_TO_LEDGER"]
    assert run(on).outcome is ReconciliationOutcome.CLEAN


def test_evidence_that_the_venue_does_not_show_is_a_break_that_stays(on: Stage) -> None:
    rebalance(on.runtime, book({str(AAPL): "0.4"}), business_key="run-1")
    connection = sqlite3.connect(on.ledger_url.removeprefix("sqlite:///"))
    with connection:
        connection.execute("CREATE TEMP TABLE copy AS SELECT * FROM fill")
        connection.execute("UPDATE copy SET trade_id='invented'")
        connection.execute("INSERT INTO fill SELECT * FROM copy")
    connection.close()
    for _ in range(2):
        found = run(on)
        assert kinds(found) == ["FILL_MISSING_AT_VENUE"]
    assert len(found.changes.seen_again) == 1


def test_a_changed_fill_is_a_break_and_the_import_is_refused(on: Stage) -> None:
    rebalance(on.runtime, book({str(AAPL): "0.4"}), business_key="run-1")
    connection = sqlite3.connect(on.ledger_url.removeprefix("sqlite:///"))
    with connection:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type='trigger' AND tbl_name='fill'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE fill SET fee='0.01'")
    connection.close()
    found = run(on)
    assert kinds(found) == ["FEE_DIFFERS"]
    assert found.reason == "LEDGER_CONFLICTING_EVIDENCE"
    assert "fee" in found.detail


def test_a_venue_that_cannot_be_read_is_never_called_clean(on: Stage) -> None:
    with on.runtime.ledger.read() as session:
        assert open_breaks(session) == ()
    on.sim.control.fault("status", path="/v5/execution/list", status=503, execute=False, times=None)
    found = run(on)
    assert found.outcome is ReconciliationOutcome.NOT_RECONCILED
    assert found.reason == "VENUE_FAULTED"
    assert found.findings is None
    with on.runtime.ledger.read() as session:
        stored = latest_run(session, on.runtime.account_id)
    assert stored is not None
    assert (stored.outcome, json.loads(stored.summary)["reason"]) == ("not_reconciled", "VENUE_FAULTED")


def test_an_unreadable_venue_clears_no_break(on: Stage) -> None:
    rebalance(on.runtime, book({str(AAPL): "0.4"}), business_key="run-1")
    forget(on, "fill")
    assert run(on).outcome is ReconciliationOutcome.BREAKS
    on.sim.control.fault("drop", path="/v5/position/list", times=None)
    assert run(on).outcome is ReconciliationOutcome.NOT_RECONCILED
    with on.runtime.ledger.read() as session:
        assert len(open_breaks(session)) == 1


def test_without_a_baseline_nothing_is_compared(tmp_path: Path) -> None:
    with stage(tmp_path) as on:
        found = run(on)
        assert (found.outcome, found.reason) == (ReconciliationOutcome.NOT_RECONCILED, "LEDGER_NO_BASELINE")


def test_leverage_is_compared_with_what_was_set(on: Stage) -> None:
    assert run(on, expected_leverage={AAPL: D(10)}).outcome is ReconciliationOutcome.CLEAN
    found = run(on, expected_leverage={AAPL: D(3)})
    assert kinds(found) == [BreakKind.LEVERAGE_DIFFERS.value]
    assert run(on).changes.cleared == ()  # not compared, so not cleared
    assert len(run(on, expected_leverage={AAPL: D(10)}).changes.cleared) == 1


def test_a_restored_open_order_that_the_venue_lost_is_found_by_look_up(on: Stage) -> None:
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "1", price="150")
    run(on)
    assert kinds(run(on)) == ["ORDER_EXTERNAL"]
    connection = sqlite3.connect(on.ledger_url.removeprefix("sqlite:///"))
    with connection:
        connection.execute("UPDATE venue_order SET venue_order_id='00000000-0000-0000-0000-000000000000'")
    connection.close()
    assert kinds(run(on)) == ["ORDER_EXTERNAL", "ORDER_MISSING_AT_VENUE"]
