"""Fixtures of the venue layer's tests: scripted servers and a broker that talks to one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from brokers import sockets, transport, transport_httpx
from brokers.bybit.adapter import BybitBroker
from brokers.clock import SystemClock
from brokers.factory import open_broker
from tests.brokers.loopback import PATIENCE_S, Loopback, account_config, instruments_route, server_time, start_loopback


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    server, listener = start_loopback()
    yield server
    server.stop.set()
    listener.close()


@pytest.fixture
def decoy() -> Iterator[Loopback]:
    """A second host that must never hear from us: proxy, redirect target."""
    server, listener = start_loopback()
    yield server
    server.stop.set()
    listener.close()


@pytest.fixture
def broker(loopback: Loopback) -> Iterator[BybitBroker]:
    """A Bybit broker on the scripted server, which knows one instrument per product and the time."""
    loopback.on("/v5/market/time", server_time)
    loopback.on("/v5/market/instruments-info", instruments_route)
    opened = open_broker(
        account_config(loopback.url, read_timeout_s=PATIENCE_S, write_timeout_s=PATIENCE_S), clock=SystemClock()
    )
    assert isinstance(opened, BybitBroker)
    yield opened
    opened.close()


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The addresses that are about to be reached, by whatever transport; nothing is resolved, nothing is reached."""
    found: list[tuple[str, int]] = []

    def connect(host: str, port: int, call: Any) -> Any:
        found.append((host, port))
        raise call.failure(OSError("this test connects nowhere"))

    for module, name in ((transport, "_connect"), (transport_httpx, "_connect"), (sockets, "connect")):
        monkeypatch.setattr(module, name, connect)
    return found
