"""Reading one field of a Binance row. Amounts are text, ids and times are numbers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from urllib.parse import urlencode

from brokers.errors import AnswerUnreadable
from brokers.fields import Row
from brokers.rounding import MONEY

_PRICE_STEP = Decimal("1e-12")


def row_of(answer: Any, what: str) -> Row:
    """An answer that must be one object."""
    if not isinstance(answer, Mapping):
        raise AnswerUnreadable(f"{what} must be one object, was {type(answer).__name__}")
    return answer


def rows_of(answer: Any, what: str) -> list[Row]:
    """An answer that must be a list of objects; a single object, as where one symbol was named, is a list of one."""
    if isinstance(answer, Mapping):
        return [answer]
    if not isinstance(answer, list):
        raise AnswerUnreadable(f"{what} must be a list of objects, was {type(answer).__name__}")
    return answer


def quotient(total: Decimal, units: Decimal) -> Decimal:
    """What a unit cost, rounded to twelve decimals: where Binance gives no average, only both sums."""
    return MONEY.divide(total, units).quantize(_PRICE_STEP, rounding=ROUND_HALF_EVEN, context=MONEY).normalize(MONEY)


def form(parameters: Mapping[str, str]) -> str:
    """The canonical text of parameters: sorted by name, percent-encoded."""
    return urlencode(sorted(parameters.items()))
