"""A break is one row for ever: seen again, cleared, open again."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from ledger.breaks import (
    BreakChanges,
    SeenBreak,
    break_id,
    decide_break,
    latest_run,
    open_breaks,
    record_breaks,
    record_run,
)
from ledger.engine import Ledger
from ledger.states import ReconciliationOutcome
from ledger.tables import ReconciliationBreak

MINUTE = timedelta(minutes=1)
POSITION = SeenBreak(
    kind="POSITION_QUANTITY",
    severity="high",
    subject="BTC/USDT:USDT",
    instrument_id="BTC/USDT:USDT",
    ledger_amount=Decimal(1),
    venue_amount=Decimal(3),
    difference=Decimal(2),
    evidence="snapshot 7",
)
FILL = SeenBreak(kind="FILL_MISSING", severity="high", subject="t9")


def run(ledger: Ledger, samples: Any, minute: int, *seen: SeenBreak, **options: Any) -> BreakChanges:
    with ledger.write() as session:
        return record_breaks(session, samples.account_id, seen, at=samples.start + minute * MINUTE, **options)


def row_of(ledger: Ledger, samples: Any, seen: SeenBreak) -> ReconciliationBreak:
    with ledger.read() as session:
        row = session.get(ReconciliationBreak, break_id(samples.account_id, seen.kind, seen.subject))
        assert row is not None
        return row


def test_the_life_of_a_break(ledger: Ledger, samples: Any) -> None:
    identity = break_id(samples.account_id, POSITION.kind, POSITION.subject)
    assert run(ledger, samples, 0, POSITION) == BreakChanges(opened=(identity,))
    assert run(ledger, samples, 1, POSITION) == BreakChanges(seen_again=(identity,))
    row = row_of(ledger, samples, POSITION)
    assert (row.times_seen, row.first_seen_at, row.last_seen_at) == (2, samples.start, samples.start + MINUTE)
    assert (row.ledger_amount, row.venue_amount, row.difference) == (Decimal(1), Decimal(3), Decimal(2))
    assert run(ledger, samples, 2) == BreakChanges(cleared=(identity,))
    assert run(ledger, samples, 3) == BreakChanges()
    assert row_of(ledger, samples, POSITION).cleared_at == samples.start + 2 * MINUTE
    assert run(ledger, samples, 4, POSITION) == BreakChanges(reopened=(identity,))
    row = row_of(ledger, samples, POSITION)
    assert (row.cleared_at, row.times_seen, row.first_seen_at) == (None, 3, samples.start)


def test_only_compared_kinds_are_cleared(ledger: Ledger, samples: Any) -> None:
    run(ledger, samples, 0, POSITION, FILL)
    changes = run(ledger, samples, 1, compared_kinds={"POSITION_QUANTITY"})
    assert changes.cleared == (break_id(samples.account_id, POSITION.kind, POSITION.subject),)
    with ledger.read() as session:
        assert [row.kind for row in open_breaks(session, samples.account_id)] == ["FILL_MISSING"]


def test_what_could_not_be_judged_stays_open(ledger: Ledger, samples: Any) -> None:
    run(ledger, samples, 0, POSITION, FILL)
    changes = run(ledger, samples, 1, is_unjudged=lambda kind, subject: (kind, subject) == ("FILL_MISSING", "t9"))
    assert changes.cleared == (break_id(samples.account_id, POSITION.kind, POSITION.subject),)
    with ledger.read() as session:
        assert [row.kind for row in open_breaks(session, samples.account_id)] == ["FILL_MISSING"]


def test_accounts_do_not_clear_each_others_breaks(ledger: Ledger, samples: Any) -> None:
    run(ledger, samples, 0, POSITION)
    with ledger.write() as session:
        record_breaks(session, "bybit.simulated.other", [POSITION], at=samples.start)
        record_breaks(session, "bybit.simulated.other", [], at=samples.start)
        assert len(open_breaks(session)) == 1
        assert open_breaks(session, "bybit.simulated.other") == ()


def test_a_decision_ends_with_the_break(ledger: Ledger, samples: Any) -> None:
    identity = break_id(samples.account_id, POSITION.kind, POSITION.subject)
    run(ledger, samples, 0, POSITION)
    with ledger.write() as session:
        decide_break(session, identity, decision="manual trade on the web site", decided_by="me", at=samples.start)
    run(ledger, samples, 1, POSITION)
    assert row_of(ledger, samples, POSITION).decided_by == "me"
    run(ledger, samples, 2)
    run(ledger, samples, 3, POSITION)
    assert row_of(ledger, samples, POSITION).decision == ""


def test_a_decision_needs_an_open_break_and_a_name(ledger: Ledger, samples: Any) -> None:
    identity = break_id(samples.account_id, POSITION.kind, POSITION.subject)
    with ledger.write() as session, pytest.raises(LookupError, match="no open break"):
        decide_break(session, identity, decision="x", decided_by="me", at=samples.start)
    run(ledger, samples, 0, POSITION)
    with ledger.write() as session, pytest.raises(ValueError, match="who made it"):
        decide_break(session, identity, decision="x", decided_by=" ", at=samples.start)


def test_two_breaks_may_not_share_an_identity(ledger: Ledger, samples: Any) -> None:
    with pytest.raises(ValueError, match="same kind and subject"):
        run(ledger, samples, 0, POSITION, POSITION)


def test_runs_are_numbered(ledger: Ledger, samples: Any) -> None:
    numbers = []
    for outcome in (ReconciliationOutcome.CLEAN, ReconciliationOutcome.NOT_RECONCILED):
        with ledger.write() as session:
            assert (latest_run(session, samples.account_id) is None) is (numbers == [])
            numbers.append(
                record_run(
                    session,
                    samples.account_id,
                    outcome=outcome,
                    summary="{}",
                    started_at=samples.start,
                    ended_at=samples.start + MINUTE,
                )
            )
    assert numbers == [1, 2]
    with ledger.read() as session:
        latest = latest_run(session, samples.account_id)
        assert latest is not None and latest.outcome == "not_reconciled"
