"""The control API as JSON, the request log, and the simulator as a process."""

import ast
import asyncio
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from simulators import Control, RemoteControl, Running
from simulators.__main__ import main
from simulators.bybit.simulator import BybitConfig, build_bybit
from simulators.core.control import ControlError
from simulators.core.server import Service, start
from simulators.row import names
from simulators.testing import small_config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ask(sim: Running[Control], wire: Any):
    def call(name: str, /, **arguments: Any) -> Any:
        url = f"{sim.url}/_control/{name}"
        reads = name in READS
        response = wire.session.get(url, params=arguments, timeout=30) if reads else None
        if response is None:
            response = wire.session.post(url, data=json.dumps(arguments), timeout=30)
        return response.json() if response.status_code == 200 else (response.status_code, response.json()["error"])

    return call


READS = {
    *("health", "accounts", "prices", "orders", "executions", "positions", "wallets", "margin"),
    *("transaction_log", "closed_trades", "requests", "faults"),
}


def test_health_and_accounts_hide_secrets(ask: Any, sim: Running[Control], wire: Any):
    assert ask("health")["ok"] is True
    text = wire.session.get(f"{sim.url}/_control/accounts", timeout=30).text
    assert "main-key" in text
    assert "main-secret" not in text


def test_accounts_money_and_truth(ask: Any):
    opened = ask("create_account", name="third", balances={"USDT": "10.5"})
    assert opened["api_key"] == "third-key"
    assert ask("deposit", account="third", coin="USDT", amount="1.25") == "11.75"
    assert ask("withdraw", account="third", coin="USDT", amount="0.75") == "11"
    ask("transfer", source="third", target="main", coin="USDT", amount="1")
    assert ask("wallets", account="third") == {"USDT": "10"}
    assert ask("wallets", account="main") == {"USDT": "100001"}
    kinds = [row["kind"] for row in ask("transaction_log", account="third")]
    assert kinds == ["deposit", "deposit", "withdrawal", "transfer_out"]


def test_foreign_order_market_and_reads(ask: Any, wire: Any):
    ask("place_order", account="main", symbol="AAPLUSDT", side="buy", qty="2", price="199")
    ask("place_order", account="main", symbol="MSFTUSDT", side="sell", qty="1")
    (row,) = wire.rows("/v5/order/realtime", "category=linear&settleCoin=USDT")
    assert (row["symbol"], row["orderLinkId"]) == ("AAPLUSDT", "")
    (open_order,) = ask("orders", account="main", open_only="true")
    assert ask("cancel_order", account="main", order_id=open_order["order_id"])["status"] == "cancelled"
    assert [p["symbol"] for p in ask("positions", account="main")] == ["MSFTUSDT"]
    assert Decimal(ask("margin", account="main")["available"]) < 100_000
    ask("set_price", symbol="MSFTUSDT", price="390")
    assert ask("prices")["MSFTUSDT"] == "390"
    assert ask("advance", days=1)["ok"]


def test_faults_lags_limits_and_reset(ask: Any, wire: Any):
    action = {"kind": "error", "code": 7}
    identity = ask("add_fault", match={"path": "/v5/order/create"}, action=action, times=1)
    assert [wire.place()["retCode"] for _ in range(2)] == [7, 0]
    assert ask("faults")[0]["fired"] == 1
    assert ask("clear_faults", fault_id=identity) == 1
    ask("set_lags", orders_ms=60_000)
    wire.place(orderLinkId="x")
    assert wire.rows("/v5/order/realtime", "category=linear&settleCoin=USDT&orderLinkId=x") == []
    ask("reset")
    assert ask("orders", account="main") == []
    assert ask("requests") == []


def test_request_log_tells_what_was_executed(ask: Any, wire: Any, control: Control):
    wire.place(orderLinkId="x")
    wire.place(orderLinkId="x")
    first, second = ask("requests", path="/v5/order/create", method="POST")
    assert (first["executed"], first["code"], second["executed"], second["code"]) == (1, "0", 0, "110072")
    assert json.loads(first["body"])["orderLinkId"] == "x"
    assert first["host"].startswith("127.0.0.1:")
    assert first["headers"]["x-bapi-sign"] == "***"
    assert first["account"] == "main"
    assert control.requests(since=first["number"])[0].number == second["number"]


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("nothing", {}, "unknown control"),
        ("_account", {"name": "main"}, "unknown control"),
        ("call", {}, "unknown control"),
        ("orders", {"account": "nobody"}, "unknown account"),
        ("deposit", {"account": "main", "coin": "USDT", "amount": 1.5}, "string or an integer"),
        ("deposit", {"account": "main", "coin": "USDT", "amount": "much"}, "must be a number"),
        ("deposit", {"account": "main"}, "missing a required argument"),
        ("withdraw", {"account": "main", "coin": "USDT", "amount": "1000000"}, "insufficient_balance"),
        ("set_price", {"symbol": "NOPE", "price": "1"}, "unknown symbol"),
        ("set_price", {"symbol": "AAPLUSDT", "price": "0"}, "positive"),
        ("advance", {}, "give either"),
        ("advance", {"to": "1999-01-01"}, "only moves forward"),
        ("create_account", {"name": "main"}, "exists already"),
        ("add_fault", {"match": {}}, "needs an action"),
        ("place_order", {"account": "main", "symbol": "AAPLUSDT", "side": "buy", "qty": "0"}, "refused"),
    ],
)
def test_bad_control_requests_say_why(ask: Any, name: str, arguments: dict[str, Any], text: str):
    status, error = ask(name, **arguments)
    assert status == 400
    assert text in error


