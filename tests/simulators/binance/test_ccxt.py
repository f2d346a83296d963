"""A second independent client, ccxt, drives both products unmodified and agrees with the simulator's truth."""

import ccxt
import pytest

from simulators import Control
from tests.simulators.binance.conftest import exact

BTC, PERPETUAL = "BTC/USDT", "BTC/USDT:USDT"


def test_spot_markets_balance_order_and_fills(spot_exchange: ccxt.binance, control: Control):
    market = spot_exchange.load_markets()[BTC]
    assert (market["precision"]["amount"], market["precision"]["price"]) == (0.00001, 0.01)
    assert (market["limits"]["cost"]["min"], market["limits"]["market"]["max"]) == (5, 120)
    order = spot_exchange.create_order(BTC, "market", "buy", 0.01, params={"clientOrderId": "c-1"})
    (execution,) = control.executions("second")
    assert (order["status"], order["clientOrderId"], exact(order["average"])) == ("closed", "c-1", execution.price)
    (trade,) = spot_exchange.fetch_my_trades(BTC)
    assert (trade["id"], exact(trade["fee"]["cost"]), trade["fee"]["currency"]) == (
        execution.execution_id,
        execution.fee,
        "BTC",
    )
    resting = spot_exchange.create_order(BTC, "limit", "sell", 0.005, 61_000)
    (row,) = spot_exchange.fetch_open_orders(BTC)
    assert (row["id"], row["status"], row["remaining"]) == (resting["id"], "open", 0.005)
    assert exact(spot_exchange.fetch_balance()["BTC"]["used"]) == exact(0.005)
    spot_exchange.cancel_order(resting["id"], BTC)
    assert spot_exchange.fetch_order(resting["id"], BTC)["status"] == "canceled"
    with pytest.raises(ccxt.OrderNotFound):
        spot_exchange.cancel_order(resting["id"], BTC)
    balance = spot_exchange.fetch_balance()
    assert {coin: exact(balance[coin]["total"]) for coin in ("BTC", "USDT")} == {
        coin: amount for coin, amount in control.wallets("second").items() if "@" not in coin
    }


def test_quotes(spot_exchange: ccxt.binance, futures_exchange: ccxt.binance, control: Control):
    for exchange, symbol, kind in ((spot_exchange, BTC, "spot"), (futures_exchange, PERPETUAL, "linear")):
        quote = control.quote("BTCUSDT", kind)
        (row,) = exchange.fetch_bids_asks([symbol]).values() if kind == "spot" else [exchange.fetch_order_book(symbol)]
        best = (row["bid"], row["ask"]) if kind == "spot" else (row["bids"][0][0], row["asks"][0][0])
        assert (exact(best[0]), exact(best[1])) == (quote.bid, quote.ask)
        assert exact(exchange.fetch_ticker(symbol)["last"]) == quote.last


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((BTC, "limit", "buy", 100, 40_000), ccxt.InsufficientFunds),
        ((BTC, "limit", "buy", 0.0001, 40_000), ccxt.BadRequest),
        ((BTC, "market", "buy", 121), ccxt.InvalidOrder),
    ],
)
def test_spot_refusals_are_understood(spot_exchange: ccxt.binance, arguments: tuple, error: type[Exception]):
    with pytest.raises(error):
        spot_exchange.create_order(*arguments)


def test_post_only(spot_exchange: ccxt.binance, futures_exchange: ccxt.binance):
    for exchange, symbol, error in (
        (spot_exchange, BTC, ccxt.OrderImmediatelyFillable),
        (futures_exchange, PERPETUAL, ccxt.InvalidOrder),
    ):
        with pytest.raises(error):
            exchange.create_order(symbol, "limit", "buy", 0.01, 60_100, {"postOnly": True})
        assert exchange.create_order(symbol, "limit", "buy", 0.01, 59_000, {"postOnly": True})["postOnly"]


def test_futures_position_fills_and_ledger_agree(futures_exchange: ccxt.binance, control: Control):
    order = futures_exchange.create_order(PERPETUAL, "market", "buy", 0.01)
    (execution,) = control.executions("second")
    assert (order["status"], exact(order["average"])) == ("closed", execution.price)
    (position,) = futures_exchange.fetch_positions()
    assert (position["side"], position["contracts"], position["marginMode"]) == ("long", 0.01, "cross")
    assert exact(position["entryPrice"]) == execution.price
    (trade,) = futures_exchange.fetch_my_trades(PERPETUAL)
    assert (trade["side"], exact(trade["fee"]["cost"])) == ("buy", execution.fee)
    wallet = control.wallets("second")["USDT@futures"]
    entries = futures_exchange.fetch_ledger("USDT")
    signs = {"in": 1, "out": -1}
    assert sum(signs[entry["direction"]] * exact(entry["amount"]) for entry in entries) == wallet
    assert exact(futures_exchange.fetch_balance()["USDT"]["total"]) <= wallet
    futures_exchange.create_order(PERPETUAL, "market", "sell", 0.01, params={"reduceOnly": True})
    assert futures_exchange.fetch_positions() == []


def test_futures_settings_and_hedge_mode(futures_exchange: ccxt.binance, control: Control):
    futures_exchange.set_leverage(5, PERPETUAL)
    assert futures_exchange.fetch_leverage(PERPETUAL)["longLeverage"] == 5
    futures_exchange.set_margin_mode("isolated", PERPETUAL)
    assert futures_exchange.fetch_leverage(PERPETUAL)["marginMode"] == "isolated"
    futures_exchange.set_position_mode(True)
    assert futures_exchange.fetch_position_mode()["hedged"]
    futures_exchange.create_order(PERPETUAL, "market", "buy", 0.02, params={"hedged": True})
    futures_exchange.create_order(PERPETUAL, "market", "sell", 0.01, params={"hedged": True})
    held = {(row["side"], row["contracts"]) for row in futures_exchange.fetch_positions([PERPETUAL])}
    assert held == {("long", 0.02), ("short", 0.01)}
    assert len(control.positions("second")) == 2


def test_futures_stop_order(futures_exchange: ccxt.binance, control: Control):
    futures_exchange.create_order(PERPETUAL, "market", "buy", 0.01)
    stop = futures_exchange.create_order(
        PERPETUAL, "market", "sell", 0.01, params={"stopLossPrice": 59_000, "reduceOnly": True}
    )
    (waiting,) = futures_exchange.fetch_open_orders(PERPETUAL, params={"trigger": True})
    assert (waiting["id"], waiting["triggerPrice"]) == (stop["id"], 59_000)
    control.set_price("BTCUSDT", 58_900)
    assert futures_exchange.fetch_positions() == []


def test_futures_insufficient_margin(futures_exchange: ccxt.binance):
    """ccxt tells futures' errors by their https host, so that on loopback it knows no better than this."""
    with pytest.raises(ccxt.ExchangeError, match="-2019"):
        futures_exchange.create_order(PERPETUAL, "market", "buy", 100)
