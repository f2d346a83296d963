"""Reading one field of a Bybit row. Bybit writes numbers and times as text and uses "" for "nothing"."""

from __future__ import annotations

from datetime import datetime, timedelta

from brokers.bybit.client import EPOCH
from brokers.errors import AnswerUnreadable
from brokers.fields import (
    Row,
    flag,
    number,
    number_or_none,
    number_or_zero,
    positive_or_none,
    required,
    rows,
    text,
)

__all__ = [
    "flag",
    "from_ms",
    "integer",
    "moment",
    "number",
    "number_or_none",
    "number_or_zero",
    "positive_or_none",
    "required",
    "Row",
    "rows",
    "text",
]


def integer(row: Row, name: str) -> int:
    """A whole number; Bybit writes some as JSON numbers and some as text."""
    value = number(row, name)
    if value != value.to_integral_value():
        raise AnswerUnreadable(f"{name} must be a whole number, was {value}")
    return int(value)


def moment(row: Row, name: str) -> datetime:
    """Milliseconds since 1970 as aware UTC."""
    return from_ms(integer(row, name), name)


def from_ms(milliseconds: int, name: str = "time") -> datetime:
    try:
        return EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError as error:
        raise AnswerUnreadable(f"{name} must be milliseconds since 1970, was {milliseconds}") from error
