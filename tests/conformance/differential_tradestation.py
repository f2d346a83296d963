"""tradestation-api-python beside our adapter: ccxt does not know TradeStation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.capability import Capability as C
from tests.conformance.differential import Readings, Row, number
from tests.conformance.scene import Scene
from tests.proof.wire_venues import Product

Run = Callable[[Callable[[Any], Awaitable[Any]]], Any]
_SIDES = {"Buy": "buy", "Sell": "sell"}
_STATUS = {"FLL": "filled", "OPN": "working", "ACK": "working", "OUT": "cancelled"}


@dataclass(frozen=True)
class SdkClient:
    """The library as it is, but for its two hosts."""

    differences: Mapping[str, str] = field(default_factory=dict)

    @property
    def comparisons(self) -> tuple[str, ...]:
        return tuple(_COMPARISONS)

    def capability(self, comparison: str) -> C:
        return _COMPARISONS[comparison][0]

    def covers(self, product: Product) -> bool:
        return True

    @contextmanager
    def opened(self, scene: Scene) -> Iterator[Run]:
        from tradestation import TradeStationClient

        async def within(work: Callable[[Any], Awaitable[Any]]) -> Any:
            keys = {"client_id": "main-id", "client_secret": "main-secret", "refresh_token": "main-refresh"}
            client = TradeStationClient(keys, environment="Simulation")
            client.http_client.base_url = scene.config.base_url
            client.http_client.token_manager._TOKEN_URL = f"{scene.config.base_url}/oauth/token"
            try:
                return await work(client)
            finally:
                await client.http_client.close()

        yield lambda work: asyncio.run(within(work))

    def readings(self, scene: Scene, run: Run, comparison: str) -> Readings:
        return _COMPARISONS[comparison][1](run, scene)


def _instruments(run: Run, scene: Scene) -> Readings:
    (row,) = run(lambda client: client.market_data.get_symbol_details(scene.product.symbol)).Symbols
    item = scene.instrument
    theirs = {
        "symbol": row.Symbol,
        "settle": row.Currency,
        "tick": number(row.PriceFormat.Increment),
        "lot": number(row.QuantityFormat.Increment),
        "quantity_min": number(row.QuantityFormat.MinimumTradeQuantity),
        "contract_size": number(row.PriceFormat.PointValue),
    }
    ours = {
        "symbol": item.venue_symbol,
        "settle": item.settle_currency,
        "tick": item.tick_size,
        "lot": item.lot_size,
        "quantity_min": item.quantity_min,
        "contract_size": item.contract_size,
    }
    return Readings({"one": theirs}, {"one": ours})


def _quotes(run: Run, scene: Scene) -> Readings:
    (row,) = run(lambda client: client.market_data.get_quote_snapshots(scene.product.symbol)).Quotes
    quote = scene.quote()
    theirs = {"bid": number(row.Bid), "ask": number(row.Ask), "last": number(row.Last)}
    return Readings({"one": theirs}, {"one": {"bid": quote.bid, "ask": quote.ask, "last": quote.last}})


def _balances(run: Run, scene: Scene) -> Readings:
    (row,) = run(lambda client: client.brokerage.get_balances(scene.owner)).Balances
    health, total = scene.broker.margin_health(), scene.total("USD")
    theirs = {"total": number(row.CashBalance), "equity": number(row.Equity)}
    return Readings({"USD": theirs}, {"USD": {"total": total, "equity": health.equity}})


def _positions(run: Run, scene: Scene) -> Readings:
    theirs = {
        row.Symbol: {
            "quantity": number(row.Quantity),
            "average_price": number(row.AveragePrice),
            "unrealised": number(row.UnrealizedProfitLoss),
        }
        for row in run(lambda client: client.brokerage.get_positions(scene.owner)).Positions
    }
    ours = {
        position.instrument_id.value: {
            "quantity": position.quantity,
            "average_price": position.average_price,
            "unrealised": position.unrealised_pnl,
        }
        for position in scene.broker.positions()
    }
    return Readings(theirs, ours)


def _orders(run: Run, scene: Scene, *, is_open: bool) -> Readings:
    theirs: dict[str, Row] = {}
    for row in run(lambda client: client.brokerage.get_orders(scene.owner)).Orders:
        (leg,) = row.Legs
        status = _STATUS[row.Status]
        if (status == "working") is is_open:
            theirs[row.OrderID] = {
                "side": _SIDES[leg.BuyOrSell],
                "order_type": row.OrderType.lower(),
                "quantity": number(leg.QuantityOrdered),
                "filled": number(leg.ExecQuantity),
                "limit_price": number(row.LimitPrice) if row.OrderType == "Limit" else None,
                "status": status,
            }
    found = scene.broker.open_orders() if is_open else scene.broker.order_history(**scene.window())
    ours = {
        order.venue_order_id.value: {
            "side": order.side.value,
            "order_type": order.order_type.value,
            "quantity": order.quantity,
            "filled": order.filled_quantity,
            "limit_price": order.limit_price,
            "status": order.status.value,
        }
        for order in found
    }
    return Readings(theirs, ours)


def _open_orders(run: Run, scene: Scene) -> Readings:
    return _orders(run, scene, is_open=True)


def _closed_orders(run: Run, scene: Scene) -> Readings:
    return _orders(run, scene, is_open=False)


_COMPARISONS: Mapping[str, tuple[C, Callable[[Run, Scene], Readings]]] = {
    "CLIENT-INSTRUMENTS-01": (C.INSTRUMENTS, _instruments),
    "CLIENT-QUOTES-01": (C.QUOTES, _quotes),
    "CLIENT-BALANCES-01": (C.BALANCES, _balances),
    "CLIENT-POSITIONS-01": (C.POSITIONS, _positions),
    "CLIENT-OPEN-ORDERS-01": (C.OPEN_ORDERS, _open_orders),
    "CLIENT-HISTORY-01": (C.ORDER_HISTORY, _closed_orders),
}
