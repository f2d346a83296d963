"""The report of a light sweep: what it compared, what differs, and what it leaves to the full run."""

from __future__ import annotations

from typing import Final

from flows.reports.model import Figure, Report, Section, Text, Tone
from flows.reports.plain import moment, plain, seconds
from flows.reports.reconciling import breaks_table
from ledger.states import ReconciliationOutcome
from trading.sweeping import SweepResult

_TONE: Final = {
    ReconciliationOutcome.CLEAN: Tone.GOOD,
    ReconciliationOutcome.CLEAN_WITH_ACCEPTED: Tone.NEUTRAL,
    ReconciliationOutcome.BREAKS: Tone.BAD,
    ReconciliationOutcome.NOT_RECONCILED: Tone.BAD,
}


def account_sweep_report(result: SweepResult) -> Report:
    """One `SweepResult` as people read it."""
    found = result.findings
    breaks = found.breaks if found else ()
    sections: list[Section] = []
    if result.reason:
        sections.append(Text("Why", (f"{result.reason}: {result.detail}",)))
    if found is not None:
        sections += [
            breaks_table(breaks, result.account_id),
            Text("Not compared, and so not called clean", found.not_compared),
        ]
    if result.accepted:
        sections.append(Text("Accepted by a person, and no more than that", result.accepted))
    if result.still_open:
        sections.append(Text("Still open from former runs: this sweep cannot judge them", result.still_open))
    return Report(
        kind="account_sweep",
        title=f"Sweep of {result.account_id}",
        subtitle=f"Open orders and positions at {moment(result.started_at)}",
        tone=_TONE[result.outcome],
        verdict=_verdict(result),
        figures=(
            Figure("Breaks", str(len(breaks)), tone=_TONE[result.outcome] if breaks else Tone.GOOD),
            Figure("Positions", str(found.compared.get("positions", 0)) if found else "not read"),
            Figure("Open orders", str(found.compared.get("venue_orders", 0)) if found else "not read"),
            Figure("Took", seconds(result.ended_at - result.started_at)),
        ),
        sections=tuple(sections),
        data=plain(result),
    )


def _verdict(result: SweepResult) -> str:
    if result.findings is None:
        return "Not reconciled, so nothing is called clean: the venue could not be read."
    if result.outcome is ReconciliationOutcome.CLEAN:
        return "Open orders and positions are what the ledger says."
    if result.outcome is ReconciliationOutcome.CLEAN_WITH_ACCEPTED:
        return f"Nothing differs but {len(result.accepted)} break(s) that a person accepted."
    if result.outcome is ReconciliationOutcome.NOT_RECONCILED:
        return "Not reconciled yet: something is too young to judge, and the next sweep judges it."
    return f"{len(result.findings.breaks)} break(s) now, {len(result.still_open)} of former runs still open."
