"""What the error tables of venues share: a status by what was asked, waiting times, refusals told by their words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from brokers.errors import BrokerError


@dataclass(frozen=True, slots=True)
class HttpRow:
    """What an HTTP status says: on an order, and on anything else."""

    on_order: type[BrokerError]
    otherwise: type[BrokerError]


def whole_number(headers: Mapping[str, str], name: str, *, digits_max: int = 7) -> int | None:
    """A header that is nothing but digits; None where it says nothing, or too much to be meant."""
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits_max else None


def asked_to_wait_s(
    headers: Mapping[str, str], *, most_s: float, names: Iterable[str] = ("retry-after",)
) -> float | None:
    """Seconds that the venue asks to wait, by the first header that tells, at most `most_s`; None where none does."""
    for name in names:
        seconds = whole_number(headers, name)
        if seconds is not None:
            return min(float(seconds), most_s)
    return None


def by_text(text: str, table: Iterable[tuple[str, type[BrokerError]]]) -> type[BrokerError] | None:
    """The first error whose pattern is found in the venue's words, whatever their case."""
    return next((error for pattern, error in table if re.search(pattern, text, re.IGNORECASE)), None)
