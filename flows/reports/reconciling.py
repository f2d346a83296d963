"""The report of a reconciliation: what was compared, each break with its amounts, tolerance and evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from brokers.ids import AccountId
from flows.reports import balancing
from flows.reports.model import Bar, Column, Figure, Plot, PlotKind, Report, Section, Table, Text, Tone
from flows.reports.plain import DASH, moment, number, plain, seconds, words
from ledger.breaks import BreakChanges
from ledger.states import ReconciliationOutcome
from trading.reconciliation import Break, BreakKind, Findings, Severity
from trading.reconciliation.equation import EquationState
from trading.reconciling import ReconciliationResult

_OUTCOME_TONE: Final = {
    ReconciliationOutcome.CLEAN: Tone.GOOD,
    ReconciliationOutcome.CLEAN_WITH_ACCEPTED: Tone.NEUTRAL,
    ReconciliationOutcome.BREAKS: Tone.BAD,
    ReconciliationOutcome.NOT_RECONCILED: Tone.BAD,
}
EVIDENCE_LENGTH_MAX: Final = 400


def reconciliation_report(result: ReconciliationResult) -> Report:
    """One `ReconciliationResult` as people read it."""
    breaks = result.findings.breaks if result.findings else ()
    return Report(
        kind="reconciliation",
        title=f"Reconciliation of {result.account_id}",
        subtitle=_subtitle(result),
        tone=_tone(result),
        verdict=_verdict(result),
        figures=_figures(result, breaks),
        sections=tuple(_sections(result, breaks)),
        data=plain(result),
        evidence={"breaks": [_break_evidence(item, result.account_id) for item in breaks]},
    )


def _tone(result: ReconciliationResult) -> Tone:
    """A run that found nothing and could not import what was new is no good end."""
    is_refused = bool(result.reason) and _OUTCOME_TONE[result.outcome] is not Tone.BAD
    return Tone.WARN if is_refused else _OUTCOME_TONE[result.outcome]


def _subtitle(result: ReconciliationResult) -> str:
    since = f", facts since {moment(result.window_start)}" if result.window_start else ""
    return f"Run {result.run_id} at {moment(result.started_at)}{since}"


def _verdict(result: ReconciliationResult) -> str:
    if result.outcome is ReconciliationOutcome.NOT_RECONCILED:
        return f"Not reconciled, so nothing is called clean: {result.reason} {result.detail}".strip()
    assert result.findings is not None, "a run that compared has findings"
    total = sum(result.findings.compared.values())
    if result.outcome is ReconciliationOutcome.CLEAN:
        return f"No break: {total:,} facts and figures agree, in both directions.{_left_out(result.findings)}"
    accepted = len(result.accepted)
    if result.outcome is ReconciliationOutcome.CLEAN_WITH_ACCEPTED:
        return (
            f"Nothing differs but {accepted} break(s) that a person accepted, by no more than was accepted: {total:,} "
            f"facts and figures were compared, in both directions.{_left_out(result.findings)}"
        )
    critical = sum(item.severity is Severity.CRITICAL for item in result.findings.breaks)
    older = f" {len(result.still_open)} of former runs still open." if result.still_open else ""
    left_out = _left_out(result.findings)
    breaks = len(result.findings.breaks)
    known = f" {accepted} of all are accepted." if accepted else ""
    ended = len(result.changes.acceptance_ended)
    over = f" {ended} no longer as accepted." if ended else ""
    return f"{breaks} break(s), {critical} critical, among {total:,} facts and figures.{known}{over}{older}{left_out}"


def _left_out(findings: Findings) -> str:
    parts = (("Not compared", findings.not_compared), ("Expected", findings.expected))
    return "".join(f" {what}: {'; '.join(said)}." for what, said in parts if said)


def _figures(result: ReconciliationResult, breaks: Sequence[Break]) -> tuple[Figure, ...]:
    changes = result.changes
    return (
        Figure(
            "Breaks",
            str(len(breaks) + len(result.still_open)),
            _changes(changes),
            _OUTCOME_TONE[result.outcome] if breaks or result.still_open else Tone.GOOD,
        ),
        *_accepted_figure(result),
        *_equations_figure(result),
        Figure("Cleared", str(len(changes.cleared)), "no longer seen"),
        Figure("Pending", str(len(result.findings.pending) if result.findings else 0), "too young to judge"),
        Figure("Took", seconds(result.ended_at - result.started_at)),
    )


def _accepted_figure(result: ReconciliationResult) -> tuple[Figure, ...]:
    count = len(result.accepted)
    return (Figure("Accepted", str(count), "lived with, and no more than that"),) if count else ()


def _equations_figure(result: ReconciliationResult) -> tuple[Figure, ...]:
    if result.books is None:
        return ()
    states = [item.state for item in result.books.equations]
    judged = [state for state in states if state is not EquationState.NOT_COMPARED]
    if not judged:
        return (Figure("Balance equation", "not compared", "the venue tells no wallet changes", Tone.WARN),)
    hold, due = judged.count(EquationState.HOLDS), judged.count(EquationState.FEES_DUE)
    accepted = judged.count(EquationState.ACCEPTED)
    tone = Tone.BAD if hold + due + accepted < len(judged) else Tone.NEUTRAL if accepted else Tone.GOOD
    parts = ((due, "but for fees to be posted"), (accepted, "but for what was accepted"))
    exact = all(item.difference == 0 for item in result.books.equations if item.state is EquationState.HOLDS)
    said = "currencies, to the last digit" if exact else "currencies, within the venue's own roundings"
    note = "; ".join([said, *(f"{count} {what}" for count, what in parts if count)])
    return (Figure("Balance equation", f"{hold} of {len(judged)} hold", note, tone),)


def _changes(changes: BreakChanges) -> str:
    parts = (("new", changes.opened), ("seen again", changes.seen_again), ("reopened", changes.reopened))
    return ", ".join(f"{len(ids)} {name}" for name, ids in parts if ids)


def _sections(result: ReconciliationResult, breaks: Sequence[Break]) -> list[Section]:
    if result.findings is None:
        return [Text("Why", (result.reason, result.detail))]
    found: list[Section] = []
    if result.reason:
        heading = "Why" if result.outcome is ReconciliationOutcome.NOT_RECONCILED else "Not imported"
        found.append(Text(heading, (f"{result.reason}: {result.detail}",)))
    if result.findings.not_compared:
        found.append(Text("Not compared, and so not called clean", result.findings.not_compared))
    if result.findings.expected:
        found.append(Text("Expected: fees that the venue tells of later", result.findings.expected))
    by_kind = result.findings.by_kind()
    if by_kind:
        found.append(_kinds_plot(by_kind))
    if result.accepted:
        found.append(balancing.accepted_table(result.accepted))
    if result.open_breaks:
        found.append(balancing.ages_table(result.open_breaks, result.ended_at))
    found.append(breaks_table(breaks, result.account_id))
    if result.still_open:
        found.append(Text("Still open from former runs: neither seen nor cleared by this one", result.still_open))
    if result.open_breaks:
        found.append(balancing.standing_table(result.open_breaks, result.ended_at))
    if by_kind:
        found.append(_kinds(by_kind))
    if result.findings.pending:
        found.append(Text("Pending: too young to judge", result.findings.pending))
    if result.books is not None:
        found.extend(balancing.books_sections(result.books))
    found.append(_compared(result.findings))
    found.append(_basis(result))
    return found


def _kinds_plot(by_kind: Counter[BreakKind]) -> Plot:
    bars = tuple(
        Bar(words(kind.value.lower()), Decimal(count), str(count), _severity_tone(kind.severity))
        for kind, count in by_kind.most_common(20)
    )
    return Plot("counts", "Breaks by kind", PlotKind.BARS, "Number of breaks of each kind", bars=bars)


def _basis(result: ReconciliationResult) -> Text:
    """What a signature would stand under."""
    lines = [
        f"Run {result.run_id} of {result.account_id}, {moment(result.started_at)} to {moment(result.ended_at)}.",
        f"Facts one by one since {moment(result.window_start)}; positions and balances over the whole time since the "
        "account's opening figures.",
        "Both directions: what only the ledger has, what only the venue has, and what differs.",
    ]
    if result.books is not None and result.books.chained_rows:
        lines.append(
            f"{result.books.chained_rows:,} wallet changes carry the venue's own running balance; each was tied to the "
            "one before."
        )
    return Text("Basis", tuple(lines))


def _severity_tone(severity: Severity) -> Tone:
    return Tone.BAD if severity is Severity.CRITICAL else Tone.WARN


def breaks_table(breaks: Sequence[Break], account_id: AccountId) -> Table:
    """One row per break: kind, subject, both amounts, difference, tolerance, evidence."""
    rows = tuple(
        (
            item.kind.value,
            item.subject,
            number(item.ledger_amount),
            number(item.venue_amount),
            number(item.difference, signed=True),
            number(item.tolerance),
            _evidence(item),
            item.severity.value,
            item.id_for(account_id),
        )
        for item in breaks
    )
    columns = (
        Column("Kind"),
        Column("Subject"),
        Column("Ledger", is_number=True),
        Column("Venue", is_number=True),
        Column("Difference", is_number=True),
        Column("Tolerance", is_number=True),
        Column("Evidence"),
        Column("Severity", narrow=False),
        Column("Break id", narrow=False),
    )
    tones = tuple(_severity_tone(item.severity) for item in breaks)
    return Table(
        "breaks", "Breaks", columns, rows, empty="No break.", tones=tones, note="Difference is venue minus ledger."
    )


def _kinds(by_kind: Counter[BreakKind]) -> Table:
    """Each kind that was found, once: what it means and what to do about it."""
    rows = tuple(
        (kind.value, kind.severity.value, str(count), kind.meaning, kind.remedy)
        for kind, count in by_kind.most_common()
    )
    columns = (
        Column("Kind"),
        Column("Severity"),
        Column("Breaks", is_number=True),
        Column("Meaning"),
        Column("What to do"),
    )
    tones = tuple(_severity_tone(kind.severity) for kind, _ in by_kind.most_common())
    return Table("kinds", "What to do about them", columns, rows, tones=tones)


def _evidence(item: Break) -> str:
    text = ", ".join(f"{name} {value}" for name, value in item.evidence.items())
    return text if len(text) <= EVIDENCE_LENGTH_MAX else text[: EVIDENCE_LENGTH_MAX - 1] + "…"


def _break_evidence(item: Break, account_id: AccountId) -> dict[str, Any]:
    return {
        "id": item.id_for(account_id),
        "kind": item.kind.value,
        "severity": item.severity.value,
        "subject": item.subject,
        "ledger_amount": plain(item.ledger_amount),
        "venue_amount": plain(item.venue_amount),
        "difference": plain(item.difference),
        "tolerance": plain(item.tolerance),
        "evidence": dict(item.evidence),
    }


def _compared(findings: Findings) -> Table:
    news = dict(findings.news)
    rows = tuple(
        (words(name), f"{count:,}", f"{news[name]:,}" if name in news else DASH)
        for name, count in sorted(findings.compared.items())
    )
    columns = (Column("What"), Column("Compared", is_number=True), Column("News", is_number=True))
    note = "News is what happened after the last import: it is imported, and is no break."
    return Table("compared", "What was compared", columns, rows, note=note)
