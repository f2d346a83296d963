"""The real-code layer of the proof: thousands of histories over real desks and a real ledger, in several processes.

`run` gives the rows of the table that `make prove` prints; `replay` plays one history again and shows it.
"""

from __future__ import annotations

import multiprocessing
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from brokers.clock import ManualClock
from tests.proof.histories import Tally, replay_command, run_history
from tests.proof.history_hash import history_hash
from tests.proof.ledgers import folder, open_copy, template
from tests.proof.restores import run_restore
from tests.proof.result import Failure, LayerResult
from tests.trading.orders.modelled import CLASSES, START

Say = Callable[[str], None]
IN_ONE_LEDGER = 100  # histories; a ledger that grows for ever would measure its size
RESTORES_SHARE = 50  # one restored ledger for so many histories
SAME_SEEDS = 100  # played twice and compared row by row, beside every thousand histories or more


@dataclass(frozen=True, slots=True)
class Batch:
    """Histories of one kind that one process plays in one ledger."""

    kind: str
    seeds: range


def batches(histories: int, seed: int, size: int = IN_ONE_LEDGER, kinds: Sequence[str] = tuple(CLASSES)) -> list[Batch]:
    """The same number of each kind, from `seed` on."""
    each = -(-histories // len(kinds))
    starts = range(seed, seed + each, size)
    return [Batch(kind, range(start, min(start + size, seed + each))) for start in starts for kind in kinds]


def play(batch: Batch) -> Tally:
    """Play a batch in a ledger of its own."""
    place = folder()
    try:
        clock, tally = ManualClock(START), Tally()
        with open_copy(template(place / "template.db"), place / "ledger.db", clock) as ledger:
            for seed in batch.seeds:
                tally.add(run_history(ledger, clock, kind=batch.kind, seed=seed))
        return tally
    finally:
        shutil.rmtree(place)


def play_restores(seeds: range) -> Tally:
    """Ledgers that are restored from a backup while the venue went on."""
    place, tally = folder(), Tally()
    try:
        source = template(place / "template.db")
        for seed in seeds:
            tally.add(run_restore(source, place, seed=seed))
        return tally
    finally:
        shutil.rmtree(place)


def run(*, histories: int, seed: int, jobs: int, say: Say, kind: str = "") -> list[LayerResult]:
    """Play `histories` on SQLite in `jobs` processes, restored ledgers beside them; two rows."""
    kinds = [kind] if kind in CLASSES else tuple(CLASSES)
    started = time.monotonic()
    tally, restored = Tally(), Tally()
    ends: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        work = {pool.submit(play, batch): batch.kind for batch in batches(histories, seed, kinds=kinds)}
        restores = pool.submit(play_restores, range(seed, seed + max(histories // RESTORES_SHARE, 5)))
        same = _play_twice(pool, kinds, seed) if histories >= 1_000 else []
        for done, future in enumerate(as_completed(work), start=1):
            played = future.result()
            ends[work[future]] += played.states
            tally += played
            if done % 10 == 0 or done == len(work):
                say(f"{tally.histories} histories, {len(tally.findings)} findings, {time.monotonic() - started:.0f} s")
        restored += restores.result()
        differing = [difference for first, again in same for difference in _differing(first.result(), again.result())]
    say(f"deaths by point: {dict(sorted(tally.kills.items()))}")
    say(f"second orders that only the wire made: {tally.doubled}; where orders carry ids, each was noticed")
    for name, states in ends.items():
        say(f"{name}: {sum(states.values())} intents: {dict(states.most_common())}")
    seconds = time.monotonic() - started
    rows = [_row("real code, SQLite", tally, seconds), _row("real code, restored ledgers", restored, seconds)]
    if same:
        rows.append(LayerResult("real code, each seed twice", SAME_SEEDS, seconds=seconds, failures=tuple(differing)))
    return rows


Hashes = dict[tuple[str, int], str]


def _play_twice(
    pool: ProcessPoolExecutor, kinds: Sequence[str], seed: int
) -> list[tuple[Future[Hashes], Future[Hashes]]]:
    each = range(seed, seed + SAME_SEEDS // len(kinds))
    return [(pool.submit(hash_batch, kind, each), pool.submit(hash_batch, kind, each)) for kind in kinds]


def _differing(first: Hashes, again: Hashes) -> list[Failure]:
    """Seeds that did not give the same rows twice."""
    return [
        Failure("the same seed gives the same history", f"{found} and {again[key]}", replay_command(*key))
        for key, found in first.items()
        if found != again[key]
    ]


def hash_batch(kind: str, seeds: Sequence[int]) -> Hashes:
    """The hash of each seed, played in a ledger of its own process."""
    place = folder()
    try:
        return {(kind, seed): found for seed, found in zip(seeds, hashes(kind, seeds, place), strict=True)}
    finally:
        shutil.rmtree(place)


def _row(layer: str, tally: Tally, seconds: float) -> LayerResult:
    return LayerResult(
        layer=layer,
        histories=tally.histories,
        faults=sum(tally.faults.values()),
        kills=sum(tally.kills.values()),
        duplicated=tally.duplicates,
        lost=tally.lost,
        orphaned=tally.orphans,
        stuck=tally.stuck,
        to_person=tally.to_person,
        seconds=seconds,
        failures=failures(tally),
    )


def failures(tally: Tally) -> tuple[Failure, ...]:
    return tuple(
        Failure(finding.invariant.value, finding.detail, replay_command(kind, seed))
        for kind, seed, finding in tally.findings
    )


def replay(*, kind: str, seed: int, say: Say) -> list[Failure]:
    """Play one history again, saying everything that happens; what it breaks."""
    place, tally = folder(), Tally()
    try:
        source = template(place / "template.db")
        if kind == "restored":
            tally.add(run_restore(source, place, seed=seed, say=say))
            return list(failures(tally))
        clock = ManualClock(START)
        with open_copy(source, place / "ledger.db", clock) as ledger:
            result = run_history(ledger, clock, kind=kind, seed=seed, say=say)
            tally.add(result)
            for view in result.views:
                say(f"{view.business_key}: {view.state} {view.reason} {view.detail}, {view.filled_quantity} filled")
            with ledger.read() as session:
                say(f"hash {history_hash(session, kind, seed)}")
        broken = list(failures(tally))
        for failure in broken:
            say(f"BROKEN {failure.invariant}: {failure.detail}")
        return broken
    finally:
        shutil.rmtree(place)


def hashes(kind: str, seeds: Sequence[int], place: Path) -> list[str]:
    """One hash of everything that the ledger holds of each history."""
    clock, found = ManualClock(START), []
    place.mkdir(parents=True, exist_ok=True)
    with open_copy(template(place / "template.db"), place / "ledger.db", clock) as ledger:
        for seed in seeds:
            run_history(ledger, clock, kind=kind, seed=seed)
            with ledger.read() as session:
                found.append(history_hash(session, kind, seed))
    return found
