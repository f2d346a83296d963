"""The identity of a plan: what it was decided from, as one hash."""

from __future__ import annotations

import hashlib
from decimal import Decimal

from brokers.ids import InstrumentId
from brokers.rounding import decimal_text
from brokers.strictjson import encode
from brokers.types import Instrument
from trading.rebalancing.portfolio import Portfolio
from trading.rebalancing.view import AccountView

RULES_VERSION = 4  # part of the hash: other rules give other plans from the same snapshot


def plan_hash(portfolio: Portfolio, view: AccountView) -> str:
    """sha256 over targets, rules, snapshot and prices, as canonical JSON with decimals as text."""
    text = decimal_text
    material = {
        "rules": RULES_VERSION,
        "portfolio": portfolio.model_dump(mode="json"),
        "account": str(view.account_id),
        "time": view.time.isoformat(),
        "equity": text(view.equity),
        "free_money": text(view.free_money),
        "fee_rates": [[product, text(rate)] for product, rate in sorted(view.fee_rates.items())],
        "holdings": [
            [str(h.instrument_id), text(h.quantity), _optional(h.available), h.position_side] for h in view.holdings
        ],
        "quotes": [
            [str(k), text(q.bid), text(q.ask), q.time.isoformat()] for k, q in sorted(view.quotes.items(), key=_name)
        ],
        "instruments": [_rules_of(item) for _, item in sorted(view.instruments.items(), key=_name)],
        "leverages": [[str(k), text(v)] for k, v in sorted(view.leverages.items(), key=_name)],
        "modes": [[str(k), v] for k, v in sorted(view.modes.items(), key=_name)],
        "open_orders": sorted(map(str, view.open_order_instruments)),
        "last_traded_at": view.last_traded_at.isoformat() if view.last_traded_at else "",
        "unpriced": [[currency, text(total)] for currency, total in view.unpriced],
    }
    return hashlib.sha256(encode(material).encode("utf-8")).hexdigest()


def _name(item: tuple[InstrumentId, object]) -> str:
    return str(item[0])


def _rules_of(item: Instrument) -> list[str]:
    limits = (item.quantity_max_limit, item.quantity_max_market)
    exact = (item.tick_size, item.lot_size, item.quantity_min, item.notional_min, item.contract_size)
    return [
        str(item.instrument_id),
        item.product,
        item.settle_currency,
        str(item.is_trading),
        *(decimal_text(value) for value in exact),
        *(_optional(value) for value in limits),
        *([] if item.parts is None else [decimal_text(item.parts.step), decimal_text(item.parts.notional_min)]),
    ]


def _optional(value: Decimal | None) -> str:
    return "" if value is None else decimal_text(value)
