"""The processes that the proof kills, stops and deceives, and the parent's hold on them.

Each is forked from a server that has imported everything once (multiprocessing's forkserver), so that a death costs
milliseconds instead of a second of imports. What runs inside is production code with production's order of things;
only limits are shortened so that a take-over happens in seconds.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
from pydantic import SecretStr

from brokers.clock import Clock, SystemClock
from brokers.config import AccountConfig
from brokers.factory import open_broker
from brokers.ids import AccountId, Environment, InstrumentId
from brokers.types import OrderRequest, OrderSide, OrderType
from ledger.engine import Ledger
from tests.proof import forking
from trading.orders import store
from trading.orders.crash import VARIABLE, crash_hook
from trading.orders.desk import OrderDesk
from trading.orders.intents import WantedOrder
from trading.orders.protocol import ProtocolLimits
from trading.risk import RiskPolicy
from trading.runtime import Runtime
from trading.starting import NotReadyToTrade, prove_account, start_trading
from trading.sync import sync_account
from trading.watching import WatchLimits, watch

ACCOUNT = AccountId.parse("bybit.simulated.main")
LINEAR, SPOT = "BTC/USDT:USDT", "ETH/USDT"  # permanent ids; ids unique among open orders only
QUICK = ProtocolLimits(
    lease_s=3.0,
    validity_s=2.0,
    send_by_s=0.9,
    answer_timeout_s=2.0,
    skew_s=1.0,
    ladder_gap_s=1.0,
    horizon_s=1.5,
    query_every_s=0.3,
    wait_s=0.3,
    cancel_again_s=0.5,
)
QUICK_WATCH = WatchLimits(look_every_s=0.2, left_alone_s=0.3, sweep_every_s=5.0, again_s_max=1.0)
NOBODY = 65534


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What one process is to do. `orders` are (key, symbol, limit price); `crash_at` as in ALGOTRENDY_CRASH_AT."""

    url: str
    ledger: str
    worker: str
    job: str = "drive"  # drive | advance | watch | sync | start
    orders: tuple[tuple[str, str, str | None], ...] = ()
    crash_at: str = ""
    cancel: bool = False
    timeout_s: float = 60.0
    limits: ProtocolLimits = QUICK
    looks: WatchLimits = QUICK_WATCH
    state_home: Path | None = None
    stop_file: Path | None = None
    jump: tuple[str, float] | None = None  # at this point the process' clock jumps by so many seconds
    as_nobody: bool = False


class JumpingClock(SystemClock):
    """The machine's clock until it is moved; its monotonic sister goes on, as the kernel's does."""

    offset = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.offset


def wanted_order(key: str, symbol: str, limit: str | None, reference: Any = None, ttl_s: float = 300.0) -> WantedOrder:
    request = OrderRequest(
        instrument_id=InstrumentId(symbol),
        side=OrderSide.BUY,
        order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
        quantity=Decimal("0.01"),
        limit_price=None if limit is None else Decimal(limit),
    )
    return WantedOrder(ACCOUNT, key, "process proof", request, reference, ttl_s)


@contextmanager
def opened(errand: Errand, clock: Clock) -> Iterator[Runtime]:
    """Broker, ledger and desk as a job opens them."""
    config = AccountConfig(
        account_id=ACCOUNT,
        api_key=SecretStr("main-key"),
        api_secret=SecretStr("main-secret"),
        base_url=errand.url,
        read_timeout_s=5.0,
        write_timeout_s=5.0,
        settle_currencies=("USDT",),
    )
    with (
        Ledger.open(errand.ledger, environment=Environment.SIMULATED) as ledger,
        open_broker(config, clock=clock) as broker,
    ):
        desk = OrderDesk(
            ledger=ledger,
            broker=broker,
            clock=clock,
            policy=RiskPolicy.for_environment(Environment.SIMULATED).model_copy(update={"open_orders_max": 1_000}),
            worker=errand.worker,
            pool="simulated",
            limits=errand.limits,
        )
        yield Runtime(ACCOUNT, ledger, broker, desk, clock, errand.worker)


def perform(errand: Errand, clock: Clock) -> dict[str, Any]:
    """Do the errand in this process; what is returned is told to the parent."""
    lost: list[str] = []
    _count_lost_races(lost)
    with opened(errand, clock) as runtime:
        told = _JOBS[errand.job](errand, runtime)
    return {**told, "lost_races": lost}


def _count_lost_races(into: list[str]) -> None:
    def counting(self: Exception, *arguments: Any) -> None:
        Exception.__init__(self, *arguments)
        into.append(str(arguments[0]))

    store.LostRace.__init__ = counting  # type: ignore[method-assign, assignment]


def _submit(errand: Errand, runtime: Runtime) -> list[str]:
    ids = []
    for key, symbol, limit in errand.orders:
        reference = runtime.broker.quotes([InstrumentId(symbol)])[0]
        ids.append(str(runtime.desk.submit(wanted_order(key, symbol, limit, reference)).intent_id))
    return ids


