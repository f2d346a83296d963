"""alpaca-py, unmodified, on the simulator: every call that a trader needs, and what its own retries do."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.historical import CryptoHistoricalDataClient, StockHistoricalDataClient
from alpaca.data.requests import (
    CryptoLatestQuoteRequest,
    CryptoLatestTradeRequest,
    CryptoSnapshotRequest,
    StockLatestQuoteRequest,
    StockLatestTradeRequest,
    StockSnapshotRequest,
)
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetClass, OrderSide, OrderStatus, PositionSide, QueryOrderStatus, TimeInForce
from alpaca.trading.models import AccountConfiguration
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetAssetsRequest,
    GetCalendarRequest,
    GetOrderByIdRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLimitOrderRequest,
    StopOrderRequest,
)

from simulators import AlpacaControl, Running

BUY, SELL, DAY, GTC = OrderSide.BUY, OrderSide.SELL, TimeInForce.DAY, TimeInForce.GTC


@pytest.fixture
def client(sim: Running[AlpacaControl]) -> Iterator[TradingClient]:
    made = TradingClient("main-key", "main-secret", paper=True, url_override=sim.url)
    made._session.trust_env = False
    made._retry_wait = 0  # it waits three seconds before each repetition
    yield made
    made._session.close()


def market(symbol: str = "AAPL", qty: float = 10, side: OrderSide = BUY, **fields: Any) -> MarketOrderRequest:
    return MarketOrderRequest(symbol=symbol, qty=qty, side=side, time_in_force=DAY, **fields)


def limit(price: float, **fields: Any) -> LimitOrderRequest:
    return LimitOrderRequest(
        **{"symbol": "AAPL", "qty": 5, "side": BUY, "time_in_force": GTC, "limit_price": price, **fields}
    )


def test_orders_of_every_type(client: TradingClient, control: AlpacaControl):
    placed = client.submit_order(market(client_order_id="sdk-1"))
    assert placed.status is OrderStatus.PENDING_NEW
    found = client.get_order_by_client_id("sdk-1")
    assert (found.status, found.filled_avg_price, found.filled_qty) == (OrderStatus.FILLED, "200.02", "10")
    assert client.get_order_by_id(placed.id, GetOrderByIdRequest(nested=True)).client_order_id == "sdk-1"
    resting = client.submit_order(limit(390, symbol="MSFT"))
    stop = client.submit_order(StopOrderRequest(symbol="AAPL", qty=5, side=SELL, time_in_force=GTC, stop_price=150))
    stop_limit = client.submit_order(
        StopLimitOrderRequest(symbol="MSFT", qty=5, side=BUY, time_in_force=GTC, stop_price=410, limit_price=412)
    )
    everything = GetOrdersRequest(status=QueryOrderStatus.ALL, limit=500, nested=True)
    assert {one.id for one in client.get_orders(everything)} == {placed.id, resting.id, stop.id, stop_limit.id}
    client.cancel_order_by_id(stop.id)
    replaced = client.replace_order_by_id(resting.id, ReplaceOrderRequest(qty=4, limit_price=389.5))
    assert (replaced.replaces, replaced.qty, replaced.limit_price) == (resting.id, "4", "389.5")
    assert {row.status for row in client.cancel_orders()} == {200}
    assert client.get_orders() == []
    assert len(control.orders("main")) == 5


def test_account_assets_clock_and_calendar(client: TradingClient):
    account = client.get_account()
    assert (account.cash, account.buying_power, account.pattern_day_trader) == ("100000", "400000", None)
    coins = client.get_all_assets(GetAssetsRequest(asset_class=AssetClass.CRYPTO))
    assert [(one.symbol, one.price_increment) for one in coins] == [("BTC/USD", 0.01)]
    assert client.get_asset(coins[0].id).symbol == client.get_asset("BTCUSD").symbol == "BTC/USD"
    assert client.get_clock().is_open is True
    days = client.get_calendar(GetCalendarRequest(start=date(2026, 3, 2), end=date(2026, 3, 3)))
    assert [(day.date, day.open.hour, day.close.hour) for day in days] == [
        (date(2026, 3, 2), 9, 16),
        (date(2026, 3, 3), 9, 16),
    ]
    configuration = client.get_account_configurations()
    assert isinstance(configuration, AccountConfiguration)
    changed = client.set_account_configurations(configuration.model_copy(update={"no_shorting": True}))
    assert changed.no_shorting is True


def test_positions_and_closing(client: TradingClient, control: AlpacaControl):
    client.submit_order(market())
    client.submit_order(market("MSFT", 3, SELL))
    client.submit_order(MarketOrderRequest(symbol="BTC/USD", notional=600, side=BUY, time_in_force=GTC))
    held = {one.symbol: one for one in client.get_all_positions()}
    assert {name: (one.side, one.qty) for name, one in held.items()} == {
        "AAPL": (PositionSide.LONG, "10"),
        "MSFT": (PositionSide.SHORT, "-3"),
        "BTCUSD": (PositionSide.LONG, "0.009999"),
    }
    assert client.get_open_position("AAPL").avg_entry_price == "200.02"
    client.close_position("AAPL", ClosePositionRequest(qty="4"))
    assert client.get_open_position("AAPL").qty == "6"
    closed = client.close_all_positions(cancel_orders=True)
    assert {row.symbol: row.status for row in closed} == {"AAPL": 200, "MSFT": 200, "BTCUSD": 200}
    assert control.positions("main") == []


def test_activities(client: TradingClient, control: AlpacaControl):
    client.submit_order(market())
    (fill,) = client.get("/account/activities/FILL", {"page_size": 100, "direction": "desc"})
    (truth,) = control.executions("main")
    assert (Decimal(fill["price"]), Decimal(fill["qty"])) == (truth.price, truth.qty)
    assert client.get("/account/activities/FILL", {"page_token": fill["id"]}) == []


def test_market_data(sim: Running[AlpacaControl]):
    stocks = StockHistoricalDataClient("main-key", "main-secret", url_override=sim.url)
    coins = CryptoHistoricalDataClient(url_override=sim.url)
    stocks._session.trust_env = coins._session.trust_env = False
    both = stocks.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=["AAPL", "MSFT"]))
    assert (both["AAPL"].bid_price, both["MSFT"].ask_price) == (199.98, 400.04)
    assert stocks.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="AAPL"))["AAPL"].price == 200
    snapshot = stocks.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols="AAPL"))["AAPL"]
    assert (snapshot.latest_quote.ask_price, snapshot.previous_daily_bar.close) == (200.02, 200)
    name = "BTC/USD"
    assert coins.get_crypto_latest_quote(CryptoLatestQuoteRequest(symbol_or_symbols=name))[name].ask_price == 60006
    assert coins.get_crypto_latest_trade(CryptoLatestTradeRequest(symbol_or_symbols=name))[name].price == 60000
    assert coins.get_crypto_snapshot(CryptoSnapshotRequest(symbol_or_symbols=name))[name].daily_bar.close == 60000
    stocks._session.close()
    coins._session.close()


# traps
def test_its_own_retry_makes_two_orders_of_one(client: TradingClient, control: AlpacaControl):
    control.fault("status", path="/v2/orders", method="POST", status=504, execute=True)
    seen = client.submit_order(market())
    first, second = control.orders("main")
    assert isinstance(seen.id, UUID)
    assert str(seen.id) == second.order_id
    assert first.filled_qty == second.filled_qty == 10
    assert control.positions("main")[0].qty == 20, "the caller believes in ten"


def test_with_a_client_id_its_retry_reports_the_failure_of_an_order_that_exists(
    client: TradingClient, control: AlpacaControl
):
    control.fault("status", path="/v2/orders", method="POST", status=504, execute=True)
    with pytest.raises(APIError, match="client_order_id must be unique"):
        client.submit_order(market(client_order_id="only-once"))
    (order,) = control.orders("main")
    assert (order.client_id, order.filled_qty) == ("only-once", 10)
    assert len(control.requests(path="/v2/orders", method="POST")) == 2


def test_without_its_retry_there_is_one_request(client: TradingClient, control: AlpacaControl):
    client._retry = 0
    control.fault("status", path="/v2/orders", method="POST", status=504, execute=True)
    with pytest.raises(APIError, match="504 Gateway Timeout"):
        client.submit_order(market())
    assert len(control.orders("main")) == 1


def test_a_status_that_it_does_not_know_spoils_the_whole_list(client: TradingClient, control: AlpacaControl):
    order = client.submit_order(limit(190))
    client.submit_order(limit(191))
    control.show_status("main", str(order.id), "activated")
    with pytest.raises(ValueError, match="status"):
        client.get_orders()
