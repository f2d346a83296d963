"""Arming and audit from the command line, on a home folder of its own; no server and no venue."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from cli.failures import ExitCode
from cli.main import main
from deployments.home import Home
from deployments.register import EXAMPLE
from deployments.stack import disarm_production

ACCOUNT = ("--account", "bybit-simulated-main", "--accounts", str(EXAMPLE))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("ALGOTRENDY_HOME", str(tmp_path))
    for name in ("ALGOTRENDY_LEDGER_URL", "ALGOTRENDY_SECRETS", "ALGOTRENDY_ARMING_KEY", "ALGOTRENDY_AUDIT_ANCHORS"):
        monkeypatch.delenv(name, raising=False)
    return Home(tmp_path)


def key_of(home: Home, name: str) -> str:
    return str(home.secrets / "people" / f"{name}.key")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == ExitCode.DONE
    return json.loads(capsys.readouterr().out)


def arming_in_status(capsys: pytest.CaptureFixture[str]) -> str:
    (pool,) = said(capsys, "status", "--pool", "simulated")["pools"]
    return str(pool["arming"])


def test_status_says_when_an_arming_was_ended_by_a_stop(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ann", "bob"):
        assert main(["arm", "enrol", name]) == ExitCode.DONE
    wish = ("arm", "request", *ACCOUNT, "--notional", "25000", "--by", "ann", "--reason", "practice")
    asked = said(capsys, *wish, "--key", key_of(home, "ann"))
    approval = ("arm", "approve", asked["record_sha256"][:12], "-e", "simulated", "--accounts", str(EXAMPLE))
    said(capsys, *approval, "--request-code", asked["code"], "--by", "bob", "--key", key_of(home, "bob"))
    assert arming_in_status(capsys).startswith("armed until ")
    stop = ["halt", "--pool", "simulated", "--by", "ann", "--reason", "storm"]
    assert main(stop) == ExitCode.NOT_AS_WISHED  # set, in a ledger that no account has used
    assert arming_in_status(capsys).startswith("ended by the stop at ")


def test_two_people_arm_and_anyone_disarms(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ann", "bob"):
        assert main(["arm", "enrol", name]) == ExitCode.DONE
    wish = ("arm", "request", *ACCOUNT, "--notional", "25000", "--hours", "2", "--by", "ann", "--reason", "practice")
    asked = said(capsys, *wish, "--key", key_of(home, "ann"))
    record = asked["record_sha256"]
    assert main(["arm", "code", record, "--by", "ann", "--key", key_of(home, "ann")]) == ExitCode.DONE
    assert capsys.readouterr().out.strip() == asked["code"]
    approval = (
        "arm",
        "approve",
        record[:12],
        "-e",
        "simulated",
        "--accounts",
        str(EXAMPLE),
        "--request-code",
        asked["code"],
    )
    assert main([*approval, "--by", "ann", "--key", key_of(home, "ann")]) == ExitCode.CONFIGURATION
    assert "ARMING_SAME_PERSON" in capsys.readouterr().err
    assert main([*approval, "--by", "bob", "--code", "AAAA-AAAA-AAAA-AAAA"]) == ExitCode.CONFIGURATION
    assert "ARMING_CODE_WRONG" in capsys.readouterr().err
    armed = said(capsys, *approval, "--by", "bob", "--key", key_of(home, "bob"))
    assert (armed["state"], armed["approved_by"], "signature" in armed) == ("armed", "bob", False)
    assert arming_in_status(capsys).endswith("by ann and bob; 0 of 25000 sent")
    assert main(["arm", "disarm", "-e", "simulated", "--by", "ann", "--reason", "lunch"]) == ExitCode.DONE
    assert arming_in_status(capsys) == "disarmed by ann: lunch"
    assert [row["state"] for row in said(capsys, "arm", "show", "-e", "simulated")] == [
        "disarmed",
        "armed",
        "requested",
    ]
    assert main(["arm", "show", "-e", "simulated"]) == ExitCode.DONE


def test_half_a_hash_gives_no_code(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["arm", "enrol", "ann"]) == ExitCode.DONE
    assert main(["arm", "code", "abc", "--by", "ann", "--key", key_of(home, "ann")]) == ExitCode.USAGE


def test_the_audit_is_proved_anchored_and_its_first_fault_named(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    stop = ("halt", "--account", "bybit-simulated-main", "--by", "ann", "--reason", "storm")
    assert main([*stop]) == ExitCode.NOT_AS_WISHED  # set, in a ledger that no account has used
    proof = said(capsys, "audit", "verify")
    assert (proof["whole"], proof["heads"]["bybit.simulated.main/control"]["ordinal"]) == (True, 1)
    assert Path(proof["anchors"]).stat().st_mode & 0o777 == 0o600
    (link,) = said(capsys, "audit", "show", "--chain", "bybit.simulated.main/control")
    assert (link["kind"], link["who"], json.loads(link["detail"])["state"]) == ("control", "ann", "halt")
    with sqlite3.connect(home.root / "ledger" / "simulated.db") as connection:
        connection.executescript("DROP TRIGGER control_no_update; UPDATE control SET state = 'run'")
    assert main(["audit", "verify"]) == ExitCode.NOT_AS_WISHED
    shown = capsys.readouterr()
    assert "AUDIT_ROW_CHANGED: chain bybit.simulated.main/control, link 1" in " ".join(shown.err.split())
    assert main(["audit", "verify", "--json"]) == ExitCode.NOT_AS_WISHED
    assert json.loads(capsys.readouterr().out)["findings"][0]["detail"] == "control:1 differs in state"


def test_a_start_of_the_stack_disarms_production(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    from brokers.ids import Environment
    from ledger.arming import newest_row
    from ledger.engine import Ledger
    from ledger.tables import ArmingRow

    disarm_production(home)  # without a ledger there is nothing to disarm
    home.prepare()
    with Ledger.open(home.ledger_url(Environment.PRODUCTION), environment=Environment.PRODUCTION) as ledger:
        with ledger.write() as session:
            row = ArmingRow(pool="production", state="requested", reason="r", recorded_at=ledger.now(session))
            session.add(row)
        told: list[str] = []
        for _ in range(2):
            disarm_production(home, say=told.append)
        with ledger.read() as session:
            newest = newest_row(session, "production")
            assert newest is not None
            assert (newest.state, newest.requested_by, newest.arming_id) == ("disarmed", "stack", 2)
    assert len(told) == 1


def test_an_audit_without_a_ledger_is_no_proof(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """In another folder than the workers' nothing must look like a proof, and no ledger is made there."""
    for command in ("verify", "show", "check"):
        assert main(["audit", command, "-e", "testnet"]) == ExitCode.CONFIGURATION
        told = capsys.readouterr().err
        assert "there is no ledger at" in told and "testnet.db" in told and "ALGOTRENDY_HOME" in told
    assert not (home.root / "ledger" / "testnet.db").exists()
