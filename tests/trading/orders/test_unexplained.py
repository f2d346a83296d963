"""A desk that could not yet compare the venue's orders with the ledger sends nothing that waits on record."""

from __future__ import annotations

from brokers.errors import AnswerTimedOut
from ledger.states import IntentState
from tests.trading.orders.conftest import MakeDesk, Want
from tests.trading.orders.modelled import ModelVenue

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
