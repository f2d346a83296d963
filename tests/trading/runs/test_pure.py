"""What needs no venue: who must approve, what an approval covers, and what a run has cost."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.ids import AccountId, InstrumentId
from brokers.types import ZERO
from ledger.states import PlanState, RunState
from tests.trading.rebalancing.building import NOW, make_portfolio, make_quote, make_view
from tests.trading.runs.scene import subscribed
from trading.rebalancing import Plan, plan
from trading.rebalancing.release import LegProgress, LegState
from trading.rebalancing.run_plan import AccountPlan, AccountProblem, RunPlan, assembled, moved_since
from trading.runs.approval import covers, held_back, needs_approval, same_positions
from trading.runs.result import AccountResult, result_of
from trading.runs.shortfall import LegFees, RunLeg, run_legs, total_shortfall

D = Decimal
A, B = "A/USDT", "B/USDT"
MAIN = "bybit-simulated-main"


def decided(held: str = "0", *, price: str = "10", weight: str = "0.5", **changes: Any) -> Plan:
    view = make_view({A: price}, holdings={A: held} if D(held) else {}, equity="10000", free_money="9000", **changes)
    return plan(make_portfolio({A: weight}), view)


def run_of(made: Plan, **terms: Any) -> RunPlan:
    account = AccountPlan(account_name=MAIN, plan=made, base_rate=D(1))
    subscription = subscribed(accounts=[{"account": MAIN}], **terms)
    return assembled(subscription, made.portfolio, time=NOW, accounts=[account], problems=[], conversions=[])


@pytest.mark.parametrize(
    ("environment", "rule", "is_needed"),
    [
        ("simulated", "production", False),
        ("testnet", "production", False),
        ("production", "production", True),
        ("production", "never", False),
        ("simulated", "always", True),
    ],
)
def test_production_asks_a_person_unless_the_subscription_says_never(
    environment: str, rule: str, is_needed: bool
) -> None:
    made = replace(decided(), account_id=AccountId.parse(f"bybit.{environment}.main"))
    assert needs_approval(run_of(made, approval=rule)) is is_needed


def test_a_run_that_sends_nothing_asks_nobody() -> None:
    nothing = decided("500", weight="0.5")
    assert nothing.is_empty
    assert not needs_approval(run_of(nothing, approval="always"))


@pytest.mark.parametrize(
    ("held", "price", "is_covered"),
    [
        ("0", "10", True),
        ("4", "10", True),  # less to buy than was approved
        ("-4", "10", True),  # a little more: within half a percent of equity
        ("-40", "10", False),
        ("900", "10", False),  # another side was never approved
    ],
)
def test_an_approval_covers_the_same_orders_within_its_limits(held: str, price: str, is_covered: bool) -> None:
    was, now = run_of(decided()), run_of(_holding(held, price))
    assert covers(was, now) is is_covered
    assert same_positions(was, now) is (held == "0")


def _holding(held: str, price: str) -> Plan:
    """The plan of an account that holds so much, a short as a purchase of more."""
    made = decided(held if D(held) > 0 else "0", price=price)
    if D(held) >= 0:
        return made
    leg = replace(made.legs[0], quantity=made.legs[0].quantity - D(held))
    line = replace(made.lines[0], current_quantity=D(held))
    return replace(made, legs=(leg,), lines=(line,))


@pytest.mark.parametrize(
    ("rules", "now", "is_held"),
    [
        ({}, {}, False),
        ({}, {"open_order_instruments": frozenset({InstrumentId(A)})}, True),
        ({"calendar": {"sessions": "NYSE"}}, {"time": NOW.replace(hour=23)}, True),  # approved after the close
        ({"cooldown_s": 600}, {"last_traded_at": NOW.replace(hour=15)}, True),
        ({"minimum_trade_notional": "4999.9"}, {}, False),  # the price decides that, within its limit
    ],
)
def test_what_keeps_a_line_back_now_is_told_from_what_its_price_decides(
    rules: dict[str, Any], now: dict[str, Any], is_held: bool
) -> None:
    portfolio = make_portfolio({A: "0.5"}, **rules)
    was, fresh = (
        run_of(plan(portfolio, make_view({A: price}, **{"time": NOW.replace(hour=15), **seen})))
        for price, seen in (("10", {}), ("10.001", now))
    )
    assert was.legs and not moved_since(was, fresh) and same_positions(was, fresh)
    assert held_back(was, fresh) is is_held
    assert covers(was, fresh) or not is_held


def test_an_account_that_was_not_approved_is_not_covered() -> None:
    was = run_of(decided())
    assert not covers(replace(was, accounts=()), was)


# -- what it cost -----------------------------------------------------------------------------------------------
def legs_of(made: Plan, *, filled: Decimal, at: Decimal, fee: Decimal, now: Decimal | None) -> tuple[RunLeg, ...]:
    leg = made.leg(1)
    item = LegProgress(number=1, state=LegState.DONE, filled_quantity=filled, value=filled * at, rounds=1)
    quotes = {} if now is None else {InstrumentId(A): make_quote(A, now)}
    return run_legs(MAIN, made, {leg.number: item}, base_rate=D(2), fees={1: LegFees(quote=fee)}, quotes=quotes)


def test_what_was_not_bought_while_the_price_rose_is_a_cost() -> None:
    made = decided()
    wanted = made.leg(1).quantity
    (leg,) = legs_of(made, filled=wanted - 100, at=D("10.01"), fee=D(3), now=D(11))
    assert (leg.slippage, leg.fees, leg.opportunity) == ((wanted - 100) * D("0.01"), 3, 100)
    assert leg.shortfall_base == 2 * leg.shortfall
    (unpriced,) = legs_of(made, filled=wanted - 100, at=D(10), fee=D(3), now=None)
    total = total_shortfall([unpriced], {MAIN: D(2)}, {"BNB": D(1)})
    assert (unpriced.opportunity, total.unpriced, total.other_fees) == (None, 1, {"BNB": 1})


@given(
    st.decimals("0", "1", places=2),
    st.decimals("9", "11", places=2),
    st.decimals("0", "9", places=2),
    st.decimals("9", "11", places=2),
)
@settings(max_examples=60, deadline=None)
def test_the_shortfall_is_the_money_against_a_paper_portfolio(
    part: Decimal, at: Decimal, fee: Decimal, now: Decimal
) -> None:
    """Bought on paper at the decision price, all of it, and held to the end, against what was really done."""
    made = decided()
    wanted = made.leg(1).quantity
    filled = (wanted * part).quantize(D("0.001"))
    (leg,) = legs_of(made, filled=filled, at=at, fee=fee, now=now)
    paper = wanted * (now - leg.decision_price)
    real = filled * (now - at) - fee if filled else -fee
    assert abs(leg.shortfall - (paper - real)) < D("1e-9")
    total = total_shortfall([leg], {MAIN: D(2)}, {})
    assert total.total == total.slippage + total.fees + total.opportunity == leg.shortfall_base


# -- how it ends ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("states", "has_problem", "is_cancelled", "ends_as"),
    [
        (["completed", "completed"], False, False, "completed"),
        (["completed", "completed"], True, False, "completed_adjusted"),
        (["completed", "completed_adjusted"], False, False, "completed_adjusted"),
        (["completed", "failed"], False, False, "failed"),
        (["completed", "cancelled_mid_run"], False, False, "completed_adjusted"),  # one was not begun
        (["cancelled_mid_run"], False, False, "failed"),  # none was begun
        (["completed", "cancelled_mid_run"], False, True, "cancelled_mid_run"),
        (["completed", "completed"], False, True, "completed"),  # it had ended before the wish was seen
        ([], False, True, "cancelled_mid_run"),
    ],
)
def test_the_worst_account_decides_how_a_run_ends(
    states: list[str], has_problem: bool, is_cancelled: bool, ends_as: str
) -> None:
    problem = AccountProblem(account_name=MAIN, account_id="", reason="VENUE_UNAVAILABLE", detail="")
    made = replace(run_of(decided()), problems=(problem,) if has_problem else ())
    ends = [
        AccountResult(
            account_name=MAIN,
            account_id="bybit.simulated.main",
            plan_id="p",
            state=PlanState(state),
            reason="",
            detail="",
            base_rate=D(1),
            legs=(),
            other_fees={},
            proof=None,
        )
        for state in states
    ]
    result = result_of(made, ends, is_cancelled=is_cancelled)
    assert result.state is RunState(ends_as)
    assert result.shortfall.bps == ZERO


def test_a_run_without_an_account_failed() -> None:
    made = replace(run_of(decided()), accounts=())
    result = result_of(made, [], is_cancelled=False)
    assert (result.state, result.reason) == (RunState.FAILED, "RUN_NOTHING_PLANNED")
