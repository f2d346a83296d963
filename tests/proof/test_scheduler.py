"""Workers take turns in virtual time, and the seed alone decides the order."""

from __future__ import annotations

import random
from datetime import timedelta
from functools import partial

from brokers.clock import ManualClock
from tests.proof.scheduler import Scheduler, WorkerClock
from tests.trading.orders.modelled import START


def turns(seed: int) -> list[tuple[str, float]]:
    clock = ManualClock(START)
    scheduler = Scheduler(clock, random.Random(seed))
    seen: list[tuple[str, float]] = []

    def work(name: str, pause_s: float) -> None:
        for _ in range(3):
            seen.append((name, clock.monotonic()))
            scheduler.sleep(pause_s)

    for name, pause_s in (("a", 1.0), ("b", 1.0), ("c", 2.5)):
        scheduler.spawn(partial(work, name, pause_s))
    scheduler.run()
    return seen


def test_whoever_is_due_goes_on() -> None:
    seen = turns(1)
    assert [at for _, at in seen] == sorted(at for _, at in seen)
    assert {(name, at) for name, at in seen} == {
        *((name, at) for name in "ab" for at in (0.0, 1.0, 2.0)),
        *(("c", at) for at in (0.0, 2.5, 5.0)),
    }


def test_the_seed_decides_between_equals() -> None:
    assert turns(5) == turns(5)
    assert len({tuple(turns(seed)) for seed in range(20)}) > 1


def test_no_wait_is_too_short_to_pass() -> None:
    clock = ManualClock(START)
    clock.wait(1e-9)
    assert clock.monotonic() >= 1e-9
    scheduler = Scheduler(clock, random.Random(0))
    before = clock.monotonic()
    scheduler.sleep(4.4e-7)
    assert clock.monotonic() >= before + 4.4e-7


def test_a_machine_may_be_wrong_about_the_time_of_day_only() -> None:
    clock = ManualClock(START)
    mine = WorkerClock(Scheduler(clock, random.Random(0)))
    mine.skew = timedelta(hours=1)
    mine.wait(2)
    assert mine.now() - clock.now() == timedelta(hours=1)
    assert mine.monotonic() == clock.monotonic() == 2
