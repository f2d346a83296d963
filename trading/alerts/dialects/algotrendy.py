"""Our own dialect, version 1: a JSON object, or the same fields as lines of key=value. docs/alerts.md describes it.

Unknown fields are refused. `quantity` is the size of the position to open (or, for an exit, to close); `contracts` is
TradingView's {{strategy.order.contracts}}, which is old and new size together where the strategy reverses.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from brokers.types import OrderSide, OrderType, PositionSide, TimeInForce
from trading.alerts.dialects.bodies import TEXT_MAX
from trading.alerts.dialects.fields import Fields
from trading.alerts.dialects.reading import Reading, cancels_first, unknown_action, viewed
from trading.alerts.model import Alert, AlertAction, Dialect, QuantityMode, Settled, settled
from trading.alerts.reasons import AlertReason, AlertRefused

VERSION = 1
SECRETS = ("secret",)
LINES_MAX = 64
KNOWN = (
    "v",
    "id",
    "time",
    "strategy",
    "symbol",
    "exchange",
    "action",
    "position",
    "previous_position",
    "position_size",
    "previous_position_size",
    "contracts",
    "quantity",
    "quantity_mode",
    "order_type",
    "limit_price",
    "stop_price",
    "time_in_force",
    "extended_hours",
    "stop_loss",
    "take_profit",
    "reduce_only",
    "cancel_first",
    "closes",
    "interval",
    "bar_time",
    "price",
    "comment",
    "secret",
)


def read(found: dict[str, Any]) -> Reading:
    """Read the fields of a body."""
    fields = Fields(found)
    secrets = fields.secrets(*SECRETS)
    if fields.text("v") != str(VERSION):
        raise AlertRefused(AlertReason.FIELD_INVALID, f"v must be {VERSION}: no other version of the dialect is known")
    terms = _action(fields)
    quantity, mode, is_contracts = _quantity(fields)
    stop_loss, brackets = _brackets(fields)
    cancel_first = fields.flag("cancel_first")
    alert = Alert(
        source="",
        dialect=Dialect.ALGOTRENDY,
        **viewed(fields.required("symbol"), fields.text("exchange")),
        action=terms.action,
        target=terms.target,
        previous=terms.previous,
        closes=terms.closes,
        key=fields.text("id", length_max=200),
        strategy=fields.text("strategy"),
        event_time=fields.time("time"),
        bar_time=fields.time("bar_time"),
        interval=fields.text("interval", length_max=10),
        target_size=fields.size("position_size"),
        previous_size=fields.size("previous_position_size"),
        quantity=quantity,
        quantity_mode=mode,
        is_contracts=is_contracts,
        order_type=fields.choice("order_type", OrderType) or OrderType.MARKET,
        limit_price=fields.positive("limit_price"),
        stop_price=fields.positive("stop_price"),
        time_in_force=fields.choice("time_in_force", TimeInForce),
        extended_hours=fields.flag("extended_hours") or False,
        stop_loss=stop_loss,
        brackets=brackets,
        reduce_only=fields.flag("reduce_only") or False,
        cancel_first=cancels_first(terms, quantity) if cancel_first is None else cancel_first,
        price_hint=fields.hint("price"),
        comment=fields.free_text("comment"),
    )
    fields.finish(known=KNOWN)
    return Reading(alert=alert, secrets=secrets)


def lines(body: str) -> dict[str, Any]:
    """The plain text form: one `key=value` a line, empty lines and lines that begin with # left out."""
    found: dict[str, Any] = {}
    for number, line in enumerate(body.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if number > LINES_MAX or len(line) > TEXT_MAX:
            text = f"a body of lines may have {LINES_MAX} lines of {TEXT_MAX} characters; it has more"
            raise AlertRefused(AlertReason.BODY_TOO_LARGE, text)
        if not equals or not name.strip():
            raise AlertRefused(AlertReason.FIELD_INVALID, f"line {number} must read key=value")
        if name.strip() in found:
            raise AlertRefused(AlertReason.FIELDS_CONTRADICT, f"line {number} gives a field for the second time")
        found[name.strip()] = value.strip()
    return found


def _action(fields: Fields) -> Settled:
    word = fields.required("action").lower()
    if word not in set(AlertAction):
        raise unknown_action(word, known=", ".join(AlertAction))
    action = AlertAction(word)
    target, previous = fields.position("position"), fields.position("previous_position")
    closes = fields.position("closes")
    if action.is_order:
        if closes is not None:
            raise AlertRefused(AlertReason.FIELDS_CONTRADICT, f"closes belongs to an exit, the action is {action}")
        return settled(side=OrderSide(action.value), target=target, previous=previous)
    if action is AlertAction.EXIT and target not in (None, PositionSide.FLAT):
        raise AlertRefused(AlertReason.FIELDS_CONTRADICT, f"an exit does not end {target}: say buy or sell")
    return Settled(action=action, target=target, previous=previous, closes=closes)


def _quantity(fields: Fields) -> tuple[Decimal | None, QuantityMode, bool]:
    contracts, quantity = fields.positive("contracts"), fields.positive("quantity")
    mode = fields.choice("quantity_mode", QuantityMode)
    if contracts is not None and (quantity is not None or mode is not None):
        raise AlertRefused(AlertReason.FIELDS_CONTRADICT, "give contracts, or quantity with quantity_mode, not both")
    if mode is not None and quantity is None:
        raise AlertRefused(AlertReason.FIELD_MISSING, f"quantity_mode {mode} needs quantity")
    if contracts is not None:
        return contracts, QuantityMode.FIXED, True
    return quantity, mode or QuantityMode.FIXED, False


def _brackets(fields: Fields) -> tuple[Decimal | None, tuple[str, ...]]:
    stop_loss, take_profit = fields.positive("stop_loss"), fields.positive("take_profit")
    named = (("stop_loss", stop_loss), ("take_profit", take_profit))
    return stop_loss, tuple(name for name, value in named if value is not None)
