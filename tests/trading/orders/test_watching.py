"""The loop that finishes what dead workers left: who is left alone, who is taken over, and what cannot stop it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from sqlmodel import select

from brokers.clock import ManualClock
from brokers.errors import AnswerTimedOut
from ledger.engine import Ledger
from ledger.errors import LedgerUnavailable
from ledger.states import IntentState, ObservationSource
from ledger.tables import Observation, Transition
from tests.trading.orders.conftest import MakeDesk, Want
from tests.trading.orders.modelled import Fault, ModelVenue
from tests.trading.orders.test_crash_points import CrashOnce, Killed
from trading import watching
from trading.orders import store
from trading.orders.crash import crash_hook
from trading.orders.spool import Spooled, spool_of
from trading.runtime import Runtime
from trading.steps import StepKind
from trading.watching import Watched, WatchLimits, left_alone, watch

S = IntentState


class Sentences:
    """A step that keeps what was announced."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __call__(self, name: str, kind: StepKind, function: Callable[[], Any]) -> Any:
        self.heard.append(name)
        return function()


@pytest.fixture
def runtime(make_desk: MakeDesk, ledger: Ledger, venue: ModelVenue, clock: ManualClock) -> Runtime:
    return Runtime(venue.account_id, ledger, venue, make_desk("watcher"), clock, "watcher")


def watched(runtime: Runtime, seconds: float, **fields: Any) -> Watched:
    until = runtime.clock.monotonic() + seconds
    return watch(runtime, goes_on=lambda: runtime.clock.monotonic() < until, **fields)


def die_at(point: str, make_desk: MakeDesk, want: Want, venue: ModelVenue) -> str:
    killed = CrashOnce(point)
    venue.at_point = killed
    desk, wanted = make_desk("dead"), want(ttl_s=600)
    with crash_hook(killed), pytest.raises(Killed):
        desk.submit(wanted)
        desk.drive([wanted.intent_id], timeout_s=30)
    return str(wanted.intent_id)


@pytest.mark.parametrize("point", ["C05", "C06", "C09", "C13", "C16", "C18"])
def test_what_a_dead_worker_left_is_finished(
    runtime: Runtime, make_desk: MakeDesk, want: Want, venue: ModelVenue, point: str
) -> None:
    intent_id = die_at(point, make_desk, want, venue)
    seen = watched(runtime, 40)
    assert runtime.desk.view(intent_id).state is S.FILLED
    assert seen.moved[intent_id].state is S.FILLED
    assert len(venue.orders) == 1


def test_the_first_step_comes_as_soon_as_the_lease_is_over(
    runtime: Runtime, make_desk: MakeDesk, want: Want, venue: ModelVenue
) -> None:
    intent_id = die_at("C09", make_desk, want, venue)
    assert not watched(runtime, 14).moved
    assert runtime.desk.view(intent_id).state is S.SENDING
    assert watched(runtime, 3.5).moved
    assert runtime.desk.view(intent_id).state is not S.SENDING


