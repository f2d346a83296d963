"""The invariants of trading/reconciliation/accepting.py: what is accepted stays so, anything else does not."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.strictjson import encode
from ledger.acceptances import Acceptance
from ledger.breaks import SeenBreak
from tests.trading.reconciliation.building import NOW, make_books
from tests.trading.reconciliation.test_reconcile import CORRUPTIONS
from trading.reconciliation import BreakKind, reconcile
from trading.reconciliation.accepting import accepted_amount, accepted_content, is_as_accepted, is_sum
from trading.reconciliation.model import FEES_DUE

D = Decimal
AT = datetime(2026, 3, 1, tzinfo=UTC)
amounts = st.decimals(min_value=-(10**9), max_value=10**9, places=8)
bounds = st.decimals(min_value=0, max_value=1000, places=8)


def accepted(seen: SeenBreak, *, within: Decimal = D(0)) -> Acceptance:
    found = (seen.kind, seen.ledger_amount, seen.venue_amount, json.loads(seen.evidence or "{}"))
    return Acceptance(
        amount=accepted_amount(*found),
        content=accepted_content(*found),
        within=within,
        reason="known",
        accepted_by="ann",
        accepted_at=AT,
        expires_at=AT + timedelta(days=1),
    )


def balance(ledger: Decimal, venue: Decimal, *, tolerance: Decimal = D(0), **evidence: str) -> SeenBreak:
    return SeenBreak(
        kind=BreakKind.BALANCE_UNEXPLAINED.value,
        severity="critical",
        subject="balance USDT",
        currency="USDT",
        ledger_amount=ledger,
        venue_amount=venue,
        tolerance=tolerance,
        evidence=encode(evidence),
    )


@pytest.mark.parametrize(("kind", "corrupt"), [c[1:] for c in CORRUPTIONS], ids=[c[0] for c in CORRUPTIONS])
def test_every_kind_seen_again_the_same_is_as_accepted(kind: BreakKind, corrupt: object) -> None:
    books = make_books(seed=7)
    corrupt(books, 3)  # type: ignore[operator]
    (first,) = reconcile(books.ledger_view(), books.venue_view(), now=NOW + timedelta(hours=1)).breaks
    books.read_at = NOW + timedelta(minutes=5)
    (again,) = reconcile(books.ledger_view(), books.venue_view(), now=NOW + timedelta(hours=2)).breaks
    assert is_as_accepted(again.as_seen(), accepted(first.as_seen()))
    other = replace(again, venue_amount=(again.venue_amount or D(0)) + D("0.00000001"))
    assert not is_as_accepted(other.as_seen(), accepted(first.as_seen())), kind


@given(amounts, amounts, amounts, bounds, amounts)
def test_a_sum_s_difference_counts_and_not_its_figures(
    ledger: Decimal, venue: Decimal, traded: Decimal, within: Decimal, moved: Decimal
) -> None:
    known = accepted(balance(ledger, venue), within=within)
    assert is_as_accepted(balance(ledger + traded, venue + traded), known)
    assert is_as_accepted(balance(ledger, venue + moved), known) == (abs(moved) <= within)


@given(amounts, amounts, amounts)
def test_what_is_not_imported_yet_is_no_part_of_it(ledger: Decimal, venue: Decimal, news: Decimal) -> None:
    known = accepted(balance(ledger, venue))
    seen = balance(ledger, venue + news, news_facts_sum=f"{news:f}")
    assert is_as_accepted(seen, known)
    assert accepted(seen).amount == known.amount
    assert is_as_accepted(balance(ledger, venue + news, missing_facts_sum=f"{news:f}"), known)


def test_a_tolerance_and_fees_to_be_posted_are_allowed_for_on_their_side_alone() -> None:
    known = accepted(balance(D(100), D(105)))
    assert is_as_accepted(balance(D(100), D("105.01"), tolerance=D("0.01")), known)
    assert not is_as_accepted(balance(D(100), D("105.02"), tolerance=D("0.01")), known)
    due = {FEES_DUE: "0.5"}
    assert is_as_accepted(balance(D(100), D("104.5"), **due), known)
    assert not is_as_accepted(balance(D(100), D("104.49"), **due), known)
    assert not is_as_accepted(balance(D(100), D("105.1"), **due), known)


def test_of_a_fact_every_word_counts() -> None:
    fill = SeenBreak(
        kind=BreakKind.FILL_DIFFERS.value,
        severity="critical",
        subject="trade 1",
        ledger_amount=D(1),
        venue_amount=D(1),
        evidence=encode({"ledger_price": "100", "venue_price": "101"}),
    )
    assert not is_sum(fill.kind)
    assert is_as_accepted(fill, accepted(fill))
    moved = replace(fill, evidence=encode({"ledger_price": "100", "venue_price": "102"}))
    assert not is_as_accepted(moved, accepted(fill))
    assert not is_as_accepted(replace(fill, venue_amount=D(2)), accepted(fill))


def test_one_import_of_what_other_hands_did_is_no_change() -> None:
    theirs = SeenBreak(
        kind=BreakKind.FILL_EXTERNAL.value, severity="warning", subject="trade 1", venue_amount=D(1), evidence="{}"
    )
    assert is_as_accepted(replace(theirs, ledger_amount=D(1)), accepted(theirs))
