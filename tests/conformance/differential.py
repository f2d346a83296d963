"""An independent client and our adapter read the same state of the same simulator; every difference is explained.

A venue's row says `client=CcxtClient(open=…, differences={…})`. `open` gives ccxt's own class for a product, unmodified
but for its addresses and its clock; its numbers are kept as text, so nothing is compared through a float. A difference
is named as "comparison.field" (or "product/comparison.field") with its reason; one that is not named fails, and so does
a name that no longer differs: an explanation that nothing needs is out of date.

A client of another kind offers the same names: `comparisons`, `capability`, `covers`, `opened`, `readings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from brokers.types import ZERO, OrderSide
from tests.conformance.capability import Capability as C
from tests.conformance.scene import Scene
from tests.proof.wire_venues import Product

Row = dict[str, Any]
Rows = dict[str, Row]


class Readings(NamedTuple):
    """Rows by key, as either side has them."""

    theirs: Rows
    ours: Rows


def number(value: Any) -> Decimal | None:
    return None if value in (None, "") else Decimal(str(value))


def set_the_scene(scene: Scene) -> None:
    """A state with something of everything: orders filled, resting and cancelled, something held, a moved price."""
    scene.buy(parts=4)
    scene.done(scene.place(OrderSide.SELL, parts=1))
    scene.working(scene.rest(parts=2))
    cancelled = scene.rest()
    scene.working(cancelled)
    scene.cancel(cancelled)
    scene.done(cancelled)
    scene.move_price("0.5")


@dataclass(frozen=True)
class CcxtClient:
    """ccxt beside our adapter."""

    open: Callable[[str, Product], Any]
    differences: Mapping[str, str] = field(default_factory=dict)
    products: tuple[str, ...] = ()  # those that ccxt knows; empty: all
    symbols: Mapping[str, str] = field(default_factory=dict)  # product -> ccxt's symbol, where it is not our own
    ticker: Callable[[Any, str], Mapping[str, Any]] = lambda exchange, symbol: exchange.fetch_ticker(symbol)
    own_id: Callable[[str], str] = lambda text: text  # our id of an order or a fill as the venue's own
    their_id: Callable[[str], str] = lambda text: text  # the other way round
    lacks: frozenset[str] = frozenset()  # comparisons that ccxt has no method for at this venue

    @property
    def comparisons(self) -> tuple[str, ...]:
        return tuple(name for name in _COMPARISONS if name not in self.lacks)

    def capability(self, comparison: str) -> C:
        return _COMPARISONS[comparison][0]

    def covers(self, product: Product) -> bool:
        return not self.products or product.name in self.products

    @contextmanager
    def opened(self, scene: Scene) -> Iterator[Any]:
        """The client on the scene's simulator, on the same clock as everybody there."""
        exchange = self.open(scene.config.base_url, scene.product)
        exchange.number = str
        exchange.session.trust_env = False
        exchange.milliseconds = lambda: int(scene.clock.now().timestamp() * 1000)
        try:
            exchange.load_markets()
            yield exchange
        finally:
            exchange.session.close()

    def readings(self, scene: Scene, exchange: Any, comparison: str) -> Readings:
        symbol = self.symbols.get(scene.product.name, scene.instrument_id.value)
        if not scene.has(self.capability(comparison)):
            return Readings({}, {})
        if comparison == "CLIENT-QUOTES-01":
            return _quotes(self.ticker(exchange, symbol), symbol, scene)
        theirs, ours = _COMPARISONS[comparison][1](exchange, symbol, scene)
        if comparison not in _BY_VENUE_ID:
            return Readings(theirs, ours)
        return Readings(
            {self.their_id(key): row for key, row in theirs.items()},
            {self.own_id(key): self._row(row) for key, row in ours.items()},
        )

    def _row(self, row: Row) -> Row:
        return {**row, "order": self.own_id(row["order"])} if "order" in row else row


