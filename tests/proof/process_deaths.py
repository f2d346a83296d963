"""Deaths and pauses: workers are killed or stopped at named points, at random moments, and while they take over.

Two watchers run production's loop all the while and take over what is left. C12 to C14 lie on the venue's side, so
there the parent kills the worker while the simulator holds the request or the answer.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice, pairwise
from threading import Event

from sqlmodel import col, select

from ledger.tables import Transition
from tests.ledger.conftest import PostgresCluster
from tests.proof.process_scene import CREATE, OVER, Scene, Tally, judge, result, scene, wait_until
from tests.proof.process_worker import LINEAR, SPOT, Worker
from tests.proof.result import LayerResult

Say = Callable[[str], None]
KILLED = -9
DRAWN_FAULTS = ("", "", "drop", "execute_then_drop", "status", "reset")


@dataclass(frozen=True)
class Case:
    """One death. `point` is where, "" a random moment; `fault` what the venue does to the first request."""

    name: str
    symbol: str = LINEAR
    point: str = ""
    fault: str = ""
    before_s: float = 0.0
    after_s: float = 0.0
    limit: str | None = None
    cancel: bool = False
    job: str = "drive"


KINDS = (("linear", LINEAR), ("spot", SPOT))
ON_THE_WAY = ("C05", "C06", "C07", "C08", "C09", "C10", "C11", "C15", "C16", "C17", "C18", "C19")
DEATHS = (
    *(Case(f"{point} {kind}", symbol, point) for point in ON_THE_WAY for kind, symbol in KINDS),
    *(Case(f"C12 {kind}", symbol, fault="delay", before_s=1.5) for kind, symbol in KINDS),
    *(Case(f"C13 {kind}", symbol, fault="delay", after_s=1.5) for kind, symbol in KINDS),
    *(Case(f"C14 {kind}", symbol, fault="delay", after_s=0.3) for kind, symbol in KINDS),
    Case("C20 sync", point="C20", job="sync"),
    Case("C19 sync", point="C19", job="sync"),
    Case("C21 spot", SPOT, "C21", fault="drop"),
    Case("C22 spot", SPOT, "C22", fault="drop"),
    Case("C23 linear", LINEAR, "C23", fault="drop"),
    Case("C24 linear", LINEAR, "C24", limit="58000", cancel=True),
    Case("moment linear", LINEAR),
    Case("moment spot", SPOT),
)
STOPPED_AT = ("C06", "C07", "C09", "C10", "C11", "C15", "C16", "C17")
PAUSES = tuple(
    Case(f"stop {point} {kind}", symbol, point, job="advance") for point in STOPPED_AT for kind, symbol in KINDS
)
JUMPS = tuple(
    Case(f"jump {sign}{point} {kind}", symbol, point, before_s=600.0 if sign == "+" else -600.0)
    for sign in "+-"
    for point in ("C06", "C07", "C09", "C17")
    for kind, symbol in KINDS
)


def drawn(cases: tuple[Case, ...], count: int, chance: random.Random) -> list[Case]:
    """Every case as evenly as `count` allows, in an order that the seed decides."""
    start = chance.randrange(len(cases)) if count < len(cases) else 0
    chosen = list(islice(cycle(cases), start, start + count))
    chance.shuffle(chosen)
    return chosen


# -- kills ------------------------------------------------------------------------------------------------------
def kills(
    database: str, cluster: PostgresCluster | None, *, count: int, seed: int, jobs: int, replay: str
) -> LayerResult:
    """`count` workers and, now and then, a watcher die; then every order is judged."""
    began_s, chance, tally = time.monotonic(), random.Random(f"{seed} {database}"), Tally()
    with scene(database, cluster) as on:
        cases = [(f"{seed}-{n} {case.name}", case) for n, case in enumerate(drawn(DEATHS, count, chance))]
        keys = [key for key, case in cases if case.job != "sync"]
        _aim(on, cases, chance, tally)
        over = Event()
        with on.watchers(1), ThreadPoolExecutor(jobs * 4 + 1) as pool:
            hunt = pool.submit(_hunt, on, over, random.Random(f"{seed} hunt"), tally)
            try:
                list(pool.map(lambda one: _die(on, *one, chance, tally, replay), cases))
                on.settle(keys)
            finally:
                over.set()
                hunt.result()
        verdict = judge(on, keys, replay=replay, tally=tally)
        return result(f"killed, {database}", tally, verdict, histories=len(cases), began_s=began_s)


def _aim(on: Scene, cases: list[tuple[str, Case]], chance: random.Random, tally: Tally) -> None:
    """Arm the venue's faults, each at the one request that it is meant for."""
    for key, case in cases:
        is_moment = key.partition(" ")[2].startswith("moment")
        fault = chance.choice(DRAWN_FAULTS) if is_moment else case.fault
        if not fault:
            continue
        fields = {"orderLinkId": str(on.first_client_order_id(key, case.symbol))}
        extra: dict[str, object] = {}
        if fault == "delay":
            extra = {"before_s": case.before_s, "after_s": case.after_s}
        elif fault == "status":
            extra = {"status": chance.choice((500, 502, 504)), "execute": chance.random() < 0.7}
        elif fault == "reset":
            extra = {"after_bytes": chance.choice((0, 40)), "execute": True}
        on.sim.control.fault(fault, path=CREATE, fields=fields, **extra)
        tally.add(faults=1)


