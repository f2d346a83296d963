"""Bybit's row: linear perpetuals with permanent ids, spot with ids that are free again once an order is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from brokers.config import AccountConfig
from brokers.ids import AccountId, InstrumentId
from simulators import running_bybit
from simulators.testing import small_config
from tests.proof.wire_faults import Verb
from tests.proof.wire_venues import Product, Stop, WireVenue, venue_clock


@contextmanager
def _start(start: datetime) -> Iterator[Any]:
    with running_bybit(small_config(clock=venue_clock(start))) as running:
        yield running


_ID = AccountId.parse("bybit.simulated.main")


def _account(url: str, timeout_s: float) -> AccountConfig:
    return AccountConfig(
        account_id=_ID,
        api_key=SecretStr("main-key"),
        api_secret=SecretStr("main-secret"),
        base_url=url,
        settle_currencies=("USDT",),
        read_timeout_s=timeout_s,
        write_timeout_s=timeout_s,
    )


_CODES = {"unknown": 987_654, "ambiguous": 10_016, "busy": 10_006}
_LINEAR = Product(
    "linear",
    InstrumentId("BTC/USDT:USDT"),
    "BTCUSDT",
    "linear",
    quantity="0.010",
    resting="58000",
    crossing="60600.00",
    level_notional="250",
    codes={**_CODES, "maintenance": 110_063, "no_money": 110_007},
    has_permanent_ids=True,
)
_SPOT = Product(
    "spot",
    InstrumentId("ETH/USDT"),
    "ETHUSDT",
    "spot",
    quantity="0.0100",
    resting="2900",
    crossing="3030.00",
    level_notional="12",
    cancel_requests_max=3,  # not among the active orders: once more among each kind that waits for a price
    codes={**_CODES, "maintenance": 170_191, "no_money": 170_131},
)
VENUE = WireVenue(
    name="bybit",
    account_id=_ID,
    owner="main",
    products=(_LINEAR, _SPOT),
    stops=(
        replace(
            _LINEAR,
            name="linear stop",
            crossing="60900",
            stop=Stop("60600", "60700", rests_at="60300", back="60200", of_few=True),
        ),
        replace(
            _SPOT,
            name="spot stop",
            crossing="3045",
            stop=Stop("3030", "3035", rests_at="3015", back="3010", of_few=True),
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
    start=_start,
    configure=_account,
)
