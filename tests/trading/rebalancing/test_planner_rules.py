"""When a portfolio is left alone, and what bounds a plan: calendar, cooldown, stale targets, costs, spreads, edges."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from brokers.ids import InstrumentId
from brokers.types import OrderSide, ProductKind, TimeInForce
from tests.trading.rebalancing.building import NOW, SHARE, make_portfolio, make_quote, make_view
from trading.rebalancing import LineAction, LineReason, Plan, PlanImpossible, plan
from trading.rebalancing.portfolio import Period, Portfolio
from trading.rebalancing.timing import hold_reason, period_start

D = Decimal
A, B = "A/USDT:USDT", "B/USDT:USDT"
SUNDAY = datetime(2026, 3, 1, 15, tzinfo=UTC)
OPEN = datetime(2026, 3, 2, 15, tzinfo=UTC)  # a Monday, 10:00 in New York


def reasons(found: Plan) -> dict[str, tuple[LineReason, ...]]:
    return {str(line.instrument_id): line.reasons for line in found.lines}


# -- when ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("rules", "now", "last", "reason"),
    [
        ({}, SUNDAY, None, None),
        ({"calendar": {"sessions": "NYSE"}}, SUNDAY, None, LineReason.SESSION_CLOSED),
        ({"calendar": {"sessions": "NYSE"}}, OPEN, None, None),
        ({"cooldown_s": 3600}, OPEN, None, None),
        ({"cooldown_s": 3600}, OPEN, OPEN - timedelta(seconds=3599), LineReason.COOLDOWN),
        ({"cooldown_s": 3600}, OPEN, OPEN - timedelta(seconds=3600), None),
        ({"calendar": {"every": "week"}}, OPEN, datetime(2026, 3, 2, 0, tzinfo=UTC), LineReason.NOT_DUE),
        ({"calendar": {"every": "week"}}, OPEN, datetime(2026, 3, 1, 23, 59, tzinfo=UTC), None),
        ({"calendar": {"every": "month"}}, OPEN, datetime(2026, 3, 1, tzinfo=UTC), LineReason.NOT_DUE),
        ({"calendar": {"every": "quarter"}}, OPEN, datetime(2025, 12, 31, tzinfo=UTC), None),
    ],
)
def test_when_a_portfolio_is_left_alone(
    rules: dict[str, Any], now: datetime, last: datetime | None, reason: LineReason | None
) -> None:
    assert hold_reason(make_portfolio({A: "0.5"}, **rules), now=now, last_traded_at=last) is reason


@pytest.mark.parametrize(
    ("period", "start"),
    [
        (Period.DAY, datetime(2026, 11, 25, tzinfo=UTC)),
        (Period.WEEK, datetime(2026, 11, 23, tzinfo=UTC)),
        (Period.MONTH, datetime(2026, 11, 1, tzinfo=UTC)),
        (Period.QUARTER, datetime(2026, 10, 1, tzinfo=UTC)),
        (Period.YEAR, datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_periods_begin_at_midnight_utc(period: Period, start: datetime) -> None:
    assert period_start(period, datetime(2026, 11, 25, 22, 39, 5, 7, tzinfo=UTC)) == start


def test_a_cooldown_holds_every_line_that_left_its_band_and_shows_the_drift() -> None:
    portfolio = make_portfolio({A: "0.5", B: "0"}, cooldown_s=60, drift={"absolute": "0.02"}, scope="breaching_lines")
    found = plan(portfolio, make_view({A: "100", B: "50"}, last_traded_at=NOW - timedelta(seconds=59)))
    assert found.is_empty
    assert reasons(found) == {A: (LineReason.COOLDOWN,), B: (LineReason.WITHIN_BAND,)}
    assert {line.action for line in found.lines} == {LineAction.HOLD}
    assert found.expected.drift_before == found.expected.drift_after == D("0.25")


def test_a_closed_market_is_a_skip_not_a_wish_fulfilled() -> None:
    portfolio = make_portfolio({A: "0.5"}, calendar={"sessions": "NYSE"})
    found = plan(portfolio, make_view({A: "100"}, time=SUNDAY))
    assert found.lines[0].action is LineAction.SKIP
    assert found.lines[0].reasons == (LineReason.SESSION_CLOSED,)


def test_an_unknown_calendar_is_refused_with_names_that_there_are() -> None:
    with pytest.raises(ValidationError, match=r"there is no calendar 'MOON'; some of those there are: NYSE"):
        make_portfolio({A: "0.5"}, calendar={"sessions": "MOON"})


# -- targets ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "guard",
    [
        {"targets_at": "2026-03-01T11:59:59Z", "target_age_s_max": 86_400},
        {"targets_valid_until": "2026-03-02T12:59:59+01:00"},
        {"targets_at": "2026-03-02T11:00:00Z", "target_age_s_max": 86_400, "targets_valid_until": NOW - timedelta(1)},
    ],
)
def test_stale_targets_make_no_plan(guard: dict[str, Any]) -> None:
    with pytest.raises(PlanImpossible, match="good until 2026-03-0") as caught:
        plan(make_portfolio({A: "0.5"}, **guard), make_view({A: "100"}))
    assert caught.value.reason == "TARGETS_STALE"


def test_targets_are_good_to_the_last_second() -> None:
    portfolio = make_portfolio({A: "0.5"}, targets_at="2026-03-01T12:00:00Z", target_age_s_max=86_400)
    assert plan(portfolio, make_view({A: "100"})).legs
    assert Portfolio.model_validate_json(portfolio.model_dump_json()) == portfolio


@pytest.mark.parametrize(
    ("guard", "complaint"),
    [
        ({"targets_at": "2026-03-01T12:00:00"}, "must say its time zone"),
        ({"targets_at": "yesterday"}, "must be a time such as '2026-03-02T12:00:00Z', was 'yesterday'"),
        ({"target_age_s_max": 60}, "target_age_s_max 60 needs targets_at"),
    ],
)
def test_a_guard_that_cannot_work_is_refused(guard: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        make_portfolio({A: "0.5"}, **guard)


# -- prices and costs ------------------------------------------------------------------------------------------
def test_an_old_quote_is_no_price() -> None:
    view = make_view({A: "100"}, time=NOW + timedelta(seconds=61))
    assert reasons(plan(make_portfolio({A: "0.5"}, quote_age_s_max=60), view)) == {A: (LineReason.QUOTE_STALE,)}
    assert plan(make_portfolio({A: "0.5"}, quote_age_s_max=61), view).legs


def test_a_wide_spread_leaves_the_line_alone() -> None:
    quotes = {InstrumentId(A): make_quote(A, D(100), spread=D("0.02")), InstrumentId(B): make_quote(B, D(50))}
    found = plan(
        make_portfolio({A: "0.5", B: "0.1"}, slippage_max="0.009"), make_view({A: "100", B: "50"}, quotes=quotes)
    )
    assert reasons(found) == {A: (LineReason.SLIPPAGE_ABOVE_MAX,), B: ()}
    assert [str(leg.instrument_id) for leg in found.legs] == [B]


def test_a_plan_that_costs_too_much_trades_nothing() -> None:
    view = make_view({A: "100", B: "50"})
    costs = plan(make_portfolio({A: "0.5", B: "0.1"}), view).expected.costs
    at_limit, below = (
        plan(make_portfolio({A: "0.5", B: "0.1"}, cost_max=str(costs / 10_000 - less)), view)
        for less in (D(0), D("1e-9"))
    )
    assert len(at_limit.legs) == 2
    assert below.is_empty
    assert reasons(below) == {A: (LineReason.COST_ABOVE_MAX,), B: (LineReason.COST_ABOVE_MAX,)}


def test_the_price_of_a_line_carries_its_time() -> None:
    assert plan(make_portfolio({A: "0.5"}), make_view({A: "100"})).lines[0].price_time == NOW


# -- how far ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("held", "after"),
    [("70", "55"), ("30", "45"), ("54", "54"), ("-20", "45")],
)
def test_a_line_is_brought_to_the_edge_of_its_band(held: str, after: str) -> None:
    portfolio = make_portfolio({A: "0.5"}, drift={"absolute": "0.05", "trade_to": "band_edge"})
    line = plan(portfolio, make_view({A: "100"}, holdings={A: held})).lines[0]
    assert line.after_quantity == D(after)
    assert line.target_quantity == 50
    assert line.residual_quantity == 0
    assert line.wanted_quantity == D(after)


def test_a_lot_more_is_traded_where_that_still_ends_inside_the_band() -> None:
    rules = {A: {"lot_size": D(4), "quantity_min": D(4)}}
    portfolio = make_portfolio({A: "0.5"}, drift={"absolute": "0.05", "trade_to": "band_edge"})
    view = make_view({A: "100"}, holdings={A: "68"}, instruments=rules)
    assert plan(portfolio, view).lines[0].after_quantity == 52  # 13 are too many, 3 lots leave 56


def test_a_weight_of_zero_is_left_in_full_all_the_same() -> None:
    portfolio = make_portfolio({A: "0"}, drift={"absolute": "0.05", "trade_to": "band_edge"})
    assert plan(portfolio, make_view({A: "100"}, holdings={A: "10"})).lines[0].after_quantity == 0


def test_a_whole_book_to_the_edge_moves_only_what_left_its_band() -> None:
    drift = {"absolute": "0.05", "trade_to": "band_edge"}
    view = make_view({A: "100", B: "50"}, holdings={A: "70", B: "38"})
    found = plan(make_portfolio({A: "0.5", B: "0.2"}, drift=drift, scope="whole_book"), view)
    assert reasons(found) == {A: (), B: (LineReason.WITHIN_BAND,)}


def test_increases_are_made_smaller_at_the_gross_limit() -> None:
    portfolio = make_portfolio({A: "1.5", B: "-0.5"}, gross_max="2", gross_limit="1")
    found = plan(portfolio, make_view({A: "100", B: "50"}, leverages={A: "10", B: "10"}))
    assert found.expected.gross_weight_after == 1
    assert {r for line in found.lines for r in line.reasons} == {LineReason.SCALED_TO_GROSS}
    full = plan(portfolio, make_view({A: "100", B: "50"}, holdings={A: "110"}, leverages={A: "10", B: "10"}))
    assert full.is_empty
    assert reasons(full)[B] == (LineReason.GROSS_LIMIT_REACHED,)


# -- parts of a share -------------------------------------------------------------------------------------------
def shares(weight: str, *, held: str = "0", rules: dict[str, Any] | None = None, **changes: Any) -> Plan:
    """Of a book of 10,000 in one share at 300."""
    view = make_view(
        {"S/USDT": "300"}, instruments={"S/USDT": SHARE | (rules or {})}, holdings={"S/USDT": held} if D(held) else {}
    )
    return plan(make_portfolio({"S/USDT": weight}, **changes), view)


def test_a_share_that_is_divided_is_brought_to_its_target_to_nine_places() -> None:
    (leg,), (line,) = (found := shares("0.5")).legs, found.lines
    assert leg.quantity == line.after_quantity == D("16.666666666")
    assert (leg.lot_size, leg.parts_of, leg.part_time_in_force) == (D("0.000000001"), D(1), TimeInForce.DAY)
    assert (leg.notional_min, line.lot_size, line.reasons) == (D(1), D("0.000000001"), ())


def test_whole_lots_is_a_choice_and_undivided_shares_have_none() -> None:
    for found in (shares("0.5", whole_lots=True), shares("0.5", rules={"parts": None, "quantity_min": D(1)})):
        (leg,) = found.legs
        assert (leg.quantity, leg.parts_of, leg.part_time_in_force) == (D(16), None, None)
        assert found.lines[0].lot_size == 1


def test_an_exit_leaves_no_part_behind() -> None:
    (leg,) = shares("0", held="16.123456789").legs
    assert (leg.side, leg.quantity, leg.is_reduction) == (OrderSide.SELL, D("16.123456789"), True)
    assert leg.reduce_only  # an account that may sell short must not do so by a sale that comes too late


@pytest.mark.parametrize(("held", "reason"), [("16.664", LineReason.BELOW_NOTIONAL_MIN), ("16.662", None)])
def test_a_change_that_is_worth_less_than_the_smallest_part_is_left_and_says_why(
    held: str, reason: LineReason | None
) -> None:
    (line,) = (found := shares("0.5", held=held)).lines
    assert (line.reasons, len(found.legs)) == (((), 1) if reason is None else ((reason,), 0))


def test_what_buys_a_short_holding_back_takes_money_and_frees_none() -> None:
    rules = {"S/USDT": {**SHARE, "parts": None}, "T/USDT": {**SHARE, "parts": None}}
    holdings = {"S/USDT": "-100"}  # 1,000 to buy back
    view = make_view(
        {"S/USDT": "10", "T/USDT": "10"}, holdings=holdings, equity="4000", free_money="4500", instruments=rules
    )
    back, up = plan(make_portfolio({"S/USDT": "0", "T/USDT": "1"}), view).legs
    assert (back.side, back.quantity) == (OrderSide.BUY, D(100))
    assert back.money > 1000 and back.money + up.money <= 4500
    assert D(340) < up.quantity < D(350)  # of 400


def test_a_short_holding_is_bought_back_in_whole_shares() -> None:
    """Parts are of what is held long: crossing zero is two orders, and the first of them is whole."""
    found = shares("0.5", held="-5")
    back, up = found.legs
    assert (back.quantity, back.lot_size, back.parts_of) == (D(5), D(1), None)
    assert (up.quantity, up.after_legs) == (D("16.666666666"), (1,))


def test_shares_without_commission_are_not_counted_at_the_fee_of_coins() -> None:
    """The venue's dearest product is no measure of the others: its rate would hold a plan back by cost_max."""
    rates = {ProductKind.SPOT: D("0.0025"), ProductKind.EQUITY: D("0.0001")}
    view = make_view({"AAPL": "200", "BTC/USDT": "50000"}, instruments={"AAPL": SHARE}, fee_rates=rates)
    found = plan(make_portfolio({"AAPL": "0.5", "BTC/USDT": "0.1"}, cost_max="0.001"), view)
    share, coin = (next(leg for leg in found.legs if str(leg.instrument_id) == key) for key in ("AAPL", "BTC/USDT"))
    assert found.expected.fees == share.notional * D("0.0001") + coin.notional * D("0.0025")
    for leg, rate in ((share, D("0.0001")), (coin, D("0.0025"))):
        way = (leg.price - leg.mid) * leg.quantity
        assert leg.cost == leg.notional * (rate + D("0.0005")) + way
