"""Connection and environment: what `connect` proves and what is refused before any request."""

from __future__ import annotations

from datetime import timedelta

from tests.conformance.capability import Capability as C
from tests.conformance.card import Where, card
from tests.conformance.scene import Scene


@card(
    "CONN-PROOF-01",
    C.CONNECTION,
    given="a key that may trade",
    does="connect",
    expects="the account, the host and the key's fingerprint; may trade, may not withdraw; no order request",
    where=Where.ACCOUNT,
)
def connect_proves_the_account(scene: Scene) -> None:
    proof = scene.broker.connect()
    assert proof.account_id == scene.broker.account_id and proof.venue_account
    assert proof.can_trade and not proof.can_withdraw
    assert len(proof.key_fingerprint) == 16 and proof.host.startswith(("http://127.0.0.1:", "https://"))
    assert proof.margin_mode in scene.venue.capabilities.margin_modes | {proof.margin_mode}
    assert scene.broker.order_requests_sent == 0


@card(
    "CONN-CLOCK-01",
    C.CLOCK,
    given="a venue whose clock agrees with ours",
    does="read its clock",
    expects="an offset within the reading's own error, and a bound of that error below a second",
    where=Where.ACCOUNT,
)
def the_clock_is_read_with_its_error(scene: Scene) -> None:
    reading = scene.broker.clock_reading()
    assert reading.error <= timedelta(seconds=1)
    assert abs(reading.offset) <= reading.error + timedelta(seconds=2)
