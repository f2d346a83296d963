"""What an alert says, once it is read: typed, exact, without the sender's wording and without its secrets.

The action table (docs/alerts.md) is applied here, once, by `settled`: what a dialect says of action, position before
and position after becomes one of a few consistent forms.
- buy or sell: without a target it is bare; with a target on its own side it opens or adds; with the target on the other
  side it reduces (a sell after which the strategy is still long).
- exit: closes, up to all of the position, on the side `closes` where it is named; never opens.
- reverse: from `previous` or whatever is held to `target`.
- cancel: open orders only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any, cast

from pydantic import TypeAdapter

from brokers.strictjson import encode
from brokers.types import OrderSide, OrderType, PositionSide, TimeInForce
from trading.alerts.reasons import AlertReason, AlertRefused
from trading.rebalancing.portfolio import Exact

HUNDRED = Decimal(100)


class Dialect(StrEnum):
    """How a source writes its alerts."""

    AUTO = "auto"  # recognised from the body
    ALGOTRENDY = "algotrendy"  # ours: JSON or lines of key=value
    PREDECESSOR = "predecessor"  # the two templates of the system that this one replaces
    TRADERSPOST = "traderspost"
    THREE_COMMAS = "three_commas"
    WUNDERTRADING = "wundertrading"
    PINECONNECTOR = "pineconnector"
    ALERTATRON = "alertatron"
    ROBSWC = "robswc"
    HACKINGTHEMARKETS = "hackingthemarkets"


class AlertAction(StrEnum):
    BUY = "buy"
    SELL = "sell"
    EXIT = "exit"
    CANCEL = "cancel"
    REVERSE = "reverse"

    @property
    def is_order(self) -> bool:
        """Whether it is a plain buy or sell."""
        return self in (AlertAction.BUY, AlertAction.SELL)


class QuantityMode(StrEnum):
    """What the number beside the order means. Percent are 0 to 100, money is in the instrument's quote currency."""

    FIXED = "fixed"  # units of the instrument: shares, contracts, base currency
    CASH = "cash"
    PERCENT_OF_EQUITY = "percent_of_equity"
    PERCENT_OF_POSITION = "percent_of_position"
    RISK_AMOUNT = "risk_amount"  # money lost if the stop-loss is met
    RISK_PERCENT = "risk_percent"  # the same as percent of equity


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert. `None` and "" mean: the body does not say.

    `target` and `previous` are the strategy's position after and before the order, `target_size` and `previous_size`
    its sizes (not signed). `is_contracts`: the quantity is the size of the strategy's own order, which is old and new
    size together where it reverses. `is_target_only`: the body names a position to be in, not an order, so there is
    nothing to do when it is reached. `brackets` names the stops and targets that the body asks to attach; `stop_loss`
    is the price of one. `max_age_s` is the sender's own limit. `event_time` is when it fired, `bar_time` when its bar
    opened.
    """

    source: str
    dialect: Dialect
    action: AlertAction
    symbol: str
    symbol_raw: str
    exchange: str = ""
    exchange_raw: str = ""
    is_delayed: bool = False
    key: str = ""
    strategy: str = ""
    event_time: datetime | None = None
    bar_time: datetime | None = None
    interval: str = ""
    target: PositionSide | None = None
    previous: PositionSide | None = None
    target_size: Exact | None = None
    previous_size: Exact | None = None
    closes: PositionSide | None = None
    is_target_only: bool = False
    quantity: Exact | None = None
    quantity_mode: QuantityMode = QuantityMode.FIXED
    is_contracts: bool = False
    order_type: OrderType = OrderType.MARKET
    limit_price: Exact | None = None
    stop_price: Exact | None = None
    time_in_force: TimeInForce | None = None
    extended_hours: bool = False
    stop_loss: Exact | None = None
    brackets: tuple[str, ...] = ()
    reduce_only: bool = False
    cancel_first: bool = False
    max_age_s: int | None = None
    price_hint: Exact | None = None
    comment: str = ""

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_prices()
        self._check_action()
        for name in ("event_time", "bar_time"):
            at: datetime | None = getattr(self, name)
            if at is not None and at.utcoffset() is None:
                raise AlertRefused(AlertReason.FIELD_INVALID, f"{name} must carry a zone, was {at.isoformat()}")

    @property
    def is_exit(self) -> bool:
        """Whether it can only close or reduce: such an alert is worth carrying out later, too."""
        if self.action is AlertAction.EXIT or self.reduce_only:
            return True
        return self.action.is_order and self.target is opposite_of(_side_opened(self.action))

    @property
    def opens(self) -> bool:
        """Whether it may open or enlarge a position."""
        return self.action is not AlertAction.CANCEL and not self.is_exit

    def to_json(self) -> str:
        """Canonical text; `from_json` gives an equal alert."""
        return encode(_adapter().dump_python(self, mode="json"))

    @staticmethod
    def from_json(text: str) -> Alert:
        """Read a stored alert; ValueError when it is not one."""
        return cast(Alert, _adapter().validate_json(text))

    def _check_numbers(self) -> None:
        for name in ("quantity", "limit_price", "stop_price", "stop_loss", "price_hint"):
            value: Decimal | None = getattr(self, name)
            if value is not None and not (value.is_finite() and value > 0):
                raise AlertRefused(AlertReason.NUMBER_INVALID, f"{name} must be above 0, was {value}")
        for name in ("target_size", "previous_size"):
            size: Decimal | None = getattr(self, name)
            if size is not None and not (size.is_finite() and size >= 0):
                raise AlertRefused(AlertReason.NUMBER_INVALID, f"{name} must not be negative, was {size}")
        is_share = self.quantity_mode is QuantityMode.PERCENT_OF_POSITION
        if is_share and self.quantity is not None and self.quantity > HUNDRED:
            text = f"a percent of the position must be at most 100, was {self.quantity}"
            raise AlertRefused(AlertReason.NUMBER_INVALID, text)

    def _check_prices(self) -> None:
        wants_limit = self.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT)
        wants_stop = self.order_type in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT)
        for name, wanted, given in (
            ("limit_price", wants_limit, self.limit_price),
            ("stop_price", wants_stop, self.stop_price),
        ):
            if wanted and given is None:
                raise AlertRefused(AlertReason.FIELD_MISSING, f"order_type {self.order_type} needs {name}")
            if given is not None and not wanted:
                text = f"{name} {given} does not belong to order_type {self.order_type}"
                raise AlertRefused(AlertReason.FIELDS_CONTRADICT, text)

    def _check_action(self) -> None:
        action, target = self.action, self.target
        if action is AlertAction.REVERSE and target not in (PositionSide.LONG, PositionSide.SHORT):
            raise AlertRefused(AlertReason.FIELD_MISSING, "a reverse must say the position that it goes to")
        if action.is_order and target is PositionSide.FLAT:
            raise AlertRefused(AlertReason.FIELDS_CONTRADICT, f"a {action} that ends flat is an exit")
        if self.closes is not None and (action is not AlertAction.EXIT or self.closes is PositionSide.FLAT):
            raise AlertRefused(AlertReason.FIELDS_CONTRADICT, f"a {action} does not close {self.closes}")
        if self.reduce_only and action is AlertAction.REVERSE:
            raise AlertRefused(AlertReason.FIELDS_CONTRADICT, "a reverse cannot be reduce_only")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Action and sides, brought into one consistent form."""

    action: AlertAction
    target: PositionSide | None = None
    previous: PositionSide | None = None
    closes: PositionSide | None = None


