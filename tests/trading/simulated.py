"""A whole account on a simulated Bybit: venue, broker, ledger, desk, runtime, for tests of jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr

from brokers.clock import Clock, SystemClock
from brokers.config import AccountConfig
from brokers.factory import open_broker
from brokers.ids import AccountId, Environment, InstrumentId
from ledger.engine import Ledger
from simulators import running_bybit
from simulators.testing import small_config
from trading.orders import OrderDesk
from trading.rebalancing import Portfolio
from trading.risk import RiskPolicy
from trading.runtime import Runtime
from trading.steps import StepKind

ACCOUNT = AccountId.parse("bybit.simulated.main")
T = TypeVar("T")
D = Decimal


class QuickClock(SystemClock):
    """The machine's clock, whose waits are short: the simulator answers at once."""

    def wait(self, seconds: float) -> None:
        super().wait(min(seconds, 0.02))


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
def stage(directory: Path, *, clock: Clock | None = None, config: Any = None, **risk: Any) -> Iterator[Stage]:
    """Open everything on a free port and a new ledger; close it at the end."""
    used = clock or QuickClock()
    url = f"sqlite:///{directory / 'ledger.sqlite'}"
    policy = RiskPolicy.for_environment(Environment.SIMULATED).model_copy(update=risk)
    with ExitStack() as stack:
        sim = stack.enter_context(running_bybit(config or small_config()))

        def opened() -> Runtime:
            connection = AccountConfig(
                account_id=ACCOUNT,
                api_key=SecretStr("main-key"),
                api_secret=SecretStr("main-secret"),
                base_url=sim.url,
                settle_currencies=("USDT",),
            )
            broker = stack.enter_context(open_broker(connection, clock=used))
            ledger = stack.enter_context(Ledger.open(url, environment=Environment.SIMULATED))
            desk = OrderDesk(ledger=ledger, broker=broker, clock=used, policy=policy, worker=f"test-{id(broker)}")
            return Runtime(account_id=ACCOUNT, ledger=ledger, broker=broker, desk=desk, clock=used)

        yield Stage(sim, opened(), url, used, opened)


def book(targets: dict[str, str], **changes: Any) -> Portfolio:
    """A portfolio in USDT with levered lines allowed."""
    fields: dict[str, Any] = {"name": "core", "quote_currency": "USDT", "targets": targets, "gross_max": "3"}
    return Portfolio(**{**fields, **changes})


class Interrupted(Exception):
    """The process ended here."""


class InterruptingStep:
    """A step that ends the process before or after its n-th call."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.at = at
        self.after = after
        self.calls = 0

    def __call__(self, name: str, kind: StepKind, function: Callable[[], T]) -> T:
        self.calls += 1
        if self.calls == self.at and not self.after:
            raise Interrupted(f"before {name}")
        result = function()
        if self.calls == self.at:
            raise Interrupted(f"after {name}")
        return result


def ids(*names: str) -> list[InstrumentId]:
    return [InstrumentId(name) for name in names]
