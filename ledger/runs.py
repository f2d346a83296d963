"""Rebalancing runs in the ledger: stored once per business key, moved by compare-and-set on state and attempt.

Several processes may work on one run at once: every move names the state and the attempt that it starts from, so that
the second of two finds nothing left to move. The legs have leases of their own (ledger.plans).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import CursorResult, update
from sqlmodel import Session, col, select

from ledger.records import hold
from ledger.run_tables import RunEventRow, RunRow
from ledger.states import RunState
from ledger.tables import PlanLegRow, PlanRow

HISTORY_MAX = 1_000


def store_run(session: Session, row: RunRow) -> tuple[RunRow, bool]:
    """Store a run. A known business key returns the stored one and False: the caller goes on with that."""
    hold(session.connection(), f"run {row.business_key}")
    stored = run_by_key(session, row.business_key)
    if stored is not None:
        return stored, False
    session.add(row)
    session.flush()
    return row, True


def load_run(session: Session, run_id: str) -> RunRow:
    """The run by its id, or by the beginning of it that only one has; LookupError otherwise."""
    row = session.get(RunRow, run_id)
    if row is not None:
        return row
    found = list(session.exec(select(RunRow).where(col(RunRow.run_id).startswith(run_id, autoescape=True)).limit(2)))
    if len(run_id) < 6 or len(found) != 1:
        raise LookupError(f"the ledger has no run {run_id!r}, or more than one that begins so")
    return found[0]


def run_by_key(session: Session, business_key: str) -> RunRow | None:
    return session.exec(select(RunRow).where(RunRow.business_key == business_key)).first()


def runs_of(
    session: Session, *, subscription: str = "", unfinished: bool = False, limit: int = HISTORY_MAX
) -> tuple[RunRow, ...]:
    """Runs, newest first; of one subscription where it is named."""
    query = select(RunRow)
    if subscription:
        query = query.where(RunRow.subscription == subscription)
    if unfinished:
        query = query.where(col(RunRow.state).in_([state.value for state in RunState if not state.is_terminal]))
    return tuple(session.exec(query.order_by(col(RunRow.created_at).desc(), RunRow.run_id).limit(limit)))


def move_run(
    session: Session,
    run_id: str,
    *,
    of_attempt: int,
    from_state: RunState,
    to_state: RunState,
    at: datetime,
    **values: Any,
) -> bool:
    """Move a run; False when it is no longer in that state of that attempt: someone else moved it."""
    session.flush()
    ended = {"ended_at": at} if to_state.is_terminal else {}
    done = session.execute(
        update(RunRow)
        .where(col(RunRow.run_id) == run_id, col(RunRow.state) == from_state.value, col(RunRow.attempt) == of_attempt)
        .values(state=to_state.value, updated_at=at, **ended, **values)
        .execution_options(synchronize_session="fetch")
    )
    assert isinstance(done, CursorResult)
    return done.rowcount == 1


def ask_to_cancel(session: Session, run_id: str, *, by: str, reason: str, at: datetime) -> bool:
    """Note that a person wants the run stopped; False when it has ended or somebody has asked already."""
    open_states = [state.value for state in RunState if not state.is_terminal]
    session.flush()
    done = session.execute(
        update(RunRow)
        .where(col(RunRow.run_id) == run_id, col(RunRow.state).in_(open_states), col(RunRow.cancel_by) == "")
        .values(cancel_by=by, cancel_reason=reason, updated_at=at)
        .execution_options(synchronize_session="fetch")
    )
    assert isinstance(done, CursorResult)
    return done.rowcount == 1


def add_event(
    session: Session, row: RunRow, *, kind: str, who: str, at: datetime, detail: str = "", run_hash: str = ""
) -> None:
    """Note what happened, in the transaction in which it does."""
    session.add(
        RunEventRow(run_id=row.run_id, kind=kind, run_hash=run_hash or row.run_hash, who=who, detail=detail, at=at)
    )
    session.flush()


def events_of(session: Session, run_id: str) -> tuple[RunEventRow, ...]:
    query = select(RunEventRow).where(RunEventRow.run_id == run_id)
    return tuple(session.exec(query.order_by(col(RunEventRow.run_event_id))))


def plans_of_run(session: Session, run_id: str) -> tuple[PlanRow, ...]:
    """The plans of a run, by account."""
    query = select(PlanRow).where(PlanRow.run_id == run_id)
    return tuple(session.exec(query.order_by(PlanRow.account_id)))


def legs_in_state(session: Session, run_id: str, state: str) -> Sequence[PlanLegRow]:
    """The legs of a run's plans that stand so."""
    query = select(PlanLegRow).join(PlanRow, col(PlanRow.plan_id) == col(PlanLegRow.plan_id))
    found = session.exec(query.where(PlanRow.run_id == run_id, PlanLegRow.state == state))
    return list(found)
