"""robswc/tradingview-webhooks-bot: JSON with `key` ("Event:secret") and whatever fields its user likes.

Fields that we know are read strictly; the event's name is the strategy where the body names none. Others are ignored,
because the format leaves them to its user; those that ask for more than one plain order are refused by name.
"""

from __future__ import annotations

from typing import Any

from trading.alerts.dialects.fields import Fields
from trading.alerts.dialects.reading import Reading, cancels_first, order_side, viewed
from trading.alerts.model import Alert, AlertAction, Dialect, Settled, settled
from trading.alerts.reasons import AlertReason, AlertRefused

_ASKING = (
    *("order_type", "orderType", "type", "limit_price", "stop_price", "stop", "stop_loss", "take_profit"),
    "leverage",
)


def read(found: dict[str, Any]) -> Reading:
    """Read the fields of a body."""
    fields = Fields(found)
    key = found.get("key")
    event, colon, _ = key.partition(":") if isinstance(key, str) else ("", "", "")
    secrets = fields.secrets("key")
    if not colon:
        raise AlertRefused(AlertReason.FIELD_MISSING, "key must read Event:secret")
    fields.unsupported(*_ASKING)
    word = fields.required("action").lower()
    is_exit = word in ("exit", "close")
    quantity = fields.positive("quantity")
    contracts = fields.positive("contracts")
    if quantity is not None and contracts is not None:
        raise AlertRefused(AlertReason.FIELDS_CONTRADICT, "give quantity or contracts, not both")
    target, previous = fields.position("position"), fields.position("previous_position")
    if is_exit:
        terms = Settled(action=AlertAction.EXIT)
    else:
        terms = settled(side=order_side(word, known="buy, sell, exit, close"), target=target, previous=previous)
    amount = contracts if contracts is not None else quantity
    alert = Alert(
        source="",
        dialect=Dialect.ROBSWC,
        **viewed(fields.text("ticker") or fields.required("symbol"), fields.text("exchange")),
        action=terms.action,
        target=terms.target,
        previous=terms.previous,
        closes=terms.closes,
        key=fields.text("id", length_max=200),
        strategy=fields.text("strategy") or _event(event),
        event_time=fields.time("time"),
        interval=fields.text("interval", length_max=10),
        quantity=amount,
        is_contracts=contracts is not None,
        cancel_first=cancels_first(terms, amount),
        price_hint=fields.hint("price"),
        comment=fields.free_text("message"),
    )
    return Reading(alert=alert, secrets=secrets)


def _event(name: str) -> str:
    """The event's name where it looks like one: what stands before the colon could be a secret gone astray."""
    return name if name.isidentifier() and len(name) <= 40 else ""
