"""What every flow has in common: guards, an opened account, a business key, a report in two forms, a final state."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.runtime import deployment as deployment_runtime

from brokers.errors import EnvironmentMismatch
from brokers.types import AccountProof
from flows.reports import markdown, report_of, write_report
from flows.states import FinalState
from ledger.errors import (
    ConflictingEvidence,
    ControlError,
    DurabilityRefused,
    LedgerEnvironmentMismatch,
    LedgerSchemaNewer,
    LedgerUrlRefused,
)
from tasks.blocks import load_account
from tasks.config import Account, ConfigRefused
from tasks.process import Process
from tasks.runtime import open_runtime
from tasks.steps import prefect_step
from trading.closing import ClosingRefused
from trading.first_run import reconcile_first
from trading.kill_model import KillRefused
from trading.leverage import LeverageRefused
from trading.plan_store import PlanError
from trading.rebalancing.view import PlanImpossible
from trading.runs.reasons import RunError
from trading.runtime import Runtime
from trading.starting import NotReadyToTrade, prove_account, refuse_withdrawal, require_rights, start_trading
from trading.sync import BaselineUnsettled

if TYPE_CHECKING:
    from flows.reports.files import ReportFiles

DRY_RUN_WORDS = "Dry run, nothing was sent"
REFUSALS = (
    EnvironmentMismatch,
    ConfigRefused,
    LedgerEnvironmentMismatch,
    LedgerUrlRefused,
    LedgerSchemaNewer,
    DurabilityRefused,
    ConflictingEvidence,
    ControlError,
    KillRefused,
    BaselineUnsettled,
    ClosingRefused,
    LeverageRefused,
    NotReadyToTrade,
    PlanError,
    PlanImpossible,
    RunError,
)


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one job on one account."""

    name: str
    account_name: str
    account: Account
    process: Process
    runtime: Runtime
    proof: AccountProof

    @property
    def report_key(self) -> str:
        """The stable key of this job's report: its page shows the newest one and the history."""
        return f"{self.name}-{self.account_name}"

    def publish(self, result: Any, *, part: str = "") -> ReportFiles:
        """Write the report's files and its page; log where they are. A further report of a run is a `part`."""
        subject = str(self.account.account_id)
        if self.process.dry_run:
            subject = f"{subject} (dry run, nothing was sent)"
        return publish(result, key=self.report_key, subject=subject, process=self.process, part=part)


def publish(result: Any, *, key: str, subject: str, process: Process, part: str = "") -> ReportFiles:
    """Write a report's files and its page under `key`; also for jobs that open no account."""
    run = _flow_run()
    folder = process.reports / key / str(run.id)
    page = key if not part else f"{key}-{part}"
    report = report_of(result, subject=subject)
    files = write_report(report, folder / part if part else folder)
    create_markdown_artifact(markdown(report), key=page, description=f"{run.name}. Files: `{files.folder}`")
    get_run_logger().info("Report: artifact %s, files in %s", page, files.folder)
    return files


def run_job(
    name: str,
    account_name: str,
    body: Callable[[Job], State[Any]],
    *,
    trades: bool = False,
    own_sweep: bool = False,
    only_reduces: bool = False,
    reports_rights: bool = False,
) -> State[Any]:
    """Open and prove the account behind every guard, then run `body`.

    What a guard refuses ends as REFUSED. A job that `trades` also needs a key with that right and a venue whose orders
    the ledger explains (trading.starting) and an account that was reconciled of late (trading.first_run), but for a job
    that `only_reduces`: getting out waits for nothing. With `own_sweep` the body looks at those orders itself, and
    decides no new ones. A key that may withdraw is refused to every job but the one that `reports_rights`.
    """
    with ExitStack() as stack:
        try:
            job = _open(stack, name, account_name)
            if not reports_rights:
                refuse_withdrawal(job.proof)
            if trades and own_sweep:
                require_rights(job.proof)
            elif trades:
                start_trading(job.runtime, job.proof, step=prefect_step)
            if trades and not (own_sweep or only_reduces):
                reconcile_first(job.runtime, step=prefect_step)
            return _told(job, body(job), trades=trades)
        except REFUSALS as error:
            get_run_logger().error("Refused: %s", error)
            return refused(error)


def _told(job: Job, state: State[Any], *, trades: bool) -> State[Any]:
    """The state; of a job that trades in a dry pool its message says first that nothing was sent."""
    if not (trades and job.process.dry_run):
        return state
    return state.model_copy(update={"message": f"{DRY_RUN_WORDS}: {state.message}"})


def refused(error: Any) -> State[Any]:
    """REFUSED with the error's code, its words and, where it has one, its remedy."""
    words = (str(error), str(getattr(error, "remedy", "")))
    return FinalState.REFUSED.state(f"{error.reason}: {'; '.join(filter(None, words))}")


def _open(stack: ExitStack, name: str, account_name: str) -> Job:
    process = Process.from_environment()
    account = load_account(account_name, environment=process.environment)
    runtime = stack.enter_context(
        open_runtime(
            account,
            environment=process.environment,
            ledger_url=process.ledger_url,
            key_registry=process.key_registry,
            pool=process.pool,
            control_file=process.control_file,
            dry_run=process.dry_run,
        )
    )
    proof = prove_account(runtime, step=prefect_step)
    get_run_logger().info("Account %s is proved at %s, key %s", account.account_id, proof.host, proof.key_fingerprint)
    return Job(name=name, account_name=account_name, account=account, process=process, runtime=runtime, proof=proof)


def business_key(given: str = "") -> str:
    """What makes two runs the same wish: the key given, else the schedule's slot, else this run.

    A run that is retried or started again by Prefect keeps its id and its slot, so it continues what it began; a copy
    of a run is a new wish.
    """
    if given:
        return given
    run = _flow_run()
    if run.auto_scheduled and run.deployment_id and run.expected_start_time:
        slot = run.expected_start_time.astimezone(UTC)
        return f"{deployment_runtime.name}@{slot:%Y-%m-%dT%H:%M:%SZ}"
    return f"run:{run.id}"


def _flow_run() -> Any:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("this function needs a flow run: call it from within a flow")
    return context.flow_run
