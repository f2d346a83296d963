"""Every public method of the SDK's client, called in a testnet broker: the pinned host, or nothing.

And the SDK's switches that would log headers or send again: never on, anywhere.
"""

from __future__ import annotations

import ast
import inspect
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pybit.unified_trading import HTTP
from pydantic import SecretStr

from brokers import transport
from brokers.bybit.adapter import BybitBroker
from brokers.bybit.client import BybitClient
from brokers.clock import SystemClock
from brokers.config import AccountConfig
from brokers.errors import BrokerError, ConnectFailed, NotSent, RedirectRefused, TicketMissing, Unsupported
from brokers.factory import open_broker
from brokers.ids import AccountId
from tests.brokers.loopback import Loopback, Request, account_config, reply
from tests.egress import egress, hostile_environment

PROJECT = Path(__file__).resolve().parents[2]
TESTNET = ("api-testnet.bybit.com", 443)
METHODS_MIN = 300  # pybit 5.17 has more; fewer would mean that the sweep no longer finds them
_NO_REQUEST = {"prepare_payload", "prepare_file_payload"}
_BEFORE_A_REQUEST = ("crypto_loan_legacy_message", "demo=True", "can only concatenate")  # where pybit stops by itself
FORBIDDEN_SWITCHES = {"log_requests", "force_retry", "verbose", "debug", "logging_level", "max_retries"}


def methods() -> list[str]:
    """The SDK's own public methods; what our subclass adds makes no request."""
    return [
        name
        for name, found in inspect.getmembers(HTTP, callable)
        if not name.startswith("_") and name not in _NO_REQUEST and not inspect.isclass(found)
    ]


def call(client: BybitClient, name: str) -> Any:
    method = getattr(client, name)
    parameters = inspect.signature(method).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    terms = {"category": "linear", "symbol": "BTCUSDT", "coin": "USDT", "amount": "1"}
    terms |= {"upload_file": b"picture", "filename": "picture.png"} if name == "upload_chat_file" else {}
    return method(**dict.fromkeys(needed, "1"), **(terms if takes_any else {}))


@pytest.fixture
def testnet(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[BybitClient, list[tuple[str, int]]]]:
    """A testnet broker's client, and the addresses that it tries to connect to; no name is resolved."""
    tried: list[tuple[str, int]] = []

    def connect(host: str, port: int, call: Any) -> Any:
        tried.append((host, port))
        raise call.failure(OSError("this test connects nowhere"))

    monkeypatch.setattr(transport, "_connect", connect)
    config = AccountConfig(
        account_id=AccountId.parse("bybit.testnet.main"),
        api_key=SecretStr("sweep-key"),
        api_secret=SecretStr("sweep-secret"),
    )
    broker = open_broker(config, clock=SystemClock())
    assert isinstance(broker, BybitBroker)
    yield broker._client, tried
    broker.close()


def test_no_method_of_the_sdk_reaches_another_host(testnet: tuple[BybitClient, list[tuple[str, int]]]) -> None:
    client, tried = testnet
    ended: dict[str, list[str]] = {}
    with egress().recording() as seen:
        for name in methods():
            try:
                call(client, name)
            except Exception as error:  # noqa: BLE001 - each kind of end is looked at below
                ended.setdefault(type(error).__name__, []).append(name)
                is_pybits_own = any(words in str(error) for words in _BEFORE_A_REQUEST)
                assert isinstance(error, NotSent) or is_pybits_own, (name, error)
            else:
                ended.setdefault("returned", []).append(name)
    assert seen == [], "nothing may leave but through the guarded transport"
    assert set(tried) == {TESTNET}
    assert len(ended[ConnectFailed.__name__]) == len(tried), "each read was stopped at the pinned host's door"
    assert len(ended[Unsupported.__name__]) > 50 and ended[TicketMissing.__name__] == ["place_order"]
    assert "withdraw" in ended[Unsupported.__name__] and "create_internal_transfer" in ended[Unsupported.__name__]
    counted = len(ended[ConnectFailed.__name__]) + len(ended[Unsupported.__name__])
    assert counted >= METHODS_MIN, {end: names for end, names in ended.items() if end != ConnectFailed.__name__}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_proxy_or_netrc_leads_a_method_elsewhere(
    loopback: Loopback, decoy: Loopback, tmp_path: Path, status: int
) -> None:
    def moved(request: Request, sock: Any) -> bool:
        return reply(status, "moved", Location=f"{decoy.url}{request.target}")(request, sock)

    loopback.default = moved
    with hostile_environment(decoy.url, tmp_path):
        broker = open_broker(account_config(loopback.url), clock=SystemClock())
        assert isinstance(broker, BybitBroker)
        ended: set[type[BaseException]] = set()
        with egress().recording() as seen:
            for name in methods():
                try:
                    call(broker._client, name)
                except Exception as error:  # noqa: BLE001
                    ended.add(type(error))
        broker.close()
    assert RedirectRefused in ended and {error for error in ended if issubclass(error, BrokerError)} <= {
        RedirectRefused,
        Unsupported,
        TicketMissing,
    }
    assert len(loopback.requests) > 100 and decoy.connections == 0 and decoy.requests == []
    assert all(str(loopback.port) in address for address in seen)
    assert not any("authorization" in request.headers for request in loopback.requests)


# -- switches ---------------------------------------------------------------------------------------------------
def test_the_client_is_built_without_what_logs_or_repeats(
    testnet: tuple[BybitClient, list[tuple[str, int]]], caplog: pytest.LogCaptureFixture
) -> None:
    client, _ = testnet
    assert (client.log_requests, client.force_retry, client.max_retries, client.retry_codes) == (False, False, 1, {-1})
    with caplog.at_level(logging.DEBUG), pytest.raises(ConnectFailed):
        client.get_wallet_balance(accountType="UNIFIED")
    assert "sweep-secret" not in caplog.text and "sweep-key" not in caplog.text
    assert "sweep-secret" not in repr(client) + str(vars(client).get("client"))


def _switches(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in FORBIDDEN_SWITCHES:
            yield node.arg, node.value
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Attribute) and target.attr in FORBIDDEN_SWITCHES:
                    yield target.attr, node.value


def test_no_adapter_switches_on_what_an_sdk_logs_or_repeats() -> None:
    sources = sorted((PROJECT / "brokers").rglob("*.py"))
    assert any(path.name == "client.py" for path in sources)
    found = {
        f"{path.relative_to(PROJECT)}: {name}": ast.unparse(value)
        for path in sources
        for name, value in _switches(ast.parse(path.read_text()))
    }
    wrong = {place: text for place, text in found.items() if text not in _allowed(place)}
    assert wrong == {} and any(place.endswith("max_retries") for place in found)


def _allowed(place: str) -> tuple[str, ...]:
    # 0 retries is broken in pybit (it sends nothing); urllib3's own switch takes an object that allows none.
    return ("1", "Retry(0, read=False)") if place.endswith("max_retries") else ("False",)


def test_the_scan_sees_a_switch() -> None:
    tree = ast.parse("HTTP(log_requests=True)\nclient.force_retry = True\n")
    assert sorted(name for name, _ in _switches(tree)) == ["force_retry", "log_requests"]
