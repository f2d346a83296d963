"""Seeded histories: real desks on a real ledger in virtual time, a hostile venue, and everything that may go wrong.

After each history time runs on until nothing changes, then the oracle compares the venue's truth with the ledger.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from brokers.clock import ManualClock
from brokers.ids import Environment
from ledger.breaks import SeenBreak, record_breaks, record_run
from ledger.controls import set_control
from ledger.errors import LedgerError
from ledger.invariants import Finding, Invariant
from ledger.states import ControlState, IntentState, ReconciliationOutcome
from ledger.tables import OrderSend
from tests.proof.ledgers import HistoryLedger
from tests.proof.oracle import Verdict, judge, lived
from tests.proof.plans import Event, HistoryPlan, Planned, plan_of
from tests.proof.scheduler import Scheduler, WorkerClock
from tests.proof.venue import HistoryVenue
from tests.trading.orders.modelled import CLASSES, quote
from trading.orders.crash import crash_hook
from trading.orders.desk import OrderDesk
from trading.orders.intents import IntentView, UnknownIntent, WantedOrder
from trading.orders.protocol import ProtocolLimits
from trading.risk import RiskPolicy

NOT_PLACED = (IntentState.REFUSED, IntentState.EXPIRED, IntentState.DENIED, IntentState.WITHDRAWN)
POLICY = RiskPolicy.for_environment(Environment.SIMULATED)
# Fewer looks than in production, none of the bounds that prove anything: time is spent on more histories.
LIMITS = ProtocolLimits(track_s_min=4.0, track_s_max=60.0, query_every_s=5.0, query_every_s_max=30.0, wait_s=8.0)
TTL_S = 120.0
WORK_S = 130.0
DRIVE_S = 1_500.0  # longer than failing look-ups may go on
LIVES_MAX = 60  # a database may be gone for forty seconds, and a job tries again after one
Say = Callable[[str], None]


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Result:
    """What became of one history. `view` is the first order's, `placed` how many orders it really has."""

    kind: str
    seed: int
    views: list[IntentView]
    placed: int
    verdict: Verdict
    faults: Counter[str]
    kills: Counter[str]
    lost: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def view(self) -> IntentView | None:
        return self.views[0] if self.views else None


@dataclass
class Tally:
    """Sums over many histories."""

    histories: int = 0
    intents: int = 0
    duplicates: int = 0
    orphans: int = 0
    lost: int = 0
    stuck: int = 0
    to_person: int = 0
    doubled: int = 0
    states: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[str, int, Finding]] = field(default_factory=list)

    def add(self, result: Result) -> None:
        self.histories += 1
        self.intents += len(result.views)
        self.lost += result.lost
        self.states.update(str(view.state) for view in result.views)
        self.to_person += sum(view.state is IntentState.NEEDS_HUMAN for view in result.views)
        self.doubled += result.verdict.doubled
        self.faults += result.faults
        self.kills += result.kills
        broken = Counter(finding.invariant for finding in result.verdict.findings)
        self.duplicates += broken[Invariant.ONE_ORDER]
        self.orphans += broken[Invariant.NOT_PLACED_MEANS_NONE]
        self.stuck += broken[Invariant.ENDS]
        self.findings += [(result.kind, result.seed, finding) for finding in result.verdict.findings]

    def __iadd__(self, other: Tally) -> Tally:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)
        return self

    @property
    def problems(self) -> list[str]:
        return [f"{replay_command(kind, seed)}: {finding}" for kind, seed, finding in self.findings]


def replay_command(kind: str, seed: int) -> str:
    """The one command that plays a history again and shows it."""
    return f'python -m tests.proof --layer histories --kind "{kind}" --seed {seed} --trace'


def account_name(kind: str, seed: int) -> str:
    return f"h{list(CLASSES).index(kind)}-{seed}"


def run_history(ledger: HistoryLedger, clock: ManualClock, *, kind: str, seed: int, say: Say | None = None) -> Result:
    """Play one history in an account of its own and judge it."""
    plan = plan_of(kind, seed)
    history = History(ledger, clock, kind, seed, plan, say)
    views = history.play()
    with ledger.read() as session:
        verdict = judge(session, history.venue)
    lost = len(plan.orders) - len(views)
    if history.venue.doubled and not verdict.is_noticed and kind != "no id":
        detail = f"the wire made second orders {history.venue.doubled}, nothing was halted and nobody was asked"
        verdict = Verdict((*verdict.findings, Finding(Invariant.ONE_ORDER, detail)), verdict.doubled, False)
    placed = sum(map(lived, history.venue.orders)) - len(history.venue.doubled)
    result = Result(kind, seed, views, placed, verdict, history.faults, history.kills, lost)
    result.problems = [str(finding) for finding in verdict.findings]
    return result