def differing(readings: Readings) -> dict[str, str]:
    """Field -> an example of how the two sides differ; a row that one side lacks is the field `row`."""
    found: dict[str, str] = {}
    for key in {*readings.theirs, *readings.ours}:
        theirs, ours = readings.theirs.get(key), readings.ours.get(key)
        if theirs is None or ours is None:
            found["row"] = f"{key}: theirs {theirs}, ours {ours}"
            continue
        for name in ours:
            if theirs[name] != ours[name]:
                found[name] = f"{key}: theirs {theirs[name]!r}, ours {ours[name]!r}"
    return found


# -- comparisons -----------------------------------------------------------------------------------------------------
def _instruments(exchange: Any, symbol: str, scene: Scene) -> Readings:
    market, item = exchange.market(symbol), scene.instrument
    theirs = {
        "symbol": market["id"],
        "base": market["base"],
        "quote": market["quote"],
        "settle": market["settle"] or market["quote"],
        "tick": number(market["precision"]["price"]),
        "lot": number(market["precision"]["amount"]),
        "quantity_min": number(market["limits"]["amount"]["min"]),
        "notional_min": number(market["limits"]["cost"]["min"]) or ZERO,
        "contract_size": number(market["contractSize"]) or Decimal(1),
    }
    ours = {
        "symbol": item.venue_symbol,
        "base": item.base_currency,
        "quote": item.quote_currency,
        "settle": item.settle_currency,
        "tick": item.tick_size,
        "lot": item.lot_size,
        "quantity_min": item.quantity_min,
        "notional_min": item.notional_min,
        "contract_size": item.contract_size,
    }
    return Readings({symbol: theirs}, {symbol: ours})


def _quotes(ticker: Any, symbol: str, scene: Scene) -> Readings:
    quote = scene.quote()
    theirs = {name: number(ticker[name]) for name in ("bid", "ask", "last")}
    return Readings({symbol: theirs}, {symbol: {"bid": quote.bid, "ask": quote.ask, "last": quote.last}})


def _balances(exchange: Any, symbol: str, scene: Scene) -> Readings:
    balance = exchange.fetch_balance()
    theirs = {
        coin: {"total": number(total), "available": number(balance["free"][coin])}
        for coin, total in balance["total"].items()
        if number(total)
    }
    ours = {b.currency: {"total": b.total, "available": b.available} for b in scene.broker.balances() if b.total}
    return Readings(theirs, ours)


def _positions(exchange: Any, symbol: str, scene: Scene) -> Readings:
    theirs = {
        row["symbol"]: {
            "quantity": (number(row["contracts"]) or ZERO) * (-1 if row["side"] == "short" else 1),
            "average_price": number(row["entryPrice"]),
            "unrealised": number(row["unrealizedPnl"]),
            "leverage": number(row["leverage"]),
        }
        for row in (exchange.fetch_positions([symbol]) if scene.instrument.is_position else [])
        if number(row["contracts"])
    }
    position = scene.position() if scene.instrument.is_position else None
    if position is None:
        return Readings(theirs, {})
    ours = {
        "quantity": position.quantity,
        "average_price": position.average_price,
        "unrealised": position.unrealised_pnl,
        "leverage": position.leverage,
    }
    return Readings(theirs, {symbol: ours})


_CCXT_STATUS = {"closed": "filled", "canceled": "cancelled", "open": "working", "rejected": "rejected"}


def _order(row: Mapping[str, Any]) -> Row:
    filled = number(row["filled"]) or ZERO
    return {
        "client_order_id": row["clientOrderId"] or None,
        "side": row["side"],
        "order_type": row["type"],
        "quantity": number(row["amount"]),
        "limit_price": number(row["price"]) if row["type"] == "limit" else None,
        "filled": filled,
        "average_price": number(row["average"]) if filled else None,
        "status": _CCXT_STATUS.get(row["status"], row["status"]),
    }


def _own_orders(scene: Scene, orders: Any) -> Rows:
    return {
        order.venue_order_id.value: {
            "client_order_id": order.client_order_id.value if order.client_order_id else None,
            "side": order.side.value,
            "order_type": order.order_type.value,
            "quantity": order.quantity,
            "limit_price": order.limit_price,
            "filled": order.filled_quantity,
            "average_price": order.average_price,
            "status": order.status.value,
        }
        for order in orders
        if order.instrument_id == scene.instrument_id
    }


