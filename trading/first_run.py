"""The start-up run: a new process decides no order on an account that was not reconciled of late in this ledger.

A ledger that is new to the account takes its opening figures first. Breaks do not keep the process from starting:
what they lock is refused order by order at the send point. A venue that could not be read does.
"""

from __future__ import annotations

from datetime import timedelta

from sqlmodel import Session, col, select

from brokers.ids import AccountId
from ledger.engine import NoBaseline
from ledger.reconciliations import scope_text
from ledger.snapshots import baseline
from ledger.states import ReconciliationOutcome
from ledger.tables import ReconciliationRun
from trading.reconciling import SCOPE, ReconciliationResult, reconcile_account
from trading.risk import RiskPolicy
from trading.runtime import Runtime
from trading.starting import NotReadyToTrade, StartReason
from trading.steps import Step, call_directly
from trading.sync import sync_account

_COMPARED = tuple(
    outcome.value for outcome in ReconciliationOutcome if outcome is not ReconciliationOutcome.NOT_RECONCILED
)


def reconcile_first(runtime: Runtime, *, step: Step = call_directly) -> ReconciliationResult | None:
    """Reconcile unless a full run compared both sides within the policy's `reconciled_age_s_max`; None where one did.

    Raises NotReadyToTrade when both sides could not be compared, and what a first sync raises.
    """
    policy = runtime.desk.policy
    if not policy.reconciled_first or _is_fresh(runtime, policy):
        return None
    try:
        with runtime.ledger.read() as session:
            baseline(session, runtime.account_id)
    except NoBaseline:
        sync_account(runtime.ledger, runtime.broker, clock=runtime.clock, step=step)
    found = reconcile_account(runtime, step=step)
    if found.outcome is ReconciliationOutcome.NOT_RECONCILED:
        raise NotReadyToTrade(StartReason.NOT_RECONCILED_YET, f"not reconciled: {found.reason} {found.detail}".strip())
    return found


def _is_fresh(runtime: Runtime, policy: RiskPolicy) -> bool:
    with runtime.ledger.read() as session:
        last = latest_full_run(session, runtime.account_id)
        now = runtime.ledger.now(session)
    return last is not None and now - last.ended_at <= timedelta(seconds=float(policy.reconciled_age_s_max))


def latest_full_run(session: Session, account_id: AccountId | str) -> ReconciliationRun | None:
    """The newest full run that compared both sides; light sweeps and runs that could not read do not count."""
    query = select(ReconciliationRun).where(
        ReconciliationRun.account_id == str(account_id),
        col(ReconciliationRun.outcome).in_(_COMPARED),
        col(ReconciliationRun.summary).contains(scope_text(SCOPE), autoescape=True),
    )
    return session.exec(query.order_by(col(ReconciliationRun.run_id).desc()).limit(1)).first()
