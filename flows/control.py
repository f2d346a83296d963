"""Job: set who may trade. The venue is not asked, and the account's block is not read."""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.parameters import AccountName, OtherPersonName, PersonName, ReasonText
from flows.states import FinalState
from flows.stopping import Scope, Stopping, guarded
from ledger.states import ControlState

DESCRIPTION = """
Set who may trade, for one account or for every account of the pool: **run**, **pause** (no new orders),
**reduce_only**, **halt** (only cancels). It stands in the database and in the control file; the stricter counts, and it
holds until a person lowers it.

Lowering needs a reason, and in production two different people. To cancel what is open as well, use the kill switch.
"""


@flow(
    name="control",
    flow_run_name="Set the {scope} of {account} to {state}",
    description=DESCRIPTION.strip(),
    persist_result=False,
    retries=0,
)
def control(
    account: AccountName,
    scope: Scope,
    state: Literal["halt", "pause", "reduce_only", "run"],
    set_by: PersonName,
    reason: ReasonText,
    approved_by: OtherPersonName = "",
    acknowledge_left: bool = False,
) -> State[Any]:
    """Set a control state.

    Args:
        account: Name of the account's block.
        scope: account is this account alone; pool is every account of the environment.
        state: halt lets cancels leave only; reduce_only orders that reduce a position; pause no new order; run all.
        set_by: Your name.
        reason: Why, in one line. It is kept for ever.
        approved_by: The second person. Needed in production where more is let out than before.
        acknowledge_left: You have read what a kill named as left, and take it over.
    """
    return guarded(lambda: _set(account, scope, ControlState(state), set_by, reason, approved_by, acknowledge_left))


def _set(
    account: str,
    scope: Scope,
    state: ControlState,
    set_by: str,
    reason: str,
    approved_by: str,
    acknowledge_left: bool,
) -> State[Any]:
    stopping = Stopping.of(account, scope)
    changed = stopping.change(
        state=state, reason=reason, set_by=set_by, approved_by=approved_by, acknowledge_left=acknowledge_left
    )
    stopping.publish(changed, key=f"control-{account}")
    said = f"{changed.scope} is {changed.after}, was {changed.before}"
    if changed.problems:
        return FinalState.CONTROL_HALF_SET.state(f"{said}; {'; '.join(changed.problems)}")
    return Completed(message=said)
