"""A whole account on the simulated Binance, Bybit, OKX or Alpaca, with ledger, desk, runtime and the venue's clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import SecretStr

from brokers.config import AccountConfig
from brokers.factory import open_broker
from brokers.ids import AccountId, Environment, InstrumentId
from brokers.types import OrderRequest, OrderSide, OrderType, ProductKind, TimeInForce
from ledger.engine import Ledger
from simulators import running_alpaca, running_binance, running_bybit, running_okx
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.config import ClockConfig
from simulators.testing import small_config
from simulators.testing_alpaca import small_alpaca_config
from simulators.testing_binance import small_binance_config
from simulators.testing_okx import small_okx_config
from tests.trading.simulated import PATIENT, VenueClock
from trading.orders import IntentView, OrderDesk, WantedOrder
from trading.risk import RiskPolicy
from trading.runtime import Runtime

D = Decimal
START = datetime(2026, 3, 2, 15, tzinfo=UTC)  # a Monday, ten in New York
ON_ITS_OWN_CLOCK = ClockConfig(mode=ClockMode.MANUAL, start=START, gateway=GatewayClock.ENGINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """What differs by venue before a job begins."""

    venue: str
    running: Callable[[Any], AbstractContextManager[Any]]
    config: Callable[..., Any]
    products: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def account_id(self) -> AccountId:
        return AccountId.parse(f"{self.venue}.simulated.main")


SPOT, LINEAR = InstrumentId("BTC/USDT"), InstrumentId("BTC/USDT:USDT")
BINANCE = Seat(
    venue="binance",
    running=running_binance,
    config=small_binance_config,
    products="spot linear",
    fields={"instruments": (SPOT, LINEAR)},
)
OKX = Seat(
    venue="okx",
    running=running_okx,
    config=small_okx_config,
    products="spot linear",
    fields={"api_passphrase": SecretStr("main-passphrase")},
)
BYBIT = Seat(
    venue="bybit",
    running=running_bybit,
    config=small_config,
    products="spot linear",
    fields={"settle_currencies": ("USDT",)},
)
ALPACA = Seat(
    venue="alpaca",
    running=running_alpaca,
    config=small_alpaca_config,
    products="equity spot",
    fields={"settle_currencies": ("USD",)},
)


class SharedClock(VenueClock):
    """One clock for several venues: a wait moves all of them."""

    def __init__(self, start: datetime) -> None:
        super().__init__(start)
        self.others: list[Any] = []

    def advance(self, by: timedelta) -> None:
        to = self.now() + by
        for sim in (self.sim, *self.others):
            sim.control.advance(to=to)


@dataclass(frozen=True, slots=True)
class Account:
    """One account, opened; `sim` is its venue."""

    sim: Any
    runtime: Runtime
    clock: VenueClock

    @property
    def account_id(self) -> AccountId:
        return self.runtime.account_id

    def held(self) -> dict[str, Decimal]:
        """The venue's own truth, signed, in its own units and under its own names."""
        return {p.symbol: p.signed_qty for p in self.sim.control.positions("main") if p.qty}

    def traded(
        self, name: str, side: OrderSide, quantity: str, key: str, *, timeout_s: float = 30, **terms: Any
    ) -> IntentView:
        """An order of ours, driven until it is over or rests."""
        instrument_id = InstrumentId(name)
        fields: dict[str, Any] = {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC, **terms}
        request = OrderRequest(instrument_id=instrument_id, side=side, quantity=D(quantity), **fields)
        (quote,) = self.runtime.broker.quotes([instrument_id])
        view = self.runtime.desk.submit(WantedOrder(self.account_id, key, "test", request, quote, ttl_s=60))
        return self.runtime.desk.drive([view.intent_id], timeout_s=timeout_s)[0]


@contextmanager
def account_at(
    seat: Seat,
    ledger: Ledger | Path,
    *,
    clock: VenueClock | None = None,
    config: Any = None,
    products: str = "",
    policy: Mapping[str, Any] = MappingProxyType({}),
    **fields: Any,
) -> Iterator[Account]:
    """Open the venue and one account of it. `ledger`: a shared one, or the folder of a new one."""
    used = clock or VenueClock(START)
    with ExitStack() as stack:
        sim = stack.enter_context(seat.running(config or seat.config(clock=ON_ITS_OWN_CLOCK)))
        if used.sim is None:
            used.sim = sim
        elif isinstance(used, SharedClock):
            used.others.append(sim)
        connection: dict[str, Any] = {
            "account_id": seat.account_id,
            "api_key": SecretStr("main-key"),
            "api_secret": SecretStr("main-secret"),
            "base_url": sim.url,
            "products": frozenset(map(ProductKind, (products or seat.products).split())),
        }
        broker = stack.enter_context(open_broker(AccountConfig(**{**connection, **seat.fields, **fields}), clock=used))
        if isinstance(ledger, Path):
            url = f"sqlite:///{ledger / 'ledger.sqlite'}"
            ledger = stack.enter_context(Ledger.open(url, environment=Environment.SIMULATED, clock=used))
        rules = RiskPolicy.for_environment(Environment.SIMULATED).model_copy(update=dict(policy))
        desk = OrderDesk(ledger=ledger, broker=broker, clock=used, policy=rules, worker="test-1", limits=PATIENT)
        yield Account(
            sim, Runtime(account_id=seat.account_id, ledger=ledger, broker=broker, desk=desk, clock=used), used
        )
