"""Job: bring an account to its portfolio's target weights, and prove it at the venue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.runtime import flow_run as flow_run_runtime
from prefect.states import Completed

from flows.job import Job, business_key, run_job
from flows.parameters import AccountName, Key, PortfolioName
from flows.states import FinalState
from ledger.states import PlanState
from tasks.beside import in_threads
from tasks.blocks import load_portfolio
from tasks.steps import prefect_step
from trading.plan_store import other_running_plan, plan_id_of
from trading.plans import (
    AnotherPlanRuns,
    PlanProgress,
    RebalanceMode,
    RebalanceResult,
    cancel_plan,
    get_plan,
)
from trading.plans import (
    rebalance as rebalance_account,
)
from trading.rebalancing.verdict import Verdict

DESCRIPTION = """
Bring the account to the portfolio's target weights: reductions first, increases as confirmed fills free the money, and
at the end the venue is read again, line by line.

**plan** shows what would be traded and sends nothing. **execute** trades. A run that is retried or started again after
a crash continues its own plan and sends no order twice.
"""


def run_name(parameters: Mapping[str, Any]) -> str:
    """Short enough for the list of runs, where the end of a long name is cut off."""
    account, portfolio = parameters.get("account"), parameters.get("portfolio")
    is_plan = parameters.get("mode", "plan") == RebalanceMode.PLAN.value
    return f"Plan {portfolio} on {account}" if is_plan else f"Rebalance {account} to {portfolio}"


@flow(
    name="rebalance",
    flow_run_name=lambda: run_name(flow_run_runtime.parameters),
    description=DESCRIPTION.strip(),
    persist_result=False,
    retries=0,
)
def rebalance(
    account: AccountName,
    portfolio: PortfolioName,
    mode: Literal["plan", "execute"] = "plan",
    unfinished: Literal["resume", "cancel", "refuse"] = "resume",
    key: Key = "",
) -> State[Any]:
    """Rebalance an account.

    Args:
        account: Name of the account's block.
        portfolio: Name of the portfolio's block.
        mode: plan shows what would be traded and sends nothing; execute trades.
        unfinished: What to do first with an earlier plan of this account that was interrupted. Only with execute.
        key: Leave it empty. The same key names the same plan for ever; a new run has a new one by itself.
    """
    return run_job("rebalance", account, lambda job: _run(job, portfolio, mode, unfinished, key), trades=True)


def _run(job: Job, portfolio_name: str, mode: str, unfinished: str, key: str) -> State[Any]:
    portfolio, wanted_key = load_portfolio(portfolio_name), business_key(key)
    if mode == RebalanceMode.EXECUTE.value:
        _settle_unfinished(job, wanted_key, unfinished)
    result = rebalance_account(
        job.runtime,
        portfolio,
        business_key=wanted_key,
        mode=RebalanceMode(mode),
        step=prefect_step,
        on_progress=_tell,
        beside=in_threads,
    )
    job.publish(result)
    return verdict(result)


def _settle_unfinished(job: Job, own_key: str, choice: str) -> None:
    """Deal with another plan of the account that was begun: an interrupted run must not be forgotten."""
    runtime, logger = job.runtime, get_run_logger()
    other_id = other_running_plan(runtime.ledger, runtime.account_id, plan_id_of(runtime.account_id, own_key))
    if other_id is None:
        return
    other = get_plan(runtime.ledger, other_id)
    if choice == "refuse":
        raise AnotherPlanRuns(
            f"plan {other_id} of {other.plan.portfolio.name} was begun and has not ended; "
            "run again with unfinished set to resume or cancel"
        )
    if choice == "cancel":
        logger.warning("Cancelling the unfinished plan %s of %s", other_id, other.plan.portfolio.name)
        ended = cancel_plan(runtime, other_id, reason="cancelled by a later run", step=prefect_step)
        logger.info("The earlier plan is now %s", ended.state.value)
        return
    logger.warning("Continuing the unfinished plan %s of %s first", other_id, other.plan.portfolio.name)
    resumed = rebalance_account(
        runtime,
        other.plan.portfolio,
        business_key=other.business_key,
        step=prefect_step,
        on_progress=_tell,
        beside=in_threads,
    )
    logger.info("The earlier plan is now %s: %s", resumed.state.value, resumed.message)


def _tell(progress: PlanProgress) -> None:
    get_run_logger().info("%s (%s of %s legs over)", progress.message, progress.legs_over, progress.legs)


def verdict(result: RebalanceResult) -> State[Any]:
    """The final state says what was proved."""
    plan, message = result.plan.plan, sentence(result)
    if result.state is PlanState.COMPLETED:
        return Completed(message=message)
    if result.state is PlanState.COMPLETED_ADJUSTED:
        return FinalState.COMPLETED_ADJUSTED.state(message)
    if result.state is PlanState.PLANNED:
        return Completed(message=f"Planned: {len(plan.legs)} orders of {plan.portfolio.name}; nothing was sent")
    if result.state is PlanState.EXECUTING:
        return FinalState.PLAN_UNFINISHED.state(f"{result.message}; retry this run and it continues")
    if result.result is not None and any(line.verdict is Verdict.UNRESOLVED for line in result.result.lines):
        return FinalState.NEEDS_HUMAN.state(message)
    return FinalState.TARGET_NOT_REACHED.state(message)


def sentence(result: RebalanceResult) -> str:
    """How the plan ended, in one line."""
    again = "This plan had ended before: " if result.is_resumed and result.before is None else ""
    proof = result.result
    if proof is None:
        return f"{again}{result.state.value}: {result.message}"
    on_target = sum(line.verdict.is_target for line in proof.lines)
    open_lines = [f"{line.instrument_id} {line.verdict.value}" for line in proof.lines if not line.verdict.is_target]
    rest = f"; {', '.join(open_lines[:5])}" if open_lines else ""
    drift = f"drift {proof.drift_before:.2%} before, {proof.drift_after:.2%} after"
    return f"{again}{on_target} of {len(proof.lines)} lines on target, {drift}{rest}"
