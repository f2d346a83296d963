"""Every refusal comes with its own code, in the right place, and leaves nothing behind."""

import json
from typing import Any

import pytest

from simulators import OKXControl
from simulators.core.control import ControlError
from simulators.demo_okx import okx_coins
from simulators.okx.errors import text_of
from simulators.okx.simulator import build_okx
from simulators.okx.texts import STATUSES, TEXTS
from simulators.testing_okx import small_okx_config

SWAP, PAIR = "BTC-USDT-SWAP", "BTC-USDT"
LIMIT = {"ordType": "limit", "px": "59000"}
SPOT = {"instId": PAIR, "tdMode": "cash"}


@pytest.mark.parametrize(
    ("order", "code", "text"),
    [
        ({"instId": "NO-USDT-SWAP"}, "51001", "doesn't exist"),
        ({"instId": ""}, "51000", "Parameter instId error "),
        ({"tdMode": ""}, "51000", "Parameter tdMode error "),
        ({"tdMode": "cash"}, "51000", "Parameter tdMode error "),
        ({"tdMode": "isolated"}, "51010", "account mode"),
        ({**SPOT, "tdMode": "cross"}, "51010", "account mode"),
        ({"side": "Buy"}, "51000", "Parameter side error "),
        ({"side": ""}, "51000", "Parameter side error "),
        ({"ordType": "stop"}, "51000", "Parameter ordType error "),
        ({**SPOT, "ordType": "optimal_limit_ioc"}, "51000", "Parameter ordType error "),
        ({"posSide": "long"}, "51000", "Parameter posSide error "),
        ({"sz": ""}, "51000", "Parameter sz error "),
        ({"sz": "0"}, "51000", "Parameter sz error "),
        ({"sz": "-1"}, "51000", "Parameter sz error "),
        ({"sz": "1e2"}, "51000", "Parameter sz error "),
        ({"sz": "many"}, "51000", "Parameter sz error "),
        ({"sz": "1" * 40}, "51000", "Parameter sz error "),
        ({"sz": "١"}, "51000", "Parameter sz error "),
        ({**LIMIT, "px": 1e300}, "51000", "Parameter px error "),
        ({"sz": "1.005"}, "51121", "multiple of the lot size"),
        ({"sz": "0.001"}, "51121", "multiple of the lot size"),
        ({"sz": "12000.01"}, "51202", "Market order amount"),
        ({**LIMIT, "sz": "100000001"}, "51101", "can't be more than 100000000 (contracts)"),
        ({"ordType": "limit"}, "51000", "Parameter px error "),
        ({**LIMIT, "px": "0"}, "51000", "Parameter px error "),
        ({**LIMIT, "px": "59000.05"}, "51150", "precision"),
        ({**LIMIT, "px": "63000.1"}, "51006", "(max buy price: 63000 , min sell price: 57000 )"),
        ({**LIMIT, "side": "sell", "px": "56999.9"}, "51006", "max buy price"),
        ({"sz": "11999"}, "51008", "Insufficient USDT margin in account"),
        ({"reduceOnly": True}, "51169", "don't have any positions"),
        ({"reduceOnly": "maybe"}, "51000", "Parameter reduceOnly error "),
        ({"clOrdId": "with-hyphen"}, "51000", "Parameter clOrdId  error "),
        ({"clOrdId": "x" * 33}, "51000", "Parameter clOrdId  error "),
        ({"tag": "x" * 17}, "51000", "Parameter tag  error "),
        ({"stpMode": "none"}, "51000", "Parameter stpMode error "),
        ({"pxUsd": "1"}, "51000", "Parameter pxUsd error "),
        ({"pxAmendType": "1"}, "51000", "Parameter pxAmendType error "),
        ({"attachAlgoOrds": [{"slTriggerPx": "1"}]}, "51010", "account mode"),
        ({"slTriggerPx": "50000", "slOrdPx": "-1"}, "51010", "account mode"),
        ({**SPOT, "sz": "200000"}, "51008", "Insufficient USDT balance in account"),
        ({**SPOT, "sz": "0.5"}, "51020", "minimum order amount"),
        ({**SPOT, "sz": "1000001"}, "51201", "can't exceed 1000000"),
        ({**SPOT, "side": "sell", "sz": "0.1"}, "51008", "Insufficient BTC balance in account"),
        ({**SPOT, "side": "sell", "sz": "0.000001"}, "51020", "minimum order amount"),
        ({**SPOT, **LIMIT, "sz": "0.000001"}, "51020", "minimum order amount"),
        ({**SPOT, **LIMIT, "sz": "0.000000001"}, "51121", "lot size"),
        ({**SPOT, **LIMIT, "sz": "17"}, "51203", "exceeds the limit 1000000"),
        ({**SPOT, **LIMIT, "px": "63000.1", "sz": "0.1"}, "51137", "buy orders is 63000"),
        ({**SPOT, **LIMIT, "side": "sell", "px": "56999", "sz": "0.1"}, "51138", "sell orders is 57000"),
        ({**SPOT, "posSide": "long", "sz": "10"}, "51000", "Parameter posSide error "),
        ({**SPOT, "tgtCcy": "usdt", "sz": "10"}, "51000", "Parameter tgtCcy error "),
        ({**SPOT, "reduceOnly": True, "sz": "10"}, "51205", "Reduce Only"),
        ({**SPOT, "tradeQuoteCcy": "EUR", "sz": "10"}, "51000", "Parameter tradeQuoteCcy error "),
    ],
)
def test_order_refusals(wire: Any, control: OKXControl, order: dict[str, Any], code: str, text: str):
    before = control.wallets("main")
    body = {
        "instId": SWAP,
        "tdMode": "cross",
        "side": "buy",
        "ordType": "market",
        "sz": "1",
        "clOrdId": "mine",
        **order,
    }
    response = wire.post("/trade/order", body)
    assert (response["code"], response["msg"]) == ("1", "All operations failed")
    (item,) = response["data"]
    assert (item["sCode"], item["ordId"], item["clOrdId"]) == (code, "", body["clOrdId"])
    assert text in item["sMsg"]
    assert control.orders("main") == []
    assert control.wallets("main") == before


