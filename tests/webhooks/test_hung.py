"""A database that hangs: every alert is answered 503 in time, none is lost, authentication goes on."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import psycopg
import pytest

from tests.conftest import Eventually
from tests.ledger.conftest import PostgresCluster
from tests.webhooks.client import Answer
from tests.webhooks.conftest import PATH, Serve, Served
from tests.webhooks.sizes import FULL, HUNG_S, LATE_S, QUICK
from webhooks.reasons import ReceiverReason as R

SENDERS = 40
# A process of its own holds SQLite's write lock until its standard input is closed.
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("BEGIN IMMEDIATE")
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def sqlite_held(served: Served) -> Iterator[None]:
    file = served.ledger.url.removeprefix("sqlite:///")
    command = [sys.executable, "-c", HOLD, file]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"\n"
        yield


@contextmanager
def postgres_held(cluster: PostgresCluster) -> Iterator[None]:
    with psycopg.connect(f"host={cluster.directory} user=postgres dbname=receiver") as connection:
        connection.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
        yield


@pytest.fixture
def served(serve: Serve, ledger_url: str) -> Served:
    return serve(ledger_url) if FULL else serve(ledger_url, limits=QUICK)


@pytest.fixture
def hung(request: pytest.FixtureRequest, served: Served) -> Callable[[], AbstractContextManager[None]]:
    if served.ledger.url.startswith("sqlite"):
        return lambda: sqlite_held(served)
    cluster = request.getfixturevalue("receiver_postgres")
    return lambda: postgres_held(cluster)


def test_every_alert_is_answered_503_in_time_and_none_is_lost(
    served: Served, hung: Callable[[], AbstractContextManager[None]], eventually: Eventually
) -> None:
    limits = served.receiver.listening.limits
    sent: dict[bytes, list[Answer]] = {}
    lock = threading.Lock()
    until = time.monotonic() + HUNG_S

    def send(sender: int) -> None:
        number = 0
        while time.monotonic() < until:
            body = b"alert %d of %d" % (number, sender)
            answer = served.post(body)
            with lock:
                sent.setdefault(body, []).append(answer)
            number += 1

    with hung(), ThreadPoolExecutor(SENDERS) as pool:
        list(pool.map(send, range(SENDERS)))
        refused = served.post(path=f"{PATH}/wrong")
        assert (refused.status, refused.took_s < 2) == (404, True), "a stranger is told at once"
        assert served.get("/health").status == 200
    answers = [answer for found in sent.values() for answer in found]
    slowest = max(answer.took_s for answer in answers)
    print(f"{len(answers)} alerts while the ledger hung for {HUNG_S} s; the slowest answer took {slowest:.3f} s")
    assert {(answer.status, answer.error) for answer in answers} == {(503, R.NOT_COMMITTED_IN_TIME)}
    assert slowest <= limits.request_s_max + LATE_S

    # The ledger is back: what was answered 503 is committed, and delivered again it is the same alert.
    again = {body: served.post(body) for body in list(sent)[:20]}
    assert {answer.status for answer in again.values()} == {200}
    eventually(lambda: len(served.stored()) == len(sent))
    assert sorted(served.stored().values()) == sorted(sent), "each once"
    assert {served.stored()[answer.json["id"]]: body for body, answer in again.items()} == {b: b for b in again}
    assert served.metric("algotrendy_receiver_committed_late_total") == len(sent)


def test_what_waits_in_memory_is_bounded(serve: Serve, sqlite_url: str, eventually: Eventually) -> None:
    served = serve(sqlite_url, limits=replace(QUICK, queue_count_max=10, queue_bytes_max=100_000))
    with sqlite_held(served), ThreadPoolExecutor(40) as pool:
        served.post(b"is with the ledger")
        answers = list(pool.map(lambda n: served.post(b"%d" % n), range(40)))
        assert served.receiver.writer.count == 10
        big = list(pool.map(lambda n: served.post(b"%d" % n + b"x" * 60_000), range(4)))
    counts = Counter(answer.error for answer in answers)
    assert counts == {R.QUEUE_FULL: 30, R.NOT_COMMITTED_IN_TIME: 10}
    assert {answer.error for answer in big} == {R.QUEUE_FULL}
    eventually(lambda: served.post(b"afterwards").status == 200)


def test_the_bytes_in_memory_are_bounded(serve: Serve, sqlite_url: str) -> None:
    served = serve(sqlite_url, limits=replace(QUICK, queue_bytes_max=100_000))
    with sqlite_held(served):
        served.post(b"is with the ledger")
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: served.post(b"%d" % n + b"x" * 60_000), range(8)))
        assert served.receiver.writer.bytes <= 100_000
    assert Counter(answer.error for answer in answers) == {R.QUEUE_FULL: 7, R.NOT_COMMITTED_IN_TIME: 1}


def test_a_ledger_that_takes_nothing_is_not_ready(serve: Serve, sqlite_url: str, eventually: Eventually) -> None:
    served = serve(sqlite_url, limits=replace(QUICK, stale_s_max=0.5, probe_s=0.1, refresh_s=0.1))
    assert served.get("/ready").json == {"status": "ready", "reasons": []}
    with sqlite_held(served):
        served.post(b"x")
        eventually(lambda: R.LEDGER_STALE in served.get("/ready").json["reasons"])
        assert served.get("/ready").status == 503
    eventually(lambda: served.get("/ready").status == 200)


def test_sqlite_is_really_held(serve: Serve, sqlite_url: str) -> None:
    """The tests above would pass for the wrong reason if it were not."""
    served = serve(sqlite_url)
    with sqlite_held(served):
        connection = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            connection.execute("BEGIN IMMEDIATE")
        connection.close()
