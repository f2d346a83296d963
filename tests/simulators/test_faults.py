"""Every fault does on the wire what it says, and the truth tells whether the engine saw the request."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from pydantic import ValidationError

from simulators import Action, Control, Fault, FaultKind, Match, running_bybit
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.config import ClockConfig
from simulators.testing import small_config

CREATE = "/v5/order/create"
MANUAL = ClockConfig(mode=ClockMode.MANUAL, start=datetime(2026, 3, 2, tzinfo=UTC), gateway=GatewayClock.ENGINE)
ORDER = '{"category":"linear","symbol":"AAPLUSDT","side":"Buy","orderType":"Market","qty":"1"}'


def placed(control: Control) -> int:
    return len(control.orders("main"))


def last_request(control: Control) -> Any:
    return control.requests(path=CREATE)[-1]


@pytest.mark.parametrize(
    ("kind", "fields", "executed"),
    [
        ("drop", {}, 0),
        ("execute_then_drop", {}, 1),
        ("reset", {"after_bytes": 0}, 1),
        ("reset", {"after_bytes": 37}, 1),
    ],
)
def test_connection_faults(wire: Any, control: Control, kind: str, fields: dict[str, Any], executed: int):
    control.fault(kind, path=CREATE, **fields)
    with pytest.raises(requests.exceptions.ConnectionError):
        wire.place(orderLinkId="x")
    assert placed(control) == last_request(control).executed == executed
    assert wire.place(orderLinkId="y")["retCode"] == 0, "a fault fires as often as it says"


@pytest.mark.parametrize("execute", [False, True])
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_status_faults(wire: Any, control: Control, status: int, execute: bool):
    control.fault("status", path=CREATE, status=status, execute=execute, retry_after_s=2)
    response = wire.send(
        "POST", CREATE, '{"category":"linear","symbol":"AAPLUSDT","side":"Buy","orderType":"Market","qty":"1"}'
    )
    assert (response.status_code, response.headers["Retry-After"]) == (status, "2")
    assert placed(control) == int(execute)
    if status == 429:
        assert response.json()["retCode"] == 429


@pytest.mark.parametrize("execute", [False, True])
def test_error_fault_answers_an_ambiguous_code(wire: Any, control: Control, execute: bool):
    control.fault("error", path=CREATE, code=10016, message="Request timeout", execute=execute)
    assert wire.place()["retCode"] == 10016
    assert placed(control) == int(execute)


@pytest.mark.parametrize(("kind", "fields"), [("bad_json", {}), ("truncated", {"after_bytes": 20}), ("html", {})])
def test_body_faults(wire: Any, control: Control, kind: str, fields: dict[str, Any]):
    control.fault(kind, path=CREATE, execute=True, **fields)
    response = wire.send(
        "POST", CREATE, '{"category":"linear","symbol":"AAPLUSDT","side":"Buy","orderType":"Market","qty":"1"}'
    )
    assert response.status_code == 200
    with pytest.raises(requests.exceptions.JSONDecodeError):
        response.json()
    assert placed(control) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_fault(wire: Any, control: Control, status: int):
    control.fault("redirect", path=CREATE, status=status, location="http://127.0.0.1:9/elsewhere")
    response = wire.send("POST", CREATE, "{}")
    assert (response.status_code, response.headers["Location"]) == (status, "http://127.0.0.1:9/elsewhere")
    assert placed(control) == 0


def test_duplicate_on_the_wire_executes_twice_where_ids_do_not_protect(wire: Any, control: Control):
    control.fault("duplicate", path=CREATE, times=None)
    assert wire.place(orderLinkId="x")["retCode"] == 110072
    assert placed(control) == 1
    wire.place()
    assert placed(control) == 3
    assert (last_request(control).handled, last_request(control).executed) == (2, 2)


def test_delays(wire: Any, control: Control):
    control.fault("delay", path=CREATE, before_s=0.15, after_s=0.15)
    began = time.monotonic()
    assert wire.place()["retCode"] == 0
    assert time.monotonic() - began >= 0.3


def test_delayed_execution_after_the_client_gave_up(wire: Any, control: Control, eventually: Callable[..., object]):
    control.fault("delay", path=CREATE, before_s=0.3)
    with pytest.raises(requests.exceptions.ReadTimeout):
        wire.session.post(f"{wire.url}{CREATE}", data=b"{}", timeout=0.1, headers={"X-BAPI-API-KEY": "main-key"})
    eventually(lambda: control.requests(path=CREATE) and last_request(control).handled)
    assert last_request(control).handled == 1


def test_not_found_for_a_while_after_placement(wire: Any, control: Control):
    control.fault("not_found", path="/v5/order/*", method="GET", young_s=30, times=None)
    wire.place(orderLinkId="x")
    for path in ("/v5/order/realtime", "/v5/order/history"):
        assert wire.rows(path, "category=linear&settleCoin=USDT&orderLinkId=x") == []
    control.clear_faults()
    assert wire.order("x")["orderStatus"] == "Filled"


def test_stale_reads(wire: Any, control: Control):
    wire.place(orderLinkId="x")
    control.fault("stale", path="/v5/*", method="GET", stale_s=60, times=None)
    assert wire.rows("/v5/order/realtime", "category=linear&settleCoin=USDT&orderLinkId=x") == []
    assert wire.rows("/v5/execution/list") == []
    (row,) = wire.rows("/v5/position/list", "category=linear&symbol=AAPLUSDT")
    assert row["size"] == "0"


def test_partial_fill(wire: Any, control: Control):
    control.fault("partial_fill", path=CREATE, ratio="0.3", times=2)
    wire.place(qty="10", orderLinkId="market")
    row = wire.order("market")
    assert (row["orderStatus"], row["cumExecQty"], row["leavesQty"]) == ("Cancelled", "3", "0")
    wire.place(qty="10", orderType="Limit", price="201", orderLinkId="limit")
    row = wire.order("limit")
    assert (row["orderStatus"], row["cumExecQty"], row["leavesQty"]) == ("PartiallyFilled", "3", "7")
    control.set_price("AAPLUSDT", "199")
    assert wire.order("limit")["orderStatus"] == "Filled"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"shape": "truncate", "keep": 1}, ["c"]),
        ({"shape": "repeat"}, ["c", "c", "b", "b", "a", "a"]),
        ({"shape": "reverse"}, ["a", "b", "c"]),
    ],
)
def test_spoiled_lists(wire: Any, control: Control, fields: dict[str, Any], expected: list[str]):
    for link_id in "abc":
        wire.place(orderLinkId=link_id)
    control.fault("rows", path="/v5/execution/list", **fields)
    assert [row["orderLinkId"] for row in wire.rows("/v5/execution/list")] == expected
    assert [row["orderLinkId"] for row in wire.rows("/v5/execution/list")] == ["c", "b", "a"]


def test_a_pending_delay_does_not_hold_up_the_end():
    began = time.monotonic()
    with running_bybit(small_config()) as sim:
        sim.control.fault("delay", path="/v5/market/time", before_s=60)
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.get(f"{sim.url}/v5/market/time", timeout=0.1)
        with requests.Session() as session, pytest.raises(requests.exceptions.ReadTimeout):
            sim.control.fault("delay", path="/v5/market/time", before_s=60)
            session.get(f"{sim.url}/v5/market/time", timeout=0.1)
    assert time.monotonic() - began < 60, "none of the delays was waited for"


def test_clock_skew_for_one_request(wire: Any, control: Control):
    control.fault("clock_skew", path=CREATE, skew_ms=-30_000)
    assert [wire.place()["retCode"] for _ in range(2)] == [10002, 0]


# selectors
def codes(wire: Any, count: int, **order: Any) -> list[int]:
    return [wire.place(**order)["retCode"] for _ in range(count)]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({"nth": (2, 4)}, [0, 7, 0, 7, 0, 0]),
        ({"every": 3}, [0, 0, 7, 0, 0, 7]),
        ({"probability": 1.0}, [7] * 6),
        ({"probability": 0.0}, [0] * 6),
        ({"from_s": 3600}, [0] * 6),
        ({"until_s": 3600}, [7] * 6),
        ({"method": "GET"}, [0] * 6),
        ({"account": "second"}, [0] * 6),
        ({"account": "main"}, [7] * 6),
        ({"fields": {"symbol": "MSFTUSDT"}}, [0] * 6),
        ({"fields": {"symbol": "AAPLUSDT", "side": "Buy"}}, [7] * 6),
    ],
)
def test_selectors(wire: Any, control: Control, selector: dict[str, Any], expected: list[int]):
    control.fault("error", path="/v5/order/*", code=7, times=None, **selector)
    assert codes(wire, 6) == expected


def test_probability_is_seeded(wire: Any, control: Control):
    def run() -> list[int]:
        control.reset()
        control.arm(
            Fault(match=Match(path=CREATE, probability=0.5), action=Action(kind=FaultKind.ERROR, code=7), fault_id="p")
        )
        return codes(wire, 20)

    first = run()
    assert first == run()
    assert {0, 7} == set(first)


def test_after_an_executed_request(wire: Any, control: Control):
    control.fault("error", path="/v5/position/list", code=7, times=None, after={"path": CREATE, "for_s": 60})
    query = "category=linear&symbol=AAPLUSDT"
    assert wire.get("/v5/position/list", query)["retCode"] == 0
    wire.place()
    assert wire.get("/v5/position/list", query)["retCode"] == 7


def test_times_and_listing_and_clearing(wire: Any, control: Control):
    identity = control.fault("error", path=CREATE, code=7, times=2)
    assert codes(wire, 4) == [7, 7, 0, 0]
    (listed,) = control.faults()
    assert (listed["fault_id"], listed["matched"], listed["fired"]) == (identity, 4, 2)
    assert last_request(control).faults == ()
    assert control.clear_faults(identity) == 1
    assert control.faults() == []


@pytest.mark.parametrize(
    "action",
    [
        {"kind": "status"},
        {"kind": "redirect", "status": 302},
        {"kind": "reset"},
        {"kind": "delay"},
        {"kind": "partial_fill", "ratio": 0.5},
        {"kind": "explode"},
        {"kind": "drop", "typo": 1},
        {"kind": "cut_request"},
        {"kind": "huge"},
        {"kind": "trickle"},
        {"kind": "content_type"},
    ],
)
def test_incomplete_faults_are_refused(action: dict[str, Any]):
    with pytest.raises(ValidationError):
        Fault.model_validate({"action": action})


def test_a_cut_cannot_look_into_the_request():
    cut = {"kind": "cut_request", "after_bytes": 0}
    with pytest.raises(ValidationError, match="request line"):
        Fault.model_validate({"action": cut, "match": {"fields": {"symbol": "AAPLUSDT"}}})


# what only a listener, or a patient client, sees
@pytest.mark.parametrize("after_bytes", [0, 40, 400])
def test_a_request_is_cut_off_before_it_was_read(wire: Any, control: Control, after_bytes: int):
    wire.get("/v5/market/time")
    control.fault("cut_request", path=CREATE, after_bytes=after_bytes)
    with pytest.raises(requests.exceptions.ConnectionError):
        wire.place(orderLinkId="x")
    assert placed(control) == 0
    assert (last_request(control).handled, last_request(control).faults) == (0, ("fault-1",))
    assert wire.place(orderLinkId="y")["retCode"] == 0


def test_a_connection_reset_without_execution(wire: Any, control: Control):
    control.fault("drop", path=CREATE, reset=True)
    with pytest.raises(requests.exceptions.ConnectionError, match="reset"):
        wire.place()
    assert placed(control) == 0


def test_nobody_listens(sim: Any, wire: Any, control: Control):
    wire.get("/v5/market/time")
    with sim.refusing_connections(), pytest.raises(requests.exceptions.ConnectionError):
        wire.place()
    assert wire.place()["retCode"] == 0 and placed(control) == 1


def test_a_huge_answer(wire: Any, control: Control):
    control.fault("huge", path=CREATE, size_bytes=300_000)
    response = wire.send("POST", CREATE, ORDER)
    assert (len(response.content), response.json()["retCode"], placed(control)) == (300_000, 0, 1)


def test_an_answer_with_another_content_type(wire: Any, control: Control):
    control.fault("content_type", path=CREATE, content_type="text/html")
    response = wire.send("POST", CREATE, ORDER)
    assert response.headers["Content-Type"] == "text/html" and response.json()["retCode"] == 0


def test_a_trickle_arrives_byte_by_byte(wire: Any, control: Control):
    control.fault("trickle", path=CREATE, gap_s=0.0001)
    assert wire.place()["retCode"] == 0
    control.fault("trickle", path=CREATE, gap_s=0.5)
    response = wire.session.post(f"{wire.url}{CREATE}", data=b"{}", stream=True, timeout=30)
    assert (next(response.iter_content(1)), placed(control)) == (b"{", 1)
    response.close()


@pytest.mark.parametrize("config_changes", [{"clock": MANUAL}])
def test_a_delay_in_the_venues_own_time(wire: Any, control: Control, eventually: Callable[..., object]):
    wire.offset_ms = control.health()["gateway_ms"] - time.time_ns() // 1_000_000
    control.fault("delay", path=CREATE, before_venue_s=30)
    with pytest.raises(requests.exceptions.ReadTimeout):
        wire.session.post(f"{wire.url}{CREATE}", data=b"{}", timeout=0.1, headers={"X-BAPI-API-KEY": "main-key"})
    eventually(lambda: control.requests(path=CREATE))
    control.advance(seconds=29)
    assert last_request(control).handled == 0
    eventually(lambda: control.advance(seconds=1) and last_request(control).handled)
    assert last_request(control).handled == 1


def test_a_key_that_may_withdraw(wire_of: Any):
    shown = wire_of(key="drainer", secret="drainer-secret").get("/v5/user/query-api")["result"]["permissions"]["Wallet"]
    assert "Withdraw" in shown
    assert "Withdraw" not in wire_of().get("/v5/user/query-api")["result"]["permissions"]["Wallet"]
