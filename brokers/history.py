"""Reading what lies back: how far a venue's history reaches, and windows of the width that it accepts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from brokers.clock import epoch_ms
from brokers.errors import Unsupported

PAGES_MAX = 10_000  # of one reading: a list without an end is a fault, not a history


def require_kept(since: datetime, until: datetime, *, earliest: datetime, kept: str) -> None:
    """Unsupported when `since` lies before what the venue keeps (`kept` says it): the answer would not be complete."""
    if until < since:
        raise Unsupported(f"until must not be before since, was {until} before {since}")
    if since < earliest:
        raise Unsupported(f"{kept}; since must be after {earliest}, was {since}")


def windows(since: datetime, until: datetime, *, span_ms: int) -> Iterator[tuple[int, int]]:
    """Consecutive windows of at most `span_ms`, as inclusive milliseconds, that cover `since <= time < until`."""
    # Rows carry whole milliseconds: one that began before `since` lies before it.
    start, end = epoch_ms(since + timedelta(microseconds=999)), epoch_ms(until - timedelta(microseconds=1))
    while start <= end:
        last = min(start + span_ms - 1, end)
        yield start, last
        start = last + 1
