"""The history of reconciliations, as it is asked for: by account, outcome and scope, newest first."""

from __future__ import annotations

from sqlmodel import Session, col, select

from ledger.states import ReconciliationOutcome
from ledger.tables import ReconciliationRun

SWEEP = "sweep"  # a light look at open orders and positions; a run without a scope is from before there were any


def runs_of(
    session: Session, *, account_id: str = "", outcome: str = "", with_sweeps: bool = False, limit: int = 50
) -> tuple[ReconciliationRun, ...]:
    """Runs by the filters given; ValueError names an outcome that there is not."""
    query = select(ReconciliationRun)
    if account_id:
        query = query.where(ReconciliationRun.account_id == account_id)
    if outcome:
        if outcome not in set(ReconciliationOutcome):
            known = ", ".join(ReconciliationOutcome)
            raise ValueError(f"outcome must be one of {known}, was {outcome!r}")
        query = query.where(ReconciliationRun.outcome == outcome)
    if not with_sweeps:
        query = query.where(~col(ReconciliationRun.summary).contains(scope_text(SWEEP), autoescape=True))
    return tuple(session.exec(query.order_by(col(ReconciliationRun.run_id).desc()).limit(limit)))


def scope_text(scope: str) -> str:
    """How a run's summary, which is canonical JSON, says its scope."""
    return f'"scope":"{scope}"'
