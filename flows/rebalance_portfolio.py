"""Job: bring the accounts of a subscription to its portfolio, as one decision, approved where that is needed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.runtime import flow_run as flow_run_runtime
from prefect.states import Completed

from flows.approving_runs import ask_in_form
from flows.job import DRY_RUN_WORDS, business_key
from flows.parameters import Key, SubscriptionName
from flows.pool_job import PoolJob, run_pool_job
from flows.states import FinalState
from ledger.states import RunState
from tasks.beside import in_threads
from tasks.blocks import load_account, load_portfolio, load_subscription
from tasks.config import Account
from tasks.runtime import open_runtime
from tasks.several import Opened, look_only, open_accounts
from tasks.steps import prefect_step
from trading.first_run import reconcile_first
from trading.plans import PlanProgress, RebalanceMode
from trading.rebalancing.portfolio import Portfolio
from trading.rebalancing.release import LegState
from trading.rebalancing.subscription import Subscription
from trading.runs import Approval, RunError, RunOutcome, RunReason, StoredRun, resume_run, run_history, run_portfolio
from trading.runs.store import list_runs, want_cancel
from trading.runtime import Runtime
from trading.starting import prove_account, start_trading

DESCRIPTION = """
Bring every account of a subscription to its portfolio, as **one** plan: reductions first, increases as confirmed fills
free the money, accounts side by side, and at the end each venue is read again, line by line.

**plan** shows what would be traded; nothing is sent and nothing stored. **execute** trades. In production, or where the
subscription says so, the run then waits for a person: three dots, **Resume**. The form shows the plan and its hash; an
approval is for that hash. Prices and positions are read again before anything is sent: beyond the limits there is a new
plan and a new question.

