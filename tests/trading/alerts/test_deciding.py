from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from brokers.alpaca.instruments import PARTS
from brokers.ids import IntentId
from brokers.types import OrderSide, OrderType, PositionMode, PositionSide, ProductKind, TimeInForce
from tests.trading.alerts.building import (
    NOW,
    D,
    make_alert,
    make_instrument,
    make_order,
    make_route,
    make_snapshot,
)
from trading.alerts import AlertAction, AlertReason, QuantityMode
from trading.alerts.deciding import AlertPlan, LegName, PlanVerdict, decide
from trading.alerts.routing import RouteAction

BUY, SELL = AlertAction.BUY, AlertAction.SELL
LONG, SHORT, FLAT = PositionSide.LONG, PositionSide.SHORT, PositionSide.FLAT
OURS = IntentId("i-1")


def shown(plan: AlertPlan) -> str:
    """The legs in short, or the verdict with its reason."""
    if plan.verdict is not PlanVerdict.ORDERS:
        return f"{plan.verdict} {plan.reason}"
    return ", ".join(f"{leg.name} {leg.request.side} {leg.request.quantity}" for leg in plan.legs)


@pytest.mark.parametrize(
    ("action", "target", "previous", "held", "expected"),
    [
        (BUY, LONG, FLAT, 0, "open buy 10"),
        (BUY, LONG, LONG, 5, "open buy 10"),
        (BUY, LONG, FLAT, 5, "refused STRATEGY_POSITION_DIFFERS"),
        (BUY, LONG, LONG, 0, "refused STRATEGY_POSITION_DIFFERS"),
        (BUY, LONG, LONG, -5, "refused STRATEGY_POSITION_DIFFERS"),
        (BUY, LONG, FLAT, -5, "close buy 5, open buy 10"),
        (BUY, SHORT, SHORT, -25, "close buy 10"),  # covers a part
        (BUY, SHORT, SHORT, -5, "close buy 5"),  # at most what is held
        (BUY, SHORT, SHORT, 0, "nothing_to_do NO_POSITION"),
        (BUY, SHORT, SHORT, 5, "nothing_to_do NO_POSITION"),
        (SELL, SHORT, FLAT, 0, "open sell 10"),
        (SELL, SHORT, SHORT, -5, "open sell 10"),
        (SELL, LONG, LONG, 25, "close sell 10"),
        (SELL, LONG, LONG, -5, "nothing_to_do NO_POSITION"),
        (BUY, None, None, 0, "open buy 10"),
        (BUY, None, None, 5, "open buy 10"),
        (BUY, None, None, -5, "close buy 5, open buy 10"),
        (SELL, None, None, 5, "close sell 5, open sell 10"),
    ],
)
def test_follows_the_table_of_intents(action: Any, target: Any, previous: Any, held: int, expected: str) -> None:
    alert = make_alert(action=action, target=target, previous=previous)
    assert shown(decide(alert, make_route(), make_snapshot(held))) == expected


@pytest.mark.parametrize(("held", "expected"), [(0, "open buy 10"), (-5, "close buy 5"), (5, "open buy 10")])
def test_a_bare_action_that_exits_or_enters(held: int, expected: str) -> None:
    assert shown(decide(make_alert(), make_route(bare_action="exit_or_enter"), make_snapshot(held))) == expected


def test_a_bare_action_is_refused_where_the_route_does_not_say_what_it_means() -> None:
    plan = decide(make_alert(), make_route(bare_action="refuse"), make_snapshot())
    assert shown(plan) == "refused BARE_ACTION_UNDECIDED"
    assert "bare_action of route aapl" in plan.detail


