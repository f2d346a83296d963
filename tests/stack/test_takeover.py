"""Two workers of one pool: one is stopped in the middle of a send and the other takes over; a dead watch comes back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter

from brokers.ids import Environment
from deployments import runs
from tests.ledger.conftest import PostgresCluster
from tests.proof.process_prefect import Ground, postgres_ledger, processes_of, ready, stopped, use_ledger
from tests.proof.process_scene import Tally, Verdict

if TYPE_CHECKING:
    from deployments.processes import Child
    from deployments.stack import Stack
    from tests.conftest import Eventually

WATCH = "watch-orders/watch-orders-bybit-simulated-main"


@pytest.fixture
def on_postgres(stack: Stack, client: SyncPrefectClient) -> Iterator[Ground]:
    """The stack's simulated pool on a PostgreSQL ledger, for one test."""
    own = stack.home.ledger_url(Environment.SIMULATED)
    cluster = PostgresCluster.create()
    on = Ground(stack, client, own)
    try:
        for child in [child for child in stack.supervisor.children if child.name.startswith("worker-")]:
            stack.supervisor.end(child)
        if not on.is_on_target():
            ready(on)
        use_ledger(on, postgres_ledger(cluster))
        yield on
    finally:
        use_ledger(on, own)
        cluster.stop()


@pytest.mark.postgres
def test_a_stopped_run_is_taken_over_and_changes_nothing_when_it_wakes(on_postgres: Ground) -> None:
    tally, verdict = Tally(), Verdict()
    stopped(on_postgres, "C09:1", tally, verdict, "tests/stack/test_takeover.py")
    assert tally.failures == []
    assert (tally.pauses, verdict.duplicated, verdict.lost, verdict.stuck) == (1, 0, 0, 0)


def test_a_watch_that_is_killed_is_started_again(
    stack: Stack, client: SyncPrefectClient, worker: Child, eventually: Eventually
) -> None:
    first = runs.start(client, WATCH)

    def watching(run_id: Any) -> list[int]:
        run = client.read_flow_run(run_id)
        stack.supervisor.check()
        return [process.pid for process in processes_of(run_id)] if run.state_name == "Running" else []

    (pid,) = eventually(lambda: watching(first), timeout_s=60.0)  # type: ignore[misc]
    os.kill(pid, signal.SIGKILL)

    def others() -> list[Any]:
        deployment = client.read_deployment_by_name(WATCH)
        wanted = FlowRunFilter.model_validate({"deployment_id": {"any_": [deployment.id]}})
        found = client.read_flow_runs(flow_run_filter=wanted)
        return [run.id for run in found if run.id != first and run.state_name == "Running"]

    (second,) = eventually(others, timeout_s=60.0)  # type: ignore[misc]
    assert client.read_flow_run(first).state_name == "Crashed"
    runs.cancel(client, second)
    eventually(lambda: client.read_flow_run(second).state_name == "Cancelled", timeout_s=60.0)
    assert not processes_of(second)
