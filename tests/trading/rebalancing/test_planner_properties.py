"""The planner's invariants, as stated at the top of trading/rebalancing/planner.py, on arbitrary books."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.ids import InstrumentId
from brokers.rounding import is_multiple
from brokers.types import ZERO, OrderSide, ProductKind, TimeInForce
from tests.trading.rebalancing.building import SHARE, make_portfolio, make_view
from trading.rebalancing import AccountView, Holding, LineReason, Plan, Portfolio, plan
from trading.rebalancing.portfolio import TradeTo

D = Decimal
LOTS = [D("0.00001"), D("0.001"), D("0.25"), D(1), D(10)]
STYLES = ["limit", "market", "limit_then_market", "sliced"]
SCALED = {
    LineReason.SCALED_TO_MONEY,
    LineReason.MONEY_SHORT,
    LineReason.SCALED_TO_GROSS,
    LineReason.GROSS_LIMIT_REACHED,
}


@dataclass(frozen=True)
class Case:
    portfolio: Portfolio
    view: AccountView


def decimals(low: str, high: str, places: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(D(low), D(high), places=places, allow_nan=False, allow_infinity=False)


@st.composite
def drift_rules(draw: st.DrawFn) -> dict[str, str]:
    found = {"trade_to": draw(st.sampled_from(["target", "band_edge"])), "rule": draw(st.sampled_from(["any", "all"]))}
    if draw(st.booleans()):
        found["absolute"] = str(draw(decimals("0", "0.05", 3)))
    if draw(st.booleans()):
        found["relative"] = str(draw(decimals("0", "0.5", 2)))
    return found


@st.composite
def cases(draw: st.DrawFn, *, rich: bool = False, lots_max: int = 50, pieces: tuple[int, ...] = (50, 100_000)) -> Case:
    count = draw(st.integers(1, 6))
    symbols = [f"C{n}/USDT:USDT" if draw(st.booleans()) else f"C{n}/USDT" for n in range(count)]
    linear = [":" in symbol for symbol in symbols]
    weights = [draw(decimals("-0.2" if is_linear else "0", "0.16", 4)) for is_linear in linear]
    prices = {symbol: str(draw(decimals("0.5", "60000", 2))) for symbol in symbols}
    rules = {}
    holdings = []
    for symbol, is_linear in zip(symbols, linear, strict=True):
        lot = draw(st.sampled_from(LOTS))
        largest = draw(st.sampled_from([None, *(lot * count for count in pieces)]))
        rules[symbol] = {
            "lot_size": lot,
            "quantity_min": lot * draw(st.integers(1, 5)),
            "notional_min": draw(st.sampled_from([D(0), D(5), D(50)])),
            "quantity_max_limit": largest,
            "quantity_max_market": largest,
        }
        if not is_linear and draw(st.booleans()):
            rules[symbol] |= SHARE
        lots = draw(st.integers(-lots_max if is_linear else 0, lots_max))
        odd = draw(decimals("0", "0.9", 3)) * lot if not is_linear else ZERO  # spot holdings carry dust
        if lots or odd:
            holdings.append(Holding(instrument_id=InstrumentId(symbol), quantity=lots * lot + odd))
    held = sum(
        (h.quantity * D(prices[str(h.instrument_id)]) for h in holdings if ":" not in str(h.instrument_id)), ZERO
    )
    cash = draw(decimals("100", "1000000", 2)) if not rich else D(10_000_000)
    portfolio = make_portfolio(
        dict(zip(symbols, map(str, weights), strict=True)),
        gross_max="10",
        cash_buffer=str(draw(decimals("0", "0.1", 3))),
        minimum_trade_notional=str(draw(st.sampled_from([0, 10, 200]))),
        order_style=draw(st.sampled_from(STYLES)),
        scope=draw(st.sampled_from(["whole_book", "breaching_lines"])),
        drift=draw(drift_rules()),
        gross_limit=draw(st.sampled_from([None, "0.1", "0.5", "10"])),
        slippage_max=draw(st.sampled_from([None, None, "0.00009"])),
    )
    view = make_view(
        prices,
        instruments=rules,
        equity=str(cash + held),
        free_money=str(cash),
        leverages={s: "3" for s, is_linear in zip(symbols, linear, strict=True) if is_linear},
    )
    return Case(portfolio, replace(view, holdings=tuple(holdings)))


@given(cases())
@settings(max_examples=150, deadline=None)
def test_no_leg_violates_a_filter(case: Case) -> None:
    for leg in plan(case.portfolio, case.view).legs:
        rules = case.view.instruments[leg.instrument_id]
        assert leg.quantity > 0
        needed = leg.time_in_force_of(leg.quantity, otherwise=TimeInForce.IOC)
        assert is_multiple(leg.quantity, step=rules.lot_for(needed))
        assert rules.parts is None or needed is TimeInForce.IOC or leg.notional >= rules.parts.notional_min
        assert leg.quantity >= rules.quantity_min
        assert rules.quantity_max_limit is None or leg.quantity <= rules.quantity_max_limit
        quote = case.view.quotes[leg.instrument_id]
        assert leg.quantity * min(quote.bid, leg.price) >= rules.notional_min


@given(cases())
@settings(max_examples=150, deadline=None)
def test_money_is_never_exceeded(case: Case) -> None:
    found = plan(case.portfolio, case.view)
    usable = case.view.free_money - case.portfolio.cash_buffer * case.view.equity
    needed = sum((leg.money for leg in found.legs if not leg.is_reduction), ZERO)
    freed = -sum((leg.money for leg in found.legs if leg.is_reduction), ZERO)
    assert needed == 0 or needed <= usable + freed


@given(cases())
@settings(max_examples=150, deadline=None)
def test_legs_go_toward_the_target_never_past_it_and_never_across_zero(case: Case) -> None:
    found = plan(case.portfolio, case.view)
    for line in found.lines:
        legs = [leg for leg in found.legs if leg.instrument_id == line.instrument_id]
        position = line.current_quantity
        distance = abs(line.target_quantity - position)
        for leg in legs:
            before = position
            position += leg.side.sign * leg.quantity
            assert before * position >= 0
            assert (abs(position) < abs(before)) is leg.is_reduction
            assert abs(line.target_quantity - position) < distance
            distance = abs(line.target_quantity - position)
        assert position == line.after_quantity
        assert len({leg.side for leg in legs}) <= 1  # nothing is sold to be bought again


@given(cases())
@settings(max_examples=100, deadline=None)
def test_reductions_come_first_and_numbers_have_no_gaps(case: Case) -> None:
    legs = plan(case.portfolio, case.view).legs
    assert [leg.number for leg in legs] == list(range(1, len(legs) + 1))
    assert sorted(legs, key=lambda leg: not leg.is_reduction) == list(legs)
    for leg in legs:
        earlier = [x for x in legs if x.instrument_id == leg.instrument_id and x.is_reduction]
        assert leg.after_legs == (() if leg.is_reduction else tuple(x.number for x in earlier))


@given(cases(rich=True), decimals("0", "0.2", 3), decimals("0", "0.2", 3))
@settings(max_examples=100, deadline=None)
def test_wider_bands_never_give_more_trades(case: Case, one: Decimal, other: Decimal) -> None:
    narrow, wide = (_with_band(case, band) for band in sorted((one, other)))
    assert sum(line.is_breached for line in wide.lines) <= sum(line.is_breached for line in narrow.lines)
    if not any(SCALED & set(line.reasons) for line in narrow.lines):
        assert {leg.instrument_id for leg in wide.legs} <= {leg.instrument_id for leg in narrow.legs}


@given(cases(rich=True), decimals("0", "0.2", 3), decimals("0", "0.2", 3))
@settings(max_examples=100, deadline=None)
def test_wider_bands_never_give_more_turnover_to_the_edge(case: Case, one: Decimal, other: Decimal) -> None:
    drift = case.portfolio.drift.model_copy(update={"trade_to": TradeTo.BAND_EDGE})
    case = replace(case, portfolio=case.portfolio.model_copy(update={"drift": drift, "gross_limit": None}))
    narrow, wide = (_with_band(case, band) for band in sorted((one, other)))
    if any(SCALED & set(line.reasons) for line in narrow.lines):
        return
    was = {line.instrument_id: abs(line.after_quantity - line.current_quantity) for line in narrow.lines}
    for line in wide.lines:
        assert abs(line.after_quantity - line.current_quantity) <= was[line.instrument_id]


@given(cases(rich=True))
@settings(max_examples=100, deadline=None)
def test_a_traded_line_ends_inside_its_band_or_less_than_a_lot_outside(case: Case) -> None:
    found = plan(case.portfolio.model_copy(update={"gross_limit": None}), case.view)
    for line in found.lines:
        if not any(leg.instrument_id == line.instrument_id for leg in found.legs) or line.reasons:
            continue
        lot_weight = line.lot_size * line.contract_size * line.price / found.equity
        width = case.portfolio.drift.width(line.target_weight) or ZERO
        assert abs(line.after_weight - line.target_weight) <= width + lot_weight + D("2e-12")  # weights have 12 places
        if line.aim_quantity is not None:
            assert abs(line.wanted_quantity - line.current_quantity) <= abs(
                line.target_quantity - line.current_quantity
            )


@given(cases())
@settings(max_examples=150, deadline=None)
def test_increases_never_bring_gross_above_its_limit(case: Case) -> None:
    limit = case.portfolio.gross_limit
    found = plan(case.portfolio, case.view)
    if limit is None or all(leg.is_reduction for leg in found.legs):
        return
    assert sum((abs(line.after_notional) for line in found.lines), ZERO) <= limit * found.equity + D("1e-9")


def _with_band(case: Case, band: Decimal) -> Plan:
    drift = case.portfolio.drift.model_copy(update={"absolute": band})
    return plan(case.portfolio.model_copy(update={"drift": drift}), case.view)


@given(cases())
@settings(max_examples=150, deadline=None)
def test_planning_again_after_the_fills_gives_nothing_but_dust_and_costs(case: Case) -> None:
    first = plan(case.portfolio, case.view)
    if first.expected.costs >= case.view.equity / 2:
        return  # an absurdly large book: costs alone would eat the account
    second = plan(case.portfolio, applied(first, case.view))
    is_short = any(SCALED & set(line.reasons) for line in first.lines)
    is_cut = any(LineReason.ABOVE_QUANTITY_MAX in line.reasons for line in first.lines)
    if is_short or is_cut:
        return
    costs = first.expected.costs
    for leg in second.legs:
        line = next(item for item in first.lines if item.instrument_id == leg.instrument_id)
        if line.reasons:
            continue  # was left alone on purpose; the band may be left now
        assert leg.notional <= costs + 2 * leg.lot_size * leg.price, (leg, first.expected)


def applied(found: Plan, view: AccountView) -> AccountView:
    """The snapshot after every leg was filled at its expected price, fees and assumed costs taken off the equity."""
    held = {line.instrument_id: line.after_quantity for line in found.lines}
    free = view.free_money - sum((leg.money for leg in found.legs), ZERO)
    return replace(
        view,
        equity=view.equity - sum((leg.cost for leg in found.legs), ZERO),
        free_money=max(free, ZERO),
        holdings=tuple(Holding(instrument_id=k, quantity=q) for k, q in sorted(held.items()) if q),
    )


@given(cases())
@settings(max_examples=60, deadline=None)
def test_equal_inputs_give_equal_plans_that_survive_their_text(case: Case) -> None:
    found = plan(case.portfolio, case.view)
    again = plan(case.portfolio, case.view)
    assert found == again
    assert Plan.from_json(found.to_json()) == found
    assert Plan.from_json(found.to_json()).to_json() == found.to_json()


@given(cases())
@settings(max_examples=60, deadline=None)
def test_every_line_that_stays_off_its_target_says_why_or_is_dust(case: Case) -> None:
    found = plan(case.portfolio, case.view)
    for line in found.lines:
        if abs(line.residual_quantity) >= line.lot_size:
            assert line.reasons, line
    assert all(
        (case.view.instruments[leg.instrument_id].product is ProductKind.SPOT) is not leg.reduce_only
        for leg in found.legs
        if leg.is_reduction
    )
    assert all(leg.price >= leg.mid if leg.side is OrderSide.BUY else leg.price <= leg.mid for leg in found.legs)


@given(cases(lots_max=5000, pieces=(1, 5, 20)))
@settings(max_examples=200, deadline=None)
def test_small_orders_at_most_neither_spend_money_that_stays_bound_nor_cross_zero(case: Case) -> None:
    found = plan(case.portfolio, case.view)
    usable = case.view.free_money - case.portfolio.cash_buffer * case.view.equity
    needed = sum((leg.money for leg in found.legs if not leg.is_reduction), ZERO)
    freed = -sum((leg.money for leg in found.legs if leg.is_reduction), ZERO)
    assert needed == 0 or needed <= usable + freed
    for line in found.lines:
        position = line.current_quantity
        for leg in (leg for leg in found.legs if leg.instrument_id == line.instrument_id):
            before = position
            position += leg.side.sign * leg.quantity
            assert before * position >= 0
            assert (abs(position) < abs(before)) is leg.is_reduction