class History:
    """One account, its venue, its workers."""

    def __init__(
        self, ledger: HistoryLedger, clock: ManualClock, kind: str, seed: int, plan: HistoryPlan, say: Say | None
    ) -> None:
        self.ledger, self.clock, self.plan = ledger, clock, plan
        self.rng = random.Random(f"history {kind} {seed}")
        self.scheduler = Scheduler(clock, self.rng)
        name = account_name(kind, seed)
        self.venue = HistoryVenue(
            WorkerClock(self.scheduler), kind=kind, seed=seed, name=name, weights=dict(plan.weights)
        )
        self.venue.at_point = self.at_point
        self.venue.is_committed = self._is_committed
        self.wanted = [
            WantedOrder(self.venue.account_id, f"{name} {number}", "history", request, None, ttl_s=TTL_S)
            for number, request in enumerate(plan.orders)
        ]
        self.clocks = [WorkerClock(self.scheduler) for _ in range(plan.workers)]
        self.crashes, self.zombies = list(plan.crashes), list(plan.zombies)
        self.gone, self.gone_until_s = plan.gone, float("-inf")
        self.lost_commits = dict(plan.lost_commits)
        self.commits = 0
        self.worker = 0  # whose turn it is
        self.names = 0
        self.faults: Counter[str] = self.venue.faults
        self.kills: Counter[str] = Counter()
        self._say = say

    # -- playing ------------------------------------------------------------------------------------------------
    def play(self) -> list[IntentView]:
        """Everything until rest; where each order stands."""
        self.say(f"plan: {self.plan}")
        if self.plan.outage is not None:
            start, end = (self.clock.now() + timedelta(seconds=s) for s in self.plan.outage)
            self.venue.outages.append((start, end))
        self.ledger.is_gone = lambda: self.clock.monotonic() < self.gone_until_s
        self.ledger.loses_answer = self._loses_answer
        for number in range(self.plan.workers):
            self.scheduler.spawn(partial(self._live, number), after_s=self.rng.uniform(0, 3) if number else 0.0)
        for planned in self.plan.events:
            self.scheduler.spawn(partial(self._happen, planned), after_s=planned.after_s)
        with crash_hook(self.at_point):
            self.scheduler.run()
        self.ledger.calm()
        self.venue.at_point = lambda name: None
        return self._rest()

    def desk(self, clock: WorkerClock) -> OrderDesk:
        self.names += 1
        return OrderDesk(
            ledger=self.ledger, broker=self.venue, clock=clock, policy=POLICY, worker=f"w{self.names}", limits=LIMITS
        )

    def _live(self, number: int) -> None:
        """One worker: it wants its share of the orders and sees all of them through; when it dies, it starts again."""
        clock = self.clocks[number]
        wants_all = self.rng.random() < 0.3
        mine = [w for i, w in enumerate(self.wanted) if wants_all or i % self.plan.workers == number]
        for _ in range(LIVES_MAX):
            desk = self.desk(clock)
            try:
                if number or self.names > self.plan.workers:
                    desk.sweep()
                for wanted in mine:
                    desk.submit(self._with_quote(wanted))
                desk.drive([wanted.intent_id for wanted in mine], timeout_s=WORK_S)
                return
            except Killed as death:
                self.say(f"{death} kills worker {number}")
                clock.wait(self.rng.uniform(0, 20))
            except (LedgerError, SQLAlchemyError) as error:
                self.faults[f"job failed by {type(error).__name__}"] += 1
                self.say(f"worker {number}: {type(error).__name__}: {error}")
                clock.wait(self.rng.uniform(1, 5))

    def _with_quote(self, wanted: WantedOrder) -> WantedOrder:
        return WantedOrder(
            wanted.account_id, wanted.business_key, wanted.source, wanted.request, quote(self.venue), ttl_s=wanted.ttl_s
        )

    def _rest(self) -> list[IntentView]:
        """Let everything late arrive, take back what still rests, and look twice more."""
        clock = WorkerClock(self.scheduler)
        desk = self.desk(clock)
        ids = [str(wanted.intent_id) for wanted in self.wanted]
        for is_last in (False, True):
            clock.wait(75)
            self.venue.is_calm = is_last
            desk = desk if not is_last else self.desk(clock)  # a new desk looks through the venue's history again
            desk.sweep()
            for view in self._views(desk, ids):
                if view.state.is_live_at_venue:
                    desk.cancel(view.intent_id, reason="the history ends")
            desk.drive([view.intent_id for view in self._views(desk, ids)], timeout_s=DRIVE_S)
        return self._views(desk, ids)

    def _views(self, desk: OrderDesk, ids: list[str]) -> list[IntentView]:
        found = []
        for intent_id in ids:
            try:
                found.append(desk.view(intent_id))
            except UnknownIntent:
                continue  # its worker never came to want it
        return found

    # -- what goes wrong ----------------------------------------------------------------------------------------
    def at_point(self, name: str) -> None:
        """A named point of the protocol: death, standing still, a lost database, or a change of turns."""
        self.say(f"{name}")
        if self.crashes and name == self.crashes[0]:
            self.crashes.pop(0)
            self.kills[name] += 1
            raise Killed(name)
        if self.ledger.is_busy:
            return
        if self.gone is not None and name == self.gone[0]:
            self.faults["database gone"] += 1
            self.gone_until_s, self.gone = self.clock.monotonic() + self.gone[1], None
        if self.zombies and name == self.zombies[0]:
            self.zombies.pop(0)
            self.faults["worker stood still"] += 1
            self.scheduler.sleep(self.rng.uniform(20, 120))
        elif self.plan.switching and self.rng.random() < self.plan.switching:
            self.scheduler.sleep(self.rng.choice([0.0, self.rng.uniform(0, 0.2), self.rng.uniform(0, 3)]))

    def _loses_answer(self) -> str:
        self.commits += 1
        fate = self.lost_commits.pop(self.commits, "")
        if fate:
            self.faults["answer to a commit lost"] += 1
        return fate

    def _happen(self, planned: Planned) -> None:
        self.say(f"event: {planned}")
        self.faults[planned.event.value] += 1
        if planned.event is Event.CLOCK_STEP:
            clock = self.clocks[planned.subject % len(self.clocks)]
            clock.skew += timedelta(seconds=float(planned.amount))
            return
        try:
            if planned.event is Event.CANCEL:
                self.desk(WorkerClock(self.scheduler)).cancel(self.wanted[planned.subject].intent_id, reason="planned")
                return
            if planned.event in (Event.LOCK, Event.UNLOCK):
                self._reconcile(planned)
                return
            state = ControlState(planned.amount) if planned.event is Event.STOP else ControlState.RUN
            with self.ledger.write() as session:
                now = self.ledger.now(session)
                set_control(session, self.venue.account_id, state, reason="planned", set_by="history", at=now)
        except (Killed, UnknownIntent, LedgerError, SQLAlchemyError) as error:
            self.say(f"{planned.event}: {type(error).__name__}: {error}")

    def _reconcile(self, planned: Planned) -> None:
        """Runs that find a critical break, or two that find none, stored as a reconciliation stores them."""
        seen = SeenBreak(kind="PLANNED", severity="critical", subject="planned", locks=planned.amount)
        for found in [[seen]] if planned.event is Event.LOCK else [[], []]:
            with self.ledger.write() as session:
                now = self.ledger.now(session)
                record_breaks(session, self.venue.account_id, found, at=now)
                outcome = ReconciliationOutcome.BREAKS if found else ReconciliationOutcome.CLEAN
                record_run(session, self.venue.account_id, outcome=outcome, summary="{}", started_at=now, ended_at=now)

    def _is_committed(self, send_id: str) -> bool:
        """Asked at the first byte, over another connection: it sees committed rows only."""
        if self.ledger.is_busy:
            return False  # a session is open while a byte leaves
        self.ledger.is_gone, is_gone = (lambda: False), self.ledger.is_gone
        try:
            with self.ledger.read() as session:
                return session.get(OrderSend, send_id) is not None
        finally:
            self.ledger.is_gone = is_gone

    def say(self, text: str) -> None:
        if self._say is not None:
            self._say(f"{self.clock.monotonic():10.3f}  {text}")
