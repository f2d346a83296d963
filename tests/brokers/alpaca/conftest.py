"""An Alpaca broker on a scripted server that knows the time, an account, a share and a pair."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from brokers.alpaca.adapter import AlpacaBroker
from brokers.clock import SystemClock
from brokers.config import AccountConfig
from brokers.ids import AccountId
from brokers.types import ProductKind
from tests.brokers.alpaca import recorded
from tests.brokers.loopback import API_KEY, API_SECRET, PATIENCE_S, Loopback, Responder, reply

ORDERS = "/v2/orders"
BY_CLIENT_ID = "/v2/orders:by_client_order_id"
ONE_ORDER = f"/v2/orders/{recorded.ORDER['id']}"
ACTIVITIES = "/v2/account/activities"
FILLS = f"{ACTIVITIES}/FILL"


def says(value: Any, status: int = 200, **headers: str) -> Responder:
    return reply(status, recorded.body(value), **headers)


def config_at(url: str, **changes: Any) -> AccountConfig:
    values: dict[str, Any] = {
        "account_id": AccountId.parse("alpaca.simulated.main"),
        "api_key": SecretStr(API_KEY),
        "api_secret": SecretStr(API_SECRET),
        "base_url": url,
        "products": frozenset({ProductKind.EQUITY, ProductKind.SPOT}),
        "settle_currencies": ("USD",),
        "read_timeout_s": PATIENCE_S,
        "write_timeout_s": PATIENCE_S,
    }
    return AccountConfig(**{**values, **changes})


def serve(loopback: Loopback) -> None:
    """What an adapter asks for before an operation's own request."""
    loopback.on("/v2/clock", says(recorded.CLOCK))
    loopback.on("/v2/account", says(recorded.ACCOUNT))
    loopback.on("/v2/assets/AAPL", says(recorded.AAPL_ASSET))
    loopback.on("/v2/assets/BRK.A", says(recorded.WHOLE_ASSET))
    loopback.on("/v2/assets", says([recorded.BTC_ASSET]))
    loopback.on("/v2/positions", says([]))


@pytest.fixture
def broker(loopback: Loopback) -> Iterator[AlpacaBroker]:
    serve(loopback)
    opened = AlpacaBroker(config_at(loopback.url), base_url=loopback.url, clock=SystemClock())
    yield opened
    opened.close()


def sent_orders(loopback: Loopback) -> list[Any]:
    """The order requests that arrived."""
    return [request for request in loopback.to(ORDERS) if request.method == "POST"]
