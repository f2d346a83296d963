"""Verdicts: what the venue holds decides, and only proof completes a plan."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest

from brokers.ids import InstrumentId
from ledger.states import PlanState
from tests.trading.rebalancing.building import NOW, make_portfolio, make_view
from trading.rebalancing import Plan, plan
from trading.rebalancing.release import LegProgress, LegState
from trading.rebalancing.verdict import PlanResult, Reading, Verdict, judge

D = Decimal
A, B = "A/USDT:USDT", "B/USDT:USDT"


def two_lines() -> Plan:
    return plan(make_portfolio({A: "0.5", B: "0.3"}, tolerance="0.001"), make_view({A: "10", B: "10"}))


def legs(found: Plan, **changes: object) -> dict[int, LegProgress]:
    """Every leg filled at its expected price, but for the changes of leg 1."""
    done = {
        leg.number: LegProgress(
            number=leg.number,
            state=LegState.DONE,
            filled_quantity=leg.quantity,
            value=leg.quantity * leg.price,
            rounds=1,
        )
        for leg in found.legs
    }
    if changes:
        fields = {name: getattr(done[1], name) for name in ("number", "state", "filled_quantity", "value", "rounds")}
        done[1] = LegProgress(**{**fields, **changes})  # type: ignore[arg-type]
    return done


def reading(found: Plan, held: Mapping[str, str], **changes: object) -> Reading:
    fields: dict[str, object] = {
        "time": NOW,
        "equity": D(10000),
        "quantities": {InstrumentId(key): D(value) for key, value in held.items()},
        "quotes": make_view({A: "10", B: "10"}).quotes,
        "base_fees": {},
        "fees": D(8),
    }
    return Reading(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_reached_book_completes_with_its_costs() -> None:
    found = two_lines()
    result = judge(found, legs(found), reading(found, {A: "500", B: "300"}))
    assert result.state is PlanState.COMPLETED
    assert {line.verdict for line in result.lines} == {Verdict.REACHED}
    assert result.shortfall == D(500) * D("0.001") + D(300) * D("0.001")
    assert (result.fees, result.drift_after) == (D(8), D(0))
    assert result.drift_before == D("0.4")
    assert PlanResult.from_json(result.to_json()) == result


@pytest.mark.parametrize(
    ("changes", "held", "verdict", "state"),
    [
        ({"filled_quantity": D(400)}, "400", Verdict.RESIDUAL, PlanState.COMPLETED_ADJUSTED),
        ({"filled_quantity": D("499.5")}, "499.5", Verdict.REACHED, PlanState.COMPLETED),
        ({"filled_quantity": D(0), "state": LegState.REFUSED}, "0", Verdict.REFUSED, PlanState.COMPLETED_ADJUSTED),
        (
            {"filled_quantity": D(0), "state": LegState.SKIPPED, "rounds": 0},
            "0",
            Verdict.SKIPPED,
            PlanState.COMPLETED_ADJUSTED,
        ),
        ({"filled_quantity": D(9), "state": LegState.UNRESOLVED}, "9", Verdict.UNRESOLVED, PlanState.FAILED),
        ({}, "499", Verdict.DISAGREES, PlanState.FAILED),
        ({}, "0", Verdict.DISAGREES, PlanState.FAILED),
    ],
)
def test_each_verdict(changes: dict[str, object], held: str, verdict: Verdict, state: PlanState) -> None:
    found = two_lines()
    result = judge(found, legs(found, **changes), reading(found, {A: held, B: "300"}))
    assert result.lines[0].verdict is verdict
    assert result.lines[1].verdict is Verdict.REACHED
    assert result.state is state


def test_nothing_filled_of_what_was_sent_is_a_failure() -> None:
    found = plan(make_portfolio({A: "0.5"}), make_view({A: "10"}))
    refused = legs(found, state=LegState.REFUSED, filled_quantity=D(0), value=D(0), reason="VENUE_REFUSED")
    result = judge(found, refused, reading(found, {}))
    assert (result.state, result.lines[0].reasons) == (PlanState.FAILED, ("VENUE_REFUSED",))


def test_a_line_in_its_band_is_no_adjustment() -> None:
    view = make_view({A: "10"}, holdings={A: "480"})
    found = plan(make_portfolio({A: "0.5"}, drift={"absolute": "0.05"}, tolerance="0.001"), view)
    result = judge(found, {}, reading(found, {A: "480"}))
    assert (result.state, result.lines[0].verdict) == (PlanState.COMPLETED, Verdict.WITHIN_BAND)


def test_fees_taken_from_the_coin_are_expected() -> None:
    found = plan(make_portfolio({"C/USDT": "0.5"}), make_view({"C/USDT": "10"}))
    key = InstrumentId("C/USDT")
    paid = reading(found, {"C/USDT": "499.5"}, base_fees={key: D("0.5")}, other_fees={"BNB": D("0.01")})
    result = judge(found, legs(found), paid)
    assert (result.lines[0].verdict, result.lines[0].expected_quantity) == (Verdict.REACHED, D("499.5"))
    assert result.other_fees == {"BNB": D("0.01")}


def test_a_line_that_could_not_be_traded_is_skipped_with_its_reason() -> None:
    found = plan(make_portfolio({A: "0.5", "X/USDT": "0.1"}), make_view({A: "10"}))
    result = judge(found, legs(found), reading(found, {A: "500"}))
    assert [(line.verdict, line.reasons) for line in result.lines] == [
        (Verdict.REACHED, ()),
        (Verdict.SKIPPED, ("INSTRUMENT_UNKNOWN",)),
    ]
    assert result.state is PlanState.COMPLETED_ADJUSTED


def test_a_held_line_that_is_gone_is_not_within_its_band() -> None:
    view = make_view({A: "10", B: "10"}, holdings={A: "495", B: "299"})
    found = plan(make_portfolio({A: "0.5", B: "0.3"}, drift={"absolute": "0.02"}, tolerance="0.001"), view)
    assert found.is_empty
    gone = judge(found, {}, reading(found, {B: "299"}))
    assert gone.state is PlanState.FAILED
    assert [line.verdict for line in gone.lines] == [Verdict.DISAGREES, Verdict.REACHED]


def small_lines(count: int) -> tuple[dict[str, str], Plan]:
    """Lines whose whole weight is inside the tolerance."""
    prices = {f"S{number}/USDT:USDT": "10" for number in range(count)}
    return prices, plan(make_portfolio(dict.fromkeys(prices, "0.004")), make_view(prices))


def test_small_lines_that_were_all_refused_are_refused_and_the_plan_failed() -> None:
    prices, found = small_lines(250)
    refused = {
        leg.number: LegProgress(number=leg.number, state=LegState.REFUSED, rounds=1, reason="NO") for leg in found.legs
    }
    result = judge(found, refused, reading(found, {}, quotes=make_view(prices).quotes))
    assert result.state is PlanState.FAILED
    assert {line.verdict for line in result.lines} == {Verdict.REFUSED}


def test_a_small_line_that_was_never_sent_is_skipped() -> None:
    _, found = small_lines(2)
    unsent = legs(found, state=LegState.SKIPPED, filled_quantity=D(0), value=D(0), rounds=0)
    result = judge(found, unsent, reading(found, {"S1/USDT:USDT": "4"}))
    assert [line.verdict for line in result.lines] == [Verdict.SKIPPED, Verdict.REACHED]
    assert result.state is PlanState.COMPLETED_ADJUSTED


def test_a_line_below_the_venues_minimum_is_as_near_as_it_gets() -> None:
    found = plan(make_portfolio({A: "0.5", B: "0.0004"}), make_view({A: "10", B: "10"}))
    result = judge(found, legs(found), reading(found, {A: "500"}))
    assert (found.lines[1].reasons, result.lines[1].verdict) == (("BELOW_NOTIONAL_MIN",), Verdict.REACHED)
    assert result.state is PlanState.COMPLETED


def test_many_lines_that_are_each_near_do_not_make_a_complete_plan() -> None:
    prices, found = small_lines(250)
    half = {
        leg.number: LegProgress(number=leg.number, state=LegState.DONE, filled_quantity=D(2), value=D(20), rounds=1)
        for leg in found.legs
    }
    result = judge(found, half, reading(found, dict.fromkeys(prices, "2"), quotes=make_view(prices).quotes))
    assert {line.verdict for line in result.lines} == {Verdict.REACHED}
    assert result.drift_after == D("0.25")
    assert result.state is PlanState.COMPLETED_ADJUSTED
