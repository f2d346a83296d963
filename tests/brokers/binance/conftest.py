"""A Binance broker on the scripted server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from brokers.binance.adapter import BinanceBroker
from brokers.clock import SystemClock
from brokers.config import AccountConfig
from brokers.factory import open_broker
from brokers.ids import AccountId, InstrumentId
from tests.brokers.binance.recorded import FUTURES_SYMBOL, SPOT_SYMBOL
from tests.brokers.loopback import PATIENCE_S, Loopback, Request, Responder, account_config, reply

SPOT, LINEAR = InstrumentId("BTC/USDT"), InstrumentId("BTC/USDT:USDT")
LISTED = (SPOT, LINEAR)


@pytest.fixture
def own_loop() -> Iterator[None]:
    """The event loop that python-binance takes hold of where it may, closed again."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


def says(answer: Any, status: int = 200, **headers: str) -> Responder:
    """An answer of the venue, as JSON."""
    return reply(status, json.dumps(answer), **headers)


def refuses(code: int, text: str = "refused", status: int = 400, **headers: str) -> Responder:
    return says({"code": code, "msg": text}, status, **headers)


def venue_time(request: Request, sock: Any) -> bool:
    return says({"serverTime": time.time_ns() // 1_000_000})(request, sock)


def exchange_info(row: dict[str, Any]) -> Responder:
    """One symbol; any other is the venue's -1121."""

    def send(request: Request, sock: Any) -> bool:
        is_known = request.query.get("symbol", row["symbol"]) == row["symbol"]
        return (says({"symbols": [row]}) if is_known else refuses(-1121, "Invalid symbol."))(request, sock)

    return send


def config_at(url: str, **changes: Any) -> AccountConfig:
    values = {"account_id": AccountId.parse("binance.simulated.main"), "instruments": LISTED}
    return account_config(url, **{**values, "read_timeout_s": PATIENCE_S, "write_timeout_s": PATIENCE_S, **changes})


def opened(url: str, **changes: Any) -> BinanceBroker:
    found = open_broker(config_at(url, **changes), clock=SystemClock())
    assert isinstance(found, BinanceBroker)
    return found


@pytest.fixture
def venue(loopback: Loopback) -> Loopback:
    """The scripted server, which knows the time and one instrument per product."""
    for prefix, row in (("/api/v3", SPOT_SYMBOL), ("/fapi/v1", FUTURES_SYMBOL)):
        loopback.on(f"{prefix}/time", venue_time)
        loopback.on(f"{prefix}/exchangeInfo", exchange_info(row))
    return loopback


@pytest.fixture
def broker(venue: Loopback) -> Iterator[BinanceBroker]:
    with opened(venue.url) as found:
        yield found
