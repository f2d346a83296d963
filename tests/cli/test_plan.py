"""`algotrendy plan` of a subscription: over two venues, from a file, with its report and its refusals."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from simulators import Control, Running, running_tradestation
from simulators.testing import small_tradestation_config
from tests.cli.conftest import Cli
from tests.trading.simulated_tradestation import log_in

FILE = """
accounts:
  - venue: bybit
    environment: simulated
    name: main
    credentials: {{api_key: main-key, api_secret: main-secret}}
    base_url: {bybit}
  - venue: tradestation
    environment: simulated
    name: main
    credentials: {{api_key: main-id, api_secret: main-secret}}
    venue_account: SIM123456M
    products: [equity]
    base_url: {tradestation}
portfolios:
  - name: world
    quote_currency: USD
    targets: {{"BTC/USDT:USDT": "0.2", "AAPL": "0.3", "MSFT": "0.1"}}
    drift: {{absolute: "0.02"}}
  - name: coins
    quote_currency: USDT
    targets: {{"BTC/USDT:USDT": "0.2"}}
subscriptions:
  - name: world
    portfolio: world
    base_currency: USD
    split: by_instrument
    accounts:
      - {{account: bybit-simulated-main, quote_currency: USDT}}
      - {{account: tradestation-simulated-main}}
    conversions: {{USDT: {{rate: "1"}}}}
  - name: crypto
    portfolio: world
    base_currency: USDT
    accounts:
      - {{account: bybit-simulated-main, quote_currency: USDT, instruments: ["BTC/USDT:USDT"]}}
    conversions: {{USD: {{rate: "1"}}}}
"""


def test_a_subscription_is_planned_over_two_venues(
    bare: Cli, sim: Running[Control], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_tradestation(small_tradestation_config()) as shares:
        file = tmp_path / "world.yaml"
        file.write_text(FILE.format(bybit=sim.url, tradestation=shares.url))
        monkeypatch.setenv("ALGOTRENDY_SECRETS", str(tmp_path / "secrets"))
        log_in(shares.url, tmp_path / "secrets")

        report = tmp_path / "report"
        done = bare("plan", "world", "--accounts", str(file), "--report", str(report), "--json")
        assert done.code == 0, done.err
        plans = done.json["run_plan"]["accounts"]
        assert [(item["account_name"], len(item["plan"]["legs"])) for item in plans] == [
            ("bybit-simulated-main", 1),
            ("tradestation-simulated-main", 2),
        ]
        assert done.json["run_plan"]["expected"]["equity"] == "200000"
        assert "<svg" in (report / "report.html").read_text()
        assert (report / "lines.csv").read_text().startswith("Line,At,Current,Target,After")

        one = tmp_path / "one"
        options = ("--account", "bybit-simulated-main", "--portfolio", "coins", "--accounts", str(file))
        single = bare("plan", *options, "--report", str(one), "--json")
        assert single.code == 0, single.err
        assert "Current, target and after" in (one / "report.html").read_text()
        with sqlite3.connect(tmp_path / "home" / "ledger" / "simulated.db") as ledger:
            names = [name for (name,) in ledger.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            assert {"plan", "account"} <= set(names)
            for name in ("plan", "account", "account_snapshot", "order_intent"):
                assert ledger.execute(f'SELECT count(*) FROM "{name}"').fetchone() == (0,), "a preview leaves no trace"

        table = bare("plan", "world", "--accounts", str(file))
        assert "3 order(s) wanted on 2 accounts" in table.out
        assert "tradestation main" in table.out
        alone = bare("plan", "crypto", "--accounts", str(file), "--json")
        assert [item["account_name"] for item in alone.json["run_plan"]["accounts"]] == ["bybit-simulated-main"]
        listed = bare("accounts", "--accounts", str(file), "--json").json["subscriptions"]
        assert [(item["name"], item["split"]) for item in listed] == [
            ("world", "by_instrument"),
            ("crypto", "own_equity"),
        ]

        several = bare("plan", str(file))
        assert several.code != 0
        assert "known: crypto, world" in several.err
    part = bare("plan", "world", "--accounts", str(file), "--json")
    assert part.code == 7, "a venue that does not answer is not as wished"
    assert part.json["run_plan"]["accounts"] == []
    reasons = {item["account_name"]: item["reason"] for item in part.json["run_plan"]["problems"]}
    assert reasons["bybit-simulated-main"] == "JOINT_EQUITY_UNKNOWN"
    assert sim.control.orders("main") == []


def test_what_cannot_be_meant_is_refused(bare: Cli, tmp_path: Path) -> None:
    file = tmp_path / "world.yaml"
    file.write_text(FILE.format(bybit="http://127.0.0.1:9", tradestation="http://127.0.0.1:9"))
    mixed = bare("plan", "world", "--accounts", str(file), "--portfolio", "world")
    assert mixed.code == 2
    assert "names its own accounts and portfolio" in mixed.err
    unknown = bare("plan", "moon", "--accounts", str(file))
    assert unknown.code != 0
    assert "there is no subscription 'moon'" in unknown.err
    absent = bare("plan", str(tmp_path / "absent.yaml"))
    assert absent.code != 0
    assert "there is no file" in absent.err
