"""What a dead-man switch may reach: nothing without the owner's word, with it the venue's own hosts and no other."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from brokers.binance.client import COUNTDOWN
from brokers.binance.client import classify_for as of_binance
from brokers.bybit import stream
from brokers.bybit.client import SET_PROTECTION
from brokers.bybit.client import classify_for as of_bybit
from brokers.bybit.profile import HOSTS, PRIVATE_STREAM
from brokers.bybit.stream import PrivateStream
from brokers.clock import SystemClock
from brokers.config import AccountConfig
from brokers.errors import ConnectFailed, ConnectionLost, NotSent, Unsupported
from brokers.factory import open_broker
from brokers.guard import Verb
from brokers.ids import AccountId, InstrumentId
from tests.brokers.loopback import Loopback, reply
from tests.egress import egress, hostile_environment

STREAMED = [host for host in HOSTS if PRIVATE_STREAM in host.other_urls]
LINEAR = InstrumentId("BTC/USDT:USDT")


def configured(account: str, **fields: Any) -> AccountConfig:
    keys = {"api_key": SecretStr("key-of-the-sweep"), "api_secret": SecretStr("secret-of-the-sweep")}
    listed = {"instruments": (LINEAR,)} if account.startswith("binance") else {}
    return AccountConfig(account_id=AccountId.parse(account), **keys, **listed, **fields)


@pytest.mark.parametrize("account", ["binance.testnet.main", "bybit.testnet.main", "bybit.production.main"])
def test_without_the_owners_word_nothing_leaves(account: str, tried: list[tuple[str, int]]) -> None:
    with open_broker(configured(account), clock=SystemClock()) as broker:
        with pytest.raises(Unsupported, match="dead_man_may_cancel_all_orders"):
            broker.arm_dead_man(30, instrument_id=LINEAR)
        assert not broker.capabilities.dead_man.is_armed_by_us
    assert tried == []


def test_the_guard_itself_lets_the_requests_out_only_with_the_owners_word() -> None:
    for agreed, verb in ((False, Verb.FORBIDDEN), (True, Verb.WRITE)):
        assert of_binance(serves_wallet=True, winds_countdown=agreed)("POST", COUNTDOWN) is verb
        assert of_bybit(sets_protection=agreed)("POST", SET_PROTECTION) is verb
    assert of_binance(serves_wallet=False, winds_countdown=True)("POST", "/fapi/v1/batchOrders") is Verb.FORBIDDEN
    assert of_bybit(sets_protection=True)("POST", "/v5/order/cancel-all") is Verb.FORBIDDEN
    for other in (("GET", "/v5/trade"), ("POST", "/v5/private"), ("GET", "/v5/private/x")):
        assert stream.classify(*other) is Verb.FORBIDDEN


@pytest.mark.parametrize(
    ("account", "host"),
    [("binance.testnet.main", "demo-fapi.binance.com"), ("binance.production.main", "fapi.binance.com")],
)
def test_a_countdown_goes_to_the_futures_host(account: str, host: str, tried: list[tuple[str, int]]) -> None:
    broker = open_broker(configured(account, dead_man_may_cancel_all_orders=True), clock=SystemClock())
    with broker, pytest.raises(ConnectFailed):
        broker.arm_dead_man(30, instrument_id=LINEAR)
    assert set(tried) == {(host, 443)}


@pytest.mark.parametrize("host", STREAMED, ids=lambda host: host.name)
def test_the_websocket_goes_to_the_stream_of_the_accounts_own_host(
    host: Any, tried: list[tuple[str, int]], caplog: pytest.LogCaptureFixture
) -> None:
    account = f"bybit.{host.environment.value}.main"
    agreed = configured(account, host=host.name, dead_man_may_cancel_all_orders=True)
    broker: Any = open_broker(agreed, clock=SystemClock())
    with egress().recording() as seen, caplog.at_level(logging.DEBUG), broker, pytest.raises(ConnectFailed):
        broker._protection._stream.keep(offset=timedelta(0))
    assert seen == [] and "of-the-sweep" not in caplog.text
    name = host.other_urls[PRIVATE_STREAM].removeprefix("https://")
    assert tried == [(name, 443)] and name.startswith("stream")


def test_no_proxy_and_no_netrc_divert_the_websocket(loopback: Loopback, decoy: Loopback, tmp_path: Path) -> None:
    kept = PrivateStream(
        url=loopback.url, api_key="key-of-the-sweep", api_secret="secret-of-the-sweep", topics=(), clock=SystemClock()
    )
    with hostile_environment(decoy.url, tmp_path), pytest.raises(ConnectionLost, match="HTTP 404"):
        kept.keep(offset=timedelta(0))  # a server of plain HTTP says no to the upgrade
    (request,) = loopback.requests
    assert request.target == "/v5/private?max_active_time=30s" and "authorization" not in request.headers
    assert decoy.requests == []


def test_a_redirect_of_the_websocket_is_not_followed(loopback: Loopback, decoy: Loopback) -> None:
    loopback.default = reply(302, "moved", Location=f"{decoy.url}/v5/private")
    kept = PrivateStream(url=loopback.url, api_key="key-1", api_secret="secret-1", topics=(), clock=SystemClock())
    with pytest.raises(ConnectionLost, match="HTTP 302"):
        kept.keep(offset=timedelta(0))
    kept.shut()
    with pytest.raises(NotSent, match="was closed"):
        kept.keep(offset=timedelta(0))
    assert len(loopback.requests) == 1 and decoy.requests == []
