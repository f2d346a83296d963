"""Let a run wait for its approval in the Prefect UI: a typed form over the plan, its totals and its hash.

The run's process waits (Prefect's "paused", not "suspended"): so a time-out ends it under its own name, and a decision
made elsewhere, on the command line, lets it go on. The ledger decides; the form is one way to tell it. A process that
dies while it waits loses nothing: the run waits in the ledger, and a retry shows the form again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Literal

from prefect.exceptions import FlowPauseTimeout, NotPausedError
from prefect.flow_runs import pause_flow_run, resume_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.runtime import flow_run as flow_run_runtime
from pydantic import Field

from flows.parameters import PersonName, ReasonText
from flows.reports.runs import approval_text
from ledger.engine import Ledger
from ledger.states import RunState
from trading.runs import Approval, Decision, StoredRun, get_run, why_planned_again

POLL_S = 2
GRACE_S = 120  # Prefect's own time-out fails the run without a name; ours comes first
ELSEWHERE = "decided elsewhere"


class RunDecision(RunInput):
    """What a person says of the plan that the form shows."""

    decision: Literal["approve", "reject"] = Field(
        title="Decision", description="approve lets this very plan be executed.", json_schema_extra={"position": 0}
    )
    approver: PersonName = Field(
        title="Your name", description="It is kept with the run for ever.", json_schema_extra={"position": 1}
    )
    reason: ReasonText = Field(
        title="Reason", description="In a sentence. It is kept as well.", json_schema_extra={"position": 2}
    )


def ask_in_form(ledger: Ledger, run: StoredRun, *, page: str) -> Approval | None:
    """Pause this flow run until somebody answers in its form or elsewhere, or the time is over (None)."""
    with ledger.read() as session:
        left_s = 0 if run.approval_until is None else (run.approval_until - ledger.now(session)).total_seconds()
    if left_s <= 0:
        return None
    get_run_logger().info(
        "Waiting for an approval until %s: three dots, Resume. Run %s, hash %s",
        run.approval_until,
        run.run_id,
        run.run_hash,
    )
    form = RunDecision.with_initial_data(description=approval_text(run, page=page, why=why_planned_again(ledger, run)))
    try:
        with _told_of_other_ends(ledger, run):
            said = pause_flow_run(
                wait_for_input=form,
                timeout=int(left_s) + GRACE_S,
                poll_interval=POLL_S,
                key=f"approval-{run.attempt}-{run.run_hash[:12]}",
            )
    except FlowPauseTimeout:
        return None
    if not _is_waiting(ledger, run):
        return None
    return Approval(decision=Decision(said.decision), by=said.approver, reason=said.reason, run_hash=run.run_hash)


def _is_waiting(ledger: Ledger, run: StoredRun) -> bool:
    """Whether this very plan still waits, within its time, and nobody wants the run cancelled."""
    now = get_run(ledger, run.run_id)
    with ledger.read() as session:
        is_late = now.approval_until is not None and ledger.now(session) >= now.approval_until
    is_same = now.state is RunState.AWAITING_APPROVAL and now.run_hash == run.run_hash
    return is_same and not is_late and not now.is_cancel_wanted


@contextmanager
def _told_of_other_ends(ledger: Ledger, run: StoredRun) -> Iterator[None]:
    """Let the paused run go on once its plan waits no longer: the answer that it then reads is not looked at."""
    over, flow_run_id = threading.Event(), flow_run_runtime.id
    logger = get_run_logger()

    def watch() -> None:
        while not over.wait(POLL_S):
            if _is_waiting(ledger, run):
                continue
            logger.info("The plan waits no longer")
            answer = {"decision": "reject", "approver": ELSEWHERE, "reason": ELSEWHERE}
            try:
                resume_flow_run(flow_run_id, run_input=answer)
            except (NotPausedError, FlowPauseTimeout):
                return  # somebody pressed Resume at the same time, or Prefect's own time is over
            except RuntimeError as error:
                logger.warning("The run could not be resumed yet: %s", error)
                continue
            return

    watcher = threading.Thread(target=copy_context().run, args=(watch,), name="approval", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(POLL_S + 10)
