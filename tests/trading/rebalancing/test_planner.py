from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from brokers.ids import InstrumentId
from brokers.types import OrderSide, PositionMode, PositionSide
from tests.trading.rebalancing.building import NOW, make_portfolio, make_view
from trading.rebalancing import Holding, LineAction, LineReason, Plan, PlanImpossible, PlanLeg, plan

D = Decimal
BTC, PERP = "BTC/USDT", "BTC/USDT:USDT"
A, B = "A/USDT:USDT", "B/USDT:USDT"


def only(found: Plan) -> PlanLeg:
    assert len(found.legs) == 1, found.legs
    return found.legs[0]


def test_buys_the_difference_rounded_toward_zero() -> None:
    found = plan(make_portfolio({BTC: "0.5"}), make_view({BTC: "30000"}, equity="10000"))
    leg = only(found)
    assert (leg.side, leg.quantity, leg.is_reduction) == (OrderSide.BUY, D("0.166"), False)
    line = found.lines[0]
    assert line.action is LineAction.TRADE
    assert D(0) < line.residual_quantity < line.lot_size
    assert line.target_notional == 5000


def test_sells_only_the_difference_and_never_all_to_buy_again() -> None:
    view = make_view({BTC: "30000"}, holdings={BTC: "0.2"}, equity="10000", free_money="4000")
    leg = only(plan(make_portfolio({BTC: "0.5"}), view))
    assert (leg.side, leg.quantity, leg.is_reduction, leg.reduce_only) == (OrderSide.SELL, D("0.033"), True, False)


def test_a_line_that_crosses_zero_is_a_reduction_and_an_increase_that_waits() -> None:
    view = make_view({PERP: "30000"}, holdings={PERP: "0.1"}, equity="10000")
    first, second = plan(make_portfolio({PERP: "-0.6"}), view).legs
    assert (first.side, first.quantity, first.reduce_only, first.after_legs) == (OrderSide.SELL, D("0.1"), True, ())
    assert (second.side, second.quantity, second.reduce_only, second.after_legs) == (
        OrderSide.SELL,
        D("0.2"),
        False,
        (1,),
    )


def test_reductions_come_first() -> None:
    view = make_view({"A/USDT": "10", "B/USDT": "10"}, holdings={"A/USDT": "900"}, equity="10000", free_money="1000")
    found = plan(make_portfolio({"A/USDT": "0.1", "B/USDT": "0.8"}), view)
    assert [leg.is_reduction for leg in found.legs] == [True, False]
    assert found.legs[0].money < 0 < found.legs[1].money


@pytest.mark.parametrize(
    ("targets", "rules", "changes", "reason"),
    [
        ({BTC: "0.00001"}, {}, {}, LineReason.BELOW_LOT),
        ({BTC: "0.0066"}, {"quantity_min": D("0.01")}, {}, LineReason.BELOW_QUANTITY_MIN),
        ({BTC: "0.0066"}, {"notional_min": D(100)}, {}, LineReason.BELOW_NOTIONAL_MIN),
        ({BTC: "0.0066"}, {}, {"minimum_trade_notional": "100"}, LineReason.BELOW_MINIMUM_TRADE),
        ({BTC: "0.5"}, {"is_trading": False}, {}, LineReason.INSTRUMENT_NOT_TRADING),
        ({BTC: "0.5"}, {"settle_currency": "USDC"}, {}, LineReason.QUOTE_CURRENCY_DIFFERS),
        ({BTC: "-0.5"}, {}, {}, LineReason.NO_SHORT_IN_PRODUCT),
        ({BTC: "0.01"}, {}, {"drift": {"absolute": "0.02"}}, LineReason.WITHIN_BAND),
    ],
)
def test_a_line_that_cannot_be_traded_says_why(
    targets: dict[str, str], rules: dict[str, object], changes: dict[str, object], reason: LineReason
) -> None:
    found = plan(make_portfolio(targets, **changes), make_view({BTC: "30000"}, instruments={BTC: rules}))
    assert found.is_empty
    assert found.lines[0].reasons == (reason,)
    assert found.lines[0].action is (LineAction.HOLD if reason is LineReason.WITHIN_BAND else LineAction.SKIP)
    assert found.reasons()[reason] == 1


def test_missing_instrument_quote_and_open_order_are_told_apart() -> None:
    portfolio = make_portfolio({"A/USDT": "0.2", "B/USDT": "0.2", "C/USDT": "0.2"})
    view = make_view(
        {"B/USDT": "10", "C/USDT": "10"},
        quotes={InstrumentId("C/USDT"): make_view({"C/USDT": "10"}).quotes[InstrumentId("C/USDT")]},
        open_order_instruments=frozenset({InstrumentId("C/USDT")}),
    )
    reasons = [line.reasons for line in plan(portfolio, view).lines]
    assert reasons == [
        (LineReason.INSTRUMENT_UNKNOWN,),
        (LineReason.QUOTE_MISSING,),
        (LineReason.OPEN_ORDER_AT_VENUE,),
    ]