@pytest.mark.parametrize(
    ("changes", "held", "expected"),
    [
        ({}, 5, "close sell 5"),
        ({}, -5, "close buy 5"),
        ({}, 0, "nothing_to_do NO_POSITION"),
        ({"closes": LONG}, -5, "nothing_to_do NO_POSITION"),
        ({"closes": LONG}, 5, "close sell 5"),
        ({"quantity": D(3)}, 5, "close sell 3"),
        ({"quantity": D(9)}, 5, "close sell 5"),
        ({"quantity": D(3), "target": FLAT}, 5, "close sell 5"),  # the strategy ends flat: so do we
        ({"quantity": D(50), "quantity_mode": QuantityMode.PERCENT_OF_POSITION}, 5, "close sell 2"),
        ({"quantity": D(10), "quantity_mode": QuantityMode.PERCENT_OF_POSITION}, 5, "nothing_to_do BELOW_ONE_LOT"),
        ({"quantity": D(250), "quantity_mode": QuantityMode.CASH}, 5, "close sell 2"),
        ({"quantity": D(5), "quantity_mode": QuantityMode.PERCENT_OF_EQUITY}, 5, "refused QUANTITY_MODE_UNFIT"),
    ],
)
def test_an_exit_closes_and_never_opens(changes: dict[str, Any], held: int, expected: str) -> None:
    alert = make_alert(**{"action": AlertAction.EXIT, "quantity": None, **changes})
    assert shown(decide(alert, make_route(), make_snapshot(held))) == expected


def test_an_exit_has_no_limit_of_size() -> None:
    alert = make_alert(action=AlertAction.EXIT, quantity=None)
    assert shown(decide(alert, make_route(quantity_max="1", position_max="1"), make_snapshot(500))) == "close sell 500"


@pytest.mark.parametrize(
    ("held", "expected"), [(0, "nothing_to_do NO_POSITION"), (5, "nothing_to_do NO_POSITION"), (-25, "close buy 10")]
)
def test_what_may_only_reduce_never_opens(held: int, expected: str) -> None:
    for target in (None, LONG):
        alert = make_alert(target=target, reduce_only=True)
        assert alert.is_exit
        assert shown(decide(alert, make_route(), make_snapshot(held))) == expected


def test_a_reversal_is_two_legs_and_the_opening_waits_for_the_closing() -> None:
    alert = make_alert(action=AlertAction.REVERSE, target=LONG, previous=SHORT)
    plan = decide(alert, make_route(), make_snapshot(-5))
    close, opening = plan.legs
    assert (close.name, close.is_reduction, close.request.reduce_only, close.after) == (LegName.CLOSE, True, True, ())
    assert (opening.name, opening.is_reduction, opening.request.reduce_only) == (LegName.OPEN, False, False)
    assert opening.after == (LegName.CLOSE,)


@pytest.mark.parametrize(
    ("changes", "rule", "expected"),
    [
        ({"target_size": D(10), "previous_size": D(5)}, "refuse", "close buy 5, open buy 10"),
        ({"previous_size": D(5)}, "refuse", "close buy 5, open buy 10"),
        ({}, "refuse", "close buy 5"),  # the new size is not known: what is plain is done
        ({}, "contracts", "close buy 5, open buy 10"),
        ({}, "entry", "close buy 5, open buy 15"),
        ({"target_size": D(20)}, "refuse", "close buy 5"),
    ],
)
def test_the_contracts_of_a_reversal_are_not_the_size_of_the_entry(
    changes: dict[str, Any], rule: str, expected: str
) -> None:
    alert = make_alert(
        action=AlertAction.REVERSE, target=LONG, previous=SHORT, quantity=D(15), is_contracts=True, **changes
    )
    plan = decide(alert, make_route(reversal_quantity=rule), make_snapshot(-5))
    assert shown(plan) == expected
    if len(plan.legs) == 1:
        assert plan.reason is AlertReason.OPENING_LEFT_OUT
        assert "REVERSAL_SIZE_UNKNOWN" in plan.detail


def test_contracts_of_a_reversal_that_meets_no_position_are_not_the_entry_either() -> None:
    alert = make_alert(action=AlertAction.REVERSE, target=LONG, previous=SHORT, quantity=D(15), is_contracts=True)
    route = make_route(reversal_quantity="contracts")
    assert shown(decide(alert, route, make_snapshot(0))) == "refused REVERSAL_SIZE_UNKNOWN"
    known = replace(alert, target_size=D(10))
    assert shown(decide(known, route, make_snapshot(0))) == "open buy 10"


