"""Which of OKX's lists hold a stretch of time, and how it is asked for.

OKX keeps each history twice: a recent one of days, and an archive of three months. Their bounds are not documented as
inclusive or not, so a millisecond more is asked for on both sides and the rows are cut here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from brokers.clock import epoch_ms
from brokers.history import require_kept

ARCHIVE = timedelta(days=90)
_MARGIN = timedelta(minutes=5)  # what is about to leave the recent list is looked for in the archive as well


@dataclass(frozen=True, slots=True)
class History:
    """One kind of history: the paths of its two lists, the row's id that pages go by, and what the recent one keeps.

    `late` is how much later than a row's own time the time may be by which OKX filters.
    """

    recent: str
    archive: str
    cursor: str
    keeps: timedelta
    late: timedelta = timedelta(0)


ORDERS = History("trade/orders-history", "trade/orders-history-archive", "ordId", timedelta(days=7))
# Filtered by the time of the record, told by the time of the match.
FILLS = History("trade/fills", "trade/fills-history", "billId", timedelta(days=3), late=timedelta(seconds=60))
BILLS = History("account/bills", "account/bills-archive", "billId", timedelta(days=7))


def stretches(
    kind: History, since: datetime, until: datetime, *, now: datetime
) -> Iterator[tuple[str, dict[str, str]]]:
    """The lists to read for `since <= time < until`, each with its bounds; a row may be in both.

    Unsupported when `since` lies before the three months that OKX keeps: the answer could not be complete.
    """
    require_kept(since, until, earliest=now - ARCHIVE, kept="OKX keeps three months of history")
    edge = now - kind.keeps + _MARGIN
    end = {"end": str(epoch_ms(until + kind.late) + 1)}
    if since < edge:
        yield kind.archive, {"begin": str(epoch_ms(since) - 1), **end}
    if until > edge:
        yield kind.recent, {"begin": str(epoch_ms(max(since, edge)) - 1), **end}
