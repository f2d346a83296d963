"""The small cut of the mutation layer: the harness sees broken rules, and leaves none behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.proof.model_layer import play_chunk
from tests.proof.mutants import MUTANTS, RARE, UNSEEN
from tests.proof.mutants_desk import DESK_MUTANTS, try_desk
from tests.proof.mutants_layer import Verdict, as_result, replay, run, try_mutant
from trading.orders import protocol

EARLY = sorted(set(MUTANTS) - RARE)
HISTORIES = 1_200


@pytest.mark.parametrize("name", EARLY)
def test_a_broken_rule_is_seen(name: str) -> None:
    before = vars(protocol).copy(), dict(protocol._DECIDERS)
    verdict = try_mutant(name, HISTORIES)
    assert verdict.is_killed, f"no history of {verdict.histories} showed it"
    assert (vars(protocol), protocol._DECIDERS) == before  # nothing stays broken


def test_there_are_enough_mutants_and_few_are_unseen() -> None:
    assert len(MUTANTS) + len(DESK_MUTANTS) >= 36
    assert set(MUTANTS) >= RARE | set(UNSEEN)
    assert len(UNSEEN) <= 0.05 * len(MUTANTS)
    assert all(UNSEEN.values())


def test_the_page_lists_every_mutant() -> None:
    page = (Path(__file__).parents[2] / "docs" / "safety.md").read_text()
    names = [*MUTANTS, *(name.removeprefix("desk: ") for name in DESK_MUTANTS)]
    assert [name for name in names if f"| {name} |" not in page] == []


def test_without_a_mutant_nothing_is_found() -> None:
    assert play_chunk("open only, deadline", 0, 300).failures == []


def test_the_real_desk_shows_a_move_without_compare_and_set() -> None:
    verdict = try_desk("desk: set without compare", 60)
    assert verdict.is_killed
    assert "transition" in verdict.detail


def test_a_mutant_that_lives_fails_the_layer() -> None:
    alive, dead = Verdict("x", 5_000), Verdict("y", 3, "permanent", 1, "I1", "2 orders at the venue")
    row = as_result("mutants", [alive, dead], 1.0)
    assert (row.mutants, row.mutants_killed, row.holds) == (2, 1, False)
    assert "x" in row.failures[0].detail


def test_a_mutant_is_told_by_seed() -> None:
    verdict = try_mutant("the horizon is 5 s", 200)
    said: list[str] = []
    assert not replay(kind=verdict.name, seed=verdict.seed, say=said.append)
    assert any("committed: attempt 1" in line for line in said)


def test_one_mutant_can_be_run_alone() -> None:
    said: list[str] = []
    rows = run(histories=300, seed=0, jobs=1, say=said.append, kind="an id of open orders is sent again")
    assert [(row.layer, row.mutants, row.holds) for row in rows] == [("mutants", 1, True)]
    assert "caught after" in said[0]
