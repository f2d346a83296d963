"""Job: an account's statement of a day, after a sync, so that the ledger has what happened in it."""

from __future__ import annotations

from datetime import date
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.job import Job, refused, run_job
from flows.parameters import AccountName, DayText
from flows.states import FinalState
from tasks.steps import prefect_step
from trading.statement import StatementRefused, day_to_state, make_statement
from trading.statement_model import Statement
from trading.sync import sync_account

DESCRIPTION = """
Write the account's statement of one UTC day: balances and equity from opening to closing by what moved them, realised
and unrealised profit by instrument, fees, funding. As a page here, and as HTML, CSV and JSON.

The account is synced first. Nothing is sent but reads.
"""


@flow(
    name="daily-statement",
    flow_run_name="Statement of {account} {day}",
    description=DESCRIPTION.strip(),
    persist_result=False,
    retries=0,
)
def daily_statement(account: AccountName, day: DayText = "") -> State[Any]:
    """Write a statement.

    Args:
        account: Name of the account's block.
        day: UTC day as YYYY-MM-DD; empty is yesterday, or today where the account was first synced today.
    """
    return run_job("daily-statement", account, lambda job: _state(job, day))


def _state(job: Job, day: str) -> State[Any]:
    runtime = job.runtime
    sync_account(runtime.ledger, runtime.broker, clock=runtime.clock, step=prefect_step)
    wanted = date.fromisoformat(day) if day else day_to_state(runtime)
    try:
        made = make_statement(runtime, wanted, step=prefect_step)
    except StatementRefused as error:
        return refused(error)
    job.publish(made)
    return verdict(made)


def verdict(made: Statement) -> State[Any]:
    """Completed when every currency adds up and nothing is left unexplained; adjusted where something is not told."""
    told = f"{made.day.isoformat()}: {made.fills} fills, {len(made.instruments)} instruments, sha256 {made.sha256[:16]}"
    if not made.adds_up:
        return FinalState.BREAKS_FOUND.state(f"{told}; a currency does not add up")
    unexplained = [item.currency for item in made.currencies if not item.is_explained]
    open_ends = [f"not explained: {', '.join(unexplained)}"] if unexplained else []
    open_ends += [f"{made.breaks.left} break(s) are open"] if made.breaks.left else []
    open_ends += [f"accepted: {'; '.join(made.breaks.accepted)}"] if made.breaks.accepted else []
    open_ends += [] if made.is_final else ["provisional"]
    if open_ends:
        return FinalState.COMPLETED_ADJUSTED.state(f"{told}; {'; '.join(open_ends)}")
    return Completed(message=f"{told}; every currency adds up")
