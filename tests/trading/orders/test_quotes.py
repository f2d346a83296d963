"""One read of quotes for orders that are sent together: each once, young, and never at the cost of the age limit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from brokers.clock import ManualClock, SystemClock
from brokers.errors import AnswerTimedOut, AnswerUnreadable, BrokerError, InstrumentUnknown
from brokers.ids import InstrumentId
from brokers.types import Quote
from ledger.states import IntentState as S
from tests.trading.orders.conftest import POLICY, MakeDesk, Want
from tests.trading.orders.modelled import START, ModelVenue
from trading.orders.quotes import SharedQuotes
from trading.risk import RiskReason

A, B, C = (InstrumentId(f"{name}/USDT") for name in "ABC")
LIMIT_S = 10
ALL = {"one": A, "two": B, "three": C}


class Venue:
    """Quotes of its clock, and a list of what was asked for."""

    def __init__(self, clock: Any) -> None:
        self.clock, self.asked = clock, list[tuple[InstrumentId, ...]]()
        self.failing: dict[InstrumentId, BrokerError] = {}

    def quotes(self, ids: Sequence[InstrumentId]) -> tuple[Quote, ...]:
        self.asked.append(tuple(ids))
        for instrument_id in ids:
            if instrument_id in self.failing:
                raise self.failing[instrument_id]
        return tuple(Quote(i, Decimal(1), Decimal(2), None, self.clock.now()) for i in ids)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def asked(clock: ManualClock) -> Venue:
    return Venue(clock)


def shared(venue: Any, clock: Any) -> SharedQuotes:
    return SharedQuotes(venue, clock=clock, venue_now=clock.now, age_s_max=lambda instrument: Decimal(LIMIT_S))


def test_orders_that_are_sent_together_share_one_read(asked: Venue, clock: ManualClock) -> None:
    quotes = shared(asked, clock)
    with quotes.together(ALL):
        assert [quotes.of(name, wanted).instrument_id for name, wanted in ALL.items()] == [A, B, C]
    assert asked.asked == [(A, B, C)]


def test_a_quote_serves_its_order_once(asked: Venue, clock: ManualClock) -> None:
    quotes = shared(asked, clock)
    with quotes.together(ALL):
        for _ in range(2):
            for name, wanted in ALL.items():
                quotes.of(name, wanted)
    assert asked.asked == [(A, B, C), (A,), (B,), (C,)]


def test_two_orders_in_one_instrument_share_its_quote(asked: Venue, clock: ManualClock) -> None:
    quotes = shared(asked, clock)
    with quotes.together({"one": A, "again": A}):
        assert quotes.of("one", A) == quotes.of("again", A)
    assert asked.asked == [(A,)]


def test_nobody_else_is_served_and_nothing_is_kept(asked: Venue, clock: ManualClock) -> None:
    quotes = shared(asked, clock)
    with quotes.together({"one": A, "two": B}):
        quotes.of("one", A)
        quotes.of("a stranger", B)
    quotes.of("two", B)
    assert asked.asked == [(A, B), (B,), (B,)]


def test_within_half_of_the_age_and_not_later(asked: Venue, clock: ManualClock) -> None:
    quotes = shared(asked, clock)
    with quotes.together(ALL):
        quotes.of("one", A)
        clock.wait(LIMIT_S / 2)
        assert (clock.now() - quotes.of("two", B).time).total_seconds() == LIMIT_S / 2
        clock.wait(0.001)
        assert quotes.of("three", C).time == clock.now()
    assert asked.asked == [(A, B, C), (C,)]


def test_what_became_old_is_read_again_for_all_that_wait(asked: Venue, clock: ManualClock) -> None:
    quotes = shared(asked, clock)
    with quotes.together(ALL):
        quotes.of("one", A)
        clock.wait(LIMIT_S)
        assert {quotes.of(name, wanted).time for name, wanted in (("two", B), ("three", C))} == {clock.now()}
    assert asked.asked == [(A, B, C), (B, C)]


def test_a_quotes_own_time_counts_as_well(clock: ManualClock) -> None:
    """Read just now, but of a market that has not moved: it is not kept, and risk judges what is read."""
    venue, behind = Venue(clock), ManualClock(START)
    venue.clock = behind
    clock.wait(LIMIT_S / 2 + 1)
    quotes = shared(venue, clock)
    with quotes.together(ALL):
        assert quotes.of("one", A).time == START
        quotes.of("two", B)
    assert venue.asked == [(A, B, C), (B, C)]


def test_a_part_of_an_announcement_stays_with_the_whole(asked: Venue, clock: ManualClock) -> None:
    quotes = shared(asked, clock)
    with quotes.together(ALL):
        with quotes.together({"one": A}):
            quotes.of("one", A)
        with quotes.together({"two": B}):
            quotes.of("two", B)
        quotes.of("three", C)
    assert asked.asked == [(A, B, C)]


def test_one_bad_instrument_does_not_keep_the_others(asked: Venue, clock: ManualClock) -> None:
    asked.failing[B] = InstrumentUnknown("B is listed no more")
    quotes = shared(asked, clock)
    with quotes.together(ALL):
        assert quotes.of("one", A).instrument_id == A
        with pytest.raises(InstrumentUnknown):
            quotes.of("two", B)
        assert quotes.of("three", C).instrument_id == C
    assert asked.asked == [(A, B, C), (A,), (B,), (C,)]


@pytest.mark.parametrize("error", [AnswerTimedOut("slow"), AnswerUnreadable("HTML")])
def test_an_answer_that_did_not_come_is_the_orders_error_and_each_then_reads_for_itself(
    asked: Venue, clock: ManualClock, error: BrokerError
) -> None:
    quotes = shared(asked, clock)
    asked.failing = {A: error}
    with quotes.together({"one": A, "two": B}):
        with pytest.raises(type(error)):
            quotes.of("one", A)
        asked.failing = {}
        assert quotes.of("two", B).instrument_id == B
        assert quotes.of("one", A).instrument_id == A
    assert asked.asked[-2:] == [(B,), (A,)]


def test_threads_wait_for_the_read_that_is_under_way() -> None:
    entered, answers = threading.Event(), threading.Event()

    class Slow(Venue):
        def quotes(self, ids: Sequence[InstrumentId]) -> tuple[Quote, ...]:
            entered.set()
            assert answers.wait(10)
            return super().quotes(ids)

    venue = Slow(SystemClock())
    quotes, got = shared(venue, SystemClock()), []
    with quotes.together(ALL):
        threads = [threading.Thread(target=lambda n=n, i=i: got.append(quotes.of(n, i))) for n, i in ALL.items()]
        threads[0].start()
        assert entered.wait(10)
        for thread in threads[1:]:
            thread.start()
        answers.set()
        for thread in threads:
            thread.join(10)
    assert sorted(quote.instrument_id for quote in got) == [A, B, C]
    assert venue.asked == [(A, B, C)]


# -- at the desk ------------------------------------------------------------------------------------------------
def _reads(venue: ModelVenue) -> list[str]:
    calls: list[str] = []
    venue.on_call = calls.append
    return calls


def test_a_desk_reads_quotes_once_for_the_orders_that_it_drives(make_desk: MakeDesk, want: Want, venue: ModelVenue):
    desk = make_desk()
    ids = [desk.submit(want(f"order-{number}")).intent_id for number in range(4)]
    calls = _reads(venue)
    assert {view.state for view in desk.drive(ids, timeout_s=30)} == {S.FILLED}
    assert (calls.count("quotes"), calls.count("place")) == (1, 4)


def test_an_order_alone_reads_its_own(make_desk: MakeDesk, want: Want, venue: ModelVenue) -> None:
    desk = make_desk()
    calls = _reads(venue)
    for number in range(2):
        desk.drive([desk.submit(want(f"order-{number}")).intent_id], timeout_s=30)
    assert calls.count("quotes") == 2


@pytest.mark.parametrize("slow_s", [0.4, 1.2])
def test_the_age_limit_holds_for_each_order(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, clock: ManualClock, slow_s: float
) -> None:
    """Each order takes its time: whose share is too old by then reads again, and no order leaves on an older one."""
    desk = make_desk(policy=POLICY.model_copy(update={"quote_age_s_max": Decimal(2)}))
    ids = [desk.submit(want(f"order-{number}")).intent_id for number in range(4)]
    ages, calls = _timed(venue, clock)
    send = venue.place

    def place(prepared: Any, ticket: Any) -> Any:
        ack = send(prepared, ticket)
        clock.wait(slow_s)
        return ack

    venue.place = place  # type: ignore[method-assign]
    assert {view.state for view in desk.drive(ids, timeout_s=60)} == {S.FILLED}
    assert (ages, calls.count("quotes")) == (([0.0, 0.4, 0.8, 0.0], 2) if slow_s < 1 else ([0.0] * 4, 4))


def test_an_order_whose_quote_became_too_old_waits_and_reads_again(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, clock: ManualClock
) -> None:
    """Between reading and sending the clock is measured, and that takes longer than a quote lives."""
    desk = make_desk(policy=POLICY.model_copy(update={"quote_age_s_max": Decimal(2)}))
    ids = [desk.submit(want(f"order-{number}")).intent_id for number in range(2)]
    ages, calls = _timed(venue, clock, slow="clock_reading", slow_s=3.0)
    assert desk.advance(ids[0]).reason == RiskReason.QUOTE_STALE
    assert "place" not in calls
    assert {view.state for view in desk.drive(ids, timeout_s=60)} == {S.FILLED}
    assert max(ages) <= 1.0


def _timed(
    venue: ModelVenue, clock: ManualClock, *, slow: str = "", slow_s: float = 0.0
) -> tuple[list[float], list[str]]:
    """How old the last quote was at each send, and every call; the call named `slow` takes `slow_s`."""
    ages: list[float] = []
    calls: list[str] = []
    read_at = [clock.now()]

    def on_call(name: str) -> None:
        calls.append(name)
        if name == "quotes":
            read_at[0] = clock.now()
        if name == "place":
            ages.append(round((clock.now() - read_at[0]).total_seconds(), 3))
        if name == slow:
            clock.wait(slow_s)

    venue.on_call = on_call
    return ages, calls
