"""From the domain's values to text: exact decimals, UTC times, no secrets. JSON, CSV and all tables pass here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence, Set
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from enum import Enum
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr

from brokers.errors import BrokerError
from brokers.rounding import MONEY
from ledger.columns import canonical

HIDDEN = "**********"
DASH = "–"


def plain(value: Any, *, name: str = "") -> Any:
    """A JSON-ready form: decimals as exact text, times as ISO 8601 with Z, ids as text, secrets as asterisks.

    `name` is the field's; a float is let through only as seconds (a name that ends in `_s`), since money must never be
    one. TypeError names a type that has no form.
    """
    if value is None or (isinstance(value, (bool, int)) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float) and name.endswith("_s"):
        return value
    scalar = _scalar(value)
    return scalar if scalar is not None else _composite(value, name)


def _scalar(value: Any) -> str | None:
    if isinstance(value, Decimal):
        return exact(value)
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return exact(Decimal(value // timedelta(microseconds=1)) / 1_000_000)
    if isinstance(value, (SecretStr, SecretBytes)):
        return HIDDEN
    if isinstance(value, bytes):
        return value.hex()
    # An id is a dataclass that says how it is written: AccountId, ClientOrderId, InstrumentId, …
    if dataclasses.is_dataclass(value) and type(value).__str__ is not object.__str__:
        return str(value)
    return None


def _composite(value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name), name=f.name) for f in dataclasses.fields(value)}
    if isinstance(value, BaseModel):
        return {field: plain(getattr(value, field), name=field) for field in type(value).model_fields}
    if isinstance(value, BrokerError):
        return {"reason": value.reason, "message": value.message, "code": value.code, "text": value.text}
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item, name=str(key)) for key, item in value.items()}
    if isinstance(value, Set):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, Sequence):
        return [plain(item, name=name) for item in value]
    raise TypeError(f"{name or 'value'} is a {type(value).__name__}, which has no plain form; give a Decimal or text")


def to_json(value: Any) -> str:
    """Indented JSON text of `plain(value)`, keys in the value's own order, ending with a newline."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def exact(value: Decimal) -> str:
    """All digits, no exponent, no trailing zeros."""
    return format(canonical(value), "f") if value.is_finite() else str(value)


def iso(value: datetime) -> str:
    """ISO 8601 in UTC with Z; ValueError for a naive time."""
    if value.tzinfo is None:
        raise ValueError(f"a time in a report must be aware UTC, was naive {value!r}")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def number(
    value: Decimal | None, *, places: int | None = None, places_max: int | None = None, signed: bool = False
) -> str:
    """For people: thousands grouped; a dash for None.

    Exact unless `places` rounds to so many decimals, or `places_max` to at most so many.
    """
    if value is None:
        return DASH
    shown = canonical(value) if places is None else _rounded(value, places)
    if places_max is not None:
        shown = canonical(_rounded(value, places_max))
    if shown == 0:
        shown = abs(shown)
    return format(shown, "+,f" if signed and shown != 0 else ",f")


def _rounded(value: Decimal, places: int) -> Decimal:
    """Half to even whatever the process's decimal context says: a library may have changed it."""
    return value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN, context=MONEY)


def percent(value: Decimal | None, *, places: int = 2, signed: bool = False) -> str:
    """A ratio shown in percent: 0.0125 is 1.25 %."""
    return DASH if value is None else number(value * 100, places=places, signed=signed) + " %"


def moment(value: datetime | None) -> str:
    """A time for people, in UTC to the second."""
    return DASH if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def seconds(value: timedelta | Decimal | float | None) -> str:
    """A duration for people: 0.84 s, 12.3 s, 2 min 05 s."""
    if value is None:
        return DASH
    total = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if total < 60:
        return f"{total:.2f} s" if total < 10 else f"{total:.1f} s"
    minutes, rest = divmod(round(total), 60)
    return f"{minutes} min {rest:02d} s"


def words(value: Enum | str) -> str:
    """A closed set's value as words: `completed_adjusted` reads 'completed adjusted'."""
    text = value.value if isinstance(value, Enum) else value
    return str(text).replace("_", " ")
