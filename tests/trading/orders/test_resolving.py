"""Ending an unknown outcome: traces, the same id again, proof of absence, a person."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlmodel import select

from brokers.capabilities import IdScope
from brokers.clock import ManualClock
from brokers.errors import AnswerTimedOut, RateLimited
from brokers.ids import ClientOrderId, Environment
from brokers.types import ClockReading, OrderSide, OrderStatus, OrderType
from ledger.controls import effective_control, set_control
from ledger.engine import Ledger
from ledger.states import ControlState, IntentState
from ledger.tables import Observation, OrderAttempt, OrderIntent, OrderSend
from tests.trading.orders.conftest import POLICY, MakeDesk, Want
from tests.trading.orders.modelled import BTC, CLASSES, PRICE, Fault, ModelVenue, identity
from trading.orders.deciding import Verdict, decide
from trading.orders.desk import OrderDesk
from trading.orders.identity import Mark, render
from trading.orders.reasons import OrderReason

S = IntentState
UNANSWERED = [Fault.LOST, Fault.ANSWER_LOST, Fault.EXECUTED_5XX, Fault.REFUSED_5XX, Fault.UNREADABLE]
EXECUTED = [Fault.ANSWER_LOST, Fault.EXECUTED_5XX, Fault.UNREADABLE]


def outcomes(ledger: Ledger, source: str) -> list[str]:
    with ledger.read() as session:
        return [seen.outcome for seen in session.exec(select(Observation)) if seen.source == source]


def start(desk: OrderDesk, want: Want, venue: ModelVenue, *faults: Fault, ttl_s: float = 600) -> str:
    """An order whose first answers are these faults, just sent."""
    venue.script = list(faults)
    intent_id = str(desk.submit(want(ttl_s=ttl_s)).intent_id)
    desk.advance(intent_id)
    return intent_id


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("fault", EXECUTED)
def test_an_executed_order_whose_answer_is_lost_is_found(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, kind: str, fault: Fault
) -> None:
    venue.order_identity = CLASSES[kind]
    desk = make_desk()
    intent_id = start(desk, want, venue, fault)
    assert desk.view(intent_id).state is S.UNKNOWN
    (view,) = desk.drive([intent_id], timeout_s=30)
    assert view.state is S.FILLED
    assert len(venue.orders) == 1
    assert venue.sends == 1 or CLASSES[kind].id_scope is IdScope.PERMANENT


def test_a_lost_order_goes_out_again_under_its_permanent_id(
    desk: OrderDesk, want: Want, venue: ModelVenue, ledger: Ledger, clock: ManualClock
) -> None:
    sent_at = clock.monotonic()
    intent_id = start(desk, want, venue, Fault.LOST)
    (view,) = desk.drive([intent_id], timeout_s=60)
    assert view.state is S.FILLED
    assert clock.monotonic() - sent_at < 18
    with ledger.read() as session:
        sends = session.exec(select(OrderSend)).all()
        attempts = session.exec(select(OrderAttempt)).all()
    assert [send.ordinal for send in sends] == [1, 2]
    assert len(attempts) == 1
    assert sends[1].not_after > sends[0].not_after


def test_a_late_first_request_and_its_repeat_are_one_order(desk: OrderDesk, want: Want, venue: ModelVenue) -> None:
    venue.order_identity = CLASSES["permanent, no deadline"]
    intent_id = start(desk, want, venue, Fault.LATE)
    (view,) = desk.drive([intent_id], timeout_s=60)
    venue.clock.wait(100)  # type: ignore[attr-defined]
    venue.settle()
    assert view.state is S.FILLED
    assert len(venue.orders) == 1
    assert venue.sends == 2


def test_a_duplicate_answer_is_proof_that_the_order_exists(desk: OrderDesk, want: Want, venue: ModelVenue) -> None:
    venue.stale_s_max = 20.0
    intent_id = start(desk, want, venue, Fault.ANSWER_LOST)
    venue.orders[0].visible_at = venue.now() + timedelta(seconds=20)  # look-ups show nothing for a while
    view = desk.advance(intent_id)
    assert (view.state, view.reason) == (S.ACKED, OrderReason.EXISTS_AT_VENUE)
    (view,) = desk.drive([intent_id], timeout_s=60)
    assert view.state is S.FILLED
    assert (len(venue.orders), venue.sends) == (1, 2)


def test_a_refusal_of_the_repeat_does_not_say_that_the_first_was_not_placed(
    desk: OrderDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    """The first request was executed and took the money; the repeat is refused for funds."""
    intent_id = start(desk, want, venue, Fault.ANSWER_LOST, Fault.REFUSED)
    venue.orders[0].visible_at = venue.now() + timedelta(seconds=25)
    (view,) = desk.drive([intent_id], timeout_s=100)
    assert view.state is S.FILLED
    assert outcomes(ledger, "send_answer") == ["unknown", "definite_no"]


def test_a_refusal_of_the_repeat_stands_once_absence_is_proved(
    desk: OrderDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    intent_id = start(desk, want, venue, Fault.LOST, Fault.REFUSED)
    (view,) = desk.drive([intent_id], timeout_s=200)
    assert (view.state, view.reason) == (S.REFUSED, "VENUE_INSUFFICIENT_FUNDS")
    assert outcomes(ledger, "ladder") == ["position_before", "absent", "absent"]


def test_a_repeat_that_is_rate_limited_waits_and_repeats(desk: OrderDesk, want: Want, venue: ModelVenue) -> None:
    intent_id = start(desk, want, venue, Fault.LOST, Fault.RATE_LIMITED, Fault.NOT_CONNECTED)
    (view,) = desk.drive([intent_id], timeout_s=100)
    assert view.state is S.FILLED
    assert len(venue.orders) == 1


@pytest.mark.parametrize("stop", ["halt", "cancel", "ttl"])
def test_an_order_that_is_not_wanted_any_more_is_not_sent_again(
    desk: OrderDesk, want: Want, venue: ModelVenue, ledger: Ledger, stop: str
) -> None:
    intent_id = start(desk, want, venue, Fault.LOST, ttl_s=9 if stop == "ttl" else 600)
    if stop == "halt":
        with ledger.write() as session:
            set_control(session, venue.account_id, ControlState.HALT, reason="t", set_by="t", at=ledger.now(session))
    if stop == "cancel":
        desk.cancel(intent_id, reason="not wanted")
    (view,) = desk.drive([intent_id], timeout_s=200)
    assert venue.sends == 1
    assert view.state is (S.READY if stop == "halt" else S.EXPIRED)
    assert outcomes(ledger, "ladder")[1:] == ["absent", "absent"]


def test_absence_is_proved_by_two_complete_look_ups_after_deadline_and_horizon(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger, clock: ManualClock
) -> None:
    venue.order_identity = CLASSES["open only, deadline"]
    desk = make_desk()
    sent_at = clock.monotonic()
    intent_id = start(desk, want, venue, Fault.LOST, ttl_s=60)
    (view,) = desk.drive([intent_id], timeout_s=200)
    assert (view.state, view.reason) == (S.EXPIRED, OrderReason.TTL_OVER)
    assert 72 <= clock.monotonic() - sent_at <= 82
    with ledger.read() as session:
        ladders = [o.observed_at for o in session.exec(select(Observation)) if o.outcome == "absent"]
    complete = [at for at in ladders if (at - ladders[0]).total_seconds() > 55]
    assert len(complete) == 2
    assert complete[1] - complete[0] >= timedelta(seconds=5)


def test_an_order_proved_absent_is_tried_again_under_a_new_id(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    venue.order_identity = CLASSES["open only, deadline"]
    desk = make_desk()
    intent_id = start(desk, want, venue, Fault.LOST)
    (view,) = desk.drive([intent_id], timeout_s=200)
    assert view.state is S.FILLED
    with ledger.read() as session:
        attempts = session.exec(select(OrderAttempt)).all()
    assert [a.attempt_number for a in attempts] == [1, 2]
    assert len(venue.orders) == 1


def test_a_failed_read_starts_the_count_again(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger, clock: ManualClock
) -> None:
    venue.order_identity = CLASSES["open only, deadline"]
    desk = make_desk()
    intent_id = start(desk, want, venue, Fault.LOST, ttl_s=60)
    while desk.view(intent_id).state is S.UNKNOWN and "absent" not in outcomes(ledger, "ladder"):
        desk.drive([intent_id], timeout_s=1)
    venue.read_error = AnswerTimedOut("down")
    desk.drive([intent_id], timeout_s=6)
    venue.read_error = None
    assert outcomes(ledger, "ladder")[1:] == ["absent", "read_failed"]
    assert desk.view(intent_id).state is S.UNKNOWN
    (view,) = desk.drive([intent_id], timeout_s=60)
    assert view.state is S.EXPIRED
    assert outcomes(ledger, "ladder")[1:] == ["absent", "read_failed", "absent", "absent"]


def test_reads_that_fail_for_long_are_given_to_a_person_and_still_watched(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, clock: ManualClock
) -> None:
    venue.order_identity = CLASSES["open only, deadline"]
    desk = make_desk()
    intent_id = start(desk, want, venue, Fault.ANSWER_LOST)
    venue.read_error = AnswerTimedOut("down")
    (view,) = desk.drive([intent_id], timeout_s=800)
    assert (view.state, view.reason) == (S.NEEDS_HUMAN, OrderReason.LOOKUPS_FAILING)
    venue.read_error = None
    clock.wait(61)
    desk.sweep()
    (view,) = desk.drive([intent_id], timeout_s=60)
    assert view.state is S.FILLED


def test_a_position_that_no_fill_explains_is_not_absence(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orders and fills show nothing, the position moved: the reads are stale, or someone else traded."""
    venue.order_identity = CLASSES["open only, deadline"]
    desk = make_desk()
    intent_id = start(desk, want, venue, Fault.ANSWER_LOST, ttl_s=60)
    for name in ("find_order", "open_orders", "order_history", "fills"):
        monkeypatch.setattr(venue, name, lambda name=name, **kwargs: None if name == "find_order" else ())
    (view,) = desk.drive([intent_id], timeout_s=800)
    assert (view.state, view.reason) == (S.NEEDS_HUMAN, OrderReason.LOOKUPS_FAILING)
    assert set(outcomes(ledger, "ladder")[1:]) == {"unexplained"}


