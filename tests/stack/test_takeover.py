"""A dead watch comes back. (Runs that are stopped and taken over take minutes: `make prove` has them.)"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter

from deployments import runs
from tests.proof.process_prefect import processes_of

if TYPE_CHECKING:
    from deployments.processes import Child
    from deployments.stack import Stack
    from tests.conftest import Eventually

WATCH = "watch-orders/watch-orders-bybit-simulated-main"


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
    eventually(lambda: not processes_of(second))
