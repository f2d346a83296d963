"""Reading one field of a venue's row: absent, null and "" mean "nothing"; what is malformed is AnswerUnreadable."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from brokers.clock import EPOCH
from brokers.errors import AnswerUnreadable
from brokers.rounding import parse_decimal

Row = Mapping[str, Any]


def text(row: Row, name: str) -> str:
    """A text field; "" when absent or null."""
    value = row.get(name)
    return "" if value is None else str(value)


def required(row: Row, name: str) -> str:
    """A text field that must say something."""
    value = text(row, name)
    if not value:
        raise AnswerUnreadable(f"answer row has no {name}: it holds {', '.join(sorted(row))[:200]}")
    return value


def number(row: Row, name: str) -> Decimal:
    """A number that must be there."""
    value = number_or_none(row, name)
    if value is None:
        raise AnswerUnreadable(f"{name} must be a number, was empty")
    return value


def number_or_none(row: Row, name: str) -> Decimal | None:
    """A number, or None where the venue leaves the field empty."""
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        return parse_decimal(value, field=name)
    except ValueError as error:
        raise AnswerUnreadable(str(error)) from error


def positive_or_none(row: Row, name: str) -> Decimal | None:
    """A number above zero; None where it is empty or zero, as venues write absent prices both ways."""
    value = number_or_none(row, name)
    return value if value is not None and value > 0 else None


def number_or_zero(row: Row, name: str) -> Decimal:
    return number_or_none(row, name) or Decimal(0)


def integer(row: Row, name: str) -> int:
    """A whole number, written as a JSON number or as text."""
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


def flag(row: Row, name: str) -> bool:
    """A boolean; absent is False."""
    value = row.get(name)
    if value in (None, ""):
        return False
    if not isinstance(value, bool):
        raise AnswerUnreadable(f"{name} must be true or false, was {value!r}")
    return value


def listed(result: Row, name: str = "list") -> list[Row]:
    """A list of objects that must be there: an answer without its list does not say that the list is empty."""
    if name not in result:
        raise AnswerUnreadable(f"answer has no {name}: it holds {', '.join(sorted(result))[:200] or 'nothing'}")
    return rows(result, name)


def rows(result: Row, name: str = "list") -> list[Row]:
    """A list of objects; null is an empty list."""
    found = result.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise AnswerUnreadable(f"{name} must be a list of objects, was {type(found).__name__}")
    return found
