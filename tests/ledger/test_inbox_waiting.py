"""Being woken: at once where something is there, by a notification, by polling, and when the database goes away."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import make_url

from ledger.engine import Ledger, LedgerUnavailable
from ledger.inbox import Admission, AlertStore, AlertWaiter, Delivery, StoredAlert
from tests.conftest import Eventually
from tests.ledger.conftest import PostgresCluster
from tests.ledger.inbox_scene import S, Scene, read

LONG_S = 60.0  # nothing waits so long: a test that does has failed


class Waiting:
    """A thread that waits; `woken` says how it ended."""

    def __init__(self, waiter: AlertWaiter, timeout_s: float = LONG_S) -> None:
        self.woken: bool | None = None
        self._thread = threading.Thread(target=self._wait, args=(waiter, timeout_s))
        self._thread.start()

    def _wait(self, waiter: AlertWaiter, timeout_s: float) -> None:
        self.woken = waiter.wait(timeout_s)

    def ends(self) -> bool | None:
        self._thread.join(LONG_S / 2)
        assert not self._thread.is_alive()
        return self.woken


def test_what_is_there_is_not_waited_for(scene: Scene) -> None:
    with scene.store.waiter() as waiter:
        assert not waiter.wait(0)
        scene.queue()
        assert waiter.wait(LONG_S)  # to be claimed
        scene.claim()
        assert not waiter.wait(0.01)
        scene.send(salt="new")
        assert waiter.wait(LONG_S)  # to be read
        scene.store.admit(read, worker="r")
        scene.pass_s(16)  # a lease has lapsed
        assert waiter.wait(LONG_S)


def test_what_others_do_is_not_work(scene: Scene) -> None:
    """Another account's lane, and new alerts that another worker reads right now."""
    scene.queue(account="ts.simulated.one")
    assert scene.store.has_work(accounts=["ts.simulated.one"]) and scene.store.has_work()
    assert not scene.store.has_work(accounts=["ts.simulated.two"])
    with scene.store.waiter(accounts=["ts.simulated.two"]) as waiter:
        assert not waiter.wait(0.01)
    scene.claim()
    scene.send(salt="new")
    seen: list[bool] = []

    def looks(alert: StoredAlert) -> Admission:
        seen.append(scene.store.has_work())
        return read(alert)

    scene.store.admit(looks, worker="r")
    assert seen == [False]


def test_another_store_wakes_it(open_queue: Callable[..., Ledger], eventually: Eventually) -> None:
    """As another process does: by NOTIFY on PostgreSQL, by the poll on SQLite."""
    waits, other = AlertStore(open_queue()), AlertStore(open_queue())
    with waits.waiter() as waiter:
        assert not waiter.wait(0)
        waiting = Waiting(waiter)
        other.receive([Delivery(source="tv", raw=b"{}", received_at=datetime.now(UTC))])
        assert waiting.ends() is True


def test_a_person_wakes_it(scene: Scene) -> None:
    number = scene.queue()
    scene.store.finish(scene.claim(), S.NEEDS_HUMAN, reason="TEST")
    with scene.store.waiter() as waiter:
        assert not waiter.wait(0)
        waiting = Waiting(waiter)
        scene.store.revive(number, by="ann", reason="r")
        assert waiting.ends() is True


@pytest.mark.postgres
@pytest.mark.parametrize("queue_url", ["postgresql"], indirect=True)
def test_what_piles_up_while_nobody_waits_is_one_look(scene: Scene) -> None:
    looks = 0

    def look() -> bool:
        nonlocal looks
        looks += 1
        return False

    with AlertWaiter(scene.ledger, look) as waiter:
        assert not waiter.wait(0)
        for number in range(50):
            scene.send(salt=number)
        looks = 0
        assert not waiter.wait(0.01)
        assert looks <= 3


@pytest.mark.postgres
@pytest.mark.parametrize("queue_url", ["postgresql"], indirect=True)
def test_a_lost_connection_is_opened_again(
    scene: Scene, queue_url: str, postgres_cluster: PostgresCluster, eventually: Eventually
) -> None:
    database = make_url(queue_url).database
    assert database is not None
    with scene.store.waiter() as waiter:
        assert not waiter.wait(0)
        postgres_cluster.end_connections(database)
        assert not waiter.wait(0.1)  # it notices, and looks by polling
        waiting = Waiting(waiter)
        scene.send(salt="new")
        assert waiting.ends() is True


@pytest.mark.postgres
@pytest.mark.parametrize("queue_url", ["postgresql"], indirect=True)
def test_a_database_that_is_away_is_nothing_to_do(
    scene: Scene, queue_url: str, postgres_cluster: PostgresCluster
) -> None:
    database = make_url(queue_url).database
    assert database is not None
    with scene.store.waiter() as waiter:
        postgres_cluster.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        try:
            postgres_cluster.end_connections(database)
            assert not waiter.wait(0.1)
            with pytest.raises(LedgerUnavailable):
                scene.ledger.listen("c")
        finally:
            postgres_cluster.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
        scene.send(salt="new")
        assert waiter.wait(LONG_S)


def test_only_postgresql_listens(scene: Scene) -> None:
    connection = scene.ledger.listen("c")
    assert (connection is None) == scene.ledger.url.startswith("sqlite")
    if connection is not None:
        connection.close()
