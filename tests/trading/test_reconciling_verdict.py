"""The final state of a reconciliation's flow: completed only when everything agrees and was taken in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from brokers.ids import AccountId
from flows.reconcile import verdict
from ledger.breaks import BreakChanges
from ledger.states import ReconciliationOutcome
from trading.reconciliation import Findings
from trading.reconciling import ReconciliationResult

AT = datetime(2026, 3, 1, tzinfo=UTC)
CLEAN = ReconciliationResult(
    account_id=AccountId.parse("bybit.simulated.main"),
    run_id=1,
    outcome=ReconciliationOutcome.CLEAN,
    findings=Findings(breaks=(), pending=(), news={}, compared={"venue_fills": 3}),
    changes=BreakChanges(),
    window_start=AT,
    started_at=AT,
    ended_at=AT,
    sync=None,
)


def test_agreement_completes() -> None:
    state = verdict(CLEAN)
    assert state.is_completed()
    assert (state.message or "").startswith("No break; compared 0 orders, 3 fills")


def test_a_refused_import_is_no_plain_completion() -> None:
    state = verdict(replace(CLEAN, reason="LEDGER_CONFLICTING_EVIDENCE", detail="fee of trade t1"))
    assert (state.is_failed(), state.name) == (True, "NOT_RECONCILED")
    assert "LEDGER_CONFLICTING_EVIDENCE: fee of trade t1" in (state.message or "")


def test_a_break_that_is_still_open_is_named() -> None:
    still = ("POSITION_DIFFERS position X",)
    state = verdict(replace(CLEAN, outcome=ReconciliationOutcome.BREAKS, still_open=still))
    assert (state.is_failed(), state.name) == (True, "BREAKS_FOUND")
    assert "still open: POSITION_DIFFERS position X" in (state.message or "")
