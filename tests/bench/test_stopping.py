"""The figures of stopping, at a small size, as facts: nothing is committed after a halt, a killed kill is finished."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import stopping
from bench.processes import simulator
from ledger.states import KillState
from tests.ledger.conftest import PostgresCluster

BUSY_MS = 10_000  # the promise is 250 ms, which `make bench` measures; a test machine may be busy


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with simulator(tmp_path_factory.mktemp("venue"), stopping.SIMULATOR) as url:
        yield url


def test_after_a_halt_nothing_is_committed_and_nothing_leaves(address: str, tmp_path: Path) -> None:
    found = stopping.halt(address, tmp_path / "halt", senders=2, for_s=0.5)
    assert found.sends > 0 and found.committed_after == 0
    assert found.last_ms <= BUSY_MS


@pytest.mark.postgres
def test_the_same_on_postgresql(address: str, tmp_path: Path) -> None:
    cluster = PostgresCluster.create()
    try:
        cluster.execute("CREATE DATABASE halt")
        found = stopping.halt(address, tmp_path / "halt", ledger_url=cluster.url("halt"), senders=3, for_s=0.5)
    finally:
        cluster.stop()
    assert found.sends > 0 and found.committed_after == 0
    assert found.last_ms <= BUSY_MS


def test_many_orders_are_cancelled_within_the_venues_budget(address: str, tmp_path: Path) -> None:
    found = stopping.kill(address, tmp_path / "kill", orders=12)
    assert (found.open_before, len(found.report.cancelled), found.refused_for_rate) == (12, 12, 0)
    assert found.report.state is KillState.CANCELLED_PROVEN


def test_a_kill_that_is_killed_is_finished_by_the_next(address: str, tmp_path: Path) -> None:
    assert stopping.kill_killed(address, tmp_path / "killed", seed=1, orders=4)
