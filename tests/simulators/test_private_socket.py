"""Bybit's private web socket on the wire: who may listen, what keeps it open, and what its end sets going."""

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from pybit.exceptions import InvalidRequestError
from pybit.unified_trading import HTTP
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from simulators import Control, Running
from simulators.core.clock import ClockMode
from simulators.core.config import ClockConfig
from simulators.core.types import MarketKind
from tests.brokers.loopback import eventually

KEY, SECRET = "main-key", "main-secret"


@pytest.fixture
def config_changes() -> dict[str, Any]:
    return {"clock": ClockConfig(mode=ClockMode.MANUAL, start=datetime(2026, 3, 2, 15, tzinfo=UTC))}


@contextmanager
def opened(sim: Running[Control], path: str = "/v5/private") -> Iterator[ClientConnection]:
    with connect(sim.url.replace("http", "ws") + path, proxy=None, compression=None) as socket:
        yield socket


def ask(socket: ClientConnection, operation: str, *arguments: object) -> dict[str, Any]:
    socket.send(json.dumps({"op": operation, "args": list(arguments), "req_id": "7"}))
    answer = json.loads(socket.recv(timeout=5))
    assert isinstance(answer, dict)
    return answer


def log_in(socket: ClientConnection, *, key: str = KEY, secret: str = SECRET, ahead_s: float = 5) -> dict[str, Any]:
    expires = round((time.time() + ahead_s) * 1000)
    sign = hmac.new(secret.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
    return ask(socket, "auth", key, expires, sign)


def listening(sim: Running[Control]) -> int:
    return int(sim.simulator.front.protection.listening("main", MarketKind.LINEAR))  # type: ignore[attr-defined]


def test_the_words_of_the_protocol(sim: Running[Control]) -> None:
    with opened(sim) as socket:
        assert ask(socket, "subscribe", "dcp.future")["ret_msg"] == "Request not authorized"
        for wrong in ({"key": "nobody"}, {"secret": "another"}, {"ahead_s": -1}):
            assert log_in(socket, **wrong)["success"] is False  # type: ignore[arg-type]
        said = log_in(socket)
        assert (said["success"], said["op"], said["req_id"]) == (True, "auth", "7") and said["conn_id"]
        refused = ask(socket, "subscribe", "dcp.nothing")
        assert refused["success"] is False and "handler not found,topic:dcp.nothing" in refused["ret_msg"]
        assert listening(sim) == 0
        assert ask(socket, "subscribe", "dcp.future", "dcp.spot")["success"] is True
        assert listening(sim) == 1
        pong = ask(socket, "ping")
        assert (pong["op"], pong["req_id"]) == ("pong", "7") and "success" not in pong
    eventually(lambda: listening(sim) == 0)


def test_there_is_no_public_socket(sim: Running[Control]) -> None:
    with pytest.raises(InvalidStatus), opened(sim, "/v5/public/linear"):
        pass


def test_its_end_sets_the_time_going_and_another_socket_stops_it(sim: Running[Control], control: Control) -> None:
    order = control.place_order("main", "BTCUSDT", "buy", "0.01", price="58000")

    def is_open() -> bool:
        return any(one.order_id == order.order_id for one in control.orders("main", open_only=True))

    with opened(sim) as first, opened(sim) as second:
        for socket in (first, second):
            log_in(socket)
            ask(socket, "subscribe", "dcp.future")
        first.close()
        eventually(lambda: listening(sim) == 1)
        control.advance(seconds=20)
        assert is_open(), "one of them lives"
    eventually(lambda: listening(sim) == 0)
    control.advance(seconds=9)
    with opened(sim) as third:
        log_in(third)
        ask(third, "subscribe", "dcp.future")
        control.advance(seconds=20)
        assert is_open(), "in time"
    eventually(lambda: listening(sim) == 0)
    control.advance(seconds=9)
    assert is_open()
    control.advance(seconds=2)
    assert not is_open(), "ten seconds are the default"


def test_a_silent_connection_is_cut_off_after_the_time_that_it_asked_for(
    sim: Running[Control], control: Control
) -> None:
    for query, seconds in (("?max_active_time=30s", 30), ("?max_active_time=2m", 120), ("?max_active_time=5s", 600)):
        with opened(sim, f"/v5/private{query}") as socket:
            log_in(socket)
            ask(socket, "subscribe", "dcp.future")
            control.advance(seconds=seconds - 1)
            ask(socket, "ping")
            control.advance(seconds=seconds - 1)
            assert listening(sim) == 1
            control.advance(seconds=1)
            assert listening(sim) == 0


def test_the_sdk_sets_and_reads_the_time(pybit: HTTP, sim: Running[Control]) -> None:
    pybit.set_dcp(product="DERIVATIVES", timeWindow=40)
    rows = {row["product"]: row for row in pybit.query_dcp_info()["result"]["dcpInfos"]}
    assert rows["DERIVATIVES"] == {"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": "40"}
    assert rows["SPOT"]["timeWindow"] == "10"
    for wrong in ({"timeWindow": 2}, {"timeWindow": 301}, {"product": "NOTHING", "timeWindow": 40}):
        with pytest.raises(InvalidRequestError, match="10001"):
            pybit.set_dcp(**wrong)


@pytest.mark.parametrize("config_changes", [{"dcp_accounts": ()}])
def test_an_account_without_the_right(pybit: HTTP) -> None:
    assert pybit.query_dcp_info()["result"] == {"dcpInfos": []}
    with pytest.raises(InvalidRequestError, match="10005"):
        pybit.set_dcp(product="SPOT", timeWindow=40)
