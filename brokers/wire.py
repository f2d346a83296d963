"""What is known of one send: the ticket that allows it and the record that it leaves.

The ticket is made by the single send point after the attempt was committed; the transport consumes it. One ticket
lets one order request out, whatever the SDK around it tries.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class WirePhase(StrEnum):
    """How far a send came: the certainty of an exception depends on it."""

    NOT_STARTED = "not_started"
    CONNECTING = "connecting"
    SENDING = "sending"  # the first byte may have left
    ANSWERED = "answered"  # a complete answer was read


@dataclass(slots=True)
class WireRecord:
    """The evidence of one send, filled in by the transport: exact bytes out, exact bytes back.

    Where time and signature travel in the body, `request_body` of an order is the part that was committed, and
    elsewhere the signature's value is blotted out of it. `request_sha256` is of `request_body`.
    """

    phase: WirePhase = WirePhase.NOT_STARTED
    sends: int = 0
    method: str = ""
    url: str = ""
    request_body: bytes = b""
    request_sha256: str = ""
    status: int | None = None
    response_headers: dict[str, str] = field(default_factory=dict)
    response_body: bytes = b""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class SendTicket:
    """Leave to send one order request once.

    `send_id` names the SENDING step. `not_after` is the venue-enforced deadline in venue time; `send_by` is the local
    monotonic second after which the first byte may no longer leave; `timeout_s` is the total time for the answer.
    """

    send_id: str
    not_after: datetime
    send_by_monotonic_s: float
    timeout_s: float
    record: WireRecord = field(default_factory=WireRecord)
