"""Wire faults: a choice of the wire proof's table, at the adapter alone; and one whole case of the proof itself.

The proof's layer (`make prove`, tests/proof/wire_layer.py) plays every fault × verb × product down to the ledger. Here
each card arms the same row and asks what one call proves, and whether the order exists as the venue says.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from decimal import Decimal
from typing import Any

from brokers.errors import BrokerError
from tests.brokers.loopback import start_loopback
from tests.conformance.capability import Capability as C
from tests.conformance.card import Proof, Where, card
from tests.conformance.scene import Scene
from tests.proof.wire_case import Case, known_of
from tests.proof.wire_faults import FAULTS, Known, Verb, WireFault

_BY_NAME = {fault.name: fault for fault in FAULTS}
PLACE_UNDER = (
    "no connection",
    "request dropped",
    "connection reset, not executed",
    "reset in the request's head",
    "reset in the request's body",
    "executed, answer dropped",
    "executed, reset in the answer's head",
    "executed, answer too late",
    "slow trickle of the answer",
    "HTTP 503",
    "executed, HTTP 503",
    "executed, HTTP 429",
    "HTTP 307",
    "executed, HTTP 307",
    "executed, invalid JSON",
    "executed, HTML with 200",
    "truncated JSON",
    "empty body",
    "huge body",
    "wrong content type",
    "clock code",
    "request duplicated on the wire",
)
CANCEL_UNDER = ("no connection", "executed, answer dropped", "executed, HTTP 503", "invalid JSON", "HTTP 302")
READ_UNDER = ("no connection", "request dropped", "HTTP 500", "truncated JSON", "HTML with 200", "rows twice")
NO_ORDER = (Known.NOT_SENT, Known.REFUSED)


def arm(scene: Scene, fault: WireFault, verb: Verb, stack: ExitStack) -> None:
    """Arm the rows of the fault at the simulator; redirects lead to a decoy that must not hear from us."""
    if fault.before == "refuse":
        stack.enter_context(scene.sim.refusing_connections())
    for one in fault.arms:
        fields: dict[str, Any] = dict(one.fields)
        if one.code:
            code = scene.product.codes[one.code]
            fields |= {"code": code} if isinstance(code, int) else {"code": code[0], "message": code[1]}
        if fields.get("location") == "decoy":
            decoy, listener = start_loopback()
            stack.enter_context(closing(listener))
            stack.callback(decoy.stop.set)
            fields["location"] = f"{decoy.url}/elsewhere"
            stack.callback(_heard_nothing, decoy)
        scene.fault(one.kind, verb if one.role == "verb" else one.role, times=one.times or None, **fields)


def _heard_nothing(decoy: Any) -> None:
    assert decoy.requests == [], "a redirect was followed"


def proves(scene: Scene, fault: WireFault, verb: Verb, call: Any) -> Known | None:
    """What the call proves must be what the table, or the venue's own row, says; that is given back."""
    wanted = Case(scene.venue.wire, scene.product, verb, fault).wanted
    with ExitStack() as stack:
        arm(scene, fault, verb, stack)
        try:
            call()
            known = Known.ANSWERED
        except BrokerError as error:
            known = known_of(error)
    assert wanted in (None, known), f"must prove: {wanted}, proved: {known}"
    return wanted


def _placing(number: int, fault: WireFault) -> None:
    @card(
        f"FAULT-PLACE-{number:02d}",
        C.WIRE_FAULTS,
        given=f"a venue where this happens to an order: {fault.name}",
        does="place it, once",
        expects="what the wire table says is proved, at most one order request, and never an order that it denies",
        levers=True,
    )
    def play(scene: Scene) -> None:
        timeout_s = 0.4 if fault.hangs else 2.0
        prepared = scene.broker.prepare_order(scene.request(), scene.new_id())
        scene.broker.clock_reading()
        before = scene.request_count
        wanted = proves(scene, fault, Verb.PLACE, lambda: scene.send(prepared, scene.ticket(timeout_s=timeout_s)))
        assert scene.orders_sent_since(before) <= 1, "an order is never sent twice"
        copies = 2 if any(one.kind == "duplicate" for one in fault.arms) else 1
        assert len(scene.control.orders(scene.owner)) <= (0 if wanted in NO_ORDER else copies)


def _cancelling(number: int, fault: WireFault) -> None:
    @card(
        f"FAULT-CANCEL-{number:02d}",
        C.WIRE_FAULTS,
        given=f"a venue where this happens to a cancel: {fault.name}",
        does="cancel an order that waits, then cancel it again without the fault",
        expects="what the wire table says is proved; in the end the order is over, with nothing filled",
        levers=True,
    )
    def play(scene: Scene) -> None:
        placed = scene.rest()
        scene.working(placed)
        proves(scene, fault, Verb.CANCEL, lambda: scene.cancel(placed))
        scene.control.clear_faults()
        if scene.truth(placed).is_open:
            scene.cancel(placed)
        assert scene.done(placed).filled_quantity == Decimal(0)


def _reading(number: int, fault: WireFault) -> None:
    @card(
        f"FAULT-READ-{number:02d}",
        C.WIRE_FAULTS,
        given=f"a venue where this happens to a read: {fault.name}",
        does="read open orders and positions, then again without the fault",
        expects="what the wire table says is proved; never an empty list made of a failed read; then the truth",
        levers=True,
    )
    def play(scene: Scene) -> None:
        placed = scene.rest()
        scene.working(placed)
        for verb, read in ((Verb.OPEN_ORDERS, scene.broker.open_orders), (Verb.POSITIONS, scene.broker.positions)):
            proves(scene, fault, verb, read)
            scene.control.clear_faults()
        assert [order.venue_order_id for order in scene.broker.open_orders()] == [placed.venue_order_id]


for _number, _name in enumerate(PLACE_UNDER, start=1):
    _placing(_number, _BY_NAME[_name])
for _number, _name in enumerate(CANCEL_UNDER, start=1):
    _cancelling(_number, _BY_NAME[_name])
for _number, _name in enumerate(READ_UNDER, start=1):
    _reading(_number, _BY_NAME[_name])


@card(
    "FAULT-LAYER-01",
    C.WIRE_FAULTS,
    given="the wire layer of the safety proof, which plays every fault down to the ledger",
    does="play one of its cases: an order whose answer is lost",
    expects="one order, the ledger equals the venue, nothing stuck; `make prove` plays all of them",
    where=Where.ACCOUNT,
    levers=True,
    proof=Proof.WIRE,
)
def one_case_of_the_layer(scene: Scene) -> None:
    from tests.proof import wire_layer

    own = [case for case in wire_layer.cases() if case.venue.name == scene.venue.name]
    lost = f"{scene.venue.name} {scene.product.name} place: executed, answer dropped"
    assert lost in {case.name for case in own}
    assert wire_layer.judged(lost, 0).findings == ()
    scene.notes["count"] = len(own)
