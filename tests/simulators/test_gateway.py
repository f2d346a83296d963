"""Signatures, clock window, keys, permissions, limits and envelopes of the Bybit gateway."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from simulators import Control
from simulators.bybit.limits import RollingLimit
from simulators.bybit.simulator import RateLimitConfig
from tests.still import stand_still

LIST = "/v5/position/list"
QUERY = "category=linear&symbol=AAPLUSDT"


def test_envelope(wire: Any):
    response = wire.send("GET", LIST, QUERY)
    body = response.json()
    assert set(body) == {"retCode", "retMsg", "result", "retExtInfo", "time"}
    assert (body["retCode"], body["retExtInfo"]) == (0, {})
    assert abs(body["time"] - time.time() * 1000) < 5_000
    assert response.headers["X-Bapi-Limit"] == "50"


@pytest.mark.parametrize(
    ("offset_ms", "recv_window", "accepted"),
    [
        (0, "5000", True),
        (-4_000, "5000", True),
        (-6_000, "5000", False),
        (-6_000, "10000", True),
        (500, "5000", True),
        (1_500, "5000", False),
        (1_500, "60000", False),
    ],
)
def test_clock_window(wire_of: Callable[..., Any], offset_ms: int, recv_window: str, accepted: bool):
    body = wire_of(offset_ms=offset_ms, recv_window=recv_window).get(LIST, QUERY)
    if accepted:
        assert body["retCode"] == 0
        return
    assert body["retCode"] == 10002
    pattern = r"invalid request, please check your server timestamp or recv_window param\. "
    pattern += rf"req_timestamp\[\d+\],server_timestamp\[\d+\],recv_window\[{recv_window}\]"
    assert re.fullmatch(pattern, body["retMsg"])


def test_skewed_venue_clock_moves_time_and_window(wire: Any, wire_of: Callable[..., Any], control: Control):
    control.set_skew(-60_000)
    now = int(wire.get("/v5/market/time")["result"]["timeSecond"])
    assert now == pytest.approx(time.time() - 60, abs=5)
    assert wire.get(LIST, QUERY)["retCode"] == 10002
    assert wire_of(offset_ms=-60_000).get(LIST, QUERY)["retCode"] == 0


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"key": "nobody"}, 10003),
        ({"secret": "wrong-secret"}, 10004),
        ({"key": "expired", "secret": "expired-secret"}, 33004),
        ({"key": "elsewhere", "secret": "elsewhere-secret"}, 10010),
        ({"key": "reader", "secret": "reader-secret"}, 0),
    ],
)
def test_keys(wire_of: Callable[..., Any], fields: dict[str, str], code: int):
    assert wire_of(**fields).get(LIST, QUERY)["retCode"] == code


def test_signature_covers_the_exact_bytes(wire: Any, control: Control):
    body = json.dumps({"category": "linear", "symbol": "AAPLUSDT", "side": "Buy", "orderType": "Market", "qty": "1"})
    prepared = wire.send("POST", "/v5/order/create", body).request
    prepared.body = body.replace('"1"', '"2"').encode()
    prepared.headers["Content-Length"] = str(len(prepared.body))
    assert wire.session.send(prepared, timeout=30).json()["retCode"] == 10004
    assert len(control.orders("main")) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v5/order/create", {"symbol": "AAPLUSDT", "side": "Buy", "orderType": "Market", "qty": "1"}),
        ("/v5/order/cancel", {"symbol": "AAPLUSDT", "orderLinkId": "x"}),
        ("/v5/position/set-leverage", {"symbol": "AAPLUSDT", "buyLeverage": "3", "sellLeverage": "3"}),
    ],
)
def test_read_only_key_may_not_write(wire_of: Callable[..., Any], control: Control, path: str, body: dict[str, str]):
    reader = wire_of(key="reader", secret="reader-secret")
    assert reader.post(path, category="linear", **body)["retCode"] == 10005
    assert control.orders("main") == []
    assert reader.get("/v5/user/query-api")["result"]["readOnly"] == 1


def test_permission_by_market(wire_of: Callable[..., Any]):
    spotter = wire_of(key="spotter", secret="spotter-secret")
    assert spotter.place()["retCode"] == 10005
    assert spotter.place(category="spot", symbol="BTCUSDT", qty="100")["retCode"] == 0


def test_unknown_path_and_wrong_method(wire: Any):
    assert wire.send("GET", "/v5/nowhere").status_code == 404
    assert wire.send("GET", "/v5/order/create").status_code == 400


def test_public_reads_need_no_signature(sim: Any, wire: Any):
    for path in ("/v5/market/time", f"/v5/market/tickers?{QUERY}", "/v5/market/instruments-info?category=spot"):
        assert wire.session.get(f"{sim.url}{path}", timeout=30).json()["retCode"] == 0
    assert wire.session.get(f"{sim.url}{LIST}?{QUERY}", timeout=30).json()["retCode"] == 10003


def test_malformed_body_is_refused(wire: Any):
    assert wire.send("POST", "/v5/order/create", "{not json").json()["retCode"] == 10001
    assert wire.send("POST", "/v5/order/create", "[1]").json()["retCode"] == 10001


# limits
def test_rolling_limit_frees_slots_one_by_one():
    limit = RollingLimit(2, 1000)
    assert [limit.take(at)[0] for at in (0, 400, 500, 1000, 1001, 1400)] == [True, True, False, True, False, True]
    assert limit.take(1401) == (False, 0, 2000)


@pytest.mark.parametrize(
    "config_changes", [{"rate_limits": RateLimitConfig(per_second={LIST: 3})}], ids=["three-a-second"]
)
def test_rate_limit_answers_10006_with_headers(sim: Any, wire: Any, wire_of: Callable[..., Any]):
    stands_ms = stand_still(sim)
    answers = [wire.send("GET", LIST, QUERY) for _ in range(4)]
    assert [a.json()["retCode"] for a in answers] == [0, 0, 0, 10006]
    assert [a.headers["X-Bapi-Limit-Status"] for a in answers] == ["2", "1", "0", "0"]
    reset = int(answers[-1].headers["X-Bapi-Limit-Reset-Timestamp"])
    assert 0 < reset - stands_ms <= 1000
    assert wire.get("/v5/order/realtime", QUERY)["retCode"] == 0, "limits are kept per endpoint"
    other = wire_of(key="second-key", secret="second-secret")
    assert other.get(LIST, QUERY)["retCode"] == 0, "limits are kept per uid"


@pytest.mark.parametrize("config_changes", [{"rate_limits": RateLimitConfig(ip_max=5)}], ids=["five-per-address"])
def test_address_limit_bans(sim: Any, wire: Any, control: Control):
    stand_still(sim)
    answers = [wire.send("GET", "/v5/market/time") for _ in range(7)]
    assert [a.status_code for a in answers] == [200] * 5 + [403] * 2
    assert "access too frequent" in answers[-1].text
    assert control.health()["ok"], "the control API is not limited"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"category": "margin"}, 10001),
        ({"category": "option"}, 10001),
        ({"symbol": ""}, 10001),
        ({"symbol": "NOPEUSDT"}, 10001),
        ({"category": "spot", "symbol": "NOPEUSDT"}, 170121),
        ({"side": "buy"}, 10001),
        ({"side": "up", "category": "spot", "symbol": "BTCUSDT"}, 170117),
        ({"orderType": "Stop"}, 10001),
        ({"orderType": "Stop", "category": "spot", "symbol": "BTCUSDT"}, 170116),
        ({"qty": 1}, 10001),
        ({"qty": "1e-5"}, 10001),
        ({"qty": "-1"}, 10001),
        ({"qty": ""}, 10001),
        ({"orderType": "Limit"}, 10001),
        ({"orderType": "Limit", "price": "199", "timeInForce": "DAY"}, 10001),
        ({"orderLinkId": "with space"}, 10001),
        ({"orderLinkId": "x" * 37}, 10001),
        ({"positionIdx": 5}, 10001),
    ],
)
def test_malformed_orders(wire: Any, control: Control, changes: dict[str, Any], code: int):
    assert wire.place(**changes)["retCode"] == code
    assert control.orders("main") == []
