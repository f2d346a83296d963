"""OKX's paging: newest first, `after` an id goes back, `before` an id shows what is newer, at most 100 rows."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
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


def older(rows: Sequence[T], params: Params, *, number: Callable[[T], str]) -> Iterator[T]:
    """Yield rows, which are kept in order of their numbers, from the newest below `after` back."""
    after = params.integer("after")
    end = len(rows) if after is None else bisect_left(rows, after, key=lambda row: int(number(row)))
    return (rows[index] for index in range(end - 1, -1, -1))


def window(params: Params) -> Callable[[int], bool]:
    """Return what tells whether a moment lies between begin and end, both included."""
    begin, end = params.integer("begin"), params.integer("end")
    return lambda at_ms: (begin is None or at_ms >= begin) and (end is None or at_ms <= end)
