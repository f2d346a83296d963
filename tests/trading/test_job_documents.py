"""docs/rebalancing.md and docs/reconciliation.md say what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ledger.states import PlanState, ReconciliationOutcome
from trading.plan_store import PLAN_ERRORS, PlanError
from trading.rebalancing import LineReason, Portfolio
from trading.rebalancing.verdict import Verdict
from trading.rebalancing.view import PLAN_IMPOSSIBLE
from trading.reconciliation import BreakKind

DOCS = Path(__file__).parents[2] / "docs"
REBALANCING = (DOCS / "rebalancing.md").read_text()
RECONCILIATION = (DOCS / "reconciliation.md").read_text()


@pytest.mark.parametrize("reason", LineReason)
def test_every_line_reason_is_documented(reason: LineReason) -> None:
    assert f"| `{reason.value}` | {reason.meaning} | {reason.remedy} |" in REBALANCING


@pytest.mark.parametrize("kind", BreakKind)
def test_every_break_kind_is_documented(kind: BreakKind) -> None:
    begin, end = f"| `{kind.value}` | {kind.severity.value} |", f"| {kind.meaning} | {kind.remedy} |"
    assert any(line.startswith(begin) and line.endswith(end) for line in RECONCILIATION.splitlines())


def test_every_error_and_state_is_documented() -> None:
    for code, (meaning, remedy) in {**PLAN_IMPOSSIBLE, **PLAN_ERRORS}.items():
        assert f"| `{code}` | {meaning} | {remedy} |" in REBALANCING
    assert {error.reason for error in PlanError.__subclasses__()} == set(PLAN_ERRORS)
    for state in (*Verdict, *(state for state in PlanState if state is not PlanState.PLANNED)):
        assert f"| `{state.value}` |" in REBALANCING
    for outcome in ReconciliationOutcome:
        assert f"| `{outcome.value}` |" in RECONCILIATION


def test_the_example_portfolio_is_valid_and_shows_every_field() -> None:
    text = REBALANCING.split("```yaml\n")[1].split("```")[0]
    (fields,) = yaml.safe_load(text)["portfolios"]
    Portfolio.model_validate(fields)
    assert set(fields) == set(Portfolio.model_fields)
