"""Reading one field of a venue's row: absent, null and "" mean "nothing"; what is malformed is AnswerUnreadable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from brokers.clock import EPOCH
from brokers.errors import AnswerUnreadable
from brokers.rounding import EXPONENT_MAX, MONEY, parse_decimal

Row = Mapping[str, Any]
T = TypeVar("T")
_FINEST = Decimal(1).scaleb(-EXPONENT_MAX)
_TOO_FINE = re.compile(r"-?[0-9]{1,19}\.[0-9]{19,50}|-?[0-9](?:\.[0-9]{1,20})?[eE]-[0-9]{1,2}", re.ASCII)


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


def computed_or_none(row: Row, name: str) -> Decimal | None:
    """A figure that the venue computes in binary, or None where it leaves the field empty.

    What stands behind the eighteenth decimal is noise, which must not make a whole answer unreadable. Never for the
    quantity and price of a trade.
    """
    value = row.get(name)
    if isinstance(value, str) and _TOO_FINE.fullmatch(value):
        return number_or_none({name: Decimal(value).quantize(_FINEST, context=MONEY)}, name)
    return number_or_none(row, name)


def computed(row: Row, name: str) -> Decimal:
    """The same, of a figure that must be there."""
    value = computed_or_none(row, name)
    if value is None:
        raise AnswerUnreadable(f"{name} must be a number, was empty")
    return value


def computed_or_zero(row: Row, name: str) -> Decimal:
    return computed_or_none(row, name) or Decimal(0)


def computed_above_zero(row: Row, name: str) -> Decimal | None:
    """A computed figure above zero; None where it is empty or zero."""
    value = computed_or_none(row, name)
    return value if value is not None and value > 0 else None


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


def member(row: Row, name: str, known: Mapping[str, T]) -> T:
    """A value of a closed set, by the venue's word for it; AnswerUnreadable names a word that is not in it."""
    word = required(row, name)
    if word not in known:
        raise AnswerUnreadable(f"{name} must be one of {', '.join(known)}, was {word!r}", text=word)
    return known[word]


def iso_moment(row: Row, name: str) -> datetime:
    """A time in ISO 8601 with its zone, as aware UTC, to the microsecond below."""
    found = iso_moment_or_none(row, name)
    if found is None:
        raise AnswerUnreadable(f"answer row has no {name}: it holds {', '.join(sorted(row))[:200]}")
    return found


def iso_moment_or_none(row: Row, name: str) -> datetime | None:
    """The same, or None where the field is absent, null or empty."""
    value = text(row, name)
    if not value:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError as error:
        raise AnswerUnreadable(f"{name} must be a time, was {value[:40]!r}") from error
    if found.tzinfo is None:
        raise AnswerUnreadable(f"{name} must carry its time zone, was {value[:40]!r}")
    return found.astimezone(UTC)


def require_echo(row: Row, name: str, sent: object) -> None:
    """An answer to our order must carry our id: another one proves nothing about ours."""
    echoed = text(row, name)
    if echoed != str(sent):
        raise AnswerUnreadable(f"acknowledged {name} must be {sent}, was {echoed[:64]!r}")
