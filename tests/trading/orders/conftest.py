"""A desk on a modelled venue, a real SQLite ledger, and a clock that moves only when told."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.clock import ManualClock
from brokers.ids import Environment
from brokers.types import OrderRequest, OrderSide, OrderType
from ledger.engine import Ledger
from tests.trading.orders.modelled import BTC, START, ModelVenue, quote
from trading.orders.desk import OrderDesk
from trading.orders.intents import WantedOrder
from trading.orders.protocol import ProtocolLimits
from trading.risk import RiskPolicy

POLICY = RiskPolicy.for_environment(Environment.SIMULATED)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One migrated ledger, copied for each test: migrating takes most of a short test's time."""
    path = tmp_path_factory.mktemp("ledger") / "template.db"
    Ledger.open(f"sqlite:///{path}", environment=Environment.SIMULATED).close()
    return path


@pytest.fixture
def ledger(tmp_path: Path, migrated: Path, clock: ManualClock) -> Iterator[Ledger]:
    shutil.copy(migrated, tmp_path / "ledger.db")
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", environment=Environment.SIMULATED, clock=clock) as opened:
        yield opened


@pytest.fixture
def venue(clock: ManualClock) -> ModelVenue:
    return ModelVenue(clock)


MakeDesk = Callable[..., OrderDesk]


@pytest.fixture
def make_desk(ledger: Ledger, venue: ModelVenue, clock: ManualClock) -> MakeDesk:
    def make(
        worker: str = "worker-1",
        *,
        policy: RiskPolicy = POLICY,
        limits: ProtocolLimits = ProtocolLimits(),
        pool: str = "",
        broker: ModelVenue | None = None,
    ) -> OrderDesk:
        return OrderDesk(
            ledger=ledger,
            broker=broker or venue,
            clock=clock,
            policy=policy,
            worker=worker,
            pool=pool,
            limits=limits,
        )

    return make


@pytest.fixture
def desk(make_desk: MakeDesk) -> OrderDesk:
    return make_desk()


Want = Callable[..., WantedOrder]


@pytest.fixture
def want(venue: ModelVenue) -> Want:
    def make(
        key: str = "order-1",
        *,
        quantity: str = "0.01",
        side: OrderSide = OrderSide.BUY,
        limit: str | None = None,
        ttl_s: float = 60.0,
        reduce_only: bool = False,
        plan_id: str | None = None,
        leg_number: int | None = None,
    ) -> WantedOrder:
        request = OrderRequest(
            instrument_id=BTC,
            side=side,
            order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
            quantity=Decimal(quantity),
            limit_price=None if limit is None else Decimal(limit),
            reduce_only=reduce_only,
        )
        return WantedOrder(
            account_id=venue.account_id,
            business_key=key,
            source="test",
            request=request,
            reference=quote(venue),
            ttl_s=ttl_s,
            plan_id=plan_id,
            leg_number=leg_number,
        )

    return make
