"""The invariants of `trading.alerts.deciding`, over alerts, routes and snapshots of every kind.

`ALGOTRENDY_DECISIONS` is how many are drawn.
"""

from __future__ import annotations

import os
from dataclasses import replace
from decimal import Decimal

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from brokers.ids import IntentId
from brokers.rounding import is_multiple
from brokers.types import OrderSide, OrderType, PositionSide, ProductKind, Quote
from tests.trading.alerts.building import (
    AAPL,
    BOTH,
    NOW,
    D,
    make_alert,
    make_instrument,
    make_order,
    make_route,
    make_snapshot,
)
from trading.alerts import Alert, AlertAction, QuantityMode, Route
from trading.alerts.deciding import AlertLeg, AlertPlan, AlertSnapshot, LegName, PlanVerdict, decide
from trading.alerts.routing import RouteAction

SIDES = st.sampled_from([None, *PositionSide])
SMALL = st.integers(1, 200).map(Decimal)
AMOUNTS = SMALL | st.decimals(min_value=D("0.0001"), max_value=D(5000), places=4)
MAYBE = st.none() | AMOUNTS
PRICES = st.decimals(min_value=D("0.0001"), max_value=D(500), places=4)
HELD = [PositionSide.LONG, PositionSide.SHORT]
SELDOM = st.sampled_from([True, *[False] * 5])


@st.composite
def alerts(draw: st.DrawFn) -> Alert:
    """Every kind of alert that the model takes."""
    action = draw(st.sampled_from(AlertAction))
    order_type = draw(st.sampled_from([*[OrderType.MARKET] * 3, *OrderType]))
    with_limit = order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT)
    with_stop = order_type in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT)
    mode = draw(st.sampled_from([*[QuantityMode.FIXED] * 6, *QuantityMode]))
    is_contracts = mode is QuantityMode.FIXED and draw(st.booleans())
    quantity = draw(AMOUNTS | AMOUNTS | st.none())
    if mode is QuantityMode.PERCENT_OF_POSITION and quantity is not None:
        quantity = quantity / 50  # at most 100
    held = [None, PositionSide.LONG, PositionSide.SHORT]
    targets = {AlertAction.REVERSE: held[1:], AlertAction.EXIT: [None, PositionSide.FLAT]}
    return make_alert(
        action=action,
        target=draw(st.sampled_from(targets.get(action, held))),
        previous=draw(SIDES),
        closes=draw(st.sampled_from(held)) if action is AlertAction.EXIT else None,
        target_size=draw(MAYBE),
        previous_size=draw(MAYBE),
        is_target_only=draw(SELDOM),
        quantity=quantity,
        quantity_mode=mode,
        is_contracts=is_contracts,
        order_type=order_type,
        limit_price=draw(PRICES) if with_limit else None,
        stop_price=draw(PRICES) if with_stop else None,
        stop_loss=draw(st.none() | PRICES),
        reduce_only=action.is_order and draw(st.booleans()),
        cancel_first=draw(SELDOM),
    )


@st.composite
def routes(draw: st.DrawFn) -> Route:
    limits = {name: draw(st.none() | st.none() | AMOUNTS) for name in ("quantity_max", "notional_max", "position_max")}
    if limits["quantity_max"] is None and limits["notional_max"] is None:
        limits["quantity_max"] = D(2000)
    return make_route(
        **limits,
        quantity=draw(MAYBE),
        quantity_mode=draw(st.sampled_from([QuantityMode.FIXED, QuantityMode.CASH, QuantityMode.PERCENT_OF_EQUITY])),
        actions=draw(st.just(BOTH) | st.frozensets(st.sampled_from(RouteAction))),
        bare_action=draw(st.sampled_from(["refuse", "exit_or_enter", "direction", "direction"])),
        reversal_quantity=draw(st.sampled_from(["refuse", "entry", "contracts"])),
        when_position_differs=draw(st.sampled_from(["refuse", "follow"])),
        brackets="ignore",
    )


@st.composite
def snapshots(draw: st.DrawFn) -> AlertSnapshot:
    lot = draw(st.sampled_from([D(1), D(1), D("0.1"), D("0.001"), D(10)]))
    instrument = make_instrument(
        product=draw(st.sampled_from([ProductKind.EQUITY, ProductKind.FUTURE, ProductKind.SPOT])),
        lot_size=lot,
        quantity_min=lot * draw(st.integers(1, 3)),
        contract_size=draw(st.sampled_from([D(1), D(5), D("0.01")])),
        tick_size=draw(st.sampled_from([D("0.01"), D("0.25")])),
        quantity_max_market=draw(st.none() | st.none() | AMOUNTS),
    )
    position = lot * draw(st.sampled_from([-300, -7, -1, 0, 1, 7, 300])) + draw(st.sampled_from([D(0), D("0.0001")]))
    if instrument.product is ProductKind.SPOT:
        position = abs(position)
    bid = draw(PRICES)
    orders = draw(
        st.lists(
            st.builds(
                make_order,
                st.sampled_from(OrderSide),
                st.integers(1, 200).map(str),
                st.sampled_from([None, IntentId("i-1")]),
            ),
            max_size=draw(st.sampled_from([0, 0, 3])),
        )
    )
    return make_snapshot(
        position,
        instrument=instrument,
        quote=None if draw(SELDOM) else Quote(AAPL, bid=bid, ask=bid + D("0.01"), last=bid, time=NOW),
        equity=draw(st.none() | st.decimals(min_value=-10, max_value=1_000_000, places=2)),
        open_orders=tuple(orders),
    )


