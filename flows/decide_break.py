"""Job: what a person decides about a break of the pool. No venue is asked and no account is opened."""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from brokers.types import ZERO
from flows.parameters import (
    AcceptDays,
    AmountText,
    BreakText,
    OtherPersonName,
    OverrideHours,
    PersonName,
    ReasonText,
    number,
)
from flows.pool_job import PoolJob, run_pool_job
from ledger.states import BreakStep
from trading.breaks import Decision, decide

DESCRIPTION = """
Decide what becomes of a **break**, a difference between ledger and venue: **accept** it as it is for some days,
**assign** it, **explain** it, **correct** it (an entry that the books count from then on; nothing is edited), **claim**
an order or trade of other hands, or **override** its lock for some hours. **unaccept** and **unclaim** take back what
was said.

Correcting and overriding need two different people in production. A corrected break clears with the next
reconciliation; its lock ends with the second. An accepted break keeps its lock; another amount or other evidence ends
the acceptance.
"""
_STEPS = {
    "accept": BreakStep.ACCEPTED,
    "unaccept": BreakStep.UNACCEPTED,
    "assign": BreakStep.ASSIGNED,
    "explain": BreakStep.EXPLAINED,
    "correct": BreakStep.CORRECTED,
    "claim": BreakStep.CLAIMED,
    "unclaim": BreakStep.UNCLAIMED,
    "override": BreakStep.OVERRIDDEN,
}


@flow(
    name="decide-break",
    flow_run_name="Break {break_id}: {decision}",
    description=DESCRIPTION.strip(),
    persist_result=False,
    retries=0,
)
def decide_break(
    break_id: BreakText,
    decision: Literal["accept", "unaccept", "assign", "explain", "correct", "claim", "unclaim", "override"],
    set_by: PersonName,
    reason: ReasonText,
    approved_by: OtherPersonName = "",
    owner: OtherPersonName = "",
    amount: AmountText = "",
    hours: OverrideHours = 1,
    days: AcceptDays = 30,
) -> State[Any]:
    """Decide about a break.

    Args:
        break_id: Id of the break, or its first eight digits, as the report of a reconciliation shows it.
        decision: accept, assign, explain keep it a break; correct books it; claim takes a trade; override unlocks.
        set_by: Your name. It is kept with the break for ever.
        reason: Why, in a sentence. It is kept as well.
        approved_by: The second person. Needed in production to correct and to override.
        owner: To assign, who is to see to it; to claim, whose the order or trade is.
        amount: To correct a position or a balance in part, how much; empty is the whole difference. To accept one, how
            far it may move meanwhile; empty is not at all.
        hours: To override, for how many hours, 1 to 24.
        days: To accept, for how many days, 1 to 365.
    """
    given = number(amount)
    wanted = Decision(
        break_id=break_id,
        step=_STEPS[decision],
        reason=reason,
        set_by=set_by,
        approved_by=approved_by,
        owner=owner,
        amount=None if decision == "accept" else given,
        hours=hours,
        days=days,
        within=(given or ZERO) if decision == "accept" else ZERO,
    )
    return run_pool_job("decide-break", lambda job: _decide(job, wanted))


def _decide(job: PoolJob, wanted: Decision) -> State[Any]:
    story = decide(job.ledger, wanted)
    job.publish(story)
    row = story.line.row
    lock = story.line.lock
    locked = "" if lock is None or story.line.is_overridden else f"; {lock.instrument_id} stays locked"
    return Completed(message=f"{row.kind} of {row.subject} was {wanted.step.value} by {wanted.set_by}{locked}")
