"""Reports: a job's result as markdown for the Prefect UI and as files that stand alone.

    markdown(result)                       text for an artifact
    write_report(result, folder)           report.html, report.md, result.json and CSV files
    write_demo_report(folder, runs, …)     index.html and summary.json over several runs

Everything heavy is imported when a report is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flows.reports.demo import DemoFiles, DemoRun
    from flows.reports.files import ReportFiles
    from flows.reports.model import Report

__all__ = ["markdown", "report_of", "write_demo_report", "write_report"]


def report_of(result: Any, *, subject: str = "") -> Report:
    """What is to be said of a job's result; `subject` names the account where the result itself does not.

    TypeError for a type that no report is made of.
    """
    from flows.reports.building import build

    return build(result, subject=subject)


def markdown(result: Any, *, subject: str = "") -> str:
    """The report as markdown for a Prefect artifact: tables of at most seven columns, charts as images."""
    from flows.reports.pages import render

    return render(report_of(result, subject=subject))


def write_report(result: Any, folder: Path, *, subject: str = "") -> ReportFiles:
    """Write the report's files into `folder` (made if missing); existing ones are replaced."""
    from flows.reports.files import write

    return write(report_of(result, subject=subject), folder)


def write_demo_report(
    folder: Path,
    runs: Sequence[DemoRun],
    results: Mapping[str, Any],
    *,
    title: str = "AlgoTrendy demonstration",
    note: str = "",
    checks: Mapping[str, bool] | None = None,
) -> DemoFiles:
    """Write index.html and summary.json over several runs, and each result's own files beside them.

    `results` by run name: a job's result, a `Report`, or the folder that a flow wrote its report into (the path that
    `ReportFiles.folder` named). `checks` are sentences with whether they hold.
    """
    from flows.reports.demo import write_demo

    return write_demo(folder, runs, results, title=title, note=note, checks=checks)
