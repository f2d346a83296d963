"""Fifty orders at once from ten processes, on both databases: no limit is exceeded, and none of its room is wasted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from brokers.ids import Environment
from ledger.engine import Ledger
from ledger.states import IntentState
from ledger.tables import OrderIntent, OrderSend
from tests.ledger.conftest import PostgresCluster
from tests.proof import forking
from tests.proof.limit_worker import ask

PROCESSES, EACH = 10, 5


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ledger.db'}"
        return
    cluster = PostgresCluster.create()
    try:
        cluster.execute("CREATE DATABASE limits")
        yield cluster.url("limits")
    finally:
        cluster.stop()


@pytest.mark.parametrize("limits", [{"gross_notional_max": "5001"}, {"open_orders_max": 10}])
def test_fifty_orders_of_ten_processes_never_exceed_a_limit(
    url: str, limits: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))  # a server's spool lies there
    Ledger.open(url, environment=Environment.SIMULATED).close()
    others = {"open_orders_max": 100, "order_rate_max": 1_000, "message_rate_max": 1_000, **limits}
    answers, processes = [], []
    for number in range(PROCESSES):
        mine, theirs = forking.pipe()
        processes.append(forking.start(ask, url, number, EACH, others, theirs))
        theirs.close()
        answers.append(mine)
    assert [answer.recv() for answer in answers] == [""] * PROCESSES
    for process in processes:
        process.join(30)
    with Ledger.open(url, environment=Environment.SIMULATED) as ledger, ledger.read() as session:
        states = [row.state for row in session.exec(select(OrderIntent))]
        sends = session.exec(select(OrderSend)).all()
    live = [state for state in states if state != IntentState.DENIED.value]
    assert (len(states), len(live), len(sends)) == (50, 10, 10)