def test_a_full_exit_ignores_the_minimum_trade() -> None:
    view = make_view({BTC: "30000"}, holdings={BTC: "0.001"})
    portfolio = make_portfolio({BTC: "0"}, minimum_trade_notional="100")
    assert only(plan(portfolio, view)).quantity == D("0.001")


def test_money_short_scales_every_increase_by_one_factor() -> None:
    view = make_view({"A/USDT": "10", "B/USDT": "10"}, equity="10000", free_money="5000")
    found = plan(make_portfolio({"A/USDT": "0.5", "B/USDT": "0.5"}), view)
    first, second = found.legs
    assert first.quantity == second.quantity
    assert first.money + second.money <= 5000 < (first.money + second.money) * D("1.001")
    assert all(LineReason.SCALED_TO_MONEY in line.reasons for line in found.lines)
    assert found.expected.free_money >= 0


def test_without_money_increases_are_dropped() -> None:
    found = plan(make_portfolio({BTC: "0.5"}), make_view({BTC: "30000"}, free_money="0"))
    assert found.is_empty
    assert found.lines[0].reasons == (LineReason.MONEY_SHORT,)


def test_the_cash_buffer_is_never_invested() -> None:
    portfolio = make_portfolio({"A/USDT": "1"}, cash_buffer="0.1")
    found = plan(portfolio, make_view({"A/USDT": "10"}, equity="10000"))
    assert found.expected.free_money >= 1000
    assert found.lines[0].target_weight == D("0.9")


def test_leverage_lowers_the_money_that_a_linear_line_needs() -> None:
    portfolio = make_portfolio({PERP: "2"}, gross_max="3")
    unlevered = plan(portfolio, make_view({PERP: "30000"}, equity="10000"))
    levered = plan(portfolio, make_view({PERP: "30000"}, equity="10000", leverages={PERP: "5"}))
    assert LineReason.SCALED_TO_MONEY in unlevered.lines[0].reasons
    assert levered.lines[0].reasons == ()
    assert only(levered).notional == pytest.approx(D(20000), rel=D("0.01"))


def test_whole_book_trades_quiet_lines_too_and_breaching_lines_does_not() -> None:
    view = make_view(
        {"A/USDT": "10", "B/USDT": "10"},
        holdings={"A/USDT": "600", "B/USDT": "310"},
        equity="10000",
        free_money="900",
    )
    targets = {"A/USDT": "0.5", "B/USDT": "0.3"}
    whole = plan(make_portfolio(targets, drift={"absolute": "0.05"}), view)
    lines = plan(make_portfolio(targets, drift={"absolute": "0.05"}, scope="breaching_lines"), view)
    assert {str(leg.instrument_id) for leg in whole.legs} == {"A/USDT", "B/USDT"}
    assert {str(leg.instrument_id) for leg in lines.legs} == {"A/USDT"}


def test_unmanaged_holdings_are_reported_or_closed() -> None:
    view = make_view(
        {"A/USDT": "10", "B/USDT": "10"}, holdings={"B/USDT": "100"}, free_money="5000", unpriced=(("XYZ", D(7)),)
    )
    left = plan(make_portfolio({"A/USDT": "0.2"}), view)
    assert [(item.name, item.notional) for item in left.unmanaged] == [("B/USDT", D(1000)), ("XYZ", None)]
    closed = plan(make_portfolio({"A/USDT": "0.2"}, unmanaged="close"), view)
    assert [item.name for item in closed.unmanaged] == ["XYZ"]
    assert [(str(leg.instrument_id), leg.side, leg.quantity) for leg in closed.legs if leg.is_reduction] == [
        ("B/USDT", OrderSide.SELL, D(100))
    ]
    assert not next(line for line in closed.lines if str(line.instrument_id) == "B/USDT").is_managed


def test_held_by_open_orders_bounds_the_sale() -> None:
    holding = Holding(instrument_id=InstrumentId(BTC), quantity=D(1), available=D("0.4"))
    view = replace(make_view({BTC: "1000"}), holdings=(holding,))
    found = plan(make_portfolio({BTC: "0"}), view)
    assert only(found).quantity == D("0.4")
    assert found.lines[0].reasons == (LineReason.HELD_BY_OPEN_ORDERS,)