def test_whole_and_empty_words_are_understood(wire: Any):
    """As python-okx and ccxt send them: "" and null for what they do not say, numbers bare."""
    extra = {"ccy": "", "posSide": "", "px": "", "tgtCcy": "", "attachAlgoOrds": None, "banAmend": "", "reduceOnly": ""}
    assert wire.place(**extra, sz=1)["sCode"] == "0"
    assert wire.place(**extra, sz=0.02)["sCode"] == "0"
    assert wire.place(**extra, sz=1e-05)["sCode"] == "51121"


def test_reduce_only_on_the_same_side_is_refused(wire: Any):
    wire.place(sz="2")
    assert wire.place(reduceOnly=True)["sCode"] == "51170"


@pytest.mark.parametrize("path", ["/trade/cancel-order", "/trade/amend-order"])
def test_requests_for_orders_that_do_not_wait(wire: Any, path: str):
    code = {"/trade/cancel-order": "51400", "/trade/amend-order": "51503"}[path]

    def item(**body: str) -> str:
        (row,) = wire.post(path, {"instId": SWAP, "newSz": "2", **body})["data"]
        return row["sCode"]

    filled = wire.place(clOrdId="done")
    waits = wire.place(**LIMIT, clOrdId="waits")
    assert item(clOrdId="never") == item(clOrdId="done") == item(ordId=filled["ordId"]) == code
    assert item(instId="ETH-USDT-SWAP", clOrdId="waits") == code
    assert item(instId="NO-SUCH", clOrdId="waits") == "51001"
    assert item() == "50015"
    assert item(instId="", clOrdId="waits") == "51000"
    assert item(ordId=waits["ordId"], clOrdId="never") == "0", "ordId goes first"


