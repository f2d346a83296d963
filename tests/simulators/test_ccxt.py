"""A second independent client, ccxt, drives the simulator unmodified and agrees with its truth."""

from decimal import Decimal

import ccxt
import pytest

from simulators import Control

AAPL = "AAPL/USDT:USDT"


def exact(value: float | None) -> Decimal:
    """ccxt answers in binary floats; their shortest form is what the venue sent."""
    return Decimal(repr(value))


def test_markets_are_read_with_their_grids(exchange: ccxt.bybit):
    markets = exchange.load_markets()
    assert {"BTC/USDT", "BTC/USDT:USDT", AAPL} <= set(markets)
    assert markets[AAPL]["precision"] == {**markets[AAPL]["precision"], "amount": 0.01, "price": 0.01}
    assert markets["BTC/USDT"]["spot"]
    assert markets[AAPL]["limits"]["leverage"]["max"] == 25


def test_balance_position_fills_and_ledger_agree(exchange: ccxt.bybit, control: Control):
    order = exchange.create_order(AAPL, "market", "buy", 10, params={"clientOrderId": "c-1"})
    found = exchange.fetch_closed_order(order["id"], AAPL)
    (execution,) = control.executions("second")
    assert (found["status"], found["clientOrderId"]) == ("closed", "c-1")
    assert exact(found["average"]) == execution.price
    (trade,) = exchange.fetch_my_trades(AAPL)
    assert (trade["id"], exact(trade["fee"]["cost"])) == (execution.execution_id, execution.fee)
    (position,) = exchange.fetch_positions()
    assert (position["side"], position["contracts"]) == ("long", 10)
    assert exact(position["entryPrice"]) == execution.price
    assert exact(exchange.fetch_balance()["USDT"]["total"]) == control.wallets("second")["USDT"]
    entries = exchange.fetch_ledger("USDT")
    assert [exact(entry["after"]) for entry in entries][-1] == control.wallets("second")["USDT"]


def test_limit_order_open_query_cancel(exchange: ccxt.bybit, control: Control):
    order = exchange.create_order(AAPL, "limit", "sell", 3, 205)
    (row,) = exchange.fetch_open_orders(AAPL)
    assert (row["id"], row["status"], row["price"], row["remaining"]) == (order["id"], "open", 205, 3)
    exchange.cancel_order(order["id"], AAPL)
    assert exchange.fetch_open_orders(AAPL) == []
    (cancelled,) = exchange.fetch_canceled_orders(AAPL)
    assert cancelled["id"] == control.orders("second")[0].order_id
    with pytest.raises(ccxt.OrderNotFound):
        exchange.cancel_order(order["id"], AAPL)


def test_leverage_and_hedge_mode(exchange: ccxt.bybit, control: Control):
    exchange.set_leverage(5, AAPL)
    assert exchange.fetch_leverage(AAPL)["longLeverage"] == 5
    exchange.set_position_mode(True, AAPL)
    exchange.create_order(AAPL, "market", "buy", 2, params={"hedged": True})
    exchange.create_order(AAPL, "market", "sell", 1, params={"hedged": True})
    held = {(p["side"], p["contracts"]) for p in exchange.fetch_positions([AAPL])}
    assert len(control.positions("second")) == 2
    assert ("long", 2) in held


def test_spot(exchange: ccxt.bybit, control: Control):
    exchange.create_order("BTC/USDT", "market", "buy", 0.01)
    assert exact(exchange.fetch_balance()["BTC"]["total"]) == control.wallets("second")["BTC"] == Decimal("0.00999")
    resting = exchange.create_order("BTC/USDT", "limit", "sell", 0.005, 61_000)
    assert exchange.fetch_open_order(resting["id"], "BTC/USDT")["status"] == "open"
    assert exact(exchange.fetch_balance()["BTC"]["used"]) == Decimal("0.005")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((AAPL, "market", "buy", 90_000), ccxt.BadRequest),
        ((AAPL, "market", "buy", 49_000), ccxt.InsufficientFunds),
        (("BTC/USDT", "limit", "sell", 1, 61_000), ccxt.InsufficientFunds),
    ],
)
def test_refusals_are_understood(exchange: ccxt.bybit, arguments: tuple, error: type[Exception]):
    with pytest.raises(error):
        exchange.create_order(*arguments)


def test_stop_order(exchange: ccxt.bybit, control: Control):
    exchange.create_order(AAPL, "market", "buy", 4)
    exchange.create_order(
        AAPL, "market", "sell", 4, params={"triggerPrice": 190, "triggerDirection": "descending", "reduceOnly": True}
    )
    assert control.orders("second")[-1].status.value == "untriggered"
    control.set_price("AAPLUSDT", 189)
    assert exchange.fetch_positions() == []
    assert control.positions("second") == []
