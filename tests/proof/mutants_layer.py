"""The mutation layer: each mutant is played until a history breaks an invariant; the harness must see nearly all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from tests.proof.model_layer import Say, history_of, trace
from tests.proof.mutants import MUTANTS, RARE, UNSEEN
from tests.proof.result import Failure, LayerResult

RARE_HISTORIES = 5_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one mutant: after how many histories which invariant broke, or that none did."""

    name: str
    histories: int
    kind: str = ""
    seed: int = -1
    invariant: str = ""
    detail: str = ""
    seconds: float = 0.0

    @property
    def is_killed(self) -> bool:
        return bool(self.invariant)


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
    """Every mutant with at most `histories` seeds; in a small cut only those that show early."""
    began_s = time.monotonic()
    names = [kind] if kind else [name for name in MUTANTS if histories >= RARE_HISTORIES or name not in RARE]
    if len(names) < len(MUTANTS) and not kind:
        say(f"mutants: {len(MUTANTS) - len(names)} that show in thousands of histories only are left out")
    verdicts = _all(try_mutant, names, histories, seed, jobs)
    for verdict in verdicts:
        say(_sentence(verdict))
    return [as_result("mutants", verdicts, time.monotonic() - began_s)]


def _all(
    attempt: Callable[[str, int, int], Verdict], names: list[str], histories: int, seed: int, jobs: int
) -> list[Verdict]:
    if jobs <= 1:
        return [attempt(name, histories, seed) for name in names]
    with ProcessPoolExecutor(jobs) as pool:
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
