"""A break is one row for ever: seen again, cleared, open again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.ids import Environment
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
from ledger.locks import standing_lock
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


# -- steps, suspicion and locks, against a model of them ----------------------------------------------------------
class Sight(StrEnum):
    """What one run says of the break."""

    SEEN = "seen"
    NOT_SEEN = "not seen"
    UNJUDGED = "unjudged"
    NOT_COMPARED = "not compared"


@dataclass
class Model:
    """The life of one break as it is meant to be."""

    may_be_timing: bool
    state: str = ""
    is_locked: bool = False
    clean_runs: int = 0

    def run(self, sight: Sight) -> None:
        if sight is Sight.SEEN:
            is_new = self.state in ("", "cleared")
            self.state = "suspected" if is_new and self.may_be_timing else "open"
            if self.state == "open":
                self.is_locked, self.clean_runs = True, 0
            return
        if sight is not Sight.NOT_SEEN or not self.state:
            return
        self.state = "cleared"
        self.clean_runs += self.is_locked
        if self.clean_runs == 2:
            self.is_locked, self.clean_runs = False, 0


class _Undone(Exception):
    """Nothing of a history is kept for the next one."""


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    url = f"sqlite:///{tmp_path_factory.mktemp('lasting') / 'ledger.db'}"
    with Ledger.open(url, environment=Environment.SIMULATED) as opened:
        yield opened


@given(st.booleans(), st.lists(st.sampled_from(Sight), min_size=1, max_size=9), st.integers(0, 1 << 40))
@settings(max_examples=30, deadline=None)
def test_a_break_lives_as_it_is_meant_to(
    lasting: Ledger, may_be_timing: bool, sights: list[Sight], number: int
) -> None:
    account, model = f"bybit.simulated.n{number}", Model(may_be_timing)
    item = replace(POSITION, severity="critical", may_be_timing=may_be_timing, locks="X", lets_reductions_out=False)
    identity = break_id(account, item.kind, item.subject)
    with suppress(_Undone), lasting.write() as session:
        now = lasting.now(session)
        for sight in sights:
            record_breaks(
                session,
                account,
                [item] if sight is Sight.SEEN else [],
                at=now,
                compared_kinds=() if sight is Sight.NOT_COMPARED else None,
                is_unjudged=lambda kind, subject, sight=sight: sight is Sight.UNJUDGED,  # type: ignore[misc]
            )
            model.run(sight)
            row = session.get(ReconciliationBreak, identity)
            assert (row.state if row is not None else "") == model.state
            lock = standing_lock(session, account, "X", now=now, reduces=True)
            assert (lock is not None) is model.is_locked
            assert standing_lock(session, account, "Y", now=now, reduces=False) is None
        raise _Undone


def test_what_locks_an_account_holds_every_instrument_and_lets_reductions_out(ledger: Ledger, samples: Any) -> None:
    run(ledger, samples, 0, replace(POSITION, locks="*"))
    with ledger.read() as session:
        for instrument in ("BTC/USDT:USDT", "AAPL"):
            held = standing_lock(session, samples.account_id, instrument, now=samples.start, reduces=False)
            assert held is not None and str(held).startswith("the account is locked by break ")
            assert standing_lock(session, samples.account_id, instrument, now=samples.start, reduces=True) is None
        assert standing_lock(session, "bybit.simulated.other", "AAPL", now=samples.start, reduces=False) is None
