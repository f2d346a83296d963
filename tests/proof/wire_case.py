"""One case of the wire layer: an adapter's real SDK over its simulator, one fault, one verb, the real desk and ledger.

Every clock but the sockets' is the venue's own, so protocol times are those of production and pass at once.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from brokers.errors import BrokerError, DuplicateClientOrderId, NotSent, Refused
from brokers.factory import open_broker
from brokers.ids import Environment, InstrumentId
from brokers.types import OrderRequest, OrderSide, OrderType
from ledger.engine import Ledger
from ledger.states import IntentState
from tests.brokers.loopback import Loopback, start_loopback
from tests.egress import egress, hostile_environment
from tests.proof import wire_stops
from tests.proof.wire_faults import FEW, READS, Arm, End, Known, Verb, WireFault, ending, expected
from tests.proof.wire_ledger import empty_ledger
from tests.proof.wire_venues import Product, WireVenue
from tests.trading.simulated import VenueClock
from trading.orders import IntentView, OrderDesk, ProtocolLimits, WantedOrder
from trading.orders.identity import make_client_order_id
from trading.risk import RiskPolicy

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
DEADLINE_S, SHORT_DEADLINE_S = 4.0, 0.5  # of one request; production's is 10 s
SLACK_S = 1.5  # what a loaded machine may add to a call; production's bound leaves 0.5 s
DRIVE_S, QUIET_S = 3_000.0, 120
# Fewer looks than in production while nothing can be proved yet: each spoiled read is made all the same.
LIMITS = ProtocolLimits(query_every_s=5.0, query_every_s_max=30.0)
S = IntentState
_VERBS = frozenset(verb.value for verb in Verb)


@dataclass(frozen=True)
class Case:
    venue: WireVenue
    product: Product
    verb: Verb
    fault: WireFault

    @property
    def name(self) -> str:
        return f"{self.venue.name} {self.product.name} {self.verb.value}: {self.fault.name}"

    @property
    def has_permanent_ids(self) -> bool:
        return self.product.has_permanent_ids

    def targets(self, role: str) -> tuple[dict[str, str], ...]:
        """What a fault on each of the role's paths has to match."""
        return self.venue.targets(role, self.product)

    @property
    def wanted(self) -> Known | None:
        """What a call of the verb must prove; None where there is no such case."""
        own = (self.product.proves or self.venue.proves)(self.fault, self.verb)
        if own is ...:
            return expected(self.fault, self.verb, has_permanent_ids=self.product.holds_ids)
        return own  # type: ignore[return-value]

    @property
    def deadline_s(self) -> float:
        return SHORT_DEADLINE_S if self.fault.hangs else DEADLINE_S


@dataclass
class Call:
    """One call of the verb under test, as seen from outside of the adapter."""

    verb: Verb
    known: Known
    error: str
    seconds: float
    requests: int  # with the verb's own paths, counted by the simulator
    orders: int  # with the order verb, counted by the simulator
    is_faulted: bool


class Watched:
    """The adapter with a stop-watch and the simulator's counters around each call of a verb."""

    def __init__(self, broker: Any, sim: Any, case: Case) -> None:
        self._broker, self._sim, self._case = broker, sim, case
        self.calls: list[Call] = []
        self.main_faults: set[str] = set()
        self.around: dict[Verb, Callable[[], Any]] = {}  # a context entered around the next call of the verb, once
        self.after_place: Callable[[], None] | None = None

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._broker, name)
        return self._watch(Verb(name), found) if name in _VERBS else found

    def _watch(self, verb: Verb, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **options: Any) -> Any:
            number = self._sim.control.health()["requests"]
            around = self.around.pop(verb, None)
            started = time.monotonic()
            known, error = Known.ANSWERED, ""
            try:
                with around() if around else ExitStack():
                    return call(*args, **options)
            except BaseException as raised:
                known, error = known_of(raised), f"{type(raised).__name__}: {raised}"[:200]
                raise
            finally:
                seconds = time.monotonic() - started
                self._note(verb, known, error, seconds, number, is_refused=around is self._sim.refusing_connections)
                if verb is Verb.PLACE and self.after_place is not None:
                    then, self.after_place = self.after_place, None
                    then()

        return watched

    def _note(self, verb: Verb, known: Known, error: str, seconds: float, number: int, *, is_refused: bool) -> None:
        requests = self._sim.control.requests(since=number)
        venue, product = self._case.venue, self._case.product
        own = [
            r
            for r in requests
            if venue.covers(verb, r.path, r.method, product=product) and (verb in READS or r.method != "GET")
        ]
        orders = [r for r in requests if r.path in venue.order_paths and r.method == "POST"]
        faulted = is_refused or any(set(request.faults) & self.main_faults for request in requests)
        self.calls.append(Call(verb, known, error, seconds, len(own), len(orders), faulted))


