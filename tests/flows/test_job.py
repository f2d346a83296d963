"""Business keys and rights, without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from deployments import automations
from flows import job
from flows.states import FINAL_STATE_NAMES, FinalState

RUN = UUID("11111111-2222-3333-4444-555555555555")


@pytest.fixture
def flow_run(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    run = SimpleNamespace(id=RUN, auto_scheduled=False, deployment_id=None, expected_start_time=None)
    monkeypatch.setattr(job, "_flow_run", lambda: run)
    monkeypatch.setattr(job, "deployment_runtime", SimpleNamespace(name="rebalance-bybit-testnet-main"))
    return run


def test_a_given_key_wins(flow_run: SimpleNamespace) -> None:
    assert job.business_key("monday") == "monday"


def test_a_run_by_hand_is_its_own_wish_also_when_retried(flow_run: SimpleNamespace) -> None:
    first = job.business_key()
    flow_run.run_count = 2
    assert job.business_key() == first == f"run:{RUN}"


def test_a_slot_of_a_schedule_is_one_wish_in_any_time_zone(flow_run: SimpleNamespace) -> None:
    flow_run.auto_scheduled, flow_run.deployment_id = True, RUN
    flow_run.expected_start_time = datetime(2026, 11, 22, 15, 45, tzinfo=UTC)
    first = job.business_key()
    assert first == "rebalance-bybit-testnet-main@2026-11-22T15:45:00Z"
    flow_run.id = UUID(int=7)  # another run of the same slot
    assert job.business_key() == first
    flow_run.expected_start_time += timedelta(days=1)
    assert job.business_key() != first


@pytest.mark.parametrize("state", FinalState)
def test_every_final_state_explains_itself_and_ends_zombie_watching(state: FinalState) -> None:
    made = state.state("why")
    assert made.name == state.value and made.message == "why" and made.is_final()
    assert len(state.meaning) > 20 and len(state.remedy) > 20
    trigger: Any = automations.zombies().trigger
    assert f"prefect.flow-run.{state.value}" in trigger.expect


def test_every_name_is_watched() -> None:
    assert set(FINAL_STATE_NAMES) == {state.value for state in FinalState}


def test_refused_does_not_say_that_nothing_was_sent() -> None:
    """A guard may also stop a job that has sent orders already, when its plan is taken over for instance."""
    assert "sent" not in FinalState.REFUSED.meaning
    assert "whether orders had been sent" in FinalState.REFUSED.remedy


def test_a_refusal_names_code_cause_and_remedy() -> None:
    from trading.closing import NOT_A_POSITION, ClosingRefused

    state = job.refused(ClosingRefused(NOT_A_POSITION, "BTC/USDT is spot"))
    assert state.name == "REFUSED" and state.message is not None
    assert state.message.startswith("NOT_A_POSITION: BTC/USDT is spot; Sell it")
