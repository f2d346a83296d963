"""Job: finish what other runs left behind. It may send orders that were wanted and never left; none twice.

The sweep is the job's own, so that what it finds at the venue is reported and not only refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from sqlmodel import col, select

from flows.job import Job, run_job
from flows.parameters import AccountName, Minutes
from flows.rebalance import verdict as verdict_of_plan
from flows.states import FinalState
from ledger.states import IntentState
from ledger.tables import OrderIntent
from tasks.beside import in_threads
from tasks.steps import prefect_step
from trading.first_run import reconcile_first
from trading.orders import IntentView, SweepReport
from trading.plans import RebalanceResult, begun_plans, resume_plans
from trading.runtime import Runtime
from trading.steps import Step, StepKind

DESCRIPTION = """
Finish what other runs left behind: ask the venue for orders whose outcome is not known, take over expired leases,
look for orders of ours that the ledger does not know, and send orders that were already wanted and never left, while
they are still valid.

No order is sent twice, so run it as often as you like. After a crash run this first, then start the crashed job again.
"""
UNSETTLED = frozenset({IntentState.CLAIMED, IntentState.SENDING, IntentState.UNKNOWN, IntentState.NOT_PLACED})


@flow(
    name="resume-orders",
    flow_run_name="Resume orders of {account} for {minutes} min",
    description=DESCRIPTION.strip(),
    persist_result=False,
    retries=0,
)
def resume_orders(account: AccountName, minutes: Minutes = 2, plans: bool = False) -> State[Any]:
    """Resume orders.

    Args:
        account: Name of the account's block.
        minutes: How long to go on with orders whose outcome needs time to be proved, 0 to 10.
        plans: Also continue rebalance plans that were begun and interrupted, which makes new orders.
    """
    return run_job(
        "resume-orders", account, lambda job: _resume(job, 60.0 * minutes, plans), trades=True, own_sweep=True
    )


def _resume(job: Job, timeout_s: float, plans: bool) -> State[Any]:
    runtime = job.runtime
    report = finish_orders(runtime, timeout_s=timeout_s, step=prefect_step)
    job.publish(report)
    states = [verdict(report)]
    for result in continue_plans(runtime, report, step=prefect_step) if plans else ():
        job.publish(result, part=f"plan-{result.plan.plan_id[:12]}")
        states.append(verdict_of_plan(result))
    return worst(states)


def continue_plans(runtime: Runtime, report: SweepReport, *, step: Step) -> tuple[RebalanceResult, ...]:
    """Finish plans that were begun, on an account that is reconciled first: they make new orders.

    None goes on while the venue shows orders that nobody can explain or the outcome of one is not known: the report
    says so, and a later run continues. Raises NotReadyToTrade when the account could not be reconciled.
    """
    is_known = not any(view.state in UNSETTLED for view in report.advanced)
    if not (is_known and is_explained(report) and begun_plans(runtime)):
        return ()
    reconcile_first(runtime, step=step)
    return resume_plans(runtime, step=step, beside=in_threads)


def finish_orders(runtime: Runtime, *, timeout_s: float, step: Step) -> SweepReport:
    """Sweep, then go on with orders without a known outcome; not where the venue's orders could not be compared."""
    swept = step(f"sweep the orders of {runtime.account_id}", StepKind.ADVANCE, runtime.desk.sweep)
    if swept.unread:
        return swept
    settled = runtime.desk.drive(unsettled(runtime), timeout_s=timeout_s, step=step)
    latest = {view.intent_id: view for view in (*swept.advanced, *settled)}
    return replace(swept, advanced=tuple(latest.values()))


def is_explained(report: SweepReport) -> bool:
    """Every order of ours at the venue was read and is on record: plans may go on."""
    return not report.sightings and not report.unread


def worst(states: list[State[Any]]) -> State[Any]:
    """The first failure, else the first that is not plainly completed, else all of them in one."""
    ranked = sorted(states, key=lambda state: (state.is_completed(), state.name == "Completed"))
    if ranked[0].name != "Completed":
        return ranked[0]
    return Completed(message="; ".join(str(state.message) for state in states))


def unsettled(runtime: Runtime) -> tuple[str, ...]:
    """Intents that were or may have been sent and whose outcome is not known yet."""
    with runtime.ledger.read() as session:
        query = select(OrderIntent.intent_id).where(
            OrderIntent.account_id == str(runtime.account_id),
            col(OrderIntent.state).in_([state.value for state in UNSETTLED]),
        )
        return tuple(session.exec(query.order_by(col(OrderIntent.created_at))))


def verdict(report: SweepReport) -> State[Any]:
    """The worst of what was found decides."""
    for_people = [view for view in report.advanced if view.state is IntentState.NEEDS_HUMAN]
    if report.sightings:
        seen = report.sightings
        return FinalState.NEEDS_HUMAN.state(
            f"orders of ours that should not be at the venue: {len(seen.adopted)} adopted late, {len(seen.duplicates)} "
            f"duplicates, {len(seen.untracked)} untracked, {len(seen.misplaced)} of another environment; the pool is "
            "halted until a person lifts it"
        )
    if for_people:
        return FinalState.NEEDS_HUMAN.state(f"{len(for_people)} orders need a person: {_named(for_people)}")
    if report.unread:
        return FinalState.NOT_RECONCILED.state(f"the venue's orders could not be compared: {report.unread}")
    left = [view for view in report.advanced if view.state in UNSETTLED]
    if left:
        return FinalState.COMPLETED_ADJUSTED.state(f"{len(left)} orders still without proof: {_named(left)}; run again")
    return Completed(message=f"{len(report.advanced)} orders looked at, every outcome is known")


def _named(views: list[IntentView]) -> str:
    return ", ".join(
        f"{view.request.side.value} {view.request.quantity:f} {view.request.instrument_id}" for view in views[:5]
    )
