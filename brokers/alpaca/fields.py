"""Reading one field of an Alpaca row, and its names of instruments.

Money is text in trading answers and a JSON number in market data; times are RFC 3339 with up to nanoseconds, the
clock's with an offset. Crypto pairs read `BTC/USD` in assets and orders, `BTCUSD` in positions and in older rows.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

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
from brokers.fields import (
    iso_moment as moment,
)
from brokers.fields import (
    iso_moment_or_none as moment_or_none,
)
from brokers.ids import InstrumentId
from brokers.types import ProductKind

__all__ = [
    "NEW_YORK",
    "Row",
    "base_and_quote",
    "day_start",
    "flag",
    "instrument_id_of",
    "is_option",
    "moment",
    "moment_or_none",
    "number",
    "number_or_none",
    "number_or_zero",
    "positive_or_none",
    "product_of_class",
    "required",
    "rows",
    "text",
]

NEW_YORK = ZoneInfo("America/New_York")  # where Alpaca's dates are
# No share has a symbol of six letters without a dot, so that the name alone tells a pair; the longest quote first.
_JOINED_PAIR = re.compile(r"(?P<base>[A-Z0-9]{2,10})(?P<quote>USDT|USDC|USDG|USD|BTC)", re.ASCII)
_SHARE_LENGTH_MAX = 5
_OPTION = re.compile(r"[A-Z]{1,6}[0-9]{6}[CP][0-9]{8}", re.ASCII)
_CLASSES = {"us_equity": ProductKind.EQUITY, "crypto": ProductKind.SPOT}


def day_start(row: Row, name: str) -> datetime:
    """The first moment of a date in New York, as aware UTC."""
    value = required(row, name)
    try:
        day = date.fromisoformat(value)
    except ValueError as error:
        raise AnswerUnreadable(f"{name} must be a date, was {value[:40]!r}") from error
    return datetime.combine(day, time(0), NEW_YORK).astimezone(UTC)


def product_of_class(asset_class: str) -> ProductKind | None:
    """The product of an asset class; None for those that are not traded here (options, perpetuals)."""
    return _CLASSES.get(asset_class)


def instrument_id_of(symbol: str) -> InstrumentId:
    """The unified symbol: shares as they are, pairs with their slash."""
    if "/" in symbol or len(symbol) <= _SHARE_LENGTH_MAX:
        return InstrumentId(symbol)
    pair = _JOINED_PAIR.fullmatch(symbol)
    return InstrumentId(f"{pair['base']}/{pair['quote']}" if pair else symbol)


def is_option(symbol: str) -> bool:
    """Whether a symbol is an option's, as the Options Clearing Corporation writes them."""
    return _OPTION.fullmatch(symbol) is not None


def base_and_quote(instrument_id: InstrumentId) -> tuple[str, str]:
    """The currencies of a pair."""
    base, _, quote = instrument_id.value.partition("/")
    if not base or not quote:
        raise AnswerUnreadable(f"a crypto pair must read BASE/QUOTE, was {instrument_id.value!r}")
    return base, quote
