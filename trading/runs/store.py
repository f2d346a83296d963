"""Runs in the ledger: what a job finds there, and every move that one may make. One key names one run for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ledger.audit import PERSON
from ledger.engine import Ledger
from ledger.plans import store_plan
from ledger.run_tables import RunRow
from ledger.runs import (
    add_event,
    ask_to_cancel,
    events_of,
    load_run,
    move_run,
    plans_of_run,
    run_by_key,
    runs_of,
    store_run,
)
from ledger.states import RunState
from trading.plan_store import StoredPlan, plan_rows, stored_plan
from trading.rebalancing.run_plan import RunPlan
from trading.runs.approval import Approval, Decision
from trading.runs.reasons import RunError, RunReason
from trading.runs.result import RunResult

HASH_DIGITS_MIN = 12
MACHINE = "machine"
PLANNED_AGAIN = "planned_again"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A run as the ledger holds it. `result` is there once it has ended."""

    run_id: str
    business_key: str
    run_plan: RunPlan
    planned_at: datetime
    attempt: int
    state: RunState
    needs_approval: bool
    approval_until: datetime | None
    approved_hash: str
    decided_by: str
    decision_reason: str
    decided_at: datetime | None
    cancel_by: str
    cancel_reason: str
    result: RunResult | None
    created_at: datetime
    ended_at: datetime | None

    @property
    def subscription(self) -> str:
        return self.run_plan.subscription.name

    @property
    def run_hash(self) -> str:
        return self.run_plan.run_hash

    @property
    def is_cancel_wanted(self) -> bool:
        return bool(self.cancel_by)


def run_id_of(subscription: str, business_key: str) -> str:
    """The id of the one run that a business key names for a subscription."""
    return hashlib.sha256("\x1f".join(("run", subscription, business_key)).encode()).hexdigest()[:32]


def plan_key(run_id: str, attempt: int) -> str:
    """The business key under which each account of the run has its plan."""
    return f"run:{run_id}:{attempt}"


def why_planned_again(ledger: Ledger, run: StoredRun) -> str:
    """What moved since the plan that was decided before; "" of a first plan."""
    with ledger.read() as session:
        told = [event.detail for event in events_of(session, run.run_id) if event.kind == PLANNED_AGAIN]
    return told[-1] if told else ""


