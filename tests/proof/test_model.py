"""The small cut of the model layer, and that its faults are strong enough to prove something."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from tests.proof.baselines import RULES, run_rule
from tests.proof.model_layer import KINDS, LIES, digest, history_of, play_chunk, replay_command, run, trace
from tests.proof.model_venue import FAULTS, PERCENT
from tests.trading.orders.modelled import CLASSES
from trading.orders import protocol

HISTORIES = 3_000


@pytest.mark.parametrize("kind", KINDS)
def test_no_history_breaks_an_invariant(kind: str) -> None:
    tally = play_chunk(kind, 0, HISTORIES)
    assert tally.failures == []
    assert (tally.duplicated, tally.orphaned, tally.lost, tally.stuck) == (0, 0, 0, 0)
    assert tally.states["filled"] > HISTORIES * 0.5
    assert tally.faults > HISTORIES and tally.kills > HISTORIES * 0.3


@pytest.mark.parametrize(
    ("rule", "kind", "duplicated_min", "orphaned_min"),
    [
        ("retry x3, fresh id", "permanent", 0.2, 0.1),
        ("retry x3, one id", "open only, no deadline", 0.1, 0.1),
        ("retry x3, one id", "permanent", 0.0, 0.1),
        ("any exception fails (Hummingbot)", "open only, deadline", 0.0, 0.25),
        ("5 queries, then rejected (NautilusTrader)", "open only, deadline", 0.0, 0.15),
    ],
)
def test_the_same_faults_break_the_rules_of_others(
    rule: str, kind: str, duplicated_min: float, orphaned_min: float
) -> None:
    """Otherwise the zeros of the protocol would say nothing."""
    results = [run_rule(RULES[rule], CLASSES[kind], seed) for seed in range(1_000)]
    assert sum(placed > 1 for placed, _, _ in results) >= duplicated_min * 1_000
    assert sum(is_orphaned for _, is_orphaned, _ in results) >= orphaned_min * 1_000


def test_the_same_seed_gives_the_same_history() -> None:
    seeds = [(kind, seed) for kind in KINDS for seed in range(17)]
    first, again = [[digest(kind, seed) for kind, seed in seeds] for _ in range(2)]
    assert len(seeds) > 100
    assert first == again
    assert len(set(first)) > 90


def test_production_decides() -> None:
    """The model only does what the production functions say."""
    for name in ("next_step", "classify", "judge", "validity_s"):
        with patch.object(protocol, name, side_effect=ZeroDivisionError), pytest.raises(ZeroDivisionError):
            for seed in range(20):
                history_of("permanent", seed).play()


def test_every_kind_of_disturbance_occurs() -> None:
    told = "\n".join(line for seed in range(800) for line in trace("open only, deadline", seed))
    assert sum(PERCENT.values()) == 100
    for name in FAULTS:
        assert f"the request: {name}" in told
    crashes = ("the process dies at C09", "the process dies at C21", "the worker stops at")
    for what in (*crashes, "a cancel is wanted", "a halt is set", "look-up failed"):
        assert what in told


def test_clocks_step_and_reads_fail_for_longer_than_the_horizon() -> None:
    histories = [history_of("open only, deadline", seed) for seed in range(1_000)]
    assert sum(bool(history.time.steps) for history in histories) > 20
    assert sum(60 < history.venue.outage_s[1] < 1e6 for history in histories) > 15
    assert sum(history.venue.has_flaps for history in histories) > 20


def test_a_failure_comes_with_its_command() -> None:
    assert replay_command("no id", 7) == 'python -m tests.proof --layer model --kind "no id" --seed 7 --trace'
    with patch.object(protocol, "absence_is_provable", return_value=True):
        tally = play_chunk("open only, no deadline", 0, 300)
    assert tally.orphaned and tally.failures
    assert all(failure.replay.endswith("--trace") for failure in tally.failures)


def test_a_venue_that_lies_is_noticed_but_not_prevented() -> None:
    """Where every source is stale beyond the horizon no proof of absence holds; the claim is that all is stopped."""
    placed = [history_of(LIES, seed).play().placed for seed in range(1_500)]
    assert max(placed) > 1


def test_the_layer_reports_each_class_and_the_baselines() -> None:
    said: list[str] = []
    results = run(histories=60, seed=5, jobs=1, say=said.append)
    assert [row.layer for row in results if not row.is_baseline] == [f"model: {kind}" for kind in KINDS]
    assert [row.layer for row in results if row.is_baseline] == [f"baseline: {rule}" for rule in RULES]
    assert all(row.holds for row in results)
    assert any("us each" in text for text in said)
