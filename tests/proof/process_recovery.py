"""Recovery time with production's limits: from kill -9 to the next step of the same intent by another process.

The dead worker's last committed move stands for the moment of its death, so the figure errs on the long side. Who acts
next is production's own loop (trading/watching.py) with production's figures: a lease of 15 s, a look every second.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from threading import Event

from sqlmodel import col, select

from ledger.tables import Transition
from tests.ledger.conftest import PostgresCluster
from tests.proof.process_deaths import KILLED
from tests.proof.process_scene import Scene, Tally, judge, result, scene, wait_until
from tests.proof.process_worker import LINEAR
from tests.proof.result import LayerResult
from trading.orders.protocol import ProtocolLimits
from trading.watching import WatchLimits

RECOVERY_S_MAX = 20.0
POINTS = ("C06", "C09", "C16", "C11", "C07", "C15", "C10", "C17")
PRODUCTION = {"limits": ProtocolLimits(), "looks": WatchLimits()}


def recovery(
    database: str, cluster: PostgresCluster | None, *, count: int, seed: int, jobs: int, replay: str
) -> LayerResult:
    """`count` workers die on their way; the row's name tells the median and the 99th percentile of what followed."""
    began_s, chance, tally = time.monotonic(), random.Random(f"{seed} recovery {database}"), Tally()
    with scene(database, cluster) as on:
        cases = [
            (f"{seed}-{n} recovery {point}", LINEAR, point, chance.uniform(0, 4))
            for n, point in enumerate(islice(cycle(POINTS), count))
        ]
        keys = [key for key, *_ in cases]
        with on.watchers(1, **PRODUCTION), ThreadPoolExecutor(jobs * 4) as pool:
            died = set(filter(None, pool.map(lambda case: _die(on, *case, tally), cases)))
            dead = [case for case in cases if _name(case[0]) in died]
            everyone_acted = wait_until(
                lambda: all(recovery_s(on, key, symbol) is not None for key, symbol, *_ in dead), timeout_s=60.0
            )
            on.settle(keys)
        if not everyone_acted:
            tally.fail("recovery", f"{database}: some intents were not acted on within 60 s", replay)
        times = [seconds for key, symbol, *_ in dead if (seconds := recovery_s(on, key, symbol)) is not None]
        verdict = judge(on, keys, replay=replay, tally=tally)
        middle, late = percentile(times, 50), percentile(times, 99)
        if late > RECOVERY_S_MAX:
            tally.fail("recovery", f"{database}: p99 {late:.1f} s is above {RECOVERY_S_MAX} s", replay)
        name = f"next action after kill -9, {database}: p50 {middle:.1f} s, p99 {late:.1f} s"
        return result(name, tally, verdict, histories=len(cases), began_s=began_s)


def _die(on: Scene, key: str, symbol: str, point: str, wait_s: float, tally: Tally) -> str:
    """The name of the dead; "" for one that was so slow that it lost its order to the watcher first."""
    Event().wait(wait_s)  # deaths at any phase of the watcher's looks
    errand = on.errand(_name(key), orders=((key, symbol, None),), crash_at=f"{point}:1", limits=PRODUCTION["limits"])
    worker = on.start(errand)
    if worker.ended(120.0) != KILLED:
        return ""
    tally.add(kills=1)
    return errand.worker


def _name(key: str) -> str:
    return f"dies at {key}"


def recovery_s(on: Scene, key: str, symbol: str) -> float | None:
    """From the dead worker's last move to the first one of somebody else after it; None where there is none yet."""
    with on.ledger.read() as session:
        query = select(Transition).where(Transition.intent_id == on.intent_id(key, symbol))
        moves = list(session.exec(query.order_by(col(Transition.transition_id))))
    own = [move for move in moves if move.who.endswith(_name(key))]
    others = [move for move in moves if not move.who.endswith(_name(key)) and own and move.at >= own[-1].at]
    return (others[0].at - own[-1].at).total_seconds() if others else None


def percentile(times: Sequence[float], share: int) -> float:
    """The smallest figure that `share` per cent do not exceed; infinite when there is none."""
    if not times:
        return float("inf")
    return sorted(times)[max(0, -(-len(times) * share // 100) - 1)]
