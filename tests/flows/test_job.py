"""Business keys and rights, without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from brokers.ids import AccountId, Environment, Venue
from brokers.types import AccountProof, ClockReading, MarginMode
from deployments import automations
from flows import job
from flows.states import FINAL_STATE_NAMES, FinalState
from tasks.config import ConfigRefused

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


def proof(environment: Environment, *, can_trade: bool = True, can_withdraw: bool = False) -> AccountProof:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return AccountProof(
        account_id=AccountId(Venue.BYBIT, environment, "main"),
        venue_account="1",
        host="http://127.0.0.1",
        key_fingerprint="0" * 16,
        can_trade=can_trade,
        can_withdraw=can_withdraw,
        permissions=(),
        margin_mode=MarginMode.CROSS,
        clock=ClockReading(now, timedelta(0), timedelta(0)),
    )


@pytest.mark.parametrize("environment", Environment)
def test_a_key_that_may_not_trade_is_refused(environment: Environment) -> None:
    with pytest.raises(ConfigRefused, match="may not trade"):
        job.require_rights(proof(environment, can_trade=False))
    job.require_rights(proof(environment))


def test_a_key_that_may_withdraw_is_refused_in_production() -> None:
    with pytest.raises(ConfigRefused, match="may withdraw"):
        job.require_rights(proof(Environment.PRODUCTION, can_withdraw=True))
    job.require_rights(proof(Environment.TESTNET, can_withdraw=True))


@pytest.mark.parametrize("state", FinalState)
def test_every_final_state_explains_itself_and_ends_zombie_watching(state: FinalState) -> None:
    made = state.state("why")
    assert made.name == state.value and made.message == "why" and made.is_final()
    assert len(state.meaning) > 20 and len(state.remedy) > 20
    trigger: Any = automations.zombies().trigger
    assert f"prefect.flow-run.{state.value}" in trigger.expect


def test_every_name_is_watched() -> None:
    assert set(FINAL_STATE_NAMES) == {state.value for state in FinalState}
