"""Close positions with reduce-only market orders, and prove by reading that they are flat.

The business key and a round number make the order's key: repeating the call finds the same orders. A further round is
sent only when every order of the round before has ended and its fills are in the venue's quantity. A position above the
venue's largest market order is closed in parts; the key of a part says that more was to follow.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from functools import partial

from brokers.closing import time_in_force_of
from brokers.errors import BrokerError
from brokers.ids import InstrumentId
from brokers.rounding import quantise_quantity
from brokers.types import (
    ZERO,
    Instrument,
    OrderRequest,
    OrderSide,
    OrderType,
    Position,
    PositionMode,
    PositionSide,
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
PARTS_MAX = 50
PART = "+"
OPENED_AFTER = "POSITION_OPENED_AFTER_CLOSING"
TOO_LARGE = "POSITION_ABOVE_MARKET_ORDER_MAX"
NOT_A_POSITION = "NOT_A_POSITION"
NOT_READ = "SETTLE_CURRENCY_NOT_READ"
DISAGREES = "POSITION_DISAGREES_WITH_FILLS"
CLOSING_REASONS = {
    NOT_A_POSITION: (
        "An instrument was to be closed of which a balance is held, not a position (spot). Nothing was sent.",
        "Sell it with a portfolio that gives it weight 0, and name contracts here, such as BTC/USDT:USDT.",
    ),
    NOT_READ: (
        "The account does not read positions of that settle currency, so nothing can be said of it. Nothing was sent.",
        "Add the currency to settle_currencies of the account.",
    ),
    TOO_LARGE: (
        "The position needs more market orders than one call sends, or the venue names no order size that is possible.",
        "Close what is left with a new key.",
    ),
    OPENED_AFTER: (
        "An earlier call with this key closed the position in full, and the venue shows one again.",
        "Close it with a new key, if it is to be closed too.",
    ),
}


class ClosingRefused(ValueError):
    """What was asked for cannot be closed as a position; nothing was sent. `reason` is of CLOSING_REASONS."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.remedy = CLOSING_REASONS[reason][1]


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

    @property
    def has_pending_order(self) -> bool:
        """Whether an order for it has not ended: another one now could close it twice."""
        return self.outcome is CloseOutcome.UNRESOLVED and self.reason != DISAGREES


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingLimits:
    """`rounds_max`: orders for one position beside `parts_max` full parts of it; the times are those of one order."""

    rounds_max: int = 3
    parts_max: int = PARTS_MAX
    order_ttl_s: float = 60.0
    round_timeout_s: float = 180.0


@dataclass(frozen=True, slots=True)
class _Sent:
    """An order of an earlier round; a part had the venue's largest size, and more was to follow."""

    view: IntentView
    is_part: bool


Leg = tuple[InstrumentId, PositionSide | None]


def close_positions(
    runtime: Runtime,
    *,
    business_key: str,
    settle_currencies: Collection[str],
    instruments: Collection[InstrumentId] | None = None,
    step: Step = call_directly,
    limits: ClosingLimits = ClosingLimits(),
    source: str = SOURCE,
) -> tuple[ClosedPosition, ...]:
    """Close all positions, or those of `instruments`. `source` is what the intents say who wanted them.

    `settle_currencies` are those whose positions the account reads. Spot holdings are balances, not positions: a
    portfolio with weight 0 sells them. Before anything is sent: BrokerError when the positions cannot be read,
    InstrumentUnknown for what the venue does not list, ClosingRefused for what is no position that the account reads.
    """
    found = _read(runtime, step)
    wanted = set(found) if instruments is None else {leg for leg in found if leg[0] in instruments}
    asked = {(key, None) for key in instruments or ()} - {(leg[0], None) for leg in found}
    for key in sorted(leg[0] for leg in asked):
        _require_position(runtime, _instrument(runtime, key, step), settle_currencies)
    closed = [
        _close(runtime, leg, found[leg], business_key, step, limits, source) for leg in sorted(wanted, key=_order)
    ]
    closed.extend(_flat(runtime, leg, business_key) for leg in sorted(asked, key=_order))
    return tuple(sorted(closed, key=lambda item: _order((item.instrument_id, item.position_side))))


def _instrument(runtime: Runtime, key: InstrumentId, step: Step) -> Instrument:
    (found,) = step(f"read the instrument {key}", StepKind.READ, lambda: runtime.broker.instruments([key]))
    return found


