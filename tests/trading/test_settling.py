"""What both sides hold alike is taken out, and the comparison of the rest finds what the whole comparison finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from random import Random

import pytest

from brokers.ids import AccountId, Environment
from brokers.types import CashEvent, Fill, Order, PositionSide
from ledger.engine import Ledger
from ledger.records import insert_cash_events, insert_fills, lock_account, record_account, upsert_orders
from tests.trading.reconciliation.building import NOW, PERPS, START, Books, make_books, make_fill, make_order
from tests.trading.reconciliation.test_reconcile import CORRUPTIONS
from trading.fact_rows import CASH_EVENTS, FILLS, ORDERS, Spool
from trading.reconciliation import Findings, LedgerView, reconcile
from trading.settling import settled
from trading.venue_reading import VenueReading

D = Decimal
LATER = NOW + timedelta(hours=1)
ACCOUNTS = (AccountId.parse(f"bybit.simulated.number-{number}") for number in count())
TWICE_IN_LEDGER = "ledger lists a fill twice"  # a ledger cannot: account and trade id are its key
STORABLE = [item for item in CORRUPTIONS if item[0] != TWICE_IN_LEDGER]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    folder: Path = tmp_path_factory.mktemp("settling")
    with Ledger.open(f"sqlite:///{folder / 'ledger.db'}", environment=Environment.SIMULATED) as opened:
        yield opened


def of(account: AccountId, books: Books) -> Books:
    """The same books of another account."""
    for side in (books.ledger, books.venue):
        side.orders = [replace(order, account_id=account) for order in side.orders]
        side.fills = [replace(fill, account_id=account) for fill in side.fills]
        side.cash_events = [replace(event, account_id=account) for event in side.cash_events]
    return books


def both_ways(ledger: Ledger, books: Books) -> tuple[Findings, Findings, LedgerView]:
    """What the comparison of everything finds, and that of what is left; and the view of what is left."""
    account = next(ACCOUNTS)
    books = of(account, books)
    ours = replace(books.ledger_view(), account_id=account)
    theirs = replace(books.venue_view(), account_id=account)
    whole = reconcile(replace(ours, fills=books.ledger.fills, cash_events=books.ledger.cash_events), theirs, now=LATER)
    with ledger.write() as session:
        lock_account(session, account)
        record_account(session, account, at=START)
        upsert_orders(session, books.ledger.orders, at=NOW)
        insert_fills(session, books.ledger.fills, at=NOW)
        insert_cash_events(session, books.ledger.cash_events, at=NOW)
    reading = VenueReading(
        read_at=books.read_at,
        now=LATER,
        orders_shown=spool(ORDERS, books.venue.orders),
        fills_shown=spool(FILLS, books.venue.fills),
        cash_events_shown=spool(CASH_EVENTS, books.venue.cash_events),
        positions=tuple(theirs.positions),
        balances=tuple(theirs.balances),
        leverages=tuple(theirs.leverages),
        has_cash_feed=theirs.has_cash_feed,
        feed_is_whole=theirs.feed_is_whole,
        fills_are_totals=theirs.fills_are_totals,
    )
    with ledger.read() as session:
        empty = replace(ours, orders=(), fills=(), cash_events=())
        left, rest = settled(session, empty, reading, since=START, keep_after=books.read_at)
    shown = replace(theirs, orders=rest.orders, fills=rest.fills, cash_events=rest.cash_events)
    return whole, reconcile(left, shown, now=LATER), left


def spool(layout: object, facts: list[object]) -> Spool[object]:
    found: Spool[object] = Spool(layout)  # type: ignore[arg-type]
    found.add(facts)
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("corrupt", [item[2] for item in STORABLE], ids=[item[0] for item in STORABLE])
def test_the_rest_gives_the_same_findings_as_everything(
    ledger: Ledger, corrupt: Callable[[Books, int], object], seed: int
) -> None:
    books = make_books(fills=14, seed=seed)
    corrupt(books, seed * 3)
    whole, rest, left = both_ways(ledger, books)
    assert whole.breaks
    assert rest == whole
    assert left.settled.fills > 5, "most of it is alike"


@pytest.mark.parametrize("seed", range(60))
def test_several_corruptions_at_once_give_the_same_findings(ledger: Ledger, seed: int) -> None:
    random = Random(seed)
    books = make_books(fills=20, seed=seed)
    for _, _, corrupt in random.sample(STORABLE, k=3):
        try:
            corrupt(books, random.randrange(8))
        except KeyError:  # the position or balance that it changes is gone already
            continue
    random.shuffle(books.venue.fills)
    random.shuffle(books.venue.cash_events)
    whole, rest, _ = both_ways(ledger, books)
    assert rest == whole


def test_equal_sides_leave_only_what_is_open_or_late(ledger: Ledger) -> None:
    books = make_books(fills=40)
    whole, rest, left = both_ways(ledger, books)
    assert rest == whole and whole.is_clean
    assert (left.settled.fills, left.settled.orders, list(left.fills)) == (40, 40, [])
    assert [str(order.venue_order_id) for order in left.orders] == ["resting"]
    assert left.settled.filled_by_order == {}, "complete orders were taken with their fills"


def test_a_fact_that_the_venue_lists_again_later_comes_back(ledger: Ledger) -> None:
    """The second copy comes when the first was taken already: it is the same duplicate."""
    books = make_books(fills=20)
    books.venue.fills.append(books.venue.fills[0])
    books.venue.cash_events.append(books.venue.cash_events[2])
    whole, rest, _ = both_ways(ledger, books)
    assert rest == whole
    assert sorted(item.kind for item in rest.breaks) == ["CASH_EVENT_DUPLICATED", "FILL_DUPLICATED"]


def test_an_order_that_is_listed_twice_counts_once(ledger: Ledger) -> None:
    books = make_books(fills=20)
    books.venue.orders.append(books.venue.orders[0])
    whole, rest, _ = both_ways(ledger, books)
    assert rest == whole and rest.is_clean


def test_fills_of_no_order_come_back_to_be_judged(ledger: Ledger) -> None:
    books = make_books(fills=20)
    order = make_order("nobody", PERPS[0], quantity=D(2), filled=D(2))
    for number in range(2):
        fill = make_fill(f"liquidated-{number}", order, time=START + timedelta(hours=2), quantity=D(1))
        for side in (books.ledger, books.venue):
            side.fills.append(replace(fill, client_order_id=None))
            side.positions[PERPS[0]] += fill.side.sign
    whole, rest, _ = both_ways(ledger, books)
    assert rest == whole
    assert [item.subject for item in rest.breaks] == ["trade liquidated-0", "trade liquidated-1"]


# -- spools -----------------------------------------------------------------------------------------------------
def test_a_spool_gives_back_every_fact_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading.fact_rows.FACTS_AT_ONCE", 7)
    monkeypatch.setattr("trading.fact_rows.IN_MEMORY_BYTES_MAX", 100)
    side = make_books(fills=30).venue
    order = replace(side.orders[0], position_side=PositionSide.LONG, fees={"USDT": D("0.1")}, client_order_id=None)
    kinds: list[tuple[object, list[Fill] | list[Order] | list[CashEvent]]] = [
        (FILLS, side.fills),
        (ORDERS, [order, *side.orders]),
        (CASH_EVENTS, side.cash_events),
    ]
    for layout, facts in kinds:
        kept = spool(layout, list(facts))
        for _ in range(2):
            assert [kept.layout.fact_of(row, facts[0].account_id) for row in kept.rows()] == list(facts)
        assert kept.count == len(facts)
    assert list(spool(FILLS, []).rows()) == []
