"""OKX's paging: newest first, `after` an id goes back, `before` an id shows what is newer, at most 100 rows."""

from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import TypeVar

from simulators.okx.params import Params

T = TypeVar("T")


def page(rows: Iterable[T], params: Params, *, number: Callable[[T], str]) -> list[T]:
    """Return one page of rows that come newest first, each with a rising number.

    With `before` alone the newest rows come first too: what lies between is never shown (docs-v5, pagination).
    """
    after, before, limit = params.integer("after"), params.integer("before"), params.limit()
    if before is not None:
        rows = takewhile(lambda row: int(number(row)) > before, rows)
    found: list[T] = []
    for row in rows:
        if after is None or int(number(row)) < after:
            found.append(row)
            if len(found) == limit:
                break
    return found


def window(params: Params) -> Callable[[int], bool]:
    """Return what tells whether a moment lies between begin and end, both included."""
    begin, end = params.integer("begin"), params.integer("end")
    return lambda at_ms: (begin is None or at_ms >= begin) and (end is None or at_ms <= end)