def _open_orders(exchange: Any, symbol: str, scene: Scene) -> Readings:
    theirs = {row["id"]: _order(row) for row in exchange.fetch_open_orders(symbol)}
    return Readings(theirs, _own_orders(scene, scene.broker.open_orders()))


def _closed_orders(exchange: Any, symbol: str, scene: Scene) -> Readings:
    if exchange.has["fetchCanceledAndClosedOrders"]:
        rows = exchange.fetch_canceled_and_closed_orders(symbol)
    elif exchange.has["fetchOrders"]:
        rows = [row for row in exchange.fetch_orders(symbol) if row["status"] != "open"]
    else:
        rows = [*exchange.fetch_closed_orders(symbol), *exchange.fetch_canceled_orders(symbol)]
    theirs = {row["id"]: _order(row) for row in rows}
    return Readings(theirs, _own_orders(scene, scene.broker.order_history(**scene.window())))


def _fills(exchange: Any, symbol: str, scene: Scene) -> Readings:
    theirs = {
        row["id"]: {
            "order": row["order"],
            "side": row["side"],
            "quantity": number(row["amount"]),
            "price": number(row["price"]),
            "fee": number((row["fee"] or {}).get("cost")),
            "fee_currency": (row["fee"] or {}).get("currency"),
            "liquidity": row["takerOrMaker"],
            "time_ms": row["timestamp"],
        }
        for row in exchange.fetch_my_trades(symbol)
    }
    ours = {
        fill.trade_id.value: {
            "order": fill.venue_order_id.value,
            "side": fill.side.value,
            "quantity": fill.quantity,
            "price": fill.price,
            "fee": fill.fee,
            "fee_currency": fill.fee_currency,
            "liquidity": fill.liquidity.value,
            "time_ms": int(fill.time.timestamp() * 1000),
        }
        for fill in scene.fills()
    }
    return Readings(theirs, ours)


def _cash(exchange: Any, symbol: str, scene: Scene) -> Readings:
    now, theirs, ours = scene.clock.now(), {}, {}
    for row in exchange.fetch_ledger():
        amount = number(row["amount"]) or ZERO
        theirs[row["id"]] = {
            "currency": row["currency"],
            "amount": {"in": abs(amount), "out": -abs(amount)}.get(row["direction"], amount),
        }
    for event in scene.broker.cash_events(since=now - timedelta(days=5), until=now + timedelta(minutes=1)):
        # Bybit's ids are ours with the time and more behind them: its own may stand for two changes.
        ours[event.event_id.partition("@")[0]] = {"currency": event.currency, "amount": event.amount}
    return Readings(theirs, ours)


def _leverage(exchange: Any, symbol: str, scene: Scene) -> Readings:
    row, found = exchange.fetch_leverage(symbol), scene.broker.leverage(scene.instrument_id)
    theirs = {"long": number(row["longLeverage"]), "short": number(row["shortLeverage"])}
    return Readings({symbol: theirs}, {symbol: {"long": found.long_leverage, "short": found.short_leverage}})


_BY_VENUE_ID = ("CLIENT-OPEN-ORDERS-01", "CLIENT-HISTORY-01", "CLIENT-FILLS-01")
_COMPARISONS: Mapping[str, tuple[C, Callable[[Any, str, Scene], Readings]]] = {
    "CLIENT-INSTRUMENTS-01": (C.INSTRUMENTS, _instruments),
    "CLIENT-QUOTES-01": (C.QUOTES, _quotes),
    "CLIENT-BALANCES-01": (C.BALANCES, _balances),
    "CLIENT-POSITIONS-01": (C.POSITIONS, _positions),
    "CLIENT-OPEN-ORDERS-01": (C.OPEN_ORDERS, _open_orders),
    "CLIENT-HISTORY-01": (C.ORDER_HISTORY, _closed_orders),
    "CLIENT-FILLS-01": (C.FILLS, _fills),
    "CLIENT-CASH-01": (C.CASH_EVENTS, _cash),
    "CLIENT-LEVERAGE-01": (C.LEVERAGE, _leverage),
}
