"""Stopping and starting from the command line: what an operator types in an emergency."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from brokers.ids import AccountId, Environment
from ledger.dead_man import SwitchState, note_switch
from ledger.engine import Ledger
from simulators import Control, Running
from tests.cli.conftest import Cli
from trading import killing

MAIN = ("--account", "bybit-simulated-main")
BY = ("--by", "Ada", "--reason", "two keys in use")
ACCOUNT = """
  - venue: bybit
    environment: {environment}
    name: {name}
    credentials: {{{credentials}}}
    settle_currencies: [USDT]
    base_url: "{address}"
"""
MAIN_KEY, SECOND_KEY = "api_key: main-key, api_secret: main-secret", "api_key: second-key, api_secret: second-secret"


def account(name: str, credentials: str, *, address: str = "", environment: str = "simulated") -> str:
    return ACCOUNT.format(environment=environment, name=name, credentials=credentials, address=address)


def pool(done: Any, name: str = "simulated") -> Any:
    (found,) = [item for item in done.json["pools"] if item["pool"] == name]
    return found


def effective(cli: Cli, scope: str) -> str:
    rows = {row["scope"]: row["effective"] for row in pool(cli("status", "--json"))["scopes"]}
    return str(rows[scope])


def test_a_halt_stands_in_both_until_a_person_lifts_it(cli: Cli) -> None:
    assert cli("sync", *MAIN).code == 0
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
    assert done.code == 7 and "NO ACCOUNT HAS USED THE LEDGER" in done.err, done.err
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
    assert bare("halt", *scope, *BY).code == 7  # it is set; whether it is the workers' ledger nobody knows
    alone = bare("resume", *scope, *BY, "--yes")
    assert alone.code == 3 and "CONTROL_NEEDS_TWO_PEOPLE" in alone.err
    assert bare("resume", *scope, *BY, "--by", "Bob", "--yes").code == 7
    assert {row["effective"] for row in pool(bare("status", "--json"), "production")["scopes"]} == {"run"}


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
    assert bare("pause", "--pool", "testnet", *BY, "--yes").code == 7
    (tmp_path / "home" / "ledger" / "testnet.db.control.json").write_text("HALT")
    shown = bare("status", "--json")
    assert shown.code == 7
    found = pool(shown, "testnet")
    assert {row["effective"] for row in found["scopes"]} == {"halt"}
    assert "cannot be read" in found["problems"][0]
    assert "HALT" in bare("status").out


def test_status_shows_how_the_dead_man_switch_stands(bare: Cli, tmp_path: Path) -> None:
    assert bare("pause", "--pool", "testnet", *BY, "--yes").code == 7, "no account has used that ledger"
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
    assert bare("halt", "--pool", "testnet", *BY).code == 7
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
    assert done.code == 7 and "NO ACCOUNT HAS USED THE LEDGER" in done.err and "testnet.db" in done.err


def test_what_is_missing_is_said_with_the_whole_command(bare: Cli) -> None:
    done = bare("kill")
    assert done.code == 2
    assert all(word in done.err for word in ("--pool", "--by NAME", "--reason", "--account", "--all"))


@pytest.mark.parametrize("command", ["halt", "pause", "reduce-only", "kill"])
def test_all_where_nothing_has_a_ledger_stops_nothing_and_says_so(bare: Cli, tmp_path: Path, command: str) -> None:
    """In another folder than the workers', or on another machine, nothing must look like a stop."""
    done = bare(command, "--all", *BY)
    assert done.code == 3
    assert "NOTHING WAS STOPPED" in done.err and str(tmp_path / "home") in done.err
    assert "ALGOTRENDY_HOME" in done.err and "--pool" in done.err


def test_a_kill_of_a_pool_goes_on_with_the_others_where_an_account_cannot_be_opened(
    cli: Cli, accounts_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first has no key in this shell, the second's venue does not answer: the third is cleared all the same."""
    keyless = account("keyless", "api_key_env: NOT_EXPORTED, api_secret_env: NOT_EXPORTED_EITHER")
    away = account("away", SECOND_KEY, address="http://127.0.0.1:9")
    accounts_file.write_text(f"accounts:{keyless}{away}{account('main', MAIN_KEY)}")
    monkeypatch.delenv("NOT_EXPORTED", raising=False)
    done = cli("kill", "--pool", "simulated", *BY, "--json")
    assert done.code == 7, done.err
    states = {item["kill"]["account_id"]: item["kill"]["state"] for item in done.json if "kill" in item}
    assert states == {"bybit.simulated.main": "cancelled_proven"}
    problems = {item["account"]: item["problem"] for item in done.json if "problem" in item}
    assert set(problems) == {"bybit-simulated-keyless", "bybit-simulated-away"}
    assert "NOT_EXPORTED" in problems["bybit-simulated-keyless"]
    for name in problems:
        assert f"{name} IS STOPPED, and ITS ORDERS WERE NOT CANCELLED" in done.err


def test_a_kill_of_a_pool_clears_its_accounts_side_by_side(
    cli: Cli, accounts_file: Path, sim: Running[Control], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proof may take a minute, which the next account's cancels must not wait for."""
    accounts_file.write_text(f"accounts:{account('main', MAIN_KEY)}{account('second', SECOND_KEY)}")
    both, kill_account = threading.Barrier(2, timeout=20), killing.kill_account

    def together(*arguments: Any, **options: Any) -> Any:
        both.wait()
        return kill_account(*arguments, **options)

    monkeypatch.setattr(killing, "kill_account", together)
    done = cli("kill", "--pool", "simulated", *BY, "--json")
    assert done.code == 0, done.err
    assert [item["kill"]["account_id"] for item in done.json] == ["bybit.simulated.main", "bybit.simulated.second"]


def test_a_kill_of_a_pool_without_accounts_says_that_nothing_was_cancelled(cli: Cli, accounts_file: Path) -> None:
    accounts_file.write_text(f"accounts:{account('main', 'api_key_env: A, api_secret_env: B', environment='testnet')}")
    done = cli("kill", "--pool", "simulated", *BY)
    assert done.code == 7
    assert "pool:simulated IS STOPPED" in done.err and "no account of simulated" in done.err


def test_a_kill_of_a_pool_names_an_account_that_the_file_leaves_out(
    cli: Cli, accounts_file: Path, sim: Running[Control]
) -> None:
    sim.control.place_order("second", "AAPLUSDT", "buy", "1")
    accounts_file.write_text(f"accounts:{account('main', MAIN_KEY)}{account('second', SECOND_KEY)}")
    assert cli("sync", "--account", "bybit-simulated-second").code == 0
    accounts_file.write_text(f"accounts:{account('main', MAIN_KEY)}")
    assert cli("kill", "--pool", "simulated", *BY).code == 0
    done = cli("kill", "--pool", "simulated", "--flatten", *BY, "--json")
    assert done.code == 7
    (left,) = [item for item in done.json if "problem" in item]
    assert left["account"] == "bybit-simulated-second" and "does not name" in left["problem"]