A run that is retried or started again after a crash continues its own plan and sends no order twice.
"""


def run_name(parameters: Mapping[str, Any]) -> str:
    """Short enough for the list of runs."""
    name = parameters.get("subscription")
    return f"Plan {name}" if parameters.get("mode", "plan") == RebalanceMode.PLAN.value else f"Rebalance {name}"


@flow(
    name="rebalance-portfolio",
    flow_run_name=lambda: run_name(flow_run_runtime.parameters),
    description=DESCRIPTION.strip(),
    persist_result=False,
    retries=0,
)
def rebalance_portfolio(
    subscription: SubscriptionName,
    mode: Literal["plan", "execute"] = "plan",
    unfinished: Literal["resume", "cancel", "refuse"] = "resume",
    key: Key = "",
) -> State[Any]:
    """Rebalance the accounts of a subscription.

    Args:
        subscription: Name of the subscription's block.
        mode: plan shows what would be traded and sends nothing; execute trades, after an approval where one is needed.
        unfinished: What to do first with an earlier run of this subscription that was interrupted. Only with execute.
        key: Leave it empty. The same key names the same run for ever; a new run has a new one by itself.
    """
    return run_pool_job(
        "rebalance-portfolio", lambda job: _run(job, subscription, RebalanceMode(mode), unfinished, key)
    )


def _run(job: PoolJob, name: str, mode: RebalanceMode, unfinished: str, key: str) -> State[Any]:
    terms = load_subscription(name)
    portfolio, wanted_key = load_portfolio(terms.portfolio), business_key(key)
    trades = mode is RebalanceMode.EXECUTE
    with open_accounts(
        terms.account_names,
        load=lambda each: load_account(each, environment=job.process.environment),
        open_one=partial(_open, job),
        prove=_ready if trades else look_only,
        beside=in_threads,
    ) as opened:
        for problem in opened.problems:
            get_run_logger().error("%s is left out: %s: %s", problem.account_name, problem.reason, problem.detail)
        if trades:
            _settle_unfinished(job, opened, terms, wanted_key, unfinished)
        outcome = _executed(job, opened, terms, portfolio, mode, wanted_key)
        job.publish(outcome.run_plan if outcome.run is None else outcome, key=_page(terms.name))
        if outcome.run is not None:
            job.publish(run_history(job.ledger, subscription=terms.name), key=f"{_page(terms.name)}-history")
        return _told(job, verdict(outcome))


def _open(job: PoolJob, account: Account) -> AbstractContextManager[Runtime]:
    process = job.process
    return open_runtime(
        account,
        environment=process.environment,
        ledger_url=process.ledger_url,
        key_registry=process.key_registry,
        pool=process.pool,
        control_file=process.control_file,
        dry_run=process.dry_run,
        shared=job.ledger,
    )


def _ready(runtime: Runtime) -> None:
    proof = prove_account(runtime, step=prefect_step)
    start_trading(runtime, proof, step=prefect_step)
    reconcile_first(runtime, step=prefect_step)


def _executed(
    job: PoolJob, opened: Opened, terms: Subscription, portfolio: Portfolio, mode: RebalanceMode, key: str
) -> RunOutcome:
    return run_portfolio(
        opened.runtimes,
        terms,
        portfolio,
        business_key=key,
        mode=mode,
        approve=partial(_ask, job),
        step=prefect_step,
        on_progress=_tell,
        beside=in_threads,
        problems=opened.problems,
    )


def _page(name: str) -> str:
    return f"rebalance-portfolio-{name}"


def _ask(job: PoolJob, run: StoredRun) -> Approval | None:
    page = f"{_page(run.subscription)}-plan"
    job.publish(run.run_plan, key=page)
    return ask_in_form(job.ledger, run, page=f"{page}-{job.process.pool}")


def _settle_unfinished(job: PoolJob, opened: Opened, terms: Subscription, own_key: str, choice: str) -> None:
    """Deal with another run of the subscription that was begun: an interrupted run must not be forgotten."""
    begun = [
        run
        for run in list_runs(job.ledger, subscription=terms.name, unfinished=True)
        if run.state is RunState.EXECUTING and run.business_key != own_key
    ]
    for run in begun:
        if choice == "refuse":
            raise RunError(
                RunReason.ANOTHER_RUN_BEGUN,
                f"run {run.run_id} was begun and has not ended; run again with unfinished set to resume or cancel",
            )
        if choice == "cancel":
            want_cancel(job.ledger, run.run_id, by="a later run", reason="cancelled by a later run")
        get_run_logger().warning("The unfinished run %s comes first: %s", run.run_id, choice)
        outcome = resume_run(
            opened.runtimes,
            run.run_id,
            step=prefect_step,
            on_progress=_tell,
            beside=in_threads,
            problems=opened.problems,
        )
        get_run_logger().info("The earlier run is now %s", outcome.state.value)


def _tell(progress: PlanProgress) -> None:
    get_run_logger().info("%s (%s of %s legs over)", progress.message, progress.legs_over, progress.legs)


def _told(job: PoolJob, state: State[Any]) -> State[Any]:
    if not job.process.dry_run:
        return state
    return state.model_copy(update={"message": f"{DRY_RUN_WORDS}: {state.message}"})


_ENDS = {
    RunState.COMPLETED_ADJUSTED: FinalState.COMPLETED_ADJUSTED,
    RunState.CANCELLED_MID_RUN: FinalState.CANCELLED_MID_RUN,
    RunState.REJECTED: FinalState.REJECTED,
    RunState.APPROVAL_TIMED_OUT: FinalState.APPROVAL_TIMED_OUT,
}


def verdict(outcome: RunOutcome) -> State[Any]:
    """The final state says what was proved."""
    message = sentence(outcome)
    if outcome.run is None or outcome.state is RunState.COMPLETED:
        return Completed(message=message)
    if outcome.state in _ENDS:
        return _ENDS[outcome.state].state(message)
    if not outcome.state.is_terminal:
        return FinalState.PLAN_UNFINISHED.state(f"{message}; retry this run and it continues")
    result = outcome.result
    if result is not None and any(leg.state is LegState.UNRESOLVED for leg in result.legs):
        return FinalState.NEEDS_HUMAN.state(message)
    return FinalState.TARGET_NOT_REACHED.state(message)


def sentence(outcome: RunOutcome) -> str:
    """How the run ended, in one line."""
    plan, run, result = outcome.run_plan, outcome.run, outcome.result
    if run is None:
        return f"Planned: {len(plan.legs)} orders on {len(plan.accounts)} accounts; nothing was sent"
    again = "This run had ended before: " if outcome.is_resumed and run.state.is_terminal else ""
    if result is None:
        why = "; ".join(f"{item.account_name}: {item.reason}: {item.detail}" for item in outcome.interruptions[:3])
        said = f" by {run.decided_by}: {run.decision_reason}" if run.decided_by else ""
        return f"{again}run {run.run_id[:12]} is {run.state.value}{said}{'; ' + why if why else ''}"
    whole = sum(leg.is_whole for leg in result.legs)
    after = "unknown" if result.drift_after is None else f"{result.drift_after:.2%}"
    reasons = ", ".join(f"{code} ({count})" for code, count in result.reasons.most_common(4))
    cost = f"shortfall {result.shortfall.bps:.1f} bps"
    text = f"{whole} of {len(result.legs)} legs filled in full, drift {result.drift_before:.2%} to {after}, {cost}"
    return f"{again}{text}{'; ' + reasons if reasons else ''}"
