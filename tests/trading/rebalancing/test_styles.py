"""Order styles: what rests, when it is repriced, when it crosses; how a leg is cut, and that it always adds up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.ids import InstrumentId
from brokers.rounding import is_multiple, quantise_quantity
from brokers.types import ZERO, OrderType, Quote, TimeInForce
from ledger.states import IntentState
from tests.trading.rebalancing.building import NOW, PARTS, SHARE, make_portfolio, make_quote, make_view
from trading.rebalancing import LineReason, Plan, plan
from trading.rebalancing.release import LegState, OrderFact, Send, decide, order_request, progress_of
from trading.rebalancing.styles import (
    Past,
    Resting,
    RoundKind,
    expected_duration_s,
    look_at,
    next_round,
    rounds_bound,
    slices_of,
    to_take_back,
    touch,
)

D = Decimal
A = "A/USDT"
REST = {"order_style": "limit_then_market", "reprice_steps": 2, "reprice_wait_s": 10}


def buying(quantity_weight: str = "0.5", **changes: Any) -> Plan:
    return plan(make_portfolio({A: quantity_weight}, **changes), make_view({A: "10"}))


def after(seconds: float) -> Any:
    return NOW + timedelta(seconds=seconds)


# -- limit_then_market ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("rests", "seconds", "kind"),
    [(0, 0, "rest"), (1, 10, "rest"), (2, 29.9, "rest"), (2, 30, "cross"), (3, 12, "cross")],
)
def test_a_leg_rests_for_its_steps_and_then_crosses(rests: int, seconds: float, kind: str) -> None:
    found = buying(**REST)
    past = Past(filled=D(100), rounds=rests, rests=rests, first_at=NOW if rests else None)
    wanted = next_round(found, found.leg(1), past, after(seconds))
    assert (wanted.kind, wanted.quantity) == (RoundKind(kind), found.leg(1).quantity - 100)
    assert rounds_bound(found, found.leg(1)) == 3 + found.portfolio.rounds_max
    assert expected_duration_s(found.portfolio) == 30


@pytest.mark.parametrize(
    ("seconds", "price", "is_taken"),
    [
        (5, "10.05", False),  # its step is not over
        (10, "10", False),  # at the touch it keeps its place
        (10, "10.05", True),
        (12, "9.95", True),
        (30, "10", True),  # its time is over
        (5, "10.5", True),  # further than price_move_max
        (10, "", False),  # no quote: left until its time is over
        (30, "", True),
    ],
)
def test_a_resting_order_is_taken_back_when_the_touch_or_its_time_has_gone(
    seconds: float, price: str, is_taken: bool
) -> None:
    found = buying(**REST)
    leg = found.leg(1)
    order = Resting(leg_number=1, price=touch(leg, make_quote(A, D(10))), at=NOW)
    quotes = {InstrumentId(A): make_quote(A, D(price))} if price else {}
    taken = to_take_back(found, [order], {1: Past(rounds=1, rests=1, first_at=NOW)}, quotes=quotes, now=after(seconds))
    assert taken == ((1,) if is_taken else ())


@pytest.mark.parametrize(
    ("seen", "look"), [(None, 10), (3, 10), (10, 20), (12, 20), (25, 30), (29.9, 30), (30, 30), (99, 30)]
)
def test_an_order_that_keeps_its_place_is_looked_at_again_at_the_end_of_the_next_step(
    seen: float | None, look: float
) -> None:
    found = buying(**REST)
    order = Resting(leg_number=1, price=D("9.99"), at=NOW)
    seen_at = None if seen is None else after(seen)
    assert look_at(found.portfolio, order, Past(rounds=1, rests=1, first_at=NOW), seen_at=seen_at) == after(look)


def test_what_rests_is_a_good_till_cancelled_limit_at_the_touch() -> None:
    found = buying(**REST)
    quote = Quote(InstrumentId(A), bid=D("9.996"), ask=D("10.004"), last=D(10), time=NOW)
    request = order_request(found, Send(leg_number=1, round_number=1, quantity=D(7), kind=RoundKind.REST), quote)
    assert (request.order_type, request.time_in_force) == (OrderType.LIMIT, TimeInForce.GTC)
    assert request.limit_price == D("9.99")


def test_nothing_follows_an_order_before_its_end_is_proved() -> None:
    """A cancel that was asked for counts for nothing: the order in the book is one order of the leg."""
    found = buying(**REST)
    working = OrderFact(
        leg_number=1,
        round_number=1,
        state=IntentState.WORKING,
        filled_quantity=D(3),
        average_price=D(10),
        wanted_at=NOW,
        rests=True,
        limit_price=D("9.99"),
    )
    quotes = {InstrumentId(A): make_quote(A, D(10))}
    legs = progress_of(found, [working], ended={})
    assert legs[1].resting == Resting(leg_number=1, price=D("9.99"), at=NOW)
    assert decide(found, legs, free_money=D(10_000), quotes=quotes, now=after(99)).sends == ()


# -- sliced -----------------------------------------------------------------------------------------------------
def sliced(**changes: Any) -> Plan:
    return buying(**{"order_style": "sliced", "slices": 4, "slice_interval_s": 60, **changes})


def test_a_slice_waits_for_its_time_and_takes_what_the_last_one_left() -> None:
    found = sliced()
    leg = found.leg(1)
    first = next_round(found, leg, Past(), NOW)
    assert (first.quantity, first.not_before) == (quantise_quantity(leg.quantity / 4, lot=leg.lot_size), None)
    second = next_round(found, leg, Past(filled=D(50), rounds=1, first_at=NOW, last_at=NOW), after(1))
    assert second.not_before == after(60)
    assert second.quantity == quantise_quantity(leg.quantity / 2, lot=leg.lot_size) - 50
    quotes = {InstrumentId(A): make_quote(A, D(10))}
    filled = OrderFact(
        leg_number=1,
        round_number=1,
        state=IntentState.FILLED,
        filled_quantity=first.quantity,
        average_price=D(10),
        wanted_at=NOW,
    )
    legs = progress_of(found, [filled], ended={})
    waiting = decide(found, legs, free_money=D(10_000), quotes=quotes, now=after(59))
    assert (waiting.sends, waiting.due_at, waiting.is_short) == ((), after(60), False)
    (send,) = decide(found, legs, free_money=D(10_000), quotes=quotes, now=after(60)).sends
    assert send.round_number == 2


@given(st.decimals("0.02", "0.9", places=3), st.integers(2, 50), st.integers(5, 900), st.integers(0, 3), st.booleans())
@settings(max_examples=120, deadline=None)
def test_slices_are_valid_orders_and_add_up_to_the_leg(
    weight: Decimal, slices: int, smallest: int, lots: int, is_share: bool
) -> None:
    rules = {A: {"notional_min": D(smallest), "lot_size": D(10) ** -lots, "quantity_min": D(10) ** -lots}}
    if is_share:
        parts = replace(PARTS, step=D(10) ** -lots, notional_min=D(smallest))
        rules = {A: SHARE | {"quantity_min": parts.step, "parts": parts}}
    view = make_view({A: "10"}, instruments=rules)
    found = plan(make_portfolio({A: str(weight)}, order_style="sliced", slices=slices, slice_interval_s=0), view)
    if not found.legs:
        return
    leg, past, sent = found.leg(1), Past(), ZERO
    for number in range(1, rounds_bound(found, leg) + 1):
        wanted = next_round(found, leg, past, NOW)
        assert is_multiple(wanted.quantity, step=leg.lot_size)
        assert wanted.quantity >= leg.quantity_min
        is_only_one = slices_of(found, leg) == 1
        assert is_only_one or wanted.quantity * leg.price * (1 - found.portfolio.price_move_max) >= leg.notional_min
        sent += wanted.quantity
        past = Past(filled=sent, rounds=number, first_at=NOW, last_at=NOW)
        if sent == leg.quantity:
            break
    assert (sent, past.rounds) == (leg.quantity, slices_of(found, leg))
    assert past.rounds <= slices


# -- parts of a share -------------------------------------------------------------------------------------------
def part_of(weight: str, **changes: Any) -> Plan:
    """A purchase of weight times a thousand shares."""
    return plan(make_portfolio({A: weight}, **changes), make_view({A: "10"}, instruments={A: SHARE}))


@pytest.mark.parametrize("kind", list(RoundKind))
def test_an_order_for_a_part_is_for_the_day_and_one_for_whole_shares_is_not(kind: RoundKind) -> None:
    found = part_of("0.01235", cost_rate="0")
    quote = make_quote(A, D(10))
    part, whole = (
        order_request(found, Send(leg_number=1, round_number=1, quantity=D(quantity), kind=kind), quote)
        for quantity in ("12.35", "12")
    )
    assert part.time_in_force is TimeInForce.DAY
    assert whole.time_in_force is (TimeInForce.GTC if kind is RoundKind.REST else TimeInForce.IOC)
    assert part.limit_price == whole.limit_price


@pytest.mark.parametrize("style", ["limit", "market", "sliced"])
@pytest.mark.parametrize(("seconds", "price", "is_taken"), [(4, "10", False), (5, "10", True), (1, "10.5", True)])
def test_a_part_that_is_not_filled_at_once_is_taken_back(
    style: str, seconds: float, price: str, is_taken: bool
) -> None:
    found = part_of("0.01235", order_style=style)
    order = Resting(leg_number=1, price=None if style == "market" else D("10.1"), at=NOW)
    past = {1: Past(rounds=1, rests=1, first_at=NOW, last_at=NOW)}
    quotes = {InstrumentId(A): make_quote(A, D(price))}
    assert look_at(found.portfolio, order, past[1]) == after(5)
    taken = to_take_back(found, [order], past, quotes=quotes, now=after(seconds))
    assert taken == ((1,) if is_taken else ())


def test_a_part_that_crosses_after_it_rested_is_not_taken_for_one_that_rests() -> None:
    """limit_then_market: the touch is left alone until its steps are over; what crosses after them has an end too."""
    found = part_of("0.01235", **REST)
    quotes = {InstrumentId(A): make_quote(A, D(10))}
    past = {1: Past(rounds=2, rests=2, first_at=NOW, last_at=after(30))}
    crossing = Resting(leg_number=1, price=D("10.1"), at=after(30))
    assert to_take_back(found, [crossing], past, quotes=quotes, now=after(34)) == ()
    assert to_take_back(found, [crossing], past, quotes=quotes, now=after(35)) == (1,)


def test_slices_are_whole_shares_where_there_are_enough_of_them() -> None:
    def slices(weight: str) -> list[Decimal]:
        found, past, sent = part_of(weight, order_style="sliced", slices=4, cost_rate="0"), Past(), []
        leg = found.leg(1)
        while sum(sent) < leg.quantity:
            sent.append(next_round(found, leg, past, NOW).quantity)
            past = Past(filled=sum(sent, ZERO), rounds=len(sent), first_at=NOW, last_at=NOW)
        return sent

    assert slices("0.0095") == [D(2), D(2), D(3), D("2.5")]
    assert slices("0.0025") == [D("0.625")] * 4
    assert slices("0.00025") == [D("0.125")] * 2  # a dollar each at least


def test_a_part_and_its_rest_below_the_smallest_order_end_with_their_reason() -> None:
    found = part_of("0.01235")
    filled = OrderFact(
        leg_number=1,
        round_number=1,
        state=IntentState.CANCELLED,
        filled_quantity=found.leg(1).quantity - D("0.05"),
        average_price=D(10),
        wanted_at=NOW,
        rests=True,
        limit_price=D("10.1"),
    )
    item = progress_of(found, [filled], ended={})[1]
    assert (item.state, item.reason) == (LegState.DONE, LineReason.BELOW_NOTIONAL_MIN.value)
