"""Runs through a real worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client

if TYPE_CHECKING:
    from deployments.runs import Run
    from deployments.stack import Stack


@pytest.fixture
def client(stack: Stack) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as connected:
        yield connected


@pytest.fixture
def run(stack: Stack, client: SyncPrefectClient) -> Callable[..., Run]:
    """Run a deployment of the simulated pool by its job's name and wait for its end."""
    from deployments import runs

    def start_and_follow(job: str, account: str = "bybit-simulated-main", **parameters: Any) -> Run:
        return runs.run(client, f"{job}/{job}-{account}", parameters, timeout_s=150.0, check=stack.supervisor.check)

    return start_and_follow