def known_of(error: BaseException) -> Known:
    """The certainty of an error; what is not a BrokerError proves nothing (and is a finding of its own)."""
    if isinstance(error, DuplicateClientOrderId):
        return Known.EXISTS
    if isinstance(error, Refused):
        return Known.REFUSED
    return Known.NOT_SENT if isinstance(error, NotSent) else Known.UNKNOWN


@dataclass
class Played:
    """A case that came to rest, with everything the oracle looks at."""

    case: Case
    sim: Any
    ledger: Ledger
    believed: IntentState  # before anybody looked again
    view: IntentView
    calls: list[Call]
    decoy: Loopback
    egress: list[str]
    sightings: Any
    unread: str
    fired: int
    end: End
    placed_by_others: int = 0  # order requests that the harness itself sent
    mid_sightings: Any = ()  # of a sweep in the moment of a trigger
    is_in_time: bool = True  # whether the price moved in its moment


class Stage:
    """What a case plays on: a fresh venue, a fresh ledger, one process's view of the account."""

    def __init__(self, case: Case, sim: Any, stack: ExitStack) -> None:
        self.case, self.sim = case, sim
        self.clock = VenueClock(START)
        self.clock.sim = sim
        self.ledger = stack.enter_context(empty_ledger(case.venue.account_id.environment, self.clock))
        self._stack = stack
        self.watched, self.desk = self.open_desk("worker-1")
        self.all_ids: list[str] = []
        self.placed_by_others = 0
        self.mid_sightings: Any = ()
        self.moment: wire_stops.Moment | None = None

    def open_desk(self, worker: str) -> tuple[Watched, OrderDesk]:
        """A process's own adapter and desk over the same venue and ledger."""
        case = self.case
        broker = self._stack.enter_context(
            open_broker(case.venue.configure(self.sim.url, case.deadline_s), clock=self.clock)
        )
        watched = Watched(broker, self.sim, case)
        policy = RiskPolicy.for_environment(Environment.SIMULATED)
        desk = OrderDesk(
            ledger=self.ledger,
            broker=watched,  # type: ignore[arg-type]
            clock=self.clock,
            policy=policy,
            worker=worker,
            limits=replace(LIMITS, answer_timeout_s=case.deadline_s),
        )
        return watched, desk

    def wanted(self, *, resting: bool = False) -> WantedOrder:
        product = self.case.product
        request = wire_stops.request(product, self.case.fault) or OrderRequest(
            instrument_id=product.instrument_id,
            side=OrderSide.BUY,
            order_type=OrderType.LIMIT if resting else OrderType.MARKET,
            quantity=Decimal(product.quantity),
            limit_price=Decimal(product.crossing if self.case.fault.before == "partly" else product.resting)
            if resting
            else None,
        )
        reference = self.watched.quotes([InstrumentId(product.instrument_id.value)])[0]
        return WantedOrder(self.case.venue.account_id, "wire", "proof", request, reference, self.case.fault.ttl_s)

    def arm(self, arm: Arm, *, decoy: Loopback) -> None:
        fields = dict(arm.fields)
        if arm.code:
            code = self.case.product.codes[arm.code]
            fields |= {"code": code} if isinstance(code, int) else {"code": code[0], "message": code[1]}
        if fields.get("location") == "decoy":
            fields["location"] = f"{decoy.url}/elsewhere"
        role = self.case.verb.value if arm.role == "verb" else arm.role
        for target in self.case.targets(role):
            armed = self.sim.control.fault(arm.kind, **target, times=arm.times or None, **fields)
            self.all_ids.append(armed)
            if arm.is_main:
                self.watched.main_faults.add(armed)

    def arm_all(self, decoy: Loopback) -> None:
        for arm in self.case.fault.arms:
            self.arm(arm, decoy=decoy)


