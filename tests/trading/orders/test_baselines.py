"""The same venue breaks the rules that others use: otherwise the histories would prove nothing."""

from __future__ import annotations

import pytest

from brokers.clock import ManualClock
from tests.trading.orders.histories import (
    NOT_PLACED,
    Policy,
    fail_on_exception,
    query_then_reject,
    retry_with_fresh_id,
    retry_with_same_id,
    run_baseline,
)
from tests.trading.orders.modelled import START

BASELINE_HISTORIES = 1_000


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
