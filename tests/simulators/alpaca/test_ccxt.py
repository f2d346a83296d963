"""ccxt, unmodified but for its hosts, on the simulator: crypto only, as ccxt knows Alpaca."""

from collections.abc import Iterator

import ccxt
import pytest

from simulators import AlpacaControl, Running


@pytest.fixture
def exchange(sim: Running[AlpacaControl]) -> Iterator[ccxt.alpaca]:
    client = ccxt.alpaca({"apiKey": "second-key", "secret": "second-secret", "enableRateLimit": False})
    client.urls["api"] = dict.fromkeys(client.urls["api"], sim.url)
    yield client
    client.session.close()


def test_markets_prices_and_balance(exchange: ccxt.alpaca):
    market = exchange.load_markets()["BTC/USD"]
    assert (market["precision"]["price"], market["limits"]["amount"]["min"]) == (0.01, 0.000016617)
    ticker = exchange.fetch_ticker("BTC/USD")
    assert (ticker["bid"], ticker["ask"], ticker["last"]) == (59994, 60006, 60000)
    assert exchange.fetch_order_book("BTC/USD")["asks"][0][0] == 60006
    assert exchange.fetch_balance()["USD"]["total"] == 100_000
    assert abs(exchange.fetch_time() - exchange.milliseconds()) < 60_000


def test_orders_and_trades(exchange: ccxt.alpaca, control: AlpacaControl):
    bought = exchange.create_order("BTC/USD", "market", "buy", 0.5)
    order = exchange.fetch_order(bought["id"])
    assert (order["status"], order["filled"], order["average"]) == ("closed", 0.5, 60006)
    (trade,) = exchange.fetch_my_trades("BTC/USD")
    assert (trade["order"], trade["price"], trade["amount"], trade["side"]) == (bought["id"], 60006, 0.5, "buy")
    balance = exchange.fetch_balance()
    assert (balance["BTC"]["total"], balance["BTC"]["free"]) == (0.5, 0.49875), "a fee is owed"
    resting = exchange.create_order("BTC/USD", "limit", "buy", 0.1, 50_000, {"clientOrderId": "ccxt-1"})
    (found,) = exchange.fetch_open_orders("BTC/USD")
    assert (found["id"], found["clientOrderId"], found["status"]) == (resting["id"], "ccxt-1", "open")
    edited = exchange.edit_order(resting["id"], "BTC/USD", "limit", "buy", 0.2, 51_000)
    assert edited["id"] != resting["id"]
    exchange.cancel_order(edited["id"])
    assert exchange.fetch_order(edited["id"])["status"] == "canceled"
    assert exchange.fetch_open_orders() == []
    assert len(control.orders("second")) == 3


def test_errors_are_the_ones_that_it_knows(exchange: ccxt.alpaca):
    exchange.load_markets()
    with pytest.raises(ccxt.InsufficientFunds):
        exchange.create_order("BTC/USD", "market", "sell", 1)
    exchange.create_order("BTC/USD", "limit", "buy", 0.1, 50_000, {"clientOrderId": "twice"})
    with pytest.raises(ccxt.BadRequest, match="must be unique"):
        exchange.create_order("BTC/USD", "limit", "buy", 0.1, 50_000, {"clientOrderId": "twice"})
    with pytest.raises(ccxt.InvalidOrder):
        exchange.fetch_order("61e69015-8549-4bfd-b9c3-01e75843f47d")
    exchange.secret = "wrong"
    with pytest.raises(ccxt.PermissionDenied):
        exchange.fetch_balance()
