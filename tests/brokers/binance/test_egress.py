"""Every public method of python-binance, called in a testnet broker: the two pinned hosts, or nothing."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from brokers import transport
from brokers.binance.adapter import BinanceBroker
from brokers.binance.client import BinanceClient, Client
from brokers.clock import SystemClock
from brokers.config import AccountConfig
from brokers.errors import BrokerError, ConnectFailed, HostRefused, NotSent, RedirectRefused, TicketMissing, Unsupported
from brokers.factory import open_broker
from brokers.ids import AccountId
from tests.brokers.binance.conftest import LISTED, opened
from tests.brokers.loopback import Loopback, Request, reply
from tests.egress import egress, hostile_environment

HOSTS = {("demo-api.binance.com", 443), ("demo-fapi.binance.com", 443)}
pytestmark = [
    pytest.mark.usefixtures("own_loop"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # the SDK's own, of methods on their way out
]
METHODS_MIN = 600  # python-binance 1.0.37 has more; fewer would mean that the sweep no longer finds them
_NO_REQUEST = {"close_connection", "convert_to_dict", "encode_uri_component", "uuid22"}
_BEFORE_A_REQUEST = (AttributeError, TypeError, KeyError, ValueError)  # where python-binance stops by itself


def methods() -> list[str]:
    """The SDK's own public methods; what our subclass adds makes no request of its own."""
    return [
        name
        for name, found in inspect.getmembers(Client, callable)
        if not name.startswith("_") and name not in _NO_REQUEST and not inspect.isclass(found)
    ]


def call(client: BinanceClient, name: str) -> Any:
    method = getattr(client, name)
    parameters = inspect.signature(method).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    terms = {"symbol": "BTCUSDT", "asset": "USDT", "amount": "1", "quantity": "1", "side": "BUY", "type": "MARKET"}
    free = {key: value for key, value in terms.items() if key not in needed}
    found = method(**dict.fromkeys(needed, "1"), **(free if takes_any else {}))
    return next(found, None) if inspect.isgenerator(found) else found


@pytest.fixture
def testnet(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[BinanceClient, list[tuple[str, int]]]]:
    """A testnet broker's client, and the addresses that it tries to connect to; no name is resolved."""
    tried: list[tuple[str, int]] = []

    def connect(host: str, port: int, guarded: Any) -> Any:
        tried.append((host, port))
        raise guarded.failure(OSError("this test connects nowhere"))

    monkeypatch.setattr(transport, "_connect", connect)
    config = AccountConfig(
        account_id=AccountId.parse("binance.testnet.main"),
        api_key=SecretStr("sweep-key"),
        api_secret=SecretStr("sweep-secret"),
        instruments=LISTED,
    )
    broker = open_broker(config, clock=SystemClock())
    assert isinstance(broker, BinanceBroker)
    yield broker._client, tried
    broker.close()


def test_no_method_of_the_sdk_reaches_another_host(testnet: tuple[BinanceClient, list[tuple[str, int]]]) -> None:
    """Above all none of /sapi, which the SDK sends to production for a testnet client too."""
    client, tried = testnet
    ended: dict[str, list[str]] = {}
    with egress().recording() as seen:
        for name in methods():
            try:
                call(client, name)
            except Exception as error:  # noqa: BLE001 - each kind of end is looked at below
                ended.setdefault(type(error).__name__, []).append(name)
                assert isinstance(error, (NotSent, *_BEFORE_A_REQUEST)) or "binance.us" in str(error), (name, error)
            else:
                ended.setdefault("returned", []).append(name)
    assert seen == [], "nothing may leave but through the guarded transport"
    assert set(tried) == HOSTS
    assert len(ended[ConnectFailed.__name__]) == len(tried), "each read was stopped at a pinned host's door"
    assert {"create_order", "futures_create_order"} <= set(ended[TicketMissing.__name__])
    assert {"withdraw", "get_account_api_permissions", "get_system_status", "universal_transfer"} <= set(
        ended[Unsupported.__name__]
    )
    assert "papi_get_balance" in ended[HostRefused.__name__] or "papi_get_balance" in ended[Unsupported.__name__]
    stopped = sum(
        len(ended.get(kind.__name__, ())) for kind in (ConnectFailed, Unsupported, HostRefused, TicketMissing)
    )
    assert stopped >= METHODS_MIN, {kind: len(names) for kind, names in ended.items()}


def test_no_redirect_proxy_or_netrc_leads_a_method_elsewhere(
    loopback: Loopback, decoy: Loopback, tmp_path: Path
) -> None:
    def moved(request: Request, sock: Any) -> bool:
        return reply(302, "moved", Location=f"{decoy.url}{request.target}")(request, sock)

    loopback.default = moved
    ended: set[type[BaseException]] = set()
    with hostile_environment(decoy.url, tmp_path), opened(loopback.url) as broker, egress().recording() as seen:
        for name in methods():
            try:
                call(broker._client, name)
            except Exception as error:  # noqa: BLE001
                ended.add(type(error))
    allowed = {RedirectRefused, Unsupported, TicketMissing, HostRefused}
    assert RedirectRefused in ended and {kind for kind in ended if issubclass(kind, BrokerError)} <= allowed
    assert len(loopback.requests) > 100 and decoy.connections == 0 and decoy.requests == []
    assert all(str(loopback.port) in address for address in seen)
    assert not any("authorization" in request.headers for request in loopback.requests)


def test_the_client_makes_no_request_no_loop_and_no_websocket(
    testnet: tuple[BinanceClient, list[tuple[str, int]]],
) -> None:
    client, tried = testnet
    assert tried == [] and not hasattr(client, "loop") and not hasattr(client, "ws_api")
    assert "sweep-secret" not in repr(client) + repr(vars(client)["session"])
