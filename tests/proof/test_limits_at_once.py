"""Several processes on one ledger, on both databases: no limit is exceeded, none of its room is wasted, and HALT stops
all of them at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from brokers.clock import SystemClock
from brokers.ids import Environment
from ledger.controls import pool_scope, set_control
from ledger.engine import Ledger
from ledger.states import ControlState, IntentState
from ledger.tables import OrderIntent, OrderSend
from tests.conftest import Eventually
from tests.ledger.conftest import PostgresCluster
from tests.proof import forking
from tests.proof.limit_worker import ask, send_until_stopped
from trading.orders.protocol import ProtocolLimits

PROCESSES, EACH = 10, 5
SENDERS = 4


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


def test_no_order_of_any_process_is_committed_after_a_halt(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with Ledger.open(url, environment=Environment.SIMULATED) as ledger:
        answers, processes = [], []
        for number in range(SENDERS):
            mine, theirs = forking.pipe()
            processes.append(forking.start(send_until_stopped, url, number, theirs))
            theirs.close()
            answers.append(mine)

        def senders() -> set[str]:
            with ledger.read() as session:
                return set(session.exec(select(OrderSend.worker)))

        eventually(lambda: len(senders()) == SENDERS, timeout_s=25)
        with ledger.write() as session:
            at = ledger.now(session)
            set_control(session, pool_scope("p"), ControlState.HALT, reason="drill", set_by="me", at=at)
            committed = len(session.exec(select(OrderSend.send_id)).all())
        halted_s = SystemClock().monotonic()
        begun = [answer.recv() for answer in answers]
        with ledger.read() as session:
            assert len(session.exec(select(OrderSend.send_id)).all()) == committed
    for process in processes:
        process.join(30)
    # What was committed before may still be about to leave, but only for a second, and after one more look.
    assert all(begun) and max(map(max, begun)) <= halted_s + ProtocolLimits().send_by_s
