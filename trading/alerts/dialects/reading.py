"""What every dialect gives back, and what they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trading.alerts.model import Alert
from trading.alerts.symbols import read_symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A typed alert, and the sha256 sums of the secrets that stood in its body, by field."""

    alert: Alert
    secrets: Mapping[str, str] = field(default_factory=dict)


def viewed(symbol: str, exchange: str = "") -> dict[str, Any]:
    """The fields of an alert that come from a symbol and, where the dialect has one, an exchange beside it."""
    found = read_symbol(symbol, exchange=exchange)
    within, colon, _ = symbol.strip().partition(":")
    return {
        "symbol": found.ticker,
        "symbol_raw": symbol,
        "exchange": found.exchange,
        "exchange_raw": exchange or (within if colon else ""),
        "is_delayed": found.is_delayed,
    }
