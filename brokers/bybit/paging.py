"""Reading to the end: time windows that Bybit accepts, and pages that end when the venue has shown everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from brokers.bybit.fields import Row, listed, text
from brokers.clock import epoch_ms
from brokers.errors import AnswerUnreadable, Unsupported

WINDOW_MS_MAX = 7 * 86_400_000
RETENTION = timedelta(days=730)
PAGES_MAX = 10_000


def windows(since: datetime, until: datetime, *, now: datetime) -> Iterator[tuple[int, int]]:
    """Consecutive windows of at most seven days, as inclusive milliseconds, that cover `since <= time < until`.

    Unsupported when `since` lies before the two years that Bybit keeps: the answer could not be complete.
    """
    if until < since:
        raise Unsupported(f"until must not be before since, was {until} before {since}")
    if since < now - RETENTION:
        raise Unsupported(f"Bybit keeps two years of history; since must be after {now - RETENTION}, was {since}")
    start, end = epoch_ms(since), epoch_ms(until - timedelta(microseconds=1))
    while start <= end:
        last = min(start + WINDOW_MS_MAX - 1, end)
        yield start, last
        start = last + 1


def pages(fetch: Callable[..., dict[str, Any]], **params: Any) -> Iterator[Row]:
    """Every row of every page. A non-empty cursor does not mean that more follows: an empty page or a cursor that
    was seen before ends the walk."""
    seen: set[str] = set()
    cursor: str | None = None
    for _ in range(PAGES_MAX):
        result = fetch(**params, cursor=cursor) if cursor else fetch(**params)
        found = listed(result)
        yield from found
        cursor = text(result, "nextPageCursor")
        if not found or not cursor or cursor in seen:
            return
        seen.add(cursor)
    raise AnswerUnreadable(f"the venue gave more than {PAGES_MAX} pages; ask for a shorter window")
