"""Job: look every second for orders that a dead run left behind, and finish them.

One run lasts until the next slot of its schedule, so that runs renew themselves and neither logs nor task runs pile up
in one of them. A run of a deployment is alone by the deployment's limit; two would do no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import httpx
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed

from brokers.clock import Clock
from flows.job import Job, run_job
from flows.parameters import AccountName, DeadManSeconds, WatchMinutes
from flows.resume_orders import verdict
from tasks.steps import prefect_step
from trading.orders import SweepReport
from trading.steps import StepKind
from trading.watching import Watched, watch

DESCRIPTION = """
Look at the account's ledger every second: take over what a killed or stopped run left, take in spooled answers,
ask the venue for orders whose outcome is not known. The next step of a dead run's order comes within 20 seconds.

Where the venue has a dead-man switch for our orders alone (OKX), it is wound: the venue cancels what rests of ours when
nobody has watched for the time given. Where it has one that cancels other people's orders too (Binance, Bybit), that is
kept wound for an account that says `dead_man_may_cancel_all_orders`.

It runs until the next slot and its schedule starts the next one. No order is sent twice, and no new one is made. It is
stopped by cancelling the run.
"""
HANDOVER_S = 5.0  # the slot is free again when the schedule starts the next run
WATCH_S_MIN = 60.0
SERVER_ASKED_EVERY_S = 30.0
T = TypeVar("T")


@flow(
    name="watch-orders",
    flow_run_name="Watch the orders of {account}",
    description=DESCRIPTION.strip(),
    persist_result=False,
    retries=0,
)
def watch_orders(account: AccountName, minutes: WatchMinutes = 360, dead_man_s: DeadManSeconds = 60) -> State[Any]:
    """Watch orders.

    Args:
        account: Name of the account's block.
        minutes: Length of a slot, counted from midnight UTC; as long as the schedule's, 1 to 1440.
        dead_man_s: Seconds without a watch after which the venue cancels our resting orders, 10 to 120; 0 for never.
            Accounts without such a switch are watched all the same.
    """
    return run_job("watch-orders", account, lambda job: _watch(job, minutes, dead_man_s), trades=True, own_sweep=True)


def _watch(job: Job, minutes: int, dead_man_s: int) -> State[Any]:
    until = slot_end(job.runtime.clock.now(), minutes)
    get_run_logger().info("Watching until %s", until.isoformat(timespec="seconds"))
    seen = watch(
        job.runtime, goes_on=until_relieved(job.runtime.clock, until), step=surviving_step, dead_man_s=dead_man_s
    )
    report = SweepReport(
        advanced=tuple(seen.moved.values()), spooled=seen.spooled, sightings=seen.sightings, unread=seen.unread
    )
    if report.advanced or report.sightings:
        job.publish(report)
    found = verdict(report)
    return Completed(message=told(seen)) if found.name == "Completed" else found


def told(seen: Watched) -> str:
    """What a watch did, in a sentence."""
    away = f"; {seen.failed_looks} looks ended early" if seen.failed_looks else ""
    failing = f"; {len(seen.failing)} orders could not be advanced" if seen.failing else ""
    switch = f"; {seen.switch.told()}" if seen.switch.told() else ""
    return f"{len(seen.moved)} orders moved in {seen.looks} looks{away}{failing}{switch}"


def slot_end(now: datetime, minutes: int) -> datetime:
    """When this run makes room: shortly before the next slot of the day, but not at once."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    length = timedelta(minutes=minutes)
    slots = (now - midnight) // length + 1
    end = min(midnight + slots * length, midnight + timedelta(days=1)) - timedelta(seconds=HANDOVER_S)
    return end if end - now >= timedelta(seconds=WATCH_S_MIN) else end + length


def until_relieved(clock: Clock, until: datetime) -> Callable[[], bool]:
    """Go on until the time is over and a server is there that can start the next run."""
    asked_at_s = float("-inf")

    def goes_on() -> bool:
        nonlocal asked_at_s
        if clock.now() < until or clock.monotonic() < asked_at_s + SERVER_ASKED_EVERY_S:
            return True
        asked_at_s = clock.monotonic()
        return not server_answers()

    return goes_on


def server_answers() -> bool:
    """Whether the Prefect server answers at all, whatever it says."""
    url = PREFECT_API_URL.value()
    if not url:
        return True
    try:
        httpx.get(f"{url.rstrip('/')}/health", timeout=3.0, trust_env=False)
    except httpx.HTTPError:
        return False
    return True


def surviving_step(name: str, kind: StepKind, function: Callable[[], T]) -> T:
    """The Prefect step where it can be had; where it fails before it calls, a plain call: orders do not wait for it."""
    was_called = False

    def call() -> T:
        nonlocal was_called
        was_called = True
        return function()

    try:
        return prefect_step(name, kind, call)
    except Exception as error:
        if was_called:
            raise
        get_run_logger().warning("%s goes on without a task run: %s", name, error)
        return function()
