"""`python -m bench`: run the benchmarks, print ratios, write bench-report/. Under five minutes."""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from bench import (
    alerts,
    calls,
    desk,
    flow_run,
    planning,
    queueing,
    receiving,
    reconciling,
    requests,
    risk,
    running,
    stopping,
    venue_calls,
)
from bench.measure import Row
from flows.reports.files import write
from flows.reports.model import Column, Figure, Report, Table, Tone

SECTIONS: dict[str, Callable[[Path], list[Row]]] = {
    "calls": calls.run,
    "venues": venue_calls.run,
    "requests": requests.run,
    "plan": lambda folder: planning.run(),
    "run": lambda folder: running.run(),
    "reconcile": lambda folder: reconciling.run(),
    "desk": desk.run,
    "stop": stopping.run,
    "receive": receiving.run,
    "queue": queueing.run,
    "risk": risk.run,
    "flow": flow_run.run,
    "alerts": alerts.run,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen sections; 0 when every aim is held, 1 when one is not, 2 when a section failed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all without any")
    parser.add_argument("--report", type=Path, default=Path("bench-report"), help="folder of the report")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.sections) - set(SECTIONS))
    if unknown:
        parser.error(f"there is no section {', '.join(unknown)}; sections: {', '.join(SECTIONS)}")
    console, err = Console(highlight=False), Console(stderr=True, highlight=False)
    rows, failures = _measure(options.sections or list(SECTIONS), err)
    _show(console, rows)
    files = write(_report(rows, failures), options.report)
    for name, reason in failures.items():
        console.print(f"[red]{name} was not measured:[/] ", end="")
        console.print(reason, markup=False)
    console.print(f"report: {files.html}")
    if failures:
        return 2
    return 1 if any(row.held is False for row in rows) else 0


def _measure(sections: list[str], err: Console) -> tuple[list[Row], dict[str, str]]:
    rows: list[Row] = []
    failures: dict[str, str] = {}
    for name in sections:
        began = time.monotonic()
        err.print(f"measuring {name} …")
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            try:
                rows += SECTIONS[name](Path(folder))
            except (RuntimeError, TimeoutError, OSError, AssertionError) as error:
                failures[name] = f"{type(error).__name__}: {error}"
        err.print(f"  {time.monotonic() - began:.0f} s")
    return rows, failures


def _show(console: Console, rows: list[Row]) -> None:
    table = RichTable(title="Benchmarks", title_justify="left", box=box.SIMPLE_HEAD)
    for title in ("What", "Ours", "Baseline", "Ratio", "Aim", "Held"):
        table.add_column(title, justify="right" if title == "Ratio" else "left")
    for row in rows:
        held = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[row.held]
        table.add_row(f"{row.section}: {row.what}", row.ours, row.baseline, f"[bold]{row.ratio}[/]", row.aim, held)
    console.print(table)


def _report(rows: list[Row], failures: dict[str, str]) -> Report:
    missed = [row for row in rows if row.held is False]
    aims = [row for row in rows if row.held is not None]
    verdict = f"{len(aims) - len(missed)} of {len(aims)} aims held."
    if failures:
        verdict += f" Not measured: {', '.join(failures)}."
    machine = f"{platform.machine()}, Python {platform.python_version()}, {sys.platform}"
    tones = {True: Tone.GOOD, False: Tone.BAD, None: Tone.NEUTRAL}
    columns = (
        Column("Section"),
        Column("What"),
        Column("Ours"),
        Column("Baseline"),
        Column("Ratio"),
        Column("Aim"),
        Column("Detail"),
    )
    return Report(
        kind="bench",
        title="Benchmarks",
        subtitle=f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}, {machine}; each figure beside its baseline",
        tone=Tone.BAD if failures else Tone.WARN if missed else Tone.GOOD,
        verdict=verdict,
        figures=(Figure("Aims held", f"{len(aims) - len(missed)} of {len(aims)}"),),
        sections=(
            Table(
                "figures",
                "Figures",
                columns,
                tuple((r.section, r.what, r.ours, r.baseline, r.ratio, r.aim, r.detail) for r in rows),
                tones=tuple(tones[row.held] for row in rows),
            ),
        ),
        data={
            "machine": machine,
            "failures": failures,
            "rows": [
                {
                    "section": r.section,
                    "what": r.what,
                    "ours": r.ours,
                    "baseline": r.baseline,
                    "ratio": r.ratio,
                    "aim": r.aim,
                    "held": r.held,
                }
                for r in rows
            ],
        },
    )


if __name__ == "__main__":
    raise SystemExit(main())
