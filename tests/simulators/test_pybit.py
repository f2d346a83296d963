"""The venue's own SDK, unmodified, drives the simulator and agrees with its truth."""

from decimal import Decimal

import pytest
from pybit.exceptions import InvalidRequestError
from pybit.unified_trading import HTTP

from simulators import Control


def the_one(answer: dict) -> dict:
    (row,) = answer["result"]["list"]
    return row


def test_public_reads(pybit: HTTP, control: Control):
    assert int(pybit.get_server_time()["result"]["timeSecond"]) > 1_700_000_000
    ticker = the_one(pybit.get_tickers(category="linear", symbol="AAPLUSDT"))
    quote = control.quote("AAPLUSDT")
    assert (Decimal(ticker["bid1Price"]), Decimal(ticker["ask1Price"])) == (quote.bid, quote.ask)
    info = the_one(pybit.get_instruments_info(category="linear", symbol="BTCUSDT"))
    assert info["lotSizeFilter"]["qtyStep"] == "0.001"
    assert info["priceFilter"]["tickSize"] == "0.1"
    spot = the_one(pybit.get_instruments_info(category="spot", symbol="BTCUSDT"))
    assert "qtyStep" not in spot["lotSizeFilter"]
    assert spot["lotSizeFilter"]["basePrecision"] == "0.000001"
    book = pybit.get_orderbook(category="linear", symbol="AAPLUSDT")["result"]
    assert Decimal(book["a"][0][0]) == quote.ask


def test_account_reads(pybit: HTTP):
    facts = pybit.get_api_key_information()["result"]
    assert facts["readOnly"] == 0
    assert facts["permissions"]["ContractTrade"] == ["Order", "Position"]
    assert pybit.get_account_info()["result"]["marginMode"] == "REGULAR_MARGIN"
    fees = the_one(pybit.get_fee_rates(category="linear", symbol="AAPLUSDT"))
    assert fees["takerFeeRate"] == "0.00055"
    wallet = the_one(pybit.get_wallet_balance(accountType="UNIFIED"))
    assert [(c["coin"], c["walletBalance"]) for c in wallet["coin"]] == [("USDT", "100000")]
    assert wallet["coin"][0]["availableToWithdraw"] == ""


def test_market_order_fills_and_every_read_agrees(pybit: HTTP, control: Control):
    ack = pybit.place_order(
        category="linear", symbol="AAPLUSDT", side="Buy", orderType="Market", qty="10", orderLinkId="m-1"
    )["result"]
    (truth,) = control.orders("main")
    assert (ack["orderId"], ack["orderLinkId"]) == (truth.order_id, "m-1")
    for row in (
        the_one(pybit.get_open_orders(category="linear", settleCoin="USDT", orderLinkId="m-1")),
        the_one(pybit.get_order_history(category="linear", orderId=ack["orderId"])),
    ):
        assert row["orderStatus"] == "Filled"
        assert row["timeInForce"] == "IOC"
        assert Decimal(row["cumExecValue"]) == truth.filled_value == 10 * control.quote("AAPLUSDT").ask
        assert {c: Decimal(v) for c, v in row["cumFeeDetail"].items()} == dict(truth.fees)
        assert Decimal(row["price"]) > Decimal(row["avgPrice"]), "a market order is stored with its cap"
    fill = the_one(pybit.get_executions(category="linear", orderLinkId="m-1"))
    (execution,) = control.executions("main")
    assert (fill["execId"], Decimal(fill["execFee"])) == (execution.execution_id, execution.fee)
    position = the_one(pybit.get_positions(category="linear", settleCoin="USDT"))
    assert (position["side"], position["size"], position["positionIdx"]) == ("Buy", "10", 0)
    coin = the_one(pybit.get_wallet_balance(accountType="UNIFIED", coin="USDT"))["coin"][0]
    assert Decimal(coin["walletBalance"]) == control.wallets("main")["USDT"] == 100_000 - execution.fee
    row = pybit.get_transaction_log(type="TRADE")["result"]["list"][0]
    assert Decimal(row["change"]) == -execution.fee


