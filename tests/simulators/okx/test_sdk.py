"""The venue's own SDK, unmodified, drives the simulator and agrees with its truth."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from simulators import OKXControl

# python-okx hands httpx its body by an old name.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")
SWAP, PAIR = "BTC-USDT-SWAP", "BTC-USDT"


def the_one(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["code"] == "0", answer
    (row,) = answer["data"]
    return row


def item(answer: dict[str, Any]) -> tuple[str, str]:
    """The code of the whole and of its one item."""
    (row,) = answer["data"]
    return answer["code"], row["sCode"]


def test_public_reads(sdk: SimpleNamespace, control: OKXControl):
    assert int(the_one(sdk.public.get_system_time())["ts"]) > 1_700_000_000_000
    assert sdk.status.status()["data"] == []
    quote = control.quote(SWAP)
    ticker = the_one(sdk.market.get_ticker(SWAP))
    assert (Decimal(ticker["bidPx"]), Decimal(ticker["askPx"])) == (quote.bid, quote.ask)
    assert [t["instId"] for t in sdk.market.get_tickers("SPOT")["data"]] == [PAIR, "ETH-USDT"]
    assert the_one(sdk.public.get_mark_price("SWAP", instId=SWAP))["markPx"] == "60000"
    book = the_one(sdk.market.get_orderbook(SWAP, sz="5"))
    assert book["asks"] == [["60006", "100000000", "0", "1"]]


def test_instruments(sdk: SimpleNamespace):
    swap = the_one(sdk.public.get_instruments("SWAP", instId=SWAP))
    assert (swap["ctVal"], swap["ctMult"], swap["ctValCcy"], swap["ctType"]) == ("0.01", "1", "BTC", "linear")
    assert (swap["lotSz"], swap["minSz"], swap["tickSz"], swap["settleCcy"]) == ("0.01", "0.01", "0.1", "USDT")
    assert (swap["baseCcy"], swap["quoteCcy"], swap["uly"]) == ("", "", PAIR)
    spot = the_one(sdk.account.get_instruments("SPOT", instId=PAIR))
    assert (spot["ctVal"], spot["settleCcy"], spot["baseCcy"], spot["quoteCcy"]) == ("", "", "BTC", "USDT")
    assert spot["lotSz"] == "0.00000001"


def test_account_reads(sdk: SimpleNamespace):
    config = the_one(sdk.account.get_account_config())
    assert (config["acctLv"], config["posMode"], config["perm"]) == ("2", "net_mode", "read_only,trade")
    balance = the_one(sdk.account.get_account_balance())
    assert [(d["ccy"], d["cashBal"]) for d in balance["details"]] == [("USDT", "100000")]
    assert (balance["totalEq"], balance["adjEq"]) == ("100000", "")
    assert the_one(sdk.account.get_fee_rates("SWAP"))["takerU"] == "-0.0005"


def test_market_order_fills_and_every_read_agrees(sdk: SimpleNamespace, control: OKXControl):
    ack = the_one(sdk.trade.place_order(SWAP, "cross", "buy", "market", "1.5", clOrdId="m1", tag="desk"))
    (truth,) = control.orders("main")
    (execution,) = control.executions("main")
    assert (ack["ordId"], ack["clOrdId"], ack["tag"], ack["sCode"]) == (truth.order_id, "m1", "desk", "0")
    for row in (
        the_one(sdk.trade.get_order(SWAP, clOrdId="m1")),
        the_one(sdk.trade.get_orders_history("SWAP")),
        the_one(sdk.trade.get_orders_history_archive("SWAP")),
    ):
        assert (row["state"], row["sz"], row["accFillSz"], row["px"]) == ("filled", "1.5", "1.5", "")
        assert Decimal(row["avgPx"]) == Decimal(row["fillPx"]) == execution.price
        assert (row["reduceOnly"], row["lever"], row["tdMode"]) == ("false", "10.0", "cross")
        assert Decimal(row["fee"]) == -execution.fee
    assert execution.fee == Decimal("1.5") * Decimal("0.01") * Decimal("60006") * Decimal("0.0005")
    fill = the_one(sdk.trade.get_fills())
    assert (fill["tradeId"], fill["ordId"], fill["execType"]) == (execution.execution_id, ack["ordId"], "T")
    assert (Decimal(fill["fee"]), fill["fillSz"], fill["feeCcy"]) == (-execution.fee, "1.5", "USDT")
    position = the_one(sdk.account.get_positions())
    assert (position["pos"], position["posSide"], position["avgPx"], position["liqPx"]) == ("1.5", "net", "60006", "")
    assert Decimal(position["notionalUsd"]) == 900
    bill, deposit = sdk.account.get_account_bills()["data"]
    assert (bill["billId"], Decimal(bill["balChg"]), bill["type"]) == (fill["billId"], -execution.fee, "2")
    assert (deposit["type"], deposit["subType"], deposit["balChg"]) == ("1", "11", "100000")
    detail = the_one(sdk.account.get_account_balance("USDT"))["details"][0]
    assert Decimal(detail["cashBal"]) == control.wallets("main")["USDT"] == 100_000 - execution.fee


def test_limit_order_rests_is_found_and_cancelled(sdk: SimpleNamespace, control: OKXControl):
    sdk.trade.place_order(SWAP, "cross", "buy", "limit", "2", px="59000", clOrdId="l1")
    row = the_one(sdk.trade.get_order_list(instType="SWAP"))
    assert (row["state"], row["avgPx"], row["fillPx"], row["fillTime"], row["tradeId"]) == ("live", "", "", "", "")
    assert (row["px"], row["accFillSz"], row["fee"]) == ("59000", "0", "0")
    assert item(sdk.trade.cancel_order(SWAP, clOrdId="l1")) == ("0", "0")
    assert sdk.trade.get_order_list()["data"] == []
    assert sdk.trade.order_algos_list(ordType="conditional") == {"code": "0", "data": [], "msg": ""}
    gone = the_one(sdk.trade.get_order(SWAP, ordId=row["ordId"]))
    assert (gone["state"], gone["cancelSource"], gone["accFillSz"]) == ("canceled", "1", "0")
    assert item(sdk.trade.cancel_order(SWAP, clOrdId="l1")) == ("1", "51400")
    assert control.margin("main").order_margin == 0


def test_a_spot_market_buy_counts_in_quote_unless_told(sdk: SimpleNamespace, control: OKXControl):
    by_value = the_one(sdk.trade.place_order(PAIR, "cash", "buy", "market", "100"))
    row = the_one(sdk.trade.get_order(PAIR, ordId=by_value["ordId"]))
    assert (row["sz"], row["tgtCcy"], row["accFillSz"], row["state"]) == ("100", "quote_ccy", "0.0016665", "filled")
    assert (row["feeCcy"], Decimal(row["fee"])) == ("BTC", Decimal("-0.0016665") / 1000)
    by_amount = the_one(sdk.trade.place_order(PAIR, "cash", "buy", "market", "0.01", tgtCcy="base_ccy"))
    assert the_one(sdk.trade.get_order(PAIR, ordId=by_amount["ordId"]))["accFillSz"] == "0.01"
    assert control.wallets("main")["BTC"] == Decimal("0.0116665") * Decimal("0.999")


def test_batches_and_amendments(sdk: SimpleNamespace, control: OKXControl):
    orders = [
        {"instId": SWAP, "tdMode": "cross", "side": "buy", "ordType": "limit", "px": px, "sz": "1", "clOrdId": name}
        for name, px in (("b1", "59000"), ("b2", "58000"), ("b1", "57000"))
    ]
    answer = sdk.trade.place_multiple_orders(orders)
    assert answer["code"] == "2"
    assert [(row["clOrdId"], row["sCode"]) for row in answer["data"]] == [("b1", "0"), ("b2", "0"), ("b1", "51016")]
    assert item(sdk.trade.amend_order(SWAP, clOrdId="b1", newPx="59500.5", newSz="3", reqId="r1")) == ("0", "0")
    assert [(o.price, o.qty) for o in control.orders("main")] == [(Decimal("59500.5"), 3), (Decimal(58_000), 1)]
    both = sdk.trade.cancel_multiple_orders([{"instId": SWAP, "clOrdId": "b1"}, {"instId": SWAP, "clOrdId": "no"}])
    assert [row["sCode"] for row in both["data"]] == ["0", "51400"]
    assert item(sdk.trade.amend_order(SWAP, clOrdId="b1", newPx="59000")) == ("1", "51503")


def test_leverage_and_mode_are_verified_by_reading(sdk: SimpleNamespace):
    for _ in range(2):
        answer = sdk.account.set_leverage("6", "cross", instId=SWAP)
        assert the_one(answer)["lever"] == "6", "the same value again is no error"
    assert the_one(sdk.account.get_leverage("cross", instId=SWAP))["lever"] == "6"
    assert sdk.account.set_leverage("101", "cross", instId=SWAP)["code"] == "59102"
    assert the_one(sdk.account.set_position_mode("long_short_mode"))["posMode"] == "long_short_mode"
    assert the_one(sdk.account.get_account_config())["posMode"] == "long_short_mode"
    sides = sdk.account.get_leverage("cross", instId=SWAP)["data"]
    assert [(row["posSide"], row["lever"]) for row in sides] == [("long", "6"), ("short", "6")]


def test_close_names_no_order(sdk: SimpleNamespace, control: OKXControl):
    sdk.trade.place_order(SWAP, "cross", "sell", "market", "2")
    answer = the_one(sdk.trade.close_positions(SWAP, "cross"))
    assert answer == {"instId": SWAP, "posSide": "net", "clOrdId": "", "tag": ""}
    assert control.positions("main") == []
    assert sdk.trade.close_positions(SWAP, "cross")["code"] == "51023"
    flat = the_one(sdk.account.get_positions(instId=SWAP))
    assert (flat["pos"], flat["avgPx"]) == ("0", "")
    assert sdk.account.get_positions()["data"] == []
