"""Reading to the end: time windows that Bybit accepts, and pages that end when the venue has shown everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from brokers import history
from brokers.bybit.fields import Row, listed, text
from brokers.errors import AnswerUnreadable
from brokers.history import PAGES_MAX, require_kept

WINDOW_MS_MAX = 7 * 86_400_000
RETENTION = timedelta(days=730)


def windows(since: datetime, until: datetime, *, now: datetime) -> Iterator[tuple[int, int]]:
    """Consecutive windows of at most seven days, as inclusive milliseconds, that cover `since <= time < until`.

    Unsupported when `since` lies before the two years that Bybit keeps: the answer could not be complete.
    """
    require_kept(since, until, earliest=now - RETENTION, kept="Bybit keeps two years of history")
    return history.windows(since, until, span_ms=WINDOW_MS_MAX)


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