def test_orders_that_are_looked_for_at_a_slow_venue_keep_no_lease_from_being_ended(
    runtime: Runtime,
    make_desk: MakeDesk,
    want: Want,
    venue: ModelVenue,
    clock: ManualClock,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others = make_desk("dead")
    unknown = [others.submit(want(f"lost {number}", ttl_s=600)).intent_id for number in range(4)]
    venue.script = [Fault.LOST] * len(unknown)
    for intent_id in unknown:
        others.advance(intent_id)
    held = die_at("C09", make_desk, want, venue)
    lease_over_s, conversations, advance = clock.monotonic() + 15.0, list[tuple[float, float]](), runtime.desk.advance

    def noted(intent_id: str) -> Any:
        began_s = clock.monotonic()
        view = advance(intent_id)
        conversations.append((began_s, clock.monotonic()))
        return view

    monkeypatch.setattr(runtime.desk, "advance", noted)
    venue.on_call = lambda name: clock.wait(3.0)
    with ledger.read() as session:
        before = store.load(session, held)
    seen = watched(runtime, 90, limits=WatchLimits(sweep_every_s=10_000.0))
    assert held in seen.moved
    with ledger.read() as session:
        moves = session.exec(select(Transition).where(Transition.intent_id == held, Transition.to_state == "unknown"))
        taken_over_s = lease_over_s - 15.0 + (min(move.at for move in moves) - before.updated_at).total_seconds()
    assert taken_over_s >= lease_over_s
    late = [began_s for began_s, ended_s in conversations if ended_s > lease_over_s and began_s < taken_over_s]
    assert len(late) <= 1  # the one that was under way when the lease ended
    assert sum(began_s < taken_over_s for began_s, _ in conversations) >= 1


def test_an_intent_that_somebody_drives_is_left_alone(
    runtime: Runtime, make_desk: MakeDesk, want: Want, clock: ManualClock
) -> None:
    view = make_desk("driver").submit(want())
    assert left_alone(runtime, for_s=2.0) == ()
    clock.wait(2.0)
    assert [row.intent_id for row in left_alone(runtime, for_s=2.0)] == [str(view.intent_id)]


def test_each_new_state_is_announced_once(runtime: Runtime, make_desk: MakeDesk, want: Want, venue: ModelVenue) -> None:
    die_at("C09", make_desk, want, venue)
    said = Sentences()
    watched(runtime, 60, step=said)
    assert said.heard[0] == "Finish buy 0.01 BTC/USDT:USDT (sending)"
    assert len(said.heard) == len(set(said.heard))


def test_an_order_that_stays_open_makes_one_step(
    runtime: Runtime, make_desk: MakeDesk, want: Want, venue: ModelVenue
) -> None:
    desk = make_desk("dead")
    desk.drive([desk.submit(want(limit="40000", ttl_s=600)).intent_id], timeout_s=2)
    said = Sentences()
    seen = watched(runtime, 300, step=said)
    assert seen.looks >= 100
    assert len(said.heard) <= 2  # acknowledged, working


def test_one_intent_that_cannot_be_advanced_keeps_no_other_from_it(
    runtime: Runtime, make_desk: MakeDesk, want: Want, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = make_desk("dead")
    bad, good = (desk.submit(want(key, ttl_s=600)).intent_id for key in ("bad", "good"))
    tried: list[float] = []
    advance = runtime.desk.advance

    def breaking(intent_id: str) -> Any:
        if intent_id == str(bad):
            tried.append(runtime.clock.monotonic())
            raise RuntimeError("a mistake of ours")
        return advance(intent_id)

    monkeypatch.setattr(runtime.desk, "advance", breaking)
    seen = watched(runtime, 120, limits=WatchLimits(sweep_every_s=10_000.0))
    assert runtime.desk.view(good).state is S.FILLED
    assert seen.failing[str(bad)] == "RuntimeError: a mistake of ours"
    gaps = [after - before for before, after in pairwise(tried)]
    assert gaps == sorted(gaps) and gaps[-1] > 20  # less and less often


def test_a_ledger_that_is_away_is_met_again(
    runtime: Runtime, make_desk: MakeDesk, want: Want, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent_id = make_desk("dead").submit(want(ttl_s=600)).intent_id
    asked: list[int] = []
    real = left_alone

    def away(runtime: Runtime, *, for_s: float) -> Any:
        asked.append(1)
        if len(asked) < 5:  # the first look asks twice, before its sweep and after
            raise LedgerUnavailable("the ledger cannot serve")
        return real(runtime, for_s=for_s)

    monkeypatch.setattr(watching, "left_alone", away)
    seen = watched(runtime, 30, limits=WatchLimits(sweep_every_s=10_000.0))
    assert seen.failed_looks == 3
    assert runtime.desk.view(intent_id).state is S.FILLED


def test_nothing_that_waits_on_record_is_sent_before_the_venues_orders_were_compared(
    runtime: Runtime, make_desk: MakeDesk, want: Want, venue: ModelVenue
) -> None:
    """The ledger may be an older copy of itself: what it calls unsent may be at the venue."""
    intent_id = make_desk("dead").submit(want(ttl_s=600)).intent_id
    limits = WatchLimits(sweep_every_s=10.0)
    venue.read_error = AnswerTimedOut("no answer")
    seen = watched(runtime, 40, limits=limits)
    assert seen.sweeps >= 3 and "no answer" in seen.unread
    assert (runtime.desk.view(intent_id).state, venue.orders) == (S.READY, [])
    venue.read_error = None
    watched(runtime, 30, limits=limits)
    assert runtime.desk.view(intent_id).state is S.FILLED
    assert len(venue.orders) == 1


def test_a_spooled_answer_is_taken_in_at_the_next_look(
    runtime: Runtime, make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    intent_id = die_at("C16", make_desk, want, venue)
    watched(runtime, 1)  # the sweep at the start is over
    view = runtime.desk.view(intent_id)
    answer = Spooled(
        account_id=str(runtime.account_id),
        intent_id=intent_id,
        client_order_id=str(view.client_order_id),
        send_id=f"{view.client_order_id}-1",
        outcome="definite_yes",
        status=200,
        code="",
        text=f"ACCEPTED | {venue.orders[0].venue_order_id}",
        raw="{}",
        observed_at=runtime.clock.now(),
    )
    spool_of(ledger.url).append(answer)
    seen = watched(runtime, 18)
    assert seen.spooled == 1
    assert runtime.desk.view(intent_id).state is S.FILLED
    with ledger.read() as session:
        rows = session.exec(select(Observation).where(Observation.source == ObservationSource.SPOOL.value)).all()
    assert len(rows) == 1


def test_an_order_that_the_ledger_does_not_know_is_kept_for_the_report(
    runtime: Runtime, make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    desk = make_desk("dead")
    desk.drive([desk.submit(want(ttl_s=600)).intent_id], timeout_s=30)
    first = venue.orders[0]
    stray = replace(first, client_order_id=first.client_order_id[:-4] + "0000", venue_order_id="stray")
    venue.orders.append(stray)
    assert watched(runtime, 1).sightings.untracked == (stray.client_order_id,)
