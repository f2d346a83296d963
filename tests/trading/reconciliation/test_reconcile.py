"""The invariants of trading/reconciliation/compare.py: equal views are clean, one corruption is exactly one break."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.ids import AccountId, InstrumentId, TradeId, VenueOrderId
from brokers.types import CashEventKind, OrderStatus
from tests.trading.reconciliation.building import (
    ACCOUNT,
    NOW,
    PERPS,
    START,
    Books,
    changed,
    make_books,
    make_fill,
    make_order,
)
from trading.reconciliation import Break, BreakKind, Findings, Severity, Tolerances, UnresolvedOrder, reconcile

D = Decimal
K = BreakKind
LATER = NOW + timedelta(hours=1)


def run(books: Books, **options: object) -> Findings:
    options.setdefault("now", LATER)
    return reconcile(books.ledger_view(), books.venue_view(), **options)  # type: ignore[arg-type]


@given(st.integers(0, 40), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_equal_views_give_no_break(fills: int, seed: int) -> None:
    found = run(make_books(fills=fills, seed=seed))
    assert found.breaks == ()
    assert found.is_clean
    assert not found.pending
    assert not found.news
    assert found.compared["venue_fills"] == found.compared["ledger_fills"] == fills


def _missing_fill_in_ledger(b: Books, i: int) -> None:
    fill = b.ledger.fills.pop(i)
    if fill.instrument_id in b.ledger.positions:
        b.ledger.positions[fill.instrument_id] -= fill.side.sign * fill.quantity


def _fake_fill_in_ledger(b: Books, i: int) -> None:
    order = b.ledger.orders[i]
    fill = make_fill("only-ours", order, time=START + timedelta(hours=3))
    b.ledger.fills.append(fill)
    if fill.instrument_id in b.ledger.positions:
        b.ledger.positions[fill.instrument_id] += fill.side.sign * fill.quantity


def _different_quantity(b: Books, i: int) -> None:
    fill = b.ledger.fills[i]
    changed(b.ledger.fills, i, quantity=fill.quantity + 1)
    if fill.instrument_id in b.ledger.positions:
        b.ledger.positions[fill.instrument_id] += fill.side.sign


def _missing_event_in_ledger(b: Books, i: int) -> None:
    event = b.ledger.cash_events.pop(i)
    b.ledger.balances[event.currency] -= event.amount


def _different_event(b: Books, i: int) -> None:
    event = b.ledger.cash_events[i]
    changed(b.ledger.cash_events, i, amount=event.amount + 1)
    b.ledger.balances[event.currency] += 1


def _fake_event_in_ledger(b: Books, i: int) -> None:
    event = replace(b.ledger.cash_events[i], event_id="only-ours")
    b.ledger.cash_events.append(event)
    b.ledger.balances[event.currency] += event.amount


def _unmapped(b: Books, i: int) -> None:
    for side in (b.ledger, b.venue):
        changed(side.cash_events, i, kind=CashEventKind.UNMAPPED)


def _fills_differ(b: Books, i: int) -> None:
    for side in (b.ledger, b.venue):
        order = side.orders[i]
        changed(side.orders, i, filled_quantity=order.filled_quantity / 2)


def _duplicate(items: list[object], i: int) -> None:
    items.append(items[i])


def _unresolved(b: Books, *, late: bool) -> None:
    b.unresolved.append(
        UnresolvedOrder(
            subject="intent-1",
            instrument_id=PERPS[0],
            is_adopted_late=late,
            state="adopted_late" if late else "unknown",
            quantity=D(1),
            since=START,
        )
    )


def _no_cash_feed(b: Books, i: int) -> None:
    b.has_cash_feed = False
    b.venue.balances["USDT"] += 5


def _external(b: Books, i: int) -> None:
    for side in (b.ledger, b.venue):
        changed(side.orders, i, client_order_id=None)


def _orphan(b: Books, i: int) -> None:
    """A fill of an order that nobody shows, as a liquidation is, known to both sides."""
    order = make_order("nobody", PERPS[0], quantity=D(1), filled=D(1))
    fill = replace(make_fill("liquidated", order, time=START + timedelta(hours=2)), client_order_id=None)
    for side in (b.ledger, b.venue):
        side.fills.append(fill)
        _move(side.positions, PERPS[0], str(fill.side.sign))


def _feed_hides_a_fill(b: Books, i: int) -> None:
    """Neither side has the execution; order and position at the venue show it."""
    order = b.venue.orders[i]
    more = replace(order, quantity=order.quantity * 2, filled_quantity=order.filled_quantity + D("0.001"))
    for side in (b.ledger, b.venue):
        side.orders[i] = more
    if order.instrument_id in b.venue.positions:
        _move(b.venue.positions, order.instrument_id, str(order.side.sign * D("0.001")))


CORRUPTIONS: list[tuple[str, BreakKind, Callable[[Books, int], object]]] = [
    ("ledger missed a fill", K.FILL_MISSING_IN_LEDGER, _missing_fill_in_ledger),
    ("venue forgot a fill", K.FILL_MISSING_AT_VENUE, lambda b, i: b.venue.fills.pop(i)),
    ("ledger invented a fill", K.FILL_MISSING_AT_VENUE, _fake_fill_in_ledger),
    ("fill quantity", K.FILL_DIFFERS, _different_quantity),
    ("fill price", K.FILL_DIFFERS, lambda b, i: changed(b.venue.fills, i, price=D("100.26"))),
    ("fill order", K.FILL_DIFFERS, lambda b, i: changed(b.venue.fills, i, venue_order_id=VenueOrderId("other"))),
    ("fill time", K.FILL_DIFFERS, lambda b, i: changed(b.venue.fills, i, time=START + timedelta(hours=9))),
    ("fee", K.FEE_DIFFERS, lambda b, i: changed(b.venue.fills, i, fee=D(99))),
    ("fee currency", K.FEE_DIFFERS, lambda b, i: changed(b.venue.fills, i, fee_currency="BNB")),
    ("venue lists a fill twice", K.FILL_DUPLICATED, lambda b, i: _duplicate(b.venue.fills, i)),
    ("ledger lists a fill twice", K.FILL_DUPLICATED, lambda b, i: _duplicate(b.ledger.fills, i)),
    ("ledger missed an event", K.CASH_EVENT_MISSING_IN_LEDGER, _missing_event_in_ledger),
    ("venue forgot an event", K.CASH_EVENT_MISSING_AT_VENUE, lambda b, i: b.venue.cash_events.pop(i)),
    ("ledger invented an event", K.CASH_EVENT_MISSING_AT_VENUE, _fake_event_in_ledger),
    ("event amount", K.CASH_EVENT_DIFFERS, _different_event),
    ("event kind", K.CASH_EVENT_DIFFERS, lambda b, i: changed(b.venue.cash_events, i, kind=CashEventKind.TRANSFER)),
    ("event twice", K.CASH_EVENT_DUPLICATED, lambda b, i: _duplicate(b.venue.cash_events, i)),
    ("unmapped event", K.CASH_EVENT_UNMAPPED, _unmapped),
    ("order unknown", K.ORDER_UNKNOWN_TO_LEDGER, lambda b, i: b.ledger.orders.pop(i)),
    ("open order gone", K.ORDER_MISSING_AT_VENUE, lambda b, i: b.venue.orders.pop(-1)),
    ("status", K.ORDER_STATUS_DIFFERS, lambda b, i: changed(b.venue.orders, -1, status=OrderStatus.CANCELLED)),
    (
        "filled quantity",
        K.ORDER_FILLED_QUANTITY_DIFFERS,
        lambda b, i: changed(b.ledger.orders, i, filled_quantity=D(0), status=OrderStatus.WORKING),
    ),
    ("order price", K.ORDER_TERMS_DIFFER, lambda b, i: changed(b.venue.orders, i, limit_price=D(7))),
    ("order side", K.ORDER_TERMS_DIFFER, lambda b, i: changed(b.venue.orders, i, side=b.venue.orders[i].side.opposite)),
    ("order against fills", K.ORDER_FILLS_DIFFER, _fills_differ),
    ("outcome unknown", K.ORDER_OUTCOME_UNKNOWN, lambda b, i: _unresolved(b, late=False)),
    ("adopted late", K.ORDER_ADOPTED_LATE, lambda b, i: _unresolved(b, late=True)),
    ("position moved", K.POSITION_DIFFERS, lambda b, i: _move(b.venue.positions, PERPS[0], "0.001")),
    ("position gone", K.POSITION_VANISHED, lambda b, i: b.venue.positions.pop(PERPS[0])),
    ("position new", K.POSITION_UNKNOWN, lambda b, i: _move(b.venue.positions, InstrumentId("XRP/USDT:USDT"), "5")),
    ("leverage", K.LEVERAGE_DIFFERS, lambda b, i: b.venue.leverages.update({PERPS[0]: D(5)})),
    ("balance moved", K.BALANCE_UNEXPLAINED, lambda b, i: _move(b.venue.balances, "USDT", "0.00000001")),
    ("balance gone", K.BALANCE_VANISHED, lambda b, i: b.venue.balances.pop("BTC")),
    ("balance new", K.BALANCE_UNKNOWN, lambda b, i: _move(b.venue.balances, "AIR", "3")),
    ("balance without feed", K.BALANCE_DIFFERS, _no_cash_feed),
    ("order of other hands", K.ORDER_EXTERNAL, _external),
    ("order of other hands, missed", K.ORDER_EXTERNAL, lambda b, i: (_external(b, i), b.ledger.orders.pop(i))),
    ("fill of no order", K.FILL_EXTERNAL, _orphan),
    ("feed hides a fill", K.FILL_INFERRED, _feed_hides_a_fill),
]


def _move(figures: dict[object, Decimal], key: object, by: str) -> None:  # type: ignore[type-arg]
    figures[key] = figures.get(key, D(0)) + D(by)


@pytest.mark.parametrize(("kind", "corrupt"), [c[1:] for c in CORRUPTIONS], ids=[c[0] for c in CORRUPTIONS])
@given(index=st.integers(0, 11), seed=st.integers(0, 500))
@settings(max_examples=12, deadline=None)
def test_one_corruption_is_exactly_that_break(
    kind: BreakKind, corrupt: Callable[[Books, int], object], index: int, seed: int
) -> None:
    books = make_books(seed=seed)
    corrupt(books, index)
    found = run(books)
    assert [item.kind for item in found.breaks] == [kind]
    assert not found.pending
    again = run(books)
    assert again == found
    assert again.breaks[0].id_for(ACCOUNT) == found.breaks[0].id_for(ACCOUNT)
    seen = found.breaks[0].as_seen()
    assert seen.severity == kind.severity.value
    assert seen.tolerance == 0
    assert isinstance(json.loads(seen.evidence), dict)


def test_every_kind_is_seeded_and_described() -> None:
    of_the_feed = {BreakKind.CASH_FEED_INCOMPLETE, BreakKind.BALANCE_EQUATION_INCOMPLETE}  # test_equation.py
    assert {kind for _, kind, _ in CORRUPTIONS} == set(BreakKind) - of_the_feed
    for kind in BreakKind:
        assert kind.value == kind.name
        assert kind.meaning.endswith(".")
        assert kind.remedy.endswith(".")
        assert isinstance(kind.severity, Severity)


def test_the_difference_is_venue_minus_ledger_to_the_last_digit() -> None:
    books = make_books()
    books.venue.balances["USDT"] += D("0.000000000000000001")
    (found,) = run(books).breaks
    assert found.difference == D("0.000000000000000001")
    assert found.venue_amount is not None
    assert found.ledger_amount == found.venue_amount - D("0.000000000000000001")


def test_a_tolerance_is_used_only_where_it_is_given() -> None:
    books = make_books()
    _move(books.venue.balances, "USDT", "0.01")
    _move(books.venue.positions, PERPS[0], "0.001")
    loose = Tolerances(balances={"USDT": D("0.01")}, positions={str(PERPS[0]): D("0.001")})
    assert run(books, tolerances=loose).is_clean
    tight = Tolerances(balances={"USDT": D("0.009")}, positions={str(PERPS[0]): D("0.001")})
    (found,) = run(books, tolerances=tight).breaks
    assert (found.kind, found.tolerance) == (K.BALANCE_UNEXPLAINED, D("0.009"))


def test_facts_after_the_last_import_are_news_and_explain_the_sums() -> None:
    books = make_books()
    last = books.ledger.fills[-1]
    for fill in [f for f in books.ledger.fills if f.time == last.time]:
        _missing_fill_in_ledger(books, books.ledger.fills.index(fill))
    while books.ledger.cash_events[-1].time == last.time:
        _missing_event_in_ledger(books, -1)
    books.ledger.orders = [order for order in books.ledger.orders if order.created_at != last.time]
    books.known_until = last.time - timedelta(seconds=1)
    found = run(books)
    assert found.is_clean
    assert found.news["fills"] == 1
    assert found.news["orders"] == 1
    assert found.news["cash_events"] >= 1


def test_young_differences_are_pending() -> None:
    books = make_books()
    just_now = NOW - timedelta(seconds=2)
    order = make_order("young", PERPS[0], quantity=D(1), filled=D(1), at=just_now)
    books.venue.orders.append(order)
    books.venue.fills.append(make_fill("young", order, time=just_now))
    open_order = make_order("open", PERPS[0], quantity=D(1), filled=D(0), at=just_now, status=OrderStatus.WORKING)
    books.ledger.orders.append(open_order)
    found = run(books, now=NOW)
    assert found.is_clean
    assert found.pending == ("order open", "order young", f"position {PERPS[0]}", "trade young")
    settled = run(books, now=NOW + timedelta(minutes=1)).by_kind()
    assert settled[K.FILL_MISSING_IN_LEDGER] == settled[K.ORDER_MISSING_AT_VENUE] == 1


# -- venues that tell less -------------------------------------------------------------------------------------
def test_without_a_wallet_feed_balances_are_left_out_once_something_traded_and_that_is_said() -> None:
    books = make_books()
    books.has_cash_feed, books.has_traded = False, True
    books.venue.balances["USDT"] += 5
    found = run(books)
    assert found.is_clean and "balances" not in found.compared
    assert found.not_compared == ("balances (the venue has no feed of wallet changes, and there were trades)",)
    assert found.is_unjudged("BALANCE_DIFFERS", "balance USDT"), "what was found before is not called gone"
    books.has_traded = False
    assert [item.kind for item in run(books).breaks] == [K.BALANCE_DIFFERS]


def _partly_filled(books: Books) -> None:
    order = make_order("partly", PERPS[0], quantity=D(10), filled=D(4), status=OrderStatus.PARTIALLY_FILLED)
    for side in (books.ledger, books.venue):
        side.orders.append(order)
    _move(books.venue.positions, PERPS[0], str(4 * order.side.sign))


def test_what_an_open_order_has_filled_is_counted_where_its_fill_is_told_at_the_end() -> None:
    books = make_books()
    _partly_filled(books)
    assert [item.kind for item in run(books).breaks] == [K.FILL_INFERRED]
    books.fills_are_totals = True
    assert run(books).is_clean and run(books).pending == ()
    _move(books.venue.positions, PERPS[0], "1")
    assert run(books).pending == (f"position {PERPS[0]}",), "more may have been filled since: read again, never clean"


def _add_to_both(books: Books, *, at: datetime) -> None:
    """A fill of PERPS[2] that both sides have, in order, fill and position."""
    order = make_order("recent", PERPS[2], quantity=D("0.1"), filled=D("0.1"), at=at)
    fill = make_fill("recent", order, time=at)
    for side in (books.ledger, books.venue):
        side.orders.append(order)
        side.fills.append(fill)
        _move(side.positions, PERPS[2], str(fill.side.sign * fill.quantity))


def test_a_young_fill_that_both_sides_have_hides_no_wrong_position() -> None:
    books = make_books()
    _add_to_both(books, at=NOW - timedelta(seconds=5))
    assert run(books, now=NOW).is_clean
    _move(books.venue.positions, PERPS[2], "5")
    found = run(books, now=NOW)
    assert [item.subject for item in found.breaks] == [f"position {PERPS[2]}"]
    assert not found.pending


def test_a_fill_after_the_reading_leaves_its_position_open() -> None:
    books = make_books()
    _add_to_both(books, at=NOW)
    _move(books.ledger.positions, PERPS[2], "-0.1")  # the ledger's sum ends at the reading, the venue's a moment later
    books.read_at = NOW - timedelta(milliseconds=5)
    assert run(books, now=NOW).pending == (f"position {PERPS[2]}",)


@pytest.mark.parametrize(("long", "short", "told"), [("50", "3", "50"), ("3", "2", "2"), ("4", "50", "50")])
def test_each_side_s_leverage_is_compared(long: str, short: str, told: str) -> None:
    books = make_books()
    view = books.venue_view()
    hedged = replace(view, leverages=[replace(view.leverages[0], long_leverage=D(long), short_leverage=D(short))])
    (found,) = reconcile(books.ledger_view(), hedged, now=LATER).breaks
    assert (found.kind, found.venue_amount, found.ledger_amount) == (K.LEVERAGE_DIFFERS, D(told), D(3))
    sides = {"venue_long": long, "venue_short": short}
    assert dict(found.evidence) == {name: value for name, value in sides.items() if value != "3"}


def test_a_difference_of_forty_digits_is_exact() -> None:
    found = Break(
        kind=K.BALANCE_DIFFERS,
        subject="balance X",
        ledger_amount=D("0.000000000000000001"),
        venue_amount=D("12345678901234567890"),
    )
    assert found.difference == D("12345678901234567889.999999999999999999")


@pytest.mark.parametrize(  # an intent's break does not depend on the window
    "kind",
    sorted(k for k in K if k.value.startswith("ORDER_") and k not in (K.ORDER_OUTCOME_UNKNOWN, K.ORDER_ADOPTED_LATE)),
)
def test_a_break_of_an_order_says_how_far_back_it_is_seen(kind: BreakKind) -> None:
    books = make_books()
    next(corrupt for _, seeded, corrupt in CORRUPTIONS if seeded is kind)(books, 3)
    (found,) = run(books).breaks
    name = found.subject.removeprefix("order ")
    times = [
        time
        for order in (*books.ledger.orders, *books.venue.orders)
        if order.venue_order_id.value == name
        for time in (order.created_at, order.updated_at)
    ]
    assert datetime.fromisoformat(found.evidence["time"]) == min(times)


def test_an_order_that_the_venue_forgot_is_unjudged() -> None:
    books = make_books()
    gone = books.venue.orders.pop(0)
    found = run(books)
    assert found.is_unjudged(K.ORDER_TERMS_DIFFER.value, f"order {gone.venue_order_id}")
    assert not found.is_unjudged(K.ORDER_MISSING_AT_VENUE.value, f"order {gone.venue_order_id}")


def test_a_wrong_position_is_told_even_beside_a_missed_fill() -> None:
    books = make_books()
    _missing_fill_in_ledger(books, 0)
    _move(books.venue.positions, books.venue.fills[0].instrument_id, "0.5")
    assert run(books).by_kind() == {K.FILL_MISSING_IN_LEDGER: 1, K.POSITION_DIFFERS: 1}


def test_closed_orders_that_the_venue_forgot_are_no_break() -> None:
    books = make_books()
    del books.venue.orders[0]
    assert run(books).is_clean


def test_what_was_before_the_window_is_not_compared_but_stays_in_the_sums() -> None:
    books = make_books()
    old = make_order("old", PERPS[0], quantity=D(1), filled=D(1), at=START - timedelta(days=9))
    fill = make_fill("old", old, time=START - timedelta(days=9))
    books.ledger.fills.insert(0, fill)  # the ledger's positions count it already
    books.venue.orders.append(old)
    assert run(books).is_clean


def test_views_of_two_accounts_are_refused() -> None:
    books = make_books()
    other = replace(books.venue_view(), account_id=AccountId.parse("bybit.simulated.other"))
    with pytest.raises(ValueError, match="one account"):
        reconcile(books.ledger_view(), other, now=NOW)


def test_two_hundred_thousand_fills_take_little_memory() -> None:
    books = make_books(fills=0)
    order = make_order("big", PERPS[2], quantity=D(200_000), filled=D(200_000), at=START + timedelta(seconds=1))
    template = make_fill("x", order, time=START + timedelta(seconds=2), quantity=D(1))
    fills = [replace(template, trade_id=TradeId(f"t{number}")) for number in range(200_000)]
    books.venue.fills = fills
    books.ledger.fills = [replace(fill) for fill in fills]
    for side in (books.ledger, books.venue):
        side.orders = [order]
        side.positions[PERPS[2]] = order.side.sign * D(200_000)
    missed = books.ledger.fills.pop(77_777)
    books.ledger.positions[PERPS[2]] -= order.side.sign
    found = run(books)
    assert [item.subject for item in found.breaks] == [f"trade {missed.trade_id}"]
    tracemalloc.start()
    run(books)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 1024 * 1024  # besides the facts themselves: one index of ids