def test_limit_order_rests_is_found_and_cancelled(pybit: HTTP, control: Control):
    pybit.place_order(
        category="linear", symbol="AAPLUSDT", side="Buy", orderType="Limit", qty="2", price="190", orderLinkId="l-1"
    )
    row = the_one(pybit.get_open_orders(category="linear", symbol="AAPLUSDT"))
    assert (row["orderStatus"], row["avgPrice"], row["leavesQty"], row["leavesValue"]) == ("New", "", "2", "380")
    pybit.cancel_order(category="linear", symbol="AAPLUSDT", orderLinkId="l-1")
    assert pybit.get_open_orders(category="linear", symbol="AAPLUSDT")["result"]["list"] == []
    gone = the_one(pybit.get_order_history(category="linear", orderLinkId="l-1"))
    assert (gone["orderStatus"], gone["leavesQty"], gone["cancelType"]) == ("Cancelled", "0", "CancelByUser")
    assert control.margin("main").order_margin == 0
    with pytest.raises(InvalidRequestError) as caught:
        pybit.cancel_order(category="linear", symbol="AAPLUSDT", orderLinkId="l-1")
    assert caught.value.status_code == 110001


def test_limit_order_fills_at_its_own_price_when_the_market_comes(pybit: HTTP, control: Control):
    pybit.place_order(
        category="linear", symbol="AAPLUSDT", side="Buy", orderType="Limit", qty="2", price="190", orderLinkId="l-1"
    )
    control.set_price("AAPLUSDT", 185)
    row = the_one(pybit.get_open_orders(category="linear", settleCoin="USDT", orderLinkId="l-1"))
    assert (row["orderStatus"], row["avgPrice"]) == ("Filled", "190")
    assert the_one(pybit.get_executions(category="linear"))["isMaker"] is True


def test_amend(pybit: HTTP, control: Control):
    pybit.place_order(
        category="linear", symbol="AAPLUSDT", side="Buy", orderType="Limit", qty="2", price="190", orderLinkId="a"
    )
    pybit.amend_order(category="linear", symbol="AAPLUSDT", orderLinkId="a", price="195.5", qty="3")
    (order,) = control.orders("main")
    assert (order.price, order.qty) == (Decimal("195.5"), 3)
    pybit.amend_order(category="linear", symbol="AAPLUSDT", orderLinkId="a", price="201")
    row = the_one(pybit.get_open_orders(category="linear", settleCoin="USDT", orderLinkId="a"))
    assert row["orderStatus"] == "Filled"


def test_cancel_all(pybit: HTTP, control: Control):
    for symbol, price in (("AAPLUSDT", "190"), ("AAPLUSDT", "191"), ("MSFTUSDT", "390")):
        pybit.place_order(category="linear", symbol=symbol, side="Buy", orderType="Limit", qty="1", price=price)
    answer = pybit.cancel_all_orders(category="linear", symbol="AAPLUSDT")["result"]
    assert len(answer["list"]) == 2
    assert [order.request.symbol for order in control.orders("main", open_only=True)] == ["MSFTUSDT"]
    pybit.cancel_all_orders(category="linear", settleCoin="USDT")
    assert control.orders("main", open_only=True) == []


def test_leverage_and_mode_are_verified_by_reading(pybit: HTTP):
    pybit.set_leverage(category="linear", symbol="AAPLUSDT", buyLeverage="6", sellLeverage="6")
    assert the_one(pybit.get_positions(category="linear", symbol="AAPLUSDT"))["leverage"] == "6"
    with pytest.raises(InvalidRequestError) as caught:
        pybit.set_leverage(category="linear", symbol="AAPLUSDT", buyLeverage="6", sellLeverage="6")
    assert caught.value.status_code == 110043
    pybit.switch_position_mode(category="linear", symbol="AAPLUSDT", mode=3)
    rows = pybit.get_positions(category="linear", symbol="AAPLUSDT")["result"]["list"]
    assert [row["positionIdx"] for row in rows] == [1, 2]
    with pytest.raises(InvalidRequestError) as caught:
        pybit.switch_position_mode(category="linear", symbol="AAPLUSDT", mode=3)
    assert caught.value.status_code == 110025