# -- playing ----------------------------------------------------------------------------------------------------
@contextmanager
def played(case: Case, *, seed: int) -> Iterator[Played]:
    """Play a case to its end and let time go on until nothing more can happen."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="wire-case-")))
        decoy, listener = start_loopback()
        stack.callback(listener.close)
        stack.callback(decoy.stop.set)
        sim = stack.enter_context(case.venue.start(START))
        stack.enter_context(hostile_environment(decoy.url, directory))
        stage = Stage(case, sim, stack)
        if seed:
            noise = random.Random(f"{seed} {case.name}").choice(("", "find_order", "positions", "fills"))
            for target in case.targets(noise) if noise else ():
                noisy = {**target, "method": "GET"}
                sim.control.fault("status", **noisy, times=None, probability=0.05, status=503)
        with egress().recording() as seen:
            view, end = _PLAYS.get(case.verb, _play_read)(stage, decoy)
            result = _at_rest(stage, view, end, decoy, seen)
        yield result


def _play_place(stage: Stage, decoy: Loopback) -> tuple[IntentView, End]:
    fault = stage.case.fault
    if fault.arms_before_start:
        stage.arm_all(decoy)
    wanted = stage.wanted()
    PREPARED.get(fault.before, _nothing)(stage, wanted)
    if not fault.arms_before_start:
        stage.arm_all(decoy)
    wire_stops.expect_moment(stage)
    view = stage.desk.submit(wanted)
    if fault.withdrawn:
        stage.desk.advance(view.intent_id)
        stage.desk.cancel(view.intent_id, reason="proof")
    view = _to_its_end(stage, view)
    if fault.withdrawn and not fault.rests:
        return view, wire_stops.raced(stage)
    end = stage.case.venue.ends(fault, Verb.PLACE)
    return view, end or ending(fault, has_permanent_ids=stage.case.product.holds_ids)


def _to_its_end(stage: Stage, view: IntentView) -> IntentView:
    """Drive the order until it is over; a stop through its trigger."""
    if stage.case.product.stop is not None and not stage.case.fault.withdrawn:
        return wire_stops.through(stage, view)
    return stage.desk.drive([view.intent_id], timeout_s=DRIVE_S)[0]


def _play_cancel(stage: Stage, decoy: Loopback) -> tuple[IntentView, End]:
    """A resting order that is taken back."""
    is_partly = stage.case.fault.before == "partly"
    if is_partly:
        for target in stage.case.targets(Verb.PLACE):
            stage.sim.control.fault("partial_fill", **target, ratio="0.5")
    view = stage.desk.submit(stage.wanted(resting=True))
    (view,) = stage.desk.drive([view.intent_id], timeout_s=2.0)
    if is_partly and stage.case.product.stop is not None:
        wire_stops.price_goes(stage, stage.case.product.stop.beyond)
        (view,) = stage.desk.drive([view.intent_id], timeout_s=60.0, until=lambda one: one.filled_quantity > 0)
    rests = S.PARTIALLY_FILLED if is_partly else S.WORKING
    assert view.state is rests, f"the order must rest before it is cancelled, was {view.state} {view.reason}"
    PREPARED.get(stage.case.fault.before, _nothing)(stage, None)
    stage.arm_all(decoy)
    wire_stops.expect_moment(stage)
    stage.desk.cancel(view.intent_id, reason="proof")
    (view,) = stage.desk.drive([view.intent_id], timeout_s=DRIVE_S)
    return view, wire_stops.raced(stage) if stage.case.fault.of_stops else End.CANCELLED


def _play_read(stage: Stage, decoy: Loopback) -> tuple[IntentView, End]:
    """An order whose outcome is unknown and must be found out by spoiled reads; where the protocol has no need of
    that read, it is made once by itself."""
    case = stage.case
    if case.fault.before == "sweep":
        return wire_stops.play_sweep(stage)
    if case.verb in wire_stops.LISTS and not wire_stops.is_turn(case.product, case.fault):
        return wire_stops.play_list(stage, decoy)
    needs_ladder = case.verb in (Verb.OPEN_ORDERS, Verb.ORDER_HISTORY, Verb.POSITIONS)
    is_placed = not needs_ladder
    for target in case.targets(Verb.PLACE):
        stage.sim.control.fault("execute_then_drop" if is_placed else "drop", **target)
    wanted = stage.wanted()
    prepare = PREPARED.get(case.fault.before, _nothing)

    @contextmanager
    def armed() -> Iterator[None]:
        stage.arm_all(decoy)
        yield

    def spoil() -> None:
        prepare(stage, wanted)
        if not case.fault.before and not _looks_by_its_id(case):
            # As the verb is called, because other verbs share its paths.
            stage.watched.around[case.verb] = armed

    stage.watched.after_place = spoil
    view = stage.desk.submit(wanted)
    if needs_ladder and case.has_permanent_ids:  # otherwise the same id is simply sent again
        view = stage.desk.advance(view.intent_id)
        stage.desk.cancel(view.intent_id, reason="proof")
    view = _to_its_end(stage, view)
    if _looks_by_its_id(case):
        stage.clock.wait(15.0)  # looks at single orders share what was read some seconds ago
        stage.arm_all(decoy)
    if not any(call.verb is case.verb and call.is_faulted for call in stage.watched.calls):
        read_once(stage, view)
    usual = End.EXPIRED if needs_ladder and case.has_permanent_ids else End.FILLED
    return view, case.venue.ends(case.fault, case.verb) or usual


def _looks_by_its_id(case: Case) -> bool:
    """Whether single orders are found by the venue's id alone: by then nothing depends on the look any more."""
    return case.verb is Verb.FIND_ORDER and not case.venue.shows_our_ids


