"""Alerts, routes and snapshots to decide from, with defaults that a test overrides."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from brokers.ids import InstrumentId
from brokers.types import Instrument, OrderSide, ProductKind, Quote
from trading.alerts import Alert, AlertAction, AlertConfig, Dialect, Route, Source
from trading.alerts.deciding import AlertSnapshot, OpenOrder
from trading.alerts.routing import RouteAction

D = Decimal
NOW = datetime(2026, 7, 20, 14, 31, 2, tzinfo=UTC)  # a Monday, 10:31 in New York
AAPL = InstrumentId("AAPL")
BOTH = frozenset(RouteAction)


def make_alert(**changes: Any) -> Alert:
    fields: dict[str, Any] = {
        "source": "tv",
        "dialect": Dialect.ALGOTRENDY,
        "action": AlertAction.BUY,
        "symbol": "AAPL",
        "symbol_raw": "AAPL",
        "quantity": D(10),
    }
    return Alert(**{**fields, **changes})


def make_route(**changes: Any) -> Route:
    fields: dict[str, Any] = {
        "name": "aapl",
        "source": "tv",
        "symbol": "AAPL",
        "account": "tradestation.simulated.demo",
        "quantity_max": "100",
        "actions": BOTH,
        "bare_action": "direction",
    }
    return Route(**{**fields, **changes})


def make_config(*routes: Route, **source: Any) -> AlertConfig:
    return AlertConfig(sources=(Source(**{"name": "tv", **source}),), routes=routes or (make_route(),))


def make_instrument(**changes: Any) -> Instrument:
    fields: dict[str, Any] = {
        "instrument_id": AAPL,
        "venue_symbol": "AAPL",
        "product": ProductKind.EQUITY,
        "base_currency": "AAPL",
        "quote_currency": "USD",
        "settle_currency": "USD",
        "tick_size": D("0.01"),
        "lot_size": D(1),
        "quantity_min": D(1),
        "notional_min": D(0),
    }
    return Instrument(**{**fields, **changes})


def make_snapshot(position: str | int | Decimal = 0, **changes: Any) -> AlertSnapshot:
    fields: dict[str, Any] = {
        "time": NOW,
        "instrument": make_instrument(),
        "position": D(position),
        "quote": Quote(AAPL, bid=D("99.9"), ask=D("100.1"), last=D(100), time=NOW),
        "equity": D(50_000),
        "equity_currency": "USD",
    }
    return AlertSnapshot(**{**fields, **changes})


def make_order(side: OrderSide, remaining: str, intent_id: Any) -> OpenOrder:
    return OpenOrder(intent_id=intent_id, side=side, remaining=D(remaining))
