"""The invariants of trading/reconciliation/correcting.py: with its entry in the books, a break is not found again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from brokers.ids import TradeId
from ledger.adjustments import Correction
from ledger.snapshots import holds_position
from tests.trading.reconciliation.building import NOW, PERPS, Books, make_books
from tests.trading.reconciliation.test_reconcile import CORRUPTIONS
from trading.reconciliation import Break, BreakKind, reconcile
from trading.reconciliation.correcting import CORRECTABLE, Entry, Found, NotCorrectable, entry_for

D = Decimal
LATER = NOW + timedelta(hours=1)


def breaks_of(books: Books) -> list[Break]:
    return list(reconcile(books.ledger_view(), books.venue_view(), now=LATER).breaks)


def as_found(item: Break) -> Found:
    return Found(
        kind=item.kind,
        instrument_id=None if item.instrument_id is None else str(item.instrument_id),
        currency=item.currency,
        ledger_amount=item.ledger_amount,
        venue_amount=item.venue_amount,
        evidence=dict(item.evidence),
        last_seen_at=LATER,
    )


def book(books: Books, item: Break, entry: Entry) -> None:
    """Count the entry as the ledger does: in the sums, and where it speaks of a fact, about that."""
    key = item.instrument_id
    if entry.instrument_id is not None and key is not None and holds_position(str(key)):
        books.ledger.positions[key] = books.ledger.positions.get(key, D(0)) + entry.amount
    if entry.currency is not None:
        money = books.ledger.balances
        money[entry.currency] = money.get(entry.currency, D(0)) + entry.amount
    if item.subject.startswith(("trade ", "cash event ")):
        books.corrections[item.subject] = Correction(1, entry.amount, entry.content)


MOVED = ("fill time", "fill order")  # what no entry puts right
CORRECTED = [c for c in CORRUPTIONS if c[1] in CORRECTABLE and c[0] not in MOVED]


@pytest.mark.parametrize("name", [c[0] for c in CORRECTED])
@pytest.mark.parametrize("index", [0, 3])
def test_a_corrected_break_is_not_found_again(name: str, index: int) -> None:
    corrupt: Callable[[Books, int], object] = next(c[2] for c in CORRUPTIONS if c[0] == name)
    books = make_books()
    corrupt(books, index)
    if name == "venue forgot a fill":  # the venue took it back, so that it moved nothing there either
        _take_back(books, index)
    if name == "venue forgot an event":
        gone = books.ledger.cash_events[index]
        books.venue.balances[gone.currency] -= gone.amount
    (item,) = breaks_of(books)
    book(books, item, entry_for(as_found(item)))
    assert breaks_of(books) == []


def _take_back(books: Books, index: int) -> None:
    gone = books.ledger.fills[index]
    if gone.instrument_id in books.venue.positions:
        books.venue.positions[gone.instrument_id] -= gone.side.sign * gone.quantity
    for side in (books.ledger, books.venue):
        order = side.orders[index]
        side.orders[index] = replace(order, filled_quantity=order.filled_quantity - gone.quantity)


def found(kind: BreakKind, **fields: object) -> Found:
    values: dict[str, object] = {
        "kind": kind,
        "instrument_id": "X/USDT:USDT",
        "currency": None,
        "ledger_amount": D(1),
        "venue_amount": D(3),
        "evidence": {},
        "last_seen_at": NOW,
    }
    return Found(**{**values, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", sorted(set(BreakKind) - CORRECTABLE))
def test_what_no_entry_puts_right_is_refused(kind: BreakKind) -> None:
    with pytest.raises(NotCorrectable, match="put right by its cause"):
        entry_for(found(kind))


def test_a_sum_is_corrected_in_part_and_a_fact_whole() -> None:
    assert entry_for(found(BreakKind.POSITION_DIFFERS)).amount == 2
    assert entry_for(found(BreakKind.POSITION_DIFFERS), D("0.5")).amount == D("0.5")
    with pytest.raises(NotCorrectable, match="corrects nothing"):
        entry_for(found(BreakKind.POSITION_DIFFERS), D(0))
    with pytest.raises(NotCorrectable, match="give no amount"):
        entry_for(found(BreakKind.FILL_MISSING_AT_VENUE, venue_amount=None), D(1))


@pytest.mark.parametrize("kind", [BreakKind.POSITION_DIFFERS, BreakKind.BALANCE_UNEXPLAINED])
def test_what_the_next_import_brings_is_no_part_of_the_entry_for_a_sum(kind: BreakKind) -> None:
    """The run that saw the break imports its news after it: an entry for both would count them twice."""
    assert entry_for(found(kind, evidence={"news_facts_sum": "1.5"})).amount == D("0.5")
    assert entry_for(found(kind, evidence={"news_facts_sum": "-1.5"})).amount == D("3.5")


@pytest.mark.parametrize("name", ["missing", "extra", "different"])
def test_a_sum_that_other_facts_move_too_is_corrected_after_them_or_by_a_stated_amount(name: str) -> None:
    item = found(BreakKind.POSITION_DIFFERS, evidence={f"{name}_facts_sum": "1"})
    with pytest.raises(NotCorrectable, match="right first"):
        entry_for(item)
    assert entry_for(item, D("0.5")).amount == D("0.5")


def test_an_entry_beside_news_leaves_no_break_once_they_are_imported() -> None:
    books = make_books()
    books.known_until = NOW - timedelta(hours=1)
    news = replace(books.venue.fills[0], trade_id=TradeId("news"), time=NOW - timedelta(minutes=30), quantity=D(2))
    books.venue.fills.append(news)
    books.venue.positions[PERPS[0]] += news.side.sign * news.quantity + D("0.25")  # the last part nobody explains
    (item,) = positions_of(books)
    book(books, item, entry_for(as_found(item)))
    books.ledger.fills.append(news)
    books.ledger.positions[PERPS[0]] += news.side.sign * news.quantity
    assert positions_of(books) == []


def positions_of(books: Books) -> list[Break]:
    return [item for item in breaks_of(books) if item.kind is BreakKind.POSITION_DIFFERS]


@pytest.mark.parametrize("field", ["instrument_id", "currency", "time", "venue_order_id"])
def test_a_fact_somewhere_else_is_not_put_right_by_one_entry(field: str) -> None:
    evidence = {f"ledger_{field}": "a", f"venue_{field}": "b"}
    with pytest.raises(NotCorrectable, match=f"differ in {field}"):
        entry_for(found(BreakKind.FILL_DIFFERS, evidence=evidence))
