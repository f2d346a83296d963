"""Reading to the end: time windows that Binance accepts, cut until each shows everything that it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from brokers import history
from brokers.binance.fields import rows_of
from brokers.binance.profile import PAGE_SIZE
from brokers.errors import AnswerUnreadable
from brokers.fields import Row, required
from brokers.history import PAGES_MAX, require_kept
from brokers.types import ProductKind

_DAY_MS = 86_400_000
WINDOW_MS_MAX = {ProductKind.SPOT: _DAY_MS, ProductKind.LINEAR: 7 * _DAY_MS}
RETENTION = {
    ProductKind.SPOT: timedelta(days=3_650),  # no end is documented; a window without one would never come to it
    ProductKind.LINEAR: timedelta(days=90),
}


def windows(product: ProductKind, since: datetime, until: datetime, *, now: datetime) -> Iterator[tuple[int, int]]:
    """Consecutive windows (spot 24 hours, futures 7 days), as inclusive milliseconds, over `since <= time < until`.

    Unsupported when `since` lies before what Binance keeps: the answer could not be complete.
    """
    kept = f"{RETENTION[product].days} days of Binance's {product} history are read"
    require_kept(since, until, earliest=now - RETENTION[product], kept=kept)
    return history.windows(since, until, span_ms=WINDOW_MS_MAX[product])


def pages(
    fetch: Callable[..., Any],
    *,
    start: int,
    end: int,
    identity: Callable[[Row], str],
    limit: int | None = None,
    **parameters: Any,
) -> Iterator[Row]:
    """Every row of one window, each once. A full page may lack rows at either end of it, because Binance does not
    document for every list whether it shows the first or the latest of a window: its halves are read instead."""
    full = limit or PAGE_SIZE
    seen: set[str] = set()
    parts = [(start, end)]
    for _ in range(PAGES_MAX):
        if not parts:
            return
        first, last = parts.pop()
        found = rows_of(fetch(**parameters, startTime=first, endTime=last, limit=full), "history")
        if len(found) >= full:
            if first >= last:
                raise AnswerUnreadable(f"a page of {full} rows of one millisecond ({first}) may not be all of them")
            middle = (first + last) // 2
            parts += [(middle + 1, last), (first, middle)]
            continue
        fresh = [row for row in found if identity(row) not in seen]
        seen.update(identity(row) for row in fresh)
        yield from fresh
    raise AnswerUnreadable(f"the venue gave more than {PAGES_MAX} pages; ask for a shorter window")


def by(*names: str) -> Callable[[Row], str]:
    """What tells rows apart."""
    return lambda row: ":".join(required(row, name) for name in names)
