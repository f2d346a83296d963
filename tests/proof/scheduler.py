"""Workers in one thread and virtual time: each runs until it waits, and the seed decides who goes on.

A worker gives way wherever it waits on its clock and wherever the harness asks it to (at named points of the protocol,
never inside a transaction). So a worker may stand still between any two steps while others move: that is also what a
stopped process, a slow answer and a lease that runs out look like.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from datetime import datetime, timedelta

from greenlet import getcurrent, greenlet

from brokers.clock import ManualClock

Run = Callable[[], None]


class Scheduler:
    """Lets workers take turns on one manual clock; the same seed gives the same order."""

    def __init__(self, clock: ManualClock, rng: random.Random) -> None:
        self.clock = clock
        self.rng = rng
        self._hub = getcurrent()
        self._queue: list[tuple[float, float, int, greenlet]] = []
        self._count = 0
        self.switches = 0

    def spawn(self, run: Run, *, after_s: float = 0.0) -> None:
        """Add a worker that starts in `after_s`."""
        self._push(after_s, greenlet(run, parent=self._hub))

    def run(self) -> None:
        """Until every worker has ended; what one raises ends all."""
        self._hub = getcurrent()
        while self._queue:
            at_s, _, _, worker = heapq.heappop(self._queue)
            self.clock.wait(at_s - self.clock.monotonic())
            self.switches += 1
            worker.parent = self._hub
            worker.switch()

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass for the worker that calls this; whoever is due meanwhile goes on."""
        # The clock counts whole microseconds: less would be no time at all, and a loop that waits for it would not end.
        seconds = math.ceil(max(seconds, 0.0) * 1e6) / 1e6
        worker = getcurrent()
        at_s = self.clock.monotonic() + seconds
        if worker is self._hub or not self._queue or self._queue[0][0] > at_s:
            self.clock.wait(seconds)
            return
        self._push(seconds, worker)
        self._hub.switch()

    def _push(self, after_s: float, worker: greenlet) -> None:
        self._count += 1  # the last word between equals, so that greenlets are never compared
        heapq.heappush(self._queue, (self.clock.monotonic() + after_s, self.rng.random(), self._count, worker))


class WorkerClock:
    """One machine's clock: its wall time may be wrong and may step, its monotonic time and its waiting are sound."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.skew = timedelta(0)

    def now(self) -> datetime:
        return self._scheduler.clock.now() + self.skew

    def monotonic(self) -> float:
        return self._scheduler.clock.monotonic()

    def wait(self, seconds: float) -> None:
        self._scheduler.sleep(seconds)
