"""Runs on the command line: started, approved by their hash, executed, shown, cancelled; JSON and exit codes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.failures import ExitCode

if TYPE_CHECKING:
    from simulators import Control, Running
    from tests.cli.conftest import Cli

SUBSCRIPTION = """
subscriptions:
  - name: one
    portfolio: pair
    base_currency: USDT
    accounts: [{account: bybit-simulated-main}]
    approval: always
"""
SAYS = ("--by", "ann", "--reason", "as agreed")


@pytest.fixture
def subscribed(accounts_file: Path) -> Path:
    accounts_file.write_text(accounts_file.read_text() + SUBSCRIPTION)
    return accounts_file


def test_a_run_is_started_approved_and_proved(
    cli: Cli, sim: Running[Control], subscribed: Path, tmp_path: Path
) -> None:
    waiting = cli("runs", "start", "one", "--key", "monday", "--json")
    assert waiting.code == ExitCode.NOT_SENT, waiting.err
    run = waiting.json["run"]
    assert (run["state"], sim.control.orders("main")) == ("awaiting_approval", [])
    assert "algotrendy runs approve" in waiting.err
    run_id, run_hash = run["run_id"], run["run_plan"]["run_hash"]

    assert cli("runs", "approve", run_id, "--hash", run_hash[:8], *SAYS).code == ExitCode.CONFIGURATION
    differs = cli("runs", "approve", run_id, "--hash", "0" * 12, *SAYS)
    assert differs.code == ExitCode.CONFIGURATION and "RUN_HASH_DIFFERS" in differs.err
    assert cli("runs", "approve", run_id[:8], "--hash", run_hash[:12], *SAYS, "--json").json["state"] == "approved"
    done = cli("runs", "resume", run_id[:8], "--json", "--report", str(tmp_path / "report"))
    assert done.code == ExitCode.DONE, done.err
    assert done.json["run"]["result"]["state"] == "completed"
    assert (tmp_path / "report" / "report.html").exists()
    assert len(sim.control.orders("main")) == 2

    (line,) = cli("runs", "list", "--json").json["lines"]
    assert (line["state"], line["decided_by"], line["legs_whole"]) == ("completed", "ann", 2)
    told = [event["kind"] for event in cli("runs", "show", run_id[:8], "--json").json["events"]]
    assert told == ["planned", "approval_asked", "approved", "begun", "ended"]
    shown = cli("runs", "show", run_id[:8])
    assert "Accounts, each proved at its venue" in shown.out
    assert "approved" in shown.out.split("What happened")[1] and "as agreed" in shown.out, (
        "who decided is no side remark"
    )
    over = cli("runs", "cancel", run_id, *SAYS)
    assert over.code == ExitCode.CONFIGURATION and "RUN_ENDED" in over.err


def test_who_is_asked_again_is_told_why(cli: Cli, sim: Running[Control], subscribed: Path) -> None:
    run = cli("runs", "start", "one", "--key", "monday", "--json").json["run"]
    cli("runs", "approve", run["run_id"], "--hash", run["run_plan"]["run_hash"], *SAYS)
    sim.control.set_price("BTCUSDT", "70000")
    again = cli("runs", "resume", run["run_id"])
    assert again.code == ExitCode.NOT_SENT and "approval_asked" not in again.out
    assert "asked again, because this moved since the plan before: price of bybit-simulated-main BTC" in again.err


def test_a_waiting_run_is_rejected_or_cancelled_and_sends_nothing(
    cli: Cli, sim: Running[Control], subscribed: Path
) -> None:
    first = cli("runs", "start", "one", "--key", "monday", "--json").json["run"]
    said = cli("runs", "reject", first["run_id"], "--hash", first["run_plan"]["run_hash"], *SAYS, "--json")
    assert said.json["state"] == "rejected"
    second = cli("runs", "start", "one", "--key", "tuesday", "--json").json["run"]
    wished = cli("runs", "cancel", second["run_id"], *SAYS, "--no-wait", "--json")
    assert (wished.code, wished.json["cancel_by"]) == (ExitCode.DONE, "ann")
    ended = cli("runs", "resume", second["run_id"], "--json")
    assert ended.code == ExitCode.NOT_AS_WISHED
    assert ended.json["run"]["state"] == "cancelled_mid_run"
    assert sim.control.orders("main") == []
    unknown = cli("runs", "show", "123456")
    assert unknown.code == ExitCode.CONFIGURATION and "RUN_UNKNOWN" in unknown.err
