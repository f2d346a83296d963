"""Every public method of alpaca-py's client, called in a broker of a real environment: the pinned hosts, or nothing."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from alpaca.trading.client import TradingClient
from pydantic import SecretStr

from brokers import transport
from brokers.alpaca.adapter import AlpacaBroker
from brokers.alpaca.profile import CAPABILITIES, DATA
from brokers.clock import SystemClock
from brokers.config import AccountConfig
from brokers.errors import AnswerUnreadable, BrokerError, ConnectFailed, RedirectRefused, TicketMissing, Unsupported
from brokers.ids import AccountId, Environment, InstrumentId
from brokers.types import ProductKind
from tests.brokers.alpaca.conftest import config_at
from tests.brokers.loopback import Loopback, Request, reply
from tests.egress import egress, hostile_environment

HOSTS = {Environment.TESTNET: "paper-api.alpaca.markets", Environment.PRODUCTION: "api.alpaca.markets"}
DATA_HOST = "data.alpaca.markets"
METHODS_MIN = 30  # alpaca-py 0.44 has more; fewer would mean that the sweep no longer finds them
UUID = "61e69015-8549-4bfd-b9c3-01e75843f47d"
_NO_REQUEST = {"response_wrapper", "close"}
# The SDK warns of two methods that it will drop; they are called all the same.
pytestmark = pytest.mark.filterwarnings("ignore:get_corporate_announcement:DeprecationWarning")


def methods() -> list[str]:
    found = inspect.getmembers(TradingClient, callable)
    return [name for name, _ in found if not name.startswith("_") and name not in _NO_REQUEST]


class Terms:
    """Stands in for any of the SDK's request models: what is sent is not what this is about."""

    def to_request_fields(self) -> dict[str, Any]:
        return {"symbol": "AAPL", "qty": "1"}

    model_dump = to_request_fields


def call(client: TradingClient, name: str) -> Any:
    method = getattr(client, name)
    if name in ("get", "post", "put", "patch", "delete"):
        return method("/account/configurations", {})
    kinds = get_type_hints(method)
    needed = [name for name, p in inspect.signature(method).parameters.items() if p.default is p.empty]
    return method(*(Terms() if "alpaca.trading" in str(kinds.get(name)) else UUID for name in needed))


@pytest.fixture(params=[Environment.TESTNET, Environment.PRODUCTION], ids=str)
def real(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[AlpacaBroker, Environment, list[tuple[str, int]]]]:
    """A broker of a real environment, and the addresses that it tries to connect to; no name is resolved."""
    tried: list[tuple[str, int]] = []

    def connect(host: str, port: int, call: Any) -> Any:
        tried.append((host, port))
        raise call.failure(OSError("this test connects nowhere"))

    monkeypatch.setattr(transport, "_connect", connect)
    environment: Environment = request.param
    config = AccountConfig(
        account_id=AccountId.parse(f"alpaca.{environment}.main"),
        api_key=SecretStr("sweep-key"),
        api_secret=SecretStr("sweep-secret"),
        products=frozenset({ProductKind.EQUITY, ProductKind.SPOT}),
    )
    url = CAPABILITIES.host(environment=environment).base_url
    broker = AlpacaBroker(config, base_url=url, clock=SystemClock())
    yield broker, environment, tried
    broker.close()


def test_no_method_of_the_sdk_reaches_another_host(
    real: tuple[AlpacaBroker, Environment, list[tuple[str, int]]],
) -> None:
    broker, environment, tried = real
    ended: dict[str, list[str]] = {}
    with egress().recording() as seen:
        for name in methods():
            try:
                call(broker._client, name)
            except BrokerError as error:
                ended.setdefault(type(error).__name__, []).append(name)
            else:
                pytest.fail(f"{name} must end at the door of the host")
    assert seen == [], "nothing may leave but through the guarded transport"
    assert set(tried) == {(HOSTS[environment], 443)}
    assert len(ended[ConnectFailed.__name__]) == len(tried), "each read was stopped at the pinned host's door"
    assert ended[TicketMissing.__name__] == ["submit_order"]
    forbidden = set(ended[Unsupported.__name__])
    assert {"cancel_orders", "close_all_positions", "close_position", "replace_order_by_id"} <= forbidden
    assert {"set_account_configurations", "exercise_options_position", "post", "patch", "put", "delete"} <= forbidden
    assert sum(len(names) for names in ended.values()) >= METHODS_MIN


def test_market_data_has_a_host_of_its_own_and_no_other(
    real: tuple[AlpacaBroker, Environment, list[tuple[str, int]]],
) -> None:
    broker, environment, tried = real
    with egress().recording() as seen:
        for key in ("AAPL", "BTC/USD"):
            with pytest.raises(ConnectFailed):
                broker.quotes([InstrumentId(key)])
        with pytest.raises(ConnectFailed):
            broker.connect()
    assert seen == [] and tried == [(DATA_HOST, 443), (DATA_HOST, 443), (HOSTS[environment], 443)]
    origins = {(origin.scheme, origin.host) for origin in broker._guard.origins}
    assert origins == {("https", HOSTS[environment]), ("https", DATA_HOST)}
    other = HOSTS[Environment.PRODUCTION if environment is Environment.TESTNET else Environment.TESTNET]
    assert other not in {host for _, host in origins}
    assert CAPABILITIES.host(environment=environment).other_urls == {DATA: f"https://{DATA_HOST}"}


@pytest.mark.parametrize("status", [301, 307])
def test_no_redirect_proxy_or_netrc_leads_a_method_elsewhere(
    loopback: Loopback, decoy: Loopback, tmp_path: Path, status: int
) -> None:
    def moved(request: Request, sock: Any) -> bool:
        return reply(status, "moved", Location=f"{decoy.url}{request.target}")(request, sock)

    loopback.default = moved
    with hostile_environment(decoy.url, tmp_path):
        broker = AlpacaBroker(config_at(loopback.url), base_url=loopback.url, clock=SystemClock())
        ended: set[type[BaseException]] = set()
        with egress().recording() as seen:
            for name in methods():
                with pytest.raises(BrokerError) as caught:
                    call(broker._client, name)
                ended.add(type(caught.value))
        broker.close()
    assert ended == {RedirectRefused, Unsupported, TicketMissing}
    assert len(loopback.requests) > 10 and decoy.connections == 0 and decoy.requests == []
    assert all(str(loopback.port) in address for address in seen)
    assert not any("authorization" in request.headers for request in loopback.requests)


def test_keys_reach_no_log(
    real: tuple[AlpacaBroker, Environment, list[tuple[str, int]]], caplog: pytest.LogCaptureFixture
) -> None:
    broker, _, _ = real
    with caplog.at_level(logging.DEBUG), pytest.raises(ConnectFailed):
        broker.margin_health()
    assert "sweep-secret" not in caplog.text and "sweep-key" not in caplog.text


def test_what_the_sdk_trips_over_is_an_answer_that_cannot_be_read(
    real: tuple[AlpacaBroker, Environment, list[tuple[str, int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, _, _ = real

    def trip(*_: Any, **__: Any) -> Any:
        raise TypeError("argument after ** must be a mapping")

    monkeypatch.setattr(broker._client, "_one_request", trip)
    with pytest.raises(AnswerUnreadable, match="must be a mapping"):
        broker.positions()
