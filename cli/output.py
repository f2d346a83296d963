"""What commands print: JSON or tables on stdout, everything else on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cli.failures import Failure

if TYPE_CHECKING:
    from rich.console import Console

    from flows.reports.model import Report, Table


def out() -> Console:
    """Standard output: results only."""
    from rich.console import Console

    from flows.reports.terminal import table_width

    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    console.width = table_width(
        is_terminal=console.is_terminal, console_width=console.width, is_chosen="COLUMNS" in os.environ
    )
    return console


def err() -> Console:
    """Standard error: progress, questions, messages."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """`value` as indented JSON on stdout; exact decimals as text."""
    from flows.reports.plain import to_json

    sys.stdout.write(to_json(value))
    sys.stdout.flush()


def print_table(table: Table, *, note: bool = True) -> None:
    """One table, its rows coloured by tone; where the terminal is too narrow for its columns, row under row."""
    from flows.reports.terminal import draw

    console = out()
    for part in draw(table, width=console.width, note=note):
        console.print(part)


def print_report(report: Report, *, tables: Sequence[str] | None = None) -> None:
    """A job's result: verdict, figures, tables (all, or those named)."""
    from rich.text import Text

    from flows.reports.model import Table
    from flows.reports.terminal import tone_style

    console = out()
    console.print(Text(report.title, style="bold"))
    console.print(Text(report.subtitle, style="dim"))
    console.print(Text(report.verdict, style=f"bold {tone_style(report.tone)}".strip()))
    for figure in report.figures:
        line = Text(f"  {figure.label}: ").append(figure.value, style=f"bold {tone_style(figure.tone)}".strip())
        console.print(line.append(f"  {figure.note}", style="dim") if figure.note else line)
    console.print()
    for section in report.sections:
        if isinstance(section, Table) and (tables is None or section.name in tables):
            print_table(section)


def print_failure(failure: Failure) -> None:
    """One panel on stderr: what happened, the field and its value, the venue's words, what to do."""
    from rich.panel import Panel
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    rows = (
        ("field", failure.field),
        ("value", failure.value),
        ("venue", failure.venue),
        ("reason", failure.reason),
        ("remedy", failure.remedy),
    )
    for label, text in rows:
        if text:
            grid.add_row(label, Text(text))
    from rich.console import Group

    body = Group(Text(failure.message), grid) if grid.row_count else Text(failure.message)
    err().print(Panel(body, title=failure.title, title_align="left", border_style="red"))


def say(message: str, *, style: str = "") -> None:
    """One line on stderr."""
    from rich.text import Text

    console = err()
    console.print(Text(message, style=style), soft_wrap=not console.is_terminal)


@contextmanager
def progress(title: str) -> Iterator[Callable[[str], None]]:
    """Show what is being done on stderr while it runs; on a terminal as one living line, else as plain lines, each
    once."""
    console = err()
    if not console.is_terminal:
        say(title)
        told: set[str] = set()

        def tell(text: str) -> None:
            if text not in told:  # what is done for each instrument or order again is said once
                told.add(text)
                say(f"  {text}", style="dim")

        yield tell
        return
    from rich.status import Status

    with Status(title, console=console) as status:
        yield lambda text: status.update(f"{title}: {text}")
