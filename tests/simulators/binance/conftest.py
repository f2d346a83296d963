"""Fixtures of the Binance simulator's tests: a small running venue, a bare client, the SDK and ccxt."""

import asyncio
import hashlib
import hmac
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import ccxt
import pytest
import requests

from simulators import Control, Running, running_binance
from simulators.testing_binance import small_binance_config

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK imports deprecated names of websockets
    from binance.client import Client

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def config_changes() -> dict[str, Any]:
    """Override in a module or by parametrization to change the venue's configuration."""
    return {}


@pytest.fixture
def sim(config_changes: dict[str, Any]) -> Iterator[Running[Control]]:
    with running_binance(small_binance_config(**config_changes)) as running:
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

    def signature(self, payload: str) -> str:
        return hmac.new(self.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()

    def signed(self, fields: dict[str, Any]) -> str:
        stamp = time.time_ns() // 1_000_000 + self.offset_ms
        payload = urlencode({**fields, "recvWindow": self.recv_window, "timestamp": stamp})
        return f"{payload}&signature={self.signature(payload)}"

    def raw(self, method: str, path: str, *, query: str = "", body: str = "", **headers: str) -> requests.Response:
        if self.key:
            headers = {"X-MBX-APIKEY": self.key, **headers}
        if body:
            headers = {"Content-Type": FORM, **headers}
        url = f"{self.url}{path}?{query}" if query else f"{self.url}{path}"
        return self.session.request(
            method, url, data=body.encode() or None, headers=headers, allow_redirects=False, timeout=5
        )

    def send(self, method: str, path: str, **fields: Any) -> requests.Response:
        payload = self.signed(fields)
        if method == "GET":
            return self.raw(method, path, query=payload)
        return self.raw(method, path, body=payload)

    def public(self, path: str, **fields: Any) -> Any:
        return self.raw("GET", path, query=urlencode(fields)).json()

    def get(self, path: str, **fields: Any) -> Any:
        return self.send("GET", path, **fields).json()

    def post(self, path: str, **fields: Any) -> Any:
        return self.send("POST", path, **fields).json()

    def delete(self, path: str, **fields: Any) -> Any:
        return self.send("DELETE", path, **fields).json()

    def spot(self, **fields: Any) -> Any:
        default = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
        return self.post("/api/v3/order", **merged(default, fields))

    def futures(self, **fields: Any) -> Any:
        default = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
        return self.post("/fapi/v1/order", **merged({**default, "newOrderRespType": "RESULT"}, fields))

    def algo(self, **fields: Any) -> Any:
        default = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET"}
        return self.post("/fapi/v1/algoOrder", **merged({**default, "quantity": "0.01"}, fields))


def merged(default: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """The default fields with others instead; None takes one away."""
    return {name: value for name, value in {**default, **fields}.items() if value is not None}


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
def sdk(sim: Running[Control]) -> Iterator[Client]:
    """python-binance, unmodified but for its addresses; the event loop that it takes hold of is closed again."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    client = Client("main-key", "main-secret", ping=False)
    client.API_URL, client.FUTURES_URL = f"{sim.url}/api", f"{sim.url}/fapi"
    client.MARGIN_API_URL = f"{sim.url}/sapi"
    client.session.trust_env = False
    yield client
    client.session.close()
    asyncio.set_event_loop(None)
    loop.close()


def ccxt_client(kind: type[ccxt.binance], url: str) -> ccxt.binance:
    """ccxt, unmodified but for its addresses."""
    client = kind({"apiKey": "second-key", "secret": "second-secret", "enableRateLimit": False})
    client.session.trust_env = False
    client.urls["api"] = {
        name: url + address[address.index("/", 8) :] for name, address in client.urls["api"].items() if "://" in address
    }
    return client


@pytest.fixture
def spot_exchange(sim: Running[Control]) -> Iterator[ccxt.binance]:
    client = ccxt_client(ccxt.binance, sim.url)
    yield client
    client.session.close()


@pytest.fixture
def futures_exchange(sim: Running[Control]) -> Iterator[ccxt.binance]:
    client = ccxt_client(ccxt.binanceusdm, sim.url)
    yield client
    client.session.close()


def exact(value: float | str | None) -> Decimal:
    """ccxt answers in binary floats; their shortest form is what the venue sent."""
    return Decimal(value if isinstance(value, str) else repr(value))
