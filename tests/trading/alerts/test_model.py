from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from brokers.types import OrderSide, OrderType, PositionSide
from tests.trading.alerts.building import NOW, D, make_alert
from trading.alerts import Alert, AlertAction, AlertReason, AlertRefused, QuantityMode
from trading.alerts.model import opposite_of, settled

LONG, SHORT, FLAT = PositionSide.LONG, PositionSide.SHORT, PositionSide.FLAT
SIDES = (None, LONG, SHORT, FLAT)
# What a position may be where a side is said; any where it is not.
POSITIONS = {LONG: (1, 2), SHORT: (-2, -1), FLAT: (0,), None: (-2, -1, 0, 1, 2)}


def can_lead(side: OrderSide, *, before: PositionSide | None, after: PositionSide | None) -> bool:
    """Whether any order of this side leads from one to the other."""
    return any((new - old) * side.sign > 0 for old, new in product(POSITIONS[before], POSITIONS[after]))


@pytest.mark.parametrize(("side", "target", "previous"), list(product(OrderSide, SIDES, SIDES)))
def test_the_action_table_refuses_what_no_order_can_do(side: OrderSide, target: Any, previous: Any) -> None:
    if target is None:
        assert settled(side=side, target=None, previous=previous).action == side.value
        return
    if not can_lead(side, before=previous, after=target):
        with pytest.raises(AlertRefused) as caught:
            settled(side=side, target=target, previous=previous)
        assert caught.value.reason is AlertReason.FIELDS_CONTRADICT
        return
    found = settled(side=side, target=target, previous=previous)
    own = LONG if side is OrderSide.BUY else SHORT
    if target is FLAT:
        assert (found.action, found.closes) == (AlertAction.EXIT, opposite_of(own))
    elif (target, previous) == (own, opposite_of(own)):
        assert found.action is AlertAction.REVERSE
    else:
        assert (found.action, found.target, found.closes) == (side.value, target, None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"quantity": D(0)}, AlertReason.NUMBER_INVALID),
        ({"quantity": D(-1)}, AlertReason.NUMBER_INVALID),
        ({"quantity": D("NaN")}, AlertReason.NUMBER_INVALID),
        ({"target_size": D(-1)}, AlertReason.NUMBER_INVALID),
        ({"quantity": D(101), "quantity_mode": QuantityMode.PERCENT_OF_POSITION}, AlertReason.NUMBER_INVALID),
        ({"order_type": OrderType.LIMIT}, AlertReason.FIELD_MISSING),
        ({"order_type": OrderType.STOP_LIMIT, "limit_price": D(1)}, AlertReason.FIELD_MISSING),
        ({"stop_price": D(1)}, AlertReason.FIELDS_CONTRADICT),
        ({"action": AlertAction.REVERSE}, AlertReason.FIELD_MISSING),
        ({"action": AlertAction.REVERSE, "target": LONG, "reduce_only": True}, AlertReason.FIELDS_CONTRADICT),
        ({"target": FLAT}, AlertReason.FIELDS_CONTRADICT),
        ({"closes": LONG}, AlertReason.FIELDS_CONTRADICT),
        ({"action": AlertAction.EXIT, "closes": FLAT}, AlertReason.FIELDS_CONTRADICT),
    ],
)
def test_an_alert_that_contradicts_itself_cannot_be_made(changes: dict[str, Any], reason: AlertReason) -> None:
    with pytest.raises(AlertRefused) as caught:
        make_alert(**changes)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("changes", "is_exit", "opens"),
    [
        ({}, False, True),
        ({"target": LONG}, False, True),
        ({"target": SHORT}, True, False),  # a buy that ends short covers a part
        ({"reduce_only": True}, True, False),
        ({"action": AlertAction.EXIT}, True, False),
        ({"action": AlertAction.CANCEL}, False, False),
        ({"action": AlertAction.REVERSE, "target": SHORT}, False, True),
    ],
)
def test_what_can_only_reduce_is_an_exit(changes: dict[str, Any], is_exit: bool, opens: bool) -> None:
    alert = make_alert(**changes)
    assert (alert.is_exit, alert.opens) == (is_exit, opens)


def test_a_time_carries_its_zone() -> None:
    with pytest.raises(AlertRefused, match="event_time must carry a zone"):
        make_alert(event_time=NOW.replace(tzinfo=None))


def test_numbers_come_back_from_the_ledger_digit_by_digit() -> None:
    alert = make_alert(quantity=D("0.123456789123456789"), price_hint=D("1E+3"))
    assert Alert.from_json(alert.to_json()) == alert
    assert '"quantity":"0.123456789123456789"' in alert.to_json()
