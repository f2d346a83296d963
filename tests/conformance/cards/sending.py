"""One send: what is frozen, what is acknowledged, and what never leaves."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from brokers.errors import BrokerError, DeadlinePassed, NotSent, OutcomeUnknown, Refused, SecondSendRefused
from brokers.ids import ClientOrderId
from brokers.wire import WirePhase
from tests.brokers.loopback import eventually
from tests.conformance.capability import Capability as C
from tests.conformance.card import Where, card
from tests.conformance.scene import Scene
from tests.conformance.venue import KeyKind
from tests.proof.wire_faults import Verb


@card(
    "SEND-PURE-01",
    C.SENDING,
    given="terms and a client order id",
    does="prepare the order twice",
    expects="the same payload and sha256 both times, of canonical JSON; no order request",
)
def preparing_is_a_function(scene: Scene) -> None:
    request, ours = scene.request(limit_price=scene.resting()), scene.new_id()
    first, second = (scene.broker.prepare_order(request, ours) for _ in range(2))
    assert first == second and first.sha256 == hashlib.sha256(first.payload.encode()).hexdigest()
    assert ours.value in first.payload and scene.broker.order_requests_sent == 0


@card(
    "SEND-ACK-01",
    C.SENDING,
    given="a prepared order",
    does="place it",
    expects="both ids in the acknowledgement, and in the order that is read where the venue shows them",
)
def the_acknowledgement_is_about_it(scene: Scene) -> None:
    placed = scene.rest()
    order = scene.working(placed)
    assert order.venue_order_id == placed.venue_order_id
    if scene.identity.orders_show_client_id:
        assert order.client_order_id == placed.client_order_id


@card(
    "SEND-EVIDENCE-01",
    C.SENDING,
    given="a prepared order",
    does="place it",
    expects="the ticket's record holds one send of exactly the committed bytes, the complete answer and its status",
)
def the_evidence_is_complete(scene: Scene) -> None:
    placed = scene.rest()
    record = placed.ticket.record
    assert (record.phase, record.sends) == (WirePhase.ANSWERED, 1)
    assert record.request_sha256 == hashlib.sha256(record.request_body).hexdigest()
    assert record.status is not None and 200 <= record.status < 300 and record.response_body
    assert placed.client_order_id.value.encode() in record.request_body + record.url.encode()


@card(
    "SEND-EVIDENCE-02",
    C.SENDING,
    given="a prepared order",
    does="place it",
    expects="no part of the evidence holds the secret, and no header of the request is kept",
)
def the_evidence_holds_no_secret(scene: Scene) -> None:
    record = scene.rest().ticket.record
    kept = repr(record)
    for secret in (scene.config.api_secret, getattr(scene.config, "api_passphrase", None)):
        if secret is not None and secret.get_secret_value():
            assert secret.get_secret_value() not in kept


@card(
    "SEND-ONE-01",
    C.SENDING,
    given="a prepared order",
    does="place it",
    expects="the venue counts one order request and has one order",
    levers=True,
)
def one_request_one_order(scene: Scene) -> None:
    before = scene.request_count
    placed = scene.rest()
    assert scene.orders_sent_since(before) == 1 and scene.broker.order_requests_sent == 1
    assert [order.order_id for order in scene.control.orders(scene.owner)] == [placed.venue_order_id.value]


@card(
    "SEND-TWICE-01",
    C.SENDING,
    given="a ticket that was used",
    does="place with it again",
    expects="SecondSendRefused, and nothing more reaches the venue",
    levers=True,
)
def a_ticket_is_used_once(scene: Scene) -> None:
    placed = scene.rest()
    before = scene.request_count
    with pytest.raises(SecondSendRefused):
        scene.send(placed.prepared, placed.ticket)
    assert scene.orders_sent_since(before) == 0 and len(scene.control.orders(scene.owner)) == 1


@card(
    "SEND-LATE-01",
    C.SENDING,
    given="a ticket whose time to send is over",
    does="place with it",
    expects="DeadlinePassed, and no order request leaves",
)
def a_late_ticket_sends_nothing(scene: Scene) -> None:
    prepared = scene.broker.prepare_order(scene.request(limit_price=scene.resting()), scene.new_id())
    late = replace(scene.ticket(), send_by_monotonic_s=scene.clock.monotonic() - 1)
    with pytest.raises(DeadlinePassed):
        scene.send(prepared, late)
    assert scene.broker.order_requests_sent == 0


@card(
    "SEND-EXPIRED-01",
    C.SENDING,
    given="a ticket whose end in venue time has passed",
    does="place with it",
    expects="where the venue enforces such an end: nothing sent, or refused; no order exists",
    levers=True,
)
def an_expired_ticket_makes_no_order(scene: Scene) -> None:
    if not scene.identity.deadline_s_max:
        assert scene.identity.proof, "no request here has an end: the row of facts must say why"
        return
    prepared = scene.broker.prepare_order(scene.request(limit_price=scene.resting()), scene.new_id())
    expired = replace(scene.ticket(), not_after=scene.clock.now() - timedelta(seconds=2))
    with pytest.raises((NotSent, Refused)):
        scene.send(prepared, expired)
    assert scene.control.orders(scene.owner) == []


@card(
    "SEND-DEADLINE-01",
    C.SENDING,
    given="an order whose end in venue time is two seconds away, and a network that brings it three seconds late",
    does="place it once, then let that time pass",
    expects="OutcomeUnknown; where the venue enforces such an end it never executes the order, elsewhere it does",
    levers=True,
)
def a_late_order_is_not_executed(scene: Scene) -> None:
    prepared = scene.broker.prepare_order(scene.request(), scene.new_id())
    scene.broker.clock_reading()
    number = scene.request_count
    scene.fault("delay", Verb.PLACE, before_venue_s=3)
    short = replace(scene.ticket(timeout_s=0.4), not_after=scene.clock.now() + timedelta(seconds=2))
    with pytest.raises(OutcomeUnknown):
        scene.send(prepared, short)
    (late,) = eventually(lambda: scene.requests_since(number, Verb.PLACE))
    eventually(lambda: scene.control.advance(seconds=4) and late.handled)  # the delay counts from its arrival
    assert len(scene.control.orders(scene.owner)) == (0 if scene.identity.deadline_s_max else 1)


@card(
    "SEND-TAMPER-01",
    C.SENDING,
    given="a prepared order whose payload was changed afterwards",
    does="place it",
    expects="a BrokerError before any order request: the bytes are not those that were committed",
)
def changed_bytes_do_not_leave(scene: Scene) -> None:
    prepared = scene.broker.prepare_order(scene.request(limit_price=scene.resting()), scene.new_id())
    other = scene.broker.prepare_order(scene.request(parts=2, limit_price=scene.resting()), prepared.client_order_id)
    with pytest.raises(BrokerError):
        scene.send(replace(prepared, payload=other.payload))
    assert scene.broker.order_requests_sent == 0


@card(
    "SEND-ID-01",
    C.SENDING,
    given="client order ids that the venue would not take",
    does="prepare orders with them",
    expects="InvalidOrder or Unsupported before any request",
)
def ids_that_do_not_fit(scene: Scene) -> None:
    request = scene.request(limit_price=scene.resting())
    longest = scene.identity.client_id_length_max
    for text in ("späte-order", "two words", "x" * min(longest + 1, ClientOrderId.length_max)):
        if len(text) <= longest and text.isascii() and " " not in text:
            continue
        with pytest.raises(NotSent):
            scene.broker.prepare_order(request, ClientOrderId(text))
    assert scene.broker.order_requests_sent == 0


@card(
    "SEND-HOST-01",
    C.SENDING,
    given="an order, a cancel and a read",
    does="make them",
    expects="every request names the one pinned address as its host",
    where=Where.ACCOUNT,
    levers=True,
)
def one_host_only(scene: Scene) -> None:
    placed = scene.rest()
    scene.cancel(placed)
    scene.broker.balances()
    assert {request.host for request in scene.requests_since(0)} == {scene.config.base_url.removeprefix("http://")}


@card(
    "DEAD-MAN-01",
    C.DEAD_MAN,
    given="an order that waits; where the switch cancels other people's orders too, in an account whose owner lets it",
    does="keep the venue's dead-man switch armed, look that the order rests, and fall silent",
    expects="the venue cancels it, and not before; where we cannot make its switch act, Unsupported says why",
    where=Where.ACCOUNT,
    levers=True,
    refused=lambda scene: scene.broker.arm_dead_man(60),
)
def the_dead_man_switch(scene: Scene) -> None:
    placed = scene.rest()
    broker = scene.as_key(KeyKind.AGREED) if KeyKind.AGREED in scene.venue.keys else scene.broker
    switch = broker.capabilities.dead_man
    target = {"instrument_id": scene.instrument_id} if switch.per_instrument else {}
    armed = []
    for _ in range(switch.timeout_s_min):
        armed.append(broker.arm_dead_man(switch.timeout_s_min, **target))
        scene.clock.wait(3)
    assert armed[-1] and scene.working(placed)
    if broker is not scene.broker:
        broker.close()
    scene.control.advance(seconds=switch.timeout_s_min + 5)
    assert not scene.done(placed).filled_quantity
