"""What every dialect gives back, and what they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from brokers.types import OrderSide, PositionSide
from trading.alerts.dialects.fields import Fields
from trading.alerts.model import Alert, AlertAction, Settled, settled
from trading.alerts.reasons import AlertReason, AlertRefused
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


def strategy_order(fields: Fields, side: OrderSide) -> tuple[Settled, dict[str, Any]]:
    """An order of a TradingView strategy, from the four fields that are named like its placeholders."""
    target, previous = fields.position("market_position"), fields.position("prev_market_position")
    sizes = {
        "target_size": fields.size("market_position_size"),
        "previous_size": fields.size("prev_market_position_size"),
    }
    return settled(side=side, target=target, previous=previous), sizes


def cancels_first(terms: Settled, quantity: Decimal | None) -> bool:
    """Whether open orders are in the way, where the body does not say: of all that leaves the whole position."""
    is_whole = quantity is None or terms.target is PositionSide.FLAT
    return terms.action is AlertAction.REVERSE or (terms.action is AlertAction.EXIT and is_whole)


def order_side(word: str, *, known: str = "buy, sell") -> OrderSide:
    """buy or sell; ACTION_UNKNOWN."""
    if word not in ("buy", "sell"):
        raise unknown_action(word, known=known)
    return OrderSide(word)


def entering(position: PositionSide) -> Settled:
    """An order that says no more than: be long, be short."""
    side = OrderSide.BUY if position is PositionSide.LONG else OrderSide.SELL
    return settled(side=side, target=position, previous=None)


def unknown_action(word: str, *, known: str) -> AlertRefused:
    """ACTION_UNKNOWN with what there is."""
    return AlertRefused(AlertReason.ACTION_UNKNOWN, f"action must be one of {known}, was {word[:40]!r}")


def unsupported_command(what: str, *, known: str) -> AlertRefused:
    """COMMAND_UNSUPPORTED with what there is."""
    return AlertRefused(AlertReason.COMMAND_UNSUPPORTED, f"{what} is not carried out; what is: {known}")
