"""How much: from an alert's number and its mode to units of the instrument, always to the safe side.

Invariants
- A quantity is a multiple of the lot and never above what was asked for.
- A price that turns money into units is the one that gives fewer units.
- A reduction is never above the position less what open orders already take from it.
- An opening above a limit of the route or of the venue is refused, not made smaller.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

from brokers.rounding import MONEY, decimal_text, quantise_quantity
from brokers.types import ZERO, OrderSide, OrderType, PositionSide
from trading.alerts.model import HUNDRED, Alert, AlertAction, QuantityMode, side_of
from trading.alerts.positioning import Intended
from trading.alerts.reasons import AlertReason, AlertRefused
from trading.alerts.routing import ReversalQuantity, Route
from trading.alerts.values import AlertSnapshot
from trading.rebalancing.view import usable

M = QuantityMode
_DOWN = MONEY.copy()
_DOWN.rounding = ROUND_FLOOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A number and what it means."""

    number: Decimal
    mode: QuantityMode


def closing_quantity(alert: Alert, wants: Intended, snapshot: AlertSnapshot, *, lot: Decimal) -> Decimal:
    """Units to close, a multiple of `lot`; 0 where open orders already take everything, or less than one is left."""
    assert wants.closes is not None and snapshot.side is wants.closes, "only what is held can be closed"
    position = abs(snapshot.position)
    leaving = OrderSide.SELL if wants.closes is PositionSide.LONG else OrderSide.BUY
    available = max(MONEY.subtract(position, snapshot.pending(leaving)), ZERO)
    asked = position if wants.is_whole else _part_of(position, alert, snapshot, leaving)
    quantity = quantise_quantity(min(asked, available), lot=lot)
    assert quantity <= position, "a reduction is at most the position"
    _require_venue_size(quantity, alert, snapshot)
    return quantity


def opening_quantity(alert: Alert, wants: Intended, snapshot: AlertSnapshot, route: Route, *, lot: Decimal) -> Decimal:
    """Units to open, a multiple of `lot`; AlertRefused where it cannot be told, is too small, or is above a limit."""
    assert wants.opens is not None, "nothing is to be opened"
    side = side_of(wants.opens)
    wanted = _entry(alert, wants, snapshot, route)
    exact = _units(wanted, alert, snapshot, side)
    quantity = quantise_quantity(exact, lot=lot)
    smallest = max(snapshot.instrument.quantity_min, lot)
    if quantity < smallest:
        text = f"quantity must be at least {decimal_text(smallest)}, was {exact:.10f} before rounding"
        raise AlertRefused(AlertReason.QUANTITY_BELOW_LOT, text)
    _require_venue_size(quantity, alert, snapshot)
    _require_route_size(quantity, alert, wants, snapshot, route)
    return quantity


def _part_of(position: Decimal, alert: Alert, snapshot: AlertSnapshot, side: OrderSide) -> Decimal:
    if alert.quantity is None:
        raise AlertRefused(AlertReason.QUANTITY_MISSING, f"a {alert.action} that reduces must say how much")
    if alert.quantity_mode is M.PERCENT_OF_POSITION:
        return _DOWN.divide(MONEY.multiply(position, alert.quantity), HUNDRED)
    if alert.quantity_mode in (M.FIXED, M.CASH):
        return _units(Wanted(number=alert.quantity, mode=alert.quantity_mode), alert, snapshot, side)
    text = f"quantity_mode {alert.quantity_mode} does not fit a reduction; use percent_of_position, fixed or cash"
    raise AlertRefused(AlertReason.QUANTITY_MODE_UNFIT, text)


def _entry(alert: Alert, wants: Intended, snapshot: AlertSnapshot, route: Route) -> Wanted:
    """What the alert, or else the route, asks for as the size of the opening."""
    if alert.quantity is None:
        if route.quantity is None:
            text = f"neither the alert nor route {route.name} gives a quantity; add one, it is never guessed"
            raise AlertRefused(AlertReason.QUANTITY_MISSING, text)
        return Wanted(number=route.quantity, mode=route.quantity_mode)
    if alert.quantity_mode is M.PERCENT_OF_POSITION:
        text = "percent_of_position closes or reduces; an entry needs another quantity_mode"
        raise AlertRefused(AlertReason.QUANTITY_MODE_UNFIT, text)
    if not alert.is_contracts:
        return Wanted(number=alert.quantity, mode=alert.quantity_mode)
    return Wanted(number=_entry_contracts(alert, wants, snapshot, route), mode=M.FIXED)


def _entry_contracts(alert: Alert, wants: Intended, snapshot: AlertSnapshot, route: Route) -> Decimal:
    """The new size within a strategy's order, which is old and new together where the strategy reverses."""
    assert alert.quantity is not None, "contracts are a quantity"
    is_open_question = alert.previous is None and (wants.is_reversal or alert.target_size is not None)
    if alert.action is not AlertAction.REVERSE and not is_open_question:
        return alert.quantity
    if alert.previous is None and alert.target_size is not None:
        return min(alert.quantity, _size(alert, alert.target_size, is_reversal=False))
    if alert.target_size is not None:
        return _size(alert, alert.target_size)
    if alert.previous_size is not None:
        return _size(alert, MONEY.subtract(alert.quantity, alert.previous_size))
    if route.reversal_quantity is ReversalQuantity.ENTRY:
        return alert.quantity
    if route.reversal_quantity is ReversalQuantity.CONTRACTS and wants.is_reversal:
        return _size(alert, MONEY.subtract(alert.quantity, abs(snapshot.position)))
    text = f"contracts {decimal_text(alert.quantity)} are old and new size together; send position_size"
    raise AlertRefused(AlertReason.REVERSAL_SIZE_UNKNOWN, text)


