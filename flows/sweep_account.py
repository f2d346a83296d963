"""Job: look every few seconds whether orders and positions at the venue are what the ledger says.

A run of its own beside watch-orders: a venue that hangs must not keep the watch from orders that a dead run left, and
the watch asks the ledger alone. One run lasts until the next slot of its schedule, like the watch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed
from sqlalchemy.exc import SQLAlchemyError

from brokers.clock import Clock
from flows.job import Job, run_job
from flows.parameters import AccountName, SweepSeconds, WatchMinutes
from flows.states import FinalState
from flows.watch_orders import slot_end, until_relieved
from ledger.errors import LedgerError
from ledger.states import ReconciliationOutcome
from tasks.steps import prefect_step
from trading.first_run import reconcile_first
from trading.sweeping import Sweeper, SweepResult

DESCRIPTION = """
Compare the account's open orders and positions with the ledger every few seconds. What differs becomes a **break** at
once, and clears by itself when it is gone; balances, fills and wallet changes are compared by *reconcile*.

It runs until the next slot and its schedule starts the next one. Nothing is sent but reads. A venue that cannot be read
is never called clean. It is stopped by cancelling the run.
"""
PAUSE_S_MAX = 300.0  # however long the venue does not answer, it is asked again after that


@dataclass(slots=True)
class Swept:
    """What a run's sweeps came to. `last` is the newest; `unread` those that could not read the venue."""

    sweeps: int = 0
    unread: int = 0
    failed: int = 0
    with_breaks: int = 0
    last: SweepResult | None = None


@flow(
    name="sweep-account",
    flow_run_name="Sweep {account} every {seconds} s",
    description=DESCRIPTION.strip(),
    persist_result=False,
    retries=0,
)
def sweep_account(account: AccountName, seconds: SweepSeconds = 15, minutes: WatchMinutes = 360) -> State[Any]:
    """Sweep an account.

    Args:
        account: Name of the account's block.
        seconds: Pause between two looks, 5 to 300. A look costs the venue four to six reads.
        minutes: Length of a slot, counted from midnight UTC; as long as the schedule's, 1 to 1440.
    """
    return run_job("sweep-account", account, lambda job: _sweep(job, seconds, minutes))


def _sweep(job: Job, seconds: int, minutes: int) -> State[Any]:
    clock = job.runtime.clock
    until = slot_end(clock.now(), minutes)
    reconcile_first(job.runtime, step=prefect_step)
    get_run_logger().info("Sweeping until %s", until.isoformat(timespec="seconds"))
    seen = sweep_until(
        Sweeper(job.runtime),
        goes_on=until_relieved(clock, until),
        clock=clock,
        pause_s=float(seconds),
        publish=job.publish,
    )
    return verdict(seen)


def sweep_until(
    sweeper: Sweeper,
    *,
    goes_on: Callable[[], bool],
    clock: Clock,
    pause_s: float,
    publish: Callable[[SweepResult], object],
) -> Swept:
    """Sweep until `goes_on` says no. What a sweep meets ends nothing; a venue that does not answer is asked less often.

    A page is published for the first sweep and whenever a break comes or goes.
    """
    seen, wait_s = Swept(), pause_s
    while goes_on():
        began_s = clock.monotonic()
        try:
            found = sweeper.sweep()
        except (LedgerError, SQLAlchemyError) as error:
            seen.failed += 1
            get_run_logger().warning("This sweep ended early: %s", error)
        else:
            is_unread = found.findings is None
            wait_s = min(2 * wait_s, PAUSE_S_MAX) if is_unread else pause_s
            _count(seen, found, is_unread=is_unread)
            if found.is_news or seen.sweeps == 1:
                publish(found)
        clock.wait(max(wait_s - (clock.monotonic() - began_s), 1.0))
    return seen


def _count(seen: Swept, found: SweepResult, *, is_unread: bool) -> None:
    log = get_run_logger()
    before = seen.last
    seen.sweeps += 1
    seen.unread += is_unread
    seen.with_breaks += found.outcome is ReconciliationOutcome.BREAKS
    seen.last = found
    for item in found.findings.breaks if found.findings else ():
        if item.id_for(found.account_id) in (*found.changes.opened, *found.changes.reopened):
            log.error("%s %s: ledger %s, venue %s", item.kind, item.subject, item.ledger_amount, item.venue_amount)
    if found.changes.cleared:
        log.info("%d breaks are gone", len(found.changes.cleared))
    if before is None or before.outcome is not found.outcome:
        log.info("%s", sentence(found))


def sentence(found: SweepResult) -> str:
    """One sweep in words."""
    if found.findings is None:
        return f"Not reconciled: {found.reason} {found.detail}".strip()
    compared = found.findings.compared
    looked = f"{compared.get('positions', 0)} positions and {compared.get('venue_orders', 0)} open orders"
    if found.outcome is ReconciliationOutcome.CLEAN:
        return f"{looked} agree; not compared: {'; '.join(found.findings.not_compared)}"
    if found.outcome is ReconciliationOutcome.CLEAN_WITH_ACCEPTED:
        left_out = "; ".join(found.findings.not_compared)
        return f"{looked} agree but for what was accepted: {'; '.join(found.accepted)}; not compared: {left_out}"
    if found.outcome is ReconciliationOutcome.NOT_RECONCILED:
        return f"{looked} looked at; too young to judge: {', '.join(found.findings.pending)}"
    return f"{len(found.findings.breaks)} breaks in {looked}, {len(found.still_open)} older ones open"


def verdict(seen: Swept) -> State[Any]:
    """As the last sweep left it: completed only when it could read the venue and nothing was open."""
    how_often = f"{seen.sweeps} sweeps, {seen.with_breaks} with breaks, {seen.unread} without an answer of the venue"
    if seen.last is None:
        return FinalState.NOT_RECONCILED.state(f"No sweep was done; {seen.failed} ended early")
    words = f"{how_often}; last: {sentence(seen.last)}"
    if seen.last.outcome is ReconciliationOutcome.BREAKS:
        return FinalState.BREAKS_FOUND.state(words)
    if seen.last.outcome is ReconciliationOutcome.NOT_RECONCILED:
        return FinalState.NOT_RECONCILED.state(words)
    if seen.last.outcome is ReconciliationOutcome.CLEAN_WITH_ACCEPTED:
        return FinalState.CLEAN_WITH_ACCEPTED.state(words)
    return Completed(message=words)
