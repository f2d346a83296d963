"""The command line's step: says what is being done, and asks a read again when the error allows it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, TypeVar

from brokers.clock import Clock
from brokers.errors import BrokerError
from trading.steps import Step, StepKind

T = TypeVar("T")

READ_ATTEMPTS_MAX: Final = 4
BACKOFF_BASE_S: Final = 0.5
RETRY_AFTER_S_MAX: Final = 60.0


def telling_step(tell: Callable[[str], None], *, clock: Clock) -> Step:
    """A step that passes each name to `tell`; only READ is retried, never sooner than the venue asked."""

    def step(name: str, kind: StepKind, function: Callable[[], T]) -> T:
        tell(name)
        attempts = READ_ATTEMPTS_MAX if kind is StepKind.READ else 1
        for attempt in range(1, attempts):
            try:
                return function()
            except BrokerError as error:
                if not error.retryable or (error.retry_after_s or 0) > RETRY_AFTER_S_MAX:
                    raise
                tell(f"{name} (again after {error.reason})")
                clock.wait(_delay_s(attempt, error.retry_after_s))
        return function()

    return step


def _delay_s(attempt: int, retry_after_s: float | None) -> float:
    chance = random.random()  # noqa: S311  jitter, not a secret
    return max(BACKOFF_BASE_S * 2.0**attempt * (0.5 + chance / 2), (retry_after_s or 0.0) + 0.1 * chance)
