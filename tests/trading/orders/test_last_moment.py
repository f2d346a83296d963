"""Between the commit and the first byte: a stop set meanwhile, and the end of the intent's time."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from sqlmodel import select

from brokers.clock import ManualClock
from brokers.types import PreparedOrder
from brokers.wire import SendTicket
from ledger.controls import pool_scope, set_control
from ledger.engine import Ledger
from ledger.states import ControlState, IntentState
from ledger.tables import Observation, OrderSend
from tests.trading.orders.conftest import MakeDesk, Want
from tests.trading.orders.modelled import CLASSES, Fault, ModelVenue
from trading.orders.crash import crash_hook
from trading.orders.desk import OrderDesk
from trading.orders.protocol import Outcome

S = IntentState


def set_pool(ledger: Ledger, state: ControlState) -> None:
    with ledger.write() as session:
        set_control(session, pool_scope("p"), state, reason="drill", set_by="me", at=ledger.now(session))


def outcomes(ledger: Ledger) -> list[tuple[str, str]]:
    with ledger.read() as session:
        return [(seen.outcome, seen.text) for seen in session.exec(select(Observation)) if seen.send_id]


@pytest.mark.parametrize("state", [ControlState.PAUSE, ControlState.REDUCE_ONLY, ControlState.HALT, ControlState.KILL])
def test_a_stop_after_the_commit_keeps_the_order_here(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger, clock: ManualClock, state: ControlState
) -> None:
    desk = make_desk(pool="p")
    intent_id = desk.submit(want()).intent_id
    with crash_hook(lambda name: set_pool(ledger, state) if name == "C09" else None):
        view = desk.advance(intent_id)
    assert (view.state, venue.sends, venue.orders) == (S.READY, 0, [])
    ((outcome, text),) = outcomes(ledger)
    assert outcome == Outcome.NOT_SENT and str(state) in text
    set_pool(ledger, ControlState.RUN)
    (view,) = desk.drive([intent_id], timeout_s=30)
    assert (view.state, len(venue.orders)) == (S.FILLED, 1)
    with ledger.read() as session:
        assert len({send.client_order_id for send in session.exec(select(OrderSend))}) == 1


def test_a_stop_before_the_same_id_goes_out_again_proves_nothing_of_the_first_send(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger, clock: ManualClock
) -> None:
    desk = make_desk(pool="p")
    intent_id = desk.submit(want()).intent_id
    venue.script = [Fault.LOST]
    assert desk.advance(intent_id).state is S.UNKNOWN
    sent = venue.sends
    stopped = []

    def stop(name: str) -> None:
        if name == "C09" and not stopped:
            stopped.append(name)
            set_pool(ledger, ControlState.HALT)

    with crash_hook(stop):
        for _ in range(60):
            view = desk.advance(intent_id)
            if stopped:
                break
            clock.wait(1)
    assert stopped and (view.state, venue.sends) == (S.UNKNOWN, sent)


def test_a_control_that_cannot_be_read_keeps_the_order_here(
    desk: OrderDesk, want: Want, venue: ModelVenue, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent_id = desk.submit(want()).intent_id
    original = ledger.read

    @contextmanager
    def broken() -> Any:
        monkeypatch.setattr(ledger, "read", original)
        raise OperationalError("SELECT", {}, Exception("disk I/O error"))
        yield  # pragma: no cover

    with crash_hook(lambda name: monkeypatch.setattr(ledger, "read", broken) if name == "C09" else None):
        view = desk.advance(intent_id)
    assert (view.state, venue.sends) == (S.READY, 0)
    assert [outcome for outcome, _ in outcomes(ledger)] == [Outcome.NOT_SENT]


@pytest.mark.parametrize(("waited_s", "left_s"), [(0, 5), (7, 3), (9.5, 0.5)])
@pytest.mark.parametrize("name", ["permanent", "open only, deadline"])
def test_the_venue_may_not_accept_after_the_intents_time(
    make_desk: MakeDesk,
    want: Want,
    venue: ModelVenue,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    waited_s: float,
    left_s: float,
) -> None:
    venue.order_identity = CLASSES[name]
    desk = make_desk()
    intent_id = desk.submit(want(ttl_s=10)).intent_id
    clock.wait(waited_s)
    tickets: list[SendTicket] = []
    place = venue.place

    def noting(prepared: PreparedOrder, ticket: SendTicket) -> Any:
        tickets.append(ticket)
        return place(prepared, ticket)

    monkeypatch.setattr(venue, "place", noting)
    now = venue.now()
    desk.advance(intent_id)
    assert [ticket.not_after - now for ticket in tickets] == [timedelta(seconds=left_s)]
