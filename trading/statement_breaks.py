"""The breaks of a day's statement: as its end found them, and what became of them until it is made."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlmodel import Session

from brokers.ids import AccountId
from ledger.acceptances import Acceptance
from ledger.breaks import accepted_at, open_breaks, open_breaks_at
from ledger.tables import ReconciliationBreak
from trading.books import accepted_text
from trading.statement_model import DayBreaks

_Found = dict[str, tuple[ReconciliationBreak, Acceptance | None]]


def breaks_of_day(session: Session, account_id: AccountId, closes_at: datetime | None, now: datetime) -> DayBreaks:
    """`closes_at`: the end of a day that is over; None is a day that is not, whose end is now."""
    current: _Found = {row.break_id: (row, accepted_at(session, row, now)) for row in open_breaks(session, account_id)}
    then: _Found = current
    if closes_at is not None:
        rows = open_breaks_at(session, account_id, closes_at)
        then = {row.break_id: (row, accepted_at(session, row, closes_at)) for row in rows}
    return DayBreaks(
        opened=len(then),
        accepted=tuple(
            accepted_text(row.kind, row.subject, accepted) for row, accepted in then.values() if accepted is not None
        ),
        since=tuple(_since(then, current)),
        left=sum(accepted is None for _, accepted in current.values()),
    )


def _since(then: _Found, current: _Found) -> Iterator[str]:
    for key, (row, accepted) in then.items():
        name = f"{row.kind} {row.subject}"
        if key not in current:
            cleared = "" if row.cleared_at is None else f" {row.cleared_at:%Y-%m-%d %H:%M} UTC"
            yield f"{name}: cleared{cleared}"
            continue
        newer = current[key][1]
        if newer is None and accepted is not None:
            yield f"{name}: open, and no longer accepted"
        elif newer is not None and newer != accepted:
            yield f"accepted since: {accepted_text(row.kind, row.subject, newer)}"
    for key, (row, accepted) in current.items():
        if key not in then:
            said = accepted_text(row.kind, row.subject, accepted) if accepted else f"{row.kind} {row.subject}"
            yield f"found since, and {'accepted' if accepted else 'open'}: {said}"
