"""A small cut of the process layer: every death once, some pauses, jumps and faults, and the recovery time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ledger.conftest import PostgresCluster
from tests.proof.crash_table import CRASH_TABLE, Means
from tests.proof.process_deaths import DEATHS, JUMPS, PAUSES, jumps, kills, pauses
from tests.proof.process_faults import SCENARIOS, faults
from tests.proof.process_layer import run
from tests.proof.process_recovery import POINTS, percentile, recovery
from tests.proof.result import LayerResult
from trading.orders.crash import CRASH_POINTS

pytestmark = pytest.mark.timeout(600)
REPLAY = ".venv/bin/pytest tests/proof/test_process_layer.py"
SLOW_FAULTS = {"locked"}  # waits for SQLite's whole busy timeout: at full strength only


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    """A server of these tests' own: one of them crashes it."""
    made = PostgresCluster.create()
    try:
        yield made
    finally:
        made.stop()


def require(row: LayerResult) -> None:
    assert row.failures == ()
    assert (row.duplicated, row.lost, row.orphaned, row.stuck, row.to_person) == (0, 0, 0, 0, 0)
    assert row.holds


def test_every_death_leaves_one_order_on_sqlite() -> None:
    row = kills("sqlite", None, count=len(DEATHS), seed=1, jobs=2, replay=REPLAY)
    require(row)
    assert row.kills >= len(DEATHS) * 3 // 4  # a slow worker may lose its order to a watcher before it dies


@pytest.mark.postgres
@pytest.mark.xdist_group("deaths, postgresql")
def test_deaths_leave_one_order_on_postgresql(cluster: PostgresCluster) -> None:
    row = kills("postgresql", cluster, count=16, seed=2, jobs=2, replay=REPLAY)
    require(row)
    assert row.kills >= 12
    paused = pauses("postgresql", cluster, count=6, seed=2, jobs=2, replay=REPLAY)
    require(paused)
    assert paused.kills >= 4


def test_a_woken_worker_changes_nothing() -> None:
    row = pauses("sqlite", None, count=len(PAUSES), seed=1, jobs=2, replay=REPLAY)
    require(row)
    assert row.kills >= len(PAUSES) * 3 // 4


def test_a_clock_that_jumps_sends_nothing_twice() -> None:
    require(jumps("sqlite", None, count=8, seed=1, jobs=2, replay=REPLAY))


@pytest.mark.parametrize("name", sorted(set(SCENARIOS["sqlite"]) - SLOW_FAULTS))
def test_sqlite_goes_away(name: str) -> None:
    require(faults("sqlite", None, rounds=1, seed=1, replay=REPLAY, only=name))


@pytest.mark.postgres
@pytest.mark.xdist_group("deaths, postgresql")
@pytest.mark.parametrize("name", sorted(SCENARIOS["postgresql"]))
def test_postgresql_goes_away(cluster: PostgresCluster, name: str) -> None:
    require(faults("postgresql", cluster, rounds=1, seed=1, replay=REPLAY, only=name))


def test_the_next_action_after_kill_9_comes_within_twenty_seconds() -> None:
    row = recovery("sqlite", None, count=len(POINTS), seed=1, jobs=2, replay=REPLAY)
    require(row)
    assert row.kills >= len(POINTS) * 3 // 4


def test_percentiles_err_on_the_long_side() -> None:
    assert percentile([float(n) for n in range(1, 101)], 99) == 99.0
    assert percentile([1.0, 2.0, 3.0], 99) == 3.0
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0
    assert percentile([], 50) == float("inf")


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(ValueError, match="no part is named 'x'"):
        run(histories=1, seed=1, jobs=1, say=print, only="x", prefect=False)


def test_the_table_lists_every_point_and_says_no_more_than_is_done() -> None:
    assert list(CRASH_TABLE) == [f"C{n:02}" for n in range(1, 33)]
    killed_at = {case.point for case in DEATHS}
    stopped_at = {case.point for case in PAUSES}
    jumped_at = {case.point for case in JUMPS}
    for name, entry in CRASH_TABLE.items():
        if name == "C27":
            continue
        assert (Means.KILLED in entry.means) == (name in killed_at), name
        assert (Means.STOPPED in entry.means) == (name in stopped_at), name
        is_outside = Means.KILLED_FROM_OUTSIDE in entry.means
        assert is_outside == any(case.name.startswith(name) and case.fault == "delay" for case in DEATHS), name
    assert jumped_at and {name[:3] for name in CRASH_POINTS} <= set(CRASH_TABLE)
