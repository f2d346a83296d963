"""Exact money: Decimal only, one rounding rule, plain notation.

Rounding rule of the whole core: a cash amount carries at most 12 decimals, or as many as the venue keeps. Fees are
rounded up (against the account), everything else half-even; the remainder of a position's cost leaves with its last
unit, so no amount is ever lost.
"""

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Decimal
from typing import Annotated

from pydantic import BeforeValidator

ZERO = Decimal(0)
ONE = Decimal(1)
CASH_QUANTUM = Decimal("1e-12")
BASIS_POINT = Decimal("0.0001")


def cash(amount: Decimal, quantum: Decimal = CASH_QUANTUM) -> Decimal:
    """Round an amount to the cash quantum, half-even."""
    return amount.quantize(quantum, rounding=ROUND_HALF_EVEN)


def fee_of(value: Decimal, rate: Decimal, quantum: Decimal = CASH_QUANTUM) -> Decimal:
    """Return the fee on a traded value; a rebate (negative rate) is rounded against the account too."""
    return (value * rate).quantize(quantum, rounding=ROUND_CEILING)


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """Round down to a multiple of `step`."""
    return (value / step).to_integral_value(rounding=ROUND_DOWN) * step


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """Round up to a multiple of `step`."""
    return (value / step).to_integral_value(rounding=ROUND_UP) * step


def nearest(value: Decimal, step: Decimal) -> Decimal:
    """Round to the nearest multiple of `step`, half-even."""
    return (value / step).to_integral_value(rounding=ROUND_HALF_EVEN) * step


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Tell whether `value` lies on the grid of `step`."""
    return value % step == 0


def plain(value: Decimal, decimals: int | None = None) -> str:
    """Format without exponent and without trailing zeros, optionally rounded half-even to `decimals`."""
    if decimals is not None:
        value = value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_EVEN)
    if value == 0:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _refuse_float(value: object) -> object:
    if isinstance(value, float):
        raise ValueError(f"a binary float is not exact, was {value!r}; write the number as a quoted string")
    return value


Money = Annotated[Decimal, BeforeValidator(_refuse_float)]
"""A Decimal field of a configuration model; accepts strings and integers, refuses floats."""
