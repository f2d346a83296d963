"""The files stand alone: valid, complete, exact, without script or network."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from flows.reports import report_of, write_demo_report, write_report
from flows.reports.demo import DemoRun
from flows.reports.files import as_csv, read
from flows.reports.model import (
    PAGE_ROWS_MAX,
    PLOT_LINES_MAX,
    Bar,
    Column,
    Curve,
    DriftLine,
    Plot,
    PlotKind,
    Report,
    Span,
    Table,
    Tone,
)
from flows.reports.pages import render
from flows.reports.plots import data_uri, largest, svg
from tests.reports.conftest import make_break, make_reconciliation, make_sync
from tests.trading.rebalancing.building import NOW
from trading.plans import RebalanceResult

D = Decimal
_VOID = {"meta", "br", "img", "hr", "link", "input"}


class _Page(HTMLParser):
    """Collects tags and checks that every one is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href", "srcset")]
        assert not [name for name, _ in attrs if name.startswith("on")], f"{tag} has a script attribute"
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(html: str) -> _Page:
    page = _Page()
    page.feed(html)
    page.close()
    assert page.open == []
    return page


def test_every_file_is_written_and_reads_back(reached: RebalanceResult, tmp_path: Path) -> None:
    files = write_report(reached, tmp_path / "out")
    assert all(path.is_file() for path in files.all)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in files.all)
    again = read(files.folder)
    assert again == report_of(reached)


def test_the_page_has_no_script_and_loads_nothing(reached: RebalanceResult, tmp_path: Path) -> None:
    html = write_report(reached, tmp_path).html.read_text()
    page = parsed(html)
    assert not page.tags & {"script", "iframe", "object", "embed", "form", "link", "img"}
    assert [link for link in page.links if not link.startswith("#")] == []
    assert "default-src 'none'" in html
    assert "svg" in page.tags


def test_labels_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>&\"'$x$"
    lines = (DriftLine(evil, D("0.5"), D("0.4"), D("0.5"), D("0.01")),)
    report = Report(
        kind="test",
        title=evil,
        subtitle=evil,
        tone=Tone.GOOD,
        verdict=evil,
        figures=(),
        sections=(
            Plot("p", evil, PlotKind.DRIFT, evil, lines=lines),
            Table("t", evil, (Column(evil),), ((evil,),)),
        ),
    )
    page = parsed(write_report(report, tmp_path).html.read_text())
    assert "script" not in page.tags


def test_json_and_csv_keep_every_digit(tmp_path: Path) -> None:
    files = write_report(make_sync(), tmp_path)
    stored = json.loads(files.json.read_text())
    assert stored["balances"][0]["total"] == "10000.123456789012345678"
    assert stored["taken_at"].endswith("Z")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "balances.csv").read_text())))
    assert rows[0]["Total"] == "10000.123456789012345678"
    assert rows[0]["Available"] == ""


def test_csv_cells_are_never_formulas() -> None:
    table = Table("t", "T", (Column("Text"), Column("N", is_number=True)), (("=HYPERLINK(1)", "-1,234.5"), ("+1", "–")))
    rows = list(csv.reader(io.StringIO(as_csv(table))))
    assert rows[1:] == [["'=HYPERLINK(1)", "-1234.5"], ["'+1", ""]]


def test_a_table_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="2 columns, a row has 1"):
        Table("t", "T", (Column("a"), Column("b")), (("x",),))
    with pytest.raises(ValueError, match="8 narrow columns"):
        Table("t", "T", tuple(Column(str(n)) for n in range(8)), ())


def test_a_long_table_is_cut_on_the_page_and_whole_in_csv(tmp_path: Path) -> None:
    rows = tuple((f"row {n}",) for n in range(PAGE_ROWS_MAX + 7))
    report = Report("long", "Long", "", Tone.NEUTRAL, "many", (), (Table("many", "Many", (Column("a"),), rows),))
    files = write_report(report, tmp_path)
    assert f"row {PAGE_ROWS_MAX + 6}" not in files.html.read_text()
    assert "7 more rows are in many.csv" in files.html.read_text()
    assert len((tmp_path / "many.csv").read_text().splitlines()) == len(rows) + 1
    assert "more rows are in many.csv" in render(report)