def _die(on: Scene, key: str, case: Case, chance: random.Random, tally: Tally, replay: str) -> None:
    wait_until(on.has_room, timeout_s=60.0, poll_s=0.2)
    orders = () if case.job == "sync" else ((key, case.symbol, case.limit),)
    worker = on.start(
        on.errand(
            f"dies at {key}", job=case.job, orders=orders, crash_at=case.point and f"{case.point}:1", cancel=case.cancel
        )
    )
    if case.fault == "delay":
        client_order_id = str(on.first_client_order_id(key, case.symbol))
        is_there = _executed if case.after_s else _received
        wait_until(lambda: is_there(on, client_order_id), timeout_s=20.0, poll_s=0.02)
        worker.kill()
    elif not case.point:
        Event().wait(chance.uniform(0.05, 1.2))
        worker.kill()
    try:
        code = worker.ended(60.0)
    except TimeoutError as error:
        worker.kill()
        tally.fail("the worker dies", f"{on.database}: {key}: {error}", replay)
        return
    if code == KILLED:
        tally.add(kills=1)
    elif not _was_overtaken(on, key, case, worker):
        tally.fail("the worker dies", f"{on.database}: {key} ended with {code}: {worker.log_tail()}", replay)


def _was_overtaken(on: Scene, key: str, case: Case, worker: Worker) -> bool:
    """A slow worker may lose its order to a watcher before it comes to its point; then it ends well, without dying."""
    return worker.told.get("states", {}).get(on.intent_id(key, case.symbol), "") in OVER or case.job == "sync"


def _received(on: Scene, client_order_id: str) -> bool:
    return any(client_order_id in str(request.body) for request in on.sim.control.requests(path=CREATE))


def _executed(on: Scene, client_order_id: str) -> bool:
    return any(order.client_id == client_order_id for order in on.sim.control.orders("main"))


def _hunt(on: Scene, over: Event, chance: random.Random, tally: Tally) -> None:
    """Kill those who take over, too: one watcher after the other, each at a moment or at a point of resolving."""
    number = 0
    while not over.is_set():
        number += 1
        point = chance.choice(("", "", "C17:1", "C21:1", "C22:1", "C23:1", "C19:2"))
        hunted = on.start(on.errand(f"hunted-{number}", job="watch", crash_at=point, timeout_s=600.0))
        until = time.monotonic() + chance.uniform(1.0, 4.0)
        while time.monotonic() < until and hunted.process.exitcode is None and not over.is_set():
            hunted.process.join(0.05)
        hunted.kill()
        if hunted.ended(10.0) == KILLED:
            tally.add(kills=1)
        elif not over.is_set():
            tally.fail("a watcher goes on", f"{on.database}: {hunted.told} {hunted.log_tail()}", "")
            return


# -- pauses -----------------------------------------------------------------------------------------------------
def pauses(
    database: str, cluster: PostgresCluster | None, *, count: int, seed: int, jobs: int, replay: str
) -> LayerResult:
    """C27: workers are stopped at a point, others take over, the stopped ones wake up and must change nothing."""
    began_s, chance, tally = time.monotonic(), random.Random(f"{seed} stop {database}"), Tally()
    with scene(database, cluster) as on:
        cases = [(f"{seed}-{n} {case.name}", case) for n, case in enumerate(drawn(PAUSES, count, chance))]
        keys = [key for key, _ in cases]
        with on.watchers(2), ThreadPoolExecutor(jobs * 4) as pool:
            list(pool.map(lambda one: _stop(on, *one, tally, replay), cases))
            on.settle(keys)
        verdict = judge(on, keys, replay=replay, tally=tally)
        return result(f"stopped and woken, {database}", tally, verdict, histories=len(cases), began_s=began_s)


