"""Algo orders: what waits, what triggers and what that becomes; the SDK and ccxt place, find and cancel them, too."""

import json
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import ccxt
import pytest

from simulators import OKXControl

SWAP, PAIR = "BTC-USDT-SWAP", "BTC-USDT"
STOP = {"instId": SWAP, "tdMode": "cross", "side": "buy", "ordType": "conditional", "sz": "2"}
STOP |= {"slTriggerPx": "61000", "slOrdPx": "-1", "algoClOrdId": "s1", "tag": "desk"}


def place(wire: Any, **changes: Any) -> dict[str, Any]:
    (item,) = wire.post("/trade/order-algo", {name: v for name, v in {**STOP, **changes}.items() if v is not None})[
        "data"
    ]
    return item


def details(wire: Any, client_id: str = "s1") -> dict[str, Any]:
    (row,) = wire.rows("/trade/order-algo", f"algoClOrdId={client_id}")
    return row


def test_a_stop_waits_apart_and_holds_no_money(wire: Any, control: OKXControl):
    ack = place(wire, ordType="conditional", sz="5000")
    assert ack["sCode"] == "0" and ack["algoClOrdId"] == "s1" and "ordId" not in ack and "ts" not in ack
    row = details(wire)
    assert (row["state"], row["algoId"], row["ordId"], row["ordIdList"]) == ("live", ack["algoId"], "", [])
    assert (row["slTriggerPx"], row["slOrdPx"], row["tpTriggerPx"], row["triggerPx"]) == ("61000", "-1", "", "")
    assert wire.rows("/trade/orders-pending") == [] and wire.rows("/trade/orders-history", "instType=SWAP") == []
    assert wire.rows("/account/balance")[0]["details"][0]["frozenBal"] == "0"
    assert wire.rows("/trade/orders-algo-pending", "ordType=conditional,oco") == [row]
    assert wire.rows("/trade/orders-algo-pending", "ordType=trigger") == []
    assert control.orders("main")[0].order_id != ack["algoId"]


@pytest.mark.parametrize("config_changes", [{"child_ids": True}, {"child_ids": False}])
def test_what_triggers_places_an_order_that_names_it(wire: Any, control: OKXControl, config_changes: dict[str, Any]):
    ack = place(wire)
    control.set_price(PAIR, "61500")
    row = details(wire)
    (child,) = row["ordIdList"]
    assert (row["state"], row["ordId"], row["actualSide"], row["actualSz"]) == ("effective", child, "sl", "2")
    assert row["triggerTime"] == row["uTime"] and child != ack["algoId"]
    (order,) = wire.rows("/trade/order", f"instId={SWAP}&ordId={child}")
    assert (order["state"], order["algoId"], order["algoClOrdId"], order["source"]) == (
        "filled",
        ack["algoId"],
        "s1",
        "7",
    )
    assert (order["clOrdId"] != "") is config_changes["child_ids"] and order["clOrdId"] != "s1"
    (fill,) = wire.rows("/trade/fills")
    assert (fill["ordId"], fill["clOrdId"]) == (child, order["clOrdId"]) and "algoId" not in fill
    assert wire.rows("/trade/orders-algo-pending", "ordType=conditional") == []
    assert wire.rows("/trade/orders-algo-history", "ordType=conditional&state=effective") == [row]
    (item,) = wire.post("/trade/cancel-algos", [{"instId": SWAP, "algoId": ack["algoId"]}])["data"]
    assert item["sCode"] == "51416"


@pytest.mark.parametrize(
    ("changes", "price"),
    [
        ({"side": "sell", "slTriggerPx": "59000"}, "58900"),
        ({"side": "sell", "slTriggerPx": None, "slOrdPx": None, "tpTriggerPx": "61000", "tpOrdPx": "-1"}, "61100"),
        ({"slTriggerPx": None, "slOrdPx": None, "tpTriggerPx": "59000", "tpOrdPx": "-1"}, "58900"),
        ({"ordType": "trigger", "slTriggerPx": None, "slOrdPx": None, "triggerPx": "59000", "orderPx": "-1"}, "58900"),
        ({"ordType": "trigger", "slTriggerPx": None, "slOrdPx": None, "triggerPx": "61000", "orderPx": "-1"}, "61100"),
    ],
)
def test_directions(wire: Any, control: OKXControl, changes: dict[str, Any], price: str):
    assert place(wire, **changes)["sCode"] == "0"
    assert details(wire)["state"] == "live"
    control.set_price(SWAP, price)
    assert details(wire)["state"] == "effective" and len(control.executions("main")) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"slTriggerPx": "59000"}, "51278"),
        ({"side": "sell"}, "51280"),
        ({"slTriggerPx": None, "slOrdPx": None, "tpTriggerPx": "61000", "tpOrdPx": "-1"}, "51277"),
        ({"side": "sell", "slTriggerPx": None, "slOrdPx": None, "tpTriggerPx": "59000", "tpOrdPx": "-1"}, "51279"),
        ({"sz": None}, "51000"),
        ({"slOrdPx": None}, "51000"),
        ({"slTriggerPx": None}, "51000"),
        ({"slTriggerPx": "61000.05"}, "51150"),
        ({"ordType": "limit"}, "51000"),
        ({"ordType": "twap"}, "51010"),
        ({"closeFraction": "1"}, "51010"),
        ({"instId": "X-USDT"}, "51001"),
        ({"algoClOrdId": "a-b"}, "51000"),
        ({"posSide": "long"}, "51000"),
        ({"instId": PAIR, "tdMode": "cash", "reduceOnly": True}, "51205"),
        ({"instId": PAIR, "tdMode": "cash", "slTriggerPxType": "mark"}, "51415"),
        ({"instId": PAIR, "tdMode": "cash"}, "51010"),
        ({"ordType": "trigger", "triggerPx": "61000", "orderPx": "-1", "tgtCcy": "base_ccy"}, "51281"),
    ],
)
def test_refusals(wire: Any, control: OKXControl, changes: dict[str, Any], code: str):
    assert place(wire, **changes)["sCode"] == code
    assert control.orders("main") == []


