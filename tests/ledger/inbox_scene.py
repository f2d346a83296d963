"""A queue to try things on: a store on a manual clock, deliveries, and a reader that obeys the body."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from brokers.clock import ManualClock
from ledger.engine import Ledger
from ledger.inbox import Admission, AlertStore, Claim, Delivery, InboxState, QueueLimits, Receipt, StoredAlert

S = InboxState
START = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
ACCOUNT = "tradestation.simulated.main"
TTL_S = 30.0


def read(alert: StoredAlert) -> Admission:
    """The body says what becomes of it: JSON with the fields of an Admission; `ttl_s` and `ahead_s` make its times."""
    try:
        said = json.loads(alert.raw)
    except ValueError as error:
        return Admission(state=S.POISON, reason="TEST_UNREADABLE", detail=str(error))
    said.pop("salt", None)
    ttl_s, ahead_s = said.pop("ttl_s", TTL_S), said.pop("ahead_s", 0.0)
    at = alert.received_at + timedelta(seconds=ahead_s)
    fields: dict[str, Any] = {
        "state": S(said.pop("state", S.QUEUED.value)),
        "reason": said.pop("reason", "TEST_READ"),
        "account_id": said.pop("account", ACCOUNT),
        "instrument_id": said.pop("symbol", "AAPL"),
        "alert_time": at,
        "expires_at": None if ttl_s is None else at + timedelta(seconds=ttl_s),
        "parsed": alert.raw.decode(),
    }
    return Admission(**fields, **said)


class Scene:
    """The store of one ledger, with its clock."""

    def __init__(self, ledger: Ledger, clock: ManualClock, **limits: Any) -> None:
        self.ledger = ledger
        self.clock = clock
        self.queued = 0
        self.limit(**limits)

    def limit(self, **limits: Any) -> None:
        """A store with other limits on the same ledger."""
        self.store = AlertStore(self.ledger, limits=QueueLimits(**limits), clock=self.clock, free_bytes=lambda: 1 << 40)

    def delivery(self, source: str = "tv", raw: bytes | None = None, **body: Any) -> Delivery:
        return Delivery(
            source=source,
            raw=json.dumps(body).encode() if raw is None else raw,
            received_at=self.clock.now(),
            source_ip="127.0.0.1",
            content_type="application/json",
        )

    def send(self, **body: Any) -> Receipt:
        return self.store.receive([self.delivery(**body)])[0]

    def queue(self, **body: Any) -> int:
        """Send an alert of its own bytes and have it read."""
        self.queued += 1
        number = self.send(**{"salt": self.queued, **body}).alert_id
        self.store.admit(read, worker="reader")
        return number

    def claim(self, worker: str = "w1", **options: Any) -> Claim:
        claimed = self.store.claim(worker=worker, **options)
        assert claimed is not None, "nothing was due"
        return claimed

    def pass_s(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    def state(self, alert_id: int) -> InboxState:
        return self.store.show(alert_id).state

    def reasons(self, alert_id: int) -> list[str]:
        return [event.reason for event in self.store.events(alert_id)]
