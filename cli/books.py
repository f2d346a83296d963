"""The history of reconciliations, from the ledger alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import EnvironmentName, EnvironmentOption, JsonOption

if TYPE_CHECKING:
    from ledger.tables import ReconciliationRun


def reconciliations(
    account: Annotated[str, typer.Option("--account", "-a", help="Account id or block name; all without it.")] = "",
    outcome: Annotated[
        str, typer.Option("--outcome", help="clean, clean_with_accepted, breaks or not_reconciled; all without it.")
    ] = "",
    sweeps: Annotated[bool, typer.Option("--sweeps", help="Also the light sweeps that stored a run.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 50,
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    json: JsonOption = False,
) -> None:
    """Show past reconciliations: when, what was compared, breaks by kind, each currency's equation."""
    from brokers.ids import Environment
    from cli import opening, output
    from ledger.reconciliations import runs_of

    named = account.replace("-", ".", 2)  # a block's name is the id with dashes
    with opening.ledger(Environment(environment.value)) as ledger, ledger.read() as session:
        found = runs_of(session, account_id=named, outcome=outcome, with_sweeps=sweeps, limit=limit)
        shown = [_shown(row) for row in found]
    if json:
        output.print_json({"reconciliations": shown})
    else:
        _print(shown)


def _shown(row: ReconciliationRun) -> dict[str, Any]:
    import json

    summary: dict[str, Any] = json.loads(row.summary or "{}")
    return {
        "run_id": row.run_id,
        "account": row.account_id,
        "scope": summary.get("scope", "full"),
        "outcome": row.outcome,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        **{name: summary[name] for name in sorted(summary) if name != "scope"},
    }


def _print(shown: list[dict[str, Any]]) -> None:
    from cli import output
    from flows.reports.model import Column, Table, Tone
    from flows.reports.plain import moment, words

    rows = tuple(
        (
            str(item["run_id"]),
            item["account"],
            item["scope"],
            words(item["outcome"]),
            moment(item["started_at"]),
            ", ".join(f"{count} {kind}" for kind, count in item.get("breaks", {}).items()) or item.get("reason", ""),
            ", ".join(f"{entry['currency']} {words(entry['state'])}" for entry in item.get("equations", [])),
        )
        for item in shown
    )
    tone_of = {"clean": Tone.GOOD, "clean_with_accepted": Tone.NEUTRAL}
    tones = tuple(tone_of.get(item["outcome"], Tone.BAD) for item in shown)
    columns = tuple(Column(title) for title in ("Run", "Account", "Scope", "Outcome", "Began", "Breaks", "Equations"))
    output.print_table(Table("reconciliations", "Reconciliations", columns, rows, tones=tones, empty="None."))