def _stop(on: Scene, key: str, case: Case, tally: Tally, replay: str) -> None:
    name = f"stopped at {key}"
    errand = on.errand(name, job="advance", orders=((key, case.symbol, None),), crash_at=f"{case.point}:1:stop")
    worker, intent_id = on.start(errand), on.intent_id(key, case.symbol)
    if not wait_until(lambda: worker.is_stopped or worker.process.exitcode is not None, timeout_s=90.0):
        tally.fail("the worker stops", f"{on.database}: {key} did not come to {case.point}", replay)
        worker.kill()
        return
    if worker.process.exitcode is not None:
        return  # a watcher took its order before it came to the point
    tally.add(pauses=1)
    if not wait_until(lambda: on.state_of(intent_id) in OVER, timeout_s=90.0, poll_s=0.2):
        tally.fail("I5", f"{on.database}: {key} was not taken over while its worker was stopped", replay)
    before = on.actors_of(intent_id)
    worker.wake()
    worker.ended(90.0)
    late = [move for move in on.actors_of(intent_id)[len(before) :] if move[0] == name]
    if late:
        tally.fail("a stale write is refused", f"{on.database}: {key}: the woken worker moved {late}", replay)
    if not worker.told.get("lost_races"):
        tally.fail("a stale write is refused", f"{on.database}: {key}: nothing was refused: {worker.told}", replay)
    tally.add(refused_writes=len(worker.told.get("lost_races", ())))


# -- clocks -----------------------------------------------------------------------------------------------------
def jumps(
    database: str, cluster: PostgresCluster | None, *, count: int, seed: int, jobs: int, replay: str
) -> LayerResult:
    """C28: a worker's clock jumps by ten minutes while it holds a lease; leases go by the database's clock."""
    began_s, chance, tally = time.monotonic(), random.Random(f"{seed} jump {database}"), Tally()
    with scene(database, cluster) as on:
        cases = [(f"{seed}-{n} {case.name}", case) for n, case in enumerate(drawn(JUMPS, count, chance))]
        keys = [key for key, _ in cases]
        with on.watchers(1), ThreadPoolExecutor(jobs * 4) as pool:
            list(pool.map(lambda one: _jump(on, *one, tally, replay), cases))
            on.settle(keys)
        verdict = judge(on, keys, replay=replay, tally=tally)
        for key, case in cases:
            for text in early_takeovers(on, on.intent_id(key, case.symbol)):
                tally.fail("C28: leases go by the database's clock", f"{on.database}: {key}: {text}", replay)
        return result(f"clock jumps, {database}", tally, verdict, histories=len(cases), began_s=began_s)


def _jump(on: Scene, key: str, case: Case, tally: Tally, replay: str) -> None:
    """The deceived worker is left to go on for some seconds; a watcher with a right clock finishes."""
    errand = on.errand(
        f"jumps at {key}", orders=((key, case.symbol, None),), jump=(case.point, case.before_s), timeout_s=3.0
    )
    worker = on.start(errand)
    tally.add(faults=1)
    try:
        if worker.ended(40.0) != 0:
            tally.fail("a jump ends no worker", f"{on.database}: {key}: {worker.log_tail()}", replay)
    except TimeoutError as error:
        tally.fail("a jump ends no worker", f"{on.database}: {key}: {error}", replay)


def early_takeovers(on: Scene, intent_id: str) -> Iterator[str]:
    """Moves by someone else out of a leased state before the lease could be over."""
    lease_s = on.errand("nobody").limits.lease_s
    with on.ledger.read() as session:
        query = select(Transition).where(Transition.intent_id == intent_id)
        rows = list(session.exec(query.order_by(col(Transition.transition_id))))
    for before, after in pairwise(rows):
        is_leased = before.to_state in ("claimed", "sending")
        is_taken = before.who.partition(":")[2] != after.who.partition(":")[2]
        waited_s = (after.at - before.at).total_seconds()
        if is_leased and is_taken and waited_s < lease_s - 0.01:
            yield f"{after.who} took it {waited_s:.3f} s after {before.who} had leased it for {lease_s} s"
