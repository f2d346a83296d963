"""SIGKILL at random moments under load: what was acknowledged is in the ledger, byte by byte, whatever dies.

ALGOTRENDY_RECEIVER_KILLS and ALGOTRENDY_RECEIVER_ALERTS say how much; in full 200 kills and 100,000 alerts.
"""

from __future__ import annotations

import hashlib
import random
import sqlite3
import threading
import time

import psycopg

from brokers.ids import Environment
from ledger.alert_states import InboxState
from ledger.engine import Ledger
from ledger.inbox import Admission, AlertStore, StoredAlert
from tests.webhooks.client import Wire, head
from tests.webhooks.conftest import PATH, TOKEN, Launch
from tests.webhooks.sizes import ACKNOWLEDGED, KILLS

SENDERS = 16
LIFE_S = (0.05, 0.8)
UNREAD_MAX = 20_000
HERE = f"{PATH}/{TOKEN}"


class Load:
    """Senders that deliver alert after alert, each again until it is acknowledged, as TradingView would."""

    def __init__(self) -> None:
        self.url = ""  # of the receiver that lives now
        self.acknowledged: dict[bytes, int] = {}
        self.again = 0  # deliveries that were not acknowledged
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(SENDERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _send(self, sender: int) -> None:
        number = 0
        wire: Wire | None = None
        while not self._end.is_set():
            body = b'{"id": "%d-%d", "text": "%s"}' % (sender, number, b"x" * (number % 300))
            try:
                if wire is None:
                    wire = Wire(self.url)
                wire.send(head(HERE, length=len(body)) + body)
                answer = wire.answer()
            except OSError:
                if wire is not None:
                    wire.__exit__(None, None, None)
                    wire = None
                self.again += 1
                self._end.wait(0.02)
                continue
            if answer.status == 200:
                self.acknowledged[body] = answer.json["id"]
                number += 1
            else:
                self.again += 1
        if wire is not None:
            wire.__exit__(None, None, None)


def rows_of(ledger_url: str) -> list[tuple[int, bytes, str]]:
    query = "SELECT alert_id, raw, body_sha256 FROM inbox"
    if ledger_url.startswith("sqlite"):
        connection = sqlite3.connect(ledger_url.removeprefix("sqlite:///"))
        found = connection.execute(query).fetchall()
        connection.close()
    else:
        with psycopg.connect(ledger_url.replace("+psycopg", "")) as server:
            found = server.execute(query).fetchall()
    return [(number, bytes(raw), sha256) for number, raw, sha256 in found]


def read_all(ledger_url: str) -> None:
    """Empty the ledger's backlog, as a drain does: it takes 50,000 unread alerts and no more."""

    def read(alert: StoredAlert) -> Admission:
        return Admission(state=InboxState.REFUSED, reason="TEST", detail="read by the test")

    with Ledger.open(ledger_url, environment=Environment.SIMULATED) as ledger:
        store = AlertStore(ledger)
        while store.admit(read, worker="test", limit=1_000):
            pass


def test_no_acknowledged_alert_is_lost(launch: Launch, ledger_url: str) -> None:
    chance = random.Random(20261125)
    load, kills, read, wait = Load(), 0, 0, threading.Event()
    process = launch(ledger_url, "--quiet")
    load.url = process.url
    load.start()
    try:
        while kills < KILLS or len(load.acknowledged) < ACKNOWLEDGED:
            due = ACKNOWLEDGED * (kills + 1) // max(KILLS, 1)
            deadline = time.monotonic() + 120
            while len(load.acknowledged) < due - ACKNOWLEDGED // max(KILLS, 1) // 2:
                assert time.monotonic() < deadline, process.lines()
                wait.wait(0.01)
            wait.wait(chance.uniform(*LIFE_S))  # anywhere in its work
            process.kill()
            kills += 1
            if len(load.acknowledged) > read + UNREAD_MAX:
                read = len(load.acknowledged)
                read_all(ledger_url)
            process = launch(ledger_url, "--quiet")
            load.url = process.url
    finally:
        load.stop()
    process.child.terminate()
    assert process.child.wait(20) == 0, process.lines()

    rows = rows_of(ledger_url)
    by_number = {number: raw for number, raw, _ in rows}
    lost = [body for body, number in load.acknowledged.items() if by_number.get(number) != body]
    print(
        f"{len(load.acknowledged)} acknowledged alerts, {kills} kills, {load.again} deliveries were repeated, "
        f"{len(rows)} rows: {len(lost)} lost"
    )
    assert lost == []
    assert all(hashlib.sha256(raw).hexdigest() == sha256 for _, raw, sha256 in rows), "no row is half written"
    assert len({raw for _, raw, _ in rows}) == len(rows), "a repeated delivery is no second alert"
