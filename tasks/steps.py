"""The Prefect step: runs each step of a job as a task with a name that reads as a sentence.

Only READ is retried: on a retryable `BrokerError`, with exponential back-off and jitter, never sooner than the venue
asked. ADVANCE and RECORD run once: what they call is idempotent in the ledger, and Prefect never decides whether an
order is sent again. No step persists or caches a result: a run that starts again reads the venue again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from brokers.errors import BrokerError
from trading.steps import StepKind

T = TypeVar("T")

READ_RETRIES_MAX = 4
BACKOFF_BASE_S = 1.0
BACKOFF_S_MAX = 15.0
RETRY_AFTER_S_MAX = 120.0  # a venue that asks for more fails the run, so that the operator learns of it


def delay_s(*, attempt: int, retry_after_s: float | None, chance: float) -> float:
    """Seconds before the next attempt: half of the back-off plus a random half, at least `retry_after_s`."""
    backoff = min(BACKOFF_S_MAX, BACKOFF_BASE_S * 2.0**attempt)
    jittered = backoff * (0.5 + 0.5 * chance)
    return max(jittered, (retry_after_s or 0.0) + BACKOFF_BASE_S * 0.25 * chance)


def may_retry(error: object) -> bool:
    """Whether a read that ended so may be asked again."""
    if not isinstance(error, BrokerError) or not error.retryable:
        return False
    return error.retry_after_s is None or error.retry_after_s <= RETRY_AFTER_S_MAX


def _retry_condition(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Decide and, because Prefect reads the delay right after this, set the delay of this step's own task."""
    error = state.data
    if not may_retry(error):
        return False
    delays = task.retry_delay_seconds
    assert isinstance(delays, list) and isinstance(error, BrokerError)
    attempt = max(0, run.run_count - 1)
    delays[min(attempt, len(delays) - 1)] = delay_s(
        attempt=attempt,
        retry_after_s=error.retry_after_s,
        chance=random.random(),  # noqa: S311 - jitter, not a secret
    )
    return True


def _call(sentence: str, function: Callable[[], Any]) -> Any:
    return function()


def _new_task(kind: StepKind) -> Task[..., Any]:
    options: dict[str, Any] = {
        "name": kind.value,
        "task_run_name": "{sentence}",
        "persist_result": False,
        "cache_policy": NO_CACHE,
        "retries": 0,
        "log_prints": False,
    }
    if kind is StepKind.READ:
        delays = [delay_s(attempt=n, retry_after_s=None, chance=0.5) for n in range(READ_RETRIES_MAX)]
        options |= {
            "retries": READ_RETRIES_MAX,
            "retry_delay_seconds": delays,
            "retry_condition_fn": _retry_condition,
        }
    return task(**options)(_call)


_ONCE = {kind: _new_task(kind) for kind in (StepKind.ADVANCE, StepKind.RECORD)}


def prefect_step(name: str, kind: StepKind, function: Callable[[], T]) -> T:
    """Run `function` as a task; its exception comes out unchanged."""
    # A READ gets a task of its own: its list of delays is set from the venue's answer.
    runner = _new_task(kind) if kind is StepKind.READ else _ONCE[kind]
    return cast(T, runner(sentence=name, function=function))
