"""The simulator's rows beside real ones: the same fields of the same kinds, numbers written with as many decimals.

The rows were recorded at the venue and stand in ccxt's tests (ts/src/test/static/response/binance.json), whose
recorder turns integers into text: those are written here as the venue's documents have them.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

SPOT_LIMIT = """{"symbol":"SOLUSDT","orderId":9780331417,"orderListId":-1,
"clientOrderId":"x-R4BD3S824d31be3228a348eaa0a303","transactTime":1737635557417,"price":"241.00000000","origQty":"0.05000000","executedQty":"0.00000000",
"origQuoteOrderQty":"0.00000000","cummulativeQuoteQty":"0.00000000","status":"NEW","timeInForce":"GTC","type":"LIMIT",
"side":"BUY","workingTime":1737635557417,"fills":[],"selfTradePreventionMode":"EXPIRE_MAKER"}"""
SPOT_CANCELED = """{"symbol":"LTCUSDT","orderId":3854801792,"orderListId":-1,
"clientOrderId":"x-R4BD3S82d1481ae59ba59326d82c8a","price":"50.00000000","origQty":"0.10000000","executedQty":"0.00000000","cummulativeQuoteQty":"0.00000000",
"status":"CANCELED","timeInForce":"GTC","type":"LIMIT","side":"BUY","stopPrice":"0.00000000","icebergQty":"0.00000000",
"time":1701856395927,"updateTime":1706883268013,"isWorking":true,"workingTime":1701856395927,
"origQuoteOrderQty":"0.00000000","selfTradePreventionMode":"EXPIRE_MAKER"}"""
SPOT_TRADE = """{"symbol":"LTCUSDT","id":309520010,"orderId":3784695242,"orderListId":-1,"price":"69.63000000",
"qty":"0.20000000","quoteQty":"13.92600000","commission":"0.01392600","commissionAsset":"USDT","time":1698138992358,
"isBuyer":false,"isMaker":false,"isBestMatch":true}"""
FUTURES_LIMIT = """{"orderId":4087922044,"symbol":"BTCUSDT","status":"NEW",
"clientOrderId":"x-xcKtGhcu04075babaeb34c55af79ba","price":"110001.00","avgPrice":"0.00","origQty":"0.200","executedQty":"0.000","cumQty":"0.000","cumQuote":"0.00000",
"timeInForce":"GTC","type":"LIMIT","reduceOnly":false,"closePosition":false,"side":"SELL","positionSide":"BOTH",
"stopPrice":"0.00","workingType":"CONTRACT_PRICE","priceProtect":false,"origType":"LIMIT","priceMatch":"NONE",
"selfTradePreventionMode":"NONE","goodTillDate":0,"updateTime":1739781831932}"""
FUTURES_TRADE = """{"symbol":"BTCUSDT","id":272536245,"orderId":3524852987,"side":"BUY",
"price":"36567.10","qty":"0.010","realizedPnl":"0","quoteQty":"365.67100","commission":"0.14626840","commissionAsset":"USDT","time":1699972836419,
"positionSide":"BOTH","maker":false,"buyer":true}"""
POSITION = """{"symbol":"BTCUSDT","positionSide":"BOTH","positionAmt":"0.009","entryPrice":"67445.9",
"breakEvenPrice":"67479.62295","markPrice":"67502.68519858","unRealizedProfit":"0.51106678",
"liquidationPrice":"64846.98753790","isolatedMargin":"0","notional":"607.52416678","marginAsset":"USDT",
"isolatedWallet":"0","initialMargin":"7.59405208","maintMargin":"2.43009666","positionInitialMargin":"7.59405208",
"openOrderInitialMargin":"0","adl":2,"bidNotional":"0","askNotional":"0","updateTime":1722161166529}"""
TRIMMED = {"entryPrice", "breakEvenPrice", "liquidationPrice"}  # written with no more decimals than they have

LIMIT = {"side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "price": "61000", "quantity": "0.001"}


def resting(wire: Any) -> Any:
    wire.spot()
    return wire.spot(**LIMIT)


def cancelled(wire: Any) -> Any:
    named = {"symbol": "BTCUSDT", "orderId": resting(wire)["orderId"]}
    wire.delete("/api/v3/order", **named)
    return wire.get("/api/v3/order", **named)


def trade(wire: Any) -> Any:
    wire.spot()
    return wire.get("/api/v3/myTrades", symbol="BTCUSDT")[0]


def futures_resting(wire: Any) -> Any:
    return wire.futures(**{**LIMIT, "quantity": "0.2"})


def futures_trade(wire: Any) -> Any:
    wire.futures()
    return wire.get("/fapi/v1/userTrades", symbol="BTCUSDT")[0]


def position(wire: Any) -> Any:
    wire.futures()
    return wire.get("/fapi/v3/positionRisk")[0]


@pytest.mark.parametrize(
    ("recorded", "ours"),
    [
        (SPOT_LIMIT, resting),
        (SPOT_CANCELED, cancelled),
        (SPOT_TRADE, trade),
        (FUTURES_LIMIT, futures_resting),
        (FUTURES_TRADE, futures_trade),
        (POSITION, position),
    ],
    ids=["spot order", "spot query", "spot trade", "futures order", "futures trade", "position"],
)
def test_rows_have_the_form_of_real_ones(wire: Any, recorded: str, ours: Callable[[Any], Any]):
    real, row = json.loads(recorded), ours(wire)
    assert set(row) == set(real)
    for name, value in real.items():
        assert type(row[name]) is type(value), name
        if isinstance(value, str) and name not in TRIMMED and value.replace(".", "").lstrip("-").isdigit():
            assert len(row[name].partition(".")[2]) == len(value.partition(".")[2]), f"decimals of {name}"


def test_errors_have_the_form_of_real_ones(wire: Any):
    answer = wire.send("GET", "/api/v3/order", symbol="NOPE", orderId=1)
    assert (answer.status_code, answer.text) == (400, '{"code":-1121,"msg":"Invalid symbol."}')
