"""Bracket, oto and oco orders: what is held, freed, shrunk and ended, and how it is shown."""

from typing import Any

import pytest

from simulators import AlpacaControl

BRACKET = {"order_class": "bracket", "take_profit": {"limit_price": "220"}, "stop_loss": {"stop_price": "190"}}
OCO = {"order_class": "oco", "type": "limit", "side": "sell", "time_in_force": "gtc"} | {
    name: BRACKET[name] for name in ("take_profit", "stop_loss")
}


def statuses(wire: Any, row: dict[str, Any]) -> list[str]:
    """Return the statuses of a group: its head's, then its legs'."""
    seen = wire.get(f"/v2/orders/{row['id']}?nested=true")
    return [seen["status"], *(leg["status"] for leg in seen["legs"])]


def test_a_bracket_that_takes_its_profit(wire: Any, control: AlpacaControl):
    row = wire.limit("195", **BRACKET)
    assert (row["order_class"], [leg["type"] for leg in row["legs"]]) == ("bracket", ["limit", "stop"])
    assert {leg["side"] for leg in row["legs"]} == {"sell"}
    assert statuses(wire, row) == ["new", "held", "held"]
    control.set_price("AAPL", "194")
    assert statuses(wire, row) == ["filled", "new", "held"]
    control.set_price("AAPL", "221")
    assert statuses(wire, row) == ["filled", "filled", "canceled"]
    assert control.positions("main") == []


def test_a_bracket_that_stops_its_loss(wire: Any, control: AlpacaControl):
    row = wire.place(**BRACKET)
    assert statuses(wire, row) == ["filled", "new", "held"]
    control.set_price("AAPL", "189")
    assert statuses(wire, row) == ["filled", "canceled", "filled"]
    assert wire.get("/v2/positions") == []


def test_a_part_of_the_profit_shrinks_the_stop(wire: Any, control: AlpacaControl):
    row = wire.place(**BRACKET)
    assert control.positions("main")[0].qty == 10
    control.set_liquidity("AAPL", level_notional="1000", levels=1)
    control.set_price("AAPL", "221")
    profit, loss = wire.get(f"/v2/orders/{row['id']}?nested=true")["legs"]
    assert profit["status"] == "partially_filled"
    assert float(profit["filled_qty"]) + float(loss["qty"]) == 10


def test_cancelling_one_ends_the_group(wire: Any):
    entry = wire.limit("195", **BRACKET)
    assert wire.send("DELETE", f"/v2/orders/{entry['id']}").status_code == 204
    assert statuses(wire, entry) == ["canceled", "canceled", "canceled"]
    filled = wire.place(**BRACKET)
    legs = wire.get(f"/v2/orders/{filled['id']}?nested=true")["legs"]
    wire.send("DELETE", f"/v2/orders/{legs[0]['id']}")
    assert statuses(wire, filled) == ["filled", "canceled", "canceled"]


def test_nested_lists_show_a_group_once(wire: Any):
    wire.limit("195", **BRACKET)
    assert len(wire.get("/v2/orders")) == 3
    (row,) = wire.get("/v2/orders?nested=true")
    assert len(row["legs"]) == 2


def test_an_oco_binds_its_shares_once(wire: Any, control: AlpacaControl):
    wire.place()
    row = wire.place(**OCO)
    assert (row["type"], row["limit_price"], [leg["type"] for leg in row["legs"]]) == ("limit", "220", ["stop"])
    assert statuses(wire, row) == ["new", "held"]
    assert wire.position("AAPL")["qty_available"] == "0"
    control.set_price("AAPL", "189")
    assert statuses(wire, row) == ["canceled", "filled"]
    assert wire.get("/v2/positions") == []


def test_an_oto_has_one_exit(wire: Any, control: AlpacaControl):
    row = wire.place(order_class="oto", stop_loss={"stop_price": "190", "limit_price": "189"})
    assert [leg["type"] for leg in row["legs"]] == ["stop_limit"]
    assert statuses(wire, row) == ["filled", "new"]
    control.set_price("AAPL", "189.9")
    assert statuses(wire, row) == ["filled", "filled"]


def test_an_exit_is_replaced_within_its_group(wire: Any, control: AlpacaControl):
    row = wire.place(**BRACKET)
    profit, loss = wire.get(f"/v2/orders/{row['id']}?nested=true")["legs"]
    new = wire.send("PATCH", f"/v2/orders/{profit['id']}", {"limit_price": "210"}).json()
    assert new["replaces"] == profit["id"]
    assert statuses(wire, row) == ["filled", "new", "held"]
    control.set_price("AAPL", "211")
    assert statuses(wire, row) == ["filled", "filled", "canceled"]
    assert wire.order(loss["id"])["status"] == "canceled"


def test_a_held_exit_can_not_be_replaced(wire: Any):
    row = wire.limit("195", **BRACKET)
    assert wire.send("PATCH", f"/v2/orders/{row['legs'][0]['id']}", {"limit_price": "210"}).status_code == 422


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"stop_loss": None}, 40010001, "bracket orders require stop_loss.stop_price"),
        ({"take_profit": {"limit_price": "199"}}, 42210000, "take_profit.limit_price must be above base_price"),
        ({"stop_loss": {"stop_price": "201"}}, 42210000, "stop_loss.stop_price must be below base_price"),
        ({"time_in_force": "ioc"}, 42210000, "bracket orders must be DAY or GTC orders of regular hours"),
        ({"order_class": "mleg"}, 42210000, "order_class mleg is not simulated: options are not listed"),
        ({"order_class": "oto"}, 40010001, "oto orders require one of take_profit or stop_loss"),
        ({"order_class": "ladder"}, 40010001, "invalid order_class"),
        ({"qty": None, "notional": "100"}, 42210000, "notional orders must be simple orders"),
        (OCO, 42210000, "oco orders must be exit orders"),
    ],
)
def test_groups_that_are_refused(wire: Any, changes: dict[str, Any], code: int, text: str):
    assert wire.refused(**{**BRACKET, **changes}) == (422, code, text)
    assert wire.get("/v2/orders?status=all") == []
