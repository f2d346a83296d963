"""The one table of the proof, on the console and as files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from tests.proof.result import LayerResult

TITLES = (
    "Layer", "Histories", "Kills", "Faults", "Duplicated", "Lost", "Orphaned", "Stuck", "To a person", "Mutants killed",
    "Seconds", "Holds",
)  # fmt: skip


def cells(row: LayerResult) -> tuple[str, ...]:
    """One row as text; a baseline is not judged."""
    holds = "" if row.is_baseline else "yes" if row.holds else "NO"
    mutants = f"{row.mutants_killed} of {row.mutants}" if row.mutants else ""
    counts = (row.histories, row.kills, row.faults, row.duplicated, row.lost, row.orphaned, row.stuck, row.to_person)
    return (row.layer, *(f"{count:,}" for count in counts), mutants, f"{row.seconds:.0f}", holds)


def show(console: Console, rows: Sequence[LayerResult]) -> None:
    """Print our layers, then the baselines, then what failed with the command that replays it."""
    table = Table(title="Order safety", title_justify="left", box=box.SIMPLE_HEAD)
    for title in TITLES:
        table.add_column(title, justify="left" if title in ("Layer", "Holds") else "right")
    ours = [row for row in rows if not row.is_baseline]
    theirs = [row for row in rows if row.is_baseline]
    for row in ours:
        table.add_row(*cells(row), style=None if row.holds else "red")
    if theirs:
        table.add_section()
    for row in theirs:
        table.add_row(*cells(row), style="dim")
    console.print(table)
    for row in ours:
        for failure in row.failures:
            console.print(f"{row.layer}: {failure.invariant}: {failure.detail}", markup=False, soft_wrap=True)
            console.print(f"  replay: {failure.replay}", markup=False, soft_wrap=True)


def write(folder: Path, rows: Sequence[LayerResult], *, seed: int, seconds: float, notes: Sequence[str]) -> Path:
    """The same as proof.json and proof.md in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = [asdict(row) | {"holds": row.holds} for row in rows]
    data = {"seed": seed, "seconds": round(seconds, 1), "rows": figures, "notes": list(notes)}
    (folder / "proof.json").write_text(json.dumps(data, indent=2) + "\n")
    path = folder / "proof.md"
    path.write_text(as_markdown(rows, seconds=seconds, notes=notes))
    return path


def as_markdown(rows: Sequence[LayerResult], *, seconds: float, notes: Sequence[str]) -> str:
    lines = ["# Order safety", "", f"Run in {seconds:.0f} s.", "", _line(TITLES), _line(["---"] * len(TITLES))]
    lines += [_line(cells(row)) for row in sorted(rows, key=lambda row: row.is_baseline)]
    failures = [(row.layer, failure) for row in rows for failure in row.failures]
    if failures:
        lines += ["", "## What failed", ""]
        lines += [f"- {layer}: {one.invariant}: {one.detail}. `{one.replay}`" for layer, one in failures]
    if notes:
        lines += ["", "## Notes", "", *(f"- {note}" for note in notes)]
    return "\n".join(lines) + "\n"


def _line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"
