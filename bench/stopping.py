"""Stopping: how long after HALT is committed the last order leaves, and how long a kill takes to cancel everything.

Several desks send as fast as they can while one person halts the pool. For the kill the simulated venue takes 50
cancels a second and refuses the 51st: none may be refused. SIGKILL hits kills at random moments; another process
finishes each.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from sqlmodel import func, select

from bench.calls import our_broker
from bench.measure import Row
from bench.processes import simulator
from brokers.capabilities import RateBudget
from brokers.clock import SystemClock
from brokers.ids import Environment, InstrumentId
from brokers.port import Broker
from brokers.types import OrderAck, OrderRequest, OrderSide, OrderType, PreparedOrder, TimeInForce
from brokers.wire import SendTicket
from ledger.control_file import ControlFile
from ledger.controlling import ControlChange, change_control
from ledger.controls import pool_scope
from ledger.engine import Ledger
from ledger.states import ControlState, KillState
from ledger.tables import OrderSend
from trading.kill_model import KillLimits, KillReport, KillRequest
from trading.killing import kill_account
from trading.orders import OrderDesk, ProtocolLimits, WantedOrder
from trading.risk import RiskPolicy
from trading.runtime import Runtime

SENDERS = 4
ORDERS = 100
KILLS = 10
HALTS = 5
CANCELS_PER_S = 50
LAST_SEND_MS_MAX = 250.0
SENDING_S_MAX = 30.0
CANCELLED_S_MAX = 5.0
POOL = "bench"
KILL_LIMITS = KillLimits(read_gap_s=0.2, poll_s=0.05, timeout_s=30.0)
_LIMITS = ProtocolLimits(horizon_s=0.5, validity_s=1.0, skew_s=0.5)
_INSTRUMENT = InstrumentId("BTC/USDT:USDT")
SIMULATOR = f"""
seed: 7
accounts:
  - {{name: ours, balances: {{USDT: "10000000"}}}}
instruments:
  - {{symbol: BTCUSDT, base: BTC, tick: "0.1", step: "0.001", qty_min: "0.001"}}
prices: {{start: {{BTCUSDT: "60000"}}}}
rate_limits:
  ip_max: 100000
  per_second: {{/v5/order/create: 100000, /v5/order/cancel: {CANCELS_PER_S}, /v5/order/realtime: 100000}}