@pytest.mark.parametrize(
    ("contracts", "size", "held", "expected"),
    [
        (15, 10, -5, "close buy 5, open buy 10"),  # more than the new size: it was a reversal
        (15, 10, 0, "open buy 10"),
        (5, 15, 10, "open buy 5"),
    ],
)
def test_the_new_size_tells_a_reversal_where_the_old_side_is_not_said(
    contracts: int, size: int, held: int, expected: str
) -> None:
    alert = make_alert(target=LONG, quantity=D(contracts), is_contracts=True, target_size=D(size))
    assert shown(decide(alert, make_route(), make_snapshot(held))) == expected


def test_a_limit_gives_the_units_for_money_without_a_quote() -> None:
    limit = {"order_type": OrderType.LIMIT, "limit_price": D(50)}
    alert = make_alert(quantity=D(1000), quantity_mode=QuantityMode.CASH, **limit)
    assert shown(decide(alert, make_route(), make_snapshot(quote=None))) == "open buy 20"
    short = replace(alert, action=SELL, target=SHORT)  # sold at 50 or better: at the market's 100.1
    assert shown(decide(short, make_route(), make_snapshot())) == "open sell 9"


def test_a_bare_side_that_is_held_needs_nothing() -> None:
    alert = make_alert(is_target_only=True)
    assert shown(decide(alert, make_route(), make_snapshot(5))) == "nothing_to_do ALREADY_THERE"


def test_a_position_to_be_in_needs_nothing_once_it_is_reached() -> None:
    alert = make_alert(target=LONG, is_target_only=True)
    assert shown(decide(alert, make_route(), make_snapshot(5))) == "nothing_to_do ALREADY_THERE"
    assert shown(decide(alert, make_route(), make_snapshot(-5))) == "close buy 5, open buy 10"


def test_a_route_that_opens_no_shorts_still_leaves_the_long() -> None:
    alert = make_alert(action=AlertAction.SELL, target=SHORT)
    route = make_route(actions={RouteAction.OPEN_LONG})
    plan = decide(alert, route, make_snapshot(5))
    assert shown(plan) == "close sell 5"
    assert plan.reason is AlertReason.OPENING_LEFT_OUT
    assert shown(decide(alert, route, make_snapshot(0))) == "refused ACTION_NOT_ALLOWED"


def test_spot_is_never_sold_short() -> None:
    snapshot = make_snapshot(0, instrument=make_instrument(product=ProductKind.SPOT))
    assert shown(decide(make_alert(action=SELL, target=SHORT), make_route(), snapshot)) == "refused NO_SHORT_HERE"


def test_cancels_only_orders_of_ours() -> None:
    orders = (make_order(OrderSide.BUY, "3", OURS), make_order(OrderSide.SELL, "2", None))
    alert = make_alert(action=AlertAction.CANCEL, quantity=None)
    plan = decide(alert, make_route(), make_snapshot(5, open_orders=orders))
    assert (plan.verdict, plan.cancels) == (PlanVerdict.CANCEL, (OURS,))
    nothing = decide(alert, make_route(), make_snapshot(5, open_orders=orders[1:]))
    assert shown(nothing) == "nothing_to_do NO_OPEN_ORDERS"


def test_cancels_come_before_everything_else_of_a_plan() -> None:
    alert = make_alert(action=AlertAction.EXIT, quantity=None, cancel_first=True)
    plan = decide(alert, make_route(), make_snapshot(5, open_orders=(make_order(OrderSide.SELL, "5", OURS),)))
    assert (plan.verdict, plan.cancels, plan.legs) == (PlanVerdict.CANCEL_FIRST, (OURS,), ())
    assert plan.reason is AlertReason.CANCELS_DECIDED
    assert shown(decide(alert, make_route(), make_snapshot(5))) == "close sell 5"


