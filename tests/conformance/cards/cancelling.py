"""Cancelling, its races, and partial fills."""

from __future__ import annotations

from decimal import Decimal

import pytest

from brokers.errors import OrderAlreadyDone, OrderNotFound, OutcomeUnknown
from brokers.ids import VenueOrderId
from brokers.rounding import MONEY
from brokers.types import OrderStatus, TimeInForce
from brokers.wire import WirePhase
from tests.conformance.capability import Capability as C
from tests.conformance.card import card
from tests.conformance.scene import Placed, Scene
from tests.proof.wire_faults import Verb

OVER = (OrderAlreadyDone, OrderNotFound)


@card(
    "CANCEL-OPEN-01",
    C.CANCEL,
    given="an order that waits",
    does="cancel it by the venue's id",
    expects="complete evidence of the request; cancelled, nothing filled, no longer open",
)
def an_open_order_is_cancelled(scene: Scene) -> None:
    placed = scene.rest()
    scene.working(placed)
    record = scene.broker.cancel(instrument_id=scene.instrument_id, venue_order_id=placed.venue_order_id)
    assert record.phase is WirePhase.ANSWERED and record.status is not None and record.status < 300
    order = scene.done(placed)
    assert (order.status, order.filled_quantity) == (OrderStatus.CANCELLED, 0)
    assert placed.venue_order_id not in {found.venue_order_id for found in scene.broker.open_orders()}


@card(
    "CANCEL-OUR-ID-01",
    C.CANCEL,
    needs=(C.FIND_BY_CLIENT_ID,),
    given="an order that waits, of which only our id is known",
    does="cancel it by our id",
    expects="cancelled",
    refused=lambda scene: scene.broker.find_order(instrument_id=scene.instrument_id, client_order_id=scene.new_id()),
)
def an_order_is_cancelled_by_our_id(scene: Scene) -> None:
    placed = scene.rest()
    scene.working(placed)
    scene.broker.cancel(instrument_id=scene.instrument_id, client_order_id=placed.client_order_id)
    assert scene.done(placed).status is OrderStatus.CANCELLED


@card(
    "CANCEL-DONE-01",
    C.CANCEL,
    given="an order that is filled",
    does="cancel it",
    expects="OrderAlreadyDone or OrderNotFound: read it again; it is filled still",
)
def a_filled_order_is_not_cancelled(scene: Scene) -> None:
    placed = scene.buy()
    with pytest.raises(OVER):
        scene.cancel(placed)
    assert scene.done(placed).status is OrderStatus.FILLED


@card(
    "CANCEL-AGAIN-01",
    C.CANCEL,
    given="an order that was cancelled",
    does="cancel it again",
    expects="OrderAlreadyDone, OrderNotFound or an answer: a cancel may be repeated freely",
)
def a_cancel_is_repeated(scene: Scene) -> None:
    placed = scene.rest()
    scene.working(placed)
    scene.cancel(placed)
    scene.done(placed)
    try:
        scene.cancel(placed)
    except OVER as error:
        assert str(error)
    assert scene.done(placed).status is OrderStatus.CANCELLED


@card(
    "CANCEL-UNKNOWN-01",
    C.CANCEL,
    given="an id of the venue's form that no order has",
    does="cancel it",
    expects="OrderNotFound or OrderAlreadyDone; orders of ours that wait are untouched",
)
def an_unknown_order_is_not_cancelled(scene: Scene) -> None:
    placed = scene.rest()
    scene.working(placed)
    with pytest.raises(OVER):
        scene.broker.cancel(instrument_id=scene.instrument_id, venue_order_id=another(placed.venue_order_id))
    scene.working(placed)


def another(venue_order_id: VenueOrderId) -> VenueOrderId:
    """An id of the same form with other last digits, which the venue has not given."""
    text = venue_order_id.value
    return VenueOrderId(text[:-4] + ("7777" if text[-4:] != "7777" else "3333")) if len(text) > 4 else VenueOrderId("7")


@card(
    "CANCEL-RACE-01",
    C.CANCEL,
    given="an order that was seen waiting, and a market that then fills it",
    does="cancel it",
    expects="OrderAlreadyDone or OrderNotFound; it reads as filled, never as cancelled",
    levers=True,
)
def filled_before_the_cancel(scene: Scene) -> None:
    placed = scene.rest()
    scene.working(placed)
    scene.move_price("-4")
    with pytest.raises(OVER):
        scene.cancel(placed)
    order = scene.done(placed)
    assert (order.status, order.filled_quantity) == (OrderStatus.FILLED, order.quantity)


