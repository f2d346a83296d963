"""The process layer of the proof: real processes on real databases, killed, stopped, deceived and cut off.

`make prove` calls `run_untimed` beside other layers, and `run_timed` when nothing else runs.
`python -m tests.proof.process_layer --seed 7 --only "killed, sqlite"` plays one part again: the same cases in the same
order with the same faults. Where exactly a death falls in time is the machine's own affair, so a replay is the same
scene, not the same microsecond.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from tests.ledger.conftest import PostgresCluster
from tests.proof.process_deaths import DEATHS, jumps, kills, pauses
from tests.proof.process_faults import faults
from tests.proof.process_prefect import through_prefect
from tests.proof.process_recovery import recovery
from tests.proof.result import Failure, LayerResult

Say = Callable[[str], None]
DATABASES = ("sqlite", "postgresql")
RECOVERIES_MIN = 20
PART_NAMES = (
    "prefect",
    *(f"{what}, {database}" for database in DATABASES for what in ("recovery", "faults", "killed", "stopped", "clock")),
)
Part = Callable[[], LayerResult]
TIMED = "recovery"


def run(
    *,
    histories: int,
    seed: int,
    jobs: int,
    say: Say,
    only: str = "",
    without: str = "",
    prefect: bool = True,
) -> list[LayerResult]:
    """Bring about at least `histories` deaths on both databases together, and everything else of the layer once."""
    began_s = time.monotonic()
    if not any(only in name for name in PART_NAMES):
        raise ValueError(f"no part is named {only!r}; parts: {', '.join(PART_NAMES)}")
    with clusters() as (shared, restarted):
        parts = _parts(histories, seed, jobs, shared, restarted, prefect)
        chosen = {name: part for name, part in parts.items() if only in name and not (without and without in name)}
        with ThreadPoolExecutor(jobs + 1) as pool:  # most of each part is waiting for leases
            running = {
                name: pool.submit(_told, name, part, _replay(name, histories, seed), say)
                for name, part in chosen.items()
            }
            results = [running[name].result() for name in chosen]
    say(f"process layer: {sum(row.kills for row in results)} kills and stops in {time.monotonic() - began_s:.0f} s")
    return results


def run_untimed(*, histories: int, seed: int, jobs: int, say: Say) -> list[LayerResult]:
    """Everything whose time is not judged: other layers may run beside it."""
    return run(histories=histories, seed=seed, jobs=jobs, say=say, without=TIMED)


def run_timed(*, histories: int, seed: int, jobs: int, say: Say) -> list[LayerResult]:
    """The time from a death to the next step: nothing else may run beside it."""
    return run(histories=histories, seed=seed, jobs=jobs, say=say, only=TIMED)


def _told(name: str, part: Part, replay: str, say: Say) -> LayerResult:
    began_s = time.monotonic()
    try:
        row = part()
    except Exception as error:  # noqa: BLE001 - a part that ends early has proved nothing: the table says so
        text = "".join(traceback.format_exception(error))[-3_000:]
        failure = Failure("the part ends", text, replay)
        row = LayerResult(f"process: {name}", 0, seconds=time.monotonic() - began_s, failures=(failure,))
    say(f"{row.layer}: {row.kills} kills, {row.faults} faults, {row.seconds:.0f} s{'' if row.holds else ', BROKEN'}")
    return row


def _parts(
    histories: int, seed: int, jobs: int, shared: PostgresCluster, restarted: PostgresCluster, prefect: bool
) -> dict[str, Part]:
    """What takes longest begins first."""
    deaths = max(histories * 3 // 8, len(DEATHS))
    few = max(histories // 10, 16)
    parts: dict[str, Part] = {}
    if prefect:
        parts["prefect"] = partial(through_prefect, shared, seed=seed, replay=_replay("prefect", histories, seed))
    for database in DATABASES:
        cluster = None if database == "sqlite" else shared
        broken = None if database == "sqlite" else restarted
        counts = {"recovery": max(RECOVERIES_MIN, histories // 8), "killed": deaths, "stopped": few, "clock": few}
        for what in ("recovery", "faults", "killed", "stopped", "clock"):
            name = f"{what}, {database}"
            replay = _replay(name, histories, seed)
            if what == "faults":
                parts[name] = partial(faults, database, broken, rounds=1, seed=seed, replay=replay)
            else:
                play = _PLAYS[what]
                parts[name] = partial(play, database, cluster, count=counts[what], seed=seed, jobs=jobs, replay=replay)
    return parts


_PLAYS: dict[str, Callable[..., LayerResult]] = {
    "recovery": recovery,
    "killed": kills,
    "stopped": pauses,
    "clock": jumps,
}


def _replay(part: str, histories: int, seed: int) -> str:
    return f'.venv/bin/python -m tests.proof.process_layer --histories {histories} --seed {seed} --only "{part}"'


@contextmanager
def clusters() -> Iterator[tuple[PostgresCluster, PostgresCluster]]:
    """One server for what needs a calm one, and one that is crashed again and again."""
    shared = PostgresCluster.create()
    try:
        restarted = PostgresCluster.create()
        try:
            yield shared, restarted
        finally:
            restarted.stop()
    finally:
        shared.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.process_layer", description=__doc__)
    parser.add_argument("--histories", type=int, default=150, help="how many deaths; default 150")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="a part's name, or a piece of it")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # end the servers as Ctrl-C does
    rows = run(histories=options.histories, seed=options.seed, jobs=options.jobs, say=print, only=options.only)
    for row in rows:
        for failure in row.failures:
            print(f"{row.layer}: {failure.invariant}: {failure.detail}\n  replay: {failure.replay}")
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
