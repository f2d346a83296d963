"""Close positions with reduce-only market orders, and prove by reading that they are flat.

The business key and a round number make the order's key: repeating the call finds the same orders. A further round is
sent only when every order of the round before has ended and its fills are in the venue's quantity.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from functools import partial

from brokers.errors import BrokerError
from brokers.ids import InstrumentId, IntentId
from brokers.types import (
    ZERO,
    OrderRequest,
    OrderSide,
    OrderType,
    Position,
    PositionMode,
    PositionSide,
    TimeInForce,
)
from ledger.states import IntentState
from trading.account_reading import read_quotes
from trading.orders import IntentView, UnknownIntent, WantedOrder
from trading.orders.identity import make_intent_id
from trading.runtime import Runtime
from trading.steps import Step, StepKind, call_directly

SOURCE = "close_positions"
READS_MAX = 10
READ_WAIT_S = 1.0
OPENED_AFTER = "POSITION_OPENED_AFTER_CLOSING"
CLOSING_REASONS = {
    OPENED_AFTER: (
        "An earlier call with this key closed the position in full, and the venue shows one again.",
        "Close it with a new key, if it is to be closed too.",
    ),
}


class CloseOutcome(StrEnum):
    """How one position ended; FLAT only when the venue shows it flat."""

    FLAT = "flat"
    ALREADY_FLAT = "already_flat"
    LEFT = "left"  # ended with something left: the reason says why
    UNRESOLVED = "unresolved"  # an order has not ended, or the venue's quantity is not what the fills say


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedPosition:
    """One position (in hedge mode one side): what was held, filled and is left."""

    instrument_id: InstrumentId
    position_side: PositionSide | None
    quantity_before: Decimal
    filled_quantity: Decimal
    quantity_left: Decimal
    outcome: CloseOutcome
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingLimits:
    """`rounds_max`: orders for one position; the times are those of an order and of one round."""

    rounds_max: int = 3
    order_ttl_s: float = 60.0
    round_timeout_s: float = 180.0


Leg = tuple[InstrumentId, PositionSide | None]


def close_positions(
    runtime: Runtime,
    *,
    business_key: str,
    instruments: Collection[InstrumentId] | None = None,
    step: Step = call_directly,
    limits: ClosingLimits = ClosingLimits(),
) -> tuple[ClosedPosition, ...]:
    """Close all positions, or those of `instruments`.

    Spot holdings are balances, not positions: a portfolio with weight 0 sells them. Raises BrokerError when the
    positions cannot be read at the start.
    """
    found = _read(runtime, step)
    wanted = set(found) if instruments is None else {leg for leg in found if leg[0] in instruments}
    asked = {(key, None) for key in instruments or ()} - {(leg[0], None) for leg in found}
    closed = [_close(runtime, leg, found[leg], business_key, step, limits) for leg in sorted(wanted, key=_order)]
    closed.extend(_flat(runtime, leg, business_key) for leg in sorted(asked, key=_order))
    return tuple(sorted(closed, key=lambda item: _order((item.instrument_id, item.position_side))))


def _order(leg: Leg) -> tuple[str, str]:
    return str(leg[0]), leg[1].value if leg[1] else ""


def _read(runtime: Runtime, step: Step) -> dict[Leg, Decimal]:
    positions: Sequence[Position] = step(
        f"read positions of {runtime.account_id}", StepKind.READ, runtime.broker.positions
    )
    return {_leg(position): position.quantity for position in positions if position.quantity != 0}


def _leg(position: Position) -> Leg:
    return position.instrument_id, position.side if position.mode is PositionMode.HEDGE else None


def _flat(runtime: Runtime, leg: Leg, business_key: str) -> ClosedPosition:
    """A position that was asked for and is flat: already, or by an earlier call with the same key."""
    orders = _orders(runtime, leg, business_key)
    filled = sum((view.filled_quantity for view in orders), ZERO)
    return ClosedPosition(
        instrument_id=leg[0],
        position_side=leg[1],
        quantity_before=sum((-v.request.side.sign * v.filled_quantity for v in orders), ZERO),
        filled_quantity=filled,
        quantity_left=ZERO,
        outcome=CloseOutcome.FLAT if orders else CloseOutcome.ALREADY_FLAT,
    )


def _close(
    runtime: Runtime, leg: Leg, held: Decimal, business_key: str, step: Step, limits: ClosingLimits
) -> ClosedPosition:
    earlier = _orders(runtime, leg, business_key)
    filled_before = sum((view.filled_quantity for view in earlier), ZERO)
    # A repeated call reads what earlier orders have left; what was held is that and what they filled.
    start = held + sum((-v.request.side.sign * v.filled_quantity for v in earlier if v.state.is_terminal), ZERO)
    result = ClosedPosition(
        instrument_id=leg[0],
        position_side=leg[1],
        quantity_before=start,
        filled_quantity=filled_before,
        quantity_left=held,
        outcome=CloseOutcome.LEFT,
    )
    if earlier and earlier[-1].state is IntentState.FILLED:
        # Closed in full before: what shows now lags behind that, or was opened since and is not this call's to close.
        left, is_flat = _settled(runtime, leg, ZERO, step)
        if is_flat:
            return replace(result, quantity_before=start - held, quantity_left=ZERO, outcome=CloseOutcome.FLAT)
        return replace(result, quantity_before=start - held, quantity_left=left, reason=OPENED_AFTER)
    left = held
    first = len(earlier) if any(not view.state.is_terminal for view in earlier) else len(earlier) + 1
    for number in range(max(first, 1), limits.rounds_max + 1):
        view, problem = _round(runtime, leg, left, f"{business_key}:{number}", step, limits)
        if view is None:
            return replace(result, reason=problem[0], detail=problem[1])
        orders = _orders(runtime, leg, business_key)
        filled = sum((item.filled_quantity for item in orders), ZERO)
        result = replace(result, filled_quantity=filled, reason=view.reason, detail=view.detail)
        if not view.state.is_terminal:
            return replace(result, outcome=CloseOutcome.UNRESOLVED)
        signed = sum((item.request.side.sign * item.filled_quantity for item in orders), ZERO)
        left, agrees = _settled(runtime, leg, start + signed, step)
        result = replace(result, quantity_left=left)
        if left == 0:
            return replace(result, outcome=CloseOutcome.FLAT, reason="", detail="")
        if not agrees:
            return replace(result, outcome=CloseOutcome.UNRESOLVED, reason="POSITION_DISAGREES_WITH_FILLS")
        if view.filled_quantity == 0:
            return result  # refused or nothing to trade against: another order would fare the same
    return replace(result, reason=result.reason or "ROUNDS_USED_UP")


def _round(
    runtime: Runtime, leg: Leg, held: Decimal, key: str, step: Step, limits: ClosingLimits
) -> tuple[IntentView | None, tuple[str, str]]:
    """One order for all that is held, driven to its end; None with the reason when it could not be asked for."""
    instrument_id, position_side = leg
    intent_id = make_intent_id(runtime.account_id, _key(leg, key))
    try:
        runtime.desk.view(intent_id)  # sent before: its stored terms count, not those of today
    except UnknownIntent:
        try:
            quotes = read_quotes(runtime, [instrument_id], step=step)
        except BrokerError as error:
            return None, (error.reason, error.message)
        wanted = WantedOrder(
            account_id=runtime.account_id,
            business_key=_key(leg, key),
            source=SOURCE,
            request=OrderRequest(
                instrument_id=instrument_id,
                side=OrderSide.SELL if held > 0 else OrderSide.BUY,
                order_type=OrderType.MARKET,
                quantity=abs(held),
                time_in_force=TimeInForce.IOC,
                reduce_only=True,
                position_side=position_side,
            ),
            reference=quotes[0] if quotes else None,
            ttl_s=limits.order_ttl_s,
        )
        step(f"Submit closing {instrument_id}", StepKind.ADVANCE, partial(runtime.desk.submit, wanted))
    (view,) = runtime.desk.drive([intent_id], timeout_s=limits.round_timeout_s, step=step)
    return view, ("", "")


def _key(leg: Leg, key: str) -> str:
    side = f":{leg[1].value}" if leg[1] else ""
    return f"close:{leg[0]}{side}:{key}"


def _orders(runtime: Runtime, leg: Leg, business_key: str) -> list[IntentView]:
    """The orders of this position under the business key, round by round."""
    found: list[IntentView] = []
    while True:
        intent_id: IntentId = make_intent_id(runtime.account_id, _key(leg, f"{business_key}:{len(found) + 1}"))
        try:
            found.append(runtime.desk.view(intent_id))
        except UnknownIntent:
            return found


def _settled(runtime: Runtime, leg: Leg, expected: Decimal, step: Step) -> tuple[Decimal, bool]:
    """The venue's quantity, read until it is what the fills say or the reads are used up."""
    left = ZERO
    for _ in range(READS_MAX):
        left = _read(runtime, step).get(leg, ZERO)
        if left == expected:
            return left, True
        runtime.clock.wait(READ_WAIT_S)
    return left, False
