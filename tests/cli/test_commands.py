"""Every command against a simulated venue: what it prints, where, and how it exits."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from brokers.registry import supported_venues
from simulators import Control, Running
from tests.cli.conftest import Cli

MAIN = ("--account", "bybit-simulated-main")


def test_reading_commands_print_tables_or_pure_json(cli: Cli) -> None:
    for command, key in (("balances", "balances"), ("positions", "positions"), ("orders", "orders")):
        shown = cli(command, *MAIN)
        assert shown.code == 0, shown.err
        assert shown.out.strip()
        done = cli(command, *MAIN, "--json")
        assert done.code == 0
        assert done.json["account"] == "bybit.simulated.main"
        assert isinstance(done.json[key], list)
    balances = cli("balances", *MAIN, "--json").json["balances"]
    assert [(item["currency"], item["total"]) for item in balances] == [("USDT", "100000")]


def test_accounts_are_listed_without_their_secrets(cli: Cli) -> None:
    listed = cli("accounts", "--json")
    names = [item["name"] for item in listed.json["accounts"]]
    assert names == ["bybit-simulated-main", "bybit-simulated-reader", "bybit-testnet-main"]
    assert [item["name"] for item in listed.json["portfolios"]] == ["pair"]
    assert "secret" not in listed.out + cli("accounts").out + cli("accounts", "list").out


def test_an_account_is_proved(cli: Cli) -> None:
    proof = cli("accounts", "check", *MAIN, "--json").json
    assert proof["can_trade"] is True
    assert proof["can_withdraw"] is False
    assert "main-key" not in cli("accounts", "check", *MAIN).out


def test_an_account_may_be_named_by_its_id(cli: Cli) -> None:
    assert cli("balances", "-a", "bybit.simulated.main").code == 0


def test_a_whole_day_of_work(cli: Cli, sim: Running[Control], tmp_path: Path) -> None:
    """Sync, leverage, plan, rebalance, reconcile, close, reconcile: each proved, the venue asked at the end."""
    assert "Opening figures" in cli("sync", *MAIN).out
    leverage = cli("leverage", *MAIN, "--json").json
    assert [(item["instrument_id"], item["after"]) for item in leverage["instruments"]] == [("BTC/USDT:USDT", "3")]

    planned = cli("plan", *MAIN, "--portfolio", "pair", "--json").json
    assert len(planned["plan"]["legs"]) == 2
    assert cli("positions", *MAIN, "--json").json["positions"] == []  # a plan sends nothing

    folder = tmp_path / "report"
    done = cli("rebalance", *MAIN, "--portfolio", "pair", "--key", "day-1", "--report", str(folder), "--json")
    assert done.code == 0, done.err
    assert done.json["state"] == "completed"
    assert (folder / "report.html").is_file()
    held = {item["instrument_id"]: item["quantity"] for item in cli("positions", *MAIN, "--json").json["positions"]}
    assert set(held) == {"BTC/USDT:USDT", "ETH/USDT:USDT"}
    assert held["ETH/USDT:USDT"].startswith("-")

    again = cli("rebalance", *MAIN, "--portfolio", "pair", "--key", "day-1", "--json")
    assert again.json["is_resumed"] is True  # one key, one plan: nothing is traded twice
    reconciled = cli("reconcile", *MAIN, "--json")
    assert reconciled.code == 0
    assert reconciled.json["outcome"] == "clean"

    assert cli("close", "ETH/USDT:USDT", *MAIN).code == 0
    assert cli("close", "--all", *MAIN).code == 0
    assert cli("positions", *MAIN, "--json").json["positions"] == []
    assert cli("resume-orders", *MAIN).code == 0
    assert cli("reconcile", *MAIN).code == 0


def test_messages_go_to_stderr(cli: Cli) -> None:
    done = cli("sync", *MAIN, "--json")
    assert json.loads(done.out)
    assert "read balances" in done.err


def test_reconciling_before_any_sync_says_so_and_is_no_success(cli: Cli) -> None:
    done = cli("reconcile", *MAIN)
    assert done.code == 7
    assert "LEDGER_NO_BASELINE" in done.out


def test_a_key_that_may_only_read_trades_nothing(cli: Cli) -> None:
    done = cli("rebalance", "--account", "bybit-simulated-reader", "--portfolio", "pair")
    assert done.code == 3
    assert "may not trade" in done.err
    assert cli("balances", "--account", "bybit-simulated-reader").code == 0


def test_resume_reports_orders_that_nobody_can_explain_and_leaves_plans_alone(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger restored from before a trade: the venue shows an order of ours that it does not know."""
    used, backup = tmp_path / "used.sqlite", tmp_path / "backup.sqlite"
    monkeypatch.setenv("ALGOTRENDY_LEDGER_URL", f"sqlite:///{used}")
    assert cli("sync", *MAIN).code == 0
    shutil.copy(used, backup)
    assert cli("rebalance", *MAIN, "--portfolio", "pair").code == 0
    shutil.copy(backup, used)
    for suffix in ("-wal", "-shm"):
        Path(f"{used}{suffix}").unlink(missing_ok=True)
    done = cli("resume-orders", *MAIN, "--minutes", "0", "--json")
    assert done.code == 7, done.err
    assert len(done.json) == 1 and done.json[0]["tone"] == "bad"
    assert cli("resume-orders", "--account", "bybit-simulated-reader").code == 3


