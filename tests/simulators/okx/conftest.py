"""Fixtures of OKX's tests: a small running venue, a bare signed client, the venue's SDK and ccxt."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import ccxt
import pytest
import requests
from okx.Account import AccountAPI
from okx.MarketData import MarketAPI
from okx.PublicData import PublicAPI
from okx.Status import StatusAPI
from okx.Trade import TradeAPI

from simulators import OKXControl, Running, running_okx
from simulators.testing_okx import small_okx_config

SWAP, PAIR = "BTC-USDT-SWAP", "BTC-USDT"
V5 = "/api/v5"


@pytest.fixture
def config_changes() -> dict[str, Any]:
    """Override in a module or by parametrization to change the venue's configuration."""
    return {}


@pytest.fixture
def sim(config_changes: dict[str, Any]) -> Iterator[Running[OKXControl]]:
    with running_okx(small_okx_config(**config_changes)) as running:
        yield running


@pytest.fixture
def control(sim: Running[OKXControl]) -> OKXControl:
    return sim.control


@dataclass
class Wire:
    """A bare signed client that does nothing on its own: no retries, no redirects, no proxies."""

    url: str
    key: str = "main-key"
    secret: str = "main-secret"
    passphrase: str = "main-passphrase"
    demo: str | None = "1"
    at: Callable[[], datetime] = lambda: datetime.now(UTC)
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.trust_env = False

    def headers(self, method: str, target: str, body: str) -> dict[str, str]:
        stamp = self.at().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        sign = hmac.new(self.secret.encode(), f"{stamp}{method}{target}{body}".encode(), hashlib.sha256).digest()
        return {
            "OK-ACCESS-KEY": self.key,
            "OK-ACCESS-SIGN": base64.b64encode(sign).decode(),
            "OK-ACCESS-TIMESTAMP": stamp,
            "OK-ACCESS-PASSPHRASE": self.passphrase,
            "Content-Type": "application/json",
            **({"x-simulated-trading": self.demo} if self.demo is not None else {}),
        }

    def send(self, method: str, path: str, query: str = "", body: str = "", **headers: str | None) -> requests.Response:
        target = f"{V5}{path}?{query}" if query else f"{V5}{path}"
        own = {name.replace("_", "-"): value for name, value in headers.items()}
        found = {k: v for k, v in {**self.headers(method, target, body), **own}.items() if v is not None}
        return self.session.request(
            method,
            f"{self.url}{target}",
            data=body.encode() if method == "POST" else None,
            headers=found,
            allow_redirects=False,
            timeout=30,
        )

    def get(self, path: str, query: str = "") -> dict[str, Any]:
        return self.send("GET", path, query).json()

    def post(self, path: str, body: Any) -> dict[str, Any]:
        return self.send("POST", path, body=json.dumps(body)).json()

    def rows(self, path: str, query: str = "") -> list[dict[str, Any]]:
        answer = self.get(path, query)
        assert answer["code"] == "0", answer
        return answer["data"]

    def place(self, **body: Any) -> dict[str, Any]:
        """Return the item of an order request, a market buy of one contract unless told otherwise."""
        default = {"instId": SWAP, "tdMode": "cross", "side": "buy", "ordType": "market", "sz": "1"}
        (item,) = self.post("/trade/order", {**default, **body})["data"]
        return item

    def spot(self, **body: Any) -> dict[str, Any]:
        return self.place(**{"instId": PAIR, "tdMode": "cash", **body})

    def cancel(self, client_id: str, inst_id: str = SWAP) -> dict[str, Any]:
        (item,) = self.post("/trade/cancel-order", {"instId": inst_id, "clOrdId": client_id})["data"]
        return item

    def order(self, client_id: str, inst_id: str = SWAP) -> dict[str, Any]:
        (row,) = self.rows("/trade/order", f"instId={inst_id}&clOrdId={client_id}")
        return row

    def later(self, seconds: float) -> "Wire":
        """Return a client whose clock is off by so much."""
        return Wire(self.url, at=lambda: datetime.now(UTC) + timedelta(seconds=seconds), session=self.session)


@pytest.fixture
def wire(sim: Running[OKXControl]) -> Iterator[Wire]:
    client = Wire(sim.url)
    yield client
    client.session.close()


@pytest.fixture
def wire_of(wire: Wire) -> Callable[..., Wire]:
    """Make clients with other credentials; a key's secret and passphrase are named after it."""

    def make(key: str, **fields: Any) -> Wire:
        named = {"secret": f"{key}-secret", "passphrase": f"{key}-passphrase"}
        return Wire(wire.url, key=key, session=wire.session, **{**named, **fields})

    return make


@pytest.fixture
def sdk(sim: Running[OKXControl], monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """python-okx as it is: each of its classes is a client of its own; the demo flag is its default."""
    monkeypatch.setenv("NO_PROXY", "*")  # there is no other way to keep httpx from a proxy
    keys = {"api_key": "main-key", "api_secret_key": "main-secret", "passphrase": "main-passphrase"}
    classes = {"trade": TradeAPI, "account": AccountAPI, "market": MarketAPI, "public": PublicAPI, "status": StatusAPI}
    clients = {name: made(**keys, domain=sim.url) for name, made in classes.items()}
    yield SimpleNamespace(**clients)
    for client in clients.values():
        client.close()


@pytest.fixture
def exchange(sim: Running[OKXControl]) -> Iterator[ccxt.okx]:
    """ccxt as it is, on the second account; markets are only what is listed."""
    client = ccxt.okx(
        {"apiKey": "second-key", "secret": "second-secret", "password": "second-passphrase", "enableRateLimit": False}
    )
    client.urls["api"] = {"rest": sim.url}
    yield client
    client.session.close()
