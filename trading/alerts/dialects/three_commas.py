"""3Commas: the signal bot's JSON (strategy and custom signals) and the older one of DCA bots (help.3commas.io).

Fields that it does not describe are ignored, as 3Commas does. `margin_percent` is refused: it means the margin of its
bot, which we do not have. The start of a DCA deal is refused: side and size are settings of that bot.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from brokers.types import OrderType, PositionSide
from trading.alerts.dialects.fields import Fields
from trading.alerts.dialects.reading import (
    Reading,
    cancels_first,
    entering,
    order_side,
    strategy_order,
    unknown_action,
    unsupported_command,
    viewed,
)
from trading.alerts.model import Alert, AlertAction, Dialect, QuantityMode, Settled
from trading.alerts.reasons import AlertReason, AlertRefused

_MODES = {
    "base": QuantityMode.FIXED,
    "quote": QuantityMode.CASH,
    "position_percent": QuantityMode.PERCENT_OF_POSITION,
}
_SIGNALS = {
    "enter_long": entering(PositionSide.LONG),
    "enter_short": entering(PositionSide.SHORT),
    "exit_long": Settled(action=AlertAction.EXIT, closes=PositionSide.LONG),
    "exit_short": Settled(action=AlertAction.EXIT, closes=PositionSide.SHORT),
}
_CLOSING = ("close_at_market_price", "close_at_market_price_all")
_CANCELLING = ("cancel", "cancel_all")
LAG_S_MAX = 86_400


def read(found: dict[str, Any]) -> Reading:
    """Read the signal bot's fields."""
    fields = Fields(found)
    secrets = fields.secrets("secret", "bot_uuid")
    word = fields.required("action").lower()
    terms, sizes = _action(word, fields.part("strategy_info"))
    order = fields.part("order")
    quantity, mode = _amount(order)
    order_type = order.choice("order_type", OrderType) or OrderType.MARKET
    price = order.positive("price")
    is_limit = order_type is not OrderType.MARKET
    alert = Alert(
        source="",
        dialect=Dialect.THREE_COMMAS,
        **viewed(fields.required("tv_instrument"), fields.text("tv_exchange")),
        action=terms.action,
        target=terms.target,
        previous=terms.previous,
        closes=terms.closes,
        **sizes,
        event_time=fields.time("timestamp"),
        max_age_s=_lag(fields),
        quantity=quantity,
        quantity_mode=mode,
        is_contracts=word in ("buy", "sell") and mode is QuantityMode.FIXED,
        order_type=order_type,
        limit_price=price if is_limit else None,
        cancel_first=cancels_first(terms, quantity),
        price_hint=fields.hint("trigger_price") or (None if is_limit else price),
    )
    return Reading(alert=alert, secrets=secrets)


def read_dca(found: dict[str, Any]) -> Reading:
    """Read the message of a DCA bot: closing and cancelling, which are plain without its settings."""
    fields = Fields(found)
    secrets = fields.secrets("email_token", "bot_id")
    fields.unsupported("delay_seconds")
    word = fields.text("action").lower()
    if word not in (*_CLOSING, *_CANCELLING):
        what = f"action {word[:40]!r} of a DCA bot" if word else "the start of a deal of a DCA bot"
        raise unsupported_command(what, known=", ".join((*_CLOSING, *_CANCELLING)))
    action = AlertAction.EXIT if word in _CLOSING else AlertAction.CANCEL
    quote, _, base = fields.required("pair").partition("_")
    if not base:
        raise AlertRefused(
            AlertReason.SYMBOL_UNKNOWN, f"pair must read QUOTE_BASE such as USDT_BTC, was {quote[:40]!r}"
        )
    alert = Alert(
        source="",
        dialect=Dialect.THREE_COMMAS,
        **viewed(f"{base}{quote}"),
        action=action,
        cancel_first=action is AlertAction.EXIT,
    )
    return Reading(alert=alert, secrets=secrets)


def _action(word: str, info: Fields) -> tuple[Settled, dict[str, Any]]:
    if word in _SIGNALS:
        return _SIGNALS[word], {}
    if word.startswith(("disable", "enable")):
        raise unsupported_command(f"action {word[:40]!r}", known="buy, sell, " + ", ".join(_SIGNALS))
    if word not in ("buy", "sell"):
        raise unknown_action(word, known="buy, sell, " + ", ".join(_SIGNALS))
    return strategy_order(info, order_side(word))


def _amount(order: Fields) -> tuple[Decimal | None, QuantityMode]:
    amount, kind = order.positive("amount"), order.text("currency_type").lower()
    if amount is None:
        return None, QuantityMode.FIXED
    if not kind:
        raise AlertRefused(AlertReason.FIELD_MISSING, "order.currency_type is missing: what does order.amount mean?")
    if kind not in _MODES:
        raise unsupported_command(f"order.currency_type {kind[:40]!r}", known=", ".join(_MODES))
    return amount, _MODES[kind]


def _lag(fields: Fields) -> int | None:
    value = fields.positive("max_lag")
    if value is not None and (value > LAG_S_MAX or value != value.to_integral_value()):
        raise AlertRefused(AlertReason.FIELD_INVALID, f"max_lag must be whole seconds up to {LAG_S_MAX}, was {value}")
    return None if value is None else int(value)