def _size(alert: Alert, size: Decimal, *, is_reversal: bool = True) -> Decimal:
    assert alert.quantity is not None, "contracts are a quantity"
    if size <= 0 or (is_reversal and size > alert.quantity):
        text = f"a reversal of {alert.quantity} contracts cannot end with {decimal_text(size)}; correct the sizes"
        raise AlertRefused(AlertReason.REVERSAL_SIZE_UNKNOWN, text)
    return size


def _units(wanted: Wanted, alert: Alert, snapshot: AlertSnapshot, side: OrderSide) -> Decimal:
    """Units before rounding."""
    if wanted.mode is M.FIXED:
        return wanted.number
    contract = snapshot.instrument.contract_size
    if wanted.mode in (M.RISK_AMOUNT, M.RISK_PERCENT):
        money = wanted.number if wanted.mode is M.RISK_AMOUNT else _share_of_equity(wanted.number, snapshot)
        return _DOWN.divide(money, MONEY.multiply(_distance(alert, snapshot, side), contract))
    money = wanted.number if wanted.mode is M.CASH else _share_of_equity(wanted.number, snapshot)
    return _DOWN.divide(money, MONEY.multiply(_dear_price(alert, snapshot, side), contract))


def _share_of_equity(percent: Decimal, snapshot: AlertSnapshot) -> Decimal:
    currency = snapshot.instrument.quote_currency
    if snapshot.equity is None or snapshot.equity <= 0 or snapshot.equity_currency != currency:
        shown = "not known" if snapshot.equity is None else f"{snapshot.equity} {snapshot.equity_currency}"
        text = f"equity must be above 0 and in {currency}, was {shown}"
        raise AlertRefused(AlertReason.EQUITY_UNKNOWN, text)
    return _DOWN.divide(_DOWN.multiply(snapshot.equity, percent), HUNDRED)


def _distance(alert: Alert, snapshot: AlertSnapshot, side: OrderSide) -> Decimal:
    """From the entry to the stop-loss, from the entry that lies furthest away."""
    if alert.stop_loss is None:
        raise AlertRefused(AlertReason.QUANTITY_MODE_UNFIT, "a quantity by risk needs stop_loss, a price")
    entry = _worst_entry(alert, snapshot, side)
    distance = MONEY.multiply(MONEY.subtract(entry, alert.stop_loss), Decimal(side.sign))
    if distance <= 0:
        text = f"stop_loss {decimal_text(alert.stop_loss)} is not on the losing side of {decimal_text(entry)}"
        raise AlertRefused(AlertReason.STOP_ON_WRONG_SIDE, text)
    return distance


def _worst_entry(alert: Alert, snapshot: AlertSnapshot, side: OrderSide) -> Decimal:
    """The limit, beyond which nothing is filled; else the far side of the quote, or the trigger that lies beyond it."""
    if alert.limit_price is not None:
        return alert.limit_price
    bid, ask = _quote(snapshot)
    if side is OrderSide.BUY:
        return max(ask, alert.stop_price or ask)
    return min(bid, alert.stop_price or bid)


def _dear_price(alert: Alert, snapshot: AlertSnapshot, side: OrderSide) -> Decimal:
    """The highest price that the order is likely filled at: it gives the fewest units for the money."""
    given = [price for price in (alert.limit_price, alert.stop_price) if price is not None]
    if alert.limit_price is not None and side is OrderSide.BUY:
        return alert.limit_price
    return max([*given, _quote(snapshot)[1]])


def _quote(snapshot: AlertSnapshot) -> tuple[Decimal, Decimal]:
    """Bid and ask."""
    quote = snapshot.quote
    if quote is None or not usable(quote) or quote.instrument_id != snapshot.instrument.instrument_id:
        text = f"there is no usable quote of {snapshot.instrument.instrument_id}; send the alert again later"
        raise AlertRefused(AlertReason.QUOTE_UNUSABLE, text)
    return quote.bid, quote.ask


def _require_venue_size(quantity: Decimal, alert: Alert, snapshot: AlertSnapshot) -> None:
    is_market = alert.order_type in (OrderType.MARKET, OrderType.STOP_MARKET)
    item = snapshot.instrument
    largest = item.quantity_max_market if is_market else item.quantity_max_limit
    if largest is not None and quantity > largest:
        text = f"quantity must be at most {decimal_text(largest)} at the venue, was {decimal_text(quantity)}"
        raise AlertRefused(AlertReason.QUANTITY_ABOVE_VENUE, text)


def _require_route_size(
    quantity: Decimal, alert: Alert, wants: Intended, snapshot: AlertSnapshot, route: Route
) -> None:
    def require(name: str, value: Decimal, limit: Decimal | None) -> None:
        if limit is not None and value > limit:
            text = f"{name} of route {route.name} is {decimal_text(limit)}, the order makes {decimal_text(value)}"
            raise AlertRefused(AlertReason.QUANTITY_ABOVE_ROUTE, text)

    require("quantity_max", quantity, route.quantity_max)
    assert wants.opens is not None, "limits are for openings"
    if route.notional_max is not None:
        price = _dear_price(alert, snapshot, side_of(wants.opens))
        unit = MONEY.multiply(price, snapshot.instrument.contract_size)
        require("notional_max", MONEY.multiply(quantity, unit), route.notional_max)
    held = ZERO if wants.is_reversal else abs(snapshot.position)
    after = MONEY.add(MONEY.add(held, snapshot.pending(side_of(wants.opens))), quantity)
    require("position_max", after, route.position_max)