def test_other_peoples_trades_do_not_hide_absence(make_desk: MakeDesk, want: Want, venue: ModelVenue) -> None:
    venue.order_identity = CLASSES["open only, deadline"]
    desk = make_desk()
    intent_id = start(desk, want, venue, Fault.LOST, ttl_s=60)
    foreign = venue.prepare_order(want(side=OrderSide.SELL, quantity="0.5").request, ClientOrderId("a-persons-order"))
    venue._accept(foreign, venue.now() + timedelta(seconds=5), at=venue.now())
    (view,) = desk.drive([intent_id], timeout_s=200)
    assert view.state is S.EXPIRED


def test_a_fill_alone_is_proof(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue.order_identity = CLASSES["open only, deadline"]
    desk = make_desk()
    intent_id = start(desk, want, venue, Fault.ANSWER_LOST)
    for name in ("find_order", "open_orders", "order_history"):
        monkeypatch.setattr(venue, name, lambda name=name, **kwargs: None if name == "find_order" else ())
    (view,) = desk.drive([intent_id], timeout_s=75)
    assert view.state is S.ACKED
    assert str(view.venue_order_id) == venue.orders[0].venue_order_id


@pytest.mark.parametrize("kind", ["open only, no deadline", "no id"])
def test_without_a_deadline_a_person_is_asked_and_may_say_either(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, clock: ManualClock, kind: str
) -> None:
    venue.order_identity = CLASSES[kind]
    desk = make_desk()
    intent_id = start(desk, want, venue, Fault.LOST)
    begun = clock.monotonic()
    (view,) = desk.drive([intent_id], timeout_s=200)
    assert (view.state, view.reason) == (S.NEEDS_HUMAN, OrderReason.PROOF_IMPOSSIBLE)
    assert clock.monotonic() - begun <= 85
    with pytest.raises(ValueError, match="people must name"):
        desk.decide(intent_id, verdict=Verdict.NOT_PLACED, people=(" ",), reason="looked")
    with pytest.raises(ValueError, match="reason must say"):
        desk.decide(intent_id, verdict=Verdict.NOT_PLACED, people=("ann",), reason=" ")
    view = desk.decide(intent_id, verdict=Verdict.NOT_PLACED, people=("ann",), reason="looked at the screen")
    assert (view.state, view.reason) == (S.EXPIRED, OrderReason.DECIDED_BY_PERSON)
    with pytest.raises(ValueError, match="must be needs_human"):
        desk.decide(intent_id, verdict=Verdict.PLACED, people=("ann",), reason="again")
    assert venue.sends == 1


@pytest.mark.parametrize("people", [("ann",), ("ann", "Ann"), ("ann  lee", " ann lee"), ("ann", "", " ")])
def test_one_person_by_two_spellings_is_one_in_production(people: tuple[str, ...]) -> None:
    ctx: Any = SimpleNamespace(environment=Environment.PRODUCTION)
    with pytest.raises(ValueError, match="at least 2 different people"):
        decide(ctx, "any", verdict=Verdict.NOT_PLACED, people=people, reason="looked")


def test_a_person_may_say_that_it_was_placed(make_desk: MakeDesk, want: Want, venue: ModelVenue) -> None:
    venue.order_identity = CLASSES["open only, no deadline"]
    desk = make_desk()
    intent_id = start(desk, want, venue, Fault.ANSWER_LOST)
    venue.orders[0].visible_at = venue.now() + timedelta(days=2)
    (view,) = desk.drive([intent_id], timeout_s=200)
    assert view.state is S.NEEDS_HUMAN
    venue.orders[0].visible_at = venue.now()
    assert desk.decide(intent_id, verdict=Verdict.PLACED, people=("ann",), reason="seen").state is S.ACKED
    assert desk.drive([intent_id], timeout_s=30)[0].state is S.FILLED


def test_a_late_order_is_found_while_a_person_is_asked(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, clock: ManualClock
) -> None:
    venue.order_identity = CLASSES["open only, no deadline"]
    desk = make_desk()
    intent_id = start(desk, want, venue, Fault.LATE)
    venue.late[0].due_at = venue.now() + timedelta(seconds=120)
    assert desk.drive([intent_id], timeout_s=200)[0].state is S.NEEDS_HUMAN
    clock.wait(120)
    desk.sweep()
    (view,) = desk.drive([intent_id], timeout_s=30)
    assert view.state is S.FILLED


# -- venues without ids -----------------------------------------------------------------------------------------
def test_an_order_without_an_id_is_known_by_its_fingerprint(make_desk: MakeDesk, want: Want, venue: ModelVenue) -> None:
    venue.order_identity = CLASSES["no id"]
    desk = make_desk()
    foreign = venue.prepare_order(want(quantity="0.02").request, ClientOrderId("x"))
    venue._accept(foreign, venue.now(), at=venue.now())
    first = desk.submit(want("1")).intent_id
    desk.drive([first], timeout_s=30)
    intent_id = start(desk, want, venue, Fault.ANSWER_LOST)
    (view,) = desk.drive([intent_id], timeout_s=30)
    assert view.state is S.FILLED
    assert str(view.venue_order_id) == venue.orders[-1].venue_order_id


def test_two_orders_that_fit_go_to_a_person(make_desk: MakeDesk, want: Want, venue: ModelVenue) -> None:
    venue.order_identity = CLASSES["no id"]
    desk = make_desk()
    intent_id = start(desk, want, venue, Fault.ANSWER_LOST)
    twin = venue.prepare_order(want().request, ClientOrderId("a persons order"))
    venue._accept(twin, venue.now(), at=venue.now())
    (view,) = desk.drive([intent_id], timeout_s=30)
    assert (view.state, view.reason) == (S.NEEDS_HUMAN, OrderReason.FINGERPRINT_AMBIGUOUS)


# -- orders that should not be there ----------------------------------------------------------------------------
def halted(ledger: Ledger, venue: ModelVenue, pool: str = "") -> bool:
    with ledger.read() as session:
        return effective_control(session, venue.account_id, pool) is ControlState.HALT


def test_an_order_seen_after_it_was_called_not_placed_is_adopted_and_halts_the_pool(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    """The venue breaks its own horizon: the order shows up minutes later."""
    venue.order_identity = CLASSES["open only, deadline"]
    venue.rests = True
    desk = make_desk(pool="testnet")
    intent_id = start(desk, want, venue, Fault.ANSWER_LOST, ttl_s=60)
    venue.orders[0].visible_at = venue.now() + timedelta(seconds=300)
    (view,) = desk.drive([intent_id], timeout_s=200)
    assert view.state is S.EXPIRED
    assert not halted(ledger, venue, "testnet")
    venue.clock.wait(300)  # type: ignore[attr-defined]
    report = desk.sweep()
    assert report.sightings.adopted == (venue.orders[0].client_order_id,)
    assert halted(ledger, venue, "testnet")
    assert not halted(ledger, venue)
    assert desk.view(intent_id).state is S.ADOPTED_LATE
    venue.fill(venue.orders[0], Decimal("0.01"))
    (view,) = desk.drive([intent_id], timeout_s=60)
    assert view.state is S.FILLED
    assert not desk.sweep().sightings


def test_the_first_sweep_also_reads_a_day_of_history(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    venue.order_identity = CLASSES["open only, deadline"]
    desk = make_desk()
    intent_id = start(desk, want, venue, Fault.ANSWER_LOST, ttl_s=60)
    venue.orders[0].visible_at = venue.now() + timedelta(seconds=300)
    desk.drive([intent_id], timeout_s=200)
    venue.clock.wait(300)  # type: ignore[attr-defined]
    assert make_desk("next").sweep().sightings.adopted
    assert halted(ledger, venue)


def test_a_restored_ledger_that_misses_an_attempt_stops(
    desk: OrderDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    mark = Mark(ledger.installation_tag, False, 1, 12345)
    ghost = venue.prepare_order(want(limit="49000").request, ClientOrderId(render(mark.number, venue.order_identity)))
    venue._accept(ghost, venue.now() + timedelta(seconds=5), at=venue.now())
    report = desk.sweep()
    assert report.sightings.untracked == (str(ghost.client_order_id),)
    assert halted(ledger, venue)


def test_an_order_with_the_pool_bit_of_another_environment_stops(
    desk: OrderDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    mark = Mark(ledger.installation_tag, True, 1, 12345)
    stray = venue.prepare_order(want(limit="49000").request, ClientOrderId(render(mark.number, venue.order_identity)))
    venue._accept(stray, venue.now() + timedelta(seconds=5), at=venue.now())
    report = desk.sweep()
    assert report.sightings.misplaced == (str(stray.client_order_id),) and not report.sightings.untracked
    assert halted(ledger, venue)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_second_order_under_the_same_id_stops(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger, is_known: bool
) -> None:
    """A request that was doubled on the wire, where the venue takes an id again: no client can prevent that."""
    venue.order_identity = CLASSES["open only, deadline"]
    desk = make_desk()
    order = want()
    view = desk.submit(order)
    view = desk.advance(view.intent_id)
    assert view.state is S.ACKED and view.client_order_id is not None
    double = venue.prepare_order(order.request, view.client_order_id)
    venue._accept(double, venue.now() + timedelta(seconds=5), at=venue.now())
    assert len(venue.orders) == 2
    if not is_known:
        with ledger.write() as session:
            session.get_one(OrderIntent, str(view.intent_id)).venue_order_id = None
    assert make_desk("next").sweep().sightings.duplicates == (str(view.client_order_id),)
    assert halted(ledger, venue)


def test_a_second_stop_under_the_same_id_stops(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    """Also where the first is over and no list shows it any more: a stop keeps its number through its trigger."""
    venue.order_identity = CLASSES["open only, deadline"]
    desk, order = make_desk(), want()
    terms = {"order_type": OrderType.STOP_MARKET, "limit_price": None, "trigger_price": Decimal("51000")}
    order = replace(order, request=replace(order.request, **terms))
    view = desk.submit(order)
    view = desk.advance(view.intent_id)
    assert view.state is S.ACKED and view.client_order_id is not None
    (first,) = venue.orders
    first.status, first.visible_at = OrderStatus.CANCELLED, venue.now() + timedelta(days=1)
    double = venue.prepare_order(order.request, view.client_order_id)
    venue._accept(double, venue.now() + timedelta(seconds=5), at=venue.now())
    assert make_desk("next").sweep().sightings.duplicates == (str(view.client_order_id),)
    assert halted(ledger, venue)


def test_a_second_order_of_one_intent_stops(make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger) -> None:
    venue.order_identity = CLASSES["open only, deadline"]
    desk = make_desk()
    intent_id = start(desk, want, venue, Fault.ANSWER_LOST)
    venue.orders[0].visible_at = venue.now() + timedelta(seconds=300)
    (view,) = desk.drive([intent_id], timeout_s=200)
    assert view.state is S.FILLED
    venue.clock.wait(300)  # type: ignore[attr-defined]
    report = make_desk("next").sweep()
    assert report.sightings.duplicates == (venue.orders[0].client_order_id,)
    assert halted(ledger, venue)


def test_orders_of_others_and_engine_rejections_are_no_alarm(
    desk: OrderDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    foreign = venue.prepare_order(want(limit="49000").request, ClientOrderId("web-1"))
    venue._accept(foreign, venue.now() + timedelta(seconds=5), at=venue.now())
    intent_id = start(desk, want, venue, Fault.REJECTED_LATER)
    (view,) = desk.drive([intent_id], timeout_s=30)
    assert (view.state, view.reason, view.detail) == (S.REFUSED, OrderReason.ENGINE_REJECTED, "EC_Others")
    assert not desk.sweep().sightings
    assert not halted(ledger, venue)


def test_a_sweep_says_why_it_could_not_compare(desk: OrderDesk, venue: ModelVenue) -> None:
    venue.read_error = AnswerTimedOut("down")
    assert desk.sweep().unread == "ANSWER_TIMED_OUT: down"


def test_a_sweep_takes_up_what_others_left(make_desk: MakeDesk, want: Want, venue: ModelVenue) -> None:
    one, other = make_desk("one"), make_desk("other")
    ids = [one.submit(want(f"order-{n}")).intent_id for n in range(3)]
    report = other.sweep()
    assert {view.intent_id for view in report.advanced} == set(ids)
    assert {view.state for view in report.advanced} == {S.ACKED}


def test_lookups_without_a_client_id_read_lists(make_desk: MakeDesk, want: Want, venue: ModelVenue) -> None:
    """A venue that carries our id but has no look-up by it."""
    venue.order_identity = replace(identity(), lookup_by_client_id=False)
    desk = make_desk()
    intent_id = start(desk, want, venue, Fault.ANSWER_LOST)
    (view,) = desk.drive([intent_id], timeout_s=60)
    assert view.state is S.FILLED
    assert venue.orders[0].status is OrderStatus.FILLED
    assert view.average_price == PRICE


# -- the venue's clock, measured ----------------------------------------------------------------------------------
class SteppingClock(ManualClock):
    """Our machine's clock: the true one plus a step. The monotonic clock never steps."""

    def __init__(self, true: ManualClock) -> None:
        self.true, self.step = true, timedelta(0)

    def now(self) -> datetime:
        return self.true.now() + self.step

    def monotonic(self) -> float:
        return self.true.monotonic()

    def wait(self, seconds: float) -> None:
        self.true.wait(seconds)


@pytest.mark.parametrize("step_s", [-90.0, 0.9, 60.0, 90.0, 3_600.0])
def test_a_step_of_our_clock_does_not_skip_the_horizon(
    tmp_path: Path, migrated: Path, want: Want, venue: ModelVenue, clock: ManualClock, step_s: float
) -> None:
    ours = SteppingClock(clock)
    venue.order_identity = CLASSES["open only, deadline"]
    venue.clock_reading = lambda: ClockReading(  # type: ignore[method-assign]
        clock.now(), clock.now() - ours.now(), timedelta(milliseconds=20)
    )
    shutil.copy(migrated, tmp_path / "stepping.db")
    with Ledger.open(f"sqlite:///{tmp_path / 'stepping.db'}", environment=Environment.SIMULATED, clock=ours) as ledger:
        desk = OrderDesk(ledger=ledger, broker=venue, clock=ours, policy=POLICY, worker="w")
        intent_id = start(desk, want, venue, Fault.ANSWER_LOST, ttl_s=80_000)
        venue.orders[0].visible_at = venue.now() + timedelta(seconds=20)
        ours.step = timedelta(seconds=step_s)
        for _ in range(60):
            view = desk.advance(intent_id)
            if view.state is S.READY:
                ours.step = timedelta(0)
            clock.wait(0.5)
        desk.drive([intent_id], timeout_s=step_s + 300)
        assert len(venue.orders) == 1
        assert desk.view(intent_id).state is S.FILLED


@pytest.mark.parametrize("database_s", [-30.0, -3.0, 3.0, 30.0])
def test_absence_is_provable_with_a_database_whose_clock_is_off(
    tmp_path: Path, migrated: Path, want: Want, venue: ModelVenue, clock: ManualClock, database_s: float
) -> None:
    theirs = SteppingClock(clock)
    theirs.step = timedelta(seconds=database_s)
    venue.order_identity = CLASSES["open only, deadline"]
    shutil.copy(migrated, tmp_path / "off.db")
    with Ledger.open(f"sqlite:///{tmp_path / 'off.db'}", environment=Environment.SIMULATED, clock=theirs) as ledger:
        desk = OrderDesk(ledger=ledger, broker=venue, clock=clock, policy=POLICY, worker="w")
        intent_id = start(desk, want, venue, Fault.LOST, ttl_s=300)
        (view,) = desk.drive([intent_id], timeout_s=180)
        assert (view.state, len(venue.orders)) == (S.FILLED, 1), view


def test_a_clock_that_cannot_be_measured_proves_nothing(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    venue.order_identity = CLASSES["open only, deadline"]
    desk = make_desk()
    intent_id = start(desk, want, venue, Fault.LOST, ttl_s=60)

    def unreadable(name: str) -> None:
        if name == "clock_reading":
            raise AnswerTimedOut("down")

    venue.on_call = unreadable
    (view,) = desk.drive([intent_id], timeout_s=120)
    assert view.state is S.UNKNOWN
    assert set(outcomes(ledger, "ladder")[1:]) == {"read_failed"}
    venue.on_call = lambda name: None
    (view,) = desk.drive([intent_id], timeout_s=60)
    assert view.state is S.EXPIRED


def test_the_clock_is_measured_for_each_look_up_that_counts_and_for_the_verdict(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    venue.order_identity = CLASSES["open only, deadline"]
    desk = make_desk()
    calls: list[str] = []
    intent_id = start(desk, want, venue, Fault.LOST, ttl_s=60)
    venue.on_call = calls.append
    desk.drive([intent_id], timeout_s=200)
    assert outcomes(ledger, "ladder")[1:] == ["absent", "absent"]
    assert calls.count("clock_reading") == 3
    last_read = max(index for index, name in enumerate(calls) if name == "positions")
    assert "clock_reading" in calls[last_read:]


def test_a_clock_lost_at_the_verdict_starts_the_count_again(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    venue.order_identity = CLASSES["open only, deadline"]
    desk = make_desk()
    intent_id = start(desk, want, venue, Fault.LOST, ttl_s=60)
    measures: list[str] = []

    def fail_third(name: str) -> None:
        if name == "clock_reading":
            measures.append(name)
            if len(measures) == 3:
                raise AnswerTimedOut("down")

    venue.on_call = fail_third
    (view,) = desk.drive([intent_id], timeout_s=200)
    assert view.state is S.EXPIRED
    assert outcomes(ledger, "ladder")[1:] == ["absent", "absent", "read_failed", "absent", "absent"]


def test_a_repeat_waits_for_a_measured_clock(desk: OrderDesk, want: Want, venue: ModelVenue) -> None:
    intent_id = start(desk, want, venue, Fault.LOST)
    venue.offset = timedelta(seconds=-3)
    desk.drive([intent_id], timeout_s=30)
    assert venue.sends == 1
    venue.offset = timedelta(0)
    (view,) = desk.drive([intent_id], timeout_s=30)
    assert (view.state, venue.sends) == (S.FILLED, 2)


def test_a_step_of_our_clock_is_measured_before_a_send(
    tmp_path: Path, migrated: Path, want: Want, venue: ModelVenue, clock: ManualClock
) -> None:
    ours = SteppingClock(clock)
    venue.clock_reading = lambda: ClockReading(  # type: ignore[method-assign]
        clock.now(), clock.now() - ours.now(), timedelta(milliseconds=20)
    )
    shutil.copy(migrated, tmp_path / "stepping.db")
    with Ledger.open(f"sqlite:///{tmp_path / 'stepping.db'}", environment=Environment.SIMULATED, clock=ours) as ledger:
        desk = OrderDesk(ledger=ledger, broker=venue, clock=ours, policy=POLICY, worker="w")
        desk.drive([desk.submit(want("1")).intent_id], timeout_s=10)
        second = desk.submit(want("2")).intent_id
        ours.step = timedelta(seconds=20)
        view = desk.advance(second)
    assert (view.state, view.reason, venue.sends) == (S.READY, OrderReason.CLOCK_UNSAFE, 1)


def test_a_venue_that_asks_for_patience_does_not_hold_a_lease(desk: OrderDesk, venue: ModelVenue) -> None:
    venue.read_error = RateLimited("slow down", retry_after_s=600.0)
    before_s = desk._ctx.clock.monotonic()
    assert desk._ctx.account(instrument_id=BTC, fresh=True).positions is None
    assert desk._ctx.clock.monotonic() - before_s <= desk.limits.lease_s / 2


# -- down for a while -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["open only, deadline", "open only, no deadline", "no id"])
@pytest.mark.parametrize("looked_s", [0, 40])
@pytest.mark.parametrize("fault", [Fault.LOST, Fault.ANSWER_LOST])
def test_after_downtime_it_is_looked_for_before_a_person_is_asked(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, clock: ManualClock, kind: str, looked_s: int, fault: Fault
) -> None:
    venue.order_identity = CLASSES[kind]
    desk = make_desk()
    intent_id = start(desk, want, venue, fault, ttl_s=90)
    if fault is Fault.ANSWER_LOST:
        venue.orders[0].visible_at = venue.now() + timedelta(minutes=5)
    desk.drive([intent_id], timeout_s=looked_s)
    clock.wait(800)
    reads = venue.reads
    view = make_desk("w2").drive([intent_id], timeout_s=300)[0]
    if fault is Fault.ANSWER_LOST:
        assert view.state is S.FILLED
    elif CLASSES[kind].deadline_s_max:
        assert view.state is S.EXPIRED
    else:
        assert (view.state, view.reason) == (S.NEEDS_HUMAN, OrderReason.PROOF_IMPOSSIBLE)
    assert venue.reads > reads


def test_a_trace_answers_only_whether_the_order_exists(
    desk: OrderDesk, want: Want, venue: ModelVenue, clock: ManualClock
) -> None:
    """An order that was filled twice: the question is what became of it, and looking again answers nothing."""
    venue.rests = True
    intent_id = start(desk, want, venue)
    venue.orders[0].request = replace(venue.orders[0].request, quantity=Decimal("0.02"))
    venue.fill(venue.orders[0], Decimal("0.02"))
    (view,) = desk.drive([intent_id], timeout_s=30)
    assert (view.state, view.reason) == (S.NEEDS_HUMAN, OrderReason.OVERFILLED)
    for _ in range(5):
        clock.wait(61)
        desk.sweep()
        assert desk.view(intent_id).state is S.NEEDS_HUMAN
    with pytest.raises(ValueError, match="must not be not_placed"):
        desk.decide(intent_id, verdict=Verdict.NOT_PLACED, people=("ann",), reason="looked")
    view = desk.decide(intent_id, verdict=Verdict.CLOSED, people=("ann",), reason="looked at the executions")
    assert (view.state, view.filled_quantity) == (S.FILLED, Decimal("0.02"))
