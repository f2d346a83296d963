"""A worker dies at each named point; another one finishes: one order at the venue, one in the ledger."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from sqlmodel import select

from brokers.clock import ManualClock
from brokers.ids import Environment
from brokers.wire import WirePhase
from ledger.engine import Ledger
from ledger.invariants import check_record
from ledger.records import fills_of_intent
from ledger.states import CancelState, IntentState
from ledger.tables import OrderSend
from tests.trading.orders.conftest import MakeDesk, Want
from tests.trading.orders.modelled import CLASSES, Fault, ModelVenue
from trading.orders import crash
from trading.orders.crash import CRASH_POINTS, crash_hook, crash_point, wire_record

S = IntentState
ON_THE_SEND_PATH = [name for name in CRASH_POINTS if name <= "C18"]


class Killed(BaseException):
    pass


class CrashOnce:
    """Raise at the n-th pass of a point."""

    def __init__(self, point: str, *, ordinal: int = 1) -> None:
        self.point, self.ordinal, self.passes = point, ordinal, 0

    def __call__(self, name: str) -> None:
        if name == self.point:
            self.passes += 1
            if self.passes == self.ordinal:
                raise Killed(name)

    @property
    def happened(self) -> bool:
        return self.passes >= self.ordinal


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("point", ON_THE_SEND_PATH)
def test_a_crash_on_the_send_path_leaves_one_order(
    make_desk: MakeDesk,
    want: Want,
    venue: ModelVenue,
    ledger: Ledger,
    clock: ManualClock,
    point: str,
    kind: str,
) -> None:
    venue.order_identity = CLASSES[kind]
    killed = CrashOnce(point)
    venue.at_point = killed
    first = make_desk("first")
    intent_id = want(ttl_s=600).intent_id
    with crash_hook(killed), pytest.raises(Killed):
        first.submit(want(ttl_s=600))
        first.drive([intent_id], timeout_s=30)
    assert killed.happened
    second = make_desk("second")
    second.submit(want(ttl_s=600))
    second.sweep()
    clock.wait(16)
    second.sweep()
    (view,) = second.drive([intent_id], timeout_s=300)
    reached_the_venue = bool(venue.orders)
    if view.state is S.NEEDS_HUMAN:
        # Sent or not, nobody can know: the venue enforces no deadline and keeps no ids.
        assert kind in ("open only, no deadline", "no id")
        assert not reached_the_venue
    else:
        assert view.state is S.FILLED
        assert len(venue.orders) == 1
        with ledger.read() as session:
            assert len(fills_of_intent(session, str(intent_id))) == 1
    with ledger.read() as session:
        assert check_record(session) == ()


@pytest.mark.parametrize("ordinal", [1, 2])
def test_a_crash_between_look_ups_counts_again(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, clock: ManualClock, ordinal: int
) -> None:
    venue.order_identity = CLASSES["open only, deadline"]
    venue.script = [Fault.LOST]
    killed = CrashOnce("C21", ordinal=ordinal)
    first = make_desk("first")
    intent_id = first.submit(want(ttl_s=60)).intent_id
    with crash_hook(killed), pytest.raises(Killed):
        first.drive([intent_id], timeout_s=200)
    clock.wait(16)
    second, looks = make_desk("second"), CrashOnce("C21", ordinal=99)
    with crash_hook(looks):
        (view,) = second.drive([intent_id], timeout_s=100)
    assert view.state is S.EXPIRED
    assert looks.passes == 2  # the count begins again when a look-up was interrupted


@pytest.mark.parametrize("point", ["C22", "C23"])
def test_a_crash_while_resolving_leaves_one_order(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, clock: ManualClock, point: str
) -> None:
    venue.order_identity = CLASSES["permanent" if point == "C23" else "open only, deadline"]
    venue.script = [Fault.LOST]
    first = make_desk("first")
    intent_id = first.submit(want(ttl_s=600)).intent_id
    with crash_hook(CrashOnce(point)), pytest.raises(Killed):
        first.drive([intent_id], timeout_s=200)
    clock.wait(16)
    (view,) = make_desk("second").drive([intent_id], timeout_s=200)
    assert view.state is S.FILLED
    assert len(venue.orders) == 1


def test_a_crash_after_a_cancel_was_sent_cancels(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, clock: ManualClock
) -> None:
    first = make_desk("first")
    intent_id = first.submit(want(limit="49000")).intent_id
    first.drive([intent_id], timeout_s=3)
    with crash_hook(CrashOnce("C24")), pytest.raises(Killed):
        first.cancel(intent_id, reason="no longer wanted")
    assert first.view(intent_id).cancel_state is CancelState.SENDING
    clock.wait(16)
    (view,) = make_desk("second").drive([intent_id], timeout_s=60)
    assert view.state is S.CANCELLED


def test_an_interrupted_intake_is_finished_by_the_next_caller(
    make_desk: MakeDesk, want: Want, venue: ModelVenue
) -> None:
    """Recorded, but the risk check never happened."""

    def die(name: str) -> None:
        if name == "margin_health":
            raise Killed(name)

    venue.on_call = die
    with pytest.raises(Killed):
        make_desk("first").submit(want())
    venue.on_call = lambda name: None
    second = make_desk("second")
    assert second.view(want().intent_id).state is S.RECEIVED
    (view,) = second.drive([want().intent_id], timeout_s=30)
    assert view.state is S.FILLED


def test_a_claim_that_was_left_behind_is_released(
    make_desk: MakeDesk, want: Want, clock: ManualClock, ledger: Ledger
) -> None:
    first = make_desk("first")
    intent_id = first.submit(want()).intent_id
    with crash_hook(CrashOnce("C07")), pytest.raises(Killed):
        first.advance(intent_id)
    second = make_desk("second")
    assert second.advance(intent_id).state is S.CLAIMED
    clock.wait(15)
    assert second.advance(intent_id).state is S.READY
    with ledger.read() as session:
        assert session.exec(select(OrderSend)).all() == []


# -- the seam ---------------------------------------------------------------------------------------------------
def test_production_has_no_crash_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(crash.VARIABLE, "C09:1")
    monkeypatch.setattr(os, "kill", lambda *args: pytest.fail("killed"))
    with crash_hook(CrashOnce("C09")):
        crash_point("C09", Environment.PRODUCTION)
        assert type(wire_record(Environment.PRODUCTION)).__name__ == "WireRecord"
        assert type(wire_record(Environment.SIMULATED)).__name__ != "WireRecord"
        with pytest.raises(Killed):
            crash_point("C09", Environment.TESTNET)


def test_the_variable_names_point_and_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, signal: killed.append((pid, signal)))
    monkeypatch.setattr(crash, "_passes", type(crash._passes)())
    monkeypatch.setenv(crash.VARIABLE, "C11:2")
    record = wire_record(Environment.SIMULATED)
    record.phase = WirePhase.CONNECTING
    record.phase = WirePhase.SENDING
    assert killed == []
    record.phase = WirePhase.SENDING
    assert killed == [(os.getpid(), 9)]


@pytest.mark.parametrize(("asked", "sent"), [("C09:1:stop", signal.SIGSTOP), ("C09:1", signal.SIGKILL)])
def test_a_process_is_killed_or_stopped(monkeypatch: pytest.MonkeyPatch, asked: str, sent: signal.Signals) -> None:
    told: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: told.append(number))
    monkeypatch.setattr(crash, "_passes", type(crash._passes)())
    monkeypatch.setenv(crash.VARIABLE, asked)
    crash_point("C09", Environment.PRODUCTION)
    assert told == []
    crash_point("C09", Environment.SIMULATED)
    crash_point("C09", Environment.SIMULATED)
    assert told == [sent]


def test_nothing_is_watched_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(crash.VARIABLE, raising=False)
    assert type(wire_record(Environment.SIMULATED)).__name__ == "WireRecord"
    crash_point("C09", Environment.SIMULATED)


def test_every_point_is_passed_somewhere_and_every_name_is_listed() -> None:
    root = Path(__file__).parents[3] / "trading"
    text = "\n".join(path.read_text() for path in sorted([*root.glob("orders/*.py"), root / "killing.py"]))
    used = set(re.findall(r'crash\("(C\d\d[a-z]?)"\)', text)) | set(crash._POINT_OF_PHASE.values())
    used |= set(re.findall(r'crash_point\("(C\d\d)"', (root / "sync.py").read_text()))
    at_the_venue = {"C12", "C13", "C14"}  # passed by the modelled venue, and by a simulator's fault
    assert used | at_the_venue == set(CRASH_POINTS)
