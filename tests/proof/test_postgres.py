"""The same histories on a real PostgreSQL: the same invariants, and row by row the same ledger as on SQLite."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers.clock import ManualClock
from brokers.ids import Environment
from tests.ledger.conftest import PostgresCluster
from tests.proof.histories import Tally, run_history
from tests.proof.histories_layer import hashes
from tests.proof.history_hash import history_hash
from tests.proof.ledgers import TAG, HistoryLedger
from tests.trading.orders.modelled import CLASSES, START

pytestmark = pytest.mark.postgres
EACH = int(os.environ.get("ALGOTRENDY_HISTORIES_POSTGRES", "20")) // len(CLASSES)
COMPARED = 2


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    made = PostgresCluster.create()
    try:
        made.execute("CREATE DATABASE histories")
        yield made
    finally:
        made.stop()


@pytest.mark.parametrize("kind", CLASSES)
def test_histories_on_postgresql(
    cluster: PostgresCluster, kind: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(place / "state"))  # the spool of a server lies there
    url, clock, tally, found = cluster.url("histories"), ManualClock(START), Tally(), []
    HistoryLedger.open(url, environment=Environment.SIMULATED).close()
    cluster.execute(f"UPDATE ledger_meta SET value = '{TAG}' WHERE key = 'installation_tag'", database="histories")
    with HistoryLedger.open(url, environment=Environment.SIMULATED, clock=clock) as ledger:
        for seed in range(2_000, 2_000 + EACH):
            tally.add(run_history(ledger, clock, kind=kind, seed=seed))
            if len(found) < COMPARED:
                with ledger.read() as session:
                    found.append(history_hash(session, kind, seed))
    cluster.empty("histories")
    assert tally.problems == []
    assert (tally.duplicates, tally.orphans, tally.lost, tally.stuck) == (0, 0, 0, 0)
    assert found == hashes(kind, range(2_000, 2_000 + COMPARED), place)
