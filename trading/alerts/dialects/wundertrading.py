"""WunderTrading: JSON with a `code`, or the bare code as text (help.wundertrading.com, "Signal bot: full JSON guide").

A code reads ACTION_EXCHANGE_SYMBOL_BOT_TIMEFRAME_ID and is a bearer secret as a whole; exchange and symbol are taken
from it, and the bot's name as strategy. `percents` is a share of the portfolio: 1 is all of it. Unknown fields are
refused. An exit closes all of the position: amounts beside it are ignored.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from brokers.types import OrderType, PositionSide
from trading.alerts.dialects.fields import Fields, digest, require_resolved
from trading.alerts.dialects.reading import Reading, entering, unknown_action, unsupported_command, viewed
from trading.alerts.model import HUNDRED, Alert, AlertAction, Dialect, QuantityMode, Settled
from trading.alerts.reasons import AlertReason, AlertRefused

CODE = re.compile(r"(?:ENTER|EXIT)-[A-Z]{1,10}_", re.ASCII)
_ACTIONS = {
    "ENTER-LONG": entering(PositionSide.LONG),
    "ENTER-SHORT": entering(PositionSide.SHORT),
    "EXIT-LONG": Settled(action=AlertAction.EXIT, closes=PositionSide.LONG),
    "EXIT-SHORT": Settled(action=AlertAction.EXIT, closes=PositionSide.SHORT),
    "EXIT-ALL": Settled(action=AlertAction.EXIT),
}
_MODES = {
    "base": QuantityMode.FIXED,
    "contracts": QuantityMode.FIXED,
    "quote": QuantityMode.CASH,
    "percents": QuantityMode.PERCENT_OF_EQUITY,
}
_BRACKETS = ("takeProfits", "stopLoss", "trailingStop", "moveStopToBreakeven", "moveStopLoss")
_NO_SYMBOL = ("NONE", "MULTIPLE-PAIRS")
CODE_MAX = 300


def read(found: dict[str, Any]) -> Reading:
    """Read the fields of a body."""
    fields = Fields(found)
    code = fields.required("code", length_max=CODE_MAX)
    terms, symbol, strategy = _parts(code)
    is_entry = terms.action is not AlertAction.EXIT
    quantity, mode = _amount(fields, is_entry=is_entry)
    brackets = fields.asked(*_BRACKETS)
    _leverage(fields)
    order_type = fields.choice("orderType", OrderType) or OrderType.MARKET
    if order_type not in (OrderType.MARKET, OrderType.LIMIT):
        raise unsupported_command(f"orderType {order_type}", known="market, limit")
    price = fields.positive("price")
    alert = Alert(
        source="",
        dialect=Dialect.WUNDERTRADING,
        **symbol,
        action=terms.action,
        target=terms.target,
        closes=terms.closes,
        strategy=strategy,
        quantity=quantity,
        quantity_mode=mode,
        order_type=order_type,
        limit_price=price if order_type is OrderType.LIMIT else None,
        brackets=brackets,
        reduce_only=(fields.flag("reduceOnly") or False) and is_entry,
        cancel_first=not is_entry,
        price_hint=price if order_type is OrderType.MARKET else None,
    )
    fields.ignore("placeConditionalOrdersOnExchange")
    fields.finish()
    return Reading(alert=alert, secrets={"code": digest(code)})


def read_code(body: str) -> Reading:
    """Read a bare code."""
    return read({"code": body})


def _parts(code: str) -> tuple[Settled, dict[str, Any], str]:
    """Action, symbol and bot. Neither the code nor a part of it goes into an error, except its action."""
    require_resolved(code[:20], field="code")
    action, *rest = code.split("_")
    if action not in _ACTIONS:
        raise unknown_action(action if CODE.match(code) else "no code", known=", ".join(_ACTIONS))
    if len(rest) < 5 or rest[1].upper() in _NO_SYMBOL:
        text = "code must read ACTION_EXCHANGE_SYMBOL_BOT_TIMEFRAME_ID with one symbol"
        raise AlertRefused(AlertReason.SYMBOL_UNKNOWN, text)
    exchange, symbol, *bot = rest[:-2]
    try:
        seen = viewed(symbol, exchange)
    except AlertRefused as refusal:
        raise AlertRefused(refusal.reason, "exchange or symbol within the code cannot be read") from None
    return _ACTIONS[action], seen, "_".join(bot)[:80]


def _amount(fields: Fields, *, is_entry: bool) -> tuple[Decimal | None, QuantityMode]:
    amount, kind = fields.positive("amountPerTrade"), fields.text("amountPerTradeType").lower()
    if amount is None or not is_entry:
        return None, QuantityMode.FIXED
    if not kind:
        raise AlertRefused(AlertReason.FIELD_MISSING, "amountPerTradeType is missing: what does amountPerTrade mean?")
    if kind not in _MODES:
        raise unsupported_command(f"amountPerTradeType {kind[:40]!r}", known=", ".join(_MODES))
    mode = _MODES[kind]
    if mode is QuantityMode.PERCENT_OF_EQUITY:
        if amount > 1:
            text = f"amountPerTrade in percents is a share from 0 to 1, was {amount}"
            raise AlertRefused(AlertReason.NUMBER_INVALID, text)
        amount *= HUNDRED
    return amount, mode


def _leverage(fields: Fields) -> None:
    value = fields.positive("leverage")
    if value is not None and value != 1:
        text = f"leverage {value} is not set by an alert; set it with the job for leverage and leave it out"
        raise AlertRefused(AlertReason.FIELD_UNSUPPORTED, text)
