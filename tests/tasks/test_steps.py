"""The Prefect step: what is retried, when, how often, and what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter

from brokers.errors import (
    AnswerTimedOut,
    BrokerError,
    ConnectFailed,
    EnvironmentMismatch,
    OrderNotFound,
    RateLimited,
    RedirectRefused,
)
from tasks import steps
from tasks.steps import READ_RETRIES_MAX, RETRY_AFTER_S_MAX, delay_s, may_retry, prefect_step
from trading.steps import StepKind

if TYPE_CHECKING:
    from deployments.stack import Stack


@pytest.mark.parametrize("attempt", range(12))
@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_the_delay_grows_has_jitter_and_an_end(attempt: int, chance: float) -> None:
    delay = delay_s(attempt=attempt, retry_after_s=None, chance=chance)
    full = min(steps.BACKOFF_S_MAX, steps.BACKOFF_BASE_S * 2**attempt)
    assert full / 2 <= delay <= full


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_the_venue_is_never_asked_sooner_than_it_wants(chance: float) -> None:
    assert delay_s(attempt=0, retry_after_s=30.0, chance=chance) >= 30.0
    assert delay_s(attempt=9, retry_after_s=0.5, chance=chance) >= steps.BACKOFF_S_MAX / 2


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectFailed("x"), True),
        (AnswerTimedOut("x"), True),
        (RateLimited("x", retry_after_s=5.0), True),
        (RateLimited("x", retry_after_s=RETRY_AFTER_S_MAX), True),
        (RateLimited("x", retry_after_s=RETRY_AFTER_S_MAX + 1), False),
        (RedirectRefused("x"), False),
        (OrderNotFound("x"), False),
        (EnvironmentMismatch("x"), False),
        (ValueError("x"), False),
        (None, False),
    ],
)
def test_only_retryable_errors_are_asked_again(error: object, expected: bool) -> None:
    assert may_retry(error) is expected


class Flaky:
    """Fails with these errors, then answers."""

    def __init__(self, *errors: BrokerError) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.calls


def in_flow(kind: StepKind, function: Any) -> tuple[Any, Any]:
    """The step's result, or the exception that came out, and the id of the flow run."""

    @flow(name="one-step", persist_result=False)
    def one_step() -> Any:
        from prefect.runtime import flow_run

        try:
            return prefect_step("read the balances of {main}", kind, function), flow_run.id
        except BrokerError as error:
            return error, flow_run.id

    result: tuple[Any, Any] = one_step()
    return result


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record what delays are asked for and wait for none."""
    asked: list[float] = []

    def recorded(*, attempt: int, retry_after_s: float | None, chance: float) -> float:
        real = delay_s(attempt=attempt, retry_after_s=retry_after_s, chance=chance)
        asked.append(real)
        return 0.001

    monkeypatch.setattr(steps, "delay_s", recorded)
    return asked


def test_a_read_is_asked_again_after_the_venues_own_delay(stack: Stack, quick: list[float]) -> None:
    flaky = Flaky(ConnectFailed("refused"), RateLimited("slow down", retry_after_s=40.0))
    result, _ = in_flow(StepKind.READ, flaky)
    assert result == 3 and flaky.calls == 3
    first, second = quick[READ_RETRIES_MAX:]  # the others were the task's own starting values
    assert first < 40.0 <= second


def test_reads_end_with_the_venues_error(stack: Stack, quick: list[float]) -> None:
    flaky = Flaky(*[AnswerTimedOut(f"number {n}") for n in range(20)])
    result, _ = in_flow(StepKind.READ, flaky)
    assert isinstance(result, AnswerTimedOut)
    assert flaky.calls == 1 + READ_RETRIES_MAX


def test_a_definite_refusal_is_not_asked_again(stack: Stack, quick: list[float]) -> None:
    flaky = Flaky(OrderNotFound("gone", code="110001"))
    result, _ = in_flow(StepKind.READ, flaky)
    assert isinstance(result, OrderNotFound) and result.code == "110001"
    assert flaky.calls == 1


@pytest.mark.parametrize("kind", [StepKind.ADVANCE, StepKind.RECORD])
def test_steps_around_orders_run_once(stack: Stack, quick: list[float], kind: StepKind) -> None:
    flaky = Flaky(ConnectFailed("refused"))
    result, _ = in_flow(kind, flaky)
    assert isinstance(result, ConnectFailed)
    assert flaky.calls == 1


@pytest.mark.parametrize("kind", StepKind)
def test_no_step_persists_or_caches(kind: StepKind) -> None:
    task = steps._new_task(kind)
    assert task.persist_result is False
    assert task.cache_policy is steps.NO_CACHE
    assert task.timeout_seconds is None
    assert task.retries == (READ_RETRIES_MAX if kind is StepKind.READ else 0)


def test_the_operator_sees_the_sentence(stack: Stack, eventually: Any) -> None:
    result, run_id = in_flow(StepKind.READ, lambda: 7)
    assert result == 7

    def names() -> set[str]:
        with get_client(sync_client=True) as client:
            found = client.read_task_runs(flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [run_id]}}))
        return {run.name for run in found if run.state is not None and run.state.is_completed()}

    eventually(lambda: "read the balances of {main}" in names())
