"""Seeded histories: one intent, a hostile venue, crashes and zombies, the real desk on a real ledger, virtual time.

After each history time runs on until nothing changes, then the venue's truth is compared with the ledger.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from sqlmodel import select

from brokers.clock import ManualClock
from brokers.errors import BrokerError, OutcomeUnknown
from brokers.ids import AccountId, ClientOrderId, Environment, Venue
from brokers.types import OrderRequest, OrderSide, OrderStatus, OrderType
from brokers.wire import SendTicket
from ledger.checks import check_intents, check_sends
from ledger.engine import Ledger
from ledger.records import fills_of_intent
from ledger.states import IntentState
from ledger.tables import OrderAttempt
from tests.trading.orders.modelled import BTC, CLASSES, WEIGHTS, ModelVenue, quote
from trading.orders.crash import CRASH_POINTS, crash_hook
from trading.orders.desk import OrderDesk
from trading.orders.intents import IntentView, WantedOrder
from trading.orders.protocol import ProtocolLimits
from trading.risk import RiskPolicy

NOT_PLACED = (IntentState.REFUSED, IntentState.EXPIRED, IntentState.DENIED, IntentState.WITHDRAWN)
POLICY = RiskPolicy.for_environment(Environment.SIMULATED)
LIMITS = ProtocolLimits(track_s_min=1.0, track_s_max=20.0)  # fewer looks at a live order: time is spent on the rest
MARKET = OrderRequest(instrument_id=BTC, side=OrderSide.BUY, order_type=OrderType.MARKET, quantity=Decimal("0.01"))
CRASHING = [name for name in CRASH_POINTS if name != "C24"]


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Result:
    """What became of one history."""

    seed: int
    view: IntentView | None
    placed: int
    problems: list[str] = field(default_factory=list)


@dataclass
class Tally:
    histories: int = 0
    duplicates: int = 0
    orphans: int = 0
    states: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def add(self, result: Result) -> None:
        self.histories += 1
        self.duplicates += result.placed > 1
        state = result.view.state if result.view else None
        self.states[str(state)] += 1
        self.orphans += bool(result.placed and state in NOT_PLACED)
        self.problems += [f"seed {result.seed}: {problem}" for problem in result.problems]


def hostile_venue(clock: ManualClock, *, kind: str, seed: int, name: str) -> ModelVenue:
    return ModelVenue(
        clock,
        order_identity=CLASSES[kind],
        seed=seed,
        name=name,
        weights=WEIGHTS,
        stale_s_max=30.0,
        read_fails=0.05,
    )


def run_history(ledger: Ledger, clock: ManualClock, *, kind: str, seed: int) -> Result:
    """One intent through the real desk."""
    rng = random.Random(f"{kind} {seed}")
    name = f"h{list(CLASSES).index(kind)}-{seed}"
    venue = hostile_venue(clock, kind=kind, seed=seed, name=name)
    history = _History(ledger, clock, venue, rng)
    wanted = WantedOrder(venue.account_id, f"history {name}", "history", MARKET, quote(venue), ttl_s=120.0)
    view = history.play(wanted)
    placed = [order for order in venue.orders if order.status is not OrderStatus.REJECTED]
    result = Result(seed, view, len(placed))
    result.problems = list(_problems(ledger, venue, view, len(placed)))
    return result


class _History:
    def __init__(self, ledger: Ledger, clock: ManualClock, venue: ModelVenue, rng: random.Random) -> None:
        self.ledger, self.clock, self.venue, self.rng = ledger, clock, venue, rng
        self.workers = 0
        self.intent_id = ""
        self.crash_at = rng.choice(CRASHING) if rng.random() < 0.4 else ""
        self.zombie_at = rng.choice(["C07", "C09", "C10", "paused"]) if rng.random() < 0.05 else ""
        self.is_nested = False
        venue.at_point = self.at_point

    def desk(self) -> OrderDesk:
        self.workers += 1
        return OrderDesk(
            ledger=self.ledger,
            broker=self.venue,
            clock=self.clock,
            policy=POLICY,
            worker=f"w{self.workers}",
            limits=LIMITS,
        )

    def play(self, wanted: WantedOrder) -> IntentView:
        self.intent_id = str(wanted.intent_id)
        with crash_hook(self.at_point):
            desk = self.desk()
            for _ in range(6):
                try:
                    desk.submit(wanted)
                    desk.drive([self.intent_id], timeout_s=400)
                    break
                except Killed:
                    self.clock.wait(self.rng.uniform(0, 20))
                    desk = self.desk()
        desk.drive([self.intent_id], timeout_s=400)
        return self.quiesce(desk)

    def quiesce(self, desk: OrderDesk) -> IntentView:
        """Let everything late arrive, then look once more."""
        for _ in range(2):
            self.clock.wait(70)
            desk.sweep()
            desk.drive([self.intent_id], timeout_s=100)
        return desk.view(self.intent_id)

    def at_point(self, name: str) -> None:
        if self.is_nested:
            return
        if name == self.crash_at:
            self.crash_at = ""
            raise Killed(name)
        if name == self.zombie_at:
            self.zombie_at = ""
            self._pause()

    def _pause(self) -> None:
        """This worker stops for a while; another one takes over meanwhile; then this one goes on."""
        self.is_nested = True
        other, until = self.desk(), self.clock.monotonic() + self.rng.uniform(20, 120)
        while self.clock.monotonic() < until:
            self.clock.wait(2.5)
            other.advance(self.intent_id)
        self.is_nested = False


def _problems(ledger: Ledger, venue: ModelVenue, view: IntentView, placed: int) -> list[str]:
    found = []
    if not view.is_over:
        found.append(f"not over: {view.state} {view.reason}")
    if placed > 1:
        found.append(f"{placed} orders at the venue, {view.state}")
    if placed and view.state in NOT_PLACED:
        found.append(f"lives at the venue, called {view.state} {view.reason}")
    if not placed and view.state in (IntentState.FILLED, IntentState.ADOPTED_LATE):
        found.append(f"not at the venue, called {view.state}")
    with ledger.read() as session:
        recorded = {fill.trade_id: fill.quantity for fill in fills_of_intent(session, str(view.intent_id))}
        found += check_intents(session, venue.account_id)
        attempts = session.exec(select(OrderAttempt).where(OrderAttempt.intent_id == str(view.intent_id))).all()
    if view.state is IntentState.FILLED:
        truth = {str(fill.trade_id): fill.quantity for order in venue.orders for fill in order.fills}
        if truth != recorded:
            found.append(f"fills differ: venue {truth}, ledger {recorded}")
    ids = {attempt.client_order_id for attempt in attempts}
    strange = [o.client_order_id for o in venue.orders if o.client_order_id and o.client_order_id not in ids]
    return found + [f"order {client_order_id} has no attempt" for client_order_id in strange]


def ledger_findings(ledger: Ledger) -> tuple[str, ...]:
    with ledger.read() as session:
        return check_sends(session)


# -- what others do, on the same venue --------------------------------------------------------------------------
Policy = Callable[[ModelVenue, ManualClock], IntentState]


def run_baseline(clock: ManualClock, policy: Policy, *, kind: str, seed: int) -> tuple[IntentState, int]:
    """The same venue and faults under a common rule; the local state and the orders at the venue in the end."""
    venue = hostile_venue(clock, kind=kind, seed=seed, name="baseline")
    venue.account_id = AccountId(Venue.BYBIT, Environment.SIMULATED, "baseline")
    state = policy(venue, clock)
    clock.wait(200)
    venue.settle()
    return state, sum(order.status is not OrderStatus.REJECTED for order in venue.orders)


def _place(venue: ModelVenue, clock: ManualClock, client_order_id: str) -> None:
    prepared = venue.prepare_order(MARKET, ClientOrderId(client_order_id))
    ticket = SendTicket("baseline", venue.now().replace(year=2100), clock.monotonic() + 1, 10.0)
    venue.place(prepared, ticket)


def retry_with_fresh_id(venue: ModelVenue, clock: ManualClock) -> IntentState:
    """A retried task: three tries, a new id each."""
    return _retry(venue, clock, lambda attempt: f"id-{attempt}")


def retry_with_same_id(venue: ModelVenue, clock: ManualClock) -> IntentState:
    """A retried task with one persistent id."""
    return _retry(venue, clock, lambda attempt: "id")


def _retry(venue: ModelVenue, clock: ManualClock, make_id: Callable[[int], str]) -> IntentState:
    for attempt in range(3):
        try:
            _place(venue, clock, make_id(attempt))
        except (BrokerError, KeyError):
            clock.wait(2)
        else:
            return IntentState.FILLED
    return IntentState.REFUSED


def fail_on_exception(venue: ModelVenue, clock: ManualClock) -> IntentState:
    """Any exception means: it failed."""
    try:
        _place(venue, clock, "id")
    except (BrokerError, KeyError):
        return IntentState.REFUSED
    return IntentState.FILLED


def query_then_reject(venue: ModelVenue, clock: ManualClock) -> IntentState:
    """An unanswered order is looked for five times, two seconds apart, then called rejected."""
    try:
        _place(venue, clock, "id")
    except (OutcomeUnknown, KeyError):
        for _ in range(5):
            clock.wait(2)
            try:
                if venue.find_order(instrument_id=BTC, client_order_id=ClientOrderId("id")) is not None:
                    return IntentState.FILLED
            except BrokerError:
                continue
        return IntentState.REFUSED
    except BrokerError:
        return IntentState.REFUSED
    return IntentState.FILLED
