"""Deaths and pauses through the real thing: a Prefect server, two workers of one pool, a rebalance in the middle.

The flow run's process is killed or stopped by a crash point of its own; a run on the other worker (resume-orders with
its plans) takes order and plan over. Afterwards each leg has one order at the venue and the plan is complete. Leases
are production's: 15 s for an order, 30 s for a plan.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from sqlmodel import select

from brokers.ids import Environment
from deployments import evidence, pools, runs
from deployments.home import Home
from deployments.register import EXAMPLE
from deployments.stack import Stack, running
from ledger.engine import Ledger
from ledger.invariants import check_record
from ledger.states import PlanState
from ledger.tables import PlanRow
from tasks.config import load
from tests.ledger.conftest import PostgresCluster, short_folder
from tests.proof.process_scene import Tally, Verdict, result, wait_until
from tests.proof.result import LayerResult
from trading.orders.crash import VARIABLE

ACCOUNT = "bybit-simulated-main"
PORTFOLIO = load(EXAMPLE).portfolio("us-stocks")
SHAKES = (("AAPLUSDT", "buy", "400"), ("MSFTUSDT", "sell", "150"), ("KOUSDT", "buy", "300"))


@dataclass
class Ground:
    """A running stack whose simulated pool works on one ledger."""

    stack: Stack
    client: SyncPrefectClient
    ledger_url: str

    def run(self, job: str, **parameters: Any) -> runs.Run:
        deployment = f"{job}/{job}-{ACCOUNT}"
        return runs.run(self.client, deployment, parameters, timeout_s=180.0, check=self.stack.supervisor.check)

    def start(self, job: str, **parameters: Any) -> UUID:
        return runs.start(self.client, f"{job}/{job}-{ACCOUNT}", parameters)

    def follow(self, run_id: UUID) -> runs.Run:
        check = self.stack.supervisor.check
        return runs.follow(self.client, run_id, deployment="rebalance", timeout_s=180.0, check=check)

    def orders(self) -> list[dict[str, Any]]:
        """The venue's orders with our mark; the account's human has none."""
        return [order for order in self.stack.control("orders", account="main") if order["client_id"]]

    def shake(self) -> None:
        """Move the book away from its target, as a market or a person would."""
        for symbol, side, quantity in SHAKES:
            self.stack.control("place_order", post={"account": "main", "symbol": symbol, "side": side, "qty": quantity})

    def is_on_target(self) -> bool:
        holdings = evidence.by_control(self.stack.control, "main", PORTFOLIO.targets)
        return all(line.holds for line in evidence.check(PORTFOLIO, holdings))


def through_prefect(cluster: PostgresCluster, *, seed: int, replay: str) -> LayerResult:
    """Kill a rebalance on one database and stop one on the other; an odd seed kills on SQLite."""
    began_s, tally, total = time.monotonic(), Tally(), Verdict()
    folder = short_folder("proof-stack-")
    try:
        with ground(folder, tally) as on:
            for database in ("sqlite", "postgresql"):
                if database == "postgresql":
                    use_ledger(on, postgres_ledger(cluster))
                else:
                    ready(on)
                if (database == "sqlite") == bool(seed % 2):
                    killed(on, "C15:2" if seed % 4 < 2 else "C09:2", tally, total, replay)
                else:
                    stopped(on, "C09:1" if seed % 4 < 2 else "C10:1", tally, total, replay)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return result("through Prefect, both databases", tally, total, histories=2, began_s=began_s)


@contextmanager
def ground(folder: Any, tally: Tally) -> Iterator[Ground]:
    """A stack of its own, without workers."""
    home = Home(folder)
    with running(home, workers=False, handle_signals=False, receiver_port=0) as stack:
        own = {PREFECT_API_URL: stack.addresses.api_url, PREFECT_HOME: home.prefect}
        with temporary_settings(updates=own), get_client(sync_client=True) as client:
            yield Ground(stack, client, home.ledger_url(Environment.SIMULATED))


def postgres_ledger(cluster: PostgresCluster) -> str:
    """A new database on a socket that asks for no password: a pool's template may name it."""
    name = f"pool_{time.time_ns():x}"
    cluster.execute(f"CREATE DATABASE {name}")
    return cluster.url(name)


def use_ledger(on: Ground, url: str) -> None:
    """Let the pool's jobs work on another ledger from now on."""
    pool = pools.Pool(
        environment=Environment.SIMULATED,
        ledger_url=url,
        reports=on.stack.home.reports,
        key_registry=on.stack.home.key_registry,
    )
    pools.register(on.client, pool)
    on.ledger_url = url


