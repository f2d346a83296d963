"""TradeStation's clock, from the `Date` header of its answers: it has no clock of its own to ask.

A header gives whole seconds, so one answer bounds the offset to a second and its time on the way. Answers at other
moments bound it elsewhere, and the true offset lies in all of these bounds: a few answers at different parts of a
second leave a small interval. What contradicts the rest (a clock was set) starts the count again.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from brokers.clock import Clock
from brokers.errors import AnswerUnreadable
from brokers.types import ClockReading

AGE_S_MAX = 300.0
_STEP_S_MAX = 0.05
_SECOND = timedelta(seconds=1)
_BOUNDS_MAX = 64


@dataclass(frozen=True, slots=True)
class _Bound:
    """The offset (venue minus ours) lies between these; `at_s` is when that was learned."""

    low: timedelta
    high: timedelta
    at_s: float


class VenueTime:
    """What the answers so far say of the venue's clock. Safe to share between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._bounds: deque[_Bound] = deque(maxlen=_BOUNDS_MAX)
        self._base: timedelta | None = None  # our wall clock minus its monotonic sister

    def observe(self, header: str, *, sent_at: datetime, received_at: datetime) -> None:
        """Take in one answer's `Date`; one that cannot be read says nothing."""
        stamped = _parse(header)
        if stamped is None:
            return
        at_s = self._clock.monotonic()
        base = timedelta(seconds=received_at.timestamp() - at_s)
        bound = _Bound(stamped - received_at, stamped + _SECOND - sent_at, at_s)
        with self._lock:
            if self._base is None or abs(base - self._base) > timedelta(seconds=_STEP_S_MAX):
                self._bounds.clear()
                self._base = base
            while self._bounds and at_s - self._bounds[0].at_s > AGE_S_MAX:
                self._bounds.popleft()
            self._bounds.append(bound)
            if self._interval() is None:
                self._bounds.clear()
                self._bounds.append(bound)

    @property
    def offset(self) -> timedelta:
        """Venue time minus ours, as far as it is known; zero before the first answer."""
        with self._lock:
            interval = self._interval()
        return timedelta(0) if interval is None else (interval[0] + interval[1]) / 2

    def now(self) -> datetime:
        """The venue's time, as far as it is known."""
        return self._clock.now() + self.offset

    def reading(self) -> ClockReading:
        """The offset with its bound; AnswerUnreadable when no answer told the time."""
        with self._lock:
            interval = self._interval()
        if interval is None:
            raise AnswerUnreadable("TradeStation's answers carry no Date header: its clock cannot be told")
        offset = (interval[0] + interval[1]) / 2
        return ClockReading(venue_time=self._clock.now() + offset, offset=offset, error=(interval[1] - interval[0]) / 2)

    def _interval(self) -> tuple[timedelta, timedelta] | None:
        if not self._bounds:
            return None
        low, high = max(bound.low for bound in self._bounds), min(bound.high for bound in self._bounds)
        return None if low > high else (low, high)


def _parse(header: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(header)
    except (ValueError, TypeError, IndexError):
        return None
    return found.astimezone(UTC) if found.tzinfo is not None else None
