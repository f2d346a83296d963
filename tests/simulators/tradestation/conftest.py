"""Fixtures of the TradeStation simulator's tests: a small running venue and a bare client for it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from simulators import Running, TradeStationControl, running_tradestation
from simulators.testing import small_tradestation_config

EQUITIES, FUTURES = "SIM123456M", "SIM123456F"
ORDERS = "/v3/orderexecution/orders"


@pytest.fixture
def config_changes() -> dict[str, Any]:
    """Override in a module or by parametrization to change the venue's configuration."""
    return {}


@pytest.fixture
def sim(config_changes: dict[str, Any]) -> Iterator[Running[TradeStationControl]]:
    with running_tradestation(small_tradestation_config(**config_changes)) as running:
        yield running


@pytest.fixture
def control(sim: Running[TradeStationControl]) -> TradeStationControl:
    return sim.control


@dataclass
class Wire:
    """A bare client that signs in with a refresh token and does nothing on its own: no retries, no redirects."""

    url: str
    name: str = "main"
    token: str = ""
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.trust_env = False

    def form(self, path: str, **fields: str) -> requests.Response:
        return self.session.post(f"{self.url}{path}", data=fields, timeout=30)

    def refresh(self, **changes: str) -> requests.Response:
        return self.form(
            "/oauth/token",
            **{
                "grant_type": "refresh_token",
                "client_id": f"{self.name}-id",
                "client_secret": f"{self.name}-secret",
                "refresh_token": f"{self.name}-refresh",
                **changes,
            },
        )

    def sign_in(self) -> "Wire":
        answer = self.refresh()
        assert answer.status_code == 200, answer.text
        self.token = answer.json()["access_token"]
        return self

    def send(
        self, method: str, path: str, body: Any = None, *, timeout_s: float = 30, **options: Any
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        data = None if body is None else json.dumps(body) if not isinstance(body, str) else body
        headers.update({"Content-Type": "application/json"} if data is not None else {})
        url = f"{self.url}{path}"
        return self.session.request(
            method, url, data=data, headers=headers, allow_redirects=False, timeout=timeout_s, **options
        )

    def get(self, path: str) -> dict[str, Any]:
        answer = self.send("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def order(self, **changes: Any) -> dict[str, Any]:
        body = {
            "AccountID": EQUITIES,
            "Symbol": "AAPL",
            "Quantity": "10",
            "OrderType": "Market",
            "TradeAction": "BUY",
            "TimeInForce": {"Duration": "DAY"},
            "Route": "Intelligent",
        }
        return {name: value for name, value in {**body, **changes}.items() if value is not None}

    def post(self, **changes: Any) -> requests.Response:
        return self.send("POST", ORDERS, self.order(**changes))

    def place(self, **changes: Any) -> str:
        """Place an order that is taken and return its number."""
        answer = self.post(**changes)
        assert answer.status_code == 200, answer.text
        (row,) = answer.json()["Orders"]
        assert "Error" not in row, row
        return row["OrderID"]

    def limit(self, price: str, **changes: Any) -> str:
        return self.place(OrderType="Limit", LimitPrice=price, **changes)

    def future(self, **changes: Any) -> str:
        return self.place(**{"AccountID": FUTURES, "Symbol": "MESZ26", "Quantity": "2", **changes})

    def seen(self, order_id: str, account: str = EQUITIES) -> dict[str, Any]:
        (row,) = self.get(f"/v3/brokerage/accounts/{account}/orders/{order_id}")["Orders"]
        return row

    def rows(self, what: str, name: str, account: str = EQUITIES) -> list[dict[str, Any]]:
        answer = self.get(f"/v3/brokerage/accounts/{account}/{what}")
        assert answer["Errors"] == [], answer
        return answer[name]


@pytest.fixture
def wire(sim: Running[TradeStationControl]) -> Iterator[Wire]:
    client = Wire(sim.url)
    yield client.sign_in()
    client.session.close()


@pytest.fixture
def wire_of(sim: Running[TradeStationControl]) -> Iterator[Callable[..., Wire]]:
    made: list[Wire] = []

    def make(name: str = "main", **fields: Any) -> Wire:
        made.append(Wire(sim.url, name=name, **fields))
        return made[-1]

    yield make
    for client in made:
        client.session.close()