def test_a_client_id_is_unique_among_those_that_wait(wire: Any, control: OKXControl):
    place(wire)
    assert place(wire, slTriggerPx="62000")["sCode"] == "51068"
    assert wire.place(clOrdId="s1")["sCode"] == "0", "ids of orders are others"
    (item,) = wire.post("/trade/cancel-algos", [{"instId": SWAP, "algoClOrdId": "s1"}])["data"]
    assert item["sCode"] == "0" and details(wire)["state"] == "canceled"
    assert place(wire, slTriggerPx="62000")["sCode"] == "0" and details(wire)["slTriggerPx"] == "62000"


def test_what_cannot_be_placed_when_it_triggers_has_failed(wire: Any, control: OKXControl):
    place(wire, instId=PAIR, tdMode="cash", side="sell", slTriggerPx="59000")
    control.set_price(PAIR, "58900")
    row = details(wire)
    assert (row["state"], row["failCode"], row["ordIdList"]) == ("order_failed", "51008", [])
    assert wire.rows("/trade/orders-history", "instType=SPOT") == []
    assert wire.rows("/trade/orders-algo-history", "ordType=conditional&state=order_failed") == [row]


def test_lists_go_by_number_and_want_to_know_what(wire: Any):
    numbers = [place(wire, algoClOrdId=f"s{n}")["algoId"] for n in range(3)]
    listed = "/trade/orders-algo-pending"
    assert [row["algoId"] for row in wire.rows(listed, "ordType=conditional")] == numbers[::-1]
    assert [r["algoId"] for r in wire.rows(listed, f"ordType=conditional&after={numbers[1]}")] == numbers[:1]
    assert [r["algoId"] for r in wire.rows(listed, f"ordType=conditional&algoId={numbers[2]}")] == numbers[2:]
    for query in ("", "ordType=limit", "ordType=conditional,trigger"):
        assert wire.get(listed, query)["code"] in ("50014", "51000")
    assert wire.get("/trade/orders-algo-history", "ordType=conditional")["code"] == "50015"
    assert wire.get("/trade/order-algo", "algoClOrdId=nobody")["code"] == "51603"
    assert wire.get("/trade/order-algo")["code"] == "50015"
    (item,) = wire.post("/trade/cancel-algos", [{"instId": SWAP, "algoId": "5"}])["data"]
    assert item["sCode"] == "51400"


def test_what_waits_is_in_the_way_of_leverage_and_not_of_a_countdown(wire: Any, control: OKXControl):
    place(wire)
    body = {"instId": SWAP, "lever": "5", "mgnMode": "cross"}
    assert wire.post("/account/set-leverage", body)["code"] == "59669"
    wire.post("/trade/cancel-all-after", {"timeOut": "10"})
    control.advance(seconds=11)
    assert details(wire)["state"] == "live", "it is not documented to end what waits"


def test_expTime_is_not_heard(wire: Any):
    answer = wire.send("POST", "/trade/order-algo", body=json.dumps(STOP), expTime="1000").json()
    assert answer["data"][0]["sCode"] == "0", "it is documented for orders and amendments only"


# -- other clients ----------------------------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")
def test_the_sdk_places_finds_and_cancels(sdk: SimpleNamespace, control: OKXControl):
    terms = {"slTriggerPx": "61000", "slOrdPx": "-1", "algoClOrdId": "s1"}
    (ack,) = sdk.trade.place_algo_order(SWAP, "cross", "buy", "conditional", "2", **terms)["data"]
    assert ack["sCode"] == "0"
    (row,) = sdk.trade.get_algo_order_details(algoClOrdId="s1")["data"]
    assert sdk.trade.order_algos_list("conditional")["data"] == [row] and row["algoId"] == ack["algoId"]
    (gone,) = sdk.trade.cancel_algo_order([{"instId": SWAP, "algoId": ack["algoId"]}])["data"]
    assert gone["sCode"] == "0"
    (over,) = sdk.trade.order_algos_history("conditional", state="canceled")["data"]
    assert over["algoId"] == ack["algoId"] and control.orders("main")[0].filled_qty == 0


def test_ccxt_places_finds_and_cancels(exchange: ccxt.okx, control: OKXControl):
    exchange.load_markets()
    first = exchange.create_order("BTC/USDT:USDT", "market", "buy", 2, params={"stopLossPrice": 61000})
    (waiting,) = exchange.fetch_open_orders("BTC/USDT:USDT", params={"stop": True, "ordType": "conditional"})
    assert (waiting["id"], waiting["side"], waiting["amount"], waiting["stopLossPrice"]) == (
        first["id"],
        "buy",
        2,
        61000,
    )
    exchange.cancel_order(first["id"], "BTC/USDT:USDT", params={"stop": True})
    assert exchange.fetch_open_orders("BTC/USDT:USDT", params={"stop": True, "ordType": "conditional"}) == []
    exchange.create_order("BTC/USDT:USDT", "market", "buy", 2, params={"stopLossPrice": 61000})
    control.set_price(SWAP, "61500")
    (trade,) = exchange.fetch_my_trades("BTC/USDT:USDT")
    assert Decimal(repr(trade["amount"])) == 2
