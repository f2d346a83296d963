"""Every refusal that venues/binance.md names comes with its own code, text and status, and leaves nothing behind."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from simulators import Control

LIMIT = {"type": "LIMIT", "timeInForce": "GTC", "price": "59000"}
STOP = {"type": "STOP_LOSS", "stopPrice": "59000", "side": "SELL"}
HALTED = "ETHUSDT"


@pytest.mark.parametrize(
    ("order", "code", "text"),
    [
        ({"symbol": "NOPE"}, -1121, "Invalid symbol."),
        ({"symbol": None}, -1102, "'symbol'"),
        ({"symbol": ""}, -1102, "'symbol'"),
        ({"side": "UP"}, -1117, "Invalid side."),
        ({"side": "buy"}, -1117, "Invalid side."),
        ({"type": "STOP_MARKET"}, -1116, "Invalid orderType."),
        ({"quantity": None}, -1102, "'quantity'"),
        ({"quantity": "1e-05"}, -1100, "'quantity'; legal range is '^([0-9]{1,20})(\\.[0-9]{1,20})?$'."),
        ({"quantity": "-1"}, -1100, "'quantity'"),
        ({"quantity": "0"}, -1013, "Invalid quantity."),
        ({"quantity": "0.123456789"}, -1111, "Parameter 'quantity' has too much precision."),
        ({"quantity": "0.000015"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "0.000001"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "121"}, -1013, "Filter failure: MARKET_LOT_SIZE"),
        ({"quantity": "0.00008"}, -1013, "Filter failure: NOTIONAL"),
        ({"quantity": "2"}, -2010, "Account has insufficient balance for requested action."),
        ({"side": "SELL"}, -2010, "Account has insufficient balance for requested action."),
        ({"quoteOrderQty": "100"}, -1106, "'quoteOrderQty'"),
        ({"quoteOrderQty": "4", "quantity": None}, -1013, "Filter failure: NOTIONAL"),
        ({"quoteOrderQty": "200000", "quantity": None}, -2010, "insufficient balance"),
        ({"price": "60000"}, -1106, "Parameter 'price' sent when not required."),
        ({"timeInForce": "GTC"}, -1106, "Parameter 'timeInForce' sent when not required."),
        ({"stopPrice": "60000"}, -1106, "'stopPrice'"),
        ({**LIMIT, "timeInForce": None}, -1102, "'timeInForce'"),
        ({**LIMIT, "timeInForce": "GTX"}, -1115, "Invalid timeInForce."),
        ({**LIMIT, "price": None}, -1102, "'price'"),
        ({**LIMIT, "price": "0"}, -1013, "Invalid price."),
        ({**LIMIT, "price": "59000.005"}, -1013, "Filter failure: PRICE_FILTER"),
        ({**LIMIT, "price": "59000.123456789"}, -1111, "Parameter 'price' has too much precision."),
        ({**LIMIT, "price": "300000.01"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
        ({**LIMIT, "price": "11999.99"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
        ({**LIMIT, "quantity": "9001"}, -1013, "Filter failure: LOT_SIZE"),
        ({**LIMIT, "type": "LIMIT_MAKER"}, -1106, "'timeInForce'"),
        (
            {"type": "LIMIT_MAKER", "price": "60006"},
            -2010,
            "Order would immediately match and take.",
        ),
        ({**STOP, "stopPrice": "61000", "quantity": "0.001"}, -2010, "Order would trigger immediately."),
        ({**STOP, "stopPrice": None}, -1102, "'stopPrice'"),
        ({"newClientOrderId": ""}, -1118, "New client order ID was empty."),
        ({"newClientOrderId": "x" * 37}, -1100, "'newClientOrderId'; legal range is '^[a-zA-Z0-9-_]{1,36}$'."),
        ({"newClientOrderId": "with space"}, -1100, "'newClientOrderId'"),
        ({"newOrderRespType": "ALL"}, -1130, "'newOrderRespType'"),
        ({**LIMIT, "icebergQty": "0.001"}, -1020, "icebergQty is not simulated"),
        ({"selfTradePreventionMode": "NONE"}, -1020, "not simulated"),
    ],
)
def test_spot_orders(wire: Any, control: Control, order: dict[str, Any], code: int, text: str):
    before = control.wallets("main")
    answer = wire.spot(**order)
    assert answer["code"] == code, answer
    assert text in answer["msg"]
    assert control.orders("main") == []
    assert control.wallets("main") == before


@pytest.mark.parametrize(
    ("order", "code", "text"),
    [
        ({"symbol": "NOPE"}, -1121, "Invalid symbol."),
        ({"side": "UP"}, -1117, "Invalid side."),
        ({"type": "STOP_LOSS"}, -1116, "Invalid orderType."),
        ({"type": "STOP_MARKET", "stopPrice": "59000"}, -4120, "Please use the Algo Order API endpoints instead."),
        ({"type": "TRAILING_STOP_MARKET"}, -4120, "Algo Order"),
        ({"quantity": None}, -1102, "'quantity'"),
        ({"quantity": "0"}, -4003, "Quantity less than or equal to zero."),
        ({"quantity": "0.0005"}, -1111, "Precision is over the maximum defined for this asset."),
        ({"quantity": "121"}, -4005, "Quantity greater than max quantity."),
        ({"quantity": "0.001"}, -4164, "Order's notional must be no smaller than 100 (unless you choose reduce only)."),
        ({"quantity": "100"}, -2019, "Margin is insufficient."),
        ({"price": "60000"}, -1106, "Parameter 'price' sent when not required."),
        ({"timeInForce": "GTC"}, -1106, "Parameter 'timeInForce' sent when not required."),
        ({**LIMIT, "timeInForce": None}, -1102, "'timeInForce'"),
        ({**LIMIT, "timeInForce": "DAY"}, -1115, "Invalid timeInForce."),
        ({**LIMIT, "timeInForce": "GTD"}, -1020, "not simulated"),
        ({**LIMIT, "price": "59000.05"}, -4014, "Price not increased by tick size."),
        ({**LIMIT, "price": "59000.005"}, -1111, "Precision is over the maximum"),
        ({**LIMIT, "price": "63000.1"}, -4016, "Limit price can't be higher than 63000."),
        ({**LIMIT, "side": "SELL", "price": "56999.9"}, -4024, "Limit price can't be lower than 57000."),
        ({**LIMIT, "timeInForce": "GTX", "price": "60006"}, -5022, "Post Only order will be rejected."),
        ({"reduceOnly": "true"}, -2022, "ReduceOnly Order is rejected."),
        ({"positionSide": "LONG"}, -4061, "Order's position side does not match user's setting."),
        ({"positionSide": "UP"}, -4060, "Invalid position side."),
        ({"newClientOrderId": "x" * 37}, -4015, "Client order id length should be less than 36 chars"),
        ({"newClientOrderId": ""}, -1118, "New client order ID was empty."),
        ({"newOrderRespType": "FULL"}, -1136, "Invalid newOrderRespType."),
        ({"reduceOnly": "yes"}, -1130, "'reduceOnly'"),
        ({"closePosition": "true"}, -1106, "'closeposition'"),
        ({"selfTradePreventionMode": "EXPIRE_TAKER"}, -1020, "not simulated"),
        ({"positionSide": ""}, -1105, "Parameter 'positionSide' was empty."),
        ({**LIMIT, "priceMatch": "QUEUE"}, -1020, "priceMatch is not simulated"),
    ],
)
def test_futures_orders(wire: Any, control: Control, order: dict[str, Any], code: int, text: str):
    before = control.wallets("main")
    answer = wire.futures(**order)
    assert answer["code"] == code, answer
    assert text in answer["msg"]
    assert control.orders("main") == []
    assert control.wallets("main") == before


@pytest.mark.parametrize(
    ("order", "code", "text"),
    [
        ({"algoType": "VP", "triggerPrice": "59000"}, -1130, "'algoType'"),
        ({"type": "MARKET", "triggerPrice": "59000"}, -1116, "Invalid orderType."),
        ({"type": "TRAILING_STOP_MARKET", "callbackRate": "1"}, -1020, "TRAILING_STOP_MARKET is not simulated"),
        ({}, -1102, "'triggerPrice'"),
        ({"triggerPrice": "61000"}, -2021, "Order would immediately trigger."),
        ({"type": "TAKE_PROFIT_MARKET", "triggerPrice": "59000"}, -2021, "Order would immediately trigger."),
        ({"triggerPrice": "59000", "closePosition": "true"}, -4137, "Quantity must be zero"),
        ({"triggerPrice": "59000", "closePosition": "true", "quantity": None}, -2022, "ReduceOnly Order is rejected."),
        ({"triggerPrice": "59000", "quantity": None}, -1102, "'quantity'"),
        ({"triggerPrice": "59000.05"}, -4014, "tick size"),
        ({"triggerPrice": "59000", "workingType": "INDEX"}, -4031, "Invalid parameter working type: INDEX"),
        ({"triggerPrice": "59000", "priceProtect": "true"}, -1020, "priceProtect is not simulated"),
        ({"type": "STOP", "triggerPrice": "59000"}, -1102, "'price'"),
        ({"triggerPrice": "59000", "callbackRate": "1"}, -1106, "'callbackRate'"),
        (
            {"triggerPrice": "59000", "closePosition": "true", "quantity": None, "reduceOnly": "true"},
            -1106,
            "'reduceonly'",
        ),
        ({"triggerPrice": "59000", "price": "58000"}, -1106, "'price'"),
    ],
)
def test_algo_orders(wire: Any, control: Control, order: dict[str, Any], code: int, text: str):
    answer = wire.algo(**order)
    assert answer["code"] == code, answer
    assert text in answer["msg"]
    assert control.orders("main") == []


def test_unknown_orders(wire: Any):
    for path in ("/api/v3/order", "/fapi/v1/order"):
        query = wire.send("GET", path, symbol="BTCUSDT", origClientOrderId="nobody")
        cancel = wire.send("DELETE", path, symbol="BTCUSDT", orderId=7)
        assert (query.status_code, query.json()) == (400, {"code": -2013, "msg": "Order does not exist."})
        assert (cancel.status_code, cancel.json()) == (400, {"code": -2011, "msg": "Unknown order sent."})
        neither = wire.get(path, symbol="BTCUSDT")
        assert neither["msg"] == "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
        assert wire.get(path, origClientOrderId="x")["code"] == -1102, "a symbol is always needed"
    assert wire.delete("/api/v3/openOrders", symbol="BTCUSDT")["code"] == -2011
    assert wire.delete("/fapi/v1/allOpenOrders", symbol="BTCUSDT")["code"] == 200
    assert wire.delete("/fapi/v1/algoOrder", symbol="BTCUSDT", algoId=3)["code"] == -2011
    assert wire.get("/fapi/v1/algoOrder", algoId=3)["code"] == -2013
    assert wire.get("/fapi/v1/algoOrder")["code"] == -1102


def test_both_ids_must_agree(wire: Any):
    first = wire.spot(**LIMIT, newClientOrderId="one")
    wire.spot(**LIMIT, newClientOrderId="two")
    both = {"symbol": "BTCUSDT", "orderId": first["orderId"], "origClientOrderId": "two"}
    assert wire.get("/api/v3/order", **both)["code"] == -2039
    assert wire.delete("/api/v3/order", **both)["code"] == -2011
    assert wire.delete("/api/v3/order", **{**both, "origClientOrderId": "one"})["status"] == "CANCELED"


def test_an_id_is_taken_while_its_order_is_open(wire: Any, control: Control):
    assert wire.spot(**LIMIT, newClientOrderId="id")["status"] == "NEW"
    assert wire.futures(**LIMIT, newClientOrderId="id")["status"] == "NEW", "the products know nothing of each other"
    assert wire.spot(newClientOrderId="id") == {"code": -2010, "msg": "Duplicate order sent."}
    assert wire.futures(newClientOrderId="id") == {"code": -4116, "msg": "ClientOrderId is duplicated."}
    for path in ("/api/v3/order", "/fapi/v1/order"):
        wire.delete(path, symbol="BTCUSDT", origClientOrderId="id")
    assert wire.spot(newClientOrderId="id")["status"] == wire.futures(newClientOrderId="id")["status"] == "FILLED"
    assert len(control.orders("main")) == 4


def test_reduce_only_turns_nothing_around(wire: Any, control: Control):
    wire.futures(quantity="0.02")
    for order in ({"side": "BUY"}, {"side": "SELL", "quantity": "0.021"}):
        assert wire.futures(**order, reduceOnly="true")["code"] == -2022
    assert wire.futures(side="SELL", quantity="0.001", reduceOnly="true")["status"] == "FILLED", "closing may be small"
    assert control.positions("main")[0].qty == Decimal("0.019")
    resting = wire.futures(**{**LIMIT, "price": "62000"}, side="SELL", quantity="0.01", reduceOnly="true")
    assert wire.futures(side="SELL", quantity="0.01", reduceOnly="true")["code"] == -2022, "the other one counts, too"
    assert wire.futures(side="SELL", quantity="0.009", reduceOnly="true")["status"] == "FILLED"
    wire.delete("/fapi/v1/order", symbol="BTCUSDT", orderId=resting["orderId"])
    assert wire.futures(side="SELL", quantity="0.01", reduceOnly="true")["status"] == "FILLED"


def test_hedge_mode(wire: Any, control: Control):
    assert wire.post("/fapi/v1/positionSide/dual", dualSidePosition="true") == {"code": 200, "msg": "success"}
    assert wire.futures()["code"] == -4061
    assert wire.futures(positionSide="LONG", reduceOnly="false")["msg"] == (
        "Parameter 'reduceonly' sent when not required."
    )
    assert wire.futures(side="SELL", positionSide="LONG")["code"] == -2022, "nothing is there to be closed"
    assert wire.futures(positionSide="LONG")["positionSide"] == "LONG"
    assert wire.futures(side="SELL", positionSide="SHORT", quantity="0.02")["status"] == "FILLED"
    rows = wire.get("/fapi/v3/positionRisk")
    assert [(row["positionSide"], row["positionAmt"]) for row in rows] == [("LONG", "0.010"), ("SHORT", "-0.020")]
    whole = wire.get("/fapi/v2/positionRisk", symbol="BTCUSDT")
    assert [row["positionSide"] for row in whole] == ["BOTH", "LONG", "SHORT"]
    assert wire.futures(side="BUY", positionSide="SHORT", quantity="0.03")["code"] == -2022
    closing = {"quantity": None, "closePosition": "true", "triggerPrice": "61000", "side": "BUY"}
    assert wire.algo(**closing, positionSide="LONG")["code"] == -4061, "a purchase closes no long position"
    waiting = wire.algo(**closing, positionSide="SHORT")
    assert wire.delete("/fapi/v1/algoOrder", algoId=waiting["algoId"])["code"] == "200"
    assert wire.futures(side="BUY", positionSide="SHORT", quantity="0.02")["reduceOnly"] is True
    assert wire.post("/fapi/v1/positionSide/dual", dualSidePosition="false")["code"] == -4068
    wire.futures(side="SELL", positionSide="LONG")
    resting = wire.futures(**LIMIT, positionSide="LONG")
    assert wire.post("/fapi/v1/positionSide/dual", dualSidePosition="false")["code"] == -4067
    wire.delete("/fapi/v1/order", symbol="BTCUSDT", orderId=resting["orderId"])
    assert wire.post("/fapi/v1/positionSide/dual", dualSidePosition="False")["code"] == 200
    assert wire.post("/fapi/v1/positionSide/dual", dualSidePosition="false")["code"] == -4059
    assert wire.get("/fapi/v1/positionSide/dual") == {"dualSidePosition": False}


@pytest.mark.parametrize(
    ("path", "fields", "code"),
    [
        ("/fapi/v1/leverage", {"leverage": 0}, -4028),
        ("/fapi/v1/leverage", {"leverage": 126}, -4028),
        ("/fapi/v1/leverage", {"leverage": "2.5"}, -1100),
        ("/fapi/v1/leverage", {}, -1102),
        ("/fapi/v1/marginType", {"marginType": "NONE"}, -1130),
        ("/fapi/v1/marginType", {"marginType": "CROSSED"}, -4046),
        ("/fapi/v1/positionSide/dual", {"symbol": None, "dualSidePosition": "1"}, -1130),
        ("/fapi/v1/multiAssetsMargin", {"symbol": None, "multiAssetsMargin": "false"}, -4171),
    ],
)
def test_settings(wire: Any, path: str, fields: dict[str, Any], code: int):
    given = {name: value for name, value in {"symbol": "BTCUSDT", **fields}.items() if value is not None}
    answer = wire.send("POST", path, **given)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_margin_type_and_leverage_beside_positions(wire: Any):
    wire.futures(quantity="16")
    assert wire.post("/fapi/v1/leverage", symbol="BTCUSDT", leverage=2)["code"] == -2028
    assert wire.post("/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")["code"] == -4048
    wire.futures(side="SELL", quantity="16", reduceOnly="true")
    resting = wire.futures(**LIMIT)
    assert wire.post("/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")["code"] == -4047
    wire.delete("/fapi/v1/order", symbol="BTCUSDT", orderId=resting["orderId"])
    assert wire.post("/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")["code"] == 200
    wire.futures()
    assert wire.post("/fapi/v1/leverage", symbol="BTCUSDT", leverage=3)["code"] == -4161
    assert wire.post("/fapi/v1/leverage", symbol="BTCUSDT", leverage=30)["leverage"] == 30
    (row,) = wire.get("/fapi/v2/positionRisk", symbol="BTCUSDT")
    assert (row["marginType"], row["isolated"], row["isolatedMargin"]) == ("isolated", True, "20.00000000")


def test_symbols_that_do_not_trade(wire: Any, sim: Any):
    venue = sim.simulator.venue
    for key, instrument in list(venue.instruments.items()):
        if instrument.symbol == HALTED:
            venue.instruments[key] = replace(instrument, trading=False)
    assert wire.spot(symbol=HALTED) == {"code": -2010, "msg": "Market is closed."}
    assert wire.futures(symbol=HALTED)["code"] == -4141
    (row,) = wire.public("/api/v3/exchangeInfo", symbol=HALTED)["symbols"]
    assert row["status"] == "BREAK"


def test_too_many_orders(wire: Any, sim: Any):
    venue = sim.simulator.venue
    venue.rules = replace(venue.rules, open_orders_max=1, conditional_orders_max=1)
    wire.spot(**LIMIT)
    assert wire.spot(**LIMIT) == {"code": -1013, "msg": "Filter failure: MAX_NUM_ORDERS"}
    wire.futures(**LIMIT)
    assert wire.futures(**LIMIT) == {"code": -2025, "msg": "Reach max open order limit."}
    venue.rules = replace(venue.rules, open_orders_max=200)
    wire.algo(triggerPrice="59000")
    assert wire.algo(triggerPrice="59000") == {"code": -4045, "msg": "Reach max stop order limit."}
