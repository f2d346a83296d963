"""Orders sent together: what a fill of one does to its siblings."""

from decimal import Decimal
from typing import Any

import pytest

from simulators import TradeStationControl
from simulators.core.config import LiquidityConfig, PricesConfig

EQUITIES = "SIM123456M"
GROUPS = "/v3/orderexecution/ordergroups"
THIN = PricesConfig(
    start={"AAPL": Decimal(200), "MSFT": Decimal(400), "MESZ26": Decimal(6_000), "@ES": Decimal(6_000)},
    liquidity=LiquidityConfig(level_notional=Decimal(1_020), levels=1),
)


def grouped(wire: Any, kind: str, *orders: dict[str, Any]) -> list[str]:
    answer = wire.send("POST", GROUPS, {"Type": kind, "Orders": [wire.order(**order) for order in orders]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["Errors"] == []
    return [row["OrderID"] for row in answer.json()["Orders"]]


def stop(price: str, **changes: Any) -> dict[str, Any]:
    return {"OrderType": "StopMarket", "StopPrice": price, **changes}


def limit(price: str, **changes: Any) -> dict[str, Any]:
    return {"OrderType": "Limit", "LimitPrice": price, **changes}


def test_one_cancels_the_other(wire: Any, control: TradeStationControl):
    up, down = grouped(wire, "OCO", stop("210"), stop("190", TradeAction="SellShort"))
    rows = [wire.seen(up), wire.seen(down)]
    assert rows[0]["ConditionalOrders"] == [{"Relationship": "OCO", "OrderID": down}]
    assert rows[0]["GroupName"] == rows[1]["GroupName"] == f"OCO {up}"
    control.set_price("AAPL", "211")
    assert [wire.seen(up)["Status"], wire.seen(down)["Status"]] == ["FLL", "OUT"]
    control.set_price("AAPL", "150")
    assert [p.signed_qty for p in control.positions(EQUITIES)] == [10]


def test_a_bracket_closes_a_position_once(wire: Any, control: TradeStationControl):
    wire.place()
    take, loss = grouped(wire, "BRK", limit("210", TradeAction="SELL"), stop("190", TradeAction="SELL"))
    control.set_price("AAPL", "189")
    assert [wire.seen(take)["Status"], wire.seen(loss)["Status"]] == ["OUT", "FLL"]
    assert control.positions(EQUITIES) == []


@pytest.mark.parametrize("config_changes", [{"prices": THIN}])
def test_a_bracket_shrinks_with_a_partial_fill(wire: Any, control: TradeStationControl):
    for _ in range(2):
        wire.place(Quantity="5")
        control.set_price("AAPL", "200")
    take, loss = grouped(wire, "BRK", limit("210", TradeAction="SELL"), stop("190", TradeAction="SELL"))
    control.set_price("AAPL", "211")
    filled = wire.seen(take)
    assert (filled["Status"], filled["Legs"][0]["ExecQuantity"]) == ("FPR", "4")
    assert (wire.seen(loss)["Status"], wire.seen(loss)["Legs"][0]["QuantityOrdered"]) == ("ACK", "6")


def test_a_normal_group_is_only_sent_together(wire: Any, control: TradeStationControl):
    first, second = grouped(wire, "NORMAL", limit("190"), limit("390", Symbol="MSFT"))
    control.set_price("AAPL", "189")
    assert [wire.seen(first)["Status"], wire.seen(second)["Status"]] == ["FLL", "OPN"]
    assert "ConditionalOrders" not in wire.seen(first)


def test_each_order_of_a_group_has_its_own_answer(wire: Any):
    orders = [wire.order(), wire.order(TradeAction="SELLSHORT"), wire.order(Symbol="NOPE")]
    answer = wire.send("POST", GROUPS, {"Type": "NORMAL", "Orders": orders}).json()
    assert ["Error" in row for row in answer["Orders"]] == [False, True]
    assert [row["Error"] for row in answer["Errors"]] == ["FAILED"]


@pytest.mark.parametrize(
    "group",
    [
        {"Type": "PAIR", "Orders": [{}]},
        {"Type": "OCO", "Orders": []},
        {"Type": "OCO", "Orders": "none"},
    ],
)
def test_a_malformed_group_is_400(wire: Any, group: dict[str, Any]):
    assert wire.send("POST", GROUPS, group).status_code == 400


def test_a_bracket_has_one_symbol_and_one_side(wire: Any, control: TradeStationControl):
    wire.place()
    orders = [wire.order(**limit("210", TradeAction="SELL")), wire.order(**limit("190"))]
    assert wire.send("POST", GROUPS, {"Type": "BRK", "Orders": orders}).status_code == 400
    assert len(control.orders(EQUITIES)) == 1


def test_a_group_is_previewed(wire: Any, control: TradeStationControl):
    body = {"Type": "OCO", "Orders": [wire.order(**stop("210")), wire.order(**stop("190", TradeAction="SELLSHORT"))]}
    rows = wire.send("POST", "/v3/orderexecution/ordergroupconfirm", body).json()["Confirmations"]
    assert [row["EstimatedPrice"] for row in rows] == ["210", "190"]
    assert control.orders(EQUITIES) == []
