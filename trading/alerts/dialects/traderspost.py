"""TradersPost's signals, as docs.traderspost.io describes them ("Signal Message Reference", "Order Behavior").

`quantity` of a strategy alert is {{strategy.order.contracts}} in its templates, so that of a reversal counts as old and
new size together. buy and sell say a side to be on: a second one does nothing, `add` enlarges. Open orders are
cancelled first unless `cancel` is false. Unknown fields are refused; free data belong into `extras`, of which
`extras.id` and `extras.strategy` are read.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from brokers.types import OrderSide, OrderType, PositionSide, TimeInForce
from trading.alerts.dialects.fields import Fields
from trading.alerts.dialects.reading import Reading, unknown_action, unsupported_command, viewed
from trading.alerts.model import Alert, AlertAction, Dialect, QuantityMode, Settled, settled
from trading.alerts.reasons import AlertReason, AlertRefused

_MODES = {
    "": QuantityMode.FIXED,
    "fixed_quantity": QuantityMode.FIXED,
    "dollar_amount": QuantityMode.CASH,
    "percent_of_equity": QuantityMode.PERCENT_OF_EQUITY,
    "percent_of_position": QuantityMode.PERCENT_OF_POSITION,
    "risk_dollar_amount": QuantityMode.RISK_AMOUNT,
    "risk_percent": QuantityMode.RISK_PERCENT,
}
_TYPES = {
    "": OrderType.MARKET,
    "market": OrderType.MARKET,
    "limit": OrderType.LIMIT,
    "stop": OrderType.STOP_MARKET,
    "stop_limit": OrderType.STOP_LIMIT,
}
_TIMES = {"": None, "day": TimeInForce.DAY, "gtc": TimeInForce.GTC, "ioc": TimeInForce.IOC, "fok": TimeInForce.FOK}
_OPTIONS = ("optionType", "intrinsicValue", "expiration", "strikePrice", "strikesAway")
_STOPS = ("type", "percent", "amount", "limitPrice", "trailPrice", "trailPercent", "trailAmount")


def read(found: dict[str, Any]) -> Reading:
    """Read the fields of a body."""
    fields = Fields(found)
    fields.unsupported(*_OPTIONS, "delay", "trailAmount", "trailPercent")
    word = fields.required("action").lower()
    sentiment = fields.position("sentiment")
    terms = _action(word, sentiment)
    stop_loss, brackets = _brackets(fields)
    extras = fields.part("extras")
    mode = _one_of(fields, "quantityType", _MODES)
    cancel = fields.flag("cancel")
    alert = Alert(
        source="",
        dialect=Dialect.TRADERSPOST,
        **viewed(fields.required("ticker"), fields.text("exchange")),
        action=terms.action,
        target=terms.target,
        previous=terms.previous,
        closes=terms.closes,
        is_target_only=word in ("buy", "sell") and terms.action is not AlertAction.EXIT,
        key=extras.text("id", length_max=200),
        strategy=extras.text("strategy"),
        event_time=fields.time("time"),
        interval=fields.text("interval", length_max=10),
        quantity=fields.positive("quantity"),
        quantity_mode=mode,
        is_contracts=word in ("buy", "sell") and mode is QuantityMode.FIXED,
        order_type=_one_of(fields, "orderType", _TYPES),
        limit_price=fields.positive("limitPrice"),
        stop_price=fields.positive("stopPrice"),
        time_in_force=_one_of(fields, "timeInForce", _TIMES),
        extended_hours=fields.flag("extendedHours") or False,
        stop_loss=stop_loss,
        brackets=brackets,
        cancel_first=cancel is not False,
        price_hint=fields.hint("signalPrice") or fields.hint("price"),
    )
    fields.ignore("price")
    fields.finish()
    return Reading(alert=alert)


def _action(word: str, sentiment: PositionSide | None) -> Settled:
    if word in ("buy", "sell"):
        return settled(side=OrderSide(word), target=sentiment, previous=None)
    if word == "exit":
        if sentiment not in (None, PositionSide.FLAT):
            raise AlertRefused(AlertReason.FIELDS_CONTRADICT, f"an exit ends flat, sentiment says {sentiment}")
        return Settled(action=AlertAction.EXIT)
    if word == "cancel":
        return Settled(action=AlertAction.CANCEL)
    if word not in ("add", "reverse"):
        raise unknown_action(word, known="buy, sell, exit, cancel, add, reverse")
    if sentiment is None or sentiment is PositionSide.FLAT:
        raise AlertRefused(AlertReason.FIELD_MISSING, f"{word} needs sentiment bullish or bearish: to which side?")
    if word == "reverse":
        return Settled(action=AlertAction.REVERSE, target=sentiment)
    side = AlertAction.BUY if sentiment is PositionSide.LONG else AlertAction.SELL
    return Settled(action=side, target=sentiment, previous=sentiment)


def _brackets(fields: Fields) -> tuple[Decimal | None, tuple[str, ...]]:
    """Stops and targets are not placed: the route refuses or ignores them. The price of a stop may give the size."""
    stop, profit = fields.part("stopLoss"), fields.part("takeProfit")
    price = stop.positive("stopPrice")
    named = stop.asked(*_STOPS) + profit.asked("percent", "amount", "limitPrice", "pnlAmount")
    stop.finish()
    profit.finish()
    return price, (("stopLoss.stopPrice",) if price is not None else ()) + named


def _one_of(fields: Fields, name: str, known: dict[str, Any]) -> Any:
    value = fields.text(name).lower()
    if value not in known:
        shown = ", ".join(key for key in known if key)
        raise unsupported_command(f"{name} {value[:40]!r}", known=shown)
    return known[value]
