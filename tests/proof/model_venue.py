"""A light venue in virtual time: every identity class, the faults of the send path, reads that lag, fail and flap.

What the venue may do, at its worst
- A request is lost, arrives 1 to 60 s late, is executed without an answer, with a 5xx, a redirect, an unreadable body.
- Any read fails, alone (5 %) or all of them for longer than the visibility horizon (up to 20 minutes).
- Any source (by id, open orders, history, fills, position) may be stale far beyond the horizon.
- While it flaps, look-ups fail or show nothing at all, complete ones too, long after the horizon.

What is assumed, and without which no client could prove absence
- A1: but for flaps, from the visibility horizon on each order is shown by at least one source at every moment, fills
  and position included (so one that has just been filled does not vanish from all of them).
- A2: two complete look-ups without a trace, 5 to 60 s apart with none failed or broken off between them, are not both
  such flaps.
- A3: a deadline that the venue says it enforces is enforced, by a clock that differs from its published one by less
  than the allowed skew; a permanent id is refused for ever; a documented refusal was not executed.
- A4: monotonic time does not step. A process that is stopped between the last check and the first byte cannot check.
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random

from brokers.capabilities import IdScope, OrderIdentity

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
FOREVER_S = 1e12
PERCENT = {
    "answered": 37,
    "not connected": 4,
    "lost": 12,
    "late": 10,
    "answer lost": 10,
    "connection reset": 4,
    "executed, 5xx": 6,
    "5xx": 2,
    "rate limited": 4,
    "unreadable": 2,
    "refused": 2,
    "rejected later": 2,
    "redirected": 1,
    "other id": 1,
    "sent twice": 1,
    "not sent, it says": 1,
    "delivered twice": 1,
}
FAULTS = tuple(PERCENT)
_STEPS = tuple(accumulate(PERCENT.values()))
EXECUTED = frozenset({"answered", "answer lost", "connection reset", "executed, 5xx", "unreadable", "rejected later"})
MAYBE_EXECUTED = frozenset({"redirected", "other id", "sent twice", "not sent, it says"})
STORMS = ("rate limited", "not connected")
READ_FAILS = 0.05
CLOCK_TICK_S = 0.001
_BURST_S = 4.5  # flaps are shorter than the gap of two look-ups that count, less the error of a clock reading
_BURST_AGE_S = 60.5


class Draws(Random):
    """The numbers of `Random(seed)`, for half of the time that it takes to begin them."""

    def __init__(self, seed: int) -> None:
        super(Random, self).seed(seed)


# Every second of a history, those before the start (a clock that stepped back) at the end, where -1 finds the last one.
_SECONDS = tuple(START + timedelta(seconds=second) for second in (*range(40_000), *range(-10_000, 0)))
_MILLISECONDS = tuple(timedelta(milliseconds=number) for number in range(1_000))


def at(seconds: float) -> datetime:
    """So long after the start, in whole milliseconds as SQLite's clock; put together, because a `timedelta` of a float
    takes longer than all else of a step of time."""
    milliseconds = int(seconds * 1_000)
    return _SECONDS[milliseconds // 1_000] + _MILLISECONDS[milliseconds % 1_000]


class Time:
    """True time (the venue's and every monotonic clock's), and the machine's and the database's wall clocks."""

    __slots__ = ("database", "database_off_s", "machine_off_s", "stepped_at_s", "steps", "true_s")

    def __init__(self, rng: Random) -> None:
        self.true_s = 0.0
        self.steps: list[tuple[float, float, float]] = []
        self.stepped_at_s = -FOREVER_S
        self.machine_off_s = rng.random() - 0.5
        is_own_clock = rng.random() < 0.5
        self.database_off_s = rng.random() * 3 - 1.5 if is_own_clock else self.machine_off_s
        draw = rng.random()
        if draw < 0.02:  # skewed by up to 5 s, set right later
            self._skew(rng, is_own_clock)
        elif draw < 0.06:  # stepped by an hour, and back later
            self._step(rng, is_own_clock)
        self.wait(0.0)

    def _skew(self, rng: Random, is_own_clock: bool) -> None:
        off_s = rng.random() * 10 - 5
        self.machine_off_s += off_s
        self.database_off_s += 0.0 if is_own_clock else off_s
        self.steps = [(rng.random() * 20, -off_s, 0.0 if is_own_clock else -off_s)]

    def _step(self, rng: Random, is_own_clock: bool) -> None:
        step_s = 3600.0 if rng.random() < 0.5 else -3600.0
        by_s = ((step_s, 0.0), (0.0, step_s))[rng.random() < 0.5] if is_own_clock else (step_s, step_s)
        first_s = rng.random() * 30
        self.steps = [(first_s, *by_s), (first_s + 5 + rng.random() * 60, -by_s[0], -by_s[1])]

    def wait(self, seconds: float) -> None:
        self.true_s += seconds
        if self.steps:
            self._take_steps()
        milliseconds = int((self.true_s + self.database_off_s) * 1_000)  # as `at`, without the call
        self.database = _SECONDS[milliseconds // 1_000] + _MILLISECONDS[milliseconds % 1_000]

    def _take_steps(self) -> None:
        while self.steps and self.steps[0][0] <= self.true_s:
            at_s, machine_s, database_s = self.steps.pop(0)
            self.machine_off_s += machine_s
            self.database_off_s += database_s
            self.stepped_at_s = max(self.stepped_at_s, at_s)

    @property
    def machine_s(self) -> float:
        return self.true_s + self.machine_off_s


@dataclass(slots=True)
class Placed:
    """One order as it is, and from when on each source shows it."""

    attempt: int
    at_s: float
    done_at_s: float
    by_id: float
    listed: float
    history: float
    fills: float
    position: float
    is_rejected: bool = False
    is_cancelled: bool = False

    def is_open(self, at_s: float) -> bool:
        return at_s < self.done_at_s


class Venue:
    """One account. `attempt` numbers stand for client order ids: one number, one id."""

    def __init__(self, identity: OrderIdentity, rng: Random, time: Time, *, lies: bool = False) -> None:
        self.identity, self.random, self.time, self.lies = identity, rng.random, time, lies
        self.orders: list[Placed] = []
        self.under_way: list[tuple[float, int, float]] = []  # arrives, attempt, deadline
        self.refusals: set[int] = set()
        self.faults = 0
        self.storm = ""
        self.outage_s = self.flaps_s = (FOREVER_S, FOREVER_S)
        self.flapped_at_s = -FOREVER_S
        self.is_flapping = self.is_calm = self.is_quick = False
        draw = rng.random()
        if draw < 0.03:
            self.outage_s = (0.5, 60 + rng.random() * 100)
        elif draw < 0.032:
            self.outage_s = (0.5, 700 + rng.random() * 500)
        elif draw < 0.11:
            self.flaps_s = (0.5, 75 + rng.random() * 175)
        elif draw < 0.13:
            self.storm = STORMS[draw < 0.12]
        self.faults += draw < 0.13
        self.is_troubled = draw < 0.11
        self.has_flaps = self.flaps_s[1] < FOREVER_S

    # -- requests -----------------------------------------------------------------------------------------------
    def draw(self) -> str:
        """What happens to the next request."""
        random = self.random
        if self.storm and random() < 0.9:
            self.faults += 1
            return self.storm
        fault = FAULTS[bisect(_STEPS, random() * 100)]
        self.faults += fault != "answered"
        return fault

    def settle(self) -> None:
        """Take every late request that has arrived."""
        if not self.under_way:
            return
        now_s = self.time.true_s
        for item in sorted(self.under_way):
            if item[0] <= now_s:
                self.under_way.remove(item)
                self.receive(item[1], item[2], at_s=item[0])

    def receive(self, attempt: int, not_after_s: float, *, at_s: float) -> Placed | str:
        """Deadline, duplicate id, then execution: the order, or why there is none."""
        if self.identity.deadline_s_max and at_s > not_after_s:
            return "too late"
        if self.is_duplicate(attempt, at_s):
            return "duplicate"
        return self._execute(attempt, at_s)

    def is_duplicate(self, attempt: int, at_s: float) -> bool:
        scope = self.identity.id_scope
        if scope is IdScope.NONE:
            return False
        is_ever = scope is IdScope.PERMANENT
        return any(o.attempt == attempt and (is_ever or o.is_open(at_s)) for o in self.orders)

    def _execute(self, attempt: int, at_s: float) -> Placed:
        random = self.random
        rests = random() < 0.25
        rests_s = (random() * 20 if random() < 0.5 else 90 + random() * 60) if rests else 0.0
        lag_s = random() * 30 if random() < 0.85 else 30 + random() * 29
        done_s, seen_s = at_s + rests_s, at_s + lag_s
        told_s = max(done_s, seen_s)
        order = Placed(attempt, at_s, done_s, seen_s, seen_s, told_s, told_s, told_s)
        if self.lies and random() < 0.5:  # assumption A1 is broken on purpose
            self._hide(order, "")
        elif random() < (0.6 if self.is_troubled else 0.05):
            self._hide(order, ("by_id", "history", "fills", "position")[int(random() * 4)])
        self.orders.append(order)
        return order

    def _hide(self, order: Placed, teller: str) -> None:
        """Every source is stale far beyond the horizon, but one."""
        self.faults += 1
        hidden_s = 100 + self.random() * 100
        for name in ("by_id", "history", "fills", "position"):
            if name != teller:
                setattr(order, name, getattr(order, name) + hidden_s)
        if teller in ("by_id", ""):
            order.listed += hidden_s

    def reject(self, attempt: int) -> Placed:
        """Acknowledged, then rejected by the engine: it exists as a record only."""
        now_s = self.time.true_s
        order = Placed(attempt, *[now_s] * 7, is_rejected=True)
        self.orders.append(order)
        return order

    def cancel(self, attempt: int) -> None:
        now_s = self.time.true_s
        for order in self.orders:
            if order.attempt == attempt and order.is_open(now_s):
                order.done_at_s = order.history = now_s
                order.is_cancelled = True

    # -- reads --------------------------------------------------------------------------------------------------
    def begin_look(self) -> None:
        """A complete look-up begins: whether it will be one of the flaps that A2 allows."""
        now_s = self.time.true_s
        if self.under_way:
            self.settle()
        self.is_flapping = self.is_quick = False
        if not self.flaps_s[0] <= now_s < self.flaps_s[1]:
            return
        since_s = now_s - self.flapped_at_s
        if not _BURST_S <= since_s <= _BURST_AGE_S:
            self.is_flapping = True
            self.flapped_at_s = now_s
            self.faults += 1

    def begin_quick_look(self) -> None:
        """A look-up in one source: while the venue flaps it shows nothing."""
        if self.under_way:
            self.settle()
        self.is_flapping, self.is_quick = False, not self.is_calm

    def break_off_look(self) -> None:
        """A look-up failed or was interrupted: the next one may flap again."""
        self.flapped_at_s = -FOREVER_S
        self.is_flapping = False

    def reads(self) -> bool:
        """Whether one read succeeds."""
        if self.is_calm or self.is_flapping:
            return True
        fails = READ_FAILS
        if self.is_troubled:
            now_s = self.time.true_s
            if self.outage_s[0] <= now_s < self.outage_s[1]:
                return False
            if self.flaps_s[0] <= now_s < self.flaps_s[1]:
                fails = 0.8
        if self.random() < fails:
            self.faults += 1
            return False
        return True

    def shown(self, source: str, attempt: int | None) -> Placed | None:
        """The order that a source shows now; None in `attempt` takes any (a venue that carries no ids)."""
        if not self.orders or self.is_flapping:
            return None
        now_s = self.time.true_s
        if self.is_quick and self.flaps_s[0] <= now_s < self.flaps_s[1]:
            return None
        for order in self.orders:
            if attempt is not None and order.attempt != attempt:
                continue
            if source == "listed":
                if order.is_open(now_s) and order.listed <= now_s:
                    return order
            elif getattr(order, source) <= now_s and (source == "by_id" or self._shows_done(order, source)):
                return order
        return None

    def _shows_done(self, order: Placed, source: str) -> bool:
        if order.is_open(self.time.true_s):
            return False
        return source == "history" or not (order.is_cancelled or order.is_rejected)
