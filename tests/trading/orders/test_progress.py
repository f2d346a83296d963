"""What a look at the venue's order may change, and what it may not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.clock import ManualClock
from brokers.types import Order, OrderRequest, OrderSide, OrderStatus, OrderType
from ledger.states import IntentState
from tests.trading.orders.modelled import BTC, CLASSES, START, ModelVenue, Truth
from trading.orders.moves import MOVES, Who
from trading.orders.progress import Known, Progress, progress, terms_difference
from trading.orders.reasons import OrderReason

S = IntentState
REQUEST = OrderRequest(BTC, OrderSide.BUY, OrderType.LIMIT, Decimal("1"), limit_price=Decimal("50000"))


def order(status: OrderStatus, filled: str = "0", **changes: object) -> Order:
    venue = ModelVenue(ManualClock(START))
    truth = Truth("v1", "c1", REQUEST, START, START, status, Decimal(filled))
    return replace(venue.order_of(truth), **changes)  # type: ignore[arg-type]


def look(
    seen: Order | None, *, state: IntentState = S.ACKED, known: str = "0", fills: str | None = None, after_s: float = 1
) -> Progress:
    filled = Decimal(fills) if fills is not None else seen.filled_quantity if seen else Decimal(0)
    return progress(
        Known(state, REQUEST, Decimal(known), START),
        seen,
        filled,
        identity=CLASSES["permanent"],
        now=START + timedelta(seconds=after_s),
    )


@pytest.mark.parametrize(
    ("status", "filled", "state", "expected"),
    [
        (OrderStatus.ACCEPTED, "0", S.ACKED, S.ACKED),
        (OrderStatus.WORKING, "0", S.ACKED, S.WORKING),
        (OrderStatus.WORKING, "0.4", S.ACKED, S.PARTIALLY_FILLED),
        (OrderStatus.PARTIALLY_FILLED, "0.4", S.WORKING, S.PARTIALLY_FILLED),
        (OrderStatus.WORKING, "0.4", S.PARTIALLY_FILLED, S.PARTIALLY_FILLED),
        (OrderStatus.ACCEPTED, "0", S.WORKING, S.WORKING),
        (OrderStatus.FILLED, "1", S.ACKED, S.FILLED),
        (OrderStatus.FILLED, "1", S.ADOPTED_LATE, S.FILLED),
        (OrderStatus.CANCELLED, "0", S.WORKING, S.CANCELLED),
        (OrderStatus.CANCELLED, "0.4", S.WORKING, S.CANCELLED),
        (OrderStatus.EXPIRED, "0.4", S.PARTIALLY_FILLED, S.VENUE_EXPIRED),
        (OrderStatus.REJECTED, "0", S.ACKED, S.REFUSED),
        (OrderStatus.REJECTED, "0", S.ADOPTED_LATE, S.CANCELLED),
        (OrderStatus.WORKING, "0", S.ADOPTED_LATE, S.ADOPTED_LATE),
    ],
)
def test_the_venues_status_moves_the_intent(
    status: OrderStatus, filled: str, state: IntentState, expected: IntentState
) -> None:
    result = look(order(status, filled), state=state, known="0")
    assert result.state is expected
    assert (result.reason is None) == (expected is state)


def test_filled_needs_every_fill_on_record() -> None:
    waiting = look(order(OrderStatus.FILLED, "1"), fills="0.6", state=S.WORKING)
    assert (waiting.state, waiting.filled_quantity) == (S.PARTIALLY_FILLED, Decimal(1))
    overdue = look(order(OrderStatus.FILLED, "1"), fills="0.6", after_s=121)
    assert (overdue.state, overdue.reason) == (S.NEEDS_HUMAN, OrderReason.FILLS_MISSING)
    assert "fills add up to 0.6" in overdue.detail


def test_a_filled_order_that_reports_less_than_its_quantity_is_not_believed() -> None:
    assert look(order(OrderStatus.FILLED, "0.9")).state is S.PARTIALLY_FILLED


def test_a_stale_read_never_moves_backwards() -> None:
    stale = look(order(OrderStatus.WORKING, "0.2"), state=S.PARTIALLY_FILLED, known="0.5", fills="0.5")
    assert (stale.state, stale.filled_quantity) == (S.PARTIALLY_FILLED, Decimal("0.5"))
    stale_end = look(order(OrderStatus.CANCELLED, "0.2"), state=S.PARTIALLY_FILLED, known="0.5", fills="0.5")
    assert stale_end.state is S.PARTIALLY_FILLED


def test_an_engine_rejection_is_kept_with_its_code() -> None:
    result = look(order(OrderStatus.REJECTED, reject_code="EC_Others", status_text="Rejected"))
    assert (result.reason, result.detail) == (OrderReason.ENGINE_REJECTED, "EC_Others Rejected")


def test_an_order_that_no_look_up_shows_goes_to_a_person_after_the_horizon() -> None:
    assert look(None, after_s=600).state is S.ACKED
    lost = look(None, after_s=661)
    assert (lost.state, lost.reason) == (S.NEEDS_HUMAN, OrderReason.ACKED_NOT_VISIBLE)


def test_more_filled_than_asked_for_goes_to_a_person() -> None:
    result = look(order(OrderStatus.FILLED, "1"), fills="1.1")
    assert (result.state, result.reason) == (S.NEEDS_HUMAN, OrderReason.OVERFILLED)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"side": OrderSide.SELL}, "side"),
        ({"quantity": Decimal("2")}, "quantity"),
        ({"limit_price": Decimal("50001")}, "limit_price"),
        ({"order_type": OrderType.MARKET}, "order_type"),
    ],
)
def test_other_terms_under_our_id_go_to_a_person(changes: dict[str, object], name: str) -> None:
    result = look(order(OrderStatus.WORKING, **changes))
    assert (result.state, result.reason) == (S.NEEDS_HUMAN, OrderReason.TERMS_DIFFER)
    assert result.detail.startswith(name)


def test_a_stop_that_waits_for_another_price_is_another_order() -> None:
    terms = {"order_type": OrderType.STOP_MARKET, "limit_price": None}
    stop = replace(REQUEST, **terms, trigger_price=Decimal("51000"))
    assert not terms_difference(stop, order(OrderStatus.WORKING, **terms, trigger_price=Decimal("51000.0")))
    assert not terms_difference(stop, order(OrderStatus.WORKING, **terms)), "a venue need not show it any more"
    other = order(OrderStatus.WORKING, **terms, trigger_price=Decimal("52000"))
    assert terms_difference(stop, other) == "trigger_price must be 51000, was 52000"


def test_equal_terms_in_other_digits_are_equal() -> None:
    assert not terms_difference(REQUEST, order(OrderStatus.WORKING, limit_price=Decimal("50000.00")))


def test_a_reduce_only_order_may_be_cut_by_the_venue() -> None:
    request = replace(REQUEST, reduce_only=True)
    assert not terms_difference(request, order(OrderStatus.WORKING, quantity=Decimal("0.5")))
    assert terms_difference(request, order(OrderStatus.WORKING, quantity=Decimal("1.5")))


@given(
    state=st.sampled_from([S.ACKED, S.WORKING, S.PARTIALLY_FILLED, S.ADOPTED_LATE]),
    status=st.sampled_from(OrderStatus),
    known=st.integers(0, 10),
    seen=st.integers(0, 10),
    fills=st.integers(0, 11),
    after_s=st.floats(0, 1000),
    is_visible=st.booleans(),
)
def test_no_look_breaks_the_rules(
    state: IntentState,
    status: OrderStatus,
    known: int,
    seen: int,
    fills: int,
    after_s: float,
    is_visible: bool,
) -> None:
    tenth = Decimal("0.1")
    shown = order(status, str(seen * tenth)) if is_visible else None
    result = look(shown, state=state, known=str(known * tenth), fills=str(fills * tenth), after_s=after_s)
    assert result.filled_quantity >= known * tenth
    assert result.state is state or Who.TRACKER in MOVES[state, result.state]
    assert (result.reason is None) == (result.state is state)
    if result.state.is_terminal:
        assert shown is not None
        assert fills == seen
        assert shown.filled_quantity >= known * tenth


def test_an_end_with_less_filled_than_recorded_is_given_to_a_person_in_time() -> None:
    end = order(OrderStatus.CANCELLED, "0.4")
    assert look(end, state=S.PARTIALLY_FILLED, known="0.5", fills="0.5", after_s=119).state is S.PARTIALLY_FILLED
    overdue = look(end, state=S.PARTIALLY_FILLED, known="0.5", fills="0.5", after_s=121)
    assert (overdue.state, overdue.reason) == (S.NEEDS_HUMAN, OrderReason.FILLS_DISAGREE)


@pytest.mark.parametrize("seen", [None, order(OrderStatus.FILLED, "1"), order(OrderStatus.CANCELLED, "0.2")])
def test_a_single_look_after_downtime_asks_nobody(seen: Order | None) -> None:
    now = START + timedelta(hours=1)
    known = Known(S.PARTIALLY_FILLED, REQUEST, Decimal("0.5"), START, doubted_at=now, doubtful_looks=1)
    result = progress(known, seen, Decimal("0.5"), identity=CLASSES["permanent"], now=now)
    assert result.state is S.PARTIALLY_FILLED
