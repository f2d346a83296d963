"""Alerts by hand: routes, tokens, what came in, dead letters, and a drain in the foreground."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from brokers.ids import Environment
from cli.failures import ExitCode
from ledger.engine import Ledger
from ledger.inbox import AlertStore, Delivery
from ledger.inbox_tokens import AlertTokens
from simulators import Control, Running
from tests.cli.conftest import Cli

ROUTES = """
sources:
  - {name: tv-main, max_age_s: 600}
routes:
  - {name: btc, source: tv-main, symbol: BTCUSDT.P, account: bybit-simulated-main, instrument: "BTC/USDT:USDT",
     quantity_max: "1", bare_action: direction, ttl_market_s: 300}
"""


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    file = tmp_path / "routes.yaml"
    file.write_text(ROUTES)
    return file


def ledger_of(folder: Path) -> Ledger:
    url = f"sqlite:///{folder / 'home' / 'ledger' / 'simulated.db'}"
    return Ledger.open(url, environment=Environment.SIMULATED)


def receive(folder: Path, **fields: Any) -> int:
    body = {"v": 1, "symbol": "BTCUSDT.P", "action": "buy", "quantity": "0.01", **fields}
    with ledger_of(folder) as ledger:
        store = AlertStore(ledger, free_bytes=lambda: 10**12)
        delivery = Delivery(source="tv-main", raw=json.dumps(body).encode(), received_at=datetime.now(UTC))
        return store.receive([delivery])[0].alert_id


def test_routes_are_checked_applied_and_shown(bare: Cli, routes: Path) -> None:
    nothing = bare("routes", "show")
    assert nothing.code == ExitCode.CONFIGURATION and "no routes were applied" in nothing.err
    checked = bare("routes", "check", str(routes))
    assert checked.code == 0 and "1 source(s) and 1 route(s)" in checked.out
    assert bare("routes", "show").code == ExitCode.CONFIGURATION  # a check changes nothing
    applied = bare("routes", "apply", str(routes), "--by", "ann")
    assert applied.code == 0 and applied.out.startswith("version 1 counts: 1 sources, 1 routes")
    shown = bare("routes", "show", "--json")
    assert shown.json["routes"][0]["account"] == "bybit.simulated.main"
    assert "applied by ann" in bare("routes", "show").err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('quantity_max: "1"', 'quantity_mox: "1"'), "quantity_mox"),
        (("bybit-simulated-main", "bybit-production-main"), "this ledger is of simulated"),
        (("ttl_market_s: 300", 'review: {url: "http://reviewer.example/x"}'), "must be https"),
        (("ttl_market_s: 300", 'review: {kind: letta, url: "https://letta.example"}'), "review.agent must name"),
    ],
)
def test_routes_that_cannot_be_used_are_refused_with_the_place(
    bare: Cli, routes: Path, change: tuple[str, str], told: str
) -> None:
    routes.write_text(ROUTES.replace(*change))
    refused = bare("routes", "apply", str(routes), "--by", "ann")
    assert refused.code == ExitCode.CONFIGURATION and "ALERT_CONFIG_REFUSED" in refused.err
    assert told in " ".join(refused.err.split()).replace("│ ", ""), refused.err


def test_a_token_is_shown_once_and_may_be_changed_without_a_gap(bare: Cli, tmp_path: Path) -> None:
    added = bare("sources", "add", "tv-main", "--by", "ann", "--url", "https://alerts.example/")
    address = added.out.strip()
    assert added.code == 0 and address.startswith("https://alerts.example/api/webhook/tradingview/")
    token = address.rpartition("/")[2]
    assert "no source 'tv-main' yet" in added.err
    with ledger_of(tmp_path) as ledger:
        assert AlertTokens(ledger).matches(token) == "tv-main"
    second = bare("sources", "add", "tv-main", "--by", "bob", "--json").json
    assert bare("sources", "add", "tv-main", "--by", "ann").code == ExitCode.CONFIGURATION  # at most two
    listed = bare("sources", "list", "--json")
    assert token not in listed.out and second["token"] not in listed.out
    first = listed.json[0]["token_sha256"][:12]
    assert bare("sources", "retire", "tv-main", first, "--by", "ann", "--reason", "changed").code == 0
    with ledger_of(tmp_path) as ledger:
        tokens = AlertTokens(ledger)
        assert (tokens.matches(token), tokens.matches(second["token"])) == (None, "tv-main")
    assert "retired" in bare("sources", "list").out


def test_alerts_are_drained_listed_shown_and_put_back(
    cli: Cli, sim: Running[Control], routes: Path, tmp_path: Path
) -> None:
    assert cli("routes", "apply", str(routes), "--by", "ann").code == 0
    placed = receive(tmp_path, id="one")
    assert receive(tmp_path, id="two", action="exit", quantity="0.001") > placed
    refused = receive(tmp_path, id="three", quantity="7")
    drained = cli("alerts", "drain", "--once")
    assert drained.code == 0 and "3 alerts read: 2 placed, 1 refused" in drained.err, drained.err
    assert [order.request.side.value.lower() for order in sim.control.orders("main")] == ["buy", "sell"]
    listed = cli("alerts", "list", "--json").json["alerts"]
    assert [row["alert_id"] for row in listed] == [3, 2, 1] and "raw" not in listed[0]
    assert listed[2]["orders"][0]["state"] == "filled" and float(listed[2]["latency_ms"]) > 0
    table = cli("alerts", "list", "--state", "placed").out
    assert "buy BTC/USDT:USDT" in table and "ALERT_ORDERS_PLACED" in table
    shown = cli("alerts", "show", str(placed))
    assert "ORDERS_DECIDED" in shown.out and "filled" in shown.out
    assert json.loads(cli("alerts", "show", str(placed), "--body").out)["id"] == "one"
    again = cli("alerts", "replay", str(refused), "--by", "ann", "--reason", "the route allows more now")
    assert again.code == 0 and "alert 3 is queued again" in again.out
    assert cli("alerts", "lanes").code == 0 and "running" in cli("alerts", "lanes").out


def test_what_is_not_there_or_cannot_be_is_said(cli: Cli, routes: Path, tmp_path: Path) -> None:
    missing = cli("alerts", "show", "99")
    assert missing.code == ExitCode.CONFIGURATION and "the ledger has no alert 99" in missing.err
    assert cli("alerts", "list", "--state", "sold").code == ExitCode.USAGE
    assert cli("alerts", "restart", "no|lane", "--by", "ann", "--reason", "why").code == ExitCode.CONFIGURATION
    cli("routes", "apply", str(routes), "--by", "ann")
    placed = receive(tmp_path, id="one")
    cli("alerts", "drain", "--once")
    refused = cli("alerts", "replay", str(placed), "--by", "ann", "--reason", "twice please")
    assert refused.code == ExitCode.CONFIGURATION and "ALERT_NOT_MOVED" in refused.err
    assert cli("alerts", "dead").out.count("No alert.") == 1


def test_a_body_moves_no_cursor(bare: Cli, tmp_path: Path) -> None:
    bare("routes", "show")
    with ledger_of(tmp_path) as ledger:
        store = AlertStore(ledger, free_bytes=lambda: 10**12)
        store.receive([Delivery(source="tv", raw=b"\x1b[2J\xffhi", received_at=datetime.now(UTC))])
    assert bare("alerts", "show", "1", "--body").out.strip() == r"\x1b[2J\xffhi"
