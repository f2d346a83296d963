"""Rebalance an account: plan, store, execute, verify. What flows and the command line call.

The ledger remembers: a business key names one plan for ever, so a second, late or crashed run with the key resumes or
reports that plan and never makes another.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ledger.plans import plans_of
from ledger.states import PlanState, SnapshotPurpose
from trading.account_reading import read_account_view
from trading.beside import Beside, one_by_one
from trading.executing import Execution, ExecutionLimits, execute_plan
from trading.plan_store import (
    PLAN_ERRORS,
    AnotherPlanRuns,
    PlanBusy,
    PlanError,
    PlanKeyTaken,
    PlanProgress,
    PlanStale,
    PlanUnfinished,
    ProgressCallback,
    StoredPlan,
    find_plan,
    get_plan,
    keep_plan,
    other_running_plan,
    plan_id_of,
    plan_lease,
    stored_plan,
)
from trading.rebalancing.planner import plan
from trading.rebalancing.portfolio import Portfolio
from trading.rebalancing.verdict import PlanResult
from trading.runtime import Runtime
from trading.steps import Step, StepKind, call_directly
from trading.sync import SyncResult, sync_account
from trading.verifying import verify_plan

__all__ = [
    "PLAN_ERRORS",
    "AnotherPlanRuns",
    "Execution",
    "ExecutionLimits",
    "PlanBusy",
    "PlanError",
    "PlanKeyTaken",
    "PlanProgress",
    "PlanStale",
    "PlanUnfinished",
    "RebalanceMode",
    "RebalanceResult",
    "StoredPlan",
    "cancel_plan",
    "execute_plan",
    "find_plan",
    "get_plan",
    "make_plan",
    "rebalance",
    "begun_plans",
    "resume_plans",
    "verify_plan",
]


class RebalanceMode(StrEnum):
    """Plan only, or plan and execute."""

    PLAN = "plan"
    EXECUTE = "execute"


@dataclass(frozen=True, slots=True, kw_only=True)
class RebalanceResult:
    """What a rebalance came to. `result` is the proof; without it the plan has not ended, and `message` says why."""

    plan: StoredPlan
    state: PlanState
    result: PlanResult | None
    is_resumed: bool
    before: SyncResult | None
    after: SyncResult | None
    message: str


def make_plan(runtime: Runtime, portfolio: Portfolio, *, business_key: str, step: Step = call_directly) -> StoredPlan:
    """Read the account, decide, store. A key that names a plan already returns that plan unread and unchanged.

    Raises PlanImpossible, AnotherPlanRuns, PlanKeyTaken, BrokerError; nothing is stored then.
    """
    known = find_plan(runtime.ledger, runtime.account_id, business_key)
    if known is not None:
        return _require_same_portfolio(known, portfolio)
    other = other_running_plan(runtime.ledger, runtime.account_id, plan_id_of(runtime.account_id, business_key))
    if other is not None:
        raise AnotherPlanRuns(f"plan {other} of {runtime.account_id} was begun and has not ended; resume or cancel it")
    with runtime.ledger.read() as session:
        began_at = runtime.ledger.now(session)
    view = read_account_view(runtime, portfolio, step=step)
    decided = plan(portfolio, view)
    kept = step(
        f"store the plan of {portfolio.name} with {len(decided.legs)} legs",
        StepKind.RECORD,
        lambda: keep_plan(runtime.ledger, decided, business_key, began_at=began_at),
    )
    return _require_same_portfolio(kept, portfolio)


def _require_same_portfolio(stored: StoredPlan, portfolio: Portfolio) -> StoredPlan:
    """The key's plan, when it is of this portfolio as it is. One that was begun goes on as it was decided."""
    decided = stored.plan.portfolio
    if decided.name != portfolio.name:
        raise PlanKeyTaken(
            f"business key {stored.business_key!r} belongs to a plan of portfolio {decided.name!r}, "
            f"was asked for {portfolio.name!r}; use another key"
        )
    if stored.state is not PlanState.EXECUTING and decided.model_dump() != portfolio.model_dump():
        raise PlanKeyTaken(
            f"business key {stored.business_key!r} belongs to a plan of portfolio {portfolio.name!r} as it was before "
            "it was edited; use another key"
        )
    return stored


