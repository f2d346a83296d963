"""What an alert means for a position: the table of position intents (docs/alerts.md), with the account's own position.

Invariants
- An exit, a reduction and whatever the alert marks reduce-only never open.
- An account that stands on the far side of the target is closed before anything is opened.
- What the alert does not say is settled by the route, or refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from brokers.types import PositionSide
from trading.alerts.model import Alert, AlertAction, opposite_of
from trading.alerts.reasons import AlertReason, AlertRefused
from trading.alerts.routing import BareAction, Route, WhenPositionDiffers

LONG, SHORT, FLAT = PositionSide.LONG, PositionSide.SHORT, PositionSide.FLAT


@dataclass(frozen=True, slots=True, kw_only=True)
class Intended:
    """What is to become of the position: `closes` and `opens` name the position's side. `nothing` says why neither."""

    closes: PositionSide | None = None
    is_whole: bool = True  # of the closing: all of it, or the alert's quantity
    opens: PositionSide | None = None
    nothing: AlertReason | None = None
    detail: str = ""

    @property
    def is_reversal(self) -> bool:
        return self.closes is not None and self.opens is not None


def intended(alert: Alert, held: PositionSide, route: Route) -> Intended:
    """What an order alert wants, given the side that the account holds."""
    assert alert.action is not AlertAction.CANCEL, "a cancel has nothing to do with a position"
    if alert.action is AlertAction.EXIT:
        return _exit(alert, held)
    own = alert.target if alert.action is AlertAction.REVERSE else _own(alert.action)
    assert own is not None and own is not FLAT, f"{alert.action} without a side"
    if alert.reduce_only or alert.target is opposite_of(own):
        return _reduction(held, side=opposite_of(own))
    if alert.target is None:
        return _bare(alert, held, own, route)
    return _entry(alert, held, own, route)


def _exit(alert: Alert, held: PositionSide) -> Intended:
    if held is FLAT or alert.closes not in (None, held):
        wanted = f"the alert closes a {alert.closes} position only" if alert.closes else "there is nothing to close"
        return Intended(nothing=AlertReason.NO_POSITION, detail=f"the account is {held}: {wanted}")
    is_whole = alert.quantity is None or alert.target is FLAT
    return Intended(closes=held, is_whole=is_whole)


def _reduction(held: PositionSide, *, side: PositionSide) -> Intended:
    if held is not side:
        return Intended(
            nothing=AlertReason.NO_POSITION, detail=f"the account is {held}: there is no {side} position to reduce"
        )
    return Intended(closes=side, is_whole=False)


def _bare(alert: Alert, held: PositionSide, own: PositionSide, route: Route) -> Intended:
    if route.bare_action is BareAction.REFUSE:
        text = f"{alert.action} without a position; set bare_action of route {route.name} to say what it means"
        raise AlertRefused(AlertReason.BARE_ACTION_UNDECIDED, text)
    if held is own and alert.is_target_only:
        return Intended(nothing=AlertReason.ALREADY_THERE, detail=f"the account is {held} already")
    if held is not opposite_of(own):
        return Intended(opens=own)
    is_exit = route.bare_action is BareAction.EXIT_OR_ENTER
    return Intended(closes=held, opens=None if is_exit else own)


def _entry(alert: Alert, held: PositionSide, own: PositionSide, route: Route) -> Intended:
    """A buy that ends long, a sell that ends short, a reverse to either."""
    previous = alert.previous
    if held is own and (alert.is_target_only or alert.action is AlertAction.REVERSE):
        return Intended(nothing=AlertReason.ALREADY_THERE, detail=f"the account is {held} already")
    if previous is own and held is opposite_of(own):
        raise _differs(alert, held, route, "and adding to the other side is never meant")
    is_apart = (previous is own and held is FLAT) or (previous is FLAT and held is own)
    if is_apart and route.when_position_differs is WhenPositionDiffers.REFUSE:
        raise _differs(alert, held, route, "set when_position_differs: follow to trade all the same")
    return Intended(closes=held if held is opposite_of(own) else None, opens=own)


def _own(action: AlertAction) -> PositionSide:
    return LONG if action is AlertAction.BUY else SHORT


def _differs(alert: Alert, held: PositionSide, route: Route, hint: str) -> AlertRefused:
    text = f"the strategy was {alert.previous}, the account is {held} (route {route.name}); {hint}"
    return AlertRefused(AlertReason.STRATEGY_POSITION_DIFFERS, text)
