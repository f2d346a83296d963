"""A venue, a ledger on one of the two databases, processes on both, and the oracle that compares them afterwards."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock

from sqlmodel import col, select

from brokers.ids import ClientOrderId, Environment
from ledger.engine import Ledger
from ledger.invariants import check_record
from ledger.states import IntentState
from ledger.tables import FillRow, OrderAttempt, OrderIntent, Transition
from simulators import Control, Running, running_bybit
from simulators.testing import small_config
from tests.ledger.conftest import PostgresCluster, short_folder
from tests.proof.process_worker import Errand, Worker, start, wanted_order
from tests.proof.result import Failure, LayerResult
from tests.trading.orders.modelled import CLASSES
from trading.orders.identity import is_ours, make_client_order_id
from trading.orders.moves import NOT_PLACED_STATES

S = IntentState
CREATE = "/v5/order/create"
POLL_S = 0.05
STANDSTILL_S_MAX = 60.0
BACKLOG_MAX = 12
OVER = frozenset(state.value for state in S if state.is_terminal) | {S.NEEDS_HUMAN.value}


@dataclass
class Tally:
    """What a phase counts, from several threads."""

    kills: int = 0
    pauses: int = 0
    faults: int = 0
    refused_writes: int = 0
    failures: list[Failure] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def add(self, *, kills: int = 0, pauses: int = 0, faults: int = 0, refused_writes: int = 0) -> None:
        with self._lock:
            self.kills += kills
            self.pauses += pauses
            self.faults += faults
            self.refused_writes += refused_writes

    def fail(self, invariant: str, detail: str, replay: str) -> None:
        with self._lock:
            self.failures.append(Failure(invariant, detail, replay))


@dataclass
class Scene:
    """One venue and one ledger. Made by `scene`; every process that it started ends with it."""

    database: str
    sim: Running[Control]
    url: str
    ledger: Ledger
    folder: Path
    cluster: PostgresCluster | None
    workers: list[Worker] = field(default_factory=list)
    seen_keys: list[str] = field(default_factory=list)
    _count: int = 0
    _lock: Lock = field(default_factory=Lock)

    def errand(self, worker: str, **fields: object) -> Errand:
        given = {"url": self.sim.url, "ledger": self.url, "worker": worker, "state_home": self.folder / "state"}
        return Errand(**{**given, **fields})  # type: ignore[arg-type]

    def start(self, errand: Errand) -> Worker:
        with self._lock:
            self._count += 1
            number = self._count
            self.seen_keys.extend(key for key, _, _ in errand.orders)
        worker = start(errand, self.folder / f"worker-{number}.log")
        with self._lock:
            self.workers.append(worker)
        return worker

    @contextmanager
    def watchers(self, count: int, **fields: object) -> Iterator[list[Worker]]:
        """Watching processes with production's loop, ended politely."""
        stop = self.folder / f"stop-{self._count}"
        up = [
            self.start(self.errand(f"watcher-{n}", job="watch", stop_file=stop, timeout_s=600.0, **fields))
            for n in range(1, count + 1)
        ]
        try:
            yield up
        finally:
            stop.touch()
            for watcher in up:
                watcher.ended(30.0)

    def intent_id(self, key: str, symbol: str) -> str:
        return str(wanted_order(key, symbol, None).intent_id)

    def first_client_order_id(self, key: str, symbol: str) -> ClientOrderId:
        """The id that the first attempt will carry: faults are aimed at it before it is sent."""
        intent_id = wanted_order(key, symbol, None).intent_id
        tag = self.ledger.installation_tag
        return make_client_order_id(intent_id, attempt=1, tag=tag, is_production=False, identity=CLASSES["permanent"])

    def state_of(self, intent_id: str) -> str:
        with self.ledger.read() as session:
            row = session.get(OrderIntent, intent_id)
            return row.state if row is not None else ""

    def unsettled(self, keys: Iterable[str]) -> list[OrderIntent]:
        wanted = list(keys)
        with self.ledger.read() as session:
            rows = session.exec(select(OrderIntent).where(col(OrderIntent.business_key).in_(wanted)))
            return [row for row in rows if row.state not in OVER]

    def actors_of(self, intent_id: str) -> list[tuple[str, str]]:
        """Who moved the intent where, in order."""
        with self.ledger.read() as session:
            query = select(Transition).where(Transition.intent_id == intent_id)
            rows = session.exec(query.order_by(col(Transition.transition_id)))
            return [(row.who.partition(":")[2], row.to_state) for row in rows]

    def settle(self, keys: Iterable[str], *, standstill_s: float = STANDSTILL_S_MAX) -> bool:
        """Wait until every intent is over, as long as there is progress; whether it came to that."""
        wanted = list(keys)
        left, since = len(wanted) + 1, time.monotonic()
        while now_left := len(self.unsettled(wanted)):
            if now_left < left:
                left, since = now_left, time.monotonic()
            elif time.monotonic() - since > standstill_s:
                return False
            Event().wait(0.3)
        return True

    def has_room(self) -> bool:
        """Whether those who take over keep up: a busy machine must not pile up what is to be taken over."""
        return len(self.unsettled(self.seen_keys)) < BACKLOG_MAX

    def end(self) -> None:
        for worker in self.workers:
            worker.end()


