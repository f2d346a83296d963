"""Statement, sweep and the history of reconciliations from the command line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

OF = ("--account", "bybit-simulated-main")


def test_the_books_from_the_command_line(cli: Any, sim: Any) -> None:
    """One account's day: swept, reconciled, stated; then what the ledger remembers of it."""
    today = datetime.now(UTC).date().isoformat()
    assert cli("sync", *OF).code == cli("leverage", *OF).code == 0
    sim.control.deposit("main", "USDT", "250.5")
    assert cli("reconcile", *OF).code == 0
    swept = cli("sweep", *OF, "--json")
    assert (swept.code, swept.json["outcome"], swept.json["findings"]["breaks"]) == (0, "clean", [])
    made = cli("statement", *OF, "--day", today, "--json")
    assert made.code == 7, "not as wished: the day is not over"
    assert made.json["adds_up"] and made.json["day"] == today and made.json["fills"] == 0
    assert [part["amount"] for part in made.json["currencies"][0]["terms"]] == ["250.5"]
    assert f"Statement of bybit.simulated.main for {today}" in cli("statement", *OF, "--no-sync").out, (
        "first synced today"
    )
    listed = cli("reconciliations", "--account", "bybit-simulated-main", "--sweeps", "--json").json["reconciliations"]
    assert [(run["scope"], run["outcome"]) for run in listed] == [("sweep", "clean"), ("full", "clean")]
    assert listed[1]["equations"][0]["state"] == "holds"
    assert "USDT holds" in cli("reconciliations", "--outcome", "clean").out
    assert cli("reconciliations", "--outcome", "breaks", "--json").json == {"reconciliations": []}


def test_what_cannot_be_asked_is_named(cli: Any) -> None:
    for arguments, named in (
        (("statement", "--day", "2026-02-30"), "no such day"),
        (("reconciliations", "--outcome", "fine"), "outcome must be one of"),
    ):
        done = cli(*arguments)
        assert done.code != 0 and named in done.err
