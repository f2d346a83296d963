"""Two thousand seeded histories through the real desk: no duplicate, no orphan, every one ends."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from brokers.clock import ManualClock
from brokers.ids import Environment
from ledger.engine import Ledger
from ledger.states import IntentState
from tests.trading.orders.histories import (
    NOT_PLACED,
    Policy,
    Tally,
    fail_on_exception,
    ledger_findings,
    query_then_reject,
    retry_with_fresh_id,
    retry_with_same_id,
    run_baseline,
    run_history,
)
from tests.trading.orders.modelled import CLASSES, START

HISTORIES = int(os.environ.get("ALGOTRENDY_HISTORIES", "2000"))
PARTS = 2
BASELINE_HISTORIES = 1_000


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kind", CLASSES)
def test_no_history_duplicates_or_loses_an_order(kind: str, part: int, migrated: Path, tmp_path: Path) -> None:
    shutil.copy(migrated, tmp_path / "ledger.db")
    clock, tally = ManualClock(START), Tally()
    count = HISTORIES // (len(CLASSES) * PARTS)
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", environment=Environment.SIMULATED, clock=clock) as ledger:
        for seed in range(part * count, (part + 1) * count):
            tally.add(run_history(ledger, clock, kind=kind, seed=seed))
        assert ledger_findings(ledger) == ()
    assert tally.problems == []
    assert (tally.duplicates, tally.orphans) == (0, 0)
    if count >= 100:  # fewer say nothing about shares
        assert tally.states[IntentState.FILLED] > count * 0.5
    is_provable = CLASSES[kind].deadline_s_max > 0
    assert not (is_provable and tally.states[IntentState.NEEDS_HUMAN])


def _baseline(policy: Policy, kind: str) -> tuple[int, int]:
    duplicates = orphans = 0
    clock = ManualClock(START)
    for seed in range(BASELINE_HISTORIES):
        state, placed = run_baseline(clock, policy, kind=kind, seed=seed)
        duplicates += placed > 1
        orphans += bool(placed and state in NOT_PLACED)
    return duplicates, orphans


@pytest.mark.parametrize(
    ("policy", "kind", "duplicates_min", "orphans_min"),
    [
        (retry_with_fresh_id, "open only, no deadline", 0.1, 0.01),
        (retry_with_fresh_id, "permanent", 0.05, 0.01),
        (retry_with_same_id, "open only, no deadline", 0.1, 0.01),
        (fail_on_exception, "open only, no deadline", 0.0, 0.2),
        (query_then_reject, "open only, no deadline", 0.0, 0.05),
    ],
)
def test_the_same_venue_breaks_the_common_rules(
    policy: Policy, kind: str, duplicates_min: float, orphans_min: float
) -> None:
    """Otherwise the histories would prove nothing."""
    duplicates, orphans = _baseline(policy, kind)
    assert duplicates >= duplicates_min * BASELINE_HISTORIES
    assert orphans >= orphans_min * BASELINE_HISTORIES


def test_a_seed_replays_exactly(migrated: Path, tmp_path: Path) -> None:
    seen = []
    for run in ("one", "two"):
        shutil.copy(migrated, tmp_path / f"{run}.db")
        clock = ManualClock(START)
        with Ledger.open(
            f"sqlite:///{tmp_path / f'{run}.db'}", environment=Environment.SIMULATED, clock=clock
        ) as ledger:
            results = [run_history(ledger, clock, kind="open only, deadline", seed=seed) for seed in range(12)]
        seen.append([(r.view.state, r.view.detail, r.placed) for r in results if r.view])
        seen[-1].append((clock.now(), "", 0))  # type: ignore[arg-type]
    assert seen[0] == seen[1]
