"""docs/venues.md is what the last conformance run wrote, and the matrix leaves nothing open."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli import matrix

PROJECT = Path(__file__).resolve().parents[2]
VENUES = sorted({row.venue for row in matrix.outcomes()})


def test_the_page_is_up_to_date() -> None:
    written = (PROJECT / "docs" / "venues.md").read_text()
    assert written == matrix.as_markdown(), "run: make conformance, or algotrendy venues --markdown > docs/venues.md"


@pytest.mark.parametrize("venue", VENUES)
def test_no_cell_of_a_venue_is_empty_or_unproved(venue: str) -> None:
    rows = matrix.outcomes([venue])
    empty = [name for name in matrix.capabilities(rows) if not matrix.cell(r for r in rows if r.capability == name)]
    assert empty == []


def test_every_outcome_speaks_of_a_card_that_exists() -> None:
    deck = {words.card for words in matrix.cards()}
    played = {row.card for row in matrix.outcomes() if row.proof in ("simulator", "testnet")}
    assert played and played <= deck


def test_a_cell_counts_by_kind_and_an_unsupported_card_has_words() -> None:
    row = matrix.Row("v", "simulated", "A-01", "fills", "simulator", "passed")
    layer = matrix.Row("v", "simulated", "W-01", "fills", "wire layer", "passed", count=40)
    none = matrix.Row("v", "simulated", "B-01", "fills", "simulator", "unsupported", reason="no such thing")
    failed = matrix.Row("v", "testnet", "A-01", "fills", "testnet", "not run")
    assert matrix.cell([row, row, layer, none, failed]) == "S2 W40 U1" and matrix.cell([failed]) == ""
    assert all(r.reason for r in matrix.outcomes() if r.outcome != "passed")


def test_the_files_hold_nothing_that_changes_from_run_to_run() -> None:
    known = {"card", "capability", "proof", "outcome", "product", "reason", "count"}
    for path in sorted((PROJECT / "cli" / "conformance").glob("*.*.json")):
        found = json.loads(path.read_text())
        assert set(found) == {"venue", "environment", "outcomes"}
        assert all(set(row) <= known and "127.0.0.1" not in str(row) for row in found["outcomes"])
