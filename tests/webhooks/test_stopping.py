"""SIGTERM: nothing new is taken, what is under way is answered truly, what was queued is written."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.canaries import leaks
from tests.conftest import Eventually
from tests.webhooks.client import Wire, ask, head
from tests.webhooks.conftest import PATH, TOKEN, Launch, Process, Serve, started
from tests.webhooks.sizes import LATE_S, QUICK
from webhooks.reasons import ReceiverReason as R

HERE = f"{PATH}/{TOKEN}"


@contextmanager
def held(url: str) -> Iterator[None]:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


def bodies(url: str) -> set[bytes]:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    try:
        return {bytes(row[0]) for row in connection.execute("SELECT raw FROM inbox")}
    finally:
        connection.close()


def test_what_is_committed_in_time_is_answered_200_and_the_rest_503(
    launch: Launch, sqlite_url: str, eventually: Eventually
) -> None:
    process = launch(sqlite_url)
    with Wire(process.url) as whole, Wire(process.url) as half, Wire(process.url) as idle:
        idle.send(head("/health", method="GET"))
        assert idle.answer(method="GET").status == 200
        with held(sqlite_url):
            half.send(head(HERE, length=4) + b"ha")
            whole.send(head(HERE, length=5) + b"whole")
            eventually(lambda: is_waiting(process))
            process.child.send_signal(signal.SIGTERM)
            eventually(lambda: is_refused(process))
        answer = whole.answer()
        assert (answer.status, bodies(sqlite_url)) == (200, {b"whole"}), "it was committed, so it is not sent again"
        half.send(b"lf")
        assert (half.answer().status, bodies(sqlite_url)) == (200, {b"whole", b"half"}), "its head had come before"
        assert idle.ended_after_s() < 30
    assert process.child.wait(20) == 0, process.lines()
    told = process.lines()
    assert f"simulated ledger {sqlite_url}" in told and f"receiver listening on {process.url}" in told
    assert f"POST {PATH}/[token] 200 new" in told and leaks(told, [TOKEN]) == []
    assert "Traceback" not in process.lines()


def test_what_comes_after_the_stop_is_sent_again_to_whoever_listens_next(serve: Serve, sqlite_url: str) -> None:
    served = serve(sqlite_url)
    served.receiver.stop_taking()
    refused = served.post(b"late")
    assert (refused.status, refused.error, refused.headers["connection"]) == (503, R.STOPPING, "close")
    assert refused.headers["retry-after"] == "5"
    assert served.get("/ready").json["reasons"] == [R.STOPPING]
    assert served.stored() == {}


def test_a_ledger_that_hangs_does_not_keep_it_from_ending(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("webhooks.server.STOP_S_MAX", 0.2)
    running = started(sqlite_url, limits=QUICK)
    served = running.__enter__()
    with held(sqlite_url):
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(served.post, (b"never written", b"nor this")))
        began = time.monotonic()
        running.__exit__(None, None, None)
        assert time.monotonic() - began < 3 + LATE_S
    assert {(answer.status, answer.error) for answer in answers} == {(503, R.NOT_COMMITTED_IN_TIME)}
    assert "were not written: the ledger hangs" in caplog.text


def is_waiting(process: Process) -> bool:
    """Whether an alert has been taken and its commit waits; the group is no longer in the queue then."""
    metrics = ask(process.url, "/metrics", method="GET").body.decode()
    return "algotrendy_receiver_queue_alerts 0.0" in metrics and "algotrendy_receiver_connections 4.0" in metrics


def is_refused(process: Process) -> bool:
    """Whether nobody listens any more."""
    try:
        Wire(process.url).socket.close()
    except ConnectionRefusedError:
        return True
    return False
