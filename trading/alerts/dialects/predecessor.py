"""The templates of the system that AlgoTrendy replaces, so that its users need not rewrite their alerts.

One has buy, sell, close_long, close_short with a quantity. The other (with three sets of indicator values) has
{{strategy.market_position}} as action: long, short or flat, a position to be in. Its `timestamp` is {{time}}, which is
when the bar opened: it says nothing about how old the alert is. The old default quantity is not taken over: without
one in the body the route has to give it. Unknown fields are refused.
"""

from __future__ import annotations

from typing import Any

from brokers.types import OrderSide, PositionSide
from trading.alerts.dialects.fields import Fields
from trading.alerts.dialects.reading import Reading, cancels_first, entering, unknown_action, viewed
from trading.alerts.model import Alert, AlertAction, Dialect, Settled, settled
from trading.alerts.reasons import AlertReason, AlertRefused

_ACTIONS = {
    "buy": settled(side=OrderSide.BUY, target=None, previous=None),
    "sell": settled(side=OrderSide.SELL, target=None, previous=None),
    "close_long": Settled(action=AlertAction.EXIT, closes=PositionSide.LONG),
    "close_short": Settled(action=AlertAction.EXIT, closes=PositionSide.SHORT),
    "long": entering(PositionSide.LONG),
    "short": entering(PositionSide.SHORT),
    "flat": Settled(action=AlertAction.EXIT, target=PositionSide.FLAT),
}
# What templates carry for the reader only; {{rsi}} and the like are no placeholders of TradingView and stay literal.
_SHOWN = ("volume", "source", "high", "low", "open", "rsi", "macd", "direction", "confidence")


def read(found: dict[str, Any]) -> Reading:
    """Read the fields of a body."""
    if len({name.lower() for name in found}) != len(found):
        raise AlertRefused(AlertReason.FIELDS_CONTRADICT, "a field stands twice, in other letters; remove one")
    fields = Fields({name.lower(): value for name, value in found.items()})
    word = fields.required("action").lower()
    if word not in _ACTIONS:
        raise unknown_action(word, known=", ".join(_ACTIONS))
    terms = _ACTIONS[word]
    quantity = fields.positive("quantity")
    alert = Alert(
        source="",
        dialect=Dialect.PREDECESSOR,
        **viewed(fields.required("symbol"), fields.text("exchange")),
        action=terms.action,
        target=terms.target,
        closes=terms.closes,
        is_target_only=word in ("long", "short"),
        strategy=fields.text("strategy"),
        bar_time=fields.time("timestamp"),
        interval=fields.text("interval", length_max=10) or fields.text("timeframe", length_max=10),
        quantity=quantity,
        cancel_first=cancels_first(terms, quantity),
        price_hint=fields.hint("price"),
        comment=fields.free_text("message"),
    )
    fields.ignore(*_SHOWN, "timeframe")
    fields.finish()
    return Reading(alert=alert)
