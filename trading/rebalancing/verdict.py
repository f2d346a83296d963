"""What was reached, line by line. Pure: the plan, its legs' fate and a fresh reading of the account in; a result out.

The venue's own quantities decide; a line counts as reached only when the venue holds its target within tolerance, and
the plan completes only when every line is proved. Where fills and the venue's quantities disagree, nothing is proved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from enum import StrEnum
from functools import lru_cache
from typing import Any, cast

from pydantic import TypeAdapter

from brokers.ids import InstrumentId
from brokers.rounding import MONEY
from brokers.strictjson import encode
from brokers.types import ZERO, OrderSide, Quote
from ledger.states import PlanState
from trading.rebalancing.model import LineAction, Plan, PlanLeg, PlanLine
from trading.rebalancing.portfolio import Exact, InstrumentKey
from trading.rebalancing.reasons import LineReason
from trading.rebalancing.release import LegProgress, LegState

VENUE_MINIMA = frozenset({LineReason.BELOW_LOT, LineReason.BELOW_QUANTITY_MIN, LineReason.BELOW_NOTIONAL_MIN})


class Verdict(StrEnum):
    """How a line ended. `is_proved`: the outcome is known; `is_target`: nothing was left to wish for."""

    REACHED = "reached"  # the venue holds the target within tolerance
    WITHIN_BAND = "within_band"  # not traded by the drift rule
    SKIPPED = "skipped"  # not sent: the reasons say why
    RESIDUAL = "residual"  # sent, and a part is left
    REFUSED = "refused"  # risk or the venue refused an order
    UNRESOLVED = "unresolved"  # an order's outcome needs a person
    DISAGREES = "disagrees"  # the venue's quantity is not what the fills add up to

    @property
    def is_target(self) -> bool:
        return self in (Verdict.REACHED, Verdict.WITHIN_BAND)

    @property
    def is_proved(self) -> bool:
        return self not in (Verdict.UNRESOLVED, Verdict.DISAGREES)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineResult:
    """One line: target, what fills say, what the venue says. Weights are of equity after the plan."""

    instrument_id: InstrumentKey
    verdict: Verdict
    reasons: tuple[str, ...]
    detail: str
    target_quantity: Exact
    expected_quantity: Exact
    venue_quantity: Exact
    residual_quantity: Exact
    residual_notional: Exact
    target_weight: Exact
    weight_before: Exact
    weight_after: Exact


@dataclass(frozen=True, slots=True, kw_only=True)
class LegResult:
    """One leg's fate."""

    number: int
    instrument_id: InstrumentKey
    side: OrderSide
    quantity: Exact
    filled_quantity: Exact
    average_price: Exact | None
    plan_price: Exact
    shortfall: Exact
    state: LegState
    reason: str
    detail: str
    orders: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanResult:
    """The proof of a plan, amounts in quote currency.

    `shortfall` is what was paid against the plan's mid prices; `fees` come on top, and `other_fees` were paid in
    currencies that have no price here. Drift is half the sum of distances from the target weights. `reads` counts
    readings until fills and venue agreed.
    """

    state: PlanState
    lines: tuple[LineResult, ...]
    legs: tuple[LegResult, ...]
    shortfall: Exact
    fees: Exact
    turnover: Exact
    drift_before: Exact
    drift_after: Exact
    equity_after: Exact
    other_fees: dict[str, Exact]
    checked_at: datetime
    reads: int

    def to_json(self) -> str:
        return encode(_adapter().dump_python(self, mode="json"))

    @staticmethod
    def from_json(text: str) -> PlanResult:
        return cast(PlanResult, _adapter().validate_json(text))


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(PlanResult)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The account after the plan. `base_fees`: fees that were taken out of a spot holding itself, by instrument."""

    time: datetime
    equity: Decimal
    quantities: Mapping[InstrumentId, Decimal]
    quotes: Mapping[InstrumentId, Quote]
    base_fees: Mapping[InstrumentId, Decimal]
    fees: Decimal
    other_fees: Mapping[str, Decimal] = field(default_factory=dict)
    reads: int = 1


def expected_quantities(
    plan: Plan, progress: Mapping[int, LegProgress], base_fees: Mapping[InstrumentId, Decimal]
) -> dict[InstrumentId, Decimal]:
    """What each line must hold by the plan's snapshot and the confirmed fills."""
    found = {line.instrument_id: line.current_quantity for line in plan.lines}
    with localcontext(MONEY):
        for leg in plan.legs:
            found[leg.instrument_id] += leg.side.sign * progress[leg.number].filled_quantity
        return {key: quantity - base_fees.get(key, ZERO) for key, quantity in found.items()}


def disagreements(
    plan: Plan,
    progress: Mapping[int, LegProgress],
    quantities: Mapping[InstrumentId, Decimal],
    base_fees: Mapping[InstrumentId, Decimal],
) -> frozenset[InstrumentId]:
    """Lines, traded or held, whose venue quantity is not what the fills add up to: stale, or moved by others."""
    expected = expected_quantities(plan, progress, base_fees)
    return frozenset(key for key, quantity in expected.items() if quantities.get(key, ZERO) != quantity)


