"""Public reads of both products: single rows and arrays, symbols by list, the book."""

from decimal import Decimal
from typing import Any

import pytest

from simulators import Control

ONE = {"symbol": "BTCUSDT"}


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/api/v3/ticker/price", {"symbol", "price"}),
        ("/api/v3/ticker/bookTicker", {"symbol", "bidPrice", "bidQty", "askPrice", "askQty"}),
        ("/fapi/v1/ticker/price", {"symbol", "price", "time"}),
        ("/fapi/v2/ticker/price", {"symbol", "price", "time"}),
        (
            "/fapi/v1/ticker/bookTicker",
            {"symbol", "bidPrice", "bidQty", "askPrice", "askQty", "time", "lastUpdateId"},
        ),
        (
            "/fapi/v1/premiumIndex",
            {"symbol", "markPrice", "indexPrice", "estimatedSettlePrice", "lastFundingRate", "interestRate"}
            | {"nextFundingTime", "time"},
        ),
    ],
)
def test_one_symbol_is_a_row_and_all_are_an_array(wire: Any, path: str, fields: set[str]):
    row, rows = wire.public(path, **ONE), wire.public(path)
    assert set(row) == fields
    assert [found["symbol"] for found in rows] == ["BTCUSDT", "ETHUSDT"]
    assert {name: rows[0][name] for name in fields - {"time"}} == {name: row[name] for name in fields - {"time"}}
    assert wire.public(path, symbol="NOPE") == {"code": -1121, "msg": "Invalid symbol."}


def test_a_day_without_other_customers(wire: Any):
    spot, futures = wire.public("/api/v3/ticker/24hr", **ONE), wire.public("/fapi/v1/ticker/24hr", **ONE)
    assert (spot["lastPrice"], spot["bidPrice"], spot["volume"]) == ("60000.00000000", "59994.00000000", "0.00000000")
    assert futures["lastPrice"] == "60000.00" and "bidPrice" not in futures
    assert len(wire.public("/fapi/v1/ticker/24hr")) == 2


@pytest.mark.parametrize("path", ["/api/v3/ticker/price", "/api/v3/ticker/bookTicker"])
def test_spot_reads_lists_of_symbols(wire: Any, path: str):
    assert [row["symbol"] for row in wire.public(path, symbols='["ETHUSDT"]')] == ["ETHUSDT"]
    assert len(wire.public(path, symbols='["ETHUSDT","BTCUSDT"]')) == 2
    for symbols, code in (("ETHUSDT", -1100), ('["A","A"]', -1151), ('["NOPE"]', -1121), ("[1]", -1100)):
        assert wire.public(path, symbols=symbols)["code"] == code
    assert wire.public(path, symbols='["ETHUSDT"]', **ONE)["code"] == -1128


def test_rules_of_chosen_symbols(wire: Any):
    def listed(**fields: str) -> list[str]:
        return [row["symbol"] for row in wire.public("/api/v3/exchangeInfo", **fields)["symbols"]]

    assert listed() == ["BTCUSDT", "ETHUSDT"]
    assert (listed(**ONE), listed(symbols='["ETHUSDT"]')) == (["BTCUSDT"], ["ETHUSDT"])
    assert wire.public("/fapi/v1/exchangeInfo", **ONE)["code"] == -1104, "futures' rules are always whole"


def test_the_book_is_what_orders_meet(wire: Any, control: Control):
    control.set_liquidity(level_notional="1200", levels=2, gap_bps="5")
    for prefix, size in (("/api/v3", "0.02000000"), ("/fapi/v1", "0.020")):
        book = wire.public(f"{prefix}/depth", **ONE)
        assert [level[1] for level in book["asks"]] == [size, size]
        assert Decimal(book["asks"][0][0]) == control.quote("BTCUSDT").ask
        assert len(wire.public(f"{prefix}/depth", **ONE, limit="1")["bids"]) == 1
    wire.spot()
    assert wire.public("/api/v3/depth", **ONE)["asks"][0][1] == "0.01000000"
    assert wire.public("/api/v3/avgPrice", **ONE)["price"] == "60000.00000000"


def test_what_the_venue_has_not_is_empty(wire: Any):
    assert wire.public("/sapi/v1/margin/allPairs") == wire.public("/sapi/v1/margin/isolated/allPairs") == []
    assert wire.public("/dapi/v1/exchangeInfo")["symbols"] == []
    coins = {row["coin"]: row for row in wire.get("/sapi/v1/capital/config/getall")}
    assert (coins["USDT"]["free"], coins["BTC"]["networkList"]) == ("100000.00000000", [])


def test_account_reads_of_futures(wire: Any):
    whole = wire.get("/fapi/v2/account")
    assert (whole["canTrade"], len(whole["positions"]), whole["multiAssetsMargin"]) == (True, 2, False)
    assert {row["asset"] for row in whole["assets"]} == {"BNB", "USDT"}
    used = wire.get("/fapi/v3/account")
    assert "canTrade" not in used
    assert (used["positions"], [row["asset"] for row in used["assets"]]) == ([], ["USDT"])
    assert wire.get("/fapi/v3/positionRisk") == []
    assert wire.get("/fapi/v2/balance") == wire.get("/fapi/v3/balance")
    assert wire.get("/fapi/v1/accountConfig")["dualSidePosition"] is False
    assert wire.get("/fapi/v1/commissionRate", **ONE)["takerCommissionRate"] == "0.0005"
    (bracket,) = wire.get("/fapi/v1/leverageBracket", **ONE)
    assert bracket["brackets"][0]["initialLeverage"] == 125
    assert [row["leverage"] for row in wire.get("/fapi/v1/symbolConfig")] == [20, 20]
    assert wire.get("/api/v3/account/commission", **ONE)["standardCommission"]["taker"] == "0.00100000"
    assert [row["count"] for row in wire.get("/fapi/v1/rateLimit/order")] == [0, 0]
    assert wire.public("/fapi/v1/fundingInfo")[0]["fundingIntervalHours"] == 8


def test_order_tests_place_nothing(wire: Any, control: Control):
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET"}
    for path in ("/api/v3/order/test", "/fapi/v1/order/test"):
        assert wire.post(path, **order, quantity="0.01") == {}
        assert wire.post(path, **order, quantity="9999")["code"] in (-1013, -4005)
    assert control.orders("main") == []
