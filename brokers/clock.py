"""Time as a seam: the only place of the venue layer that asks the machine what time it is."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def epoch_ms(moment: datetime) -> int:
    """Whole milliseconds since 1970, rounded down, without going through a float."""
    if moment.tzinfo is None:
        raise ValueError(f"time must be aware UTC, was {moment!r}")
    return (moment - EPOCH) // timedelta(milliseconds=1)


class Clock(Protocol):
    """Wall time for records, monotonic time for deadlines, and waiting."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        ...

    def wait(self, seconds: float) -> None:
        """Let at least `seconds` pass on this clock."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that moves only when told: accelerated runs and tests. `wait` advances it."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError(f"ManualClock start must be aware UTC, was {start!r}")
        self._now = start.astimezone(UTC)
        self._elapsed = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed

    def wait(self, seconds: float) -> None:
        # Whole microseconds, rounded up: rounded down, a loop that waits for the last part of one would never end.
        self.advance(timedelta(microseconds=math.ceil(max(0.0, seconds) * 1e6)))

    def advance(self, by: timedelta) -> None:
        """Move forward; never back."""
        if by < timedelta(0):
            raise ValueError(f"ManualClock only moves forward, was asked for {by}")
        self._now += by
        self._elapsed += by.total_seconds()
