"""I13 on a ledger that real reconciliations wrote: each way in which money on record can fail to add up is named."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from brokers.ids import Environment, InstrumentId
from brokers.types import OrderSide
from ledger.engine import Ledger
from ledger.evidence import read_evidence
from ledger.invariants import Invariant, check_ledger
from ledger.states import BreakStep, ReconciliationOutcome
from tests.trading.simulated import ACCOUNT, Stage, send, stage
from trading.breaks import Decision, decide, read_breaks
from trading.reconciliation import Tolerances
from trading.reconciling import reconcile_account
from trading.sync import sync_account

LONG_AFTER = "UPDATE reconciliation_run SET started_at = '2100-01-01T00:00:00.000000Z'"  # all its rows
OTHER_OPENING = "UPDATE balance SET total = '99990' WHERE snapshot_id = 1"


def _change(file: Path, *statements: str) -> None:
    """Change a ledger behind its back, past the triggers that keep evidence append-only."""
    with closing(sqlite3.connect(file)) as connection, connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert connection.execute(statement).rowcount > 0, statement


def _copy(file: Path, place: Path) -> Path:
    return Path(shutil.copy(file, place / "ledger.sqlite"))


def _run(on: Stage) -> ReconciliationOutcome:
    return reconcile_account(on.runtime, tolerances=Tolerances(guard=timedelta(0))).outcome


def _correct(on: Stage, **fields: int) -> None:
    break_id = read_breaks(on.runtime.ledger).lines[0].row.break_id
    decide(on.runtime.ledger, Decision(step=BreakStep.CORRECTED, break_id=break_id, reason="R", set_by="ann", **fields))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Trades, a deposit; then a balance that differs by 10, which is corrected, taken back and corrected again."""
    place = tmp_path_factory.mktemp("balances")
    with stage(place) as on:
        sync_account(on.runtime.ledger, on.runtime.broker, clock=on.clock)
        send(on, "buy", InstrumentId("AAPL/USDT:USDT"), OrderSide.BUY, "3")
        on.sim.control.deposit("main", "USDT", "250.5")
        assert [_run(on), _run(on)] == [ReconciliationOutcome.CLEAN] * 2
        shutil.copy(place / "ledger.sqlite", place / "clean.sqlite")
        _change(place / "ledger.sqlite", OTHER_OPENING)
        assert [_run(on), _run(on)] == [ReconciliationOutcome.BREAKS] * 2
        shutil.copy(place / "ledger.sqlite", place / "broken.sqlite")
        _correct(on)
        _correct(on, reverses=1)
        _correct(on)
        assert _run(on) is ReconciliationOutcome.CLEAN
        shutil.copy(place / "ledger.sqlite", place / "corrected.sqlite")
    yield place


def _found(file: Path) -> list[str]:
    with Ledger.open(f"sqlite:///{file}", environment=Environment.SIMULATED) as ledger, ledger.read() as session:
        assert read_evidence(session, ACCOUNT).balances.rows, "the newest run is compared with the rows"
        found = [item.detail for item in check_ledger(session) if item.invariant is Invariant.BALANCED]
        assert found == [item.detail for item in check_ledger(session, ACCOUNT) if item.invariant is Invariant.BALANCED]
    return found


@pytest.mark.parametrize("name", ["clean", "broken", "corrected"])
def test_what_adds_up_is_not_named(played: Path, tmp_path: Path, name: str) -> None:
    """Neither at once nor later, when rows of the time of the run no longer get the benefit of the doubt."""
    file = _copy(played / f"{name}.sqlite", tmp_path)
    assert _found(file) == []
    _change(file, LONG_AFTER)
    assert _found(file) == []


def _stored(before: str, after: str, *, run: int) -> str:
    return f"UPDATE reconciliation_run SET summary = replace(summary, '{before}', '{after}') WHERE run_id = {run}"


CASES = [
    ("clean", "DELETE FROM cash_event WHERE kind = 'deposit' OR kind = 'transfer'", "the rows add up to"),
    ("clean", "UPDATE cash_event SET amount = '0.001' WHERE amount < '0'", "the rows add up to"),
    ("clean", "UPDATE cash_event SET currency = 'USDC' WHERE amount = '250.5'", "equation of USDC"),
    ("clean", "INSERT INTO cash_event SELECT account_id, 'again', kind, venue_kind, currency, amount, balance_after, "
     "instrument_id, trade_id, venue_order_id, time, recorded_at FROM cash_event WHERE amount = '250.5'",
     "the rows add up to"),
    ("clean", OTHER_OPENING, "the opening reading is 99990"),
    ("clean", _stored('"250.5"', '"250.4"', run=1), "opening and terms add up to"),
    ("clean", _stored('"difference":"0"', '"difference":"1"', run=2), "the venue showed 0 beyond what is expected"),
    ("broken", _stored('"state":"differs"', '"state":"holds"', run=4), "it is said to hold, 10 is left over"),
    ("broken", _stored('"state":"differs"', '"state":"fees_due"', run=4), "fees to come explain 0 to 0"),
    ("broken", "DELETE FROM reconciliation_break", "10 is left over (differs), and no break carries it"),
    ("broken", "UPDATE reconciliation_break SET currency = 'BTC'", "10 is left over (differs), and no break carries"),
    ("broken", "UPDATE break_event SET step = 'cleared' WHERE step = 'confirmed'", "and no break carries it"),
    ("broken", "UPDATE reconciliation_run SET summary = replace(summary, '\"differs\"', '\"pending\"'), "
     "outcome = 'clean' WHERE run_id = 4", "it is pending, and the run was called clean"),
    ("corrected", "UPDATE adjustment SET amount = '-9' WHERE reverses = 1", "correcting entries 1 and 2 leave 1"),
    ("corrected", "UPDATE adjustment SET currency = 'BTC' WHERE reverses = 1", "takes back 1, which is no such entry"),
    ("corrected", "UPDATE adjustment SET reverses = 1 WHERE adjustment_id = 3", "entry 1 is taken back twice"),
    ("corrected", "DELETE FROM adjustment WHERE adjustment_id = 3", "the rows add up to"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "statement", "finding"), CASES)
def test_what_does_not_add_up_is_named(played: Path, tmp_path: Path, name: str, statement: str, finding: str) -> None:
    file = _copy(played / f"{name}.sqlite", tmp_path)
    _change(file, LONG_AFTER, statement)
    assert any(finding in told for told in _found(file)), _found(file)


def test_a_row_that_became_visible_later_is_no_finding(played: Path, tmp_path: Path) -> None:
    file = _copy(played / "clean.sqlite", tmp_path)
    _change(
        file,
        LONG_AFTER,
        "INSERT INTO cash_event SELECT account_id, 'late', kind, venue_kind, currency, '-1.5', NULL, instrument_id, "
        "trade_id, venue_order_id, time, '2101-01-01T00:00:00.000000Z' FROM cash_event WHERE amount = '250.5'",
    )
    assert _found(file) == []
    _change(file, "UPDATE cash_event SET recorded_at = '2000-01-01T00:00:00.000000Z' WHERE event_id = 'late'")
    assert any("the rows add up to" in told for told in _found(file))
