"""Typed access to the fields of a body: what is taken is checked, what is left over is refused.

Secrets are taken out first, as sha256 sums. No error text holds more than 40 characters of a value, and none a secret.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from brokers.rounding import decimal_text, parse_decimal
from brokers.types import PositionSide
from trading.alerts.reasons import AlertReason, AlertRefused

Choice = TypeVar("Choice", bound=StrEnum)
NAME_MAX = 80
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_PLACEHOLDER = re.compile(r"\{\{[A-Za-z0-9_.() \"]{0,60}\}\}", re.ASCII)
_UNIX = re.compile(r"[0-9]{10}(?:[0-9]{3})?", re.ASCII)
_NOTHING = frozenset({"", "nan", "na", "null", "none"})
_LONG = frozenset({"long", "bullish"})
_SHORT = frozenset({"short", "bearish"})


class Fields:
    """The fields of one object. Every getter takes its field, `finish` refuses what nobody took."""

    def __init__(self, found: Mapping[str, Any], *, place: str = "") -> None:
        self._left = dict(found)
        self._place = place

    def secrets(self, *names: str) -> dict[str, str]:
        """Take the secrets out, as sha256 sums by field."""
        found = {name: self._left.pop(name, None) for name in names}
        return {name: digest(str(value)) for name, value in found.items() if value is not None}

    def text(self, name: str, *, length_max: int = NAME_MAX) -> str:
        """A text, or ""; numbers are taken as they stand."""
        value = self._left.pop(name, None)
        if value is None:
            return ""
        if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise self._invalid(name, "must be text", value)
        self._resolved(name, value)
        if len(value) > length_max:
            text = f"{self._place}{name} may have at most {length_max} characters, has {len(value)}"
            raise AlertRefused(AlertReason.FIELD_INVALID, text)
        return value.strip()

    def free_text(self, name: str) -> str:
        """Text that decides nothing: shortened, placeholders and all."""
        value = self._left.pop(name, None)
        return value[:200] if isinstance(value, str) else ""

    def required(self, name: str, *, length_max: int = NAME_MAX) -> str:
        """A text that must be there."""
        return self.text(name, length_max=length_max) or self._missing(name)

    def choice(self, name: str, kind: type[Choice]) -> Choice | None:
        """One of a closed set, in any case of letters."""
        value = self.text(name).lower()
        if not value:
            return None
        try:
            return kind(value)
        except ValueError:
            raise self._invalid(name, f"must be one of {', '.join(kind)}", value) from None

    def number(self, name: str) -> Decimal | None:
        """A finite number, quoted or not. NaN and na are refused here: what decides must be there or be absent."""
        if name not in self._left:
            return None
        value = self._left.pop(name)
        if isinstance(value, str):
            self._resolved(name, value)
            value = value.strip()
        if value is None or (isinstance(value, str) and value.lower() in _NOTHING):
            raise AlertRefused(AlertReason.NUMBER_INVALID, f"{self._place}{name} is empty or not a number")
        try:
            return parse_decimal(value, field=f"{self._place}{name}")
        except ValueError as error:
            raise AlertRefused(AlertReason.NUMBER_INVALID, str(error)[:200]) from None

    def positive(self, name: str) -> Decimal | None:
        """A number above zero."""
        value = self.number(name)
        if value is not None and value <= 0:
            text = f"{self._place}{name} must be above 0, was {decimal_text(value)}"
            raise AlertRefused(AlertReason.NUMBER_INVALID, text)
        return value

    def size(self, name: str) -> Decimal | None:
        """A number that is not negative."""
        value = self.number(name)
        if value is not None and value < 0:
            text = f"{self._place}{name} must not be negative, was {decimal_text(value)}"
            raise AlertRefused(AlertReason.NUMBER_INVALID, text)
        return value

    def hint(self, name: str) -> Decimal | None:
        """A price that is only shown: None where it is none."""
        value = self._left.pop(name, None)
        try:
            found = parse_decimal(value.strip() if isinstance(value, str) else value)
        except ValueError:
            return None
        return found if found > 0 else None

    def flag(self, name: str) -> bool | None:
        """true or false, quoted or not."""
        value = self._left.pop(name, None)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            self._resolved(name, value)
            if value.strip().lower() in ("true", "false"):
                return value.strip().lower() == "true"
        raise self._invalid(name, "must be true or false", value)

    def time(self, name: str) -> datetime | None:
        """An ISO time (UTC where it names no zone) or a Unix time in seconds or milliseconds."""
        value = self.text(name)
        if not value:
            return None
        try:
            return read_time(value)
        except (ValueError, OverflowError):
            raise self._invalid(name, "must be a time such as 2026-07-20T14:31:02Z", value) from None

    def position(self, name: str) -> PositionSide | None:
        """long, short or flat; bullish and bearish mean the same."""
        value = self.text(name).lower()
        if not value:
            return None
        if value in _LONG:
            return PositionSide.LONG
        if value in _SHORT:
            return PositionSide.SHORT
        if value == "flat":
            return PositionSide.FLAT
        raise self._invalid(name, "must be long, short or flat", value)

    def part(self, name: str) -> Fields:
        """A nested object; empty where there is none."""
        value = self._left.pop(name, None)
        if value is None:
            return Fields({}, place=f"{self._place}{name}.")
        if not isinstance(value, dict):
            raise self._invalid(name, "must be an object in braces", value)
        return Fields(value, place=f"{self._place}{name}.")

    def unsupported(self, *names: str) -> None:
        """Refuse what the dialect can ask for and what is not done here. false, null, 0 and "" ask for nothing."""
        for name in names:
            value = self._left.pop(name, None)
            if value and value != "0":
                text = f"{self._place}{name} is not carried out; leave it out"
                raise AlertRefused(AlertReason.FIELD_UNSUPPORTED, text)

    def asked(self, *names: str) -> tuple[str, ...]:
        """Take fields that are not read further, and say which of them ask for something."""
        return tuple(f"{self._place}{name}" for name in names if self._left.pop(name, None))

    def ignore(self, *names: str) -> None:
        """Fields that say nothing about the order."""
        for name in names:
            self._left.pop(name, None)

    def finish(self, *, ignore_others: bool = False, known: Collection[str] = ()) -> None:
        """Refuse a field that nobody took."""
        if self._left and not ignore_others:
            name = sorted(self._left)[0]
            shown = name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,39}", name) else "(not a name)"
            hint = f"; known: {', '.join(sorted(known))}" if known else ""
            raise AlertRefused(AlertReason.FIELD_UNKNOWN, f"{self._place}{shown} is not a field of this dialect{hint}")

    def _resolved(self, name: str, value: str) -> None:
        require_resolved(value, field=f"{self._place}{name}")

    def _missing(self, name: str) -> str:
        raise AlertRefused(AlertReason.FIELD_MISSING, f"{self._place}{name} is missing")

    def _invalid(self, name: str, what: str, value: Any) -> AlertRefused:
        shown = repr(value[:40]) if isinstance(value, str) else f"{type(value).__name__}"
        return AlertRefused(AlertReason.FIELD_INVALID, f"{self._place}{name} {what}, was {shown}")


def require_resolved(value: str, *, field: str) -> None:
    """Refuse a placeholder that TradingView left as it was."""
    if "{{" in value or "}}" in value:
        found = _PLACEHOLDER.search(value)
        text = f"{field} still holds a placeholder: {found.group() if found else 'braces'}"
        raise AlertRefused(AlertReason.PLACEHOLDER_UNRESOLVED, text)


def digest(text: str) -> str:
    """The sha256 of a secret: all that is ever kept of it."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_time(text: str) -> datetime:
    """An aware UTC time; ValueError."""
    if _UNIX.fullmatch(text):
        return datetime.fromtimestamp(int(text[:10]), UTC)
    if not _TIME.fullmatch(text):
        raise ValueError(f"not a time: {text[:40]!r}")
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