def test_amend_refusals(wire: Any, control: OKXControl):
    wire.place(**LIMIT, clOrdId="a", sz="2")

    def amend(**body: Any) -> str:
        (row,) = wire.post("/trade/amend-order", {"instId": SWAP, "clOrdId": "a", **body})["data"]
        return row["sCode"]

    assert amend() == "51500"
    assert amend(newPx="59000") == "0", "nothing new is no error"
    assert amend(newSz="16000") == "51502"
    assert amend(newSz="2.001") == "51121"
    assert amend(newPx="59000.01") == "51150"
    assert wire.order("a")["sz"] == "2"
    assert amend(newSz="2.001", cxlOnFail=True) == "51121"
    assert wire.order("a")["state"] == "canceled"
    wire.place(ordType="post_only", px="59000", clOrdId="p")
    (row,) = wire.post("/trade/amend-order", {"instId": SWAP, "clOrdId": "p", "newPx": "60006"})["data"]
    assert row["sCode"] == "51511"
    wire.cancel("p")
    wire.place(**LIMIT, clOrdId="part", sz="5")
    control.set_liquidity(SWAP, level_notional="1180", levels=1)
    control.set_price(PAIR, "58900")
    assert (wire.order("part")["state"], wire.order("part")["accFillSz"]) == ("partially_filled", "2")
    (row,) = wire.post("/trade/amend-order", {"instId": SWAP, "clOrdId": "part", "newSz": "2"})["data"]
    assert row["sMsg"] == "Parameter newSz error "


@pytest.mark.parametrize(
    ("path", "single", "code", "status"),
    [
        ("/trade/batch-orders", {"instId": SWAP}, "51111", 200),
        ("/trade/cancel-batch-orders", {"instId": SWAP}, "51406", 400),
        ("/trade/amend-batch-orders", {"instId": SWAP}, "51501", 400),
    ],
)
def test_batches_have_at_most_twenty_orders(wire: Any, path: str, single: dict[str, str], code: str, status: int):
    response = wire.send("POST", path, body=json.dumps([single] * 21))
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert wire.post(path, [single] * 20)["code"] == "1"
    assert wire.post(path, [])["code"] == wire.post(path, single)["code"] == wire.post(path, ["x"])["code"] == "50002"


@pytest.mark.parametrize(
    ("state", "market", "post_only"),
    [
        ("live", "0", "0"),
        ("suspend", "51022", "51022"),
        ("preopen", "51021", "51021"),
        ("test", "51021", "51021"),
        ("rebase", "51022", "51022"),
        ("post_only", "51022", "0"),
    ],
)
def test_instruments_that_do_not_trade(wire: Any, control: OKXControl, state: str, market: str, post_only: str):
    control.set_state(SWAP, state)
    assert wire.rows("/public/instruments", f"instType=SWAP&instId={SWAP}")[0]["state"] == state
    assert wire.place()["sCode"] == market
    assert wire.place(ordType="post_only", px="59000")["sCode"] == post_only
    assert wire.place(instId="ETH-USDT-SWAP")["sCode"] == "0"


SUSPENDED = tuple(i.model_copy(update={"trading": i.symbol != "ETH-USDT"}) for i in okx_coins())


@pytest.mark.parametrize("config_changes", [{"instruments": SUSPENDED}], ids=["one"])
def test_an_instrument_may_be_suspended_from_the_start(wire: Any, control: OKXControl):
    assert wire.rows("/public/instruments", "instType=SPOT&instId=ETH-USDT")[0]["state"] == "suspend"
    assert wire.spot(instId="ETH-USDT", sz="10")["sCode"] == "51022"
    for symbol, state in (("NO-SUCH", "live"), (SWAP, "closed")):
        with pytest.raises(ControlError, match=r"unknown symbol|state must be one of"):
            control.set_state(symbol, state)