def wait_until(holds: Callable[[], object], *, timeout_s: float, poll_s: float = POLL_S) -> bool:
    """Ask until it holds; False when the time is over."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        Event().wait(poll_s)
    return True


@contextmanager
def scene(database: str, cluster: PostgresCluster | None = None) -> Iterator[Scene]:
    """A fresh venue and a fresh ledger; `cluster` is the server where the database is PostgreSQL."""
    folder = short_folder("proof-")
    try:
        if database == "sqlite":
            url = f"sqlite:///{folder / 'ledger.db'}"
        else:
            assert cluster is not None
            name = f"proof_{random.getrandbits(48):x}"
            cluster.execute(f"CREATE DATABASE {name}")
            url = cluster.url(name)
        with (
            running_bybit(small_config()) as sim,
            Ledger.open(url, environment=Environment.SIMULATED) as ledger,
        ):
            made = Scene(database, sim, url, ledger, folder, cluster)
            try:
                yield made
            finally:
                made.end()
                made.ledger.close()  # a scene that puts an old ledger back opens it anew
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# -- the oracle -------------------------------------------------------------------------------------------------
@dataclass
class Verdict:
    """Counts over the intents of a phase, by comparing the venue's truth with the ledger."""

    duplicated: int = 0
    lost: int = 0
    orphaned: int = 0
    stuck: int = 0
    to_person: int = 0
    filled: int = 0
    findings: list[tuple[str, str]] = field(default_factory=list)


def judge(on: Scene, keys: Iterable[str], *, replay: str, tally: Tally) -> Verdict:
    """I1, I3, I4, I5, I6, I7 and the ledger's own checks, over every intent that was wanted."""
    verdict = Verdict()
    at_venue: dict[str, list[object]] = {}
    for order in on.sim.control.orders("main"):
        at_venue.setdefault(order.client_id, []).append(order)
    fills: dict[str, dict[str, object]] = {}
    for execution in on.sim.control.executions("main"):
        fills.setdefault(execution.order_id, {})[execution.execution_id] = execution.qty
    known: set[str] = set()
    with on.ledger.read() as session:
        attempts: dict[str, list[str]] = {}
        for attempt in session.exec(select(OrderAttempt)):
            attempts.setdefault(attempt.intent_id, []).append(attempt.client_order_id)
            known.add(attempt.client_order_id)
        recorded: dict[str, dict[str, object]] = {}
        for row in session.exec(select(FillRow)):
            recorded.setdefault(row.venue_order_id, {})[row.trade_id] = row.quantity
        intents = {row.business_key: row for row in session.exec(select(OrderIntent))}
        verdict.findings += [("ledger", str(finding)) for finding in check_record(session)]
    for key in keys:
        intent = intents.get(key)
        if intent is None:
            continue  # it died before it asked: nothing was wanted yet
        orders = [order for one in attempts.get(intent.intent_id, []) for order in at_venue.get(one, [])]
        _judge_one(verdict, intent, orders, fills, recorded)
    tag = on.ledger.installation_tag
    unknown = [one for one in at_venue if one and is_ours(ClientOrderId(one), tag) and one not in known]
    verdict.orphaned += len(unknown)
    verdict.findings += [("I4", f"order {one} at the venue has no attempt in the ledger") for one in unknown]
    for invariant, detail in verdict.findings:
        tally.fail(invariant, f"{on.database}: {detail}", replay)
    return verdict


def _judge_one(
    verdict: Verdict,
    intent: OrderIntent,
    orders: list[object],
    fills: dict[str, dict[str, object]],
    recorded: dict[str, dict[str, object]],
) -> None:
    name = f"{intent.business_key} ({intent.state}, {intent.state_reason})"
    if len(orders) > 1:
        verdict.duplicated += 1
        verdict.findings.append(("I1", f"{name} has {len(orders)} orders at the venue"))
    if intent.state == S.NEEDS_HUMAN.value:
        verdict.to_person += 1
    elif intent.state not in OVER:
        verdict.stuck += 1
        verdict.findings.append(("I5", f"{name} has not ended: {intent.state_detail}"))
    if intent.state in {state.value for state in NOT_PLACED_STATES} and orders:
        verdict.orphaned += 1
        verdict.findings.append(("I3", f"{name} is called not placed and the venue has an order"))
    if intent.state in (S.FILLED.value, S.CANCELLED.value) and not orders:
        verdict.lost += 1
        verdict.findings.append(("I4", f"{name} and the venue has no order"))
    verdict.filled += intent.state == S.FILLED.value
    withdrawn = intent.state == S.WITHDRAWN.value and intent.cancel_reason  # it was taken back before it was sent
    if intent.state in OVER - {S.FILLED.value, S.CANCELLED.value, S.NEEDS_HUMAN.value} and not withdrawn:
        verdict.lost += 1  # nothing here refuses an order or lets its time run out
        verdict.findings.append(("I5", f"{name} ended without its order: {intent.state_detail}"))
    for order in orders:
        order_id = str(order.order_id)  # type: ignore[attr-defined]
        if intent.state in OVER and fills.get(order_id, {}) != recorded.get(order_id, {}):
            verdict.findings.append(
                ("I6", f"{name}: venue fills {fills.get(order_id)}, ledger {recorded.get(order_id)}")
            )
        if sum(recorded.get(order_id, {}).values()) > intent.quantity:  # type: ignore[arg-type]
            verdict.findings.append(("I7", f"{name} filled more than {intent.quantity}"))


def result(name: str, tally: Tally, verdict: Verdict, *, histories: int, began_s: float) -> LayerResult:
    return LayerResult(
        layer=f"process: {name}",
        histories=histories,
        faults=tally.faults,
        kills=tally.kills + tally.pauses,
        duplicated=verdict.duplicated,
        lost=verdict.lost,
        orphaned=verdict.orphaned,
        stuck=verdict.stuck,
        to_person=verdict.to_person,
        seconds=time.monotonic() - began_s,
        failures=tuple(tally.failures),
    )
