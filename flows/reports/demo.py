"""The report over several runs: index.html with every run and every result, summary.json for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.reports import files
from flows.reports.building import build
from flows.reports.html import Part, page, product_version
from flows.reports.model import Column, Figure, Plot, PlotKind, Report, Section, Span, Table, Tone
from flows.reports.plain import moment, plain, seconds, to_json

INDEX_FILE, SUMMARY_FILE = "index.html", "summary.json"
EVIDENCE = ("orders", "fills", "breaks")
# What a reader looks for; the others follow in their own order.
_FIRST = ("run", "rebalance", "plan", "alerts", "reconciliation")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRun:
    """One flow run as the server tells of it. `state` is the state's name, `is_good` whether it is what was hoped."""

    name: str
    deployment: str
    state: str
    is_good: bool
    started_at: datetime | None
    duration_s: float
    message: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class DemoFiles:
    """What was written."""

    index: Path
    summary: Path
    reports: Mapping[str, files.ReportFiles]


def write_demo(
    folder: Path,
    runs: Sequence[DemoRun],
    results: Mapping[str, Any],
    *,
    title: str = "AlgoTrendy demonstration",
    note: str = "",
    checks: Mapping[str, bool] | None = None,
) -> DemoFiles:
    """Write index.html and summary.json, and each result's own files in a folder named after its kind.

    `results` by run name: a job's result, a `Report`, or the folder that a flow wrote its report into. `checks` are
    sentences with whether they hold; the page is green only when all do and every run is good.
    """
    folder.mkdir(parents=True, exist_ok=True)
    reports = {name: files.read(item) if isinstance(item, Path) else build(item) for name, item in results.items()}
    written: dict[str, files.ReportFiles] = {}
    parts = []
    for name, report in reports.items():
        place = _place(report, written)
        written[name] = files.write(report, folder / place)
        parts.append(Part(report, link=f"{place}/report.html"))
    parts.sort(key=lambda part: _FIRST.index(part.report.kind) if part.report.kind in _FIRST else len(_FIRST))
    cover = _cover(title, note, runs, reports, checks or {})
    files.replace_text(folder / INDEX_FILE, page(cover, parts=parts, footer=f"Numbers: {SUMMARY_FILE}."))
    files.replace_text(folder / SUMMARY_FILE, to_json(summary(runs, reports, checks or {})))
    return DemoFiles(folder / INDEX_FILE, folder / SUMMARY_FILE, written)


def summary(runs: Sequence[DemoRun], reports: Mapping[str, Report], checks: Mapping[str, bool]) -> dict[str, Any]:
    """Every run with state and duration, the verdicts, and all orders, fills and breaks, JSON-ready."""
    collected = collect(reports)
    return {
        "product": "algotrendy",
        "version": product_version(),
        "written_at": plain(datetime.now(UTC)),
        "is_good": _is_good(runs, checks),
        "checks": dict(checks),
        "runs": plain(list(runs)),
        "verdicts": {name: {"tone": report.tone.value, "text": report.verdict} for name, report in reports.items()},
        "counts": {key: len(rows) for key, rows in collected.items()},
        **collected,
    }


def collect(reports: Mapping[str, Report]) -> dict[str, list[Any]]:
    """Orders, fills and breaks of all reports; where one is of the ledger, its rows stand for the jobs' own."""
    found: dict[str, list[Any]] = {}
    for key in EVIDENCE:
        sources = [report for report in reports.values() if key in report.evidence]
        recorded = [report for report in sources if report.kind == "ledger"]
        found[key] = [row for report in recorded or sources for row in report.evidence[key]]
    return found


def _is_good(runs: Sequence[DemoRun], checks: Mapping[str, bool]) -> bool:
    return bool(runs) and all(run.is_good for run in runs) and all(checks.values())


def _place(report: Report, taken: Mapping[str, files.ReportFiles]) -> str:
    used = {item.folder.name for item in taken.values()}
    number = 1
    while (name := report.kind if number == 1 else f"{report.kind}-{number}") in used:
        number += 1
    return name


def _cover(
    title: str, note: str, runs: Sequence[DemoRun], reports: Mapping[str, Report], checks: Mapping[str, bool]
) -> Report:
    good = _is_good(runs, checks)
    failed = [sentence for sentence, holds in checks.items() if not holds]
    failed += [f"{run.name} ended {run.state}" for run in runs if not run.is_good]
    began = min((run.started_at for run in runs if run.started_at), default=None)
    sections: list[Section] = [_runs_table(runs)]
    if began is not None:
        sections.append(_timeline(runs, began))
    if checks:
        sections.insert(0, _checks_table(checks))
    return Report(
        kind="demo",
        title=title,
        subtitle=note or f"{len(runs)} runs, begun {moment(began)}",
        tone=Tone.GOOD if good else Tone.BAD,
        verdict="Every run completed and every check holds." if good else f"Not as hoped: {'; '.join(failed)}.",
        figures=_figures(runs, reports),
        sections=tuple(sections),
    )


def _figures(runs: Sequence[DemoRun], reports: Mapping[str, Report]) -> tuple[Figure, ...]:
    counts = {key: len(rows) for key, rows in collect(reports).items()}
    good = sum(run.is_good for run in runs)
    return (
        Figure("Runs", str(len(runs)), f"{good} as hoped", Tone.GOOD if good == len(runs) else Tone.BAD),
        Figure("Run time", seconds(sum(run.duration_s for run in runs)), "all runs together"),
        Figure("Orders", str(counts["orders"])),
        Figure("Fills", str(counts["fills"])),
        Figure("Breaks", str(counts["breaks"]), "", Tone.BAD if counts["breaks"] else Tone.GOOD),
    )


def _checks_table(checks: Mapping[str, bool]) -> Table:
    return Table(
        "checks",
        "Checks",
        (Column("What must hold"), Column("Holds")),
        tuple((sentence, "yes" if holds else "no") for sentence, holds in checks.items()),
        tones=tuple(Tone.GOOD if holds else Tone.BAD for holds in checks.values()),
    )


def _runs_table(runs: Sequence[DemoRun]) -> Table:
    rows = tuple(
        (run.name, run.deployment, run.state, seconds(run.duration_s), moment(run.started_at), run.message)
        for run in runs
    )
    columns = (
        Column("Run"),
        Column("Deployment"),
        Column("State"),
        Column("Duration", is_number=True),
        Column("Started", narrow=False),
        Column("Message"),
    )
    return Table("runs", "Runs", columns, rows, tones=tuple(Tone.GOOD if run.is_good else Tone.BAD for run in runs))


def _timeline(runs: Sequence[DemoRun], began: datetime) -> Plot:
    spans = tuple(
        Span(
            run.name,
            (run.started_at - began).total_seconds(),
            run.duration_s,
            Tone.NEUTRAL if run.is_good else Tone.BAD,
        )
        for run in runs
        if run.started_at is not None
    )
    return Plot("timeline", "When each run was under way", PlotKind.TIMELINE, "Runs against time", spans=spans)
