"""Job: prove that an account can be used: host, key, permissions, clock, ledger."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from brokers.types import AccountProof
from flows.job import Job, run_job
from flows.parameters import AccountName
from flows.reports.model import Column, Figure, Report, Table, Tone
from flows.reports.plain import moment, plain

DESCRIPTION = """
Prove that the account can be used: its host, its key and the key's rights, the venue's clock, the ledger.

Run it after entering or changing a credential: the form that saves a block does not test what was entered.
Nothing is sent but reads.
"""


@flow(
    name="check-account",
    flow_run_name="Check {account}",
    description=DESCRIPTION.strip(),
    persist_result=False,
    retries=0,
)
def check_account(account: AccountName) -> State[Any]:
    """Check an account.

    Args:
        account: Name of the account's block.
    """
    return run_job("check-account", account, _check, reports_rights=True)


def _check(job: Job) -> State[Any]:
    job.publish(check_report(job.proof))
    rights = "may trade" if job.proof.can_trade else "may NOT trade"
    warning = ", and MAY WITHDRAW: make a key without that right" if job.proof.can_withdraw else ""
    return Completed(message=f"{job.account.account_id} answers at {job.proof.host}; its key {rights}{warning}")


def check_report(proof: AccountProof) -> Report:
    """What the connection test proved."""
    offset_ms = proof.clock.offset.total_seconds() * 1000
    rows = (
        ("Account at the venue", proof.venue_account),
        ("Host", proof.host),
        ("Key fingerprint", proof.key_fingerprint),
        ("May trade", "yes" if proof.can_trade else "no"),
        ("May withdraw", "yes" if proof.can_withdraw else "no"),
        ("Permissions", ", ".join(proof.permissions) or "–"),
        ("Margin mode", proof.margin_mode.value),
        ("Clock of the venue", f"{offset_ms:+.0f} ms, within {proof.clock.error.total_seconds() * 1000:.0f} ms"),
        ("Key expires", moment(proof.expires_at)),
    )
    good = proof.can_trade and not proof.can_withdraw
    return Report(
        kind="check",
        title=f"Account {proof.account_id}",
        subtitle=f"Proved against {proof.host}",
        tone=Tone.GOOD if good else Tone.WARN,
        verdict="The account can be used." if good else "The account answers, but its key should have other rights.",
        figures=(Figure("Clock", f"{offset_ms:+.0f} ms", "venue minus ours"),),
        sections=(Table("proof", "What was proved", (Column("What"), Column("Found")), rows),),
        data={"proof": plain(proof)},
    )
