"""The desk on a venue that behaves, and the ways in which an order does not leave."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ledger.states import IntentState
from tests.trading.orders.conftest import Want
from tests.trading.orders.modelled import ModelVenue
from trading.orders.desk import OrderDesk
from trading.orders.intents import TermsConflict, UnknownIntent

S = IntentState


def test_a_market_order_is_filled_and_recorded(desk: OrderDesk, want: Want, venue: ModelVenue) -> None:
    view = desk.submit(want())
    assert view.state is S.READY
    (done,) = desk.drive([view.intent_id], timeout_s=30)
    assert done.state is S.FILLED
    assert done.filled_quantity == Decimal("0.01")
    assert done.average_price == Decimal(50_000)
    assert venue.sends == 1
    assert str(done.client_order_id) == venue.orders[0].client_order_id
    assert str(done.venue_order_id) == venue.orders[0].venue_order_id


def test_the_same_key_is_the_same_order(desk: OrderDesk, want: Want, venue: ModelVenue) -> None:
    first = desk.submit(want())
    desk.drive([first.intent_id], timeout_s=30)
    again = desk.submit(want())
    assert again.intent_id == first.intent_id
    assert again.state is S.FILLED
    desk.drive([again.intent_id], timeout_s=30)
    assert venue.sends == 1


def test_the_same_key_with_other_terms_is_a_conflict(desk: OrderDesk, want: Want) -> None:
    desk.submit(want())
    with pytest.raises(TermsConflict, match="other terms"):
        desk.submit(want(quantity="0.02"))


def test_an_unknown_intent_is_named(desk: OrderDesk) -> None:
    with pytest.raises(UnknownIntent, match="nothing"):
        desk.view("nothing")
