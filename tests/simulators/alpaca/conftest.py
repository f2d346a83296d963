"""Fixtures of the Alpaca simulator's tests: a small running venue and a bare client for it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
import requests

from simulators import AlpacaControl, Running, running_alpaca
from simulators.testing_alpaca import small_alpaca_config


@pytest.fixture
def config_changes() -> dict[str, Any]:
    """Override in a module or by parametrization to change the venue's configuration."""
    return {}


@pytest.fixture
def sim(config_changes: dict[str, Any]) -> Iterator[Running[AlpacaControl]]:
    with running_alpaca(small_alpaca_config(**config_changes)) as running:
        yield running


@pytest.fixture
def control(sim: Running[AlpacaControl]) -> AlpacaControl:
    return sim.control


@dataclass
class Wire:
    """A bare client that does nothing on its own: no retries, no redirects, no proxies."""

    url: str
    key: str = "main-key"
    secret: str = "main-secret"
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.trust_env = False

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        given = {"APCA-API-KEY-ID": self.key, "APCA-API-SECRET-KEY": self.secret} if self.key else {}
        data = None if body is None else body if isinstance(body, str) else json.dumps(body)
        return self.session.request(
            method, f"{self.url}{path}", data=data, headers={**given, **headers}, allow_redirects=False, timeout=5
        )

    def get(self, path: str) -> Any:
        answer = self.send("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def body(self, **changes: Any) -> dict[str, Any]:
        default = {"symbol": "AAPL", "qty": "10", "side": "buy", "type": "market", "time_in_force": "day"}
        return {name: value for name, value in {**default, **changes}.items() if value is not None}

    def post(self, **changes: Any) -> requests.Response:
        return self.send("POST", "/v2/orders", self.body(**changes))

    def place(self, **changes: Any) -> dict[str, Any]:
        """Place an order that is taken and return its row."""
        answer = self.post(**changes)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def limit(self, price: str, **changes: Any) -> dict[str, Any]:
        return self.place(type="limit", limit_price=price, **changes)

    def coin(self, qty: str | None, side: str = "buy", **changes: Any) -> dict[str, Any]:
        return self.place(**{"symbol": "BTC/USD", "qty": qty, "side": side, "time_in_force": "gtc", **changes})

    def refused(self, **changes: Any) -> tuple[int, int | None, str]:
        """Return status, code and text of an order that is refused."""
        return seen_refusal(self.post(**changes))

    def order(self, order_id: str) -> dict[str, Any]:
        return self.get(f"/v2/orders/{order_id}")

    def position(self, name: str) -> dict[str, Any]:
        return self.get(f"/v2/positions/{name}")

    def money(self, name: str) -> Decimal:
        return Decimal(self.get("/v2/account")[name])

    def activities(self, query: str = "") -> list[dict[str, Any]]:
        return self.get(f"/v2/account/activities?{query}")


def seen_refusal(answer: requests.Response) -> tuple[int, int | None, str]:
    body = answer.json()
    return answer.status_code, body.get("code"), body["message"]


@pytest.fixture
def wire(sim: Running[AlpacaControl]) -> Iterator[Wire]:
    client = Wire(sim.url)
    yield client
    client.session.close()


@pytest.fixture
def wire_of(sim: Running[AlpacaControl]) -> Iterator[Callable[..., Wire]]:
    made: list[Wire] = []

    def make(**fields: Any) -> Wire:
        made.append(Wire(sim.url, **fields))
        return made[-1]

    yield make
    for client in made:
        client.session.close()
