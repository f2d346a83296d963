"""Profit by average cost. Pure.

A fill in the direction of the holding adds its value to the cost; a fill against it takes out that share of the cost
and realises the rest of its value; a fill through zero closes first and opens at its own price. A share that does not
come out even is rounded to STEP, and the remainder leaves with the last unit, so that no amount is ever lost.

Invariants (property-tested in tests/trading/test_pnl.py)
1. Realised profit plus the cost that is left is the sum of what was paid and received, exactly.
2. A flat book has no cost, whatever happened before; realised profit does not depend on marks.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from brokers.types import ZERO
from trading.reconciliation.exact import EXACT

METHOD = "average cost"
STEP = Decimal("1e-12")


@dataclass(slots=True)
class CostBook:
    """One instrument's net holding: signed `quantity` in units, `cost` what it took to open it (never negative)."""

    contract_size: Decimal = Decimal(1)
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realised: Decimal = ZERO

    def fill(self, signed: Decimal, price: Decimal) -> Decimal:
        """Take a fill in; returns what it realised, before fees."""
        against = signed * self.quantity < 0
        closing = min(abs(signed), abs(self.quantity)) if against else ZERO
        opening = EXACT.subtract(abs(signed), closing)
        gained = ZERO
        if closing:
            share = self._share(closing)
            value = EXACT.multiply(EXACT.multiply(closing, price), self.contract_size)
            gained = EXACT.subtract(value, share) if self.quantity > 0 else EXACT.subtract(share, value)
            self.cost = EXACT.subtract(self.cost, share)
        self.cost = EXACT.add(self.cost, EXACT.multiply(EXACT.multiply(opening, price), self.contract_size))
        self.quantity = EXACT.add(self.quantity, signed)
        self.realised = EXACT.add(self.realised, gained)
        return gained

    def _share(self, closing: Decimal) -> Decimal:
        held = abs(self.quantity)
        if closing == held:
            return self.cost
        return (self.cost * closing / held).quantize(STEP, rounding=ROUND_HALF_EVEN)

    @property
    def average_price(self) -> Decimal | None:
        """What a unit cost, rounded to STEP; None when flat."""
        if not self.quantity:
            return None
        return (self.cost / (abs(self.quantity) * self.contract_size)).quantize(STEP, rounding=ROUND_HALF_EVEN)

    def unrealised(self, mark: Decimal) -> Decimal:
        """What closing all of it at `mark` would realise, exactly."""
        value = EXACT.multiply(EXACT.multiply(abs(self.quantity), mark), self.contract_size)
        return EXACT.subtract(value, self.cost) if self.quantity >= 0 else EXACT.subtract(self.cost, value)
