"""Reading one field of a Bybit row. Bybit writes numbers and times as text and uses "" for "nothing"."""

from __future__ import annotations

from brokers.fields import (
    Row,
    flag,
    from_ms,
    integer,
    listed,
    moment,
    number,
    number_or_none,
    number_or_zero,
    positive_or_none,
    required,
    text,
)

__all__ = [
    "flag",
    "from_ms",
    "integer",
    "listed",
    "moment",
    "number",
    "number_or_none",
    "number_or_zero",
    "positive_or_none",
    "required",
    "Row",
    "text",
]
