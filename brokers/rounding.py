"""Exact numbers: reading, writing and rounding them, always to the safe side.

Invariants: `quantise_quantity(q, lot=l)` is a multiple of l, has q's sign and never a larger magnitude;
`quantise_price` never makes an order more aggressive (buy not above, sell not below); `parse_decimal(decimal_text(d))`
equals d for every d that `parse_decimal` accepts.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, DivisionByZero, FloatOperation, InvalidOperation

from brokers.types import OrderSide

DIGITS_MAX = 38
EXPONENT_MAX = 18
# Wide enough for the product of two 38-digit numbers: sums and products of venue numbers are exact in it.
MONEY = Context(prec=80, traps=[InvalidOperation, DivisionByZero, FloatOperation])
_PLAIN = re.compile(r"-?[0-9]{1,19}(?:\.[0-9]{1,18})?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)


def parse_decimal(value: object, *, field: str = "value") -> Decimal:
    """Read a finite decimal of at most 38 digits and exponent within ±18; ValueError names field and value.

    Binary floats are refused: they have lost the digits already. Text must be plain ASCII without blanks.
    """
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return Decimal(value)  # nearly every number of a venue: within all limits by its form alone
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise ValueError(f"{field} must be decimal text, was {type(value).__name__}")
    if isinstance(value, str) and (len(value) > 80 or not _NUMBER.fullmatch(value)):
        raise ValueError(f"{field} must be a decimal number, was {value[:40]!r}")
    if isinstance(value, int) and abs(value) >= 10**DIGITS_MAX:
        raise ValueError(f"{field} must have at most {DIGITS_MAX} digits, was {value.bit_length()} bits long")
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError(f"{field} must be finite, was {number}")
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or abs(exponent) > EXPONENT_MAX:
        # "0.000000000000000000" has exponent -18; trailing zeros beyond that carry nothing and are dropped.
        number = number.normalize(MONEY)
        exponent = int(number.as_tuple().exponent)
        if abs(exponent) > EXPONENT_MAX:
            raise ValueError(f"{field} must have an exponent within ±{EXPONENT_MAX}, was {str(value)[:40]}")
    if len(number.as_tuple().digits) + max(exponent, 0) > DIGITS_MAX:
        raise ValueError(f"{field} must have at most {DIGITS_MAX} digits, was {str(value)[:40]}")
    return number


def decimal_text(value: Decimal) -> str:
    """The canonical text of a number: plain digits, no exponent, no needless zeros, never '-0'."""
    if not isinstance(value, Decimal) or not value.is_finite():
        raise ValueError(f"value must be a finite Decimal, was {value!r}")
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "", "-") else text


def quantise_quantity(quantity: Decimal, *, lot: Decimal) -> Decimal:
    """The largest multiple of `lot` that is not beyond `quantity`: toward zero, for both signs."""
    _require_step("lot", lot)
    steps = MONEY.divide_int(quantity.copy_abs(), lot)
    return MONEY.multiply(steps, lot).copy_sign(quantity) if steps else Decimal(0)


def quantise_price(price: Decimal, *, tick: Decimal, side: OrderSide) -> Decimal:
    """The nearest price on the tick grid that is not more aggressive: buys go down, sells go up."""
    _require_step("tick", tick)
    rounding = ROUND_FLOOR if side is OrderSide.BUY else ROUND_CEILING
    return MONEY.multiply(MONEY.divide(price, tick).to_integral_value(rounding=rounding), tick)


def is_multiple(value: Decimal, *, step: Decimal) -> bool:
    """Whether `value` lies on the grid of `step`, exactly."""
    _require_step("step", step)
    return MONEY.remainder(value, step) == 0


def _require_step(name: str, step: Decimal) -> None:
    if not step.is_finite() or step <= 0:
        raise ValueError(f"{name} must be above 0, was {step}")