def test_wrong_verb(sim: Running[Control], wire: Any):
    response = wire.session.get(f"{sim.url}/_control/reset", timeout=30)
    assert (response.status_code, "wants POST" in response.text) == (400, True)


def test_python_control_raises(control: Control):
    with pytest.raises(ControlError, match="unknown account"):
        control.wallets("nobody")


def test_keys_can_be_added_and_revoked(control: Control, wire_of: Any):
    control.add_key("second", api_key="extra", api_secret="extra-secret", read_only=True)
    extra = wire_of(key="extra", secret="extra-secret")
    assert extra.get("/v5/account/info")["retCode"] == 0
    control.revoke_key("second", "extra")
    assert extra.get("/v5/account/info")["retCode"] == 10003


def test_many_threads_place_orders_and_nothing_is_lost(control: Control, wire_of: Any):
    def run(worker: int) -> list[int]:
        client = wire_of()
        return [client.place(orderLinkId=f"{worker}-{n}")["retCode"] for n in range(25)]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(run, range(8)))
    assert results == [[0] * 25] * 8
    (position,) = control.positions("main")
    assert position.qty == 200
    assert len({o.order_id for o in control.orders("main")}) == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_as_a_process(tmp_path: Path, number: signal.Signals):
    config = tmp_path / "venue.yaml"
    config.write_text(
        """
seed: 5
accounts: [{name: main, balances: {USDT: "100"}}]
instruments: [{symbol: BTCUSDT, base: BTC, tick: "0.10", step: "0.001", qty_min: "0.001"}]
prices: {start: {BTCUSDT: "60000"}, walks: [{symbols: [BTCUSDT]}]}
"""
    )
    state = tmp_path / "state.json"
    command = [sys.executable, "-m", "simulators", "bybit", "--config", str(config), "--state-file", str(state)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    ) as process:
        assert process.stdout is not None
        announced = json.loads(process.stdout.readline())
        assert announced == json.loads(state.read_text())
        assert announced["pid"] == process.pid
        health = requests.get(f"{announced['url']}/_control/health", timeout=30).json()
        assert (health["venue"], health["instruments"]) == ("bybit", 1)
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (0, "", "")
    assert not state.exists()


def test_several_venues_in_one_process(tmp_path: Path):
    state = tmp_path / "state.json"
    command = [sys.executable, "-m", "simulators", *names(), "--state-file", str(state)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        announced = [json.loads(process.stdout.readline()) for _ in names()]
        assert [line["venue"] for line in announced] == list(names())
        assert [json.loads(line) for line in state.read_text().splitlines()] == announced
        for line in announced:
            health = requests.get(f"{line['url']}/_control/health", timeout=30).json()
            assert (health["venue"], line["pid"]) == (line["venue"], process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    assert not state.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "no simulator of 'nowhere'; choose from"),
        (["bybit", "bybit:8081"], "bybit is named twice"),
        (["bybit:x"], "the port of bybit must be a number, was 'x'"),
        (["bybit", "tradestation", "--port", "8081"], "say VENUE:PORT"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(arguments)
    assert words in capsys.readouterr().err


def test_remote_control(sim: Running[Control]):
    remote = RemoteControl(sim.url)
    assert remote.deposit(account="main", coin="USDT", amount=Decimal("0.5")) == "100000.5"
    assert remote.wallets(account="main") == {"USDT": "100000.5"}
    assert remote.health()["venue"] == "bybit"
    with pytest.raises(ControlError, match="unknown account"):
        remote.orders(account="nobody")
    with pytest.raises(AttributeError, match="no 'call'"):
        remote.call()
    with pytest.raises(ValueError, match="loopback"):
        RemoteControl("https://api.bybit.com")


def test_a_simulator_listens_on_loopback_only():
    with pytest.raises(ValueError, match="loopback only"):
        asyncio.run(
            start(Service(build_bybit(small_config()), Control(build_bybit(small_config()))), host="0.0.0.0", port=0)
        )


def test_the_core_knows_no_venue_and_no_other_room():
    for path in (ROOT / "simulators").rglob("*.py"):
        names = [
            name
            for node in ast.walk(ast.parse(path.read_text()))
            for name in (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else []
            )
        ]
        ours = {"brokers", "ledger", "trading", "webhooks", "tasks", "flows", "deployments", "cli"}
        assert not ours & {name.split(".")[0] for name in names}, path
        if path.parent.name == "core":
            assert not [name for name in names if name.startswith("simulators.") and ".core" not in name], path


def test_configuration_files(tmp_path: Path):
    path = tmp_path / "venue.json"
    path.write_text('{"accounts": [{"name": "a"}], "rate_limits": {"enabled": false}}')
    assert BybitConfig.load(path).rate_limits.enabled is False
    path.write_text('{"acounts": []}')
    with pytest.raises(ValueError, match="acounts"):
        BybitConfig.load(path)
    path.write_text('{"accounts": [{"name": "a"}, {"name": "a"}]}')
    with pytest.raises(ValueError, match="must differ"):
        BybitConfig.load(path)
