"""Sums that are exact or raise, whatever the process's decimal context says."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal, Inexact, InvalidOperation

from brokers.types import ZERO

EXACT = Context(prec=100, traps=[Inexact, InvalidOperation])


def exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total