def _require_position(runtime: Runtime, instrument: Instrument, settle_currencies: Collection[str]) -> None:
    """No reading of positions could show it otherwise, and what cannot be read must not be called flat."""
    key = instrument.instrument_id
    if not instrument.is_position:
        raise ClosingRefused(NOT_A_POSITION, f"{key} is {instrument.product.value}")
    if runtime.broker.capabilities.positions_by_currency and instrument.settle_currency not in settle_currencies:
        raise ClosingRefused(
            NOT_READ,
            f"{key} settles in {instrument.settle_currency}, the account reads {', '.join(sorted(settle_currencies))}",
        )


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
    orders = [sent.view for sent in _orders(runtime, leg, business_key)]
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
    runtime: Runtime, leg: Leg, held: Decimal, business_key: str, step: Step, limits: ClosingLimits, source: str
) -> ClosedPosition:
    sent = _orders(runtime, leg, business_key)
    earlier = [item.view for item in sent]
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
    if earlier and earlier[-1].state is IntentState.FILLED and not sent[-1].is_part:
        # Closed in full before: what shows now lags behind that, or was opened since and is not this call's to close.
        left, is_flat = _settled(runtime, leg, ZERO, step)
        if is_flat:
            return replace(result, quantity_before=start - held, quantity_left=ZERO, outcome=CloseOutcome.FLAT)
        return replace(result, quantity_before=start - held, quantity_left=left, reason=OPENED_AFTER)
    left = held
    while not _is_used_up(sent, limits):
        pending = sent[-1].view if sent and not sent[-1].view.state.is_terminal else None
        view, problem = _round(runtime, leg, left, f"{business_key}:{len(sent) + 1}", pending, step, limits, source)
        if view is None:
            return replace(result, reason=problem[0], detail=problem[1])
        sent = _orders(runtime, leg, business_key)
        orders = [item.view for item in sent]
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
            return replace(result, outcome=CloseOutcome.UNRESOLVED, reason=DISAGREES)
        if view.filled_quantity == 0:
            return result  # refused or nothing to trade against: another order would fare the same
    if sent and sent[-1].is_part and sent[-1].view.state is IntentState.FILLED:
        return replace(result, reason=TOO_LARGE)
    return replace(result, reason=result.reason or "ROUNDS_USED_UP")


def _is_used_up(sent: list[_Sent], limits: ClosingLimits) -> bool:
    """Parts that filled are progress and do not count as rounds, but their number is bounded too."""
    parts = sum(item.is_part and item.view.state is IntentState.FILLED for item in sent)
    others = sum(item.view.state.is_terminal for item in sent) - parts
    return others >= limits.rounds_max or parts >= limits.parts_max


def _round(
    runtime: Runtime,
    leg: Leg,
    held: Decimal,
    key: str,
    pending: IntentView | None,
    step: Step,
    limits: ClosingLimits,
    source: str,
) -> tuple[IntentView | None, tuple[str, str]]:
    """One order driven to its end; None with the reason when it could not be asked for.

    That is the pending one, whose stored terms count, or one for all that is held or the largest part of it.
    """
    instrument_id, position_side = leg
    if pending is None:
        try:
            quotes = read_quotes(runtime, [instrument_id], step=step)
            instrument = _instrument(runtime, instrument_id, step)
            quantity = _largest(instrument, abs(held))
        except BrokerError as error:
            return None, (error.reason, error.message)
        if quantity <= 0:
            return None, (TOO_LARGE, f"the venue's largest market order of {instrument_id} is below one lot")
        order_key = _key(leg, key) + (PART if quantity < abs(held) else "")
        intent_id = make_intent_id(runtime.account_id, order_key)
        wanted = WantedOrder(
            account_id=runtime.account_id,
            business_key=order_key,
            source=source,
            request=OrderRequest(
                instrument_id=instrument_id,
                side=OrderSide.SELL if held > 0 else OrderSide.BUY,
                order_type=OrderType.MARKET,
                quantity=quantity,
                time_in_force=time_in_force_of(quantity, instrument),
                reduce_only=True,
                position_side=position_side,
            ),
            reference=quotes[0] if quotes else None,
            ttl_s=limits.order_ttl_s,
        )
        step(f"Submit closing {instrument_id}", StepKind.ADVANCE, partial(runtime.desk.submit, wanted))
    else:
        intent_id = pending.intent_id
    (view,) = runtime.desk.drive([intent_id], timeout_s=limits.round_timeout_s, step=step)
    return view, ("", "")


def _largest(instrument: Instrument, held: Decimal) -> Decimal:
    """All that is held, or the venue's largest market order where that is less."""
    most = instrument.quantity_max_market
    return held if most is None or held <= most else quantise_quantity(most, lot=instrument.lot_size)


def _key(leg: Leg, key: str) -> str:
    side = f":{leg[1].value}" if leg[1] else ""
    return f"close:{leg[0]}{side}:{key}"


def _orders(runtime: Runtime, leg: Leg, business_key: str) -> list[_Sent]:
    """The orders of this position under the business key, round by round."""
    found: list[_Sent] = []
    while (sent := _sent(runtime, _key(leg, f"{business_key}:{len(found) + 1}"))) is not None:
        found.append(sent)
    return found


def _sent(runtime: Runtime, key: str) -> _Sent | None:
    for suffix in ("", PART):
        try:
            return _Sent(runtime.desk.view(make_intent_id(runtime.account_id, key + suffix)), is_part=bool(suffix))
        except UnknownIntent:
            continue
    return None


def _settled(runtime: Runtime, leg: Leg, expected: Decimal, step: Step) -> tuple[Decimal, bool]:
    """The venue's quantity, read until it is what the fills say or the reads are used up."""
    left = ZERO
    for _ in range(READS_MAX):
        left = _read(runtime, step).get(leg, ZERO)
        if left == expected:
            return left, True
        runtime.clock.wait(READ_WAIT_S)
    return left, False