@card(
    "CANCEL-RACE-02",
    C.CANCEL,
    given="an order that the venue's staff cancelled meanwhile",
    does="cancel it",
    expects="OrderAlreadyDone or OrderNotFound; it reads as over",
    levers=True,
)
def cancelled_by_somebody_else(scene: Scene) -> None:
    placed = scene.rest()
    scene.working(placed)
    scene.control.cancel_order(scene.owner, placed.venue_order_id.value)
    with pytest.raises(OVER):
        scene.cancel(placed)
    order = scene.done(placed)
    assert order.filled_quantity == 0 and order.status is not OrderStatus.FILLED


@card(
    "CANCEL-LOST-01",
    C.CANCEL,
    given="a cancel that is executed and whose answer is lost",
    does="cancel, then read the order",
    expects="OutcomeUnknown; the order reads as cancelled",
    levers=True,
)
def the_answer_to_a_cancel_is_lost(scene: Scene) -> None:
    placed = scene.rest()
    scene.working(placed)
    scene.fault("execute_then_drop", Verb.CANCEL)
    with pytest.raises(OutcomeUnknown):
        scene.cancel(placed)
    assert scene.done(placed).status is OrderStatus.CANCELLED


def half_filled(scene: Scene, **terms: object) -> Placed:
    """A crossing limit order of which only a half may fill at once."""
    scene.fault("partial_fill", Verb.PLACE, ratio="0.5")
    return scene.place(parts=4, limit_price=scene.crossing(), **terms)


@card(
    "PARTIAL-OPEN-01",
    C.PARTIAL_FILLS,
    given="a market that takes a half of an order",
    does="place a crossing limit order",
    expects="PARTIALLY_FILLED: some is filled, the rest is open; what is held grew by what was filled",
    levers=True,
)
def a_part_is_filled(scene: Scene) -> None:
    placed = half_filled(scene)
    order = scene.seen(placed, lambda found: found.filled_quantity > 0, "partly filled")
    assert order.status is OrderStatus.PARTIALLY_FILLED
    assert 0 < order.filled_quantity < order.quantity and order.remaining == order.quantity - order.filled_quantity
    assert scene.truth(placed).filled_qty == order.filled_quantity


@card(
    "PARTIAL-CANCEL-01",
    C.PARTIAL_FILLS,
    given="an order of which a part is filled",
    does="cancel it",
    expects="CANCELLED with what was filled; its fills sum up to that",
    levers=True,
)
def the_rest_is_cancelled(scene: Scene) -> None:
    placed = half_filled(scene)
    scene.seen(placed, lambda found: found.filled_quantity > 0, "partly filled")
    scene.cancel(placed)
    order = scene.done(placed)
    assert order.status is OrderStatus.CANCELLED and 0 < order.filled_quantity < order.quantity
    assert sum(fill.quantity for fill in scene.fills(placed)) == order.filled_quantity


@card(
    "PARTIAL-IOC-01",
    C.PARTIAL_FILLS,
    needs=(C.IOC,),
    given="a market that takes a half of an order",
    does="place it with ioc",
    expects="over at once with a part filled, neither FILLED nor open",
    levers=True,
    refused=lambda scene: scene.broker.prepare_order(
        scene.request(limit_price=scene.crossing(), time_in_force=TimeInForce.IOC), scene.new_id()
    ),
)
def an_ioc_fills_in_part(scene: Scene) -> None:
    order = scene.done(half_filled(scene, time_in_force=TimeInForce.IOC))
    assert 0 < order.filled_quantity < order.quantity and order.status is not OrderStatus.FILLED


@card(
    "PARTIAL-LEVELS-01",
    C.PARTIAL_FILLS,
    given="a book of several thin price levels",
    does="buy at the market",
    expects="FILLED; the fills sum up to the quantity, and their mean is the order's average price",
    levers=True,
)
def several_levels(scene: Scene) -> None:
    quantity = Decimal(scene.product.quantity)
    scene.control.set_liquidity(symbol=scene.product.symbol, level_notional=scene.product.level_notional, levels=5)
    placed = scene.place(quantity=quantity)
    order = scene.done(placed)
    assert order.filled_quantity > 0 and order.average_price is not None
    assert len([e for e in scene.executions() if e.order_id == placed.venue_order_id.value]) > 1
    fills = scene.fills(placed)
    assert sum(fill.quantity for fill in fills) == order.filled_quantity
    value = sum((MONEY.multiply(fill.quantity, fill.price) for fill in fills), Decimal(0))
    assert abs(MONEY.divide(value, order.filled_quantity) - order.average_price) < scene.instrument.tick_size
