"""Job: compare ledger and venue both ways; every difference is a break with amounts and evidence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.job import Job, run_job
from flows.parameters import AccountName, Days
from flows.states import FinalState
from ledger.states import ReconciliationOutcome
from tasks.steps import prefect_step
from trading.reconciling import ReconciliationResult, reconcile_account

DESCRIPTION = """
Compare the account's ledger with the venue, both ways: orders, fills, wallet changes, positions, balances, leverage.

A difference is a **break**: it is stored, reported and shown until it is gone. Where nothing differs but what a person
accepted, the run ends as CLEAN_WITH_ACCEPTED with the amounts. A venue that cannot be read completely is never called
clean. Nothing is sent but reads.
"""


COMPARED = {
    "venue_orders": "orders",
    "venue_fills": "fills",
    "venue_cash_events": "wallet changes",
    "positions": "positions",
    "balances": "balances",
    "leverages": "leverages",
}


@flow(
    name="reconcile",
    flow_run_name="Reconcile {account} over {days} days",
    description=DESCRIPTION.strip(),
    persist_result=False,
    retries=0,
)
def reconcile(account: AccountName, days: Days = 7) -> State[Any]:
    """Reconcile an account.

    Args:
        account: Name of the account's block.
        days: How far back orders, fills and wallet changes are compared, 1 to 30. Balances and positions are always
            compared over the whole time since the first sync.
    """
    return run_job("reconcile", account, lambda job: _reconcile(job, days))


def _reconcile(job: Job, days: int) -> State[Any]:
    result = reconcile_account(
        job.runtime, step=prefect_step, lookback=timedelta(days=days), expected_leverage=job.account.leverage
    )
    job.publish(result)
    return verdict(result)


def verdict(result: ReconciliationResult) -> State[Any]:
    """Completed only when both sides were read completely and agree, and what was new could be imported.

    Differences that a person accepted, and nothing beside them, have a state of their own, with the amounts.
    """
    if result.outcome is ReconciliationOutcome.NOT_RECONCILED or result.findings is None:
        return FinalState.NOT_RECONCILED.state(f"{result.reason}: {result.detail}")
    findings = result.findings
    compared = compared_sentence(findings.compared)
    if findings.not_compared:
        compared += f"; not compared: {'; '.join(findings.not_compared)}"
    if findings.expected:
        compared += f"; expected: {'; '.join(findings.expected)}"
    accepted = "; ".join(item.accepted_text for item in result.accepted)
    refused = f"; not imported: {result.reason}: {result.detail}" if result.reason else ""
    if result.outcome is ReconciliationOutcome.BREAKS:
        kinds = ", ".join(f"{count} {kind.value}" for kind, count in findings.by_kind().items()) or "none seen"
        still = f"; still open: {', '.join(result.still_open)}" if result.still_open else ""
        over = f"; {len(ended)} no longer as accepted" if (ended := result.changes.acceptance_ended) else ""
        known = f"; accepted: {accepted}" if accepted else ""
        return FinalState.BREAKS_FOUND.state(
            f"{len(findings.breaks)} breaks: {kinds}{still}{over}{known}; compared {compared}{refused}"
        )
    if refused:
        return FinalState.NOT_RECONCILED.state(f"No break but accepted ones, compared {compared}{refused}")
    if result.outcome is ReconciliationOutcome.CLEAN_WITH_ACCEPTED:
        return FinalState.CLEAN_WITH_ACCEPTED.state(
            f"Nothing but {len(result.accepted)} accepted: {accepted}; compared {compared}"
        )
    return Completed(message=f"No break; compared {compared}")


def compared_sentence(compared: Mapping[str, int]) -> str:
    """How much of the venue's side was compared."""
    parts = (f"{compared.get(key, 0)} {words}" for key, words in COMPARED.items())
    return ", ".join(parts)
