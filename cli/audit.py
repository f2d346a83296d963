"""Commands that prove and show the audit. They read the ledger and change nothing in it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import EnvironmentName, EnvironmentOption, JsonOption

if TYPE_CHECKING:
    from ledger.auditing import AuditReport
    from ledger.invariants import Finding
    from trading.orders.judging import Judgement

audit_app = typer.Typer(
    help="Prove or show the audit, a chain of every control, arming, decision and send; judge the record.",
    no_args_is_help=True,
)
AnchorsOption = Annotated[
    Path | None,
    typer.Option(
        "--anchors",
        help="File of anchors; default: beside the ledger, or what ALGOTRENDY_AUDIT_ANCHORS names.",
        dir_okay=False,
        show_default=False,
    ),
]


@audit_app.command("verify")
def verify(
    environment: EnvironmentOption = EnvironmentName.SIMULATED, anchors: AnchorsOption = None, json: JsonOption = False
) -> None:
    """Recompute every chain, compare it with what it records and with former proofs; exit code 7 when it is broken.

    When all is well the ends of the chains are noted in the file of anchors. Keep a copy of that file elsewhere.
    """
    from brokers.ids import Environment
    from cli import opening, output
    from cli.failures import ExitCode
    from ledger.anchors import add_anchor, anchors_of, read_anchors
    from ledger.auditing import verify_audit

    with opening.ledger(Environment(environment), must_exist=True) as ledger:
        file = anchors or anchors_of(ledger.url)
        known = read_anchors(file)
        with ledger.read() as session:
            report, at = verify_audit(session, known), ledger.now(session)
    if report.is_whole:
        add_anchor(file, report.heads, at=at)
    if json:
        output.print_json(_as_json(report, file))
    else:
        _print(report, file)
    if not report.is_whole:
        raise typer.Exit(ExitCode.NOT_AS_WISHED)


def _as_json(report: AuditReport, file: Path) -> dict[str, Any]:
    return {
        "whole": report.is_whole,
        "links": report.links,
        "rows_before_the_audit": report.before,
        "heads": {chain: {"ordinal": at, "sha256": sha} for chain, (at, sha) in sorted(report.heads.items())},
        "findings": [
            {"reason": one.fault.value, "chain": one.chain, "ordinal": one.ordinal, "detail": one.detail}
            for one in report.findings
        ],
        "anchors": str(file),
    }


def _print(report: AuditReport, file: Path) -> None:
    from cli import output
    from flows.reports.model import Column, Table

    if report.findings:
        output.say(f"The audit is broken, first at: {report.findings[0]}", style="bold red")
        rows = tuple((one.fault.value, one.chain, str(one.ordinal or ""), one.detail) for one in report.findings)
        columns = (Column("Reason"), Column("Chain"), Column("Link", is_number=True), Column("What"))
        output.print_table(Table("findings", "Findings", columns, rows))
        return
    heads = tuple((chain, str(at), sha[:16]) for chain, (at, sha) in sorted(report.heads.items()))
    titles = (Column("Chain"), Column("Links", is_number=True), Column("Ends with"))
    note = f"{report.links} links hold; {report.before} rows are from before the audit. Anchors: {file}"
    output.print_table(Table("chains", "The audit is whole", titles, heads, note=note))


@audit_app.command("check")
def check(
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    account: Annotated[
        str,
        typer.Option(
            "--account", "-a", help="Only this account: all of a large ledger take memory.", show_default=False
        ),
    ] = "",
    json: JsonOption = False,
) -> None:
    """Judge what is on record by every named invariant: one order per intent, fills and balances add up, stops held.

    Exit code 7 when one does not hold. No venue is asked: `reconcile` does that. What once went wrong stays on record,
    and is named each time.
    """
    from brokers.ids import Environment
    from cli import opening, output
    from cli.failures import ExitCode
    from trading.orders.judging import judge_ledger

    chosen = opening.account_id(account) if account else None
    with opening.ledger(Environment(environment), must_exist=True) as ledger, ledger.read() as session:
        opening.require_on_record(session, chosen)
        judgement = judge_ledger(session, now=ledger.now(session), account_id=chosen)
    found = judgement.findings
    if json:
        output.print_json({"holds": not found, "intents": judgement.intents, "invariants": _judged(found)})
    else:
        _print_judged(judgement, str(chosen or environment))
    if found:
        raise typer.Exit(ExitCode.NOT_AS_WISHED)


def _judged(found: tuple[Finding, ...]) -> list[dict[str, Any]]:
    from ledger.invariants import Invariant

    return [
        {
            "invariant": invariant.value,
            "what": invariant.sentence,
            "findings": [finding.detail for finding in found if finding.invariant is invariant],
        }
        for invariant in Invariant
    ]


def _print_judged(judgement: Judgement, of: str) -> None:
    from cli import output
    from flows.reports.model import Column, Table

    found = judgement.findings
    rows = tuple((one["invariant"], one["what"], str(len(one["findings"]))) for one in _judged(found))
    columns = (Column("Number"), Column("What must hold"), Column("Findings", is_number=True))
    note = f"{judgement.intents} orders on record, with their alerts, breaks and balances. No venue was asked."
    output.print_table(Table("invariants", f"Invariants of {of}", columns, rows, note=note))
    if found:
        details = tuple((finding.invariant.value, finding.detail) for finding in found)
        output.print_table(Table("findings", "Findings", (Column("Number"), Column("What")), details))
        output.say(f"{len(found)} findings: something went wrong once, or the record was changed.", style="bold red")


@audit_app.command("show")
def show(
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    chain: Annotated[str, typer.Option("--chain", help="One chain: an account id, pool:NAME, or SCOPE/control.")] = "",
    subject: Annotated[str, typer.Option("--subject", help="One subject, e.g. control:12 or send:ID-1.")] = "",
    since: Annotated[
        datetime | None, typer.Option("--since", help="From this UTC time on.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="The newest so many.")] = 50,
    json: JsonOption = False,
) -> None:
    """Show links of the audit, oldest first."""
    from cli import output
    from flows.reports.model import Column, Table

    found = _links(environment, chain=chain, subject=subject, since=since, limit=limit)
    if json:
        output.print_json(found)
        return
    names = ("recorded_at", "chain", "ordinal", "kind", "subject", "who")
    rows = tuple(tuple(str(link[name]) for name in names) for link in found)
    columns = tuple(Column(title) for title in ("At", "Chain", "Link", "Kind", "Subject", "Who"))
    output.print_table(Table("audit", f"Audit of {environment}", columns, rows, empty="Nothing of that kind."))


def _links(environment: str, *, chain: str, subject: str, since: datetime | None, limit: int) -> list[dict[str, Any]]:
    from datetime import UTC

    from sqlmodel import col, select

    from brokers.ids import Environment
    from cli import opening
    from ledger.tables import AuditRow

    query = select(AuditRow)
    if chain:
        query = query.where(AuditRow.chain == chain)
    if subject:
        query = query.where(AuditRow.subject == subject)
    if since is not None:
        query = query.where(AuditRow.recorded_at >= (since if since.tzinfo else since.replace(tzinfo=UTC)))
    query = query.order_by(col(AuditRow.audit_id).desc()).limit(limit)
    with opening.ledger(Environment(environment), must_exist=True) as ledger, ledger.read() as session:
        return [row.model_dump() for row in reversed(session.exec(query).all())]
