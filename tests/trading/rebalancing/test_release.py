"""Which legs go when: the invariants of trading/rebalancing/release.py, on small cases and on arbitrary executions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.ids import InstrumentId
from brokers.rounding import is_multiple
from brokers.types import ZERO, OrderSide, OrderType, Quote, TimeInForce
from ledger.states import IntentState
from tests.trading.rebalancing.building import NOW, make_portfolio, make_quote, make_view
from tests.trading.rebalancing.test_planner_properties import Case, cases
from trading.rebalancing import Holding, LineReason, Plan, plan
from trading.rebalancing.release import (
    Decision,
    Ending,
    LegProgress,
    LegState,
    OrderFact,
    Send,
    decide,
    order_request,
    progress_of,
)
from trading.rebalancing.styles import RoundKind, protected_price, rounds_bound

D = Decimal
S = IntentState
A, B, PERP = "A/USDT", "B/USDT", "BTC/USDT:USDT"


def fact(leg: int, state: IntentState, filled: str = "0", *, round_number: int = 1, reason: str = "") -> OrderFact:
    return OrderFact(
        leg_number=leg,
        round_number=round_number,
        state=state,
        filled_quantity=D(filled),
        average_price=D(10) if D(filled) else None,
        reason=reason,
        detail="",
    )


def swap(**changes: Any) -> Plan:
    """Sell A (leg 1) to buy B (leg 2), with next to no cash."""
    view = make_view({A: "10", B: "10"}, holdings={A: "1000"}, equity="10000", free_money="10")
    return plan(make_portfolio({A: "0", B: "0.9"}, rounds_max=3, **changes), view)


def quotes_of(found: Plan, **moved: str) -> dict[InstrumentId, Quote]:
    return {
        leg.instrument_id: make_quote(str(leg.instrument_id), D(moved.get(str(leg.instrument_id)[0], str(leg.mid))))
        for leg in found.legs
    }


def step(found: Plan, *facts: OrderFact, money: str = "10", **options: Any) -> Decision:
    ended = options.pop("ended", {})
    progress = progress_of(found, facts, ended=ended)
    quotes, now = options.get("quotes", quotes_of(found)), options.get("now", NOW)
    return decide(found, progress, free_money=D(money), quotes=quotes, now=now)


def test_reductions_go_first_and_increases_as_their_fills_free_the_money() -> None:
    found = swap()
    assert [send.leg_number for send in step(found).sends] == [1]
    waiting = step(found, fact(1, S.WORKING, "400"), money="4000")
    assert waiting == Decision()
    freed = step(found, fact(1, S.FILLED, "1000"), money="9990")
    assert [(send.leg_number, send.round_number) for send in freed.sends] == [(2, 1)]
    assert freed.sends[0].quantity == found.legs[1].quantity


def test_what_is_left_when_the_session_ends_is_not_sent_after_it() -> None:
    found = swap(calendar={"sessions": "LSE"})
    sold, after = fact(1, S.FILLED, "1000"), NOW.replace(hour=17)
    assert [send.leg_number for send in step(found, sold, money="9990").sends] == [2], "within the session"
    closed = LineReason.SESSION_CLOSED
    begun = step(found, sold, money="9990", now=after)
    assert (begun.sends, begun.endings) == ((), (Ending(leg_number=2, state=LegState.SKIPPED, reason=closed),))
    parted = step(found, fact(1, S.VENUE_EXPIRED, "400"), now=after)
    assert Ending(leg_number=1, state=LegState.DONE, reason=closed) in parted.endings and parted.sends == ()


def test_money_counts_only_when_fills_and_venue_both_show_it() -> None:
    found = swap()
    filled = fact(1, S.FILLED, "1000")
    lagging = step(found, filled, money="1")
    assert lagging.is_short
    assert [(end.leg_number, end.reason) for end in lagging.endings] == [(2, LineReason.MONEY_SHORT)]
    foreign = step(found, fact(1, S.WORKING, "0"), money="50000")
    assert foreign.sends == ()


def test_the_last_money_is_spent_on_a_smaller_order() -> None:
    decision = step(swap(), fact(1, S.FILLED, "1000"), money="5000")
    (send,) = decision.sends
    assert decision.is_short
    assert D(400) < send.quantity < D(500)


@pytest.mark.parametrize(
    ("facts", "state", "reason"),
    [
        ([], LegState.WAITING, ""),
        ([fact(1, S.SENDING)], LegState.RELEASED, ""),
        ([fact(1, S.UNKNOWN)], LegState.RELEASED, ""),
        ([fact(1, S.NEEDS_HUMAN, reason="PROOF_IMPOSSIBLE")], LegState.UNRESOLVED, "PROOF_IMPOSSIBLE"),
        ([fact(1, S.FILLED, "1000")], LegState.DONE, ""),
        ([fact(1, S.VENUE_EXPIRED, "400")], LegState.WAITING, ""),
        ([fact(1, S.EXPIRED)], LegState.WAITING, ""),
        ([fact(1, S.REFUSED, reason="VENUE_ORDER_INVALID")], LegState.REFUSED, "VENUE_ORDER_INVALID"),
        ([fact(1, S.DENIED, reason="RISK_PRICE_COLLAR")], LegState.REFUSED, "RISK_PRICE_COLLAR"),
        ([fact(1, S.DENIED, reason="RISK_QUOTE_STALE")], LegState.WAITING, "RISK_QUOTE_STALE"),
        ([fact(1, S.WITHDRAWN, reason="WITHDRAWN_UNSENT")], LegState.DONE, "WITHDRAWN_UNSENT"),
        ([fact(1, S.VENUE_EXPIRED, "999.9999")], LegState.DONE, "BELOW_LOT"),
        ([fact(1, S.VENUE_EXPIRED, "999.9")], LegState.DONE, "BELOW_NOTIONAL_MIN"),
        ([fact(1, S.VENUE_EXPIRED, "9", round_number=n) for n in (1, 2, 3)], LegState.DONE, "ROUNDS_USED_UP"),
    ],
)
def test_a_leg_is_what_its_orders_came_to(facts: list[OrderFact], state: LegState, reason: str) -> None:
    item = progress_of(swap(), facts, ended={})[1]
    assert (item.state, item.reason) == (state, reason)
    assert item.rounds == len(facts)


def test_a_recorded_end_stays_the_end() -> None:
    ended = {1: (LegState.SKIPPED, "PRICE_MOVED", "")}
    item = progress_of(swap(), [], ended=ended)[1]
    assert (item.state, item.reason) == (LegState.SKIPPED, "PRICE_MOVED")


def test_the_average_price_is_over_all_orders() -> None:
    orders = [
        replace(fact(1, S.VENUE_EXPIRED, "1"), average_price=D(10)),
        replace(fact(1, S.FILLED, "3", round_number=2), average_price=D(14)),
    ]
    assert progress_of(swap(), orders, ended={})[1].average_price == D(13)


def test_an_increase_is_dropped_when_its_reduction_did_not_complete() -> None:
    view = make_view({PERP: "10000"}, equity="10000")
    view = replace(view, holdings=(Holding(instrument_id=InstrumentId(PERP), quantity=D("0.5")),))
    found = plan(make_portfolio({PERP: "-0.5"}), view)
    assert [send.leg_number for send in step(found, money="10000").sends] == [1]
    dropped = step(found, fact(1, S.REFUSED, "0.2", reason="VENUE_REFUSED"), money="10000")
    assert dropped.sends == ()
    assert [(end.leg_number, end.state, end.reason) for end in dropped.endings] == [
        (2, LegState.SKIPPED, LineReason.REDUCTION_INCOMPLETE)
    ]


def test_prices_that_left_the_plan_end_the_leg() -> None:
    found = swap()
    moved = step(found, quotes=quotes_of(found, A="10.31"))
    assert (moved.endings[0].reason, moved.endings[0].state) == (LineReason.PRICE_MOVED, LegState.SKIPPED)
    after_a_part = step(found, fact(1, S.VENUE_EXPIRED, "9"), quotes=quotes_of(found, A="9.69"))
    assert after_a_part.endings[0].state is LegState.DONE
    assert step(found, quotes=quotes_of(found, A="10.29")).endings == ()
    missing = step(found, quotes={})
    assert {end.reason for end in missing.endings} == {LineReason.QUOTE_MISSING}


def test_market_orders_are_held_by_their_collar_against_them_only() -> None:
    view = make_view({A: "10"}, equity="10000")
    found = plan(make_portfolio({A: "0.5"}, order_style="market", collar="0.005"), view)
    assert step(found, money="10000", quotes=quotes_of(found, A="10.06")).endings[0].reason is LineReason.PRICE_MOVED
    assert step(found, money="10000", quotes=quotes_of(found, A="9.9")).endings == ()


@pytest.mark.parametrize(
    ("style", "side", "price"),
    [("limit", OrderSide.BUY, "10.10"), ("limit", OrderSide.SELL, "9.90"), ("market", OrderSide.BUY, None)],
)
def test_terms_are_immediate_and_protected(style: str, side: OrderSide, price: str | None) -> None:
    held = {A: "900"} if side is OrderSide.SELL else {}
    view = make_view({A: "10"}, holdings=held, equity="10000")
    found = plan(make_portfolio({A: "0" if held else "0.5"}, order_style=style), view)
    kind = RoundKind.CROSS if price else RoundKind.MARKET
    send = Send(leg_number=1, round_number=1, quantity=D(7), kind=kind)
    quote = Quote(InstrumentId(A), bid=D("9.999"), ask=D("10.001"), last=D(10), time=view.time)
    request = order_request(found, send, quote)
    assert request.time_in_force is TimeInForce.IOC
    assert request.order_type is (OrderType.LIMIT if price else OrderType.MARKET)
    assert request.limit_price == (D(price) if price else None)
    assert (request.quantity, request.side) == (D(7), side)


def test_a_protected_price_is_never_zero() -> None:
    view = make_view({A: "10"}, holdings={A: "900"}, equity="10000", instruments={A: {"tick_size": D(5)}})
    (leg,) = plan(make_portfolio({A: "0"}), view).legs
    tiny = Quote(InstrumentId(A), bid=D("0.001"), ask=D("0.002"), last=D("0.001"), time=view.time)
    assert protected_price(leg, tiny, collar=D("0.01")) == D(5)
    buying = replace(leg, side=OrderSide.BUY)
    assert protected_price(buying, tiny, collar=D("0.01")) == D(5)


@given(cases(), st.integers(0, 2**32))
@settings(max_examples=120, deadline=None)
def test_any_execution_ends_within_its_bounds(case: Case, seed: int) -> None:
    """Fills are partial, refused or late at random; every send is checked, and the plan comes to an end."""
    found = plan(case.portfolio, case.view)
    if not found.legs:
        return
    random, money = Random(seed), found.free_money
    orders: dict[int, list[OrderFact]] = {}
    sent: dict[int, Decimal] = {}  # by leg, the quantity of its newest order: no venue fills more than it was asked
    ended: dict[int, tuple[LegState, str, str]] = {}
    for _ in range(200):
        facts = [item for own in orders.values() for item in own]
        progress = progress_of(found, facts, ended=ended)
        if all(item.state.is_over for item in progress.values()):
            return
        decision = decide(found, progress, free_money=money, quotes=case.view.quotes, now=NOW)
        check_sends(found, progress, decision, money)
        for end in decision.endings:
            ended[end.leg_number] = (end.state, end.reason.value, "")
        for send in decision.sends:
            sent[send.leg_number] = send.quantity
            orders.setdefault(send.leg_number, []).append(
                fact(send.leg_number, S.WORKING, round_number=send.round_number)
            )
        money += settle(found, orders, sent, random)
    raise AssertionError("the execution did not end")


def check_sends(found: Plan, progress: Mapping[int, LegProgress], decision: Decision, money: Decimal) -> None:
    in_flight = any(item.state is LegState.RELEASED for item in progress.values())
    assert decision.sends or decision.endings or in_flight, "nothing moves"
    assert len({send.leg_number for send in decision.sends}) == len(decision.sends)
    spent = ZERO
    for send in decision.sends:
        leg, item = found.leg(send.leg_number), progress[send.leg_number]
        assert item.state is LegState.WAITING
        assert ZERO < send.quantity <= leg.quantity - item.filled_quantity
        assert is_multiple(send.quantity, step=leg.lot_size)
        assert send.round_number == item.rounds + 1 <= rounds_bound(found, leg)
        assert all(progress[number].filled_quantity == found.leg(number).quantity for number in leg.after_legs)
        if not leg.is_reduction:
            spent += leg.money * send.quantity / leg.quantity
    assert spent == 0 or spent <= money - found.portfolio.cash_buffer * found.equity


def settle(found: Plan, orders: dict[int, list[OrderFact]], sent: Mapping[int, Decimal], random: Random) -> Decimal:
    """End some working orders somehow; returns how the venue's money moved."""
    moved = ZERO
    for number, own in orders.items():
        if own[-1].state.is_terminal or random.random() < 0.3:
            continue
        leg = found.leg(number)
        left = min(sent[number], leg.quantity - sum((item.filled_quantity for item in own[:-1]), ZERO))
        share = random.choice([D(0), D("0.5"), D(1), D(1)])
        lots = int(left * share / leg.lot_size)
        filled = min(lots * leg.lot_size, left)
        full = filled == left
        state = S.FILLED if full else random.choice([S.VENUE_EXPIRED, S.REFUSED, S.CANCELLED])
        own[-1] = replace(own[-1], state=state, filled_quantity=filled, average_price=leg.price if filled else None)
        moved -= leg.money * filled / leg.quantity
    return moved
