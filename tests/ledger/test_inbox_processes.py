"""Many processes on one queue: deliveries in any order, killed workers, alerts that kill, a database that goes.

Sizes are small here; ALGOTRENDY_ALERTS=10000 plays the full figures.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import make_url, select

from ledger.engine import CommitUnknown, Ledger, LedgerUnavailable
from ledger.inbox import AlertStore, Delivery, InboxState, QueueLimits
from ledger.inbox_moves import EVENT, INBOX
from ledger.invariants import check_ledger
from tests.conftest import Eventually
from tests.ledger.conftest import PostgresCluster
from tests.ledger.inbox_worker import DEADLY, PATIENT, QUICK, start_drain, start_sender

S = InboxState
LANES = 20


class Crew:
    """Workers on one queue; whoever dies is replaced by `mend`."""

    def __init__(self, url: str, *, size: int, limits: QueueLimits) -> None:
        self._url, self._limits = url, limits
        self.started = 0
        self.processes: list[Any] = []
        for _ in range(size):
            self._start()

    def _start(self) -> None:
        self.started += 1
        self.processes.append(start_drain(self._url, worker=f"w{self.started}", limits=self._limits))

    def mend(self) -> None:
        for process in [process for process in self.processes if process.exitcode is not None]:
            self.processes.remove(process)
            self._start()

    def kill(self, process: Any) -> None:
        process.kill()
        process.join(30)
        self.mend()

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.join(30)


@contextmanager
def crew(url: str, *, size: int, limits: QueueLimits = PATIENT) -> Iterator[Crew]:
    working = Crew(url, size=size, limits=limits)
    try:
        yield working
    finally:
        working.end()


def send(store: AlertStore, numbers: range, *, deliveries: int = 1) -> None:
    at = datetime.now(UTC)
    senders = [
        start_sender(store.ledger.url, seed=seed, numbers=numbers, lanes=LANES, at=at) for seed in range(deliveries)
    ]
    for sender in senders:
        sender.join(600)
        assert sender.exitcode == 0


def is_done(store: AlertStore, alerts: int) -> bool:
    """Whether every alert has been received and has ended."""
    try:
        found = store.list(limit=1)
        return bool(found) and found[0].alert_id >= alerts and store.backlog().open == 0
    except (LedgerUnavailable, CommitUnknown):
        return False


def require_order(store: AlertStore, alerts: int) -> None:
    """Every alert has one place and one end, and no lane was left out of order."""
    with store.ledger.read() as session:
        assert check_ledger(session) == ()
        connection = session.connection()
        placed = list(connection.execute(select(INBOX).where(INBOX.c.lane.is_not(None))))
        ends = select(EVENT.c.alert_id).where(EVENT.c.to_state == S.PLACED.value, EVENT.c.from_state == S.WORKING.value)
        ended = Counter(connection.execute(ends).scalars())
        first_claims = select(EVENT.c.alert_id).where(EVENT.c.to_state == S.WORKING.value, EVENT.c.epoch == 1)
        claimed = list(dict.fromkeys(connection.execute(first_claims.order_by(EVENT.c.event_id)).scalars()))
    assert len(placed) == alerts
    assert set(ended.values()) == {1} and len(ended) == alerts
    lanes: dict[str, list[int]] = {}
    seqs = {row.alert_id: (row.lane, row.lane_seq) for row in placed}
    for alert_id in claimed:
        lane, seq = seqs[alert_id]
        lanes.setdefault(lane, []).append(seq)
    assert all(order == list(range(1, len(order) + 1)) for order in lanes.values())
    assert sum(map(len, lanes.values())) == alerts


@pytest.fixture
def store(open_queue: Callable[..., Ledger]) -> AlertStore:
    return AlertStore(open_queue(), limits=PATIENT)


def test_four_shuffled_deliveries_of_each_alert_are_one_place_and_one_end(
    store: AlertStore, queue_url: str, alerts_in_all: int, eventually: Eventually
) -> None:
    with crew(queue_url, size=8 if alerts_in_all >= 1_000 else 3):
        send(store, range(alerts_in_all), deliveries=4)
        eventually(lambda: is_done(store, alerts_in_all), timeout_s=60 + alerts_in_all / 2)
    require_order(store, alerts_in_all)
    with store.ledger.read() as session:
        deliveries = list(session.connection().execute(select(INBOX.c.deliveries)).scalars())
    assert sum(deliveries) == 4 * alerts_in_all


def test_no_lane_is_out_of_order_and_nothing_is_lost_when_workers_are_killed(
    store: AlertStore, queue_url: str, alerts_in_all: int, eventually: Eventually
) -> None:
    chance, kills = random.Random(7), max(3, alerts_in_all // 50)
    with crew(queue_url, size=3) as working:
        for number in range(kills):
            share = range(number * alerts_in_all // kills, (number + 1) * alerts_in_all // kills)
            send(store, share)
            working.processes[0].join(chance.random() * 0.2)
            working.kill(chance.choice(working.processes))
        eventually(lambda: is_done(store, alerts_in_all), timeout_s=60 + alerts_in_all / 2)
        assert working.started == 3 + kills
    require_order(store, alerts_in_all)


def test_an_alert_that_kills_its_worker_costs_no_other(
    store: AlertStore, queue_url: str, eventually: Eventually
) -> None:
    deadly = b'{"symbol": "%s", "ttl_s": 3600}' % DEADLY.encode()
    with crew(queue_url, size=2, limits=QUICK) as working:
        number = store.receive([Delivery(source="tv", raw=deadly, received_at=datetime.now(UTC))])[0].alert_id
        send(store, range(40))

        def over() -> bool:
            working.mend()
            return is_done(store, 41)

        eventually(over, timeout_s=60)

        def replaced() -> bool:  # it may be over before the last death is seen
            working.mend()
            return working.started >= 2 + 5

        eventually(replaced)
        assert working.started == 2 + 5
    alert = store.show(number)
    assert (alert.state, alert.attempts, alert.reason) == (S.DEAD, 5, "ALERT_WORKER_DIED")
    assert len(store.list(states=[S.PLACED], limit=500)) == 40


@pytest.mark.postgres
@pytest.mark.parametrize("queue_url", ["postgresql"], indirect=True)
def test_a_database_that_goes_and_comes_back_loses_nothing(
    store: AlertStore,
    queue_url: str,
    postgres_cluster: PostgresCluster,
    alerts_in_all: int,
    eventually: Eventually,
) -> None:
    database = make_url(queue_url).database
    assert database is not None
    ended = 0
    with crew(queue_url, size=3) as working:
        for turn in range(4):
            share = range(turn * alerts_in_all // 4, (turn + 1) * alerts_in_all // 4)
            sender = start_sender(queue_url, seed=turn, numbers=share, lanes=LANES, at=datetime.now(UTC))
            for _ in range(5):
                ended += postgres_cluster.end_connections(database)
                sender.join(0.02)
            if turn == 2:
                postgres_cluster.restart()
            sender.join(600)
            assert sender.exitcode == 0
        eventually(lambda: is_done(store, alerts_in_all), timeout_s=60 + alerts_in_all / 2)
        assert ended > 0
        assert all(process.exitcode is None for process in working.processes)
    require_order(store, alerts_in_all)
