"""The widely copied template of hackingthemarkets: `passphrase`, `bar` and `strategy` with TradingView's placeholders
(github.com/hackingthemarkets/tradingview-binance-strategy-alert-webhook). Unknown fields are refused."""

from __future__ import annotations

from typing import Any

from trading.alerts.dialects.fields import Fields
from trading.alerts.dialects.reading import Reading, cancels_first, order_side, strategy_order, viewed
from trading.alerts.model import Alert, Dialect


def read(found: dict[str, Any]) -> Reading:
    """Read the fields of a body."""
    fields = Fields(found)
    secrets = fields.secrets("passphrase")
    order, bar = fields.part("strategy"), fields.part("bar")
    terms, sizes = strategy_order(order, order_side(order.required("order_action").lower()))
    quantity = order.positive("order_contracts")
    alert = Alert(
        source="",
        dialect=Dialect.HACKINGTHEMARKETS,
        **viewed(fields.required("ticker"), fields.text("exchange")),
        action=terms.action,
        target=terms.target,
        previous=terms.previous,
        closes=terms.closes,
        **sizes,
        event_time=fields.time("time"),
        bar_time=bar.time("time"),
        interval=fields.text("interval", length_max=10),
        quantity=quantity,
        is_contracts=True,
        cancel_first=cancels_first(terms, quantity),
        price_hint=order.hint("order_price"),
        comment=order.free_text("order_id"),
    )
    order.ignore("position_size", "order_price")
    bar.ignore("open", "high", "low", "close", "volume")
    for part in (order, bar, fields):
        part.finish()
    return Reading(alert=alert, secrets=secrets)
