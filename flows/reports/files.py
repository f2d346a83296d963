"""A report as files in one folder.

report.html and report.md are for people, result.json and one CSV per table for programs; report.json is the report
itself, from which a summary over several runs is made later and in another process.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from flows.reports.html import page
from flows.reports.model import Report, Table
from flows.reports.pages import render
from flows.reports.plain import to_json

RESULT_FILE = "result.json"
REPORT_FILE = "report.json"


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Where the files of one report are."""

    folder: Path
    html: Path
    markdown: Path
    json: Path
    report: Path
    csv: tuple[Path, ...]

    @property
    def all(self) -> tuple[Path, ...]:
        return (self.html, self.markdown, self.json, self.report, *self.csv)


def write(report: Report, folder: Path) -> ReportFiles:
    """Write every form of `report`; a file is replaced whole, so a reader never sees half of one."""
    folder.mkdir(parents=True, exist_ok=True)
    files = ReportFiles(
        folder=folder,
        html=folder / "report.html",
        markdown=folder / "report.md",
        json=folder / RESULT_FILE,
        report=folder / REPORT_FILE,
        csv=tuple(folder / f"{table.name}.csv" for table in report.tables),
    )
    replace_text(files.html, page(report))
    replace_text(files.markdown, render(report, with_plots=False))
    replace_text(files.json, to_json(report.data))
    replace_text(files.report, _adapter().dump_json(dataclasses.replace(report, data={}), indent=1).decode() + "\n")
    for table, path in zip(report.tables, files.csv, strict=True):
        replace_text(path, as_csv(table))
    return files


def read(folder: Path) -> Report:
    """The report that was written into `folder`, with its data; ValueError when it is not one."""
    try:
        report = _adapter().validate_json((folder / REPORT_FILE).read_bytes())
        data = json.loads((folder / RESULT_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"there is no readable report in {folder}: {error}") from error
    return dataclasses.replace(report, data=data)


@cache
def _adapter() -> TypeAdapter[Report]:
    return TypeAdapter(Report)


def as_csv(table: Table) -> str:
    """The table's rows under its column titles; a cell that a spreadsheet would run as a formula is made text."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([column.title for column in table.columns])
    for row in table.rows:
        cells = zip(row, table.columns, strict=True)
        writer.writerow([_plain_number(cell) if column.is_number else _harmless(cell) for cell, column in cells])
    return buffer.getvalue()


def _plain_number(cell: str) -> str:
    """Numbers without grouping, so that a spreadsheet reads them; a dash is an empty cell."""
    return "" if cell == "–" else cell.replace(",", "")


def _harmless(cell: str) -> str:
    return "'" + cell if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def replace_text(path: Path, text: str) -> None:
    """Write beside, then rename."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
