"""Column types that keep money exact and time unambiguous on SQLite and PostgreSQL alike.

SQLModel's default Decimal goes through a float on SQLite: 12345678.123456789012345678 comes back changed. Here a
decimal is text on SQLite and NUMERIC(38, 18) on PostgreSQL, and comes back normalised and equal on both.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Dialect, Integer, Numeric, String, types

PRECISION_MAX = 38
SCALE_MAX = 18
_INTEGER_DIGITS_MAX = PRECISION_MAX - SCALE_MAX
_STEP = Decimal(1).scaleb(-SCALE_MAX)
_WIDE = Context(prec=100)
_TEXTS_KEPT = 8_192  # of the texts that were parsed last: one decision reads the same prices and times many times


def row_id() -> Column[int]:
    """An ascending row number on both databases (SQLite only counts INTEGER primary keys)."""
    return Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)


def row_number(*, nullable: bool = False, index: bool = False) -> Column[int]:
    """Names a row of `row_id` of another table."""
    return Column(BigInteger().with_variant(Integer, "sqlite"), nullable=nullable, index=index)


class ExactDecimal(types.TypeDecorator[Decimal]):
    """A finite Decimal with at most 20 digits before and 18 after the point; anything else is refused, not rounded."""

    impl = String(64)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> types.TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Numeric(PRECISION_MAX, SCALE_MAX, asdecimal=True))
        return dialect.type_descriptor(String(64))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        exact = require_storable(value)
        return exact if dialect.name == "postgresql" else format(exact, "f")

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else canonical(Decimal(value))

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Decimal | None] | None:
        """On SQLite straight from the text: hundreds of amounts are read for one decision."""
        return super().result_processor(dialect, coltype) if dialect.name == "postgresql" else _decimal_of


def require_storable(value: Decimal) -> Decimal:
    """Return the canonical value; TypeError or ValueError names what cannot be kept exactly."""
    if not isinstance(value, Decimal):
        raise TypeError(f"an exact amount must be a Decimal, was {type(value).__name__} {value!r}")
    if not value.is_finite():
        raise ValueError(f"an exact amount must be finite, was {value}")
    exact = canonical(value)
    exponent = exact.as_tuple().exponent
    assert isinstance(exponent, int)
    if -exponent > SCALE_MAX:
        raise ValueError(f"an exact amount has at most {SCALE_MAX} decimal places, was {value}")
    if exact.adjusted() >= _INTEGER_DIGITS_MAX:
        raise ValueError(f"an exact amount has at most {_INTEGER_DIGITS_MAX} digits before the point, was {value}")
    return exact


def derived(value: Decimal | None) -> Decimal | None:
    """Round a derived figure (average, mark, unrealised profit) to what a column keeps; never money that moved."""
    if value is None or not value.is_finite():
        return value
    return value.quantize(_STEP, rounding=ROUND_HALF_EVEN, context=_WIDE)


def canonical(value: Decimal) -> Decimal:
    """The same number without trailing zeros, exponent or negative zero, whatever the decimal context."""
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    kept = list(digits)
    while exponent < 0 and kept and kept[-1] == 0:
        kept.pop()
        exponent += 1
    if exponent > 0:
        kept.extend([0] * exponent)
        exponent = 0
    if not any(kept):
        return Decimal(0)
    return Decimal((sign, tuple(kept), exponent))


class UtcDateTime(types.TypeDecorator[datetime]):
    """An aware UTC time to the microsecond; on SQLite as sortable text."""

    impl = String(32)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> types.TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(DateTime(timezone=True))
        return dialect.type_descriptor(String(32))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time in the ledger must be aware UTC, was naive {value!r}")
        utc = value.astimezone(UTC)
        if dialect.name == "postgresql":
            return utc
        return f"{utc.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        return _time_of(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None] | None:
        """On SQLite straight from the text, as above."""
        return super().result_processor(dialect, coltype) if dialect.name == "postgresql" else _time_of


@lru_cache(_TEXTS_KEPT)
def _decimal_of(text: str | None) -> Decimal | None:
    return None if text is None else canonical(Decimal(text))


@lru_cache(_TEXTS_KEPT)
def _time_of(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)
