"""Reading lists to their end. Alpaca gives no cursor: orders go on by time, activities by the id of the last row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from brokers.alpaca.client import as_rows
from brokers.alpaca.fields import Row, required
from brokers.alpaca.orders import submitted_at
from brokers.alpaca.profile import ACTIVITIES_PAGE, ORDERS_PAGE
from brokers.errors import AnswerUnreadable
from brokers.history import PAGES_MAX

_STEP = timedelta(microseconds=1)
Read = Callable[..., Any]


def written(moment: datetime) -> str:
    """A time as Alpaca's queries take it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def orders(read: Read, **query: str) -> Iterator[Row]:
    """Every order of a list, oldest first, each once.

    A full page is followed by one from just before its last time on: orders of one moment may stand on both sides of
    the border. A full page that shows nothing new is a list that cannot be read to its end.
    """
    seen: dict[str, Row] = {}
    for _ in range(PAGES_MAX):
        found = as_rows(read("/orders", limit=str(ORDERS_PAGE), direction="asc", nested="false", **query))
        fresh = _unseen(found, seen)
        yield from fresh
        if len(found) < ORDERS_PAGE:
            return
        if not fresh:
            raise AnswerUnreadable(f"more than {ORDERS_PAGE} orders of one moment: the list cannot be read to its end")
        query = {**query, "after": written(max(map(submitted_at, found)) - _STEP)}
    raise AnswerUnreadable(f"the venue gave more than {PAGES_MAX} pages of orders; ask for a shorter window")


def activities(read: Read, path: str, **query: str) -> Iterator[Row]:
    """Every activity, oldest first, each once."""
    seen: dict[str, Row] = {}
    more: dict[str, str] = {}
    for _ in range(PAGES_MAX):
        found = as_rows(read(path, direction="asc", page_size=str(ACTIVITIES_PAGE), **query, **more))
        fresh = _unseen(found, seen)
        yield from fresh
        if len(found) < ACTIVITIES_PAGE:
            return
        if not fresh:
            raise AnswerUnreadable(f"the venue gave the page of activities after {more.get('page_token')} twice")
        more = {"page_token": required(found[-1], "id")}
    raise AnswerUnreadable(f"the venue gave more than {PAGES_MAX} pages of activities; ask for a shorter window")


def _unseen(found: Iterable[Row], seen: dict[str, Row]) -> list[Row]:
    """The rows that were not shown before, each once; `seen` learns them."""
    fresh = []
    for row in found:
        if seen.setdefault(required(row, "id"), row) is row:
            fresh.append(row)
    return fresh
