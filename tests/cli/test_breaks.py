"""Breaks on the command line, on a ledger alone: lists, stories, decisions, locks in `status`."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from decimal import Decimal

import pytest

from brokers.ids import AccountId, Environment, InstrumentId
from ledger.breaks import record_breaks
from ledger.engine import Ledger
from tests.cli.conftest import Cli
from trading.reconciliation import Break, BreakKind

ACCOUNT = AccountId.parse("bybit.simulated.main")
AAPL = InstrumentId("AAPL/USDT:USDT")
POSITION = Break(
    kind=BreakKind.POSITION_DIFFERS,
    subject=f"position {AAPL}",
    instrument_id=AAPL,
    ledger_amount=Decimal(3),
    venue_amount=Decimal("-2.5"),
)
EXTERNAL = Break(kind=BreakKind.ORDER_EXTERNAL, subject="order 17", instrument_id=AAPL, venue_amount=Decimal(1))
BY = ("--by", "ann", "--reason", "as the venue's screen shows")


def record(environment: Environment, *found: Break, runs: int = 1) -> list[str]:
    url = f"sqlite:///{os.environ['ALGOTRENDY_HOME']}/ledger/{environment.value}.db"
    account = AccountId(ACCOUNT.venue, environment, "main")
    with Ledger.open(url, environment=environment) as ledger:
        for _ in range(runs):
            with ledger.write() as session:
                record_breaks(session, account, [item.as_seen() for item in found], at=ledger.now(session))
    return [item.id_for(account) for item in found]


@pytest.fixture
def breaks(bare: Cli) -> Iterator[list[str]]:
    assert bare("breaks", "list").code == 0, "an empty ledger is made"
    yield record(Environment.SIMULATED, POSITION, EXTERNAL, runs=2)


def test_a_list_shows_breaks_and_locks_and_says_so_by_its_exit_code(bare: Cli, breaks: list[str]) -> None:
    shown = bare("breaks", "list")
    assert shown.code == 7
    for text in (breaks[0][:8], "POSITION_DIFFERS", "-5.5", "open", "ORDER_EXTERNAL", "1 lock(s) keep orders here"):
        assert text in shown.out
    found = bare("breaks", "list", "--kind", "ORDER_EXTERNAL", "--json")
    (only,) = found.json["breaks"]
    assert (only["subject"], only["state"], only["lock"]) == ("order 17", "open", None)
    assert only["age_s"] >= 0
    status = bare("status", "--json")
    assert status.code == 7
    (simulated,) = [pool for pool in status.json["pools"] if pool["pool"] == "simulated"]
    assert simulated["locks"] == [f"{ACCOUNT} {AAPL} by break {breaks[0][:8]} (POSITION_DIFFERS)"]
    assert "locked:" in bare("status").err


def test_one_break_is_shown_by_the_first_digits_of_its_id(bare: Cli, breaks: list[str]) -> None:
    shown = bare("breaks", "show", breaks[0][:8])
    assert shown.code == 0
    for text in ("What happened", "suspected", "confirmed", "locked", "It locks AAPL/USDT:USDT."):
        assert text in shown.out
    story = bare("breaks", "show", breaks[0], "--json").json
    assert [event["step"] for event in story["events"]] == ["suspected", "confirmed", "locked"]
    missing = bare("breaks", "show", "ffffffff")
    assert missing.code == 3
    assert "BREAK_UNKNOWN" in missing.err


def test_every_decision_is_taken_and_shown(bare: Cli, breaks: list[str]) -> None:
    position, external = breaks
    assert bare("breaks", "assign", position, "--to", "bob", *BY).code == 0
    assert bare("breaks", "explain", position, *BY).code == 0
    accepted = bare("breaks", "accept", position, "--days", "7", "--within", "0.5", *BY, "--json").json["accepted"]
    assert (accepted["amount"], accepted["within"], accepted["accepted_by"]) == ("-5.5", "0.5", "ann")
    assert "accepted as it was then, and up to 0.5 away" in bare("breaks", "show", position).out
    assert bare("breaks", "unaccept", position, *BY).code == 0
    assert bare("breaks", "claim", external, "--for", "discretionary desk", *BY).code == 0
    assert bare("breaks", "unclaim", external, *BY, "--json").json["owner"] is None
    entry = bare("breaks", "correct", position, "--amount", "-5", *BY, "--json").json["adjustments"][0]
    assert (entry["amount"], entry["instrument_id"]) == ("-5", str(AAPL))
    back = bare("breaks", "correct", position, "--reverse", str(entry["adjustment_id"]), *BY, "--json").json
    assert [item["amount"] for item in back["adjustments"]] == ["-5", "5"]
    assert bare("breaks", "override", position, "--hours", "2", *BY).code == 0
    listed = bare("breaks", "list", "--owner", "bob", "--json")
    assert (listed.code, listed.json["breaks"][0]["is_overridden"]) == (0, True)
    assert "lock overridden" in bare("status").err
    steps = [event["step"] for event in bare("breaks", "show", position, "--json").json["events"]]
    assert steps[3:] == ["assigned", "explained", "accepted", "unaccepted", "corrected", "corrected", "overridden"]
    assert bare("audit", "verify").code == 0


WRONG = [
    (("correct", "--amount", "much"), 2, "a plain number"),
    (("correct", "--reverse", "9"), 3, "BREAK_ENTRY_UNKNOWN"),
    (("claim", "--for", "me"), 3, "BREAK_NOT_CLAIMABLE"),
    (("override", "--hours", "30"), 2, "24"),
    (("unclaim",), 3, "BREAK_NOT_CLAIMED"),
    (("unaccept",), 3, "BREAK_NOT_ACCEPTED"),
    (("accept", "--days", "366"), 2, "365"),
    (("accept", "--within", "some"), 2, "--within"),
]


def test_a_wrong_decision_says_what_is_wrong(bare: Cli, breaks: list[str]) -> None:
    for (name, *options), code, said in WRONG:
        done = bare("breaks", name, breaks[0], *options, *BY)
        assert (done.code, said in done.err) == (code, True), done.err


def test_the_record_is_judged_and_what_does_not_hold_is_named(bare: Cli, breaks: list[str]) -> None:
    sound = bare("audit", "check", "--json")
    assert (sound.code, sound.json["holds"], sound.json["intents"]) == (0, True, 0)
    assert [one["invariant"] for one in sound.json["invariants"]] == [f"I{number}" for number in range(1, 18)]
    unknown = bare("audit", "check", "--account", "okx-simulated-main")
    assert (unknown.code, "the ledger has never seen okx.simulated.main" in unknown.err) == (3, True)
    with sqlite3.connect(f"{os.environ['ALGOTRENDY_HOME']}/ledger/simulated.db") as connection:
        connection.execute("DELETE FROM instrument_lock")
    broken = bare("audit", "check")
    assert broken.code == 7
    assert f"break {breaks[0]} (POSITION_DIFFERS) is critical and open" in " ".join(broken.out.split())


def test_production_needs_two_people_to_correct_and_to_override(bare: Cli) -> None:
    assert bare("breaks", "list", "-e", "production").code == 0
    (identity,) = record(Environment.PRODUCTION, POSITION, runs=2)
    for command in (("correct", identity), ("override", identity, "--hours", "1")):
        alone = bare("breaks", *command, *BY, "-e", "production")
        assert (alone.code, "CONTROL_NEEDS_TWO_PEOPLE" in alone.err) == (3, True)
        twice = bare("breaks", *command, *BY, "--approved-by", " Ann ", "-e", "production")
        assert "CONTROL_NEEDS_TWO_PEOPLE" in twice.err
        both = bare("breaks", *command, *BY, "--approved-by", "bob", "-e", "production", "--json")
        assert json.loads(both.out)["events"][-1]["approved_by"] == "bob"
