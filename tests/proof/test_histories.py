"""Seeded histories through the real desk: no duplicate, no orphan, every one ends, and a seed always gives the same."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from brokers.clock import ManualClock
from ledger.states import IntentState
from tests.proof.histories import Tally, run_history
from tests.proof.histories_layer import (
    Batch,
    _differing,
    batches,
    failures,
    hashes,
    play,
    play_restores,
    replay,
    run,
)
from tests.proof.ledgers import open_copy
from tests.proof.plans import plan_of
from tests.trading.orders.modelled import CLASSES, START
from trading.orders.crash import CRASH_POINTS

HISTORIES = int(os.environ.get("ALGOTRENDY_HISTORIES", "5000"))
PARTS = 10
SAME_SEEDS = 2


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kind", CLASSES)
def test_no_history_duplicates_or_loses_an_order(kind: str, part: int) -> None:
    count = HISTORIES // (len(CLASSES) * PARTS)
    tally = play(Batch(kind, range(part * count, (part + 1) * count)))
    assert tally.problems == []
    assert (tally.duplicates, tally.orphans, tally.lost, tally.stuck) == (0, 0, 0, 0)
    if count >= 50:  # fewer say nothing about shares
        assert sum(tally.kills.values()) > count * 0.1  # otherwise the histories would prove nothing
        assert sum(tally.faults.values()) > count
        assert tally.states[IntentState.FILLED] > count * 0.5


def test_plans_reach_everything_that_may_go_wrong() -> None:
    """Of the seeds that a full run plays; what is drawn too seldom would go untested."""
    plans = [plan_of(kind, seed) for kind in CLASSES for seed in range(1_000)]
    crashes = Counter(point for plan in plans for point in plan.crashes)
    assert set(crashes) == set(CRASH_POINTS)
    assert min(crashes.values()) > 50
    assert sum(len(plan.crashes) > 1 for plan in plans) > 500  # a death while another is recovered from
    assert sum(plan.outage is not None and plan.outage[1] - plan.outage[0] > 60 for plan in plans) > 100
    assert sum(plan.gone is not None for plan in plans) > 150
    assert Counter(fate for plan in plans for _, fate in plan.lost_commits).keys() == {"committed", "rolled back"}
    assert Counter(event.event for plan in plans for event in plan.events).keys() == {
        "cancel",
        "stop",
        "resume",
        "clock_step",
        "lock",
        "unlock",
    }
    assert {len(plan.orders) for plan in plans} == {1, 2, 3, 4}
    assert {plan.workers for plan in plans} == {1, 2, 3}


@pytest.mark.parametrize("kind", CLASSES)
def test_a_seed_replays_exactly(kind: str, place: Path) -> None:
    """Every column of every row, also after other histories were played before it."""
    seeds = range(40, 40 + SAME_SEEDS)
    once = hashes(kind, seeds, place / "one")
    again = hashes(kind, list(reversed(seeds)), place / "two")
    assert len(set(once)) == SAME_SEEDS
    assert once != again
    ordered = hashes(kind, seeds, place / "three")
    assert once == ordered


def test_a_restored_ledger_sends_nothing_before_every_order_is_explained() -> None:
    tally = play_restores(range(8))
    assert tally.histories == 8
    assert tally.problems == []


def test_the_layer_counts_what_its_processes_play_and_names_the_replay() -> None:
    said: list[str] = []
    rows = run(histories=5, seed=7, jobs=1, say=said.append)
    assert [row.histories for row in rows] == [5, 5]
    assert all(row.holds for row in rows)
    assert rows[0].faults > 0
    assert replay(kind="permanent", seed=7, say=said.append) == []
    assert any(line.startswith("hash ") for line in said)


def test_a_broken_protocol_is_found_with_its_replay(source: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any answer that proves nothing is taken for a refusal: orders live that are called dead."""
    from trading.orders import protocol, sending
    from trading.orders.protocol import Outcome

    proper = protocol._kind_of_error

    def careless(error: Exception, record: object) -> Outcome:
        kind = proper(error, record)  # type: ignore[arg-type]
        return Outcome.DEFINITE_NO if kind is Outcome.UNKNOWN else kind

    monkeypatch.setattr(protocol, "_kind_of_error", careless)
    assert sending.classify is protocol.classify
    clock, tally = ManualClock(START), Tally()
    with open_copy(source, place / "ledger.db", clock) as ledger:
        for seed in range(60):
            tally.add(run_history(ledger, clock, kind="open only, deadline", seed=seed))
            if tally.orphans:
                break
    assert tally.orphans > 0
    found = failures(tally)
    assert found[0].invariant.startswith("I")
    assert '--layer histories --kind "open only, deadline" --seed' in found[0].replay


def test_what_only_the_wire_doubled_is_noticed_and_no_finding(source: Path, place: Path) -> None:
    clock = ManualClock(START)
    with open_copy(source, place / "ledger.db", clock) as ledger:
        result = run_history(ledger, clock, kind="open only, deadline", seed=188)
    assert (result.verdict.doubled, result.verdict.is_noticed) == (2, True)
    assert result.problems == []


def test_batches_cover_every_seed_of_every_kind_once() -> None:
    made = batches(1_000, 30, size=70)
    for kind in CLASSES:
        assert [seed for batch in made if batch.kind == kind for seed in batch.seeds] == list(range(30, 230))


def test_a_seed_that_does_not_repeat_is_named() -> None:
    (failure,) = _differing({("no id", 3): "a", ("no id", 4): "b"}, {("no id", 3): "a", ("no id", 4): "c"})
    assert failure.detail == "b and c"
    assert failure.replay.endswith('--kind "no id" --seed 4 --trace')