def test_hedge_mode_names_the_side_and_nets_a_double_holding() -> None:
    both = (
        Holding(instrument_id=InstrumentId(PERP), quantity=D("0.2"), position_side=PositionSide.LONG),
        Holding(instrument_id=InstrumentId(PERP), quantity=D("-0.1"), position_side=PositionSide.SHORT),
    )
    view = replace(make_view({PERP: "10000"}), holdings=both, modes={InstrumentId(PERP): PositionMode.HEDGE})
    found = plan(make_portfolio({PERP: "0.1"}), view)
    assert [(leg.side, leg.quantity, leg.position_side, leg.reduce_only) for leg in found.legs] == [
        (OrderSide.SELL, D("0.1"), PositionSide.LONG, True),
        (OrderSide.BUY, D("0.1"), PositionSide.SHORT, True),
    ]


def test_a_large_change_is_cut_into_orders_that_the_venue_takes() -> None:
    rules = {BTC: {"quantity_max_limit": D("0.05"), "quantity_max_market": D("0.02")}}
    found = plan(make_portfolio({BTC: "0.5"}), make_view({BTC: "30000"}, instruments=rules))
    assert [leg.quantity for leg in found.legs] == [D("0.05")] * 3 + [D("0.016")]
    capped = plan(make_portfolio({BTC: "0.9"}, order_style="market"), make_view({BTC: "20000"}, instruments=rules))
    assert len(capped.legs) == 20
    assert LineReason.ABOVE_QUANTITY_MAX in capped.lines[0].reasons


@pytest.mark.parametrize(
    ("portfolio", "changes", "reason"),
    [
        (make_portfolio({BTC: "0.5"}), {"equity": "0"}, "EQUITY_NOT_POSITIVE"),
        (make_portfolio({BTC: "1.2"}, gross_max="2"), {}, "SPOT_WEIGHTS_ABOVE_ONE"),
    ],
)
def test_an_account_that_cannot_be_planned(portfolio: object, changes: dict[str, str], reason: str) -> None:
    with pytest.raises(PlanImpossible) as caught:
        plan(portfolio, make_view({BTC: "30000"}, **changes))  # type: ignore[arg-type]
    assert caught.value.reason == reason


def test_a_plan_survives_its_text_and_its_hash_names_its_inputs() -> None:
    portfolio, view = make_portfolio({BTC: "0.5", PERP: "-0.2"}), make_view({BTC: "30000", PERP: "30010"})
    found = plan(portfolio, view)
    assert Plan.from_json(found.to_json()) == found
    assert plan(portfolio, view) == found
    other = plan(portfolio, make_view({BTC: "30001", PERP: "30010"}))
    assert other.plan_hash != found.plan_hash
    assert plan(make_portfolio({BTC: "0.5", PERP: "-0.21"}), view).plan_hash != found.plan_hash
    assert found.time == NOW


def test_five_thousand_lines_are_planned_one_leg_each() -> None:
    count = 5000
    prices = {f"C{number}/USDT:USDT": "25" for number in range(count)}
    holdings = dict.fromkeys(list(prices)[::2], "3")
    portfolio = make_portfolio(dict.fromkeys(prices, "0.0001"))
    view = make_view(prices, holdings=holdings, equity="1000000")
    found = plan(portfolio, view)
    assert len(found.legs) == count


def test_a_reduction_that_takes_too_many_orders_brings_no_other_side() -> None:
    view = make_view({A: "10"}, holdings={A: "1000"}, instruments={A: {"quantity_max_limit": D(10)}})
    found = plan(make_portfolio({A: "-0.5"}, gross_max="5"), view)
    assert sum(leg.quantity for leg in found.legs) == 200
    assert all(leg.is_reduction for leg in found.legs)
    assert set(found.lines[0].reasons) == {LineReason.ABOVE_QUANTITY_MAX, LineReason.REDUCTION_INCOMPLETE}


def test_money_is_counted_from_the_part_of_a_reduction_that_one_plan_sells() -> None:
    rules = {A: {"quantity_max_limit": D(10)}}
    view = make_view({A: "10", B: "10"}, holdings={A: "1000"}, free_money="0", instruments=rules)
    found = plan(make_portfolio({A: "0", B: "0.99"}), view)
    assert found.expected.free_money >= 0
    assert LineReason.SCALED_TO_MONEY in found.lines[1].reasons


def test_as_many_orders_as_a_plan_may_have_are_no_reason() -> None:
    view = make_view({A: "10"}, instruments={A: {"quantity_max_limit": D(10)}})
    found = plan(make_portfolio({A: "0.2"}), view)
    assert (len(found.legs), found.lines[0].reasons) == (20, ())


def test_a_book_that_only_reduces_needs_no_money() -> None:
    view = make_view({A: "10", B: "10"}, holdings={B: "100"}, free_money="0", leverages={B: "1000"})
    found = plan(make_portfolio({A: "0", B: "0"}, cash_buffer="0.1"), view)
    assert [(leg.side, leg.quantity) for leg in found.legs] == [(OrderSide.SELL, D(100))]
