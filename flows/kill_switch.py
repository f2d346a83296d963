"""Job: stop an account, cancel what is ours, close positions on request, and prove it by reading the venue.

The control state comes first and needs neither the venue nor the account's block: whatever fails after it, nothing
more is sent.
"""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.job import Job, run_job
from flows.parameters import AccountName, OtherPersonName, PersonName, ReasonText
from flows.reports.stopping import verdict
from flows.states import FinalState
from flows.stopping import Scope, Stopping, guarded
from ledger.controlling import ControlChanged
from ledger.states import ControlState
from tasks.steps import prefect_step
from trading.kill_model import KillRequest, KillResult
from trading.killing import kill_account

DESCRIPTION = """
**Stops the account** (or every account of the pool) at once: nothing more is sent. Then cancels every order of ours on
this account, withdraws what was not sent, closes the positions if you say so, and reads the venue twice to prove it.
What is left is named.

The stop holds until a person lowers it with the job *control*. Run it as often as you like: it continues.
"""


@flow(
    name="kill-switch",
    flow_run_name="KILL {account} ({scope})",
    description=DESCRIPTION.strip(),
    persist_result=False,
    retries=0,
)
def kill_switch(
    account: AccountName,
    set_by: PersonName,
    reason: ReasonText,
    scope: Scope = "account",
    positions: Literal["keep", "close"] = "keep",
    orders: Literal["ours", "everything"] = "ours",
    approved_by: OtherPersonName = "",
) -> State[Any]:
    """Kill an account.

    Args:
        account: Name of the account's block.
        set_by: Your name.
        reason: Why, in one line. It is kept for ever.
        scope: account stops this account; pool stops every account of the environment and clears this one.
        positions: close also closes every position with reduce-only orders. In production it needs a second person.
        orders: everything also cancels orders that are not ours, a person's own for instance.
        approved_by: The second person.
    """
    return guarded(lambda: _kill(account, set_by, reason, scope, positions, orders, approved_by))


def _kill(
    account: str, set_by: str, reason: str, scope: Scope, positions: str, orders: str, approved_by: str
) -> State[Any]:
    stopping, flatten = Stopping.of(account, scope), positions == "close"
    changed = stopping.change(
        state=ControlState.KILL, reason=reason, set_by=set_by, approved_by=approved_by, flatten=flatten
    )
    stopping.publish(changed, key=f"control-{account}")
    request = KillRequest(
        requested_by=set_by,
        reason=reason,
        approved_by=approved_by,
        flatten=flatten,
        everything=orders == "everything",
    )
    return run_job("kill-switch", account, lambda job: _clear(job, request, changed))


def _clear(job: Job, request: KillRequest, changed: ControlChanged) -> State[Any]:
    report = kill_account(
        job.runtime, request, settle_currencies=job.account.connection.settle_currencies, step=prefect_step
    )
    job.publish(KillResult(changed=changed, report=report))
    said = verdict(report)
    if not report.is_proved:
        return FinalState.KILL_NOT_PROVED.state(said)
    if changed.problems:
        return FinalState.CONTROL_HALF_SET.state(f"{said} {'; '.join(changed.problems)}")
    return Completed(message=said)
