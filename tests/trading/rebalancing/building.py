"""Portfolios and snapshots to plan from, with defaults that a test overrides."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from brokers.ids import AccountId, InstrumentId
from brokers.types import Instrument, PartTerms, ProductKind, Quote, TimeInForce
from trading.rebalancing import AccountView, Holding, Portfolio

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ACCOUNT = AccountId.parse("bybit.simulated.main")
D = Decimal
PARTS = PartTerms(step=D("0.000000001"), notional_min=D(1), times_in_force=(TimeInForce.DAY, TimeInForce.DAY_EXTENDED))
SHARE = {
    "product": ProductKind.EQUITY,
    "lot_size": D(1),
    "quantity_min": PARTS.step,
    "notional_min": D(0),
    "parts": PARTS,
}


def make_instrument(symbol: str, **changes: Any) -> Instrument:
    is_linear = ":" in symbol
    base = symbol.split("/")[0]
    fields: dict[str, Any] = {
        "instrument_id": InstrumentId(symbol),
        "venue_symbol": symbol.replace("/", "").split(":")[0],
        "product": ProductKind.LINEAR if is_linear else ProductKind.SPOT,
        "base_currency": base,
        "quote_currency": "USDT",
        "settle_currency": "USDT",
        "tick_size": D("0.01"),
        "lot_size": D("0.001"),
        "quantity_min": D("0.001"),
        "notional_min": D(5),
    }
    return Instrument(**{**fields, **changes})


def make_quote(symbol: str, price: Decimal, *, spread: Decimal = D("0.0002")) -> Quote:
    half = price * spread / 2
    return Quote(InstrumentId(symbol), bid=price - half, ask=price + half, last=price, time=NOW)


def make_view(
    prices: Mapping[str, str],
    *,
    holdings: Mapping[str, str] | None = None,
    equity: str = "10000",
    free_money: str | None = None,
    instruments: Mapping[str, Mapping[str, Any]] | None = None,
    leverages: Mapping[str, str] | None = None,
    **changes: Any,
) -> AccountView:
    rules = instruments or {}
    fields: dict[str, Any] = {
        "account_id": ACCOUNT,
        "quote_currency": "USDT",
        "time": NOW,
        "equity": D(equity),
        "free_money": D(free_money if free_money is not None else equity),
        "holdings": tuple(
            Holding(instrument_id=InstrumentId(key), quantity=D(quantity))
            for key, quantity in sorted((holdings or {}).items())
        ),
        "quotes": {InstrumentId(key): make_quote(key, D(price)) for key, price in prices.items()},
        "instruments": {InstrumentId(key): make_instrument(key, **rules.get(key, {})) for key in prices},
        "fee_rates": dict.fromkeys(ProductKind, D("0.001")),
        "leverages": {InstrumentId(key): D(value) for key, value in (leverages or {}).items()},
        "modes": {},
    }
    return AccountView(**{**fields, **changes})


def make_portfolio(targets: Mapping[str, str], **changes: Any) -> Portfolio:
    fields: dict[str, Any] = {"name": "core", "quote_currency": "USDT", "targets": dict(targets), "cash_buffer": "0"}
    return Portfolio(**{**fields, **changes})
