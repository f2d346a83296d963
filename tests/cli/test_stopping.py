"""Stopping and starting from the command line: what an operator types in an emergency."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from brokers.ids import AccountId, Environment
from ledger.dead_man import SwitchState, note_switch
from ledger.engine import Ledger
from simulators import Control, Running
from tests.cli.conftest import Cli

MAIN = ("--account", "bybit-simulated-main")
BY = ("--by", "Ada", "--reason", "two keys in use")


def pool(done: Any, name: str = "simulated") -> Any:
    (found,) = [item for item in done.json["pools"] if item["pool"] == name]
    return found


def effective(cli: Cli, scope: str) -> str:
    rows = {row["scope"]: row["effective"] for row in pool(cli("status", "--json"))["scopes"]}
    return str(rows[scope])


def test_a_halt_stands_in_both_until_a_person_lifts_it(cli: Cli) -> None:
    done = cli("halt", "--pool", "simulated", *BY, "--json")
    assert done.code == 0, done.err
    (changed,) = done.json
    assert (changed["before"], changed["after"], changed["in_database"], changed["in_file"]) == (
        "run",
        "halt",
        True,
        True,
    )
    shown = cli("status")
    assert shown.code == 0 and "HALT" in shown.out and "two keys in use" in shown.out and "Ada" in shown.out
    assert cli("resume", "--pool", "simulated", *BY).code == 0
    assert effective(cli, "pool:simulated") == "run"


@pytest.mark.parametrize("command", ["pause", "reduce-only", "halt"])
def test_one_account_by_name_alone_without_any_file(bare: Cli, command: str) -> None:
    done = bare(command, "--account", "bybit-testnet-main", "--yes" if command != "halt" else "--json", *BY)
    assert done.code == 0, done.err
    rows = {row["scope"]: row for row in pool(bare("status", "--json"), "testnet")["scopes"]}
    assert rows["bybit.testnet.main"]["effective"] == command.replace("-", "_")
    assert rows["bybit.testnet.main"]["file"] == rows["bybit.testnet.main"]["database"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((*MAIN, "--reason", "drill"), "--by"),
        ((*MAIN, "--by", "Ada"), "--reason"),
        (BY, "--account"),
        ((*MAIN, "--pool", "simulated", *BY), "--account"),
        (("--pool", "nowhere", *BY), "--pool"),
        (("--account", "nobody", *BY), "--account"),
    ],
)
def test_who_why_and_what_must_be_said(bare: Cli, arguments: tuple[str, ...], named: str) -> None:
    done = bare("halt", *arguments)
    assert done.code in (2, 3) and named in done.err
    assert bare("status", "--json").json["pools"] == []


def test_lowering_in_production_needs_two_people(bare: Cli) -> None:
    scope = ("--pool", "production")
    assert bare("halt", *scope, *BY).code == 0
    alone = bare("resume", *scope, *BY, "--yes")
    assert alone.code == 3 and "CONTROL_NEEDS_TWO_PEOPLE" in alone.err
    assert bare("resume", *scope, *BY, "--by", "Bob", "--yes").code == 0


def test_a_stop_while_the_database_is_broken_and_status_says_so(bare: Cli, tmp_path: Path) -> None:
    ledger = tmp_path / "home" / "ledger" / "testnet.db"
    ledger.parent.mkdir(parents=True)
    ledger.write_bytes(b"not a database" * 100)
    done = bare("halt", "--pool", "testnet", *BY)
    assert done.code == 7, done.err
    assert "ONLY HALF SET" in done.err
    shown = bare("status", "--pool", "testnet", "--json")
    assert shown.code == 7
    (row,) = shown.json["pools"][0]["scopes"]
    assert (row["scope"], row["effective"], row["file"]) == ("pool:testnet", "halt", "halt")
    assert "counts as HALT" in row["database"]
    assert bare("resume", "--pool", "testnet", *BY, "--yes").code == 3


def test_status_says_that_an_unreadable_file_halts(bare: Cli, tmp_path: Path) -> None:
    assert bare("pause", "--pool", "testnet", *BY, "--yes").code == 0
    (tmp_path / "home" / "ledger" / "testnet.db.control.json").write_text("HALT")
    shown = bare("status", "--json")
    assert shown.code == 7
    found = pool(shown, "testnet")
    assert {row["effective"] for row in found["scopes"]} == {"halt"}
    assert "cannot be read" in found["problems"][0]
    assert "HALT" in bare("status").out


def test_status_shows_how_the_dead_man_switch_stands(bare: Cli, tmp_path: Path) -> None:
    assert bare("pause", "--pool", "testnet", *BY, "--yes").code == 0
    account, url = AccountId.parse("bybit.testnet.main"), f"sqlite:///{tmp_path / 'home' / 'ledger' / 'testnet.db'}"
    with Ledger.open(url, environment=Environment.TESTNET) as ledger:
        note_switch(ledger, account, SwitchState.ARMED, "acts after 60 s without a watch")
        note_switch(ledger, account, SwitchState.NOT_ARMED, "Bybit has not switched it on")
    (line,) = pool(bare("status", "--json"), "testnet")["dead_man"]
    assert line.startswith("bybit.testnet.main NOT armed (told 20") and line.endswith(": Bybit has not switched it on")
    assert f"dead-man switch: {line}" in bare("status").err


def test_kill_without_a_stack_cancels_and_proves(cli: Cli, sim: Running[Control]) -> None:
    sim.control.place_order("main", "AAPLUSDT", "buy", "1", price="195", client_id="a-person")
    done = cli("kill", *MAIN, *BY, "--json")
    assert done.code == 0, done.err
    (result,) = done.json
    assert result["kill"]["state"] == "cancelled_proven"
    assert len(result["kill"]["reads"]) == 2 and len(result["kill"]["others_open"]) == 1
    assert len(sim.control.orders("main", open_only=True)) == 1
    assert effective(cli, "bybit.simulated.main") == "kill"
    lowered = cli("resume", *MAIN, *BY)
    assert lowered.code == 0, lowered.err


def test_a_kill_that_left_something_is_lowered_only_when_it_is_acknowledged(cli: Cli, sim: Running[Control]) -> None:
    """The account reads USDT only, and the venue has contracts in USDC: flat is not proved."""
    done = cli("kill", *MAIN, *BY, "--flatten")
    assert done.code == 7
    assert "KILL_CURRENCY_NOT_READ" in done.out and "USDC" in done.out
    assert "is left" in cli("status").err
    kept = cli("resume", *MAIN, *BY)
    assert kept.code == 3 and "CONTROL_KILL_UNFINISHED" in kept.err
    assert cli("resume", *MAIN, *BY, "--acknowledge-left").code == 0


def test_a_kill_whose_account_cannot_be_opened_stops_it_all_the_same(bare: Cli) -> None:
    done = bare("kill", "--account", "bybit-testnet-main", *BY)
    assert done.code == 3
    assert "IS STOPPED" in done.err
    (found,) = bare("status", "--json").json["pools"]
    assert {row["scope"]: row["effective"] for row in found["scopes"]}["bybit.testnet.main"] == "kill"


def test_the_variable_names_another_file(bare: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALGOTRENDY_CONTROL_FILE", str(tmp_path / "elsewhere" / "stop.json"))
    assert bare("halt", "--pool", "testnet", *BY).code == 0
    assert (tmp_path / "elsewhere" / "stop.json").exists()
    assert not os.path.exists(tmp_path / "home" / "ledger" / "testnet.db.control.json")


def test_an_account_that_the_ledger_does_not_know_is_set_and_said_to_be_a_slip(cli: Cli) -> None:
    assert cli("sync", *MAIN).code == 0
    done = cli("halt", "--account", "bybit-simulated-mian", *BY)
    assert done.code == 7
    assert "bybit.simulated.mian" in done.err and "NOT stopped" in done.err and "bybit.simulated.main" in done.err
    assert effective(cli, "bybit.simulated.mian") == "halt" and effective(cli, "bybit.simulated.main") == "run"
    assert cli("halt", *MAIN, *BY).code == 0


def test_a_ledger_without_accounts_is_named_because_it_may_be_the_wrong_one(bare: Cli) -> None:
    done = bare("halt", "--pool", "testnet", *BY)
    assert done.code == 0 and "No account has used the ledger" in done.err and "testnet.db" in done.err


def test_what_is_missing_is_said_with_the_whole_command(bare: Cli) -> None:
    done = bare("kill")
    assert done.code == 2
    assert all(word in done.err for word in ("--pool", "--by NAME", "--reason", "--account", "--all"))