def test_orders_that_already_close_are_counted() -> None:
    alert = make_alert(action=AlertAction.EXIT, quantity=None)
    taken = make_snapshot(5, open_orders=(make_order(OrderSide.SELL, "5", None),))
    assert shown(decide(alert, make_route(), taken)) == "nothing_to_do EXIT_ALREADY_WORKING"
    partly = make_snapshot(5, open_orders=(make_order(OrderSide.SELL, "2", None),))
    assert shown(decide(alert, make_route(), partly)) == "close sell 3"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"quantity": D("10.9")}, "open buy 10"),
        ({"quantity": D("0.9")}, "refused QUANTITY_BELOW_LOT"),
        ({"quantity": None}, "refused QUANTITY_MISSING"),
        ({"quantity": D(1000), "quantity_mode": QuantityMode.CASH}, "open buy 9"),  # at 100.1, not at 100
        ({"quantity": D(10), "quantity_mode": QuantityMode.PERCENT_OF_EQUITY}, "open buy 49"),
        ({"quantity": D(50), "quantity_mode": QuantityMode.PERCENT_OF_POSITION}, "refused QUANTITY_MODE_UNFIT"),
        ({"quantity": D(101)}, "refused QUANTITY_ABOVE_ROUTE"),
        (
            {"quantity": D(100), "quantity_mode": QuantityMode.RISK_AMOUNT, "stop_loss": D("95.1")},
            "open buy 20",
        ),
        (
            {"quantity": D("0.1"), "quantity_mode": QuantityMode.RISK_PERCENT, "stop_loss": D("95.1")},
            "open buy 10",
        ),
        (
            {"quantity": D(100), "quantity_mode": QuantityMode.RISK_AMOUNT, "stop_loss": D(101)},
            "refused STOP_ON_WRONG_SIDE",
        ),
        ({"quantity": D(100), "quantity_mode": QuantityMode.RISK_AMOUNT}, "refused QUANTITY_MODE_UNFIT"),
    ],
)
def test_quantity_modes_give_units_rounded_down(changes: dict[str, Any], expected: str) -> None:
    assert shown(decide(make_alert(**changes), make_route(), make_snapshot())) == expected


@pytest.mark.parametrize(
    ("action", "order", "stop_loss", "expected"),
    [
        (AlertAction.BUY, {"order_type": OrderType.LIMIT, "limit_price": D(99)}, "94", "open buy 20"),
        (AlertAction.BUY, {"order_type": OrderType.STOP_MARKET, "stop_price": D(105)}, "100", "open buy 20"),
        # a trigger that the market has passed is filled where the market is
        (AlertAction.BUY, {"order_type": OrderType.STOP_MARKET, "stop_price": D(98)}, "95.1", "open buy 20"),
        (AlertAction.SELL, {"order_type": OrderType.STOP_MARKET, "stop_price": D(102)}, "104.9", "open sell 20"),
        # one that becomes a limit order may be filled as far away as its limit
        (
            AlertAction.BUY,
            {"order_type": OrderType.STOP_LIMIT, "stop_price": D(105), "limit_price": D(110)},
            "100",
            "open buy 10",
        ),
        (
            AlertAction.SELL,
            {"order_type": OrderType.STOP_LIMIT, "stop_price": D(95), "limit_price": D(90)},
            "100",
            "open sell 10",
        ),
    ],
)
def test_a_quantity_by_risk_is_for_the_entry_that_lies_furthest_from_the_stop_loss(
    action: AlertAction, order: dict[str, Any], stop_loss: str, expected: str
) -> None:
    risk = {"quantity": D(100), "quantity_mode": QuantityMode.RISK_AMOUNT, "stop_loss": D(stop_loss)}
    assert shown(decide(make_alert(action=action, **risk, **order), make_route(), make_snapshot())) == expected