def _drive(errand: Errand, runtime: Runtime) -> dict[str, Any]:
    ids = _submit(errand, runtime)
    if errand.cancel:
        runtime.desk.drive(ids, timeout_s=1.0)
        for intent_id in ids:
            runtime.desk.cancel(intent_id, reason="process proof")
    views = runtime.desk.drive(ids, timeout_s=errand.timeout_s)
    return {"states": {str(view.intent_id): view.state.value for view in views}}


def _advance(errand: Errand, runtime: Runtime) -> dict[str, Any]:
    """One step of each order and no more: what a woken zombie does is then its own old step alone."""
    views = [runtime.desk.advance(intent_id) for intent_id in _submit(errand, runtime)]
    return {"states": {str(view.intent_id): view.state.value for view in views}}


def _watch(errand: Errand, runtime: Runtime) -> dict[str, Any]:
    until_s = runtime.clock.monotonic() + errand.timeout_s
    stop = errand.stop_file

    def goes_on() -> bool:
        return runtime.clock.monotonic() < until_s and not (stop is not None and stop.exists())

    seen = watch(runtime, goes_on=goes_on, limits=errand.looks)
    return {
        "looks": seen.looks,
        "failed_looks": seen.failed_looks,
        "spooled": seen.spooled,
        "failing": seen.failing,
        "sightings": repr(seen.sightings) if seen.sightings else "",
    }


def _sync(errand: Errand, runtime: Runtime) -> dict[str, Any]:
    result = sync_account(runtime.ledger, runtime.broker, clock=runtime.clock)
    return {"new_fills": result.fills.new}


def _start(errand: Errand, runtime: Runtime) -> dict[str, Any]:
    """What every job that trades does first; then its orders, if it may."""
    try:
        start_trading(runtime, prove_account(runtime))
    except NotReadyToTrade as error:
        return {"refused": str(error.reason)}
    return {"refused": "", **_drive(errand, runtime)}


_JOBS = {"drive": _drive, "advance": _advance, "watch": _watch, "sync": _sync, "start": _start}


# -- inside the child -------------------------------------------------------------------------------------------
def _child(errand: Errand, telling: Connection, log: str) -> None:
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    _arrange(errand)
    clock = JumpingClock()
    try:
        if errand.jump is not None:
            with crash_hook(_jumping(clock, *errand.jump)):
                told = perform(errand, clock)
        else:
            told = perform(errand, clock)
    except BaseException as error:  # noqa: BLE001 - the parent is told, whatever it was
        traceback.print_exc()
        telling.send({"error": type(error).__name__, "message": str(error)})
        telling.close()
        sys.stderr.flush()
        os._exit(1)
    telling.send(told)
    telling.close()


def _arrange(errand: Errand) -> None:
    os.environ.pop(VARIABLE, None)
    if errand.crash_at:
        os.environ[VARIABLE] = errand.crash_at
    if errand.state_home is not None:
        os.environ["XDG_STATE_HOME"] = str(errand.state_home)
    if errand.as_nobody:
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def _jumping(clock: JumpingClock, point: str, seconds: float) -> Any:
    def hook(name: str) -> None:
        if name == point:
            clock.offset = timedelta(seconds=seconds)

    return hook


# -- in the parent ----------------------------------------------------------------------------------------------
@dataclass(slots=True)
class Worker:
    """A running process and what it told. `ended` waits; nobody is left running after `end`."""

    errand: Errand
    process: Any
    telling: Connection
    log: Path
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    def kill(self) -> None:
        self.process.kill()

    def wake(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    @property
    def is_stopped(self) -> bool:
        try:
            return bool(psutil.Process(self.pid).status() == psutil.STATUS_STOPPED)
        except psutil.NoSuchProcess:
            return False

    def ended(self, timeout_s: float = 60.0) -> int:
        """Its exit code, -9 when it was killed; TimeoutError when it goes on."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self._hear()
            self.process.join(0.02)
            if self.process.exitcode is not None:
                self._hear()
                return int(self.process.exitcode)
        raise TimeoutError(f"{self.errand.worker} had not ended after {timeout_s:.0f} s; its log: {self.log_tail()}")

    def _hear(self) -> None:
        try:
            if not self.told and self.telling.poll(0):
                self.told = self.telling.recv()
        except (EOFError, ConnectionResetError):
            pass  # it died without a word

    def log_tail(self, characters: int = 2_000) -> str:
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""

    def end(self) -> None:
        """Whatever it does, it ends here."""
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join(10)


def start(errand: Errand, log: Path) -> Worker:
    """Fork a process for the errand."""
    here, there = forking.pipe()
    process = forking.start(_child, errand, there, str(log))
    there.close()
    return Worker(errand, process, here, log)
