"""A report as one HTML file: styles and charts inline, no script, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from flows.reports.model import PAGE_ROWS_MAX, Plot, Report, Section, Table, Tone
from flows.reports.plain import moment
from flows.reports.plots import svg


@dataclass(frozen=True, slots=True)
class Part:
    """A report shown inside another page, with a link to its own."""

    report: Report
    link: str = ""


def page(report: Report, *, parts: Sequence[Part] = (), written_at: datetime | None = None, footer: str = "") -> str:
    """The whole page. `parts` follow the report's own sections, each under its own heading."""
    template = _environment().get_template("report.html.j2")
    return template.render(
        page=report,
        css=Markup(_source("report.css")),  # noqa: S704  our own packaged file
        items=[_item(section, report.kind) for section in report.sections],
        parts=[
            {
                "report": part.report,
                "link": part.link,
                "anchor": f"part-{number}",
                "parts": [_item(section, f"part-{number}") for section in part.report.sections],
            }
            for number, part in enumerate(parts, start=1)
        ],
        version=product_version(),
        written_at=moment(written_at or datetime.now(UTC)),
        footer=footer,
    )


def product_version() -> str:
    """The installed version; 'unknown' in a checkout that was never installed."""
    try:
        return version("algotrendy")
    except PackageNotFoundError:
        return "unknown"


def _item(section: Section, kind: str) -> dict[str, Any]:
    if isinstance(section, Table):
        shown = section.rows[:PAGE_ROWS_MAX]
        tones = section.tones or (Tone.NEUTRAL,) * len(section.rows)
        kept = section.shown(narrow_only=False)
        rows = [
            ("" if tone is Tone.NEUTRAL else f"row-{tone}", [row[place] for place in kept])
            for tone, row in zip(tones, shown, strict=False)
        ]
        left_out = len(section.rows) - len(shown)
        return {
            "kind": "table",
            "table": section,
            "columns": [section.columns[place] for place in kept],
            "rows": rows,
            "left_out": left_out,
            "anchor": f"{kind}-{section.name}",
        }
    if isinstance(section, Plot):
        drawn = Markup(svg(section))  # noqa: S704  drawn by us, labels escaped by matplotlib
        return {"kind": "plot", "plot": section, "svg": drawn, "anchor": f"{kind}-{section.name}"}
    return {"kind": "text", "text": section}


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("flows.reports", "templates"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["zip"] = zip
    return environment


@cache
def _source(name: str) -> str:
    loader = _environment().loader
    assert loader is not None
    return loader.get_source(_environment(), name)[0]
