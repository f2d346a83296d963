"""Signatures, clock window, environment, keys, expTime, limits and envelopes of OKX's gateway."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from simulators import OKXControl
from simulators.okx.limits import RollingLimit
from simulators.okx.simulator import OKXLimitConfig
from tests.still import stand_still

SWAP = "BTC-USDT-SWAP"
ORDER = json.dumps({"instId": SWAP, "tdMode": "cross", "side": "buy", "ordType": "market", "sz": "1"})
START = datetime(2026, 3, 2, tzinfo=UTC)
ENGINE = {"clock": {"mode": "manual", "start": START, "gateway": "engine"}}


def test_envelopes(wire: Any):
    assert wire.get("/account/config").keys() == {"code", "data", "msg"}
    body = wire.send("POST", "/trade/order", body=ORDER).json()
    assert body.keys() == {"code", "data", "inTime", "msg", "outTime"}
    assert abs(int(body["inTime"]) - time.time() * 1e6) < 5e6, "microseconds"
    assert body["data"][0].keys() == {"clOrdId", "ordId", "tag", "ts", "sCode", "sMsg", "subCode"}
    assert body["data"][0]["sMsg"] == "Order placed"


@pytest.mark.parametrize(("offset_s", "accepted"), [(0, True), (-28, True), (28, True), (-32, False), (32, False)])
def test_clock_window_of_thirty_seconds(wire: Any, offset_s: int, accepted: bool):
    response = wire.later(offset_s).send("GET", "/account/config")
    assert response.status_code == (200 if accepted else 401)
    if not accepted:
        assert response.json() == {"code": "50102", "msg": "Timestamp request expired."}, "there is no data"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("OK_ACCESS_KEY", "50103"),
        ("OK_ACCESS_PASSPHRASE", "50104"),
        ("OK_ACCESS_SIGN", "50106"),
        ("OK_ACCESS_TIMESTAMP", "50107"),
    ],
)
def test_absent_headers_are_missed_by_name(wire: Any, header: str, code: str):
    response = wire.send("GET", "/account/config", **{header: None})
    assert (response.status_code, response.json()["code"]) == (401, code)


@pytest.mark.parametrize("stamp", ["1597026383085", "2026-03-02T10:00:00Z", "2026-13-02T10:00:00.000Z"])
def test_a_malformed_time(wire: Any, stamp: str):
    assert wire.send("GET", "/account/config", OK_ACCESS_TIMESTAMP=stamp).json()["code"] == "50112"


@pytest.mark.parametrize(
    ("key", "fields", "status", "code"),
    [
        ("nobody", {}, 200, "50119"),
        ("no body", {}, 401, "50111"),
        ("expired", {}, 200, "50119"),
        ("reader", {"passphrase": "wrong"}, 401, "50105"),
        ("reader", {"secret": "wrong-secret"}, 401, "50113"),
        ("elsewhere", {}, 401, "50110"),
        ("live-only", {}, 401, "50101"),
        ("live-only", {"demo": "0"}, 200, "0"),
        ("live-only", {"demo": None}, 200, "0"),
        ("demo-only", {}, 200, "0"),
        ("demo-only", {"demo": "0"}, 401, "50101"),
        ("demo-only", {"demo": None}, 401, "50101"),
        ("reader", {}, 200, "0"),
    ],
)
def test_keys(wire_of: Callable[..., Any], key: str, fields: dict[str, Any], status: int, code: str):
    response = wire_of(key, **fields).send("GET", "/account/config")
    assert (response.status_code, response.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("key", "perm"), [("reader", "read_only"), ("drainer", "read_only,withdraw,trade"), ("main-key", "read_only,trade")]
)
def test_rights_are_told(wire_of: Callable[..., Any], key: str, perm: str):
    fields = {"secret": "main-secret", "passphrase": "main-passphrase"} if key == "main-key" else {}
    (row,) = wire_of(key, **fields).rows("/account/config")
    assert row["perm"] == perm


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/trade/order", json.loads(ORDER)),
        ("/trade/cancel-order", {"instId": SWAP, "clOrdId": "x"}),
        ("/trade/close-position", {"instId": SWAP, "mgnMode": "cross"}),
        ("/account/set-leverage", {"instId": SWAP, "mgnMode": "cross", "lever": "3"}),
        ("/account/set-position-mode", {"posMode": "net_mode"}),
    ],
)
def test_read_only_key_may_not_write(wire_of: Callable[..., Any], control: OKXControl, path: str, body: dict[str, str]):
    assert wire_of("reader").post(path, body)["code"] == "50120"
    assert control.orders("main") == []


def test_signature_covers_the_exact_bytes_and_the_query(wire: Any, control: OKXControl):
    prepared = wire.send("POST", "/trade/order", body=ORDER).request
    prepared.body = ORDER.replace('"1"', '"2"').encode()
    assert wire.session.send(prepared, timeout=30).json()["code"] == "50113"
    assert len(control.orders("main")) == 1
    asked = wire.send("GET", "/trade/fills", "instType=SWAP").request
    asked.url = asked.url.replace("SWAP", "SPOT")
    assert wire.session.send(asked, timeout=30).json()["code"] == "50113"


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        ("", {}, 400, "50000"),
        ("{not json", {}, 400, "50002"),
        ('"text"', {}, 400, "50002"),
        (ORDER, {"Content_Type": "text/plain"}, 400, "50006"),
    ],
)
def test_malformed_bodies(wire: Any, body: str, headers: dict[str, str], status: int, code: str):
    response = wire.send("POST", "/trade/order", body=body, **headers)
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_unknown_path_and_wrong_method(wire: Any):
    missing = wire.send("GET", "/nowhere")
    assert (missing.status_code, missing.json()["code"]) == (404, 404)
    wrong = wire.send("GET", "/trade/cancel-order")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "50115")


def test_public_reads_need_no_signature(wire: Any, sim: Any):
    for path in ("public/time", f"market/ticker?instId={SWAP}", "public/instruments?instType=SPOT", "system/status"):
        assert wire.session.get(f"{sim.url}/api/v5/{path}", timeout=30).json()["code"] == "0"
    assert wire.session.get(f"{sim.url}/api/v5/account/config", timeout=30).json()["code"] == "50103"


def test_requests_are_logged_without_secrets(wire: Any, control: OKXControl):
    wire.send("POST", "/trade/order", body=ORDER)
    record = control.requests(path="/api/v5/trade/order")[-1]
    assert (record.headers["ok-access-sign"], record.headers["ok-access-passphrase"]) == ("***", "***")
    assert (record.account, record.executed, record.code) == ("main", 1, "0")
    wire.place(instId="NO-SUCH")
    assert control.requests(path="/api/v5/trade/order")[-1].code == "51001", "the log has the item's code"


def test_announced_maintenance_is_told(wire: Any, control: OKXControl):
    control.announce("scheduled", 1_000, 2_000)
    assert [(row["state"], row["begin"]) for row in wire.rows("/system/status")] == [("scheduled", "1000")]
    control.announce("completed", 1_000, 2_000)
    assert wire.rows("/system/status") == []
    assert len(wire.rows("/system/status", "state=completed")) == 1


# expTime
@pytest.mark.parametrize(("offset_s", "code"), [(5, "0"), (-5, "50036")])
@pytest.mark.parametrize("path", ["/trade/order", "/trade/amend-order", "/trade/batch-orders"])
def test_an_order_past_its_deadline_is_refused(wire: Any, control: OKXControl, path: str, offset_s: int, code: str):
    wire.place(ordType="limit", px="59000", clOrdId="a")
    body = {"/trade/order": ORDER, "/trade/batch-orders": f"[{ORDER}]"}.get(
        path, json.dumps({"instId": SWAP, "clOrdId": "a", "newPx": "59001"})
    )
    deadline = round((time.time() + offset_s) * 1000)
    answer = wire.send("POST", path, body=body, expTime=str(deadline)).json()
    assert answer["code"] == code
    if code != "0":
        assert answer["data"] == []
        assert [order.price for order in control.orders("main")] == [59_000]


def test_an_order_that_is_held_up_expires(sim: Any, wire: Any, control: OKXControl, eventually: Callable[..., object]):
    control.fault("delay", path="/api/v5/trade/order", before_venue_s=1)
    deadline = str(stand_still(sim) + 20_000)
    with ThreadPoolExecutor(1) as other:
        answer = other.submit(wire.later(25).send, "POST", "/trade/order", body=ORDER, expTime=deadline)
        eventually(lambda: control.requests(path="/api/v5/trade/order"))
        passing = iter(range(21, 50))
        eventually(lambda: stand_still(sim, later_s=next(passing)) and answer.done())
    assert answer.result().json()["code"] == "50037"
    assert control.orders("main") == []


@pytest.mark.parametrize("config_changes", [ENGINE], ids=["engine"])
def test_deadlines_follow_a_clock_moved_by_hand(wire: Any, control: OKXControl):
    wire.at = lambda: START
    control.advance(seconds=3)
    begin = round(START.timestamp() * 1000)
    answers = [
        wire.send("POST", "/trade/order", body=ORDER, expTime=str(begin + late)).json()["code"]
        for late in (-1, 2_999, 3_000)
    ]
    assert answers == ["50036", "50037", "0"]


def test_a_cancel_has_no_deadline_and_a_malformed_one_is_wrong(wire: Any):
    wire.place(ordType="limit", px="59000", clOrdId="a")
    body = json.dumps({"instId": SWAP, "clOrdId": "a"})
    assert wire.send("POST", "/trade/cancel-order", body=body, expTime="1").json()["code"] == "0"
    assert wire.send("POST", "/trade/order", body=ORDER, expTime="soon").json()["code"] == "51000"


# limits
def test_rolling_limit_frees_slots_one_by_one():
    limit = RollingLimit(2, 2_000)
    assert [limit.take(at) for at in (0, 900, 1_000, 2_000, 2_001, 2_900)] == [True, True, False, True, False, True]
    assert not limit.take(5_000, 3), "all or none"
    assert limit.take(5_000, 2)


LIMITED = {"rate_limits": OKXLimitConfig(per_window={"/api/v5/trade/order": 2, "/api/v5/account/balance": 2})}


@pytest.mark.parametrize("config_changes", [LIMITED], ids=["two"])
def test_limits_are_by_user_and_instrument(sim: Any, wire: Any, wire_of: Callable[..., Any]):
    stand_still(sim)
    responses = [wire.send("POST", "/trade/order", body=ORDER) for _ in range(3)]
    assert [r.status_code for r in responses] == [200, 200, 429]
    assert responses[-1].json() == {"code": "50011", "data": [], "msg": "Too Many Requests"}
    assert "Retry-After" not in responses[-1].headers
    assert wire.place(instId="ETH-USDT-SWAP")["sCode"] == "0", "another instrument has a limit of its own"
    single = wire.post("/trade/batch-orders", [json.loads(ORDER)])
    assert single["code"] == "50011", "a batch of one counts as a single order"
    assert [wire.get("/account/balance")["code"] for _ in range(3)] == ["0", "0", "50011"]
    assert wire_of("second-key", secret="second-secret", passphrase="second-passphrase").place()["sCode"] == "0"


@pytest.mark.parametrize("config_changes", [{"rate_limits": OKXLimitConfig()}], ids=["documented"])
def test_documented_limits_hold_over_two_seconds_or_their_own_span(sim: Any, wire: Any, control: OKXControl):
    stand_still(sim)
    assert [wire.get("/account/config")["code"] for _ in range(6)] == ["0"] * 5 + ["50011"]
    assert [wire.get("/system/status")["code"] for _ in range(2)] == ["0", "50011"]
    control.set_skew(2_001)
    assert (wire.get("/account/config")["code"], wire.get("/system/status")["code"]) == ("0", "50011")
    control.set_skew(5_001)
    assert wire.get("/system/status")["code"] == "0"


@pytest.mark.parametrize("config_changes", [{"rate_limits": OKXLimitConfig(account_max=3, status=200)}], ids=["three"])
def test_the_account_has_a_limit_of_its_own(sim: Any, wire: Any):
    stand_still(sim)
    order = json.loads(ORDER)
    both = wire.post("/trade/batch-orders", [order, order])
    assert both["code"] == "0"
    assert wire.post("/trade/batch-orders", [order, order])["code"] == "50061", "each order of a batch counts"
    assert wire.place()["sCode"] == "0"
    assert wire.post("/trade/amend-order", {"instId": SWAP, "clOrdId": "x", "newSz": "2"})["code"] == "50061"


@pytest.mark.parametrize(
    "config_changes",
    [{"rate_limits": OKXLimitConfig(per_window={"/api/v5/public/time": 1}, status=200)}],
    ids=["status-200"],
)
def test_a_limit_may_come_with_http_200(sim: Any, wire: Any):
    stand_still(sim)
    responses = [wire.send("GET", "/public/time") for _ in range(2)]
    assert [(r.status_code, r.json()["code"]) for r in responses] == [(200, "0"), (200, "50011")]


def test_skewed_venue_clock_moves_time_and_window(wire: Any, control: OKXControl):
    control.set_skew(-60_000)
    assert int(wire.rows("/public/time")[0]["ts"]) == pytest.approx((time.time() - 60) * 1000, abs=5_000)
    assert wire.get("/account/config")["code"] == "50102"
    assert wire.later(-60).get("/account/config")["code"] == "0"
