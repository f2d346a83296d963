"""Bring every account of a begun run to its end: side by side, each by its own plan, each with its own proof.

Nothing of one account waits for another, but for two things that are asked at every turn of each: whether a person
wants the run cancelled, and, where the subscription says so, whether a leg anywhere was refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from brokers.errors import BrokerError
from brokers.ids import InstrumentId
from brokers.types import Quote
from ledger.engine import Ledger
from ledger.errors import ConflictingEvidence
from ledger.runs import legs_in_state, load_run
from ledger.states import PlanState, SnapshotPurpose
from trading.account_reading import read_quotes
from trading.beside import Beside
from trading.executing import ExecutionLimits, Stop, execute_plan
from trading.plan_store import (
    AnotherPlanRuns,
    PlanBusy,
    PlanError,
    PlanStale,
    ProgressCallback,
    StoredPlan,
    get_plan,
    plan_lease,
    read_progress,
)
from trading.plans import cancel_plan
from trading.rebalancing.release import LegProgress, LegState
from trading.rebalancing.run_plan import AccountPlan
from trading.rebalancing.subscription import OnRefusal
from trading.runs.fees import fees_of_legs
from trading.runs.reasons import RunReason
from trading.runs.result import AccountResult
from trading.runs.shortfall import run_legs
from trading.runs.store import StoredRun, plans_of
from trading.runtime import Runtime
from trading.steps import Step
from trading.sync import BaselineUnsettled, sync_account
from trading.verifying import verify_plan

PATIENCE_MAX = 3  # attempts of one account in one call
PAUSE_S = 5.0
RETRY_AFTER_S_MAX = 330.0  # above the longest window of a venue's quota


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """Why an account's part could not be brought to its end in this call. Nothing is lost: resume the run."""

    account_name: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What accounts are executed with."""

    step: Step
    beside: Beside
    limits: ExecutionLimits
    on_progress: ProgressCallback | None = None


def execute_accounts(
    runtimes: Mapping[str, Runtime], ledger: Ledger, run: StoredRun, means: Means
) -> tuple[Interruption, ...]:
    """Execute and prove every plan of the run that has not ended; what could not be ended is told."""
    names = {str(item.plan.account_id): item.account_name for item in run.run_plan.accounts}
    parts, missing = [], []
    for stored in plans_of(ledger, run.run_id):
        name = names[str(stored.plan.account_id)]
        if name not in runtimes:  # also of a plan that has ended: its part of the result is read from there
            detail = f"account {name} is not open in this process"
            missing.append(Interruption(account_name=name, reason=RunReason.RUN_ACCOUNT_MISSING.value, detail=detail))
            continue
        if not stored.state.is_terminal:
            parts.append(partial(_one_account, runtimes[name], ledger, run, name, stored.plan_id, means))
    found = [item for item in means.beside(parts) if item is not None]
    return (*missing, *found)


def _one_account(
    runtime: Runtime, ledger: Ledger, run: StoredRun, name: str, plan_id: str, means: Means
) -> Interruption | None:
    try:
        _patiently(runtime, ledger, run, plan_id, means)
    except PlanBusy as error:
        if get_plan(ledger, plan_id).state.is_terminal:
            return None  # the other worker has brought it to its end meanwhile
        return Interruption(account_name=name, reason=RunReason.RUN_BUSY.value, detail=str(error))
    except (BrokerError, BaselineUnsettled, ConflictingEvidence) as error:
        return Interruption(
            account_name=name,
            reason=RunReason.RUN_ACCOUNT_INTERRUPTED.value,
            detail=f"{getattr(error, 'reason', type(error).__name__)}: {error}",
        )
    stored = get_plan(ledger, plan_id)
    if stored.state.is_terminal:
        return None
    return Interruption(
        account_name=name,
        reason=RunReason.RUN_ACCOUNT_INTERRUPTED.value,
        detail="an order has not ended yet, or the time of one execution is over",
    )


def _patiently(runtime: Runtime, ledger: Ledger, run: StoredRun, plan_id: str, means: Means) -> None:
    """Go on after what passes by itself, such as a used up request quota; the others do not wait meanwhile."""
    for attempt in range(1, PATIENCE_MAX + 1):
        try:
            _bring_to_end(runtime, ledger, run, plan_id, means)
            return
        except BrokerError as error:
            wait_s = max(error.retry_after_s or 0.0, attempt * PAUSE_S)
            if not error.retryable or attempt == PATIENCE_MAX or wait_s > RETRY_AFTER_S_MAX:
                raise
        runtime.clock.wait(wait_s)


def _bring_to_end(runtime: Runtime, ledger: Ledger, run: StoredRun, plan_id: str, means: Means) -> None:
    def stop() -> Stop | None:
        return _stop(ledger, run)

    if stop() is Stop.CANCEL:
        _cancel(runtime, ledger, run, plan_id, means)
        return
    stored = get_plan(ledger, plan_id)
    if stored.state is PlanState.PLANNED:
        _snapshot(runtime, SnapshotPurpose.BEFORE_PLAN, plan_id, means)
    try:
        execution = execute_plan(
            runtime,
            plan_id,
            step=means.step,
            on_progress=means.on_progress,
            limits=means.limits,
            stop=stop,
            beside=means.beside,
        )
    except (PlanStale, AnotherPlanRuns) as error:
        _end_unbegun(runtime, plan_id, error)
        return
    if execution.is_cancelled:
        _cancel(runtime, ledger, run, plan_id, means)
    elif execution.is_finished:
        verify_plan(runtime, plan_id, step=means.step)
        _snapshot(runtime, SnapshotPurpose.AFTER_PLAN, plan_id, means)


def _stop(ledger: Ledger, run: StoredRun) -> Stop | None:
    with ledger.read() as session:
        if load_run(session, run.run_id).cancel_by:
            return Stop.CANCEL
        if run.run_plan.subscription.on_refusal is not OnRefusal.STOP:
            return None
        return Stop.REFUSAL if legs_in_state(session, run.run_id, LegState.REFUSED.value) else None


def _cancel(runtime: Runtime, ledger: Ledger, run: StoredRun, plan_id: str, means: Means) -> None:
    """Take back what is at the venue, end the plan, and look at the account once more."""
    with ledger.read() as session:
        row = load_run(session, run.run_id)
        reason = f"by {row.cancel_by}: {row.cancel_reason}"
    cancel_plan(runtime, plan_id, reason=reason, step=means.step)
    _snapshot(runtime, SnapshotPurpose.AFTER_PLAN, plan_id, means)


def _end_unbegun(runtime: Runtime, plan_id: str, error: PlanError) -> None:
    """The account is not as it was when the run was decided: its plan is ended before it sent anything.

    One that was begun by an earlier process sent nothing either, or it would not be judged by its account.
    """
    with plan_lease(runtime, plan_id) as lease:
        lease.finish(PlanState.CANCELLED_MID_RUN, f"{error.reason}: {error}")


def _snapshot(runtime: Runtime, purpose: SnapshotPurpose, reference: str, means: Means) -> None:
    sync_account(
        runtime.ledger, runtime.broker, clock=runtime.clock, purpose=purpose, reference=reference, step=means.step
    )


# -- what became of it ------------------------------------------------------------------------------------------
def account_results(
    runtimes: Mapping[str, Runtime], ledger: Ledger, run: StoredRun, means: Means
) -> list[AccountResult]:
    """The ends of all accounts of a run whose plans have ended."""
    plans = {str(stored.plan.account_id): stored for stored in plans_of(ledger, run.run_id)}
    return [
        _account_result(runtimes[item.account_name], item, plans[str(item.plan.account_id)], means)
        for item in run.run_plan.accounts
    ]


def _account_result(runtime: Runtime, item: AccountPlan, stored: StoredPlan, means: Means) -> AccountResult:
    assert stored.state.is_terminal, f"plan {stored.plan_id} has not ended: {stored.state}"
    code, detail = _why(stored)
    progress = {number: _ended(leg, code) for number, leg in read_progress(runtime, stored).items()}
    fees = fees_of_legs(runtime, stored)
    return AccountResult(
        account_name=item.account_name,
        account_id=str(stored.plan.account_id),
        plan_id=stored.plan_id,
        state=stored.state,
        reason=code,
        detail=detail,
        base_rate=item.base_rate,
        legs=run_legs(
            item.account_name,
            stored.plan,
            progress,
            base_rate=item.base_rate,
            fees=fees.by_leg,
            quotes=_last_quotes(runtime, stored, progress, means.step),
        ),
        other_fees=dict(fees.other),
        proof=stored.result,
    )


def _why(stored: StoredPlan) -> tuple[str, str]:
    """The code of a plan that ended without its proof."""
    if stored.result is not None:
        return "", ""
    code, _, detail = stored.note.partition(": ")
    known = code in (PlanStale.reason, AnotherPlanRuns.reason)
    return (code, detail) if known else (RunReason.RUN_CANCELLED.value, stored.note)


def _ended(leg: LegProgress, code: str) -> LegProgress:
    """A leg of a plan that ended early is over as well: skipped, or done as far as it went."""
    if not code or leg.state.is_over:
        return leg
    state = LegState.DONE if leg.filled_quantity else LegState.SKIPPED
    return replace(leg, state=state, reason=code)


def _last_quotes(
    runtime: Runtime, stored: StoredPlan, progress: Mapping[int, LegProgress], step: Step
) -> dict[InstrumentId, Quote]:
    """Prices of what was not filled in full; none where the venue does not give them now."""
    missed = {leg.instrument_id for leg in stored.plan.legs if progress[leg.number].filled_quantity < leg.quantity}
    try:
        return {quote.instrument_id: quote for quote in read_quotes(runtime, sorted(missed), step=step)}
    except BrokerError:
        return {}  # the missed part is then told as unpriced
