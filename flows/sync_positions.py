"""Job: read an account at the venue and keep what is new as evidence."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.job import Job, run_job
from flows.parameters import AccountName
from tasks.steps import prefect_step
from trading.sync import sync_account

DESCRIPTION = """
Read balances, positions, open orders, fills and wallet changes of the account; store what is new.

The first run opens the account's ledger: its figures are the baseline that everything later is added to.
Nothing is sent but reads.
"""


@flow(
    name="sync-positions",
    flow_run_name="Sync {account}",
    description=DESCRIPTION.strip(),
    persist_result=False,
    retries=0,
)
def sync_positions(account: AccountName) -> State[Any]:
    """Sync an account.

    Args:
        account: Name of the account's block.
    """
    return run_job("sync-positions", account, _sync)


def _sync(job: Job) -> State[Any]:
    runtime = job.runtime
    result = sync_account(runtime.ledger, runtime.broker, clock=runtime.clock, step=prefect_step)
    job.publish(result)
    new = f"{result.fills.new} new fills, {result.cash_events.new} new wallet changes"
    opened = "Opened the ledger of the account: " if result.is_baseline else ""
    return Completed(message=f"{opened}{len(result.positions)} positions, {new}")
