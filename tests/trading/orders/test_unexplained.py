"""Orders at the venue that the ledger does not explain: nothing more is sent, and what is found counts."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from brokers.errors import AnswerTimedOut
from brokers.types import OrderStatus
from ledger.controls import effective_control
from ledger.engine import Ledger
from ledger.states import ControlState, IntentState
from tests.trading.orders.conftest import MakeDesk, Want
from tests.trading.orders.modelled import CLASSES, Fault, ModelVenue, Truth
from trading.orders import store
from trading.orders.adopting import check_orders

S = IntentState


def test_a_sweep_that_explains_nothing_sends_nothing(make_desk: MakeDesk, want: Want, venue: ModelVenue) -> None:
    """In a ledger restored from a backup the order that waits may be at the venue already."""
    intent_id = make_desk("before").submit(want()).intent_id
    desk = make_desk("after")
    venue.read_error = AnswerTimedOut("open_orders failed")
    swept = desk.sweep()
    assert swept.unread
    assert desk.view(intent_id).state is S.READY
    assert venue.sends == 0
    venue.read_error = None
    assert desk.sweep().unread == ""
    assert desk.view(intent_id).state is S.ACKED
    assert venue.sends == 1


def test_a_sweep_that_explains_nothing_still_follows_what_was_sent(
    make_desk: MakeDesk, want: Want, venue: ModelVenue
) -> None:
    venue.rests = True
    first = make_desk("before")
    intent_id = first.submit(want(limit="49000")).intent_id
    first.advance(intent_id)
    desk = make_desk("after")
    venue.read_error = AnswerTimedOut("open_orders failed")
    assert [view.intent_id for view in desk.sweep().advanced] == [intent_id]


def test_a_second_order_under_one_id_stops_everything(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    """The wire delivered the request twice, and the venue keeps ids among open orders only."""
    venue.order_identity = CLASSES["open only, deadline"]
    desk = make_desk()
    (view,) = desk.drive([desk.submit(want()).intent_id], timeout_s=30)
    assert view.state is S.FILLED
    assert not make_desk("calm").sweep().sightings
    again = venue.orders[0]
    venue.orders.append(replace(again, venue_order_id="v-again", fills=[]))
    assert make_desk("after").sweep().sightings.duplicates == (again.client_order_id,)
    with ledger.read() as session:
        assert effective_control(session, venue.account_id, "") is ControlState.HALT


def test_an_adopted_order_reserves_its_risk_again(make_desk: MakeDesk, want: Want, venue: ModelVenue) -> None:
    venue.order_identity = CLASSES["open only, deadline"]
    venue.script = [Fault.LOST]
    desk = make_desk()
    (view,) = desk.drive([desk.submit(want(limit="49000", ttl_s=10)).intent_id], timeout_s=200)
    assert view.state is S.EXPIRED
    with desk._ctx.ledger.read() as session:
        assert store.load(session, str(view.intent_id)).reserved_notional == 0
    order = Truth("v-late", str(view.client_order_id), view.request, venue.now(), venue.now(), OrderStatus.WORKING)
    venue.orders.append(order)
    assert make_desk("after").sweep().sightings.adopted
    with desk._ctx.ledger.read() as session:
        row = store.load(session, str(view.intent_id))
    assert row.state == S.ADOPTED_LATE.value
    assert row.reserved_notional == Decimal("490")


def test_orders_that_are_explained_lock_nothing(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day has thousands of orders: a desk that starts holds nobody up for those that need nothing."""
    venue.rests = True
    first = make_desk("before")
    for number in range(3):
        first.advance(first.submit(want(f"order-{number}", limit="49000")).intent_id)
    written: list[str] = []
    write = ledger.write
    monkeypatch.setattr(ledger, "write", lambda *args, **named: written.append("write") or write(*args, **named))
    shown = venue.open_orders()
    assert len(shown) == 3
    assert not check_orders(make_desk("after")._ctx, shown)
    assert written == []
