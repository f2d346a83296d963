"""What the wire layer does with stop orders: their terms, the price that goes through their trigger, and when.

A stop waits, triggers, and is filled or rests. The price moves where a case says so: before the venue handles the so
manieth request that reaches it after the order, or from a cancel or a sweep on, so that every gap between two requests
of a look, a cancel and a list is met. In all other cases it moves when the ledger holds the stop for waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from brokers.types import OrderRequest, OrderSide, OrderType
from brokers.wire import SendTicket
from ledger.states import IntentState
from simulators.core import types as venue_side
from tests.proof.wire_faults import FAULTS, STOP_FAULTS, End, Verb, WireFault
from tests.proof.wire_venues import Product, Stop
from trading.orders import IntentView, WantedOrder

if TYPE_CHECKING:
    from brokers.ids import ClientOrderId
    from tests.proof.wire_case import Stage

# Nothing of these faults is a stop's own: its fills come long after the acknowledgement.
AS_OTHERS = frozenset({"fills before the acknowledgement"})
DRIVE_S, REST_S = 3_000.0, 60.0
_VALID = timedelta(seconds=4)
CROWD = 60  # of each of two seconds: together more than a page of any list of stops
LISTS = frozenset({Verb.OPEN_ORDERS, Verb.ORDER_HISTORY})
S = IntentState
_LIKE_OTHERS = 8
_ROWS = tuple(fault.name for fault in (*FAULTS, *STOP_FAULTS))


def request(product: Product, fault: WireFault) -> OrderRequest | None:
    """The terms of the case's stop; None where its orders are none."""
    stop = product.stop
    if stop is None:
        return None
    limit = {"": None, "rests": stop.rests_at, "partly": product.crossing}[
        "rests" if fault.rests else "partly" if fault.before == "partly" else ""
    ]
    return OrderRequest(
        instrument_id=product.instrument_id,
        side=OrderSide.BUY,
        order_type=OrderType.STOP_MARKET if limit is None else OrderType.STOP_LIMIT,
        quantity=Decimal(product.quantity),
        limit_price=None if limit is None else Decimal(limit),
        trigger_price=Decimal(stop.trigger),
    )


# -- the price --------------------------------------------------------------------------------------------------
def price_goes(stage: Stage, price: str) -> None:
    stage.sim.control.set_price(symbol=stage.case.product.symbol, price=price)


def through(stage: Stage, view: IntentView) -> IntentView:
    """Follow the stop until it waits, let the price go through its trigger, and follow it to its end."""
    stop = stage.case.product.stop
    assert stop is not None
    (view,) = stage.desk.drive([view.intent_id], timeout_s=DRIVE_S, until=lambda one: one.state in _LIVES)
    if view.is_over:
        return view
    if stage.moment is None:
        price_goes(stage, stop.beyond)
    if stage.case.fault.rests:
        (view,) = stage.desk.drive([view.intent_id], timeout_s=REST_S)
        price_goes(stage, stop.back)
    return stage.desk.drive([view.intent_id], timeout_s=DRIVE_S)[0]


_LIVES = frozenset({S.WORKING, S.PARTIALLY_FILLED})


class Moment:
    """The price goes through the trigger before the venue handles the so manieth request; the first is number 0."""

    def __init__(self, sim: Any, at: int, *, begins: Callable[[Any], bool], act: Callable[[], None]) -> None:
        self.is_over = False
        self._left = at
        self._has_begun = False
        self._begins, self._act = begins, act
        self._receive = sim.simulator.receive
        sim.simulator.receive = self._watch

    def _watch(self, call: Any) -> Any:
        self._has_begun = self._has_begun or self._begins(call)
        if self._has_begun and not self.is_over:
            if not self._left:
                self.is_over = True
                self._act()
            self._left -= 1
        return self._receive(call)


def expect_moment(stage: Stage) -> None:
    """Where the case has a moment: count requests from that of its verb on, of a sweep from now on."""
    case, stop = stage.case, stage.case.product.stop
    if case.fault.at is None or stop is None:
        return

    def begins(call: Any) -> bool:
        return case.verb is Verb.OPEN_ORDERS or case.venue.covers(
            case.verb, call.path, call.method, product=case.product
        )

    stage.moment = Moment(stage.sim, case.fault.at, begins=begins, act=lambda: price_goes(stage, stop.beyond))


def raced(stage: Stage) -> End:
    """Who won, the trigger or the cancel, by the venue's truth: the ledger must say the same."""
    if stage.case.fault.rests:
        return End.CANCELLED
    is_filled = bool(stage.sim.control.executions(stage.case.venue.owner))
    return End.FILLED if is_filled else End.CANCELLED