@pytest.mark.parametrize(
    ("limits", "held", "expected"),
    [
        ({"notional_max": "1000"}, 0, "refused QUANTITY_ABOVE_ROUTE"),
        ({"notional_max": "1001"}, 0, "open buy 10"),
        ({"position_max": "12"}, 3, "refused QUANTITY_ABOVE_ROUTE"),
        ({"position_max": "13"}, 3, "open buy 10"),
        ({"position_max": "10"}, -3, "close buy 3, open buy 10"),
    ],
)
def test_limits_of_the_route_are_hard(limits: dict[str, str], held: int, expected: str) -> None:
    assert shown(decide(make_alert(), make_route(**limits), make_snapshot(held))) == expected


def test_open_orders_count_against_the_largest_position() -> None:
    snapshot = make_snapshot(3, open_orders=(make_order(OrderSide.BUY, "5", None),))
    assert shown(decide(make_alert(), make_route(position_max="17"), snapshot)) == "refused QUANTITY_ABOVE_ROUTE"
    assert shown(decide(make_alert(), make_route(position_max="18"), snapshot)) == "open buy 10"


def test_the_quantity_of_the_route_counts_only_where_the_alert_has_none() -> None:
    route = make_route(quantity="500", quantity_mode="cash")
    assert shown(decide(make_alert(quantity=None), route, make_snapshot())) == "open buy 4"
    assert shown(decide(make_alert(quantity=D(7)), route, make_snapshot())) == "open buy 7"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"quote": None}, "QUOTE_UNUSABLE"),
        ({"quote": "crossed"}, "QUOTE_UNUSABLE"),
        ({"equity": None}, "EQUITY_UNKNOWN"),
        ({"equity_currency": "EUR"}, "EQUITY_UNKNOWN"),
        ({"equity": D(-1)}, "EQUITY_UNKNOWN"),
    ],
)
def test_what_a_quantity_needs_and_is_not_known_refuses_it(changes: dict[str, Any], expected: str) -> None:
    snapshot = make_snapshot()
    if changes.get("quote") == "crossed":
        assert snapshot.quote is not None
        changes = {"quote": replace(snapshot.quote, ask=D(90))}
    alert = make_alert(quantity=D(10), quantity_mode=QuantityMode.PERCENT_OF_EQUITY)
    assert shown(decide(alert, make_route(), replace(snapshot, **changes))) == f"refused {expected}"


@pytest.mark.parametrize(
    ("time_in_force", "quantity", "expected"),
    [(None, "2.75", "2.75"), (TimeInForce.DAY, "0.123456789", "0.123456789"), (TimeInForce.GTC, "2.75", "2")],
)
def test_parts_of_a_share_are_for_the_day(time_in_force: Any, quantity: str, expected: str) -> None:
    parts = make_instrument(parts=PARTS, quantity_min=PARTS.step)
    alert = make_alert(quantity=D(quantity), time_in_force=time_in_force)
    plan = decide(alert, make_route(), make_snapshot(instrument=parts))
    assert plan.legs[0].request.quantity == D(expected)
    held = make_snapshot("2.75", instrument=parts)
    closing = decide(
        make_alert(action=AlertAction.EXIT, quantity=None, time_in_force=time_in_force), make_route(), held
    )
    assert closing.legs[0].request.quantity == (D(2) if time_in_force is TimeInForce.GTC else D("2.75"))


def test_prices_are_rounded_to_the_side_that_asks_for_less() -> None:
    limit = make_alert(order_type=OrderType.STOP_LIMIT, limit_price=D("101.019"), stop_price=D("100.501"))
    request = decide(limit, make_route(), make_snapshot()).legs[0].request
    assert (request.limit_price, request.trigger_price) == (D("101.01"), D("100.51"))
    short = make_alert(action=SELL, target=SHORT, order_type=OrderType.LIMIT, limit_price=D("99.991"))
    assert decide(short, make_route(), make_snapshot()).legs[0].request.limit_price == D("100.00")
    dust = make_alert(order_type=OrderType.LIMIT, limit_price=D("0.001"))
    assert shown(decide(dust, make_route(), make_snapshot())) == "refused NUMBER_INVALID"


