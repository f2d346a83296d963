"""Bybit's cursors: url-encoded, anchored to a row, and not empty on the last page (venues/bybit.md, trap 6)."""

from collections.abc import Callable, Iterable
from typing import TypeVar
from urllib.parse import quote, unquote

from simulators.bybit.errors import bad_request
from simulators.bybit.render import Row

T = TypeVar("T")


def page(
    items: Iterable[T],
    *,
    anchor: Callable[[T], tuple[str, int]],
    render: Callable[[T], Row],
    limit: int,
    cursor: str,
) -> Row:
    """Return `list` and `nextPageCursor`; an anchor is a row's id and number, numbers falling along the items."""
    after = _parse(cursor)
    rows: list[T] = []
    for item in items:
        if after is not None and anchor(item)[1] >= after:
            continue
        rows.append(item)
        if len(rows) == limit:
            break
    token = ""
    if rows:
        first, last = anchor(rows[0]), anchor(rows[-1])
        token = quote(f"{first[0]}:{first[1]},{last[0]}:{last[1]}", safe="")
    return {"list": [render(item) for item in rows], "nextPageCursor": token}


def _parse(cursor: str) -> int | None:
    if not cursor:
        return None
    text = unquote(cursor)
    try:
        return int(text.rsplit(":", 1)[1])
    except (IndexError, ValueError):
        raise bad_request("params error: cursor invalid") from None