def read_once(stage: Stage, view: IntentView) -> None:
    now = stage.clock.now()
    window = {"since": now - timedelta(hours=1), "until": now + timedelta(seconds=1)}
    arguments: dict[Verb, dict[str, Any]] = {
        Verb.FIND_ORDER: {
            "instrument_id": stage.case.product.instrument_id,
            **(
                {"client_order_id": _first_id(stage, stage.wanted())}
                if stage.case.venue.shows_our_ids
                else {"venue_order_id": view.venue_order_id}
            ),
        },
        Verb.ORDER_HISTORY: window,
        Verb.FILLS: window,
    }
    with suppress(BrokerError):  # the watch has noted it; the oracle judges it
        getattr(stage.watched, stage.case.verb.value)(**arguments.get(stage.case.verb, {}))


def _first_id(stage: Stage, wanted: WantedOrder) -> Any:
    return make_client_order_id(
        wanted.intent_id,
        attempt=1,
        tag=stage.ledger.installation_tag,
        is_production=False,
        identity=stage.watched.identity(stage.case.product.instrument_id),
    )


# -- what the harness itself does -------------------------------------------------------------------------------
def _nothing(stage: Stage, wanted: WantedOrder | None) -> None:
    pass


def _refuse(stage: Stage, wanted: WantedOrder | None) -> None:
    stage.watched.around[stage.case.verb] = stage.sim.refusing_connections


def _foreign(stage: Stage, wanted: WantedOrder | None, *, quantity: Decimal) -> None:
    assert wanted is not None
    product = stage.case.product
    if product.stop is not None:
        wire_stops.place_before(stage, wanted, _first_id(stage, wanted), quantity=quantity)
        return
    stage.sim.control.place_order(
        account=stage.case.venue.owner,
        symbol=product.symbol,
        kind=product.kind,
        side="buy",
        qty=str(quantity),
        client_id=str(_first_id(stage, wanted)),
    )


