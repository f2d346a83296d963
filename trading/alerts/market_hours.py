"""Whether a market is open, and when it opens next: from pandas_market_calendars, read when first asked and kept.

A calendar is loaded for a year at a time (0.2 s once, with the library 0.6 s); an import of this module costs nothing.
Hours are a function of calendar and time alone, so that a decision made from them can be made again.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

NAMES_SHOWN = "NYSE, NASDAQ, CME_Equity, CMEGlobex_Crude, CMEGlobex_FX, LSE, XETR"
_LOOK_AHEAD = timedelta(days=21)  # further than any market stays closed


class CalendarUnknown(ValueError):
    """There is no calendar of this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketState:
    """`is_extended`: before or after regular hours, where the calendar has such hours. `opens_at` is the next opening
    of regular hours; None while they last."""

    is_open: bool
    is_extended: bool
    opens_at: datetime | None


def market_state(calendar: str, at: datetime) -> MarketState:
    """The state of a market at an aware time; always open without a calendar. CalendarUnknown."""
    if at.utcoffset() is None:
        raise ValueError(f"time must be aware, was {at.isoformat()}")
    if not calendar:
        return MarketState(is_open=True, is_extended=False, opens_at=None)
    now = at.astimezone(UTC)
    regular = [*_sessions(calendar, now.year).regular]
    if (now + _LOOK_AHEAD).year != now.year:
        regular += _sessions(calendar, now.year + 1).regular
    if _within(regular, now):
        return MarketState(is_open=True, is_extended=False, opens_at=None)
    later = bisect_right(regular, (now, datetime.max.replace(tzinfo=UTC)))
    if later == len(regular):
        raise CalendarUnknown(f"calendar {calendar} has no session after {now.isoformat()}")
    is_extended = _within(_sessions(calendar, now.year).extended, now)
    return MarketState(is_open=False, is_extended=is_extended, opens_at=regular[later][0])


def require_calendar(name: str) -> None:
    """CalendarUnknown with a few names that there are."""
    if name:
        _calendar(name)


@dataclass(frozen=True, slots=True)
class _Year:
    """Openings and closings in UTC, in order: regular hours and those around them."""

    regular: tuple[tuple[datetime, datetime], ...]
    extended: tuple[tuple[datetime, datetime], ...]


def _within(sessions: list[tuple[datetime, datetime]] | tuple[tuple[datetime, datetime], ...], now: datetime) -> bool:
    place = bisect_right(sessions, (now, datetime.max.replace(tzinfo=UTC))) - 1
    return place >= 0 and now < sessions[place][1]


@lru_cache(maxsize=64)
def _sessions(name: str, year: int) -> _Year:
    """The sessions that touch a year."""
    calendar = _calendar(name)
    first, last = date(year, 1, 1) - timedelta(days=7), date(year, 12, 31) + timedelta(days=7)
    has_extended = {"pre", "post"} <= set(calendar.market_times)
    outer = {"start": "pre", "end": "post"} if has_extended else {}
    frame = calendar.schedule(start_date=first, end_date=last, **outer)
    regular = tuple(_span(row, "market_open", "market_close") for _, row in frame.iterrows())
    extended = tuple(_span(row, "pre", "post") for _, row in frame.iterrows()) if has_extended else ()
    return _Year(regular, extended)


def _span(row: Any, opens: str, closes: str) -> tuple[datetime, datetime]:
    return row[opens].to_pydatetime().astimezone(UTC), row[closes].to_pydatetime().astimezone(UTC)


@lru_cache(maxsize=64)
def _calendar(name: str) -> Any:
    import pandas_market_calendars  # slow to import, and needed by routes with a calendar only

    try:
        return pandas_market_calendars.get_calendar(name)
    except RuntimeError:
        raise CalendarUnknown(f"there is no calendar {name!r}; some of those there are: {NAMES_SHOWN}") from None