def judge(plan: Plan, progress: Mapping[int, LegProgress], reading: Reading) -> PlanResult:
    """Give every line its verdict and the plan its end."""
    with localcontext(MONEY):
        expected = expected_quantities(plan, progress, reading.base_fees)
        differing = disagreements(plan, progress, reading.quantities, reading.base_fees)
        legs_by_line: dict[InstrumentId, list[LegProgress]] = {}
        for leg in plan.legs:
            legs_by_line.setdefault(leg.instrument_id, []).append(progress[leg.number])
        lines = tuple(
            _line_result(
                plan,
                line,
                legs_by_line.get(line.instrument_id, []),
                reading,
                expected=expected[line.instrument_id],
                disagrees=line.instrument_id in differing,
            )
            for line in plan.lines
        )
        legs = tuple(_leg_result(leg, progress[leg.number]) for leg in plan.legs)
        return PlanResult(
            state=_plan_state(plan, lines, legs),
            lines=lines,
            legs=legs,
            shortfall=_stored(sum((leg.shortfall for leg in legs), ZERO)),
            fees=_stored(reading.fees),
            turnover=_stored(sum((progress[leg.number].value * leg.contract_size for leg in plan.legs), ZERO)),
            drift_before=_stored(plan.expected.drift_before),
            drift_after=_stored(sum((abs(line.weight_after - line.target_weight) for line in lines), ZERO) / 2),
            equity_after=_stored(reading.equity),
            other_fees=dict(sorted(reading.other_fees.items())),
            checked_at=reading.time,
            reads=reading.reads,
        )


def _line_result(
    plan: Plan, line: PlanLine, legs: list[LegProgress], reading: Reading, *, expected: Decimal, disagrees: bool
) -> LineResult:
    venue = reading.quantities.get(line.instrument_id, ZERO)
    quote = reading.quotes.get(line.instrument_id)
    unit = line.price * line.contract_size
    residual = line.wanted_quantity - venue
    is_near = abs(residual) * unit <= plan.portfolio.tolerance * plan.equity
    if line.wanted_quantity != 0 and venue == 0:
        is_near = is_near and _is_dust(plan, line, residual)
    now = (quote.mid if quote else line.price) * line.contract_size
    reasons = [reason.value for reason in line.reasons] + [leg.reason for leg in legs if leg.reason]
    return LineResult(
        instrument_id=line.instrument_id,
        verdict=Verdict.DISAGREES if disagrees else _verdict(line, legs, is_near=is_near),
        reasons=tuple(dict.fromkeys(reasons)),
        detail="; ".join(dict.fromkeys(leg.detail for leg in legs if leg.detail)),
        target_quantity=line.target_quantity,
        expected_quantity=expected,
        venue_quantity=venue,
        residual_quantity=_stored(residual),
        residual_notional=_stored(residual * unit),
        target_weight=line.target_weight,
        weight_before=line.current_weight,
        weight_after=_stored(venue * now / reading.equity) if reading.equity > 0 else ZERO,
    )


def _verdict(line: PlanLine, legs: Iterable[LegProgress], *, is_near: bool) -> Verdict:
    states = {leg.state for leg in legs}
    if states & {LegState.UNRESOLVED, LegState.RELEASED, LegState.WAITING}:
        return Verdict.UNRESOLVED
    if line.action is LineAction.HOLD:
        return Verdict.REACHED if is_near else Verdict.WITHIN_BAND
    if LegState.REFUSED in states:
        return Verdict.REFUSED
    if is_near and line.price > 0:
        return Verdict.REACHED
    if line.action is LineAction.SKIP or states == {LegState.SKIPPED}:
        return Verdict.SKIPPED
    return Verdict.RESIDUAL


def _is_dust(plan: Plan, line: PlanLine, residual: Decimal) -> bool:
    """Whether no order could bring the rest: below a lot, or below the venue's own minimum."""
    if abs(residual) < line.lot_size or (line.action is LineAction.SKIP and VENUE_MINIMA & set(line.reasons)):
        return True
    legs = [leg for leg in plan.legs if leg.instrument_id == line.instrument_id]
    return any(
        abs(residual) < leg.quantity_min or abs(residual) * leg.contract_size * leg.price < leg.notional_min
        for leg in legs
    )


def _leg_result(leg: PlanLeg, item: LegProgress) -> LegResult:
    price = item.average_price
    paid = ZERO if price is None else leg.side.sign * (price - leg.mid) * item.filled_quantity * leg.contract_size
    return LegResult(
        number=leg.number,
        instrument_id=leg.instrument_id,
        side=leg.side,
        quantity=leg.quantity,
        filled_quantity=item.filled_quantity,
        average_price=None if price is None else _stored(price),
        plan_price=leg.mid,
        shortfall=_stored(paid),
        state=item.state,
        reason=item.reason,
        detail=item.detail,
        orders=item.rounds,
    )


def _plan_state(plan: Plan, lines: Iterable[LineResult], legs: Iterable[LegResult]) -> PlanState:
    results = list(lines)
    if not all(line.verdict.is_proved for line in results):
        return PlanState.FAILED
    sent = [leg for leg in legs if leg.orders]
    if sent and not any(leg.filled_quantity for leg in sent):
        return PlanState.FAILED  # every order was refused or unfilled: nothing of the plan happened
    is_whole = _residual_drift(plan, results) <= plan.portfolio.tolerance
    if is_whole and all(line.verdict.is_target for line in results):
        return PlanState.COMPLETED
    return PlanState.COMPLETED_ADJUSTED


def _residual_drift(plan: Plan, lines: Iterable[LineResult]) -> Decimal:
    """Half the sum of what lines outside their band are off, of equity, at the plan's prices: small rests add up."""
    held = {line.instrument_id for line in plan.lines if line.action is LineAction.HOLD}
    off = sum((abs(line.residual_notional) for line in lines if line.instrument_id not in held), ZERO)
    return off / 2 / plan.equity


def _stored(value: Decimal) -> Decimal:
    return value.quantize(Decimal("1e-18"), rounding=ROUND_HALF_EVEN, context=MONEY)
