"""Following a live order to its end, and taking it back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from brokers.clock import ManualClock
from brokers.errors import AnswerTimedOut, BrokerError, ConnectFailed, ConnectionLost, RateLimited
from brokers.ids import TradeId
from brokers.types import OrderStatus
from ledger.engine import Ledger
from ledger.records import fills_of_intent
from ledger.states import CancelState, IntentState
from ledger.tables import OrderRow
from tests.trading.orders.conftest import MakeDesk, Want
from tests.trading.orders.modelled import Fault, ModelVenue
from trading.orders.desk import OrderDesk
from trading.orders.reasons import OrderReason

S = IntentState


@pytest.fixture
def resting(desk: OrderDesk, want: Want, venue: ModelVenue) -> str:
    """A limit order that rests in the book."""
    intent_id = str(desk.submit(want(limit="49000", quantity="1")).intent_id)
    (view,) = desk.drive([intent_id], timeout_s=3)
    assert view.state is S.WORKING
    return intent_id


def test_partial_fills_are_recorded_one_by_one(
    desk: OrderDesk, resting: str, venue: ModelVenue, ledger: Ledger
) -> None:
    order = venue.orders[0]
    venue.fill(order, Decimal("0.4"))
    (view,) = desk.drive([resting], timeout_s=10)
    assert (view.state, view.filled_quantity) == (S.PARTIALLY_FILLED, Decimal("0.4"))
    assert view.remaining_quantity == Decimal("0.6")
    venue.fill(order, Decimal("0.1"))
    (view,) = desk.drive([resting], timeout_s=10)
    assert view.filled_quantity == Decimal("0.5")
    venue.fill(order, Decimal("0.5"))
    (view,) = desk.drive([resting], timeout_s=10)
    assert (view.state, view.reason) == (S.FILLED, OrderReason.COMPLETELY_FILLED)
    with ledger.read() as session:
        fills = fills_of_intent(session, resting)
        row = session.get(OrderRow, (str(venue.account_id), order.venue_order_id))
    assert [fill.quantity for fill in fills] == [Decimal("0.4"), Decimal("0.1"), Decimal("0.5")]
    assert row is not None
    assert (row.intent_id, row.status) == (resting, "filled")


def test_filled_waits_for_the_last_fill(desk: OrderDesk, resting: str, venue: ModelVenue, clock: ManualClock) -> None:
    order = venue.orders[0]
    venue.fill(order, Decimal("0.6"))
    late = venue.fill(order, Decimal("0.4"))
    order.fills.remove(late)
    (view,) = desk.drive([resting], timeout_s=20)
    assert (view.state, view.filled_quantity) == (S.PARTIALLY_FILLED, Decimal(1))
    order.fills.append(late)
    (view,) = desk.drive([resting], timeout_s=20)
    assert view.state is S.FILLED


def test_fills_that_never_come_are_given_to_a_person(desk: OrderDesk, resting: str, venue: ModelVenue) -> None:
    venue.fill(venue.orders[0], Decimal(1))
    venue.orders[0].fills.clear()
    (view,) = desk.drive([resting], timeout_s=200)
    assert (view.state, view.reason) == (S.NEEDS_HUMAN, OrderReason.FILLS_MISSING)


def test_an_order_that_vanishes_is_given_to_a_person(desk: OrderDesk, resting: str, venue: ModelVenue) -> None:
    venue.orders[0].visible_at = venue.now() + timedelta(days=1)
    (view,) = desk.drive([resting], timeout_s=600)
    assert view.state is S.WORKING
    (view,) = desk.drive([resting], timeout_s=200)
    assert (view.state, view.reason) == (S.NEEDS_HUMAN, OrderReason.ACKED_NOT_VISIBLE)


def test_failed_reads_change_nothing(desk: OrderDesk, resting: str, venue: ModelVenue) -> None:
    venue.read_error = AnswerTimedOut("down")
    (view,) = desk.drive([resting], timeout_s=2_000)
    assert view.state is S.WORKING
    venue.read_error = None
    venue.fill(venue.orders[0], Decimal(1))
    (view,) = desk.drive([resting], timeout_s=30)
    assert view.state is S.FILLED


def test_evidence_that_contradicts_itself_is_given_to_a_person(
    desk: OrderDesk, resting: str, venue: ModelVenue
) -> None:
    order = venue.orders[0]
    venue.fill(order, Decimal("0.4"))
    desk.drive([resting], timeout_s=10)
    order.fills[0] = replace(order.fills[0], price=Decimal(1))
    venue.fill(order, Decimal("0.1"))
    (view,) = desk.drive([resting], timeout_s=30)
    assert (view.state, view.reason) == (S.NEEDS_HUMAN, "LEDGER_CONFLICTING_EVIDENCE")


def test_the_same_trade_shown_twice_counts_once(
    desk: OrderDesk, resting: str, venue: ModelVenue, ledger: Ledger
) -> None:
    order = venue.orders[0]
    venue.fill(order, Decimal(1))
    order.fills.append(replace(order.fills[0], trade_id=TradeId(str(order.fills[0].trade_id))))
    (view,) = desk.drive([resting], timeout_s=30)
    assert (view.state, view.filled_quantity) == (S.FILLED, Decimal(1))
    with ledger.read() as session:
        assert len(fills_of_intent(session, resting)) == 1


@pytest.mark.parametrize(
    ("status", "expected"), [(OrderStatus.EXPIRED, S.VENUE_EXPIRED), (OrderStatus.CANCELLED, S.CANCELLED)]
)
def test_what_the_venue_ends_is_over(
    desk: OrderDesk, resting: str, venue: ModelVenue, status: OrderStatus, expected: IntentState
) -> None:
    venue.fill(venue.orders[0], Decimal("0.4"))
    venue.orders[0].status = status
    (view,) = desk.drive([resting], timeout_s=30)
    assert (view.state, view.filled_quantity) == (expected, Decimal("0.4"))


# -- cancelling -------------------------------------------------------------------------------------------------
def test_a_cancel_is_sent_and_then_read(desk: OrderDesk, resting: str, venue: ModelVenue) -> None:
    view = desk.cancel(resting, reason="no longer wanted")
    assert view.cancel_state is CancelState.DONE
    (view,) = desk.drive([resting], timeout_s=30)
    assert view.state is S.CANCELLED
    assert venue.cancels == 1


@pytest.mark.parametrize("error", [ConnectionLost("after the first byte"), ConnectFailed("none"), RateLimited("later")])
def test_a_cancel_is_repeated_until_the_order_is_over(
    desk: OrderDesk, resting: str, venue: ModelVenue, error: BrokerError
) -> None:
    venue.cancel_error = error
    desk.cancel(resting, reason="no longer wanted")
    (view,) = desk.drive([resting], timeout_s=30)
    assert view.state is S.CANCELLED
    assert venue.cancels >= 2


def test_a_cancel_that_the_venue_forgets_is_sent_again(desk: OrderDesk, resting: str, venue: ModelVenue) -> None:
    desk.cancel(resting, reason="no longer wanted")
    venue.orders[0].status = OrderStatus.WORKING
    (view,) = desk.drive([resting], timeout_s=30)
    assert view.state is S.CANCELLED
    assert venue.cancels == 2


def test_a_cancel_of_a_filled_order_finds_it_filled(desk: OrderDesk, resting: str, venue: ModelVenue) -> None:
    venue.fill(venue.orders[0], Decimal(1))
    desk.cancel(resting, reason="too late")
    (view,) = desk.drive([resting], timeout_s=30)
    assert view.state is S.FILLED


def test_a_cancel_of_an_unknown_order_waits_for_the_proof(make_desk: MakeDesk, want: Want, venue: ModelVenue) -> None:
    desk = make_desk()
    venue.rests, venue.script = True, [Fault.ANSWER_LOST]
    intent_id = desk.submit(want()).intent_id
    desk.advance(intent_id)
    desk.cancel(intent_id, reason="stop")
    (view,) = desk.drive([intent_id], timeout_s=60)
    assert view.state is S.CANCELLED
    assert (venue.sends, len(venue.orders)) == (1, 1)


def test_a_foreign_order_is_not_touched(desk: OrderDesk, resting: str, venue: ModelVenue) -> None:
    assert desk.views(plan_id="none") == ()
    assert venue.orders[0].status is OrderStatus.WORKING


def test_views_of_a_plan_come_by_leg(desk: OrderDesk, want: Want) -> None:
    for leg in (2, 1):
        desk.submit(want(f"leg {leg}", plan_id="plan-1", leg_number=leg))
    assert [view.leg_number for view in desk.views(plan_id="plan-1")] == [1, 2]


@pytest.mark.parametrize("is_shown", [True, False])
def test_downtime_and_one_bad_look_ask_nobody(
    desk: OrderDesk, resting: str, venue: ModelVenue, clock: ManualClock, is_shown: bool
) -> None:
    order = venue.orders[0]
    fill = venue.fill(order, Decimal(1))
    order.fills.clear()
    order.visible_at = venue.now() if is_shown else venue.now() + timedelta(days=1)
    clock.wait(3_600)
    assert not desk.advance(resting).is_over
    order.visible_at = venue.now()
    order.fills.append(fill)
    assert desk.drive([resting], timeout_s=30)[0].state is S.FILLED
