"""An exact budget of requests: never more than so many within any window, as the venue counts them.

A request is counted from before it leaves until one window after its answer, so however long it is on the way, the
venue never sees more than `limit` in `window_s`. Shared by the threads of one process.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from brokers.clock import Clock

_POLL_S = 0.005


class ExactBudget:
    """At most `limit` requests in any `window_s` seconds."""

    def __init__(self, limit: int, window_s: float, *, clock: Clock) -> None:
        if limit < 1 or window_s <= 0:
            raise ValueError(f"a budget needs a limit of at least 1 and a window above 0 s, was {limit} in {window_s}")
        self._limit = limit
        self._window_s = window_s
        self._clock = clock
        self._lock = threading.Lock()
        self._on_the_way = 0
        self._free_at_s: deque[float] = deque()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a place, hold it while the block speaks to the venue, and for one window after."""
        while (wait_s := self._take()) > 0:
            self._clock.wait(wait_s)
        try:
            yield
        finally:
            with self._lock:
                self._on_the_way -= 1
                self._free_at_s.append(self._clock.monotonic() + self._window_s)

    def _take(self) -> float:
        """0 when a place was taken, else how long to wait before the next try."""
        with self._lock:
            now_s = self._clock.monotonic()
            while self._free_at_s and self._free_at_s[0] <= now_s:
                self._free_at_s.popleft()
            if self._on_the_way + len(self._free_at_s) < self._limit:
                self._on_the_way += 1
                return 0.0
            return max(self._free_at_s[0] - now_s, _POLL_S) if self._free_at_s else _POLL_S
