"""Every refusal that venues/bybit.md names comes with its own code, and leaves nothing behind."""

from typing import Any

import pytest

from simulators import Control

LIMIT = {"orderType": "Limit", "price": "199"}
SPOT = {"category": "spot", "symbol": "BTCUSDT"}


@pytest.mark.parametrize(
    ("order", "code", "text"),
    [
        ({"qty": "49000"}, 110007, "ab not enough for new order"),
        ({"qty": "0"}, 10001, "Qty invalid"),
        ({"qty": "1.005"}, 10001, "Qty invalid"),
        ({"qty": "50001"}, 10001, "maximum limit"),
        ({"symbol": "BTCUSDT", "qty": "0.0005"}, 10001, "Qty invalid"),
        ({"qty": "0.02"}, 110094, "minimum order value 5USDT"),
        ({**LIMIT, "price": "199.005"}, 10001, "Price invalid"),
        ({**LIMIT, "price": "2000000"}, 110003, "allowable range"),
        ({**LIMIT, "price": "211"}, 110003, "allowable range"),
        ({**LIMIT, "side": "Sell", "price": "189"}, 110003, "allowable range"),
        ({"reduceOnly": True}, 110017, "reduce-only"),
        ({"positionIdx": 1}, 10001, "position idx not match position mode"),
        ({"triggerPrice": "190", "triggerDirection": 1}, 110092, "expect Rising"),
        ({"triggerPrice": "210", "triggerDirection": 2}, 110093, "expect Falling"),
        ({"triggerPrice": "210"}, 10001, "TriggerDirection"),
        ({**SPOT, "qty": "200000"}, 170131, "Insufficient balance"),
        ({**SPOT, "side": "Sell", "qty": "0.1"}, 170131, "Insufficient balance"),
        ({**SPOT, "side": "Sell", "qty": "100", "marketUnit": "quoteCoin"}, 170131, "Insufficient balance"),
        ({"takeProfit": "220"}, 10001, "takeProfit is not supported"),
        ({**SPOT, "qty": "100", "isLeverage": 1}, 10001, "isLeverage is not supported"),
        ({**SPOT, "qty": "4"}, 170140, "lower limit"),
        ({**SPOT, **LIMIT, "qty": "0.0000001"}, 170137, "decimals"),
        ({**SPOT, **LIMIT, "qty": "0.000002", "price": "59000"}, 170136, "lower limit"),
        ({**SPOT, **LIMIT, "qty": "84", "price": "59000"}, 170124, "too large"),
        ({**SPOT, **LIMIT, "qty": "0.1", "price": "59000.01"}, 170134, "decimals"),
        ({**SPOT, **LIMIT, "qty": "0.1", "price": "64000"}, 170193, "cannot be higher"),
        ({**SPOT, **LIMIT, "timeInForce": "DAY"}, 170115, "timeInForce"),
    ],
)
def test_order_refusals(wire: Any, control: Control, order: dict[str, Any], code: int, text: str):
    before = control.wallets("main")
    answer = wire.place(**order)
    assert (answer["retCode"], answer["result"]) == (code, {})
    assert text in answer["retMsg"]
    assert control.orders("main") == []
    assert control.wallets("main") == before


def test_reduce_only_on_the_same_side_is_refused(wire: Any):
    wire.place(qty="2")
    assert wire.place(reduceOnly=True)["retCode"] == 110017


def test_reduce_only_is_cut_to_the_position(wire: Any, control: Control):
    wire.place(qty="2")
    wire.place(side="Sell", qty="5", reduceOnly=True, orderLinkId="r")
    assert (wire.order("r")["qty"], wire.order("r")["orderStatus"]) == ("2", "Filled")
    assert control.positions("main") == []


def test_hedge_mode_wants_a_position_index(wire: Any):
    wire.post("/v5/position/switch-mode", category="linear", coin="USDT", mode=3)
    assert wire.place()["retMsg"] == "position idx not match position mode"
    assert wire.place(positionIdx=1)["retCode"] == 0


def test_derivative_client_ids_are_unique_for_ever(wire: Any, control: Control):
    assert wire.place(orderLinkId="once")["retCode"] == 0
    assert wire.order("once")["orderStatus"] == "Filled"
    answer = wire.place(orderLinkId="once")
    assert (answer["retCode"], answer["retMsg"]) == (110072, "OrderLinkedID is duplicate")
    assert len(control.orders("main")) == 1


def test_spot_client_ids_are_unique_among_open_orders_only(wire: Any, control: Control):
    resting = {**SPOT, **LIMIT, "price": "50000", "qty": "0.001", "orderLinkId": "s"}
    assert wire.place(**resting)["retCode"] == 0
    assert wire.place(**resting)["retCode"] == 170141
    wire.post("/v5/order/cancel", **SPOT, orderLinkId="s")
    assert wire.place(**resting)["retCode"] == 0
    assert len(control.orders("main")) == 2