def test_leverage_above_the_accounts_limit_or_none_at_all_is_refused(cli: Cli, sim: Running[Control]) -> None:
    for arguments, reason in (
        (("BTC/USDT:USDT=11", *MAIN), "LEVERAGE_ABOVE_LIMIT"),
        (("--account", "bybit-simulated-reader"), "NO_LEVERAGE_WANTED"),
    ):
        done = cli("leverage", *arguments)
        assert done.code == 3
        assert reason in done.err
    assert sim.control.requests(path="/v5/position/set-leverage") == []


def test_a_setting_that_the_venue_refuses_is_not_a_success(cli: Cli, sim: Running[Control]) -> None:
    sim.control.fault("error", path="/v5/position/set-leverage", code=110013, message="risk limit", times=None)
    done = cli("leverage", "BTC/USDT:USDT=5", *MAIN, "--json")
    assert done.code == 7
    (item,) = done.json["instruments"]
    assert item["outcome"] == "refused"


def test_closing_what_is_no_position_is_refused(cli: Cli) -> None:
    spot = cli("close", "BTC/USDT", *MAIN)
    assert spot.code == 3 and "NOT_A_POSITION" in spot.err
    unknown = cli("close", "NOSUCH/USDT:USDT", *MAIN)
    assert unknown.code == 5 and "VENUE_INSTRUMENT_UNKNOWN" in unknown.err


def test_facts_need_no_account(bare: Cli) -> None:
    assert bare("venues").code == 0
    assert set(bare("venues", "--json").json) == {venue.value for venue in supported_venues()}
    assert "open only" in bare("venues", "--identity").out
    proved = bare("venues", "bybit", "--json").json["bybit"]["conformance"]
    assert "ORDER-LIMIT-GTC-01" in proved["limit orders"]["passed"]["simulator"]
    assert "spot" in proved["leverage"]["unsupported"]["LEVERAGE-READ-01"]
    assert "look-up by our id" in bare("venues", "tradestation").out
    assert "quotes of all fifty" in bare("venues", "--requests").out
    assert bare("venues", "--markdown").out.startswith("# Venues")
    assert bare("version", "--json").json["prefect"]
    assert "CONNECT_FAILED" in bare("reasons").out
    assert {item["code"] for item in bare("reasons", "--json").json} >= {"CONNECT_FAILED", "WITHIN_BAND"}


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    """--help must not import Prefect, SQLAlchemy, matplotlib or an SDK; what is not imported cannot be slow."""
    program = (
        "import sys; from cli.main import main; code = main(['--help']); "
        "heavy = {'prefect', 'sqlalchemy', 'matplotlib', 'pybit', 'requests', 'pydantic'} & set(sys.modules); "
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "rebalance" in done.stdout


@pytest.mark.parametrize("command", ["up", "demo", "simulate", "accounts", "balances", "plan", "rebalance", "close"])
def test_every_command_explains_itself(bare: Cli, command: str) -> None:
    done = bare(command, "--help")
    assert done.code == 0
    assert "Usage" in done.out
