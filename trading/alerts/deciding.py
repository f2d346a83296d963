"""The decision on one alert. Pure: typed alert, route and snapshot in; cancels, legs or a reason out.

Invariants (property-tested)
1. An alert that can only close or reduce never opens or enlarges a position, open orders counted as filled.
2. No leg crosses zero: a closing is at most the position, an opening starts from flat or from its own side.
3. A reversal is two legs; the opening waits until the closing is confirmed filled in full.
4. An opening is never above the route's limits; a closing never above the position.
5. Quantities are multiples of the lot, rounded down; limit prices lie on the tick grid, never more aggressive.
6. Before cancels of a plan are over, nothing else of it is decided.
7. The same inputs give the same plan; whatever the plan is, it has a reason.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from brokers.ids import IntentId
from brokers.rounding import decimal_text, quantise_price
from brokers.types import OrderRequest, OrderSide, OrderType, PositionMode, PositionSide, ProductKind, TimeInForce
from trading.alerts.model import Alert, AlertAction, side_of
from trading.alerts.positioning import Intended, intended
from trading.alerts.reasons import AlertReason, AlertRefused
from trading.alerts.routing import Route, RouteAction, WhenClosed
from trading.alerts.sizing import closing_quantity, opening_quantity
from trading.alerts.values import (
    AlertLeg,
    AlertPlan,
    AlertSnapshot,
    LegName,
    OpenOrder,
    PlanVerdict,
    moment,
)
from trading.market_hours import CalendarUnknown, MarketState, market_state

_EXTENDED = {TimeInForce.DAY: TimeInForce.DAY_EXTENDED, TimeInForce.GTC: TimeInForce.GTC_EXTENDED}
_REGULAR = {extended: regular for regular, extended in _EXTENDED.items()}

__all__ = ["AlertLeg", "AlertPlan", "AlertSnapshot", "LegName", "OpenOrder", "PlanVerdict", "decide"]


def decide(alert: Alert, route: Route, snapshot: AlertSnapshot) -> AlertPlan:
    """What is to be done about an alert now. Never raises for what an alert or a snapshot may hold."""
    try:
        return _decided(alert, route, snapshot)
    except AlertRefused as refusal:
        return AlertPlan(verdict=PlanVerdict.REFUSED, reason=refusal.reason, detail=refusal.detail)


def _decided(alert: Alert, route: Route, snapshot: AlertSnapshot) -> AlertPlan:
    if snapshot.expires_at is not None and snapshot.time >= snapshot.expires_at:
        text = f"it could be carried out until {moment(snapshot.expires_at)}"
        raise AlertRefused(AlertReason.ALERT_EXPIRED, text)
    if snapshot.position_mode is PositionMode.HEDGE:
        raise AlertRefused(AlertReason.HEDGE_MODE_UNSUPPORTED, "position_mode must be one_way, was hedge")
    route.require_fit(alert)
    if alert.action is AlertAction.CANCEL:
        return _cancel(snapshot)
    cancels = _ours(snapshot) if alert.cancel_first else ()
    if not cancels:
        return _without_cancels(alert, route, snapshot)
    # Decided as if they were gone already: what is refused or has to wait anyway leaves open orders as they are.
    left = tuple(order for order in snapshot.open_orders if order.intent_id is None)
    plan = _without_cancels(alert, route, replace(snapshot, open_orders=left))
    if plan.verdict in (PlanVerdict.REFUSED, PlanVerdict.WAIT):
        return plan
    return AlertPlan(verdict=PlanVerdict.CANCEL_FIRST, reason=AlertReason.CANCELS_DECIDED, cancels=cancels)


def _without_cancels(alert: Alert, route: Route, snapshot: AlertSnapshot) -> AlertPlan:
    wants = intended(alert, snapshot.side, route)
    if wants.nothing is not None:
        return AlertPlan(verdict=PlanVerdict.NOTHING_TO_DO, reason=wants.nothing, detail=wants.detail)
    try:
        is_extended = _time_in_force(alert, route, snapshot).is_extended
        hours = market_state(route.calendar, snapshot.time, is_extended=is_extended)
    except CalendarUnknown as error:
        raise AlertRefused(AlertReason.ALERT_CONFIG_REFUSED, f"route {route.name}: {error}") from None
    if not hours.is_open:
        return _closed(route, hours, snapshot)
    return _orders(alert, route, snapshot, wants)


def _cancel(snapshot: AlertSnapshot) -> AlertPlan:
    cancels = _ours(snapshot)
    if not cancels:
        return AlertPlan(verdict=PlanVerdict.NOTHING_TO_DO, reason=AlertReason.NO_OPEN_ORDERS)
    return AlertPlan(verdict=PlanVerdict.CANCEL, reason=AlertReason.CANCELS_DECIDED, cancels=cancels)


def _ours(snapshot: AlertSnapshot) -> tuple[IntentId, ...]:
    return tuple(order.intent_id for order in snapshot.open_orders if order.intent_id is not None)


def _closed(route: Route, hours: MarketState, snapshot: AlertSnapshot) -> AlertPlan:
    assert hours.opens_at is not None, "a closed market opens some time"
    text = f"{route.calendar} opens at {moment(hours.opens_at)}"
    waits = route.when_closed is not WhenClosed.REFUSE
    if not waits or (snapshot.expires_at is not None and hours.opens_at >= snapshot.expires_at):
        raise AlertRefused(AlertReason.MARKET_CLOSED, text)
    return AlertPlan(
        verdict=PlanVerdict.WAIT, reason=AlertReason.WAITING_FOR_OPEN, detail=text, wait_until=hours.opens_at
    )


def _orders(alert: Alert, route: Route, snapshot: AlertSnapshot, wants: Intended) -> AlertPlan:
    closing = _closing(alert, route, snapshot, wants)
    if isinstance(closing, AlertPlan):
        return closing
    if wants.opens is None:
        assert closing is not None, "an alert that neither closes nor opens has a reason"
        return AlertPlan(verdict=PlanVerdict.ORDERS, reason=AlertReason.ORDERS_DECIDED, legs=(closing,))
    try:
        opening = _opening(alert, route, snapshot, wants)
    except AlertRefused as refusal:
        if closing is None:
            raise
        # The way out is plain, whatever is wrong with the way in: what is to be left is left.
        text = f"the other side is not opened: {refusal}"
        return AlertPlan(verdict=PlanVerdict.ORDERS, reason=AlertReason.OPENING_LEFT_OUT, detail=text, legs=(closing,))
    legs = (opening,) if closing is None else (closing, opening)
    return AlertPlan(verdict=PlanVerdict.ORDERS, reason=AlertReason.ORDERS_DECIDED, legs=legs)


def _closing(alert: Alert, route: Route, snapshot: AlertSnapshot, wants: Intended) -> AlertLeg | AlertPlan | None:
    if wants.closes is None:
        return None
    quantity = closing_quantity(alert, wants, snapshot, lot=_lot(alert, route, snapshot))
    side = side_of(wants.closes).opposite
    if quantity == 0:
        is_taken = snapshot.pending(side) > 0
        reason = AlertReason.EXIT_ALREADY_WORKING if is_taken else AlertReason.BELOW_ONE_LOT
        if wants.is_reversal:
            text = f"the position cannot be closed first ({reason.value}); cancel open orders or close it by hand"
            raise AlertRefused(reason, text)
        return AlertPlan(verdict=PlanVerdict.NOTHING_TO_DO, reason=reason)
    return AlertLeg(
        name=LegName.CLOSE,
        request=_request(alert, route, snapshot, side, quantity, is_reduction=True),
        is_reduction=True,
    )


def _opening(alert: Alert, route: Route, snapshot: AlertSnapshot, wants: Intended) -> AlertLeg:
    assert wants.opens is not None, "only an opening is opened"
    is_short = wants.opens is PositionSide.SHORT
    if is_short and snapshot.instrument.product is ProductKind.SPOT:
        raise AlertRefused(AlertReason.NO_SHORT_HERE, f"{snapshot.instrument.instrument_id} is spot")
    needed = RouteAction.OPEN_SHORT if is_short else RouteAction.OPEN_LONG
    if needed not in route.actions:
        text = f"route {route.name} allows {', '.join(sorted(route.actions)) or 'exits'} and not {needed}"
        raise AlertRefused(AlertReason.ACTION_NOT_ALLOWED, text)
    quantity = opening_quantity(alert, wants, snapshot, route, lot=_lot(alert, route, snapshot))
    return AlertLeg(
        name=LegName.OPEN,
        request=_request(alert, route, snapshot, side_of(wants.opens), quantity, is_reduction=False),
        is_reduction=False,
        after=(LegName.CLOSE,) if wants.is_reversal else (),
    )


def _request(
    alert: Alert, route: Route, snapshot: AlertSnapshot, side: OrderSide, quantity: Decimal, *, is_reduction: bool
) -> OrderRequest:
    item = snapshot.instrument
    tick = item.tick_size
    limit = None if alert.limit_price is None else quantise_price(alert.limit_price, tick=tick, side=side)
    # A trigger that moves away from the market waits longer: that is its safe side.
    stop = None if alert.stop_price is None else quantise_price(alert.stop_price, tick=tick, side=side.opposite)
    for name, price in (("limit_price", limit), ("stop_price", stop)):
        if price is not None and price <= 0:
            text = f"{name} is below one tick of {decimal_text(tick)}; correct it"
            raise AlertRefused(AlertReason.NUMBER_INVALID, text)
    return OrderRequest(
        instrument_id=item.instrument_id,
        side=side,
        order_type=alert.order_type,
        quantity=quantity,
        time_in_force=_time_in_force(alert, route, snapshot),
        limit_price=limit,
        trigger_price=stop,
        reduce_only=is_reduction and item.product is not ProductKind.SPOT,
    )


def _lot(alert: Alert, route: Route, snapshot: AlertSnapshot) -> Decimal:
    """The step of quantities: parts of a share can be had for the day alone."""
    return snapshot.instrument.lot_for(_time_in_force(alert, route, snapshot))


def _time_in_force(alert: Alert, route: Route, snapshot: AlertSnapshot) -> TimeInForce:
    """With the sessions around regular hours where the alert asks for them; FIELD_UNSUPPORTED where that cannot be.

    A market order is for regular hours, whatever its sender allows: outside them nothing would bound its price.
    """
    given = _base_time_in_force(alert, route, snapshot)
    if not (alert.extended_hours or given.is_extended) or alert.order_type is OrderType.MARKET:
        return _REGULAR.get(given, given)
    if alert.order_type is not OrderType.LIMIT:
        text = f"extended_hours needs order_type limit, was {alert.order_type}"
        raise AlertRefused(AlertReason.FIELD_UNSUPPORTED, text)
    if given in (TimeInForce.IOC, TimeInForce.FOK):
        text = f"extended_hours needs time_in_force day or gtc, was {given}"
        raise AlertRefused(AlertReason.FIELD_UNSUPPORTED, text)
    return _EXTENDED.get(given, given)


def _base_time_in_force(alert: Alert, route: Route, snapshot: AlertSnapshot) -> TimeInForce:
    """The alert's, else the route's, else what lets nothing rest longer than it has to."""
    given = alert.time_in_force or route.time_in_force
    if given is not None:
        return given
    if snapshot.instrument.product in (ProductKind.EQUITY, ProductKind.FUTURE):
        return TimeInForce.DAY
    return TimeInForce.IOC if alert.order_type is OrderType.MARKET else TimeInForce.GTC
