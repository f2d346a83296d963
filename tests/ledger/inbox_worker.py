"""Processes that send alerts into a queue and work on them, to be killed at any time. Forked from a server that has
imported everything once (tests/proof/forking.py)."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from brokers.ids import Environment
from ledger.engine import CommitUnknown, Ledger, LedgerUnavailable
from ledger.inbox import AlertStore, Claim, Delivery, InboxState, LeaseLost, QueueLimits
from tests.ledger.inbox_scene import read
from tests.proof import forking

# The figures of production, twenty-five times as fast.
QUICK = QueueLimits(
    lease_s=0.6,
    heartbeat_s=0.2,
    reading_lease_s=0.4,
    backoff_s=(0.04, 0.08, 0.2, 0.6),
    rows_new_max=1_000_000,
)
PATIENT = QueueLimits(
    lease_s=0.6,
    heartbeat_s=0.2,
    reading_lease_s=0.4,
    backoff_s=(0.01,),
    rows_new_max=1_000_000,
    attempts_max=1_000,  # kills are no fault of the alert
)
DEADLY = "DEADLY"  # the instrument whose alerts kill their worker
GROUP = 50
Answer = TypeVar("Answer")


def body(number: int, *, lanes: int) -> bytes:
    """Half of them name their id."""
    symbol = f"S{number % lanes}"
    key = f"k{number}" if number % 2 else ""
    return json.dumps({"symbol": symbol, "key": key, "salt": number, "ttl_s": 86_400}).encode()


def start_sender(url: str, *, seed: int, numbers: range, lanes: int, at: datetime) -> Any:
    """One delivery of each alert, in an order of its own."""
    return forking.start(_send, url, seed, numbers, lanes, at)


def _send(url: str, seed: int, numbers: range, lanes: int, at: datetime) -> None:
    ledger = _until_served(lambda: Ledger.open(url, environment=Environment.SIMULATED))
    store = AlertStore(ledger, limits=PATIENT)
    order = list(numbers)
    random.Random(seed).shuffle(order)
    for start in range(0, len(order), GROUP):
        group = [
            Delivery(source="tv", raw=body(number, lanes=lanes), received_at=at + timedelta(seconds=5 * seed))
            for number in order[start : start + GROUP]
        ]
        _until_served(lambda group=group: store.receive(group))  # type: ignore[misc]
    ledger.close()


def start_drain(url: str, *, worker: str, limits: QueueLimits = PATIENT) -> Any:
    """Reads and works until it is ended."""
    return forking.start(_drain, url, worker, limits)


def _drain(url: str, worker: str, limits: QueueLimits) -> None:
    ledger = _until_served(lambda: Ledger.open(url, environment=Environment.SIMULATED))
    store = AlertStore(ledger, limits=limits)
    with store.waiter() as waiter:
        while True:
            _until_served(lambda: store.admit(read, worker=worker))
            claim = _until_served(lambda: store.claim(worker=worker))
            if claim is None:
                waiter.wait(0.1)
            else:
                _handle(store, claim)


def _handle(store: AlertStore, claim: Claim) -> None:
    if claim.alert.instrument_id == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        store.note(claim, reason="TEST_SUBMITTED")
        store.finish(claim, InboxState.PLACED, reason="TEST_PLACED")
    except (LeaseLost, LedgerUnavailable, CommitUnknown):
        return  # whoever has it now, or the next claim, goes on from what is stored


def _until_served(act: Callable[[], Answer]) -> Answer:
    """What every caller does while the database is away."""
    while True:
        try:
            return act()
        except (LedgerUnavailable, CommitUnknown):
            continue
