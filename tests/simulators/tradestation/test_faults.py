"""The shared faults, on TradeStation's wire: each does what it says, and the truth tells what was executed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from simulators import (
    Control,
    RemoteControl,
    Running,
    TradeStationConfig,
    TradeStationControl,
    running_tradestation,
    tradestation_demo_config,
)
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.config import ClockConfig

EQUITIES, FUTURES = "SIM123456M", "SIM123456F"
ORDERS = "/v3/orderexecution/orders"
LIST = f"/v3/brokerage/accounts/{EQUITIES}/orders"
MANUAL = ClockConfig(mode=ClockMode.MANUAL, start=datetime(2026, 3, 2, 15, tzinfo=UTC), gateway=GatewayClock.ENGINE)


def placed(control: Control) -> int:
    return len(control.orders(EQUITIES))


@pytest.mark.parametrize(
    ("kind", "fields", "executed"),
    [
        ("drop", {}, 0),
        ("execute_then_drop", {}, 1),
        ("reset", {"after_bytes": 0}, 1),
        ("reset", {"after_bytes": 37}, 1),
        ("cut_request", {"after_bytes": 10}, 0),
    ],
)
def test_connection_faults(wire: Any, control: TradeStationControl, kind: str, fields: dict[str, Any], executed: int):
    control.fault(kind, path=ORDERS, **fields)
    with pytest.raises(requests.exceptions.ConnectionError):
        wire.post()
    assert placed(control) == control.requests(path=ORDERS)[-1].executed == executed
    assert wire.place(), "a fault fires as often as it says"


@pytest.mark.parametrize("execute", [False, True])
@pytest.mark.parametrize(
    ("status", "title"),
    [
        (429, "TooManyRequests"),
        (500, "InternalServerError"),
        (502, "BadGateway"),
        (503, "ServiceUnavailable"),
        (504, "GatewayTimeout"),
    ],
)
def test_status_faults_before_and_after_the_commit(
    wire: Any, control: TradeStationControl, status: int, title: str, execute: bool
):
    control.fault("status", path=ORDERS, status=status, execute=execute, retry_after_s=2)
    answer = wire.post()
    assert (answer.status_code, answer.json()["Error"], answer.headers["Retry-After"]) == (status, title, "2")
    assert ("X-RateLimit-Remaining" in answer.headers) is (status == 429)
    assert placed(control) == int(execute)


@pytest.mark.parametrize("execute", [False, True])
@pytest.mark.parametrize(("code", "title"), [(401, "Unauthorized"), (403, "Forbidden"), (400, "BadRequest")])
def test_error_faults_answer_with_a_status(
    wire: Any, control: TradeStationControl, code: int, title: str, execute: bool
):
    control.fault("error", path=ORDERS, code=code, message="as scripted", execute=execute)
    answer = wire.post()
    assert (answer.status_code, answer.json()) == (code, {"Error": title, "Message": "as scripted"})
    assert placed(control) == int(execute)


def test_an_error_fault_of_200_is_an_order_that_failed(wire: Any, control: TradeStationControl):
    control.fault("error", path=ORDERS, code=200, message="Order failed. Reason: as scripted")
    (row,) = wire.post().json()["Orders"]
    assert (row["Error"], row["Message"]) == ("FAILED", "Order failed. Reason: as scripted")
    assert placed(control) == 0


@pytest.mark.parametrize(("kind", "fields"), [("bad_json", {}), ("truncated", {"after_bytes": 20}), ("html", {})])
def test_body_faults(wire: Any, control: TradeStationControl, kind: str, fields: dict[str, Any]):
    control.fault(kind, path=ORDERS, execute=True, **fields)
    answer = wire.post()
    assert answer.status_code == 200
    with pytest.raises(requests.exceptions.JSONDecodeError):
        answer.json()
    assert placed(control) == 1


@pytest.mark.parametrize("config_changes", [{"clock": MANUAL}])
def test_an_order_may_reach_the_venue_late_and_its_answer_the_client_later(
    wire: Any, control: TradeStationControl, eventually: Callable[..., None]
):
    control.fault("delay", path=ORDERS, before_venue_s=2)
    with ThreadPoolExecutor(1) as other:
        answer = other.submit(wire.place)
        assert not placed(control)
        eventually(lambda: bool(control.advance(seconds=1)) and answer.done())
    assert answer.result()
    (order,) = control.orders(EQUITIES)
    assert order.created_ms >= MANUAL.build().now_ms() + 2_000
    control.fault("delay", path=ORDERS, after_s=0.3)
    with pytest.raises(requests.exceptions.ReadTimeout):
        wire.send("POST", ORDERS, wire.order(), timeout_s=0.01)
    eventually(lambda: placed(control) == 2)


def test_a_redirect_is_offered(wire: Any, control: TradeStationControl):
    control.fault("redirect", path=ORDERS, status=307, location="http://127.0.0.1:9/elsewhere")
    answer = wire.post()
    assert (answer.status_code, answer.headers["Location"]) == (307, "http://127.0.0.1:9/elsewhere")
    assert placed(control) == 0


def test_a_wire_that_doubles_a_request(wire: Any, control: TradeStationControl):
    control.fault("duplicate", path=ORDERS, copies=2)
    wire.post(OrderConfirmID="")
    assert placed(control) == 2


def test_a_confirm_id_saves_from_a_wire_that_doubles(wire: Any, control: TradeStationControl):
    control.fault("duplicate", path=ORDERS, copies=2)
    (row,) = wire.post(OrderConfirmID="once").json()["Orders"]
    assert "Duplicate" in row["Message"]
    assert placed(control) == 1


@pytest.mark.parametrize("config_changes", [{"clock": MANUAL}])
def test_reads_may_be_stale_or_hide_the_young(wire: Any, control: TradeStationControl):
    order_id = wire.limit("190")
    control.advance(seconds=10)
    wire.place()
    control.fault("not_found", path=LIST, young_s=5)
    assert [row["OrderID"] for row in wire.rows("orders", "Orders")] == [order_id]
    control.fault("not_found", path=f"{LIST}/*", young_s=20)
    assert wire.get(f"{LIST}/{order_id}")["Errors"][0]["Error"] == "NotFound"
    control.fault("stale", path="/v3/brokerage/*", stale_s=5, times=3)
    assert [row["OrderID"] for row in wire.rows("orders", "Orders")] == [order_id]
    assert wire.rows("positions", "Positions") == []
    assert wire.rows("balances", "Balances")[0]["CashBalance"] == "100000"
    assert len(wire.rows("positions", "Positions")) == 1


def test_lists_may_be_spoiled(wire: Any, control: TradeStationControl):
    ids = [wire.limit("190"), wire.limit("191")]
    for shape, expected in (("truncate", ids[1:]), ("repeat", [ids[1], ids[1], ids[0], ids[0]]), ("reverse", ids)):
        control.fault("rows", path=LIST, shape=shape, keep=1)
        assert [row["OrderID"] for row in wire.rows("orders", "Orders")] == expected


def test_a_partial_fill_is_forced(wire: Any, control: TradeStationControl):
    control.fault("partial_fill", path=ORDERS, ratio="0.3")
    row = wire.seen(wire.limit("201"))
    assert (row["Status"], row["Legs"][0]["ExecQuantity"]) == ("FPR", "3")
    control.fault("partial_fill", path=ORDERS, ratio="0.3")
    assert wire.seen(wire.place())["Status"] == "FLP"


@pytest.mark.parametrize("config_changes", [{"clock": MANUAL}])
def test_a_skewed_clock_ends_a_token_early(wire: Any, control: TradeStationControl):
    control.fault("clock_skew", path=LIST, skew_ms=1_200_000)
    assert wire.send("GET", LIST).status_code == 401
    assert wire.send("GET", LIST).status_code == 200


def test_faults_choose_by_account_and_fields(wire: Any, control: TradeStationControl):
    fault_id = control.fault("status", path="/v3/*", status=503, account=FUTURES, times=None)
    assert wire.send("GET", LIST).status_code == 200
    assert wire.send("GET", f"/v3/brokerage/accounts/{FUTURES}/positions").status_code == 503
    assert wire.post().status_code == 200
    assert wire.post(AccountID=FUTURES, Symbol="MESZ26").status_code == 503
    control.clear_faults(fault_id)
    order_id = wire.limit("190")
    control.fault("status", path=f"{ORDERS}/*", status=503, account=EQUITIES)
    assert wire.send("DELETE", f"{ORDERS}/{order_id}").status_code == 503
    control.fault("drop", path="/oauth/token", fields={"grant_type": "refresh_token"})
    with pytest.raises(requests.exceptions.ConnectionError):
        wire.refresh()
    assert wire.refresh().status_code == 200


@pytest.mark.parametrize(("status", "body"), [(503, "ServiceUnavailable"), (504, "GatewayTimeout")])
def test_the_sign_in_host_may_be_down(wire: Any, control: TradeStationControl, status: int, body: str):
    control.fault("status", path="/oauth/token", status=status)
    answer = wire.refresh()
    assert (answer.status_code, answer.json()["Error"]) == (status, body)


def test_a_refresh_whose_answer_is_lost_has_rotated_the_token(
    wire_of: Callable[..., Any], control: TradeStationControl
):
    client = wire_of("rotating")
    control.fault("execute_then_drop", path="/oauth/token")
    with pytest.raises(requests.exceptions.ConnectionError):
        client.refresh()
    assert client.refresh().status_code == 200, "the old token is still valid for a while"


def test_orders_are_counted_as_executed_only_when_they_were_taken(wire: Any, control: TradeStationControl):
    wire.place()
    wire.post(TradeAction="SELLSHORT")
    wire.post(Symbol="NOPE")
    wire.post(Quantity=None)
    assert [(r.executed, r.code) for r in control.requests(path=ORDERS)] == [
        *((1, "200"), (0, "FAILED"), (0, "FAILED"), (0, "400"))
    ]


def test_a_reset_brings_the_configuration_back(wire: Any, control: TradeStationControl):
    wire.place()
    control.reset()
    assert wire.send("GET", LIST).status_code == 401, "tokens are forgotten"
    assert wire.sign_in().rows("orders", "Orders") == control.positions(EQUITIES) == []


# the process, the demonstration, the configuration file
def test_the_demonstration_trades_on_real_prices():
    with running_tradestation(tradestation_demo_config(rate_limits=False)) as sim:
        before = sim.control.prices()["AAPL"]
        sim.control.advance(days=30)
        assert sim.control.prices()["AAPL"] != before
        order = sim.control.place_order(EQUITIES, "AAPL", "buy", 10)
        assert order.average_price == sim.control.executions(EQUITIES)[0].price
        future = sim.control.place_order(FUTURES, "MESZ26", "sell", 1)
        assert future.fees == (("USD", Decimal("0.85")),)


def test_it_runs_as_a_process_and_says_how_to_sign_in(tmp_path: Path):
    state = tmp_path / "sim.json"
    command = [sys.executable, "-m", "simulators", "tradestation", "--state-file", str(state), "--no-rate-limits"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert line == json.loads(state.read_text(encoding="utf-8"))
        assert (line["venue"], line["pid"]) == ("tradestation", process.pid)
        (client,) = line["clients"]
        form = {
            "grant_type": "refresh_token",
            "client_id": client["client_id"],
            "client_secret": client["client_secret"],
            "refresh_token": client["refresh_tokens"][0],
        }
        answer = requests.post(f"{line['url']}/oauth/token", data=form, timeout=30)
        assert answer.status_code == 200
        assert client["accounts"] == [EQUITIES, FUTURES]
        remote = RemoteControl(line["url"], control=TradeStationControl)
        assert remote.health()["venue"] == "tradestation"
        assert remote.expire_access_tokens() == 1
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    assert not state.exists()


CONFIG = """
seed: 3
clients:
  - {client_id: some-id, client_secret: some-secret, refresh_tokens: [some-refresh], rotates: true, accounts: [SIM1M]}
