"""A whole account on a simulated Bybit: venue, broker, ledger, desk, runtime, for tests of jobs."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr

from brokers.clock import Clock, SystemClock
from brokers.config import AccountConfig
from brokers.factory import open_broker
from brokers.ids import AccountId, Environment, InstrumentId
from brokers.types import OrderRequest, OrderSide, OrderType, TimeInForce
from ledger.engine import Ledger
from simulators import running_bybit
from simulators.testing import small_config
from trading.orders import OrderDesk, ProtocolLimits, WantedOrder
from trading.rebalancing import Portfolio
from trading.risk import RiskPolicy
from trading.runtime import Runtime
from trading.steps import StepKind

ACCOUNT = AccountId.parse("bybit.simulated.main")
T = TypeVar("T")
D = Decimal
PATIENT = ProtocolLimits()
QUICK = ProtocolLimits(  # the same rules with short times: proofs of absence in seconds instead of minutes
    validity_s=2.0, skew_s=0.5, horizon_s=1.0, ladder_gap_s=0.3, query_every_s=0.2, wait_s=0.3
)


class QuickClock(SystemClock):
    """The machine's clock, whose waits are short: the simulator answers at once."""

    def wait(self, seconds: float) -> None:
        super().wait(min(seconds, 0.02))


class VenueClock:
    """The simulated venue's own clock: a wait moves the venue, its market included. Days pass in no time."""

    def __init__(self, start: datetime) -> None:
        self.sim: Any = None
        self._start = start

    def now(self) -> datetime:
        if self.sim is None:
            return self._start
        return datetime.fromtimestamp(self.sim.control.health()["engine_ms"] / 1000, UTC)

    def monotonic(self) -> float:
        return self.now().timestamp()

    def wait(self, seconds: float) -> None:
        self.advance(timedelta(seconds=max(seconds, 0.001)))

    def advance(self, by: timedelta) -> None:
        self.sim.control.advance(to=self.now() + by)


@dataclass
class Stage:
    """What a test plays on; `open_again` is a new process over the same venue and ledger."""

    sim: Any
    runtime: Runtime
    ledger_url: str
    clock: Clock
    _open: Callable[[], Runtime]

    def open_again(self) -> Runtime:
        return self._open()

    def positions(self) -> dict[str, Decimal]:
        """The venue's own truth, signed."""
        return {p.symbol: p.signed_qty for p in self.sim.control.positions("main") if p.qty}

    def wallet(self, coin: str) -> Decimal:
        return Decimal(self.sim.control.wallets("main").get(coin, 0))

    def venue_orders(self) -> list[Any]:
        return list(self.sim.control.orders("main"))


@contextmanager
def stage(
    directory: Path, *, clock: Clock | None = None, config: Any = None, limits: ProtocolLimits = PATIENT, **risk: Any
) -> Iterator[Stage]:
    """Open everything on a free port and a new ledger; close it at the end."""
    used = clock or QuickClock()
    url = f"sqlite:///{directory / 'ledger.sqlite'}"
    with ExitStack() as stack:
        sim = stack.enter_context(running_bybit(config or small_config()))
        if isinstance(used, VenueClock):
            used.sim = sim

        own = used if isinstance(used, VenueClock) else None  # accelerated: leases run on it too

        def opened() -> Runtime:
            times = {"clock": used, "ledger_clock": own, "limits": limits}
            return stack.enter_context(open_runtime(sim.url, url, **times, **risk))

        yield Stage(sim, opened(), url, used, opened)


@contextmanager
def open_runtime(
    venue_url: str,
    ledger_url: str,
    *,
    clock: Clock,
    ledger_clock: Clock | None = None,
    limits: ProtocolLimits = PATIENT,
    **risk: Any,
) -> Iterator[Runtime]:
    """One process' view of the account: broker, ledger and desk."""
    connection = AccountConfig(
        account_id=ACCOUNT,
        api_key=SecretStr("main-key"),
        api_secret=SecretStr("main-secret"),
        base_url=venue_url,
        settle_currencies=("USDT",),
    )
    policy = RiskPolicy.for_environment(Environment.SIMULATED).model_copy(update=risk)
    with (
        open_broker(connection, clock=clock) as broker,
        Ledger.open(ledger_url, environment=Environment.SIMULATED, clock=ledger_clock) as ledger,
    ):
        worker = f"test-{secrets.token_hex(4)}"
        desk = OrderDesk(ledger=ledger, broker=broker, clock=clock, policy=policy, worker=worker, limits=limits)
        yield Runtime(account_id=ACCOUNT, ledger=ledger, broker=broker, desk=desk, clock=clock)


def end_leases(ledger_url: str) -> None:
    """Let the time of the dead process' leases be over without waiting for it."""
    connection = sqlite3.connect(ledger_url.removeprefix("sqlite:///"))
    with connection:
        for table in ("plan", "order_intent"):
            connection.execute(f"UPDATE {table} SET lease_until = '2000-01-01T00:00:00.000000Z' WHERE lease_until > ''")
    connection.close()


def book(targets: dict[str, str], **changes: Any) -> Portfolio:
    """A portfolio in USDT with levered lines allowed."""
    fields: dict[str, Any] = {"name": "core", "quote_currency": "USDT", "targets": targets, "gross_max": "3"}
    return Portfolio(**{**fields, **changes})


class Interrupted(Exception):
    """The process ended here."""


class InterruptingStep:
    """A step that ends the process before or after its n-th call of the kinds."""

    def __init__(self, at: int, *, after: bool, kinds: Collection[StepKind] = frozenset(StepKind)) -> None:
        self.at = at
        self.after = after
        self.kinds = kinds
        self.calls = 0

    def __call__(self, name: str, kind: StepKind, function: Callable[[], T]) -> T:
        if kind not in self.kinds:
            return function()
        self.calls += 1
        if self.calls == self.at and not self.after:
            raise Interrupted(f"before {name}")
        result = function()
        if self.calls == self.at:
            raise Interrupted(f"after {name}")
        return result


def ids(*names: str) -> list[InstrumentId]:
    return [InstrumentId(name) for name in names]


def send(on: Stage, key: str, instrument_id: InstrumentId, side: OrderSide, quantity: str, **terms: Any) -> None:
    """An order of ours through the desk until it rests or is filled; without a limit price at the market."""
    runtime, is_limit = on.runtime, "limit_price" in terms
    request = OrderRequest(
        instrument_id=instrument_id,
        side=side,
        order_type=OrderType.LIMIT if is_limit else OrderType.MARKET,
        quantity=D(quantity),
        time_in_force=TimeInForce.GTC if is_limit else TimeInForce.IOC,
        **terms,
    )
    quote = runtime.broker.quotes([instrument_id])[0]
    wanted = WantedOrder(account_id=ACCOUNT, business_key=key, source="cli", request=request, reference=quote, ttl_s=60)
    runtime.desk.submit(wanted)
    (view,) = runtime.desk.drive(
        [wanted.intent_id], timeout_s=30, until=lambda one: one.state.value in ("working", "filled")
    )
    assert view.state.value == ("working" if is_limit else "filled"), view