def rebalance(
    runtime: Runtime,
    portfolio: Portfolio,
    *,
    business_key: str,
    mode: RebalanceMode = RebalanceMode.EXECUTE,
    step: Step = call_directly,
    on_progress: ProgressCallback | None = None,
    limits: ExecutionLimits = ExecutionLimits(),
    beside: Beside = one_by_one,
) -> RebalanceResult:
    """Plan and, in mode execute, execute and verify, with snapshots before and after. Idempotent by business key.

    `beside` runs what may be done at the same time: legs speak with the venue side by side.
    """
    known = find_plan(runtime.ledger, runtime.account_id, business_key)
    if known is not None and known.state.is_terminal:
        _require_same_portfolio(known, portfolio)
        return _outcome(known, known.result, is_resumed=True, message=f"had ended as {known.state.value}")
    before = None if known is not None else _snapshot(runtime, SnapshotPurpose.BEFORE_PLAN, business_key, step)
    stored = make_plan(runtime, portfolio, business_key=business_key, step=step)
    if mode is RebalanceMode.PLAN:
        return _outcome(stored, None, is_resumed=known is not None, before=before, message="planned, nothing sent")
    execution = execute_plan(runtime, stored.plan_id, step=step, on_progress=on_progress, limits=limits, beside=beside)
    result = verify_plan(runtime, stored.plan_id, step=step) if execution.is_finished else None
    after = _snapshot(runtime, SnapshotPurpose.AFTER_PLAN, stored.plan_id, step)  # it may fail: the plan has ended
    return _outcome(
        get_plan(runtime.ledger, stored.plan_id),
        result,
        is_resumed=known is not None,
        before=before,
        after=after,
        message=execution.message,
    )


def _snapshot(runtime: Runtime, purpose: SnapshotPurpose, reference: str, step: Step) -> SyncResult:
    return sync_account(
        runtime.ledger, runtime.broker, clock=runtime.clock, purpose=purpose, reference=reference, step=step
    )


def _outcome(
    stored: StoredPlan,
    result: PlanResult | None,
    *,
    is_resumed: bool,
    message: str,
    before: SyncResult | None = None,
    after: SyncResult | None = None,
) -> RebalanceResult:
    return RebalanceResult(
        plan=stored,
        state=stored.state,
        result=result,
        is_resumed=is_resumed,
        before=before,
        after=after,
        message=message,
    )


def resume_plans(
    runtime: Runtime,
    *,
    step: Step = call_directly,
    on_progress: ProgressCallback | None = None,
    limits: ExecutionLimits = ExecutionLimits(),
    beside: Beside = one_by_one,
) -> tuple[RebalanceResult, ...]:
    """Go on with every plan of the account that was begun and has not ended. Plans that were only made stay so."""
    return tuple(
        rebalance(
            runtime,
            stored.plan.portfolio,
            business_key=stored.business_key,
            step=step,
            on_progress=on_progress,
            limits=limits,
            beside=beside,
        )
        for stored in begun_plans(runtime)
    )


def begun_plans(runtime: Runtime) -> tuple[StoredPlan, ...]:
    """Plans of the account that sent or may have sent orders and have not ended, oldest first."""
    with runtime.ledger.read() as session:
        rows = plans_of(session, str(runtime.account_id), unfinished=True)
    return tuple(stored_plan(row) for row in rows if row.state == PlanState.EXECUTING.value)


def cancel_plan(runtime: Runtime, plan_id: str, *, reason: str, step: Step = call_directly) -> StoredPlan:
    """Stop a plan for good: take its orders back and end it as cancelled; what was filled stays filled.

    Returns the plan still executing when an order could not be settled yet or needs a person first: call it again.
    """
    if not reason.strip():
        raise ValueError("a cancelled plan needs its reason")
    if get_plan(runtime.ledger, plan_id).state.is_terminal:
        return get_plan(runtime.ledger, plan_id)
    with plan_lease(runtime, plan_id) as lease:
        active = [view for view in runtime.desk.views(plan_id=plan_id) if not view.state.is_terminal]
        for view in active:
            step(
                f"take back {view.request.side} {view.request.quantity:f} {view.request.instrument_id}",
                StepKind.ADVANCE,
                lambda view=view: runtime.desk.cancel(view.intent_id, reason=reason),  # type: ignore[misc]
            )
        ended = runtime.desk.drive([view.intent_id for view in active], timeout_s=15.0, step=step)
        lease.renew()
        if all(view.state.is_terminal for view in ended):
            lease.finish(PlanState.CANCELLED_MID_RUN, f"cancelled: {reason}")
    return get_plan(runtime.ledger, plan_id)
