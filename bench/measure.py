"""Timing that is fair on a busy machine: contestants take turns, and medians are compared, not totals."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds per call."""

    calls: int
    median_ms: float
    p90_ms: float

    @classmethod
    def of(cls, seconds: list[float]) -> Timing:
        if not seconds:
            raise ValueError("a timing needs at least one call, was none")
        ordered = sorted(seconds)
        p90 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.9))]
        return cls(len(ordered), statistics.median(ordered) * 1000, p90 * 1000)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report. `aim` is what we want to hold; `held` is None where nothing is aimed at."""

    section: str
    what: str
    ours: str
    baseline: str
    ratio: str
    aim: str = ""
    held: bool | None = None
    detail: str = ""


def in_turns(contestants: Mapping[str, Callable[[], object]], *, rounds: int, warm_up: int = 5) -> dict[str, Timing]:
    """Call every contestant once per round, each round beginning with another one."""
    names = list(contestants)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + warm_up):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            call = contestants[name]
            began = time.perf_counter()
            call()
            took = time.perf_counter() - began
            if number >= warm_up:
                samples[name].append(took)
    return {name: Timing.of(taken) for name, taken in samples.items()}


def shown_ms(timing: Timing) -> str:
    return f"{timing.median_ms:.2f} ms (p90 {timing.p90_ms:.2f})"
