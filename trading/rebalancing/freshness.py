"""Whether an account still holds what a plan was decided from. Pure: a difference can stop a plan, never trade."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from brokers.rounding import MONEY
from brokers.types import ZERO, Balance, Position
from trading.rebalancing.model import Plan


def moved_quantities(
    plan: Plan, *, balances: Iterable[Balance], positions: Iterable[Position]
) -> dict[str, tuple[Decimal, Decimal]]:
    """Lines and unmanaged holdings whose quantity is not the plan's, with the plan's and the present one.

    A position that the plan did not see counts; a currency without an instrument here does not: nothing depends on it.
    """
    currencies = {item.name for item in plan.unmanaged if item.is_currency}
    planned = {str(line.instrument_id): line.current_quantity for line in plan.lines}
    for item in plan.unmanaged:
        if not item.is_currency:
            planned[item.name] = MONEY.add(planned.get(item.name, ZERO), item.quantity)
    held: dict[str, Decimal] = {}
    for position in positions:
        name = str(position.instrument_id)
        held[name] = MONEY.add(held.get(name, ZERO), position.quantity)
    for balance in balances:
        name = f"{balance.currency}/{plan.portfolio.quote_currency}"
        if name in planned and balance.currency not in currencies:
            held[name] = MONEY.add(held.get(name, ZERO), balance.total)
    return {
        name: (planned.get(name, ZERO), held.get(name, ZERO))
        for name in sorted(planned.keys() | held.keys())
        if planned.get(name, ZERO) != held.get(name, ZERO)
    }
