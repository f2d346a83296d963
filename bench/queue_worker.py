"""A worker of the alert queue, for a process of its own that may be killed."""

from __future__ import annotations

import json
import os
import signal
from datetime import timedelta

from brokers.ids import Environment
from ledger.engine import Ledger
from ledger.inbox import Admission, AlertStore, InboxState, QueueLimits, StoredAlert

DEADLY = "DEADLY"  # the instrument whose alerts kill their worker
# Production's figures, twenty-five times as fast: five deaths take seconds instead of minutes.
QUICK = QueueLimits(lease_s=0.6, heartbeat_s=0.2, reading_lease_s=0.4, backoff_s=(0.04, 0.08, 0.2, 0.6))


def read(alert: StoredAlert) -> Admission:
    """The body names instrument, key and seconds to live."""
    said = json.loads(alert.raw)
    return Admission(
        state=InboxState.QUEUED,
        reason="BENCH_READ",
        key=said["key"],
        account_id="bench.simulated.main",
        instrument_id=said["symbol"],
        alert_time=alert.received_at,
        expires_at=alert.received_at + timedelta(seconds=said["ttl_s"]),
        parsed=alert.raw.decode(),
    )


def work(url: str, name: str) -> None:
    """Read, claim and end alerts until the process is ended."""
    with Ledger.open(url, environment=Environment.SIMULATED) as ledger:
        store = AlertStore(ledger, limits=QUICK)
        with store.waiter() as waiter:
            while True:
                store.admit(read, worker=name)
                claim = store.claim(worker=name)
                if claim is None:
                    waiter.wait(0.5)
                elif claim.alert.instrument_id == DEADLY:
                    os.kill(os.getpid(), signal.SIGKILL)
                else:
                    store.finish(claim, InboxState.PLACED, reason="BENCH_PLACED")