def stored_run(row: RunRow) -> StoredRun:
    return StoredRun(
        run_id=row.run_id,
        business_key=row.business_key.split("/", 1)[-1],
        run_plan=RunPlan.from_json(row.body),
        planned_at=row.planned_at,
        attempt=row.attempt,
        state=RunState(row.state),
        needs_approval=row.needs_approval,
        approval_until=row.approval_until,
        approved_hash=row.approved_hash,
        decided_by=row.decided_by,
        decision_reason=row.decision_reason,
        decided_at=row.decided_at,
        cancel_by=row.cancel_by,
        cancel_reason=row.cancel_reason,
        result=RunResult.from_json(row.result) if row.result else None,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


# -- finding ----------------------------------------------------------------------------------------------------
def find_run(ledger: Ledger, subscription: str, business_key: str) -> StoredRun | None:
    with ledger.read() as session:
        row = run_by_key(session, f"{subscription}/{business_key}")
    return None if row is None else stored_run(row)


def get_run(ledger: Ledger, run_id: str) -> StoredRun:
    """The run by its id or the beginning of it; RunError RUN_UNKNOWN."""
    with ledger.read() as session:
        try:
            return stored_run(load_run(session, run_id))
        except LookupError as error:
            raise RunError(RunReason.RUN_UNKNOWN, str(error)) from error


def list_runs(
    ledger: Ledger, *, subscription: str = "", unfinished: bool = False, limit: int = 100
) -> tuple[StoredRun, ...]:
    """Newest first."""
    with ledger.read() as session:
        rows = runs_of(session, subscription=subscription, unfinished=unfinished, limit=limit)
    return tuple(stored_run(row) for row in rows)


def plans_of(ledger: Ledger, run_id: str) -> tuple[StoredPlan, ...]:
    """The plans of a run that was begun."""
    with ledger.read() as session:
        rows = plans_of_run(session, run_id)
    return tuple(stored_plan(row) for row in rows)


# -- moving -----------------------------------------------------------------------------------------------------
def keep_run(
    ledger: Ledger, run_plan: RunPlan, business_key: str, *, planned_at: datetime, needs_approval: bool
) -> StoredRun:
    """Store a run; a key that was used meanwhile gives the run stored under it."""
    name = run_plan.subscription.name
    with ledger.write() as session:
        at = ledger.now(session)
        row = RunRow(
            run_id=run_id_of(name, business_key),
            subscription=name,
            portfolio=run_plan.portfolio.name,
            business_key=f"{name}/{business_key}",
            run_hash=run_plan.run_hash,
            body=run_plan.to_json(),
            planned_at=planned_at,
            needs_approval=needs_approval,
            created_at=at,
            updated_at=at,
        )
        stored, is_new = store_run(session, row)
        if is_new:
            add_event(session, stored, kind="planned", who=MACHINE, at=at, detail=f"{len(run_plan.legs)} legs")
        return stored_run(stored)


def plan_again(
    ledger: Ledger, run: StoredRun, run_plan: RunPlan, *, planned_at: datetime, needs_approval: bool, why: str
) -> bool:
    """Put a new decision in the place of the one that no longer holds; an approval of the old one is void."""
    return _move(
        ledger,
        run,
        RunState.PLANNED,
        kind=PLANNED_AGAIN,
        detail=why,
        run_hash=run_plan.run_hash,
        values={
            **_body(run_plan, planned_at),
            "attempt": run.attempt + 1,
            "needs_approval": needs_approval,
            "approval_until": None,
            "approved_hash": "",
            "decided_by": "",
            "decision_reason": "",
            "decided_at": None,
        },
    )


def ask_approval(ledger: Ledger, run: StoredRun) -> bool:
    """Let the run wait for a person."""
    timeout = timedelta(seconds=run.run_plan.subscription.approval_timeout_s)
    with ledger.read() as session:
        until = ledger.now(session) + timeout
    return _move(
        ledger,
        run,
        RunState.AWAITING_APPROVAL,
        kind="approval_asked",
        detail=f"until {until.isoformat(timespec='seconds')}",
        values={"approval_until": until},
    )


def pass_without_approval(ledger: Ledger, run: StoredRun) -> bool:
    """The subscription asks for no person, or there is nothing to send."""
    return _move(ledger, run, RunState.APPROVED, kind="approval_not_needed")


def decide_run(ledger: Ledger, run_id: str, approval: Approval) -> StoredRun:
    """Record what a person said of the very plan that waits; RunError where it is another, or none waits.

    After the time to approve the run times out instead, whoever calls.
    """
    run = get_run(ledger, run_id)
    if len(approval.run_hash) < HASH_DIGITS_MIN:
        raise RunError(RunReason.RUN_HASH_SHORT, f"the hash must have {HASH_DIGITS_MIN} digits or more")
    if run.state is not RunState.AWAITING_APPROVAL:
        raise RunError(RunReason.RUN_NOT_WAITING, f"run {run.run_id} is {run.state.value}")
    if not run.run_hash.startswith(approval.run_hash.lower()):
        raise RunError(
            RunReason.RUN_HASH_DIFFERS, f"run {run.run_id} waits with hash {run.run_hash}, not {approval.run_hash}"
        )
    if end_waiting(ledger, run):
        raise RunError(RunReason.RUN_NOT_WAITING, f"run {run.run_id} has waited until {run.approval_until}: timed out")
    is_yes = approval.decision is Decision.APPROVE
    moved = _move(
        ledger,
        run,
        RunState.APPROVED if is_yes else RunState.REJECTED,
        kind="approved" if is_yes else "rejected",
        who=f"{PERSON}{approval.by}",
        detail=approval.reason,
        values={
            "approved_hash": run.run_hash if is_yes else "",
            "decided_by": approval.by,
            "decision_reason": approval.reason,
            "decided_at": approval.at,
        },
    )
    if not moved:
        raise RunError(RunReason.RUN_NOT_WAITING, f"run {run.run_id} was decided by somebody else at the same time")
    return get_run(ledger, run.run_id)


def end_waiting(ledger: Ledger, run: StoredRun) -> bool:
    """Time a run out whose time to approve is over; whether it was."""
    with ledger.read() as session:
        now = ledger.now(session)
    if run.approval_until is None or now < run.approval_until:
        return False
    return _move(ledger, run, RunState.APPROVAL_TIMED_OUT, kind="approval_timed_out")


def begin_run(ledger: Ledger, run: StoredRun, run_plan: RunPlan, *, checked_at: datetime, note: str = "") -> bool:
    """Store the plans of all accounts and let the run execute, in one transaction: both, or neither.

    `run_plan` is the approved one, or one that differs from it within the limits of its approval; `checked_at`, by the
    ledger's clock, is before the accounts were last read for it.
    """
    with ledger.write() as session:
        at = ledger.now(session)
        row = load_run(session, run.run_id)
        is_ours = move_run(
            session,
            run.run_id,
            of_attempt=run.attempt,
            from_state=run.state,
            to_state=RunState.EXECUTING,
            at=at,
            **_body(run_plan, checked_at),
        )
        if not is_ours:
            return False
        for item in sorted(run_plan.accounts, key=lambda item: str(item.plan.account_id)):  # one order of locks
            plan, legs = plan_rows(
                item.plan, plan_key(run.run_id, run.attempt), began_at=checked_at, at=at, run_id=run.run_id
            )
            store_plan(session, plan, legs)
        add_event(session, row, kind="begun", who=MACHINE, at=at, detail=note, run_hash=run_plan.run_hash)
        return True


def finish_run(ledger: Ledger, run: StoredRun, result: RunResult) -> bool:
    """End a run with what it came to; False when somebody else has ended it."""
    return _move(
        ledger,
        run,
        result.state,
        kind="ended",
        detail=f"{result.state.value} {result.reason}".strip(),
        values={"result": result.to_json()},
    )


def want_cancel(ledger: Ledger, run_id: str, *, by: str, reason: str) -> StoredRun:
    """Record that a person wants the run stopped; RunError RUN_ENDED. Whoever executes it sees that at every turn."""
    run = get_run(ledger, run_id)
    with ledger.write() as session:
        at = ledger.now(session)
        row = load_run(session, run.run_id)
        if RunState(row.state).is_terminal:
            raise RunError(RunReason.RUN_ENDED, f"run {run.run_id} ended as {row.state}")
        if ask_to_cancel(session, run.run_id, by=by, reason=reason, at=at):
            add_event(session, row, kind="cancel_asked", who=f"{PERSON}{by}", at=at, detail=reason)
    return get_run(ledger, run.run_id)


def _body(run_plan: RunPlan, planned_at: datetime) -> dict[str, Any]:
    return {
        "body": run_plan.to_json(),
        "run_hash": run_plan.run_hash,
        "planned_at": planned_at,
    }


def _move(
    ledger: Ledger,
    run: StoredRun,
    to_state: RunState,
    *,
    kind: str,
    who: str = MACHINE,
    detail: str = "",
    run_hash: str = "",
    values: Mapping[str, Any] | None = None,
) -> bool:
    """Move the run from where it was read, with its event; False when it is there no longer."""
    with ledger.write() as session:
        at = ledger.now(session)
        row = load_run(session, run.run_id)
        given = dict(values or {})
        if given.get("decided_at", at) is None and who.startswith(PERSON):
            given["decided_at"] = at
        moved = move_run(
            session, run.run_id, of_attempt=run.attempt, from_state=run.state, to_state=to_state, at=at, **given
        )
        if moved:
            add_event(session, row, kind=kind, who=who, at=at, detail=detail, run_hash=run_hash or run.run_hash)
        return moved
