"""Job: arm a pool. One person asks, the run waits, another person approves that very record in the form.

The form's names are typed by whoever is logged in, and the login is one for all: so the form also asks for a code of
each of the two people, made with their own keys for this record (trading.arming.people).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.runtime import flow_run as flow_run_runtime
from prefect.states import Completed
from pydantic import Field, SecretStr

from flows.job import REFUSALS, refused
from flows.parameters import AccountName
from flows.states import FinalState
from ledger.arming import newest_step
from ledger.engine import Ledger
from ledger.tables import ArmingRow
from tasks.blocks import load_account
from tasks.config import Account
from tasks.process import Process
from trading.arming import (
    ArmingReason,
    ArmingRefused,
    People,
    approve_arming,
    arming_key,
    policies_sha256,
    request_arming,
)
from trading.arming.people import secrets_folder
from trading.arming.record import grouped
from trading.code_hash import code_sha256

DESCRIPTION = """
Arm the pool of an account, so that its jobs may send orders: for some hours, up to a notional, with the risk policy and
the code as they are now. The run shows the record, then waits for another person: three dots, Resume.

Anything that changes disarms: a policy, the code, a start of the stack, a halt or kill. `algotrendy arm disarm` takes
it back at any time.
"""
WAIT_S = 1200
PersonName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,30}$")]
Amount = Annotated[str, Field(pattern=r"^[1-9]\d{0,11}(\.\d{1,8})?$")]
Hours = Annotated[int, Field(ge=1, le=8)]
Why = Annotated[str, Field(min_length=5, max_length=300)]
_CODE = r"^$|^[A-Za-z2-7]{4}(-?[A-Za-z2-7]{4}){3}$"


class ArmingDecision(RunInput):
    """What the approver says."""

    decision: Literal["approve", "reject"] = Field(
        title="Decision", description="approve arms this very record.", json_schema_extra={"position": 0}
    )
    approver: PersonName = Field(
        title="Approver", description="Your name, as it is enrolled.", json_schema_extra={"position": 1}
    )
    approve_code: str = Field(
        default="",
        pattern=_CODE,
        title="Your code",
        description='algotrendy arm code "RECORD" --approve --by YOU --key FILE; empty to reject.',
        json_schema_extra={"position": 2},
    )
    request_code: str = Field(
        default="",
        pattern=_CODE,
        title="Code of the person who asks",
        description='algotrendy arm code "RECORD" --by THEM --key FILE, from them.',
        json_schema_extra={"position": 3},
    )


@flow(
    name="arm-production",
    flow_run_name="Arm {account} for {hours} h up to {notional}",
    description=DESCRIPTION.strip(),
    persist_result=False,
    retries=0,
)
def arm_production(
    account: AccountName,
    requested_by: PersonName,
    reason: Why,
    notional: Amount,
    hours: Hours = 1,
    more_accounts: list[AccountName] = [],  # noqa: B006  read by the form, changed by nobody
) -> State[Any]:
    """Arm a pool.

    Args:
        account: Name of the account's block.
        requested_by: Your name, as it is enrolled (algotrendy arm enrol).
        reason: Why; it is kept for ever.
        notional: Most that may be sent in all, in quote currency, e.g. 25000.
        hours: How long, 1 to 8.
        more_accounts: Further accounts of the same pool under the same notional.
    """
    try:
        return _arm([account, *more_accounts], requested_by, reason, Decimal(notional), hours)
    except (*REFUSALS, ArmingRefused) as error:
        get_run_logger().error("Refused: %s", error)
        return refused(error)


def _arm(names: list[str], requested_by: str, reason: str, notional: Decimal, hours: int) -> State[Any]:
    """Runs from the top again after the form: everything before it is asked for once, by the run's id."""
    process = Process.from_environment()
    accounts = [load_account(name, environment=process.environment) for name in dict.fromkeys(names)]
    folder, code = secrets_folder(), code_sha256()
    key, people = _key(process), People(folder)
    policies = policies_sha256({one.account_id: one.policy for one in accounts})
    with Ledger.open(process.ledger_url, environment=process.environment) as ledger:
        request = request_arming(
            ledger,
            pool=process.pool,
            policies=policies,
            notional_max=notional,
            hours=hours,
            requested_by=requested_by,
            reason=reason,
            people=people,
            key=key,
            code_sha256=code,
            run=str(flow_run_runtime.id),
        )
        with ledger.read() as session:
            last = newest_step(session, process.pool)
    text = shown(request, accounts, last)
    if flow_run_runtime.run_count == 1:
        create_markdown_artifact(text, key=f"arm-production-{names[0]}", description=f"Record {request.record_sha256}")
        get_run_logger().info("Waiting for another person: three dots, Resume. Record %s", request.record_sha256)
    said = suspend_flow_run(
        wait_for_input=ArmingDecision.with_initial_data(description=text), timeout=WAIT_S, key="approval"
    )
    if said.decision == "reject":
        return FinalState.REJECTED.state(f"{said.approver} rejects record {request.record_sha256[:12]}")
    with Ledger.open(process.ledger_url, environment=process.environment) as ledger:
        armed = approve_arming(
            ledger,
            request.record_sha256,
            pool=process.pool,
            policies=policies,
            approved_by=said.approver,
            request_code=said.request_code,
            approve_code=said.approve_code,
            people=people,
            key=key,
            code_sha256=code,
        )
    return Completed(
        message=f"pool {armed.pool} is armed until {armed.expires_at:%H:%M:%S} UTC for {armed.notional_max:f}, "
        f"asked for by {armed.requested_by}, approved by {armed.approved_by}"
    )


def _key(process: Process) -> SecretStr:
    key = arming_key(secrets_folder(), process.environment, make=True)
    if key is None:
        raise ArmingRefused(ArmingReason.ARMING_KEY_MISSING, "ALGOTRENDY_SECRETS is not set for this pool's jobs")
    return key


def shown(request: ArmingRow, accounts: list[Account], last: ArmingRow | None) -> str:
    """The record as a person reads it before they approve."""
    lines = [
        f"### Arm pool {request.pool}",
        "",
        f"Record **{grouped(request.record_sha256)}**",
        "",
        f"Asked for by **{request.requested_by}**: {request.reason}",
        "",
        f"Up to **{request.notional_max:f}** in all, until **{request.expires_at:%Y-%m-%d %H:%M:%S} UTC**.",
        "",
    ]
    for one in accounts:
        policy = one.policy
        allowed = policy.allowed_instruments
        named = "all" if allowed is None else ", ".join(allowed[:6]) or "none"
        lines.append(
            f"- **{one.account_id}**: an order up to {policy.order_notional_max:f}, a position up to "
            f"{policy.position_notional_max:f}, {policy.gross_notional_max:f} gross, leverage {policy.leverage_max:f}, "
            f"instruments: {named}"
        )
    return "\n".join([*lines, "", f"Since the last arming: {_changes(request, last)}."])


def _changes(request: ArmingRow, last: ArmingRow | None) -> str:
    if last is None or not last.record_sha256:
        return "none is on record" if last is None else f"disarmed ({last.reason})"
    changed = [
        name
        for name, before, now in (
            ("code", last.code_sha256, request.code_sha256),
            ("accounts or their policies", last.policy_sha256, request.policy_sha256),
        )
        if before != now
    ]
    return " and ".join(changed) + " changed" if changed else "code and policies are the same"
