"""Whether a market is open, and when it opens next: from pandas_market_calendars, read when first asked and kept.

A calendar is loaded for a year at a time (0.2 s once, with the library 0.6 s); an import of this module costs nothing.
Hours are a function of calendar and time alone, so that a decision made from them can be made again.
"""

from __future__ import annotations

import warnings
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

NAMES_SHOWN = "NYSE, NASDAQ, CME_Equity, CMEGlobex_Crude, CMEGlobex_FX, LSE, XETR"
_MARGIN = timedelta(days=21)  # longer than any market stays closed
_ANY_YEAR = 2026


class CalendarUnknown(ValueError):
    """There is no calendar of this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketState:
    """Within the hours that were asked about. `opens_at` is their next opening; None while they last."""

    is_open: bool
    opens_at: datetime | None


def market_state(calendar: str, at: datetime, *, is_extended: bool = False) -> MarketState:
    """The state of a market at an aware time; always open without a calendar. CalendarUnknown.

    `is_extended`: with the sessions before and after regular hours, where the calendar knows them.
    """
    if at.utcoffset() is None:
        raise ValueError(f"time must be aware, was {at.isoformat()}")
    if not calendar:
        return MarketState(is_open=True, opens_at=None)
    now = at.astimezone(UTC)
    sessions = _sessions(calendar, now.year, is_extended=is_extended)
    later = bisect_right(sessions, now, key=lambda session: session[0])
    if later > 0 and now < sessions[later - 1][1]:
        return MarketState(is_open=True, opens_at=None)
    if later == len(sessions):
        raise CalendarUnknown(f"calendar {calendar} has no session after {now.isoformat()}")
    return MarketState(is_open=False, opens_at=sessions[later][0])


def require_calendar(name: str) -> None:
    """CalendarUnknown with a few names that there are; also for one that the library has no hours of."""
    if name:
        _sessions(name, _ANY_YEAR, is_extended=False)


@lru_cache(maxsize=64)
def _sessions(name: str, year: int, is_extended: bool) -> tuple[tuple[datetime, datetime], ...]:
    """Openings and closings in UTC, in order: those of a year, and of the weeks around it.

    A market that pauses within a day (at noon, between night and day) closes and opens again.
    """
    first, last = date(year, 1, 1) - _MARGIN, date(year, 12, 31) + _MARGIN
    calendar = _calendar(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the library does not yet do in pandas' newest way is not our reader's
        known = calendar.market_times
        opens = "pre" if is_extended and "pre" in known else "market_open"
        closes = "post" if is_extended and "post" in known else "market_close"
        try:
            frame = calendar.schedule(start_date=first, end_date=last, start=opens, end=closes)
        except (NotImplementedError, ValueError):
            raise CalendarUnknown(f"calendar {name} tells no hours: the library has its name alone") from None
    pauses = ("break_start", "break_end") if "break_start" in frame else (opens, opens)
    columns = [frame[name] for name in (opens, closes, *pauses)]
    return tuple(piece for row in zip(*columns, strict=True) for piece in _pieces(*row))


def _pieces(opens: Any, closes: Any, pauses: Any, resumes: Any) -> list[tuple[datetime, datetime]]:
    """A day's session, in two where it has a pause; one without a length, or without a time, is none."""
    has_pause = opens < pauses < resumes < closes  # never so of a time that is missing
    found = [(opens, pauses), (resumes, closes)] if has_pause else [(opens, closes)]
    return [(start.to_pydatetime().astimezone(UTC), end.to_pydatetime().astimezone(UTC)) for start, end in found]


@lru_cache(maxsize=64)
def _calendar(name: str) -> Any:
    import pandas_market_calendars  # slow to import, and needed by routes with a calendar only

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pandas_market_calendars.get_calendar(name)
    except RuntimeError:
        raise CalendarUnknown(f"there is no calendar {name!r}; some of those there are: {NAMES_SHOWN}") from None