def signed(leg: AlertLeg) -> Decimal:
    return leg.request.quantity * leg.request.side.sign


def check_legs(alert: Alert, route: Route, snapshot: AlertSnapshot, plan: AlertPlan) -> None:
    names = [leg.name for leg in plan.legs]
    assert names in ([LegName.CLOSE], [LegName.OPEN], [LegName.CLOSE, LegName.OPEN])
    position = snapshot.position
    for leg in plan.legs:
        item, quantity, side = snapshot.instrument, leg.request.quantity, leg.request.side
        assert is_multiple(quantity, step=item.lot_size)
        assert leg.is_reduction == (leg.name is LegName.CLOSE)
        after = position + signed(leg)
        if leg.is_reduction:
            assert leg.after == ()
            assert abs(after) < abs(position)
            assert after * position >= 0  # never over zero
            assert quantity + snapshot.pending(side) <= abs(position)  # open orders counted as filled
        else:
            assert position == 0 or position * side.sign > 0 or (leg.after == (LegName.CLOSE,) and len(plan.legs) == 2)
            check_opening(alert, route, snapshot, leg)
        check_prices(alert, snapshot, leg)
        position = after if leg.is_reduction else position
    if not alert.opens:
        assert names == [LegName.CLOSE]


def check_opening(alert: Alert, route: Route, snapshot: AlertSnapshot, leg: AlertLeg) -> None:
    item, quantity, side = snapshot.instrument, leg.request.quantity, leg.request.side
    assert alert.opens and not leg.request.reduce_only
    assert quantity >= item.quantity_min
    wanted = RouteAction.OPEN_LONG if side is OrderSide.BUY else RouteAction.OPEN_SHORT
    assert wanted in route.actions
    assert side is OrderSide.BUY or item.product is not ProductKind.SPOT
    assert route.quantity_max is None or quantity <= route.quantity_max
    held = Decimal(0) if leg.after else abs(snapshot.position)
    assert route.position_max is None or held + quantity <= route.position_max
    if route.notional_max is not None and alert.limit_price is None:
        assert snapshot.quote is not None
        assert quantity * snapshot.quote.ask * item.contract_size <= route.notional_max
    if alert.quantity is None:
        assert route.quantity is not None
    elif alert.quantity_mode is QuantityMode.FIXED:
        assert quantity <= alert.quantity  # never more than was asked for
    elif alert.quantity_mode is QuantityMode.CASH and alert.order_type is OrderType.MARKET:
        assert snapshot.quote is not None
        assert quantity * snapshot.quote.ask * item.contract_size <= alert.quantity


def check_prices(alert: Alert, snapshot: AlertSnapshot, leg: AlertLeg) -> None:
    limit, trigger, sign = leg.request.limit_price, leg.request.trigger_price, leg.request.side.sign
    for price in (limit, trigger):
        assert price is None or is_multiple(price, step=snapshot.instrument.tick_size)
    if limit is not None and alert.limit_price is not None:
        assert (limit - alert.limit_price) * sign <= 0
    if trigger is not None and alert.stop_price is not None:
        assert (trigger - alert.stop_price) * sign >= 0


DECISIONS = int(os.environ.get("ALGOTRENDY_DECISIONS", "200"))


@settings(
    max_examples=DECISIONS, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(alert=alerts(), route=routes(), snapshot=snapshots())
def test_a_decision_keeps_its_invariants(alert: Alert, route: Route, snapshot: AlertSnapshot) -> None:
    plan = decide(alert, route, snapshot)
    event(f"{plan.verdict} with {len(plan.legs)} legs")
    assert plan == decide(alert, route, snapshot)
    assert AlertPlan.from_json(plan.to_json()) == plan
    assert plan.reason.meaning
    if plan.verdict is PlanVerdict.ORDERS:
        check_legs(alert, route, snapshot, plan)
    if plan.cancels:
        assert not plan.legs
        known = {order.intent_id for order in snapshot.open_orders}
        assert set(plan.cancels) <= known - {None}
    if alert.action is AlertAction.CANCEL:
        assert plan.verdict in (PlanVerdict.CANCEL, PlanVerdict.NOTHING_TO_DO, PlanVerdict.REFUSED)


@settings(max_examples=DECISIONS, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    alert=alerts(),
    route=routes(),
    snapshot=snapshots(),
    target=st.sampled_from([PositionSide.LONG, PositionSide.SHORT]),
)
def test_a_reversal_keeps_them_too(alert: Alert, route: Route, snapshot: AlertSnapshot, target: PositionSide) -> None:
    """The same for what the first test seldom draws: an account on the far side of the target."""
    held = abs(snapshot.position) or snapshot.instrument.lot_size
    alert = make_alert(
        action=AlertAction.REVERSE,
        target=target,
        previous=alert.previous,
        quantity=alert.quantity,
        is_contracts=alert.is_contracts,
        target_size=alert.target_size,
        previous_size=alert.previous_size,
    )
    route = route.model_copy(update={"actions": BOTH})
    snapshot = replace(snapshot, position=-held if target is PositionSide.LONG else held, open_orders=())
    plan = decide(alert, route, snapshot)
    event(f"{plan.verdict} with {len(plan.legs)} legs")
    if plan.verdict is PlanVerdict.ORDERS:
        check_legs(alert, route, snapshot, plan)
        assert plan.legs[0].name is LegName.CLOSE