ALL_KINDS = (
    Plot("d", "D", PlotKind.DRIFT, "x", lines=(DriftLine("A", D("0.1"), D("0.2"), None, D("0.01")),)),
    Plot("w", "W", PlotKind.WEIGHTS, "x", lines=(DriftLine("A", D("-0.1"), D("0.2"), D("-0.1"), D("0.01")),)),
    Plot("b", "B", PlotKind.BARS, "x", bars=(Bar("A", D(-1), "-1"), Bar("B", D(2), "2", Tone.BAD))),
    Plot("b0", "B", PlotKind.BARS, "x", bars=(Bar("A", D(0), "0"),)),
    Plot("t", "T", PlotKind.TIMELINE, "x", spans=(Span("A", 0.0, 1.0), Span("B", 1.0, 0.0, Tone.BAD))),
    Plot("c", "C", PlotKind.CURVES, "x", curves=(Curve("A", ((NOW, D(1)), (NOW.replace(day=9), D(2)))),)),
)


@pytest.mark.parametrize("plot", ALL_KINDS, ids=lambda plot: plot.name)
def test_every_kind_of_chart_is_valid_svg_in_the_pages_colours(plot: Plot) -> None:
    text = svg(plot)
    root = ElementTree.fromstring(text)
    assert root.attrib["aria-label"] == "x"
    assert "var(--plot-" in text
    assert "#0102" not in text
    assert svg(plot) == text  # deterministic
    image = base64.b64decode(data_uri(plot).split(",", 1)[1]).decode()
    assert "var(" not in image
    assert "#0102" not in image
    ElementTree.fromstring(image)


def test_two_charts_on_a_page_share_no_ids() -> None:
    ids = [set(re.findall(r'id="([^"]+)"', svg(plot))) for plot in ALL_KINDS]
    assert sum(map(len, ids)) == len(set().union(*ids))


def test_a_crowded_chart_shows_the_lines_that_are_furthest_off() -> None:
    lines = [DriftLine(f"L{n}", D(0), D(n) / 1000, D(0), D("0.01")) for n in range(PLOT_LINES_MAX + 30)]
    shown = largest(lines)
    assert len(shown) == PLOT_LINES_MAX
    assert shown[-1].label == f"L{PLOT_LINES_MAX + 29}"
    assert shown[0].label == "L30"


def run(name: str, *, is_good: bool = True) -> DemoRun:
    return DemoRun(
        name=name,
        deployment=f"{name}/x",
        state="Completed" if is_good else "Failed",
        is_good=is_good,
        started_at=NOW,
        duration_s=2.5,
    )


def test_the_demonstration_sums_up_runs_orders_and_breaks(reached: RebalanceResult, tmp_path: Path) -> None:
    kept = write_report(reached, tmp_path / "flow").folder  # what a flow wrote, read again by another process
    results = {"Sync": make_sync(), "Rebalance": kept, "Reconcile": make_reconciliation(make_break())}
    files = write_demo_report(tmp_path / "demo", [run(name) for name in results], results, checks={"holds": True})
    summary = json.loads(files.summary.read_text())
    assert summary["is_good"] is True
    assert [item["name"] for item in summary["runs"]] == ["Sync", "Rebalance", "Reconcile"]
    assert summary["runs"][0]["duration_s"] == 2.5
    assert summary["counts"] == {"orders": len(reached.plan.plan.legs), "fills": 0, "breaks": 1}
    page = parsed(files.index.read_text())
    for link in page.links:
        assert link.startswith("#") or (tmp_path / "demo" / link).is_file()
    assert json.loads((tmp_path / "demo" / "rebalance" / "result.json").read_text())["plan_id"] == "a" * 32


@pytest.mark.parametrize(("is_good", "holds"), [(False, True), (True, False)])
def test_the_demonstration_is_green_only_when_all_holds(tmp_path: Path, is_good: bool, holds: bool) -> None:
    files = write_demo_report(tmp_path, [run("Sync", is_good=is_good)], {}, checks={"target": holds})
    assert json.loads(files.summary.read_text())["is_good"] is False
    assert "Not as hoped" in files.index.read_text()


def test_a_folder_without_a_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no readable report"):
        read(tmp_path)


def test_a_second_report_of_a_kind_gets_its_own_folder(tmp_path: Path) -> None:
    results = {"First": make_sync(), "Second": replace(make_sync(), snapshot_id=9)}
    files = write_demo_report(tmp_path, [run("First"), run("Second")], results)
    assert sorted(item.folder.name for item in files.reports.values()) == ["sync", "sync-2"]
    text = files.index.read_text()
    named = re.findall(r'<(?:section|h3) id="([^"]+)"', text)
    assert len(named) == len(set(named)), "two parts of one page have the same anchor"
    assert {"part-1", "part-2"} <= {link[1:] for link in parsed(text).links} and {"part-1", "part-2"} <= set(named)
