"""Two clients beside our adapter at Alpaca: ccxt, which knows its crypto alone, and alpaca-py, as it is, for shares.

alpaca-py reads with its own models; only its address and its session's environment are set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.conformance.capability import Capability as C
from tests.conformance.differential import CcxtClient, Readings, Row, number
from tests.conformance.scene import Scene
from tests.proof.wire_venues import Product

_STATUS = {"new": "working", "accepted": "accepted", "filled": "filled", "canceled": "cancelled"}
_SHARES = "equity"


@dataclass(frozen=True)
class AlpacaClients:
    """ccxt for pairs, alpaca-py for shares; each comparison is made by both where both can."""

    ccxt: CcxtClient
    differences: Mapping[str, str] = field(default_factory=dict)

    @property
    def comparisons(self) -> tuple[str, ...]:
        return tuple(_OF_SHARES)

    def capability(self, comparison: str) -> C:
        return self.ccxt.capability(comparison)

    def covers(self, product: Product) -> bool:
        return True

    @contextmanager
    def opened(self, scene: Scene) -> Iterator[Any]:
        if scene.product.name != _SHARES:
            with self.ccxt.opened(scene) as exchange:
                yield exchange
            return
        with _sdk(scene) as clients:
            yield clients

    def readings(self, scene: Scene, opened: Any, comparison: str) -> Readings:
        if scene.product.name == _SHARES:
            return _OF_SHARES[comparison](opened, scene)
        if comparison in self.ccxt.lacks:
            return Readings({}, {})
        return self.ccxt.readings(scene, opened, comparison)


@contextmanager
def _sdk(scene: Scene) -> Iterator[tuple[Any, Any]]:
    from alpaca.data.historical.stock import StockHistoricalDataClient
    from alpaca.trading.client import TradingClient

    url = scene.config.base_url
    trading = TradingClient("main-key", "main-secret", paper=True, url_override=url)
    data = StockHistoricalDataClient("main-key", "main-secret", url_override=url)
    for client in (trading, data):
        client._session.trust_env = False
    try:
        yield trading, data
    finally:
        for client in (trading, data):
            client._session.close()


def _instruments(clients: tuple[Any, Any], scene: Scene) -> Readings:
    row, item = clients[0].get_asset(scene.product.symbol), scene.instrument
    theirs = {"symbol": row.symbol, "trading": row.tradable, "fractions": row.fractionable}
    ours = {"symbol": item.venue_symbol, "trading": item.is_trading, "fractions": item.parts is not None}
    return Readings({"one": theirs}, {"one": ours})


def _quotes(clients: tuple[Any, Any], scene: Scene) -> Readings:
    from alpaca.data.requests import StockLatestQuoteRequest, StockLatestTradeRequest

    symbol, quote = scene.product.symbol, scene.quote()
    book = clients[1].get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=symbol))[symbol]
    trade = clients[1].get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols=symbol))[symbol]
    theirs = {"bid": number(book.bid_price), "ask": number(book.ask_price), "last": number(trade.price)}
    return Readings({"one": theirs}, {"one": {"bid": quote.bid, "ask": quote.ask, "last": quote.last}})


def _balances(clients: tuple[Any, Any], scene: Scene) -> Readings:
    account = clients[0].get_account()
    theirs = {"total": number(account.cash), "available": number(account.non_marginable_buying_power)}
    ours = next(balance for balance in scene.broker.balances() if balance.currency == "USD")
    return Readings({"USD": theirs}, {"USD": {"total": ours.total, "available": ours.available}})


def _positions(clients: tuple[Any, Any], scene: Scene) -> Readings:
    theirs = {
        row.symbol: {
            "quantity": number(row.qty),
            "average_price": number(row.avg_entry_price),
            "unrealised": number(row.unrealized_pl),
            "leverage": None,
        }
        for row in clients[0].get_all_positions()
        if row.asset_class.value == "us_equity"
    }
    ours = {
        position.instrument_id.value: {
            "quantity": position.quantity,
            "average_price": position.average_price,
            "unrealised": position.unrealised_pnl,
            "leverage": position.leverage,
        }
        for position in scene.broker.positions()
    }
    return Readings(theirs, ours)


def _orders(clients: tuple[Any, Any], scene: Scene, status: str, found: Any) -> Readings:
    from alpaca.trading.requests import GetOrdersRequest

    rows = clients[0].get_orders(GetOrdersRequest(status=status, limit=500, symbols=[scene.product.symbol]))
    theirs: dict[str, Row] = {
        str(row.id): {
            "client_order_id": row.client_order_id,
            "side": row.side.value,
            "order_type": row.order_type.value,
            "quantity": number(row.qty),
            "limit_price": number(row.limit_price),
            "filled": number(row.filled_qty),
            "average_price": number(row.filled_avg_price),
            "status": _STATUS[row.status.value],
        }
        for row in rows
    }
    ours: dict[str, Row] = {
        order.venue_order_id.value: {
            "client_order_id": order.client_order_id.value,
            "side": order.side.value,
            "order_type": order.order_type.value,
            "quantity": order.quantity,
            "limit_price": order.limit_price,
            "filled": order.filled_quantity,
            "average_price": order.average_price,
            "status": order.status.value,
        }
        for order in found
        if order.instrument_id == scene.instrument_id
    }
    return Readings(theirs, ours)


def _open_orders(clients: tuple[Any, Any], scene: Scene) -> Readings:
    return _orders(clients, scene, "open", scene.broker.open_orders())


def _closed_orders(clients: tuple[Any, Any], scene: Scene) -> Readings:
    return _orders(clients, scene, "closed", scene.broker.order_history(**scene.window()))


def _fills(clients: tuple[Any, Any], scene: Scene) -> Readings:
    """The SDK has no method of fills; its own reading is the trades of each order, as the orders total them."""
    from alpaca.trading.requests import GetOrdersRequest

    rows = clients[0].get_orders(GetOrdersRequest(status="all", limit=500, symbols=[scene.product.symbol]))
    theirs = {
        str(row.id): {"quantity": number(row.filled_qty), "price": number(row.filled_avg_price)}
        for row in rows
        if number(row.filled_qty)
    }
    ours: dict[str, Row] = {}
    for fill in scene.fills():
        row = ours.setdefault(fill.venue_order_id.value, {"quantity": Decimal(0), "value": Decimal(0)})
        row["quantity"] += fill.quantity
        row["value"] += fill.quantity * fill.price
    return Readings(
        theirs, {key: {"quantity": o["quantity"], "price": o["value"] / o["quantity"]} for key, o in ours.items()}
    )


_OF_SHARES = {
    "CLIENT-INSTRUMENTS-01": _instruments,
    "CLIENT-QUOTES-01": _quotes,
    "CLIENT-BALANCES-01": _balances,
    "CLIENT-POSITIONS-01": _positions,
    "CLIENT-OPEN-ORDERS-01": _open_orders,
    "CLIENT-HISTORY-01": _closed_orders,
    "CLIENT-FILLS-01": _fills,
}