accounts:
  - {name: SIM1M, account_type: Margin, balances: {USD: "5000"}}
instruments:
  - {symbol: AAPL, base: AAPL, tick: "0.01", step: "1", qty_min: "1", fee_flat: "1", fee_unit: "0.005"}
prices: {start: {AAPL: "200"}}
session: {mode: exchange, opens: "09:30", closes: "16:00", holidays: [2026-11-26]}
quirks: {duplicate_ids: accept, closed_market: queue, ack_fill_ms: 300}
rate_limits: {per_window: {orders: 100}}
streams: {piece_bytes: 32}
"""


def test_a_configuration_file_is_read(tmp_path: Path):
    path = tmp_path / "venue.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    config = TradeStationConfig.load(path)
    assert config.session.build().is_open(config.instruments[0].asset_type, 0) is False
    with running_tradestation(config) as sim:
        assert sim.control.wallets("SIM1M") == {"USD": 5000}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (("accounts: [SIM1M]", "accounts: [SIM2M]"), "owns unknown accounts"),
        (("rotates: true", "redirect_uris: ['http://example.com']"), "redirect_uris must be on loopback"),
        (("duplicate_ids: accept", "duplicate_ids: maybe"), "duplicate_ids"),
        (("{orders: 100}", "{bars: 100}"), "unknown resources"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(tmp_path: Path, changed: tuple[str, str], says: str):
    path = tmp_path / "venue.yaml"
    path.write_text(CONFIG.replace(*changed), encoding="utf-8")
    with pytest.raises(ValueError, match=says), running_tradestation(TradeStationConfig.load(path)):
        pass


def test_a_route_fee_is_told_apart(tmp_path: Path):
    path = tmp_path / "venue.yaml"
    path.write_text(CONFIG.replace("mode: exchange", "mode: always").replace("ack_fill_ms: 300", ""), encoding="utf-8")
    config = TradeStationConfig.load(path)
    with running_tradestation(config) as sim:
        order = sim.control.place_order("SIM1M", "AAPL", "buy", 10)
        wire = {"grant_type": "refresh_token", "client_id": "some-id", "client_secret": "some-secret"}
        token = requests.post(f"{sim.url}/oauth/token", data={**wire, "refresh_token": "some-refresh"}, timeout=30)
        headers = {"Authorization": f"Bearer {token.json()['access_token']}"}
        answer = requests.get(f"{sim.url}/v3/brokerage/accounts/SIM1M/orders", headers=headers, timeout=30)
        (row,) = answer.json()["Orders"]
        assert (row["CommissionFee"], row["UnbundledRouteFee"]) == ("1", "0.05")
        assert order.fees == (("USD", Decimal("1.05")),)


def test_an_account_is_opened_while_it_runs(sim: Running[TradeStationControl]):
    sim.control.create_account(name="SIM777777F", account_type="Futures", balances={"USD": "1000"})
    assert sim.control.wallets("SIM777777F") == {"USD": 1000}
    order = sim.control.place_order("SIM777777F", "MESZ26", "buy", 1, price="1")
    assert order.is_open