def _same(stage: Stage, wanted: WantedOrder | None) -> None:
    _foreign(stage, wanted, quantity=Decimal(stage.case.product.quantity))


def _other(stage: Stage, wanted: WantedOrder | None) -> None:
    _foreign(stage, wanted, quantity=2 * Decimal(stage.case.product.quantity))


def _crowd(stage: Stage, wanted: WantedOrder | None) -> None:
    """More than one page of other orders, open and done."""
    product = stage.case.product
    if product.stop is not None:
        wire_stops.crowd(stage, product.stop)
    for number in range(60):
        price = {} if number % 2 else {"price": product.resting}
        stage.sim.control.place_order(
            account=stage.case.venue.owner,
            symbol=product.symbol,
            kind=product.kind,
            side="buy",
            qty=product.quantity,
            client_id=f"crowd-{number}",
            **price,
        )


def _levels(stage: Stage, wanted: WantedOrder | None) -> None:
    product = stage.case.product
    stage.sim.control.set_liquidity(symbol=product.symbol, level_notional=product.level_notional, levels=5)


PREPARED = {
    "refuse": _refuse,
    "same": _same,
    "other": _other,
    "crowd": _crowd,
    "levels": _levels,
    "trigger": lambda stage, wanted: wire_stops.other_trigger(stage, wanted, _first_id(stage, wanted)),
    "copies": lambda stage, wanted: wire_stops.fill_first_copy(stage),
}
_PLAYS = {Verb.PLACE: _play_place, Verb.CANCEL: _play_cancel}


# -- coming to rest ---------------------------------------------------------------------------------------------
def _at_rest(stage: Stage, view: IntentView, end: End, decoy: Loopback, seen: list[str]) -> Played:
    """Let the venue do what it still may, then look at everything once more with a new process."""
    stage.sim.control.advance(seconds=QUIET_S)
    _wait_for_late_requests(stage)
    fired = sum(int(str(fault["fired"])) for fault in stage.sim.control.faults())
    fired += stage.case.fault.before not in ("", "levels", "partly")  # what the harness did itself
    fired += stage.moment is not None and stage.moment.is_over
    stage.sim.control.clear_faults()
    believed = view.state
    _, desk = stage.open_desk("worker-2")
    swept = desk.sweep()
    (view,) = desk.drive([view.intent_id], timeout_s=DRIVE_S) if not view.is_over else (view,)
    return Played(
        case=stage.case,
        sim=stage.sim,
        ledger=stage.ledger,
        believed=believed,
        view=desk.view(view.intent_id),
        calls=stage.watched.calls,
        decoy=decoy,
        egress=seen,
        sightings=swept.sightings,
        unread=swept.unread,
        fired=fired,
        end=end,
        placed_by_others=stage.placed_by_others,
        mid_sightings=stage.mid_sightings,
        is_in_time=stage.moment is None or stage.moment.is_over,
    )


def _wait_for_late_requests(stage: Stage) -> None:
    """Requests that the venue held back until its clock moved on."""
    if not any(arm.fields.get("before_venue_s") for arm in stage.case.fault.arms):
        return
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        held = [r for r in stage.sim.control.requests() if set(r.faults) & stage.watched.main_faults and not r.handled]
        if not held:
            return
        threading.Event().wait(0.005)


def is_case(venue: WireVenue, product: Product, verb: Verb, fault: WireFault) -> bool:
    stop = product.stop
    if stop is None:
        return not fault.of_stops and Case(venue, product, verb, fault).wanted is not None
    if stop.of_few and fault.name not in FEW.get(verb, frozenset()):
        return False
    if verb is Verb.FILLS and not (stop.of_few or wire_stops.is_turn(product, fault)):
        return False
    is_known = verb is not Verb.POSITIONS and fault.name not in wire_stops.AS_OTHERS
    return is_known and Case(venue, product, verb, fault).wanted is not None