def test_hedge_mode_keeps_both_sides(pybit: HTTP, control: Control):
    pybit.switch_position_mode(category="linear", coin="USDT", mode=3)

    def order(side: str, index: int, qty: str, *, reduce: bool = False) -> None:
        pybit.place_order(
            category="linear",
            symbol="AAPLUSDT",
            side=side,
            orderType="Market",
            qty=qty,
            positionIdx=index,
            reduceOnly=reduce,
        )

    order("Buy", 1, "5")
    order("Sell", 2, "3")
    order("Sell", 1, "2", reduce=True)
    rows = pybit.get_positions(category="linear", symbol="AAPLUSDT")["result"]["list"]
    assert [(r["positionIdx"], r["side"], r["size"]) for r in rows] == [(1, "Buy", "3"), (2, "Sell", "3")]
    assert {p.position_side.value: p.signed_qty for p in control.positions("main")} == {"long": 3, "short": -3}


def test_flat_position_row_has_empty_strings_and_a_cursor(pybit: HTTP):
    result = pybit.get_positions(category="linear", symbol="AAPLUSDT")["result"]
    (row,) = result["list"]
    assert (row["side"], row["size"], row["avgPrice"], row["positionValue"]) == ("", "0", "0", "")
    assert (row["unrealisedPnl"], row["liqPrice"]) == ("", "")
    assert result["nextPageCursor"] != ""


def test_closed_pnl(pybit: HTTP, control: Control):
    pybit.place_order(category="linear", symbol="AAPLUSDT", side="Buy", orderType="Market", qty="10")
    control.set_price("AAPLUSDT", 220)
    pybit.place_order(category="linear", symbol="AAPLUSDT", side="Sell", orderType="Market", qty="10", reduceOnly=True)
    row = the_one(pybit.get_closed_pnl(category="linear"))
    assert (row["side"], row["closedSize"], row["fillCount"]) == ("Sell", "10", "1")
    bought, sold = control.executions("main")
    assert Decimal(row["closedPnl"]) == sold.value - bought.value - bought.fee - sold.fee
    assert control.wallets("main")["USDT"] == 100_000 + Decimal(row["closedPnl"])


def test_spot_market_buy_counts_in_quote_currency_by_default(pybit: HTTP, control: Control):
    ack = pybit.place_order(category="spot", symbol="BTCUSDT", side="Buy", orderType="Market", qty="600")["result"]
    assert ack["orderId"].isdigit()
    assert ack["orderLinkId"].isdigit()
    (fill,) = control.executions("main")
    assert fill.value <= 600 < fill.value + fill.price * Decimal("0.000001")
    assert (fill.fee_coin, fill.fee) == ("BTC", fill.qty * Decimal("0.001"))
    assert control.wallets("main") == {"USDT": 100_000 - fill.value, "BTC": fill.qty - fill.fee}
    row = the_one(pybit.get_open_orders(category="spot", orderId=ack["orderId"]))
    assert (row["orderStatus"], row["qty"], row["marketUnit"]) == ("Filled", "600", "quoteCoin")
    pybit.place_order(
        category="spot", symbol="BTCUSDT", side="Buy", orderType="Market", qty="0.01", marketUnit="baseCoin"
    )
    assert control.executions("main")[-1].qty == Decimal("0.01")


def test_derivatives_keep_an_empty_order_link_id(pybit: HTTP):
    ack = pybit.place_order(category="linear", symbol="AAPLUSDT", side="Buy", orderType="Market", qty="1")["result"]
    assert ack["orderLinkId"] == ""
    assert len(ack["orderId"]) == 36
