"""What a plan is: lines, legs, what it expects, and its text in the ledger."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, cast

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter

from brokers.ids import AccountId
from brokers.rounding import is_multiple
from brokers.strictjson import encode
from brokers.types import OrderSide, PositionSide, TimeInForce
from trading.rebalancing.portfolio import Exact, InstrumentKey, Portfolio
from trading.rebalancing.reasons import LineReason

AccountKey = Annotated[
    AccountId,
    BeforeValidator(lambda value: AccountId.parse(value) if isinstance(value, str) else value),
    PlainSerializer(str, return_type=str),
]


class LineAction(StrEnum):
    """What the plan does with a line."""

    TRADE = "trade"
    HOLD = "hold"  # in its band, or nothing to do
    SKIP = "skip"  # wanted, and not possible: the reasons say why


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLine:
    """One instrument: where it is, where it should be, where the legs bring it.

    Weights are of equity, quantities signed. `target_quantity` is not rounded; `aim_quantity` is where the plan brings
    the line when that is its band's edge instead; `residual_quantity` is the wanted quantity less after, the dust when
    it is below a lot. `price_time` is the quote's own.
    """

    instrument_id: InstrumentKey
    is_managed: bool
    price: Exact
    current_quantity: Exact
    target_quantity: Exact
    after_quantity: Exact
    residual_quantity: Exact
    current_notional: Exact
    target_notional: Exact
    after_notional: Exact
    current_weight: Exact
    target_weight: Exact
    after_weight: Exact
    drift: Exact
    is_breached: bool
    action: LineAction
    reasons: tuple[LineReason, ...]
    lot_size: Exact
    contract_size: Exact
    aim_quantity: Exact | None = None
    price_time: datetime | None = None

    @property
    def wanted_quantity(self) -> Decimal:
        """Where the plan brings the line: its band's edge where the portfolio says so, else its target."""
        return self.target_quantity if self.aim_quantity is None else self.aim_quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLeg:
    """One order's worth of change. `price` is the expected one (ask for buys, bid for sells), `mid` the plan's measure.

    `money` is what the leg needs (positive) or frees (negative), after costs; a reduction frees, unless it buys back
    what was sold short and had to be paid in full. An increase with `after_legs` is sent only when those are filled in
    full. `lot_size` is the step of its quantities; where that is a part of the instrument's lot, `parts_of` is this lot
    and `part_time_in_force` what an order off it must have.
    """

    number: int
    instrument_id: InstrumentKey
    side: OrderSide
    quantity: Exact
    is_reduction: bool
    reduce_only: bool
    position_side: PositionSide | None
    price: Exact
    mid: Exact
    notional: Exact
    money: Exact
    cost: Exact
    after_legs: tuple[int, ...]
    tick_size: Exact
    lot_size: Exact
    contract_size: Exact
    quantity_min: Exact
    notional_min: Exact
    parts_of: Exact | None = None
    part_time_in_force: TimeInForce | None = None

    @property
    def has_part(self) -> bool:
        """Whether the leg as a whole is for a part of a lot."""
        return self.parts_of is not None and not is_multiple(self.quantity, step=self.parts_of)

    def time_in_force_of(self, quantity: Decimal, *, otherwise: TimeInForce) -> TimeInForce:
        """What an order of the leg must have where it is for a part of a lot, else what its style wants."""
        if self.parts_of is None or self.part_time_in_force is None or is_multiple(quantity, step=self.parts_of):
            return otherwise
        return self.part_time_in_force


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmanagedHolding:
    """Something held that the portfolio does not name. `notional` is None where it has no price here.

    `is_currency`: a currency without an instrument here, by its code; anything else is named by its instrument.
    """

    name: str
    quantity: Exact
    notional: Exact | None
    reason: LineReason
    is_currency: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the plan expects if every leg is filled at its expected price. Drift is half the sum over lines."""

    turnover: Exact
    fees: Exact
    costs: Exact
    free_money: Exact
    gross_weight_before: Exact
    gross_weight_after: Exact
    net_weight_after: Exact
    drift_before: Exact
    drift_after: Exact
    drift_max_after: Exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A decided rebalance, reproducible from its snapshot. Same targets, snapshot and prices give the same hash."""

    account_id: AccountKey
    portfolio: Portfolio
    time: datetime
    equity: Exact
    free_money: Exact
    fee_rate: Exact  # the dearest; each leg's cost is by its own product
    lines: tuple[PlanLine, ...]
    legs: tuple[PlanLeg, ...]
    unmanaged: tuple[UnmanagedHolding, ...]
    expected: Expected
    plan_hash: str

    @property
    def is_empty(self) -> bool:
        return not self.legs

    def leg(self, number: int) -> PlanLeg:
        """The leg of a number; legs are numbered from 1 without gaps."""
        found = self.legs[number - 1]
        assert found.number == number, f"legs must be numbered in order, place {number} holds {found.number}"
        return found

    def reasons(self) -> Counter[LineReason]:
        """How often each reason occurs."""
        return Counter(reason for line in self.lines for reason in line.reasons)

    def to_json(self) -> str:
        """Canonical text for the ledger; `from_json` gives an equal plan."""
        return encode(_adapter().dump_python(self, mode="json"))

    @staticmethod
    def from_json(text: str) -> Plan:
        """Read a stored plan; ValueError when it is not one."""
        return cast(Plan, _adapter().validate_json(text))


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(Plan)
