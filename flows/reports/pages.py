"""A report as markdown for a Prefect artifact: at most seven columns, ready text, charts as images."""

from __future__ import annotations

import re

from flows.reports.model import MARKDOWN_ROWS_MAX, Plot, Report, Section, Table, Text, Tone
from flows.reports.plots import data_uri

_MARKS = {Tone.GOOD: "✓", Tone.WARN: "⚠", Tone.BAD: "✗", Tone.NEUTRAL: "ℹ"}  # no emoji: not every machine has the font
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")


def render(report: Report, *, with_plots: bool = True) -> str:
    """The whole report; longer tables are cut and say so."""
    parts = [
        f"# {escape(report.title)}",
        escape(report.subtitle),
        f"**{_MARKS[report.tone]} {escape(report.verdict)}**",
    ]
    if report.figures:
        parts.append(_figures(report))
    for section in report.sections:
        if with_plots or not isinstance(section, Plot):
            parts.append(_section(section))
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Text that markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _figures(report: Report) -> str:
    rows = [f"| {escape(item.label)} | **{escape(item.value)}** | {escape(item.note)} |" for item in report.figures]
    return "\n".join(["| | | |", "| :-- | --: | :-- |", *rows])


def _section(section: Section) -> str:
    if isinstance(section, Table):
        return _table(section)
    if isinstance(section, Plot):
        note = f"\n\n{escape(section.note)}" if section.note else ""
        return f"## {escape(section.title)}\n\n![{escape(section.alt)}]({data_uri(section)}){note}"
    return _text(section)


def _text(section: Text) -> str:
    return f"## {escape(section.title)}\n\n" + "\n".join(f"- {escape(line)}" for line in section.lines)


def _table(table: Table) -> str:
    heading = f"## {escape(table.title)}"
    if not table.rows:
        return f"{heading}\n\n{escape(table.empty)}"
    kept = table.shown(narrow_only=True)
    lines = [
        _row([table.columns[index].title for index in kept]),
        "| " + " | ".join("--:" if table.columns[index].is_number else ":--" for index in kept) + " |",
    ]
    lines.extend(_row([row[index] for index in kept]) for row in table.rows[:MARKDOWN_ROWS_MAX])
    notes = [table.note] if table.note else []
    if len(table.rows) > MARKDOWN_ROWS_MAX:
        notes.insert(0, f"{len(table.rows) - MARKDOWN_ROWS_MAX} more rows are in {table.name}.csv.")
    return "\n\n".join([heading, "\n".join(lines), *(escape(note) for note in notes)])


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(escape(cell) for cell in cells) + " |"
