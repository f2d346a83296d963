"""Fixtures of the simulators' tests: a small running venue and independent clients for it."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import ccxt
import pytest
import requests
from pybit.unified_trading import HTTP

from simulators import Control, Running, running_bybit
from simulators.testing import small_config


@pytest.fixture
def config_changes() -> dict[str, Any]:
    """Override in a module or by parametrization to change the venue's configuration."""
    return {}


@pytest.fixture
def sim(config_changes: dict[str, Any]) -> Iterator[Running[Control]]:
    with running_bybit(small_config(**config_changes)) as running:
        yield running


@pytest.fixture
def control(sim: Running[Control]) -> Control:
    return sim.control


@dataclass
class Wire:
    """A bare signed client that does nothing on its own: no retries, no redirects, no proxies."""

    url: str
    key: str = "main-key"
    secret: str = "main-secret"
    offset_ms: int = 0
    recv_window: str = "5000"
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.trust_env = False

    def send(self, method: str, path: str, payload: str = "", **headers: str) -> requests.Response:
        stamp = str(time.time_ns() // 1_000_000 + self.offset_ms)
        origin = f"{stamp}{self.key}{self.recv_window}{payload}"
        signed = {
            "X-BAPI-API-KEY": self.key,
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-RECV-WINDOW": self.recv_window,
            "X-BAPI-SIGN": hmac.new(self.secret.encode(), origin.encode(), hashlib.sha256).hexdigest(),
        }
        url = f"{self.url}{path}?{payload}" if method == "GET" and payload else f"{self.url}{path}"
        return self.session.request(
            method,
            url,
            data=payload.encode() if method == "POST" else None,
            headers={**signed, **headers},
            allow_redirects=False,
            timeout=30,
        )

    def get(self, path: str, query: str = "") -> dict[str, Any]:
        return self.send("GET", path, query).json()

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        return self.send("POST", path, json.dumps(body)).json()

    def place(self, **body: Any) -> dict[str, Any]:
        default = {"category": "linear", "symbol": "AAPLUSDT", "side": "Buy", "orderType": "Market", "qty": "1"}
        return self.post("/v5/order/create", **{**default, **body})

    def rows(self, path: str, query: str = "category=linear") -> list[dict[str, Any]]:
        answer = self.get(path, query)
        assert answer["retCode"] == 0, answer
        return answer["result"]["list"]

    def order(self, link_id: str, category: str = "linear") -> dict[str, Any]:
        scope = "&settleCoin=USDT" if category == "linear" else ""
        (row,) = self.rows("/v5/order/realtime", f"category={category}&orderLinkId={link_id}{scope}")
        return row


@pytest.fixture
def wire(sim: Running[Control]) -> Iterator[Wire]:
    client = Wire(sim.url)
    yield client
    client.session.close()


@pytest.fixture
def wire_of(sim: Running[Control]) -> Iterator[Callable[..., Wire]]:
    made: list[Wire] = []

    def make(**fields: Any) -> Wire:
        made.append(Wire(sim.url, **fields))
        return made[-1]

    yield make
    for client in made:
        client.session.close()


@pytest.fixture
def pybit(sim: Running[Control]) -> Iterator[HTTP]:
    session = HTTP(api_key="main-key", api_secret="main-secret", retry_codes={-1})
    session.endpoint = sim.url
    session.client.trust_env = False
    yield session
    session.client.close()


@pytest.fixture
def exchange(sim: Running[Control]) -> Iterator[ccxt.bybit]:
    client = ccxt.bybit({"apiKey": "second-key", "secret": "second-secret", "enableRateLimit": False})
    client.urls["api"] = dict.fromkeys(client.urls["api"], sim.url)
    yield client
    client.session.close()