@pytest.mark.parametrize(
    ("alert", "route", "product", "expected"),
    [
        (None, None, ProductKind.EQUITY, TimeInForce.DAY),
        (None, "gtc", ProductKind.EQUITY, TimeInForce.GTC),
        (TimeInForce.FOK, "gtc", ProductKind.EQUITY, TimeInForce.FOK),
        (None, None, ProductKind.LINEAR, TimeInForce.IOC),
    ],
)
def test_time_in_force_is_the_alerts_then_the_routes(alert: Any, route: Any, product: Any, expected: Any) -> None:
    snapshot = make_snapshot(instrument=make_instrument(product=product))
    plan = decide(make_alert(time_in_force=alert), make_route(time_in_force=route), snapshot)
    assert plan.legs[0].request.time_in_force is expected


def test_an_order_that_waits_for_its_trigger_may_rest() -> None:
    snapshot = make_snapshot(instrument=make_instrument(product=ProductKind.LINEAR))
    stop = make_alert(order_type=OrderType.STOP_MARKET, stop_price=D(101))
    assert decide(stop, make_route(), snapshot).legs[0].request.time_in_force is TimeInForce.GTC


def test_what_the_account_or_the_clock_forbids_is_refused() -> None:
    hedged = make_snapshot(position_mode=PositionMode.HEDGE)
    assert shown(decide(make_alert(), make_route(), hedged)) == "refused HEDGE_MODE_UNSUPPORTED"
    late = make_snapshot(expires_at=NOW)
    assert shown(decide(make_alert(), make_route(), late)) == "refused ALERT_EXPIRED"
    in_time = make_snapshot(expires_at=NOW + timedelta(seconds=1))
    assert shown(decide(make_alert(), make_route(), in_time)) == "open buy 10"
    small = make_snapshot(instrument=make_instrument(quantity_max_market=D(9)))
    assert shown(decide(make_alert(), make_route(), small)) == "refused QUANTITY_ABOVE_VENUE"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, TimeInForce.DAY_EXTENDED),
        ({"time_in_force": TimeInForce.GTC}, TimeInForce.GTC_EXTENDED),
        ({"time_in_force": TimeInForce.DAY_EXTENDED, "extended_hours": False}, TimeInForce.DAY_EXTENDED),
        ({"time_in_force": TimeInForce.IOC}, AlertReason.FIELD_UNSUPPORTED),
        ({"order_type": OrderType.MARKET, "limit_price": None}, TimeInForce.DAY),  # regular hours only, whoever asks
        ({"order_type": OrderType.STOP_LIMIT, "stop_price": D(98)}, AlertReason.FIELD_UNSUPPORTED),
        (
            {"order_type": OrderType.STOP_MARKET, "limit_price": None, "stop_price": D(98)},
            AlertReason.FIELD_UNSUPPORTED,
        ),
    ],
)
def test_extended_hours_are_for_limit_orders_that_rest(changes: dict[str, Any], expected: object) -> None:
    fields: dict[str, Any] = {"order_type": OrderType.LIMIT, "limit_price": D(99), "extended_hours": True, **changes}
    plan = decide(make_alert(**fields), make_route(), make_snapshot())
    assert (plan.legs[0].request.time_in_force if plan.legs else plan.reason) is expected


def test_stops_and_targets_are_not_left_out_in_silence() -> None:
    alert = make_alert(stop_loss=D(90), brackets=("stop_loss",))
    assert shown(decide(alert, make_route(), make_snapshot())) == "refused BRACKETS_NOT_PLACED"
    assert shown(decide(alert, make_route(brackets="ignore"), make_snapshot())) == "open buy 10"


def test_a_plan_comes_back_from_the_ledger_as_it_was() -> None:
    plan = decide(make_alert(target=LONG), make_route(), make_snapshot(-5))
    assert AlertPlan.from_json(plan.to_json()) == plan
    cancel = decide(
        make_alert(action=AlertAction.CANCEL, quantity=None),
        make_route(),
        make_snapshot(open_orders=(make_order(OrderSide.BUY, "1", OURS),)),
    )
    assert AlertPlan.from_json(cancel.to_json()) == cancel
