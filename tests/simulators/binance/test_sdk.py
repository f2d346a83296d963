"""The venue's own SDK, unmodified but for its addresses, drives the simulator and agrees with its truth."""

from decimal import Decimal
from typing import Any

import pytest
from binance.exceptions import BinanceAPIException

from simulators import Control


def test_public_reads(sdk: Any, control: Control):
    assert sdk.ping() == sdk.futures_ping() == {}
    assert isinstance(sdk.get_server_time()["serverTime"], int)
    for kind, ticker in (
        ("spot", sdk.get_orderbook_ticker(symbol="BTCUSDT")),
        ("linear", sdk.futures_orderbook_ticker(symbol="BTCUSDT")),
    ):
        quote = control.quote("BTCUSDT", kind)
        assert (Decimal(ticker["bidPrice"]), Decimal(ticker["askPrice"])) == (quote.bid, quote.ask)
    assert sdk.get_symbol_ticker(symbol="ETHUSDT") == {"symbol": "ETHUSDT", "price": "3000.00000000"}
    assert sdk.futures_symbol_ticker(symbol="ETHUSDT")["price"] == "3000.00"
    assert sdk.futures_mark_price(symbol="BTCUSDT")["markPrice"] == "60000.00000000"
    spot = {row["filterType"]: row for row in sdk.get_symbol_info("BTCUSDT")["filters"]}
    assert (spot["LOT_SIZE"]["stepSize"], spot["PRICE_FILTER"]["tickSize"]) == ("0.00001000", "0.01000000")
    assert spot["NOTIONAL"] == {**spot["NOTIONAL"], "minNotional": "5.00000000", "applyMinToMarket": True}
    (info,) = [row for row in sdk.futures_exchange_info()["symbols"] if row["symbol"] == "BTCUSDT"]
    assert (info["pricePrecision"], info["quantityPrecision"]) == (2, 3), "a precision is no grid"
    assert info["filters"][0]["tickSize"] == "0.10"
    assert {"filterType": "MIN_NOTIONAL", "notional": "100"} in info["filters"]
    assert sdk.get_system_status()["status"] == 0


def test_balances_of_both_wallets(sdk: Any, control: Control):
    account = sdk.get_account(omitZeroBalances="true")
    assert account["balances"] == [{"asset": "USDT", "free": "100000.00000000", "locked": "0.00000000"}]
    assert {row["asset"] for row in sdk.get_account()["balances"]} >= {"BTC", "ETH", "USDT", "BNB"}
    futures = {row["asset"]: row for row in sdk.futures_account_balance()}
    assert (futures["USDT"]["balance"], futures["BNB"]["balance"]) == ("100000.00000000", "0.00000000")
    control.deposit("main", "USDT@futures", "5")
    control.withdraw("main", "USDT", "7")
    assert sdk.futures_account(version=3)["totalWalletBalance"] == "100005.00000000"
    assert sdk.get_account(omitZeroBalances="true")["balances"][0]["free"] == "99993.00000000"


def test_spot_market_order_fills_and_every_read_agrees(sdk: Any, control: Control):
    placed = sdk.create_order(
        symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01", newClientOrderId="m-1", recvWindow=5000
    )
    (truth,) = control.orders("main")
    (execution,) = control.executions("main")
    assert (placed["orderId"], placed["status"]) == (int(truth.order_id), "FILLED")
    (fill,) = placed["fills"]
    assert (fill["commission"], fill["commissionAsset"]) == ("0.00001000", "BTC"), "bought coins pay the fee"
    assert Decimal(placed["cummulativeQuoteQty"]) == truth.filled_value == execution.value
    for row in (
        sdk.get_order(symbol="BTCUSDT", origClientOrderId="m-1"),
        sdk.get_all_orders(symbol="BTCUSDT")[0],
    ):
        assert (row["orderId"], row["clientOrderId"], row["status"]) == (placed["orderId"], "m-1", "FILLED")
        assert (row["price"], row["executedQty"]) == ("0.00000000", "0.01000000")
    (trade,) = sdk.get_my_trades(symbol="BTCUSDT")
    assert (trade["id"], trade["isBuyer"], trade["isMaker"]) == (int(execution.execution_id), True, False)
    assert {"clientOrderId", "side"} & set(trade) == set()
    wallets = {row["asset"]: Decimal(row["free"]) for row in sdk.get_account(omitZeroBalances="true")["balances"]}
    assert wallets == {coin: amount for coin, amount in control.wallets("main").items() if "@" not in coin}


