"""Bybit's cursors: url-encoded, anchored to a row, and not empty on the last page (venues/bybit.md, trap 6)."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar
from urllib.parse import quote

from simulators.bybit.render import Row

T = TypeVar("T")


def page(
    items: Iterable[T],
    *,
    anchor: Callable[[T], tuple[str, int]],
    render: Callable[[T], Row],
    limit: int,
) -> Row:
    """Return `list` and `nextPageCursor` of the first items; an anchor is a row's id and its falling number."""
    rows = list(islice(items, limit))
    token = ""
    if rows:
        first, last = anchor(rows[0]), anchor(rows[-1])
        token = quote(f"{first[0]}:{first[1]},{last[0]}:{last[1]}", safe="")
    return {"list": [render(item) for item in rows], "nextPageCursor": token}
