"""An exact budget: however the requests fall, the venue never counts more than the limit in any window."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.clock import ManualClock, SystemClock
from trading.budget import ExactBudget

START = datetime(2026, 1, 5, tzinfo=UTC)


@given(
    limit=st.integers(1, 5),
    delays_s=st.lists(st.tuples(st.floats(0, 0.4), st.floats(0, 2.0)), min_size=1, max_size=40),
)
def test_no_window_holds_more_than_the_limit_wherever_the_venue_counts_a_request(
    limit: int, delays_s: list[tuple[float, float]]
) -> None:
    clock = ManualClock(START)
    budget = ExactBudget(limit, 1.0, clock=clock)
    counted: list[float] = []
    for until_counted_s, until_answered_s in delays_s:
        with budget.slot():
            clock.wait(until_counted_s)
            counted.append(clock.monotonic())
            clock.wait(until_answered_s)
    for first, later in zip(counted, counted[limit:], strict=False):
        assert later - first >= 1.0 - 1e-9


def test_a_request_on_its_way_holds_its_place() -> None:
    budget = ExactBudget(1, 0.05, clock=SystemClock())
    entered = threading.Event()

    def second() -> None:
        with budget.slot():
            entered.set()

    with ThreadPoolExecutor(1) as pool:
        with budget.slot():
            pool.submit(second)
            assert not entered.wait(0.2)
        assert entered.wait(5)


def test_a_failed_request_counts_too() -> None:
    clock = ManualClock(START)
    budget = ExactBudget(1, 1.0, clock=clock)
    with pytest.raises(RuntimeError), budget.slot():
        raise RuntimeError("no answer")
    with budget.slot():
        assert clock.monotonic() >= 1.0


@pytest.mark.parametrize(("limit", "window_s"), [(0, 1.0), (1, 0.0)])
def test_a_budget_of_nothing_is_refused(limit: int, window_s: float) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ExactBudget(limit, window_s, clock=ManualClock(START))