def play_sweep(stage: Stage) -> tuple[IntentView, End]:
    """Another process compares all orders of the account while the stop triggers."""
    view = stage.desk.submit(stage.wanted())
    (view,) = stage.desk.drive([view.intent_id], timeout_s=DRIVE_S, until=lambda one: one.state in _LIVES)
    watched, other = stage.open_desk("worker-3")
    watched.quotes([stage.case.product.instrument_id])  # what a process reads once, it has read
    expect_moment(stage)
    stage.mid_sightings = other.sweep(advances=False).sightings
    return through(stage, view), End.FILLED


def is_turn(product: Product, fault: WireFault) -> bool:
    """Whether it is one of the faults whose play is that of ordinary orders; see `Stop.list_turn`."""
    return product.stop is None or (_ROWS.index(fault.name) // 2) % _LIKE_OTHERS == product.stop.list_turn


def play_list(stage: Stage, decoy: Any) -> tuple[IntentView, End]:
    """The list is read while the stop waits in it."""
    from tests.proof import wire_case

    view = stage.desk.submit(stage.wanted())
    (view,) = stage.desk.drive([view.intent_id], timeout_s=DRIVE_S, until=lambda one: one.state in _LIVES)
    wire_case.PREPARED.get(stage.case.fault.before, lambda stage, wanted: None)(stage, None)
    stage.arm_all(decoy)
    wire_case.read_once(stage, view)
    return through(stage, view), End.FILLED


# -- other orders -----------------------------------------------------------------------------------------------
def place_before(stage: Stage, wanted: WantedOrder, identity: ClientOrderId, *, quantity: Decimal) -> None:
    """A stop of these terms and this id is there before ours is sent."""
    _leave(stage, replace(wanted.request, quantity=quantity), identity)


def other_trigger(stage: Stage, wanted: WantedOrder, identity: ClientOrderId) -> None:
    """One that waits for another price."""
    assert wanted.request.trigger_price is not None
    price = (wanted.request.trigger_price * Decimal("1.01")).quantize(Decimal(1))
    _leave(stage, replace(wanted.request, trigger_price=price), identity)


def fill_first_copy(stage: Stage) -> None:
    """Of a request that arrives twice: the price goes through the trigger and back between the two."""
    case, simulator, stop = stage.case, stage.sim.simulator, stage.case.product.stop
    assert stop is not None
    execute, (target,) = simulator.execute, case.targets(Verb.PLACE)

    def watching(call: Any, *args: Any) -> Any:
        answer = execute(call, *args)
        if (call.method, call.path) == ("POST", target["path"]):
            simulator.execute = execute
            price_goes(stage, stop.beyond)
            price_goes(stage, stop.back)
        return answer

    simulator.execute = watching


def _leave(stage: Stage, terms: OrderRequest, identity: ClientOrderId) -> None:
    watched, _ = stage.open_desk("worker-0")
    prepared = watched.prepare_order(terms, identity)
    now = stage.clock.now()
    ticket = SendTicket(
        send_id="before",
        not_after=now + _VALID,
        send_by_monotonic_s=stage.clock.monotonic() + _VALID.total_seconds(),
        timeout_s=stage.case.deadline_s,
    )
    watched.place(prepared, ticket)
    stage.placed_by_others += 1


def crowd(stage: Stage, stop: Stop) -> None:
    """More than one page of stops of another hand, waiting and cancelled, which the price does not reach."""
    for second in range(2):
        stage.sim.control.advance(seconds=1)
        _more_stops(stage, stop, second)


def _more_stops(stage: Stage, stop: Stop, second: int) -> None:
    simulator, product = stage.sim.simulator, stage.case.product
    with simulator.lock:
        venue = simulator.venue
        account = venue.accounts[stage.case.venue.owner]
        for number in range(CROWD):
            placed = venue.place(
                account,
                venue_side.OrderRequest(
                    kind=venue_side.MarketKind(product.kind),
                    symbol=product.symbol,
                    side=venue_side.OrderSide.BUY,
                    order_type=venue_side.OrderType.MARKET,
                    qty=Decimal(product.quantity),
                    time_in_force=venue_side.TimeInForce.IOC,
                    client_id=f"stops-{second}-{number}",
                    trigger_price=Decimal(stop.trigger) * Decimal("1.02"),
                    trigger_direction=venue_side.TriggerDirection.RISE,
                ),
            )
            if number % 2:
                venue.cancel(account, placed.order_id)
