"""An independent client, tradestation-api-python, drives the simulator unmodified and agrees with its truth.

Its two hosts are constants; the fixture points them at the simulator. Its models do not know SellShort, nor the fields
that the official document's own example of a preview has, so short orders and previews are left to raw requests.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from tradestation import TradeStationClient
from tradestation.ts_types.order_execution import (
    GroupOrderRequest,
    OrderDuration,
    OrderReplaceRequest,
    OrderRequest,
    OrderSide,
    OrderType,
    TimeInForce,
)
from tradestation.utils.exceptions import TradeStationResourceNotFoundError, TradeStationValidationError

from simulators import Running, TradeStationControl
from simulators.tradestation.config import StreamConfig

EQUITIES, FUTURES = "SIM123456M", "SIM123456F"
T = TypeVar("T")
Run = Callable[[Callable[[TradeStationClient], Awaitable[T]]], T]


@pytest.fixture
def run(sim: Running[TradeStationControl]) -> Run[Any]:
    """Run a coroutine with a client that has only a key and a refresh token."""

    async def within(work: Callable[[TradeStationClient], Awaitable[Any]]) -> Any:
        client = TradeStationClient(
            {"client_id": "main-id", "client_secret": "main-secret", "refresh_token": "main-refresh"},
            environment="Simulation",
        )
        client.http_client.base_url = sim.url
        client.http_client.token_manager._TOKEN_URL = f"{sim.url}/oauth/token"
        try:
            return await work(client)
        finally:
            await client.http_client.close()

    return lambda work: asyncio.run(within(work))


def order(**changes: Any) -> OrderRequest:
    fields: dict[str, Any] = {
        "AccountID": EQUITIES,
        "Symbol": "AAPL",
        "Quantity": "10",
        "OrderType": OrderType.MARKET,
        "TradeAction": OrderSide.BUY,
        "TimeInForce": TimeInForce(Duration=OrderDuration.DAY),
        "Route": "Intelligent",
    }
    return OrderRequest(**{**fields, **changes})


def limit(price: str, **changes: Any) -> OrderRequest:
    return order(OrderType=OrderType.LIMIT, LimitPrice=price, **changes)


def test_accounts_and_balances(run: Run[Any], control: TradeStationControl):
    async def work(client: TradeStationClient) -> None:
        accounts = await client.brokerage.get_accounts()
        assert {account.AccountID: account.AccountType for account in accounts} == {
            EQUITIES: "Margin",
            FUTURES: "Futures",
        }
        found = await client.brokerage.get_balances(f"{EQUITIES},{FUTURES}")
        assert [Decimal(row.Equity) for row in found.Balances] == [
            control.margin(name, "USD").equity for name in (EQUITIES, FUTURES)
        ]
        begin = await client.brokerage.get_balances_bod(EQUITIES)
        assert begin.BODBalances[0].BalanceDetail.NetCash == "100000"

    run(work)


def test_an_order_from_sending_to_position(run: Run[Any], control: TradeStationControl):
    async def work(client: TradeStationClient) -> None:
        answer = await client.order_execution.place_order(order())
        (taken,) = answer.Orders
        (row,) = (await client.brokerage.get_orders(EQUITIES)).Orders
        (truth,) = control.orders(EQUITIES)
        assert (row.OrderID, row.Status) == (taken.OrderID, "FLL") == (truth.order_id, "FLL")
        assert Decimal(row.Legs[0].ExecutionPrice) == truth.average_price
        (position,) = (await client.brokerage.get_positions(EQUITIES, "AAPL")).Positions
        assert (position.Quantity, position.LongShort) == ("10", "Long")
        assert Decimal(position.AveragePrice) == truth.average_price

    run(work)


def test_a_limit_order_is_replaced_and_cancelled(run: Run[Any], control: TradeStationControl):
    async def work(client: TradeStationClient) -> None:
        (taken,) = (await client.order_execution.place_order(limit("190.00"))).Orders
        replaced = await client.order_execution.replace_order(
            taken.OrderID, OrderReplaceRequest(Quantity="12", LimitPrice="191.00")
        )
        assert replaced.OrderID == taken.OrderID
        (row,) = (await client.brokerage.get_orders_by_order_id(EQUITIES, taken.OrderID)).Orders
        assert (row.Status, row.Legs[0].QuantityOrdered) == ("OPN", "12")
        cancelled = await client.order_execution.cancel_order(taken.OrderID)
        assert cancelled.Message == "Cancel request sent"
        (row,) = (await client.brokerage.get_orders_by_order_id(EQUITIES, taken.OrderID)).Orders
        assert row.Status == "OUT"
        with pytest.raises(TradeStationValidationError):
            await client.order_execution.cancel_order(taken.OrderID)
        with pytest.raises(TradeStationResourceNotFoundError):
            await client.order_execution.cancel_order("1")

    run(work)
    assert [o.qty for o in control.orders(EQUITIES)] == [12]


def test_a_group_is_placed(run: Run[Any], control: TradeStationControl):
    async def work(client: TradeStationClient) -> None:
        request = GroupOrderRequest(Type="OCO", Orders=[limit("190.00"), limit("390.00", Symbol="MSFT")])
        answer = await client.order_execution.place_group_order(request)
        assert len(answer.Orders) == 2
        control.set_price("AAPL", "189")
        first, second = control.orders(EQUITIES)
        assert (first.status.value, second.status.value) == ("filled", "cancelled")

    run(work)


def test_market_data(run: Run[Any], control: TradeStationControl):
    async def work(client: TradeStationClient) -> None:
        details = await client.market_data.get_symbol_details("AAPL,MESZ26,NOPE")
        assert [(row.Symbol, row.PriceFormat.PointValue) for row in details.Symbols] == [("AAPL", "1"), ("MESZ26", "5")]
        assert [error.Symbol for error in details.Errors] == ["NOPE"]
        snapshot = await client.market_data.get_quote_snapshots("AAPL")
        quote = control.quote("AAPL")
        assert [Decimal(snapshot.Quotes[0].Bid), Decimal(snapshot.Quotes[0].Ask)] == [quote.bid, quote.ask]
        routes = await client.order_execution.get_routes()
        assert "Intelligent" in [route.Id for route in routes.Routes]

    run(work)


@pytest.mark.parametrize("config_changes", [{"streams": StreamConfig(piece_bytes=50)}])
def test_the_order_stream_through_its_reader(run: Run[Any], control: TradeStationControl):
    async def work(client: TradeStationClient) -> list[str]:
        reader = await client.brokerage.stream_orders(EQUITIES)
        assert json.loads(await reader.readline()) == {"StreamStatus": "EndSnapshot"}
        await client.order_execution.place_order(order())
        seen: list[str] = []
        while seen[-1:] != ["FLL"]:
            seen.append(json.loads(await reader.readline())["Status"])
        control.end_streams()
        assert await reader.read() == b""
        return seen

    assert run(work) == ["ACK", "OPN", "FLL"]