def ready(on: Ground) -> None:
    """Leverage set, the book on its target: what follows is three legs."""
    helper = on.stack.start_worker("simulated")
    for job, parameters in (("set-leverage", {}), ("rebalance", {"mode": "execute"})):
        ended = on.run(job, **parameters)
        assert ended.is_completed, (job, ended.state, ended.message)
    on.stack.supervisor.end(helper)


def killed(on: Ground, point: str, tally: Tally, total: Verdict, replay: str) -> None:
    """SIGKILL at the point; a run on another worker takes order and plan over."""
    before = _shaken(on)
    fragile = on.stack.start_worker("simulated", env={VARIABLE: point})
    died = on.follow(on.start("rebalance", mode="execute"))
    if died.state_type != "CRASHED":
        tally.fail("the run dies", f"{on.ledger_url}: {died}", replay)
    tally.add(kills=1)
    on.stack.supervisor.end(fragile)
    other = on.stack.start_worker("simulated")
    _taken_over(on, f"killed at {point}", tally, replay)
    on.stack.supervisor.end(other)
    judge(on, f"killed at {point}", before, tally, total, replay)


def stopped(on: Ground, point: str, tally: Tally, total: Verdict, replay: str) -> None:
    """SIGSTOP at the point until the other worker's run is through; then the zombie wakes up and may change nothing."""
    before = _shaken(on)
    # One run at a time: the run that takes over must not be this worker's, where it would stop at the same point.
    fragile = on.stack.start_worker("simulated", env={VARIABLE: f"{point}:stop"}, runs_max=1)
    run_id = on.start("rebalance", mode="execute")
    found: list[psutil.Process] = []
    if not wait_until(lambda: found.extend(processes_of(run_id)) or any(_stands(p) for p in found), timeout_s=90.0):
        tally.fail("the run stops", f"{on.ledger_url}: no process of {run_id} stopped at {point}", replay)
    tally.add(pauses=1)
    other = on.stack.start_worker("simulated")
    _taken_over(on, f"stopped at {point}", tally, replay)
    orders = len(on.orders())
    for process in found:
        if _stands(process):
            process.resume()
    woken = on.follow(run_id)
    more = len(on.orders()) - orders
    if more:
        tally.fail("I1", f"{on.ledger_url}: the woken run sent {more} more orders: {woken}", replay)
    for worker in (fragile, other):
        on.stack.supervisor.end(worker)
    judge(on, f"stopped at {point}", before, tally, total, replay)


def _shaken(on: Ground) -> int:
    before = len(on.orders())
    on.shake()
    return before


def _taken_over(on: Ground, what: str, tally: Tally, replay: str) -> None:
    """Resume orders and plans; a plan whose lease runs still is met again by a second run."""
    for _ in range(3):
        ended = on.run("resume-orders", plans=True, minutes=2)
        if ended.is_completed and on.is_on_target():
            return
    tally.fail("the plan goes on", f"{on.ledger_url}: {what}: {ended.state} {ended.message}", replay)


def processes_of(run_id: UUID) -> list[psutil.Process]:
    """The processes of a flow run, by the variable that its worker gave it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("PREFECT__FLOW_RUN_ID") == str(run_id):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def _stands(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False


def judge(on: Ground, what: str, before: int, tally: Tally, total: Verdict, replay: str) -> None:
    """One order a leg, none lost, none twice, every plan over, the ledger consistent, fills equal."""
    name = f"{on.ledger_url.partition(':')[0]}, {what}"
    new = on.orders()[before:]
    lines = Counter(order["request"]["symbol"] for order in new)
    wanted = {symbol for symbol, _, _ in SHAKES}
    total.duplicated += sum(count > 1 for count in lines.values())
    total.lost += len(wanted - set(lines))
    if not wanted <= set(lines) or max(lines.values(), default=0) > 1:  # the market may have moved other lines too
        tally.fail("I1", f"{name}: orders {dict(lines)}, wanted one of each of {sorted(wanted)}", replay)
    if not on.is_on_target():
        tally.fail("the target is reached", name, replay)
    with Ledger.open(on.ledger_url, environment=Environment.SIMULATED) as ledger, ledger.read() as session:
        findings = check_record(session)
        running_plans = [row.plan_id for row in session.exec(select(PlanRow)) if not PlanState(row.state).is_terminal]
    total.stuck += len(running_plans)
    for finding in (*findings, *(f"plan {plan} has not ended" for plan in running_plans)):
        tally.fail("I5", f"{name}: {finding}", replay)
