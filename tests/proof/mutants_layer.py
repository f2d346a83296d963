"""The mutation layer: each mutant is played until a history breaks an invariant; the harness must see nearly all."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.proof.model_layer import Say, history_of, trace
from tests.proof.mutants import MUTANTS, RARE, UNSEEN, Verdict
from tests.proof.mutants_desk import DESK_MUTANTS, try_desk
from tests.proof.result import Failure, LayerResult

RARE_HISTORIES = 5_000
DESK_PART = 10  # one history of the real desk for so many of the model
Attempt = Callable[[str, int, int], Verdict]


def try_mutant(name: str, histories: int, first: int = 0) -> Verdict:
    """Play up to `histories` seeds under one mutant, in turn on each venue class in which the rule matters."""
    mutant, began_s = MUTANTS[name], time.monotonic()
    with mutant.broken():
        for count, (kind, seed) in enumerate(_seeds(mutant.kinds, histories, first), start=1):
            monitor = history_of(kind, seed).play()
            seen = [finding for finding in monitor.findings if finding[0] != "moves"]  # not by the table of moves alone
            if seen:
                return Verdict(name, count, kind, seed, *seen[0], seconds=time.monotonic() - began_s)
    return Verdict(name, histories, seconds=time.monotonic() - began_s)


def _seeds(kinds: tuple[str, ...], histories: int, first: int) -> Iterator[tuple[str, int]]:
    for number in range(histories):
        yield kinds[number % len(kinds)], first + number // len(kinds)


def replay_command(verdict: Verdict) -> str:
    told = f" --seed {verdict.seed} --trace" if verdict.is_killed else ""
    return f'python -m tests.proof --layer mutants --kind "{verdict.name}"{told}'


def replay(*, kind: str, seed: int, say: Say) -> bool:
    """Tell the history of one seed under the mutant named `kind`, on the first venue class in which it breaks."""
    if kind in DESK_MUTANTS:
        say(f"{kind}: the histories layer tells what the real desk did; this mutant is in tests/proof/mutants_desk.py")
        return not try_desk(kind, 1, seed).is_killed
    mutant = MUTANTS[kind]
    with mutant.broken():
        stories = [(name, trace(name, seed)) for name in mutant.kinds]
    name, lines = next((story for story in stories if not story[1][-1].startswith("ended ")), stories[0])
    say(f"{kind}, on {name}:")
    for line in lines:
        say(line)
    return lines[-1].startswith("ended ")


# -- the layer --------------------------------------------------------------------------------------------------
def run(*, histories: int, seed: int, jobs: int, say: Say, kind: str = "") -> list[LayerResult]:
    """Every mutant with at most `histories` seeds, and those of the real desk with a part of them; in a small cut only
    those that show early."""
    if kind in DESK_MUTANTS:
        return [_row("mutants: real desk", try_desk, [kind], histories // DESK_PART, seed, 1, say)]
    if kind:
        return [_row("mutants", try_mutant, [kind], histories, seed, 1, say)]
    is_small = histories < RARE_HISTORIES
    names = [name for name in MUTANTS if not (is_small and name in RARE)]
    if is_small:
        say(f"mutants: {len(MUTANTS) - len(names)} that show in thousands of histories only are left out")
    desk_names = list(DESK_MUTANTS)[:2] if is_small else list(DESK_MUTANTS)
    return [
        _row("mutants: model", try_mutant, names, histories, seed, jobs, say),
        _row("mutants: real desk", try_desk, desk_names, max(histories // DESK_PART, 10), seed, jobs, say),
    ]


def _row(layer: str, attempt: Attempt, names: list[str], histories: int, seed: int, jobs: int, say: Say) -> LayerResult:
    began_s = time.monotonic()
    verdicts = _all(attempt, names, histories, seed, jobs)
    for verdict in verdicts:
        say(_sentence(verdict))
    return as_result(layer, verdicts, time.monotonic() - began_s)


def _all(attempt: Attempt, names: list[str], histories: int, seed: int, jobs: int) -> list[Verdict]:
    if jobs <= 1:
        return [attempt(name, histories, seed) for name in names]
    spawn = multiprocessing.get_context("spawn")  # other layers may run in threads beside this one
    with ProcessPoolExecutor(jobs, mp_context=spawn) as pool:
        return [future.result() for future in [pool.submit(attempt, name, histories, seed) for name in names]]


def as_result(layer: str, verdicts: list[Verdict], seconds: float) -> LayerResult:
    """One row; a mutant that lives is a failure unless the reason is on record."""
    failures = tuple(
        Failure("mutation", f"lives after {verdict.histories} histories: {verdict.name}", replay_command(verdict))
        for verdict in verdicts
        if not verdict.is_killed and verdict.name not in UNSEEN
    )
    return LayerResult(
        layer=layer,
        histories=sum(verdict.histories for verdict in verdicts),
        mutants=len(verdicts),
        mutants_killed=sum(verdict.is_killed for verdict in verdicts),
        seconds=seconds,
        failures=failures,
    )


def _sentence(verdict: Verdict) -> str:
    if verdict.is_killed:
        where = f"{verdict.invariant} on {verdict.kind}, seed {verdict.seed}: {verdict.detail}"
        return f"mutant: {verdict.name}: caught after {verdict.histories} histories, {where}"
    reason = UNSEEN.get(verdict.name, "no reason is on record")
    return f"mutant: {verdict.name}: NOT CAUGHT in {verdict.histories} histories; {reason}"
