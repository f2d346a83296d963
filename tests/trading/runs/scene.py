"""Several accounts on one simulated Bybit and one ledger, for tests of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from brokers.clock import Clock
from brokers.config import AccountConfig
from brokers.factory import open_broker
from brokers.ids import AccountId, Environment
from ledger.engine import Ledger
from simulators import running_bybit
from simulators.core.config import AccountConfig as SimulatedAccount
from simulators.core.config import KeyConfig
from simulators.testing import small_config
from tests.trading.simulated import PATIENT, QuickClock, VenueClock, book
from trading.orders import OrderDesk, ProtocolLimits
from trading.rebalancing.subscription import Subscription
from trading.risk import RiskPolicy
from trading.runs import Approval, Decision, RunOutcome, StoredRun, run_portfolio
from trading.runtime import Runtime

D = Decimal
NAMES = ("main", "second")
AAPL, MSFT, BTC = "AAPL/USDT:USDT", "MSFT/USDT:USDT", "BTC/USDT"


@dataclass
class Scene:
    """What a test of runs plays on; `open_again` is a new process over the same venue and ledger."""

    sim: Any
    ledger_url: str
    runtimes: Mapping[str, Runtime]
    _open: Callable[[], dict[str, Runtime]]

    @property
    def ledger(self) -> Ledger:
        return next(iter(self.runtimes.values())).ledger

    def open_again(self) -> dict[str, Runtime]:
        return self._open()

    def run(self, targets: Mapping[str, str], key: str = "run-1", **more: Any) -> RunOutcome:
        options = {name: more.pop(name) for name in ("approve", "runtimes", "limits", "on_progress") if name in more}
        runtimes = options.pop("runtimes", self.runtimes)
        terms = {name: more.pop(name) for name in tuple(more) if name in Subscription.model_fields}
        portfolio = book(dict(targets), **more)
        return run_portfolio(runtimes, subscribed(**terms), portfolio, business_key=key, **options)

    def orders(self, name: str = "") -> list[Any]:
        return [order for each in ([name] if name else NAMES) for order in self.sim.control.orders(each)]

    def positions(self, name: str) -> dict[str, Decimal]:
        return {p.symbol: p.signed_qty for p in self.sim.control.positions(name) if p.qty}


def block(name: str) -> str:
    return f"bybit-simulated-{name}"


def subscribed(**changes: Any) -> Subscription:
    fields: dict[str, Any] = {
        "name": "both",
        "portfolio": "core",
        "accounts": [{"account": block(name)} for name in NAMES],
        "base_currency": "USDT",
    }
    return Subscription(**{**fields, **changes})


def saying(decision: Decision, *, seen: list[StoredRun] | None = None, before: Callable[[], None] | None = None) -> Any:
    """A person who answers at once; `before` happens while they read."""

    def approve(run: StoredRun) -> Approval:
        if seen is not None:
            seen.append(run)
        if before is not None and (seen is None or len(seen) == 1):
            before()
        return Approval(decision=decision, by="ann", reason="looks right", run_hash=run.run_hash)

    return approve


@contextmanager
def scene(
    directory: Path,
    *,
    clock: Clock | None = None,
    limits: ProtocolLimits = PATIENT,
    config: Any = None,
) -> Iterator[Scene]:
    url = f"sqlite:///{directory / 'ledger.sqlite'}"
    used = clock or QuickClock()
    with ExitStack() as stack:
        sim = stack.enter_context(running_bybit(config or two_accounts()))

        if isinstance(used, VenueClock):
            used.sim = sim
        own = used if isinstance(used, VenueClock) else None  # leases and approvals run on it too

        def opened() -> dict[str, Runtime]:
            return stack.enter_context(open_accounts(sim.url, url, clock=used, ledger_clock=own, limits=limits))

        yield Scene(sim, url, opened(), opened)


def two_accounts(**changes: Any) -> Any:
    accounts = tuple(
        SimulatedAccount(
            name=name,
            balances={"USDT": D(100_000)},
            keys=(KeyConfig(api_key=f"{name}-key", api_secret=f"{name}-secret"),),
        )
        for name in NAMES
    )
    return small_config(accounts=accounts, **changes)


@contextmanager
def open_accounts(
    venue_url: str,
    ledger_url: str,
    *,
    clock: Clock,
    ledger_clock: Clock | None = None,
    limits: ProtocolLimits = PATIENT,
    names: tuple[str, ...] = NAMES,
    **risk: Any,
) -> Iterator[dict[str, Runtime]]:
    """One process' view of the accounts, over one ledger."""
    policy = RiskPolicy.for_environment(Environment.SIMULATED).model_copy(update=risk)
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger.open(ledger_url, environment=Environment.SIMULATED, clock=ledger_clock))
        found = {}
        for name in names:
            account = AccountId.parse(f"bybit.simulated.{name}")
            connection = AccountConfig(
                account_id=account,
                api_key=SecretStr(f"{name}-key"),
                api_secret=SecretStr(f"{name}-secret"),
                base_url=venue_url,
                settle_currencies=("USDT",),
            )
            broker = stack.enter_context(open_broker(connection, clock=clock))
            desk = OrderDesk(
                ledger=ledger, broker=broker, clock=clock, policy=policy, worker=f"test-{id(broker)}", limits=limits
            )
            found[block(name)] = Runtime(
                account_id=account, ledger=ledger, broker=broker, desk=desk, clock=clock, worker=f"w-{id(broker)}"
            )
        yield found