@pytest.mark.parametrize("config_changes", [{"id_scope_spot": "forever"}], ids=["forever"])
def test_id_scope_is_a_profile_setting(wire: Any):
    market = {**SPOT, "qty": "100", "orderLinkId": "s"}
    assert wire.place(**market)["retCode"] == 0
    assert wire.place(**market)["retCode"] == 170141


@pytest.mark.parametrize(("order", "code"), [({"symbol": "AAPLUSDT"}, 110001), (SPOT, 170213)], ids=["linear", "spot"])
def test_cancel_of_nothing(wire: Any, order: dict[str, str], code: int):
    body = {"category": "linear", **order}
    assert wire.post("/v5/order/cancel", **body, orderLinkId="none")["retCode"] == code
    assert wire.post("/v5/order/amend", **body, orderLinkId="none", price="1")["retCode"] == code
    assert wire.post("/v5/order/cancel", **body)["retCode"] == 10001


def test_amend_refusals(wire: Any):
    wire.place(**LIMIT, orderLinkId="a", qty="2")
    amend = {"category": "linear", "symbol": "AAPLUSDT", "orderLinkId": "a"}
    assert wire.post("/v5/order/amend", **amend, price="199")["retCode"] == 10001
    assert wire.post("/v5/order/amend", **amend, qty="40000")["retCode"] == 110007
    assert wire.order("a")["qty"] == "2"


@pytest.mark.parametrize(
    ("leverage", "code"),
    [
        (("10", "10"), 110043),
        (("26", "26"), 10001),
        (("0.5", "0.5"), 10001),
        (("3.005", "3.005"), 10001),
        (("3", "4"), 10001),
        (("many", "many"), 10001),
        ((4, 4), 0),
    ],
)
def test_leverage(wire: Any, leverage: tuple[Any, Any], code: int):
    body = {"category": "linear", "symbol": "AAPLUSDT", "buyLeverage": leverage[0], "sellLeverage": leverage[1]}
    assert wire.post("/v5/position/set-leverage", **body)["retCode"] == code


def test_leverage_cannot_fall_below_what_the_margin_allows(wire: Any):
    wire.place(qty="4000")
    body = {"category": "linear", "symbol": "AAPLUSDT", "buyLeverage": "2", "sellLeverage": "2"}
    assert wire.post("/v5/position/set-leverage", **body)["retCode"] == 110012
    (row,) = wire.rows("/v5/position/list", "category=linear&symbol=AAPLUSDT")
    assert row["leverage"] == "10"


def switch(wire: Any, **fields: Any) -> int:
    return wire.post("/v5/position/switch-mode", category="linear", **fields)["retCode"]


def test_position_mode(wire: Any):
    assert switch(wire, coin="USDT", mode=0) == 110025
    assert switch(wire, coin="USDT", mode=7) == 10001
    assert switch(wire, mode=3) == 10001
    assert switch(wire, coin="USDC", mode=3) == 110029
    assert switch(wire, symbol="BTCPERP", mode=3) == 110029
    wire.place(**LIMIT, orderLinkId="open")
    assert switch(wire, symbol="AAPLUSDT", mode=3) == 110028
    assert switch(wire, symbol="MSFTUSDT", mode=3) == 0
    wire.post("/v5/order/cancel", category="linear", symbol="AAPLUSDT", orderLinkId="open")
    wire.place()
    assert switch(wire, coin="USDT", mode=3) == 110024


@pytest.mark.parametrize("config_changes", [{"open_orders_max": 2, "conditional_orders_max": 1}], ids=["small"])
def test_order_counts(wire: Any):
    assert [wire.place(**LIMIT)["retCode"] for _ in range(3)] == [0, 0, 110020]
    stop = {"triggerPrice": "190", "triggerDirection": 2, "symbol": "AAPLUSDT", "side": "Sell"}
    wire.post("/v5/order/cancel-all", category="linear", settleCoin="USDT")
    assert [wire.place(**stop)["retCode"] for _ in range(2)] == [0, 110009]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v5/position/list", "category=linear"),
        ("/v5/order/realtime", "category=linear"),
        ("/v5/order/realtime", "category=linear&orderLinkId=x"),
        ("/v5/position/list", "category=spot&symbol=BTCUSDT"),
        ("/v5/order/history", "category=linear&startTime=1&endTime=900000000"),
        ("/v5/execution/list", "category=linear&limit=0"),
        ("/v5/execution/list", "category=linear&cursor=nonsense"),
        ("/v5/market/instruments-info", "category=linear&symbol=NOPE"),
        ("/v5/market/tickers", "symbol=AAPLUSDT"),
        ("/v5/account/wallet-balance", "accountType=SPOT"),
    ],
)
def test_reads_refuse_bad_parameters(wire: Any, path: str, query: str):
    assert wire.get(path, query)["retCode"] == 10001