def test_spot_limit_order_rests_is_found_and_cancelled(sdk: Any, control: Control):
    placed = sdk.order_limit_buy(symbol="BTCUSDT", quantity="0.1", price="50000.00", newClientOrderId="l-1")
    assert (placed["status"], placed["fills"]) == ("NEW", [])
    (row,) = sdk.get_open_orders(symbol="BTCUSDT")
    assert (row["isWorking"], row["timeInForce"], row["type"]) == (True, "GTC", "LIMIT")
    balance = sdk.get_account(omitZeroBalances="true")["balances"][0]
    assert (balance["free"], balance["locked"]) == ("95000.00000000", "5000.00000000")
    gone = sdk.cancel_order(symbol="BTCUSDT", origClientOrderId="l-1")
    assert (gone["status"], gone["origClientOrderId"]) == ("CANCELED", "l-1")
    assert len(gone["clientOrderId"]) == 22, "the cancel has an id of its own"
    assert sdk.get_open_orders() == []
    assert sdk.get_order(symbol="BTCUSDT", orderId=placed["orderId"])["clientOrderId"] == "l-1"
    with pytest.raises(BinanceAPIException) as caught:
        sdk.cancel_order(symbol="BTCUSDT", origClientOrderId="l-1")
    assert (caught.value.code, caught.value.status_code) == (-2011, 400)


def test_an_id_lives_only_as_long_as_its_order(sdk: Any, control: Control):
    """Sheet §4: a market order that is sent again under the same id is executed again."""
    for _ in range(2):
        sdk.create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01", newClientOrderId="same")
        sdk.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01", newClientOrderId="same")
    assert len(control.executions("main")) == 4
    latest = control.orders("main")[2].order_id
    assert sdk.get_order(symbol="BTCUSDT", origClientOrderId="same")["orderId"] == int(latest)
    sdk.order_limit_buy(symbol="BTCUSDT", quantity="0.1", price="50000", newClientOrderId="open")
    with pytest.raises(BinanceAPIException) as caught:
        sdk.create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01", newClientOrderId="open")
    assert (caught.value.code, caught.value.message) == (-2010, "Duplicate order sent.")


def test_the_sdk_invents_ids_and_the_venue_does_not_know_them_again(sdk: Any, control: Control):
    first = sdk.create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
    second = sdk.create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
    assert first["clientOrderId"].startswith("x-HNA2TXFJ")
    assert first["clientOrderId"] != second["clientOrderId"]


def test_futures_acknowledgement_hides_the_fill(sdk: Any):
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    placed = sdk.futures_create_order(**order, newClientOrderId="ack")
    assert (placed["status"], placed["executedQty"], placed["avgPrice"]) == ("NEW", "0.000", "0.00")
    row = sdk.futures_get_order(symbol="BTCUSDT", origClientOrderId="ack")
    assert (row["status"], row["executedQty"], row["avgPrice"], row["price"]) == ("FILLED", "0.010", "60006.00000", "0")
    final = sdk.futures_create_order(**order, newOrderRespType="RESULT")
    assert (final["status"], final["cumQuote"]) == ("FILLED", "600.06000")


def test_futures_position_fills_and_income_agree(sdk: Any, control: Control):
    order = {"symbol": "BTCUSDT", "type": "MARKET", "newOrderRespType": "RESULT"}
    sdk.futures_create_order(side="BUY", quantity="0.02", **order)
    control.set_price("BTCUSDT", 61_000)
    sdk.futures_create_order(side="SELL", quantity="0.01", reduceOnly="true", **order)
    (position,) = sdk.futures_position_information()
    assert (position["positionAmt"], position["entryPrice"], position["positionSide"]) == ("0.010", "60006", "BOTH")
    assert "leverage" not in position and "marginType" not in position
    bought, sold = sdk.futures_account_trades(symbol="BTCUSDT")
    assert (bought["side"], bought["realizedPnl"], bought["commission"]) == ("BUY", "0", "0.60006000")
    assert (sold["price"], sold["realizedPnl"]) == ("60993.90", "9.87900000")
    income = sdk.futures_income_history()
    assert [row["incomeType"] for row in income] == ["TRANSFER", "COMMISSION", "REALIZED_PNL", "COMMISSION"]
    wallet = control.wallets("main")["USDT@futures"]
    assert sum(Decimal(row["income"]) for row in income) == wallet
    assert Decimal(sdk.futures_account(version=3)["assets"][0]["walletBalance"]) == wallet
    held = {row["symbol"]: row for row in sdk.futures_position_information(version=2)}
    assert (held["BTCUSDT"]["leverage"], held["BTCUSDT"]["marginType"]) == ("20", "cross")
    assert (held["ETHUSDT"]["positionAmt"], held["ETHUSDT"]["entryPrice"]) == ("0.000", "0.0")


