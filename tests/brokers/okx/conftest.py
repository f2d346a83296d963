"""An OKX broker on the scripted server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from brokers.clock import SystemClock
from brokers.config import AccountConfig
from brokers.factory import open_broker
from brokers.ids import AccountId
from brokers.okx.adapter import OKXBroker
from tests.brokers.loopback import API_KEY, API_SECRET, PATIENCE_S, Loopback, Request, Responder, reply
from tests.brokers.okx.recorded import (
    CONFIG_ROW,
    ETH_SWAP_ROW,
    INVERSE_ROW,
    SPOT_ROW,
    SWAP_ROW,
    body,
)
from tests.canaries import LOOPBACK_PASSPHRASE

PASSPHRASE = LOOPBACK_PASSPHRASE
V5 = "/api/v5"


def answer(*rows: Any, code: str = "0", msg: str = "", status: int = 200) -> Responder:
    return reply(status, body(*rows, code=code, msg=msg))


def by_method(**responders: Responder) -> Responder:
    """One path that reads and writes: GET and POST answer apart."""

    def send(request: Request, sock: Any) -> bool:
        return responders[request.method](request, sock)

    return send


def paged(cursor: str, rows: Callable[[], list[dict[str, Any]]]) -> Responder:
    """A list, newest first, that OKX pages by the ids of its rows and filters by time."""

    def send(request: Request, sock: Any) -> bool:
        query = request.query
        found = [row for row in rows() if query.get("instType") in (None, row["instType"])]
        if "after" in query:
            found = [row for row in found if int(row[cursor]) < int(query["after"])]
        return answer(*found[: int(query.get("limit", "100"))])(request, sock)

    return send


def server_time(request: Request, sock: Any) -> bool:
    return answer({"ts": str(time.time_ns() // 10**6)})(request, sock)


def instruments(request: Request, sock: Any) -> bool:
    found = [SPOT_ROW] if request.query["instType"] == "SPOT" else [INVERSE_ROW, ETH_SWAP_ROW, SWAP_ROW]
    return answer(*found)(request, sock)


def config_at(url: str, **changes: Any) -> AccountConfig:
    values: dict[str, Any] = {
        "account_id": AccountId.parse("okx.simulated.main"),
        "api_key": SecretStr(API_KEY),
        "api_secret": SecretStr(API_SECRET),
        "api_passphrase": SecretStr(PASSPHRASE),
        "base_url": url,
        "read_timeout_s": PATIENCE_S,
        "write_timeout_s": PATIENCE_S,
    }
    return AccountConfig(**{**values, **changes})


def no_stops(server: Loopback) -> None:
    """No conditional order waits or has ended, and no ordinary one is shown by its number."""
    for path in ("trade/order", "trade/order-algo"):
        server.on(f"{V5}/{path}", answer(code="51603", msg="Order does not exist"))
    for path in ("orders-algo-pending", "orders-algo-history", "orders-history", "orders-history-archive"):
        server.on(f"{V5}/trade/{path}", answer())


@pytest.fixture
def broker(loopback: Loopback) -> Iterator[OKXBroker]:
    """A broker in futures mode, one-way, that holds nothing."""
    loopback.on(f"{V5}/public/time", server_time)
    loopback.on(f"{V5}/public/instruments", instruments)
    loopback.on(f"{V5}/account/config", answer(CONFIG_ROW))
    loopback.on(f"{V5}/account/positions", answer())
    no_stops(loopback)
    opened = open_broker(config_at(loopback.url), clock=SystemClock())
    assert isinstance(opened, OKXBroker)
    yield opened
    opened.close()