def settled(*, side: OrderSide, target: PositionSide | None, previous: PositionSide | None) -> Settled:
    """The action table: what a buy or sell is, given the strategy's position after and before it.

    A combination that no order can cause (a buy that leads from flat to short) is refused.
    """
    action = AlertAction.BUY if side is OrderSide.BUY else AlertAction.SELL
    own, other = _side_opened(action), opposite_of(_side_opened(action))
    if target is PositionSide.FLAT:
        if previous in (own, PositionSide.FLAT):
            raise _impossible(action, target, previous)
        return Settled(action=AlertAction.EXIT, target=target, previous=previous, closes=other)
    if target is own and previous is other:
        return Settled(action=AlertAction.REVERSE, target=target, previous=previous)
    if target is other and previous in (own, PositionSide.FLAT):
        raise _impossible(action, target, previous)
    return Settled(action=action, target=target, previous=previous)


def side_of(position: PositionSide) -> OrderSide:
    """The side of the order that opens a position."""
    assert position is not PositionSide.FLAT, "a flat position is not opened"
    return OrderSide.BUY if position is PositionSide.LONG else OrderSide.SELL


def opposite_of(position: PositionSide) -> PositionSide:
    """Long for short, short for long, flat for flat."""
    return {PositionSide.LONG: PositionSide.SHORT, PositionSide.SHORT: PositionSide.LONG}.get(position, position)


def _side_opened(action: AlertAction) -> PositionSide:
    return PositionSide.LONG if action is AlertAction.BUY else PositionSide.SHORT


def _impossible(action: AlertAction, target: PositionSide, previous: PositionSide | None) -> AlertRefused:
    text = f"a {action} cannot lead from {previous or 'anywhere'} to {target}"
    return AlertRefused(AlertReason.FIELDS_CONTRADICT, text)


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(Alert)
