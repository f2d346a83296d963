"""Start runs of deployments, as an operator would, and follow them to their end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.states import Cancelling, Scheduled

POLL_S = 0.4


class RunTimedOut(RuntimeError):
    """The run had not ended in time; the message names its last state."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run that ended."""

    run_id: UUID
    name: str
    deployment: str
    state: str
    state_type: str
    message: str
    started_at: datetime | None
    seconds: float  # from the request to the end, as the operator waits
    work_seconds: float  # from the first line of the flow to its end

    @property
    def is_completed(self) -> bool:
        return self.state_type == "COMPLETED"


def start(client: SyncPrefectClient, deployment: str, parameters: Mapping[str, Any] | None = None) -> UUID:
    """Ask for a run of `flow/deployment`; return its id."""
    found = client.read_deployment_by_name(deployment)
    run = client.create_flow_run_from_deployment(found.id, parameters=dict(parameters or {}))
    return run.id


def retry(client: SyncPrefectClient, run_id: UUID) -> None:
    """Start an ended run again under its own id, as Retry in the UI does: it continues what it began."""
    client.set_flow_run_state(run_id, Scheduled(name="AwaitingRetry", message="Retried"), force=True)


def cancel(client: SyncPrefectClient, run_id: UUID) -> None:
    """Ask for the run's end, as Cancel in the UI does: its worker ends the process."""
    client.set_flow_run_state(run_id, Cancelling(message="Cancelled"))


def follow(
    client: SyncPrefectClient,
    run_id: UUID,
    *,
    deployment: str,
    timeout_s: float,
    on_state: Callable[[str], None] = lambda name: None,
    check: Callable[[], None] = lambda: None,
) -> Run:
    """Wait for the run's end, telling each new state. `check` may raise when waiting has become pointless."""
    began = time.monotonic()
    last = ""
    while True:
        run = client.read_flow_run(run_id)
        state = run.state
        if state is not None and state.name != last:
            last = state.name or ""
            on_state(last)
        if state is not None and state.is_final():
            return Run(
                run_id=run_id,
                name=run.name,
                deployment=deployment,
                state=state.name or state.type.value,
                state_type=state.type.value,
                message=state.message or "",
                started_at=run.start_time,
                seconds=time.monotonic() - began,
                work_seconds=run.total_run_time.total_seconds(),
            )
        if time.monotonic() - began > timeout_s:
            raise RunTimedOut(f"{deployment} had not ended after {timeout_s:.0f} s; its state was {last or 'none'}")
        check()
        time.sleep(POLL_S)


def run(
    client: SyncPrefectClient,
    deployment: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    timeout_s: float = 120.0,
    on_state: Callable[[str], None] = lambda name: None,
    check: Callable[[], None] = lambda: None,
) -> Run:
    """Start a run and wait for its end."""
    run_id = start(client, deployment, parameters)
    return follow(client, run_id, deployment=deployment, timeout_s=timeout_s, on_state=on_state, check=check)
