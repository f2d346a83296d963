"""A second independent client, ccxt, drives the simulator unmodified and agrees with its truth."""

from decimal import Decimal
from typing import Any

import ccxt
import pytest

from simulators import OKXControl

SWAP, PAIR = "BTC/USDT:USDT", "BTC/USDT"


def exact(value: float | None) -> Decimal:
    """ccxt answers in binary floats; their shortest form is what the venue sent."""
    return Decimal(repr(value))


def test_markets_are_read_with_their_grids_and_contract_sizes(exchange: ccxt.okx):
    markets = exchange.load_markets()
    assert set(markets) == {PAIR, SWAP, "ETH/USDT", "ETH/USDT:USDT"}
    assert (markets[SWAP]["contractSize"], markets["ETH/USDT:USDT"]["contractSize"]) == (0.01, 0.1)
    assert markets[SWAP]["precision"]["amount"] == markets[SWAP]["limits"]["amount"]["min"] == 0.01
    assert markets[SWAP]["limits"]["leverage"]["max"] == 100
    assert (markets[PAIR]["spot"], markets[PAIR]["margin"]) == (True, False)
    ticker = exchange.fetch_ticker(SWAP)
    assert (ticker["bid"], ticker["ask"]) == (59994, 60006)


def test_balance_position_fills_and_ledger_agree(exchange: ccxt.okx, control: OKXControl):
    order = exchange.create_order(SWAP, "market", "buy", 1.5, params={"clientOrderId": "c1"})
    found = exchange.fetch_order(order["id"], SWAP)
    (execution,) = control.executions("second")
    assert (found["status"], found["clientOrderId"], found["filled"]) == ("closed", "c1", 1.5)
    assert exact(found["average"]) == execution.price
    (trade,) = exchange.fetch_my_trades(SWAP)
    assert (trade["id"], exact(trade["fee"]["cost"])) == (execution.execution_id, execution.fee)
    (position,) = exchange.fetch_positions()
    assert (position["side"], position["contracts"], position["contractSize"]) == ("long", 1.5, 0.01)
    assert exact(position["entryPrice"]) == execution.price
    assert position["notional"] == 900
    assert exact(exchange.fetch_balance()["USDT"]["total"]) == Decimal("99999.459955"), "ccxt counts unrealised in"
    entries = exchange.fetch_ledger("USDT", params={"instType": "SWAP"})
    assert [exact(entry["after"]) for entry in entries][-1] == control.wallets("second")["USDT"]


def test_limit_order_open_query_cancel(exchange: ccxt.okx, control: OKXControl):
    order = exchange.create_order(SWAP, "limit", "sell", 3, 61000)
    (row,) = exchange.fetch_open_orders(SWAP)
    assert (row["id"], row["status"], row["price"], row["remaining"]) == (order["id"], "open", 61000, 3)
    assert row["clientOrderId"].startswith("6b9ad766b55dBCDE"), "ccxt sends an id of its own, 32 characters long"
    exchange.cancel_order(order["id"], SWAP)
    assert exchange.fetch_open_orders(SWAP) == []
    (cancelled,) = exchange.fetch_canceled_orders(SWAP)
    assert cancelled["id"] == control.orders("second")[0].order_id
    with pytest.raises(ccxt.OrderNotFound):
        exchange.cancel_order(order["id"], SWAP)


def test_leverage_and_long_short_mode(exchange: ccxt.okx, control: OKXControl):
    exchange.set_leverage(5, SWAP)
    assert exchange.fetch_leverage(SWAP)["longLeverage"] == 5
    exchange.set_position_mode(True)
    assert exchange.fetch_position_mode()["hedged"]
    exchange.create_order(SWAP, "market", "buy", 2, params={"hedged": True})
    exchange.create_order(SWAP, "market", "sell", 1, params={"hedged": True})
    assert {(p["side"], p["contracts"], p["hedged"]) for p in exchange.fetch_positions([SWAP])} == {
        ("long", 2, True),
        ("short", 1, True),
    }
    exchange.create_order(SWAP, "market", "sell", 2, params={"hedged": True, "reduceOnly": True})
    assert [p.qty for p in control.positions("second")] == [1]
    exchange.close_position(SWAP, "short")
    assert control.positions("second") == []
    past = exchange.fetch_positions_history([SWAP])
    assert {(p["side"], exact(p["realizedPnl"])) for p in past} == {
        ("long", 2 * Decimal("0.01") * (-12 - (60_006 + 59_994) * Decimal("0.0005"))),
        ("short", 1 * Decimal("0.01") * (-12 - (60_006 + 59_994) * Decimal("0.0005"))),
    }


def test_spot(exchange: ccxt.okx, control: OKXControl):
    exchange.create_order(PAIR, "market", "buy", 0.01)
    assert exact(exchange.fetch_balance()["BTC"]["total"]) == control.wallets("second")["BTC"] == Decimal("0.00999")
    resting = exchange.create_order(PAIR, "limit", "sell", 0.005, 61_000)
    assert exchange.fetch_order(resting["id"], PAIR)["status"] == "open"
    assert exact(exchange.fetch_balance()["BTC"]["used"]) == Decimal("0.005")
    edited = exchange.edit_order(resting["id"], PAIR, "limit", "sell", 0.004, 61_500)
    assert (edited["id"], control.orders("second")[-1].price) == (resting["id"], 61_500)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((SWAP, "market", "buy", 13_000), ccxt.InvalidOrder),
        ((SWAP, "market", "buy", 11_000), ccxt.InsufficientFunds),
        ((PAIR, "limit", "sell", 1, 61_000), ccxt.InsufficientFunds),
        ((PAIR, "limit", "buy", 1, 66_000), ccxt.InvalidOrder),
        ((SWAP, "limit", "sell", 1, 61_000, {"reduceOnly": True}), ccxt.ExchangeError),
    ],
)
def test_refusals_are_understood(exchange: ccxt.okx, arguments: tuple[Any, ...], error: type[Exception]):
    with pytest.raises(error):
        exchange.create_order(*arguments)


def test_sandbox_mode_sends_the_demo_header(exchange: ccxt.okx, control: OKXControl):
    exchange.apiKey, exchange.secret, exchange.password = ("demo-only", "demo-only-secret", "demo-only-passphrase")
    with pytest.raises(ccxt.AuthenticationError, match="50101"):
        exchange.fetch_accounts()
    exchange.headers = {"x-simulated-trading": "1"}
    assert exchange.fetch_accounts()[0]["id"] == str(control.accounts()[0]["uid"])
