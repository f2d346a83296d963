"""The model layer: many histories of every identity class, beside what other rules do under the same faults."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ledger.states import IntentState
from tests.proof.baselines import RULES, run_rule
from tests.proof.model import History
from tests.proof.model_desk import Tracer
from tests.proof.result import Failure, LayerResult
from tests.trading.orders.modelled import CLASSES

LIES = "open only, deadline; the venue lies"  # reads may be stale in every source, beyond every horizon
KINDS = (*CLASSES, LIES)
_CHUNK = 2_500
_FAILURES_MAX = 5
_LIES_PART = 20  # one history of the venue that lies for so many of the others
_BASELINE_PART = 20  # one baseline history for so many of the model
Say = Callable[[str], None]
Part = Callable[[], "Tally"]


@dataclass
class Tally:
    """Sums over histories of one kind."""

    kind: str
    histories: int = 0
    faults: int = 0
    kills: int = 0
    duplicated: int = 0
    lost: int = 0
    orphaned: int = 0
    stuck: int = 0
    to_person: int = 0
    cpu_s: float = 0.0
    states: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        for name in ("histories", "faults", "kills", "duplicated", "lost", "orphaned", "stuck", "to_person", "cpu_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.states += other.states
        self.failures = (self.failures + other.failures)[:_FAILURES_MAX]

    def result(self, layer: str, seconds: float, *, is_baseline: bool = False) -> LayerResult:
        return LayerResult(
            layer=layer,
            histories=self.histories,
            faults=self.faults,
            kills=self.kills,
            duplicated=self.duplicated,
            lost=self.lost,
            orphaned=self.orphaned,
            stuck=self.stuck,
            to_person=self.to_person,
            seconds=seconds,
            failures=tuple(self.failures),
            is_baseline=is_baseline,
        )


def history_of(kind: str, seed: int, *, tracer: Tracer | None = None) -> History:
    """The history of a kind and a seed: always the same one."""
    name = kind.partition(";")[0]
    return History(CLASSES[name], KINDS.index(kind) << 40 | seed, tracer=tracer, lies=kind == LIES)


def play_chunk(kind: str, first: int, count: int) -> Tally:
    """Play `count` histories from seed `first` on."""
    tally, began_s = Tally(kind), time.process_time()
    for seed in range(first, first + count):
        _play(tally, kind, seed)
    tally.cpu_s = time.process_time() - began_s
    return tally


def _play(tally: Tally, kind: str, seed: int) -> None:
    history = history_of(kind, seed)
    monitor = history.play()
    state = history.row.state
    tally.histories += 1
    tally.faults += history.venue.faults
    tally.kills += history.crashes
    tally.states[state] += 1
    tally.to_person += state is IntentState.NEEDS_HUMAN
    if not monitor.findings:
        return
    found = {invariant for invariant, _ in monitor.findings}
    tally.duplicated += "I1" in found
    tally.orphaned += "I3" in found
    tally.lost += monitor.is_lost
    tally.stuck += monitor.is_stuck
    if len(tally.failures) < _FAILURES_MAX:
        invariant, detail = monitor.findings[0]
        tally.failures.append(Failure(invariant, f"{kind}, seed {seed}: {detail}", replay_command(kind, seed)))


def replay_command(kind: str, seed: int) -> str:
    return f'python -m tests.proof --layer model --kind "{kind}" --seed {seed} --trace'


def trace(kind: str, seed: int) -> list[str]:
    """The readable story of one history, with what it broke."""
    lines: list[str] = []
    history = history_of(kind, seed, tracer=lines.append)
    monitor = history.play()
    lines.append(f"ended {history.row.state.value} {history.row.reason}, {monitor.placed} orders at the venue")
    lines.extend(f"{invariant}: {detail}" for invariant, detail in monitor.findings)
    return lines


def digest(kind: str, seed: int) -> str:
    """A hash over everything that happened in one history."""
    return hashlib.sha256("\n".join(trace(kind, seed)).encode()).hexdigest()


def replay(*, kind: str, seed: int, say: Say) -> bool:
    """Tell one history; whether it held."""
    lines = trace(kind, seed)
    for line in lines:
        say(line)
    return lines[-1].startswith("ended ")


# -- the layer --------------------------------------------------------------------------------------------------
def run(*, histories: int, seed: int, jobs: int, say: Say, kind: str = "") -> list[LayerResult]:
    """`histories` in all, spread over the classes; then the venue that lies and the baselines, one for every twenty."""
    counts = {name: max(_share(histories, name, alone=bool(kind)), 1) for name in ([kind] if kind else KINDS)}
    each = 0 if kind else max(histories // _BASELINE_PART // (len(RULES) * len(CLASSES)), 1)
    with ExitStack() as stack:
        pool = stack.enter_context(ProcessPoolExecutor(min(jobs, os.cpu_count() or 1))) if jobs > 1 else None
        # All at once, so that no process waits for the last of a class.
        playing = {
            name: [_begun(pool, play_chunk, *chunk) for chunk in _chunks(name, seed, count)]
            for name, count in counts.items()
        }
        beside = {
            rule: [_begun(pool, baseline_chunk, rule, name, seed, each) for name in CLASSES]
            for rule in (RULES if each else ())
        }
        results = [_row(name, parts, say) for name, parts in playing.items()]
        return results + [_baseline_row(rule, parts, say) for rule, parts in beside.items()]


def _row(name: str, parts: list[Part], say: Say) -> LayerResult:
    began_s, tally = time.monotonic(), Tally(name)
    for part in parts:
        tally.add(part())
    shares = ", ".join(f"{state} {number}" for state, number in tally.states.most_common())
    each_us = tally.cpu_s / tally.histories * 1e6
    say(f"model: {name}: {tally.histories} histories, {each_us:.0f} us each; {shares}")
    return tally.result(f"model: {name}", time.monotonic() - began_s)


def _share(histories: int, name: str, *, alone: bool) -> int:
    if alone:
        return histories
    return histories // (_LIES_PART if name == LIES else len(CLASSES))


def _chunks(name: str, first: int, count: int) -> Iterator[tuple[str, int, int]]:
    for start in range(first, first + count, _CHUNK):
        yield name, start, min(_CHUNK, first + count - start)


def _begun(pool: ProcessPoolExecutor | None, play: Callable[..., Tally], *chunk: Any) -> Part:
    """A chunk that another process plays, or this one once it is asked for."""
    return partial(play, *chunk) if pool is None else pool.submit(play, *chunk).result


def _baseline_row(rule: str, parts: list[Part], say: Say) -> LayerResult:
    began_s, tally = time.monotonic(), Tally(rule)
    for kind, part in zip(CLASSES, parts, strict=True):
        played = part()
        tally.add(played)
        counts = f"{played.histories} histories, {played.duplicated} duplicated, {played.orphaned} orphaned"
        say(f"baseline: {rule}, {kind}: {counts}")
    return tally.result(f"baseline: {rule}", time.monotonic() - began_s, is_baseline=True)


def baseline_chunk(rule: str, kind: str, first: int, count: int) -> Tally:
    tally = Tally(rule)
    for seed in range(first, first + count):
        placed, is_orphaned, faults = run_rule(RULES[rule], CLASSES[kind], KINDS.index(kind) << 40 | seed)
        tally.histories += 1
        tally.faults += faults
        tally.duplicated += placed > 1
        tally.orphaned += is_orphaned
    return tally