@pytest.mark.parametrize("config_changes", [{"open_orders_max": 2}], ids=["two"])
def test_order_counts(wire: Any):
    assert [wire.place(**LIMIT)["sCode"] for _ in range(3)] == ["0", "0", "51102"]


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("/trade/order", f"instId={SWAP}", 400, "50015"),
        ("/trade/order", "clOrdId=x", 400, "50014"),
        ("/trade/order", "instId=NO-SUCH&clOrdId=x", 200, "51001"),
        ("/trade/order", f"instId={SWAP}&clOrdId=never", 200, "51603"),
        ("/trade/order", f"instId={SWAP}&ordId=1", 200, "51603"),
        ("/trade/orders-pending", "limit=101", 400, "51000"),
        ("/trade/orders-pending", "limit=0", 400, "51000"),
        ("/trade/orders-pending", "after=nonsense", 400, "51000"),
        ("/trade/orders-pending", "instType=STOCK", 400, "51000"),
        ("/trade/orders-pending", "state=filled", 400, "51000"),
        ("/trade/orders-algo-pending", "", 400, "50014"),
        ("/trade/orders-algo-pending", "ordType=limit", 400, "51000"),
        ("/trade/orders-history", "", 400, "50014"),
        ("/trade/orders-history-archive", "", 400, "50014"),
        ("/trade/fills-history", "", 400, "50014"),
        ("/trade/fills", "begin=yesterday", 400, "51000"),
        ("/account/bills", "mgnMode=both", 400, "51000"),
        ("/account/positions", "instType=SPOT", 400, "51000"),
        ("/account/positions", f"instType=FUTURES&instId={SWAP}", 200, "51015"),
        ("/account/positions", "instId=NO-SUCH", 200, "51001"),
        ("/account/positions-history", "instType=SPOT", 400, "51000"),
        ("/account/positions-history", "limit=101", 400, "51000"),
        ("/account/positions", "instId=" + ",".join([SWAP] * 11), 400, "51000"),
        ("/account/balance", "ccy=" + ",".join(["USDT"] * 21), 400, "51000"),
        ("/account/leverage-info", f"instId={SWAP}", 400, "50014"),
        ("/account/leverage-info", "mgnMode=cross", 400, "50014"),
        ("/account/leverage-info", f"instId={SWAP}&mgnMode=cash", 400, "51000"),
        ("/account/leverage-info", f"instId={PAIR}&mgnMode=cross", 200, "51010"),
        ("/public/instruments", "", 400, "50014"),
        ("/public/instruments", "instType=OPTION", 400, "50015"),
        ("/public/instruments", "instType=SPOT&instId=NO-SUCH", 200, "51001"),
        ("/market/ticker", "", 400, "50014"),
        ("/market/ticker", "instId=NO-SUCH", 200, "51001"),
        ("/market/books", f"instId={SWAP}&sz=401", 400, "51000"),
        ("/public/funding-rate", f"instId={PAIR}", 200, "51001"),
    ],
)
def test_reads_refuse_bad_parameters(wire: Any, path: str, query: str, status: int, code: str):
    response = wire.send("GET", path, query)
    assert (response.status_code, response.json()["code"], response.json()["data"]) == (status, code, [])
    assert response.json()["msg"]


def test_every_status_is_the_documented_one():
    assert {code for code, status in STATUSES.items() if status == 401} == set(range(50101, 50115))
    assert [STATUSES.get(code, 200) for code in (50011, 50013, 50004, 51149, 50001, 50061, 51603, 51000)] == [
        *(429, 429, 400, 500, 503, 200, 200, 400)
    ]


def test_every_code_can_be_told_by_a_fault():
    front = build_okx(small_okx_config()).front
    for code in TEXTS:
        answer = front.coded(code, "")
        body = json.loads(answer.body)
        if body["code"] == "1":
            (item,) = body["data"]
            assert (answer.status, item["sCode"], item["sMsg"]) == (200, str(code), text_of(code))
        else:
            assert (answer.status, body["code"], body["msg"]) == (STATUSES.get(code, 200), str(code), text_of(code))
        assert text_of(code)
        assert "{" not in text_of(code)
    assert text_of(99_999) == "Operation failed."
