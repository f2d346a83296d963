"""Job: turn the alerts of a pool into orders, for as long as its slot lasts.

The ledger is the queue; a run only works on it. So runs renew themselves with their schedule, two at once do no harm,
and what a killed one held is taken over when its lease has lapsed. Each alert is a task run with a name that reads;
parameters, results and events hold ids and nothing of what was sent to the webhook.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed

from brokers.clock import Clock, SystemClock
from brokers.ids import AccountId
from flows.parameters import LaneCount, WatchMinutes
from flows.pool_job import PoolJob, named, run_pool_job
from flows.states import FinalState
from flows.watch_orders import slot_end, surviving_step, until_relieved
from ledger.inbox import AlertStore, InboxState
from tasks.accounts import Accounts
from tasks.blocks import load_account
from tasks.config import Account, block_name
from tasks.draining import Drain, Drained, DrainLimits
from tasks.runtime import open_runtime
from trading.alerts.overview import read_overview

DESCRIPTION = """
Turn alerts into orders: read what came in, in its order, decide each one on the account as it is, send its orders once
and follow them until the venue has acknowledged them. Each alert is a task run, such as *alert 17 buy AAPL*.

It runs until the next slot and its schedule starts the next one. Orders of one instrument and account go one after the
other, others side by side. It is stopped by cancelling the run; what waits then waits, or expires.
"""
REPORT = "alerts"  # one page for each pool, whichever run writes it
FIRST_PAGE_S = 10.0
PUBLISH_EVERY_S = 60.0
SHOWN_MAX = 200
_FOR_A_PERSON = (InboxState.DEAD, InboxState.CONFLICT, InboxState.POISON)


@flow(
    name="drain-alerts",
    flow_run_name=named("Drain the alerts"),
    description=DESCRIPTION.strip(),
    persist_result=False,
    retries=0,
)
def drain_alerts(minutes: WatchMinutes = 360, lanes: LaneCount = 4) -> State[Any]:
    """Drain alerts.

    Args:
        minutes: Length of a slot, counted from midnight UTC; as long as the schedule's, 1 to 1440.
        lanes: How many alerts of different instruments or accounts are worked on side by side, 1 to 16.
    """
    return run_pool_job("drain-alerts", lambda job: _drain(job, minutes, lanes))


def _drain(job: PoolJob, minutes: int, lanes: int) -> State[Any]:
    clock, log = SystemClock(), get_run_logger()
    until = slot_end(clock.now(), minutes)
    log.info("Draining until %s", until.isoformat(timespec="seconds"))
    store, page = AlertStore(job.ledger), Page(job, clock)
    with closing(accounts_of(job, clock)) as accounts:
        drain = Drain(
            store,
            accounts,
            limits=DrainLimits(lanes=lanes),
            clock=clock,
            step=surviving_step,
            tell=log.info,
            on_sweep=partial(page.refresh, store),
        )
        seen = drain.run(until_relieved(clock, until))
    page.publish(store)
    return verdict(seen, store)


def accounts_of(job: PoolJob, clock: Clock) -> Accounts:
    """The pool's accounts by their blocks, on one ledger and behind the guards of every job."""
    process = job.process

    def load(account_id: AccountId) -> Account:
        return load_account(block_name(account_id), environment=process.environment)

    def opened(account: Account) -> Any:
        return open_runtime(
            account,
            environment=process.environment,
            ledger_url=process.ledger_url,
            key_registry=process.key_registry,
            pool=process.pool,
            control_file=process.control_file,
            dry_run=process.dry_run,
            shared=job.ledger,
        )

    return Accounts(load=load, open_account=opened, clock=clock)


class Page:
    """The report of recent alerts: ten seconds after the start, then once a minute where something has changed."""

    def __init__(self, job: PoolJob, clock: Clock) -> None:
        self._job, self._clock = job, clock
        self._due_at_s = clock.monotonic() + FIRST_PAGE_S
        self._shown = (-1, -1)

    def refresh(self, store: AlertStore, seen: Drained) -> None:
        """Called with every sweep. A server that is away keeps no alert waiting: the page is late then."""
        changed = (seen.admitted, seen.worked_on)
        if changed == self._shown or self._clock.monotonic() < self._due_at_s:
            return
        self._due_at_s = self._clock.monotonic() + PUBLISH_EVERY_S
        try:
            self.publish(store)
        except Exception as error:  # noqa: BLE001 - whatever the server has, alerts are worked on without it
            get_run_logger().warning("the report of the alerts could not be written now: %s", error)
            return
        self._shown = changed

    def publish(self, store: AlertStore) -> None:
        self._job.publish(read_overview(store, limit=SHOWN_MAX), key=REPORT)


def verdict(seen: Drained, store: AlertStore) -> State[Any]:
    """Green, unless an alert of this run asks for a person."""
    said = told(seen)
    stopped = store.backlog().stopped_lanes
    if stopped:
        named_lanes = ", ".join(f"{lane.lane} ({lane.reason})" for lane in stopped[:5])
        return FinalState.NEEDS_HUMAN.state(f"{said}; {len(stopped)} lanes stand still: {named_lanes}")
    bad = [one for one in store.list(states=_FOR_A_PERSON) if one.finished_at and one.finished_at >= seen.began_at]
    if bad:
        numbers = ", ".join(str(one.alert_id) for one in bad[:10])
        return FinalState.COMPLETED_ADJUSTED.state(f"{said}; not understood or not carried out: {numbers}")
    return Completed(message=said)


def told(seen: Drained) -> str:
    """What a run did, in a sentence."""
    over = {state: count for state, count in sorted(seen.ends.items()) if state != InboxState.WAITING}
    ends = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in over.items())
    waits = f"; one had to wait {seen.ends[InboxState.WAITING]} times" if seen.ends[InboxState.WAITING] else ""
    lost = f"; {seen.lost} taken over by others" if seen.lost else ""
    failed = f"; {seen.failed} looks ended early" if seen.failed else ""
    return f"{seen.admitted} alerts read{': ' + ends if ends else ''}{waits}{lost}{failed}"
