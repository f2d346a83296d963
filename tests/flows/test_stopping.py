"""The jobs that stop and start, as flows in this process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from brokers.ids import AccountId, Environment
from flows.control import control
from flows.kill_switch import kill_switch
from ledger.control_file import ControlFile
from ledger.controls import effective_control
from ledger.engine import Ledger
from ledger.states import ControlState
from tasks.process import ENVIRONMENT_VARIABLE, LEDGER_VARIABLE

WHO: dict[str, Any] = {"set_by": "Ada Lovelace", "reason": "two keys in use"}


def ended(state: State[Any]) -> tuple[str, str]:
    return str(state.name), str(state.message)


def counts(venue: Any) -> ControlState:
    url = os.environ[LEDGER_VARIABLE]
    with Ledger.open(url, environment=Environment.SIMULATED) as ledger, ledger.read() as session:
        return effective_control(
            session, AccountId.parse(f"bybit.simulated.{venue.name}"), "simulated", file=ControlFile.beside(url)
        )


def test_kill_proves_what_it_says_and_control_lowers_it(venue: Any, pool_environment: Path, tmp_path: Path) -> None:
    venue.trade("AAPLUSDT", "buy", "10")
    state = kill_switch(venue.block, **WHO, return_state=True)
    name, message = ended(state)
    assert name == "Completed" and message.startswith("CANCELLED_PROVEN: two reads"), message
    assert venue.positions() == {"AAPLUSDT": "10"} and counts(venue) is ControlState.KILL
    folder = tmp_path / "reports" / f"kill-switch-{venue.block}" / str(state.state_details.flow_run_id)
    report = (folder / "report.md").read_text()
    assert "CANCELLED\\_PROVEN" in report and "The two reads that prove it" in report and "AAPL/USDT:USDT" in report
    lowered = control(venue.block, "account", "run", **WHO, return_state=True)
    assert ended(lowered) == ("Completed", f"bybit.simulated.{venue.name} is run, was kill")
    assert counts(venue) is ControlState.RUN


def test_a_stop_needs_neither_venue_nor_block(pool_environment: Path) -> None:
    state = control("bybit-simulated-nobody", "account", "halt", **WHO, return_state=True)
    assert ended(state) == ("Completed", "bybit.simulated.nobody is halt, was run")
    state = kill_switch("bybit-simulated-nobody", **WHO, return_state=True)
    assert ended(state)[0] == "REFUSED"  # there is no such account to clear, and it is stopped all the same
    state = control("bybit-simulated-nobody", "account", "halt", **WHO, return_state=True)
    assert "was kill" in ended(state)[1]


def test_what_is_left_fails_and_says_what(venue: Any, pool_environment: Path) -> None:
    venue.trade("AAPLUSDT", "buy", "10")
    refuse = {"match": {"path": "/v5/order/create"}, "action": {"kind": "error", "code": 110017}, "times": None}
    fault_id = venue.stack.control("add_fault", post=refuse)
    try:
        state = kill_switch(venue.block, **WHO, positions="close", return_state=True)
    finally:
        venue.stack.control("clear_faults", post={"fault_id": fault_id})
    name, message = ended(state)
    assert name == "KILL_NOT_PROVED" and "KILL_POSITION_OPEN AAPL/USDT:USDT 10" in message
    again = control(venue.block, "account", "run", **WHO, return_state=True)
    assert ended(again)[0] == "REFUSED" and "CONTROL_KILL_UNFINISHED" in ended(again)[1]


def test_the_form_is_not_trusted(monkeypatch: pytest.MonkeyPatch, pool_environment: Path, tmp_path: Path) -> None:
    """One name twice is one person, and an account of another environment is not this pool's."""
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "production")
    monkeypatch.setenv("ALGOTRENDY_POOL", "production")
    monkeypatch.setenv(LEDGER_VARIABLE, f"sqlite:///{tmp_path / 'production.db'}")
    monkeypatch.setenv("ALGOTRENDY_CONTROL_FILE", str(tmp_path / "production.json"))
    account = "bybit-production-main"
    assert ended(control(account, "pool", "halt", **WHO, return_state=True))[0] == "Completed"
    alone = control(account, "pool", "run", **WHO, approved_by="ada lovelace", return_state=True)
    assert ended(alone)[0] == "REFUSED" and "CONTROL_NEEDS_TWO_PEOPLE" in ended(alone)[1]
    flatten = kill_switch(account, **WHO, positions="close", return_state=True)
    assert "CONTROL_NEEDS_TWO_PEOPLE" in ended(flatten)[1]
    assert ended(control("bybit-testnet-main", "pool", "halt", **WHO, return_state=True))[0] == "REFUSED"
    both = control(account, "pool", "run", **WHO, approved_by="Bob", return_state=True)
    assert ended(both)[0] == "Completed"