def test_futures_limit_order_is_cancelled_under_its_own_id(sdk: Any):
    sdk.futures_create_order(
        symbol="BTCUSDT", side="SELL", type="LIMIT", timeInForce="GTC", price="61000", quantity="0.2",
        newClientOrderId="l-1",
    )  # fmt: skip
    (row,) = sdk.futures_get_open_orders(symbol="BTCUSDT")
    assert (row["price"], row["avgPrice"], row["origQty"]) == ("61000.00", "0.00000", "0.200")
    gone = sdk.futures_cancel_order(symbol="BTCUSDT", origClientOrderId="l-1")
    assert (gone["status"], gone["clientOrderId"]) == ("CANCELED", "l-1")
    assert sdk.futures_get_order(symbol="BTCUSDT", origClientOrderId="l-1")["status"] == "CANCELED"


def test_leverage_margin_type_and_mode(sdk: Any):
    for _ in range(2):
        changed = sdk.futures_change_leverage(symbol="BTCUSDT", leverage=21)
        assert changed == {"leverage": 21, "maxNotionalValue": "50000000", "symbol": "BTCUSDT"}
    sdk.futures_change_margin_type(symbol="BTCUSDT", marginType="ISOLATED")
    (config,) = sdk.futures_symbol_config(symbol="BTCUSDT")
    assert (config["leverage"], config["marginType"]) == (21, "ISOLATED")
    with pytest.raises(BinanceAPIException, match="-4046"):
        sdk.futures_change_margin_type(symbol="BTCUSDT", marginType="ISOLATED")
    with pytest.raises(BinanceAPIException, match="-4059"):
        sdk.futures_change_position_mode(dualSidePosition="false")
    assert sdk.futures_change_position_mode(dualSidePosition=True) == {"code": 200, "msg": "success"}
    assert sdk.futures_get_position_mode() == {"dualSidePosition": True}


def test_conditional_orders_go_to_the_algo_routes(sdk: Any, control: Control):
    sdk.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
    stop = sdk.futures_create_order(
        symbol="BTCUSDT", side="SELL", type="STOP_MARKET", quantity="0.01", stopPrice="59000", reduceOnly="true"
    )
    assert (stop["algoStatus"], stop["triggerPrice"]) == ("NEW", "59000.00")
    assert sdk.futures_get_open_orders() == []
    (waiting,) = sdk.futures_get_open_orders(conditional=True)
    assert waiting["algoId"] == stop["algoId"]
    control.set_price("BTCUSDT", 58_900)
    done = sdk.futures_get_order(symbol="BTCUSDT", algoId=stop["algoId"])
    assert (done["algoStatus"], done["actualType"], done["actualQty"]) == ("FINISHED", "MARKET", "0.010")
    made = sdk.futures_get_order(symbol="BTCUSDT", orderId=int(done["actualOrderId"]))
    assert (made["status"], made["type"], made["origType"]) == ("FILLED", "MARKET", "STOP_MARKET")
    assert control.positions("main") == []


def test_skew_is_refused_until_the_offset_is_set(sdk: Any, control: Control):
    control.set_skew(-3_000)
    with pytest.raises(BinanceAPIException) as caught:
        sdk.get_account()
    assert (caught.value.code, caught.value.status_code) == (-1021, 400)
    assert "1000ms ahead" in caught.value.message
    sdk.timestamp_offset = -3_000
    assert sdk.get_account()["canTrade"]


@pytest.mark.parametrize("name", ["a/b:c.d", "a|b", "a b"])
def test_ids_that_need_encoding_break_the_signature(sdk: Any, control: Control, name: str):
    """Sheet §2: the SDK signs raw values and sends encoded ones."""
    with pytest.raises(BinanceAPIException) as caught:
        sdk.create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01", newClientOrderId=name)
    assert caught.value.code == -1022
    assert control.orders("main") == []


def test_floats_arrive_in_exponent_form(sdk: Any):
    with pytest.raises(BinanceAPIException) as caught:
        sdk.create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.00001)
    assert caught.value.code == -1100
    assert "'quantity'" in caught.value.message
