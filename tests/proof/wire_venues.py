"""One row per adapter: how its simulator is started, how it is opened, and what the table's roles mean on its wire.

A new venue adds a row; nothing else of the wire layer changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from brokers.config import AccountConfig
from brokers.ids import AccountId, InstrumentId
from simulators import running_bybit
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.config import ClockConfig
from simulators.testing import small_config
from tests.proof.wire_faults import Verb


@dataclass(frozen=True)
class Product:
    """One kind of instrument of a venue. Terms are texts; `resting` is a price away from the market."""

    name: str
    instrument_id: InstrumentId
    symbol: str
    kind: str
    quantity: str
    resting: str
    crossing: str  # a price that fills at once
    level_notional: str  # so much of the book at each price that an order needs several fills
    cancel_requests_max: int = 1
    codes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class WireVenue:
    """`paths` maps a verb, or a role, to the paths of its requests; a path may end in `*`."""

    name: str
    account_id: AccountId
    owner: str  # the simulator's name of the account
    products: tuple[Product, ...]
    paths: Mapping[str, tuple[str, ...]]
    start: Callable[[datetime], AbstractContextManager[Any]]
    configure: Callable[[str, float], AccountConfig]

    @property
    def order_paths(self) -> tuple[str, ...]:
        return self.paths[Verb.PLACE]


@contextmanager
def _bybit(start: datetime) -> Iterator[Any]:
    clock = ClockConfig(mode=ClockMode.MANUAL, start=start, gateway=GatewayClock.ENGINE)
    with running_bybit(small_config(clock=clock)) as running:
        yield running


_BYBIT_ID = AccountId.parse("bybit.simulated.main")


def _bybit_account(url: str, timeout_s: float) -> AccountConfig:
    return AccountConfig(
        account_id=_BYBIT_ID,
        api_key=SecretStr("main-key"),
        api_secret=SecretStr("main-secret"),
        base_url=url,
        settle_currencies=("USDT",),
        read_timeout_s=timeout_s,
        write_timeout_s=timeout_s,
    )


_BYBIT_CODES = {"unknown": 987_654, "ambiguous": 10_016, "busy": 10_006}
BYBIT = WireVenue(
    name="bybit",
    account_id=_BYBIT_ID,
    owner="main",
    products=(
        Product(
            "linear",
            InstrumentId("BTC/USDT:USDT"),
            "BTCUSDT",
            "linear",
            quantity="0.010",
            resting="58000",
            crossing="60600.00",
            level_notional="250",
            codes={**_BYBIT_CODES, "maintenance": 110_063, "no_money": 110_007},
        ),
        Product(
            "spot",
            InstrumentId("ETH/USDT"),
            "ETHUSDT",
            "spot",
            quantity="0.0100",
            resting="2900",
            crossing="3030.00",
            level_notional="12",
            cancel_requests_max=2,  # not among the active orders: once more among the conditional ones
            codes={**_BYBIT_CODES, "maintenance": 170_191, "no_money": 170_131},
        ),
    ),
    paths={
        Verb.PLACE: ("/v5/order/create",),
        Verb.CANCEL: ("/v5/order/cancel",),
        Verb.FIND_ORDER: ("/v5/order/realtime", "/v5/order/history"),
        Verb.OPEN_ORDERS: ("/v5/order/realtime",),
        Verb.ORDER_HISTORY: ("/v5/order/history",),
        Verb.FILLS: ("/v5/execution/list",),
        Verb.POSITIONS: ("/v5/position/list",),
        "order": ("/v5/order/create",),
        "orders": ("/v5/order/realtime", "/v5/order/history"),
        "every_read": ("/v5/order/realtime", "/v5/order/history", "/v5/execution/list", "/v5/position/list"),
        "every_request": ("*",),
    },
    start=_bybit,
    configure=_bybit_account,
)
VENUES: tuple[WireVenue, ...] = (BYBIT,)