"""


def run(folder: Path, *, orders: int = ORDERS, kills: int = KILLS, halts: int = HALTS) -> list[Row]:
    """All three; `ALGOTRENDY_BENCH_POSTGRES` names an empty database for the halt on PostgreSQL."""
    with simulator(folder, SIMULATOR) as address:
        found = [_halt_row("SQLite", [halt(address, folder / f"halt-{n}") for n in range(halts)])]
        postgres = os.environ.get("ALGOTRENDY_BENCH_POSTGRES", "")
        if postgres:
            taken = [halt(address, folder / f"halt-pg-{n}", ledger_url=postgres) for n in range(halts)]
            found.append(_halt_row("PostgreSQL", taken))
        found.append(_kill_row(kill(address, folder / "kill", orders=orders), orders))
        if kills:
            found.append(_killed_row([kill_killed(address, folder / f"killed-{n}", seed=n) for n in range(kills)]))
        return found


# -- halting ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Halted:
    """`last_ms`: from the commit of HALT to the last begin of a send; below 0 where none began after it."""

    sends: int
    committed_after: int
    last_ms: float


def halt(address: str, folder: Path, *, ledger_url: str = "", senders: int = SENDERS, for_s: float = 2.0) -> Halted:
    """Several desks, each with its own connections, send in a loop; then the pool is halted."""
    folder.mkdir()
    url = ledger_url or f"sqlite:///{folder / 'ledger.db'}"
    file = ControlFile(folder / "control.json")
    pool = f"{POOL}-{uuid.uuid4().hex[:8]}"  # a scope of its own: the database may be used again
    begun: list[float] = []
    over = threading.Event()
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger.open(url, environment=Environment.SIMULATED))
        desks = [_sender(stack, address, url, file, begun, f"{pool}/{n}") for n in range(senders)]
        threads = [threading.Thread(target=_send_until, args=(desk, broker, over)) for desk, broker in desks]
        for thread in threads:
            thread.start()
        time.sleep(for_s)
        until_s = time.monotonic() + SENDING_S_MAX
        while len(begun) < senders and time.monotonic() < until_s:
            time.sleep(0.02)
        wanted = ControlChange(scope=pool_scope(pool), state=ControlState.HALT, reason="bench", set_by="bench")
        change_control(wanted, environment=Environment.SIMULATED, ledger=ledger, file=file)
        committed_at_s = time.monotonic()
        committed = _sends(ledger)
        time.sleep(1.0)
        over.set()
        for thread in threads:
            thread.join()
        return Halted(len(begun), _sends(ledger) - committed, (max(begun) - committed_at_s) * 1000)


def _sender(
    stack: ExitStack, address: str, url: str, file: ControlFile, begun: list[float], name: str
) -> tuple[OrderDesk, Broker]:
    broker = stack.enter_context(our_broker(address))
    place = broker.place

    def noted(prepared: PreparedOrder, ticket: SendTicket) -> OrderAck:
        begun.append(time.monotonic())
        return place(prepared, ticket)

    broker.place = noted  # type: ignore[method-assign]
    ledger = stack.enter_context(Ledger.open(url, environment=Environment.SIMULATED))
    pool, _, number = name.partition("/")
    return desk_on(ledger, broker, worker=f"sender-{number}", pool=pool, file=file), broker


def _send_until(desk: OrderDesk, broker: Broker, over: threading.Event) -> None:
    quote = broker.quotes([_INSTRUMENT])[0]
    while not over.is_set():
        view = desk.submit(_wanted(broker, quote, tif=TimeInForce.IOC))
        desk.advance(view.intent_id)


def _sends(ledger: Ledger) -> int:
    with ledger.read() as session:
        return int(session.exec(select(func.count()).select_from(OrderSend)).one())


# -- killing ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Killed:
    """`cancelled_s`: until the venue itself had no open order of ours any more."""

    report: KillReport
    cancelled_s: float
    open_before: int
    refused_for_rate: int


def kill(address: str, folder: Path, *, orders: int) -> Killed:
    """Kill an account with `orders` open orders at a venue that takes 50 cancels a second."""
    folder.mkdir()
    refused: list[str] = []
    with _resting(address, folder, orders) as (runtime, watcher):
        cancel = runtime.broker.cancel

        def noted(**order: object) -> object:
            try:
                return cancel(**order)  # type: ignore[arg-type]
            except Exception as error:
                refused.append(str(getattr(error, "reason", error)))
                raise

        runtime.broker.cancel = noted  # type: ignore[method-assign,assignment]
        open_before = len(watcher.open_orders())
        gone: list[float] = []
        began = time.monotonic()
        watching = threading.Thread(target=_watch, args=(watcher, began, gone))
        watching.start()
        report = _kill(runtime)
        watching.join()
    return Killed(report, gone[0], open_before, refused.count("VENUE_RATE_LIMITED"))


def kill_killed(address: str, folder: Path, *, seed: int, orders: int = 10) -> bool:
    """SIGKILL a process that kills, at a random moment; another one must end it, with nothing open."""
    folder.mkdir()
    chance = random.Random(seed)
    with _resting(address, folder, orders) as (runtime, watcher):
        command = [sys.executable, "-m", "bench.kill_worker", address, f"sqlite:///{folder / 'ledger.db'}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0.0, 1.5))
        process.kill()
        process.wait()
        process.stdout.close()
        report = _kill(runtime)
        return report.state is KillState.CANCELLED_PROVEN and not watcher.open_orders()


def _kill(runtime: Runtime) -> KillReport:
    request = KillRequest(requested_by="bench", reason="bench")
    return kill_account(runtime, request, settle_currencies=("USDT",), limits=KILL_LIMITS)


def _watch(watcher: Broker, began: float, gone: list[float]) -> None:
    while watcher.open_orders():
        if time.monotonic() - began > KILL_LIMITS.timeout_s:
            break
        time.sleep(0.02)
    gone.append(time.monotonic() - began)


@contextmanager
def _resting(address: str, folder: Path, orders: int) -> Iterator[tuple[Runtime, Broker]]:
    """A runtime whose account has that many resting orders and is to be killed, and a second pair of eyes."""
    with (
        our_broker(address) as broker,
        our_broker(address) as watcher,
        Ledger.open(f"sqlite:///{folder / 'ledger.db'}", environment=Environment.SIMULATED) as ledger,
    ):
        runtime = runtime_on(ledger, broker)
        quote = broker.quotes([_INSTRUMENT])[0]
        for _ in range(orders):
            view = runtime.desk.submit(_wanted(broker, quote))
            runtime.desk.advance(view.intent_id)
        wanted = ControlChange(scope=pool_scope(POOL), state=ControlState.KILL, reason="bench", set_by="bench")
        file = ControlFile.beside(ledger.url)
        change_control(wanted, environment=Environment.SIMULATED, ledger=ledger, file=file)
        yield runtime, watcher


# -- what all share ---------------------------------------------------------------------------------------------
def runtime_on(ledger: Ledger, broker: Broker) -> Runtime:
    """A runtime whose venue takes 50 cancels a second."""
    desk = desk_on(ledger, broker, worker=f"bench-{uuid.uuid4().hex[:8]}", pool=POOL)
    return Runtime(account_id=broker.account_id, ledger=ledger, broker=broker, desk=desk, clock=SystemClock())


def desk_on(ledger: Ledger, broker: Broker, *, worker: str, pool: str, file: ControlFile | None = None) -> OrderDesk:
    """A desk without a limit on its rate: what is measured here is how it is stopped."""
    budgets = (RateBudget("cancel_linear", CANCELS_PER_S, 1.0),)
    broker.capabilities = replace(broker.capabilities, budgets=budgets)
    free = {"order_rate_max": 100_000, "open_orders_max": 100_000, "quote_age_s_max": 600}
    policy = RiskPolicy.for_environment(Environment.SIMULATED).model_copy(update=free)
    return OrderDesk(
        ledger=ledger,
        broker=broker,
        clock=SystemClock(),
        policy=policy,
        worker=worker,
        pool=pool,
        limits=_LIMITS,
        control_file=file,
    )


def _wanted(broker: Broker, quote: object, *, tif: TimeInForce = TimeInForce.GTC) -> WantedOrder:
    return WantedOrder(
        account_id=broker.account_id,
        business_key=f"bench-{uuid.uuid4().hex}",
        source="bench",
        request=OrderRequest(
            instrument_id=_INSTRUMENT,
            side=OrderSide.BUY,
            order_type=OrderType.LIMIT,
            quantity=Decimal("0.001"),
            limit_price=Decimal(58_000),
            time_in_force=tif,
        ),
        reference=quote,  # type: ignore[arg-type]
        ttl_s=600,
    )


def _halt_row(database: str, found: list[Halted]) -> Row:
    worst, after = max(item.last_ms for item in found), sum(item.committed_after for item in found)
    return Row(
        section="Stopping",
        what=f"last begin of a send after HALT commits, {database}",
        ours=f"{worst:.1f} ms, {after} committed after",
        baseline="",
        ratio="",
        aim=f"≤ {LAST_SEND_MS_MAX:.0f} ms, 0 committed after",
        held=worst <= LAST_SEND_MS_MAX and after == 0,
        detail=f"{len(found)} halts, {SENDERS} desks, {sum(item.sends for item in found)} sends before",
    )


def _kill_row(found: Killed, orders: int) -> Row:
    is_held = found.cancelled_s <= CANCELLED_S_MAX and found.report.is_proved and not found.refused_for_rate
    return Row(
        section="Stopping",
        what=f"{orders} open orders cancelled at {CANCELS_PER_S}/s",
        ours=f"{found.cancelled_s:.2f} s, {found.refused_for_rate} refused for their rate",
        baseline=f"{(orders - CANCELS_PER_S) / CANCELS_PER_S:.2f} s, the venue's own limit",
        ratio="",
        aim=f"≤ {CANCELLED_S_MAX:.0f} s",
        held=is_held,
        detail=f"{found.open_before} open before, {len(found.report.cancelled)} cancelled, {found.report.state}",
    )


def _killed_row(found: list[bool]) -> Row:
    return Row(
        section="Stopping",
        what="kills ended by SIGKILL and finished by another process",
        ours=f"{sum(found)} of {len(found)}",
        baseline="",
        ratio="",
        aim="all",
        held=all(found),
        detail="at random moments",
    )
