"""What commands print: JSON or tables on stdout, everything else on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cli.failures import Failure

if TYPE_CHECKING:
    from rich.console import Console

    from flows.reports.model import Report, Table

WIDE_COLUMNS = 150  # a terminal at least this wide shows every column
NO_WRAP_LENGTH_MAX = 28  # a first column of short names stays on one line
TEXT_WIDTH_MIN = 10  # of a column of text where the terminal is narrow: dates and codes stay legible
_TONE_STYLE = {"good": "green", "warn": "yellow", "bad": "red", "neutral": ""}


def out() -> Console:
    """Standard output: results only."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


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
    """One table, its rows coloured by tone."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    console = out()
    if not table.rows:
        console.print(Text(f"{table.title}: {table.empty}"))
        return
    drawn = RichTable(
        title=table.title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    kept = table.shown(narrow_only=console.width < WIDE_COLUMNS)
    for place in kept:
        column = table.columns[place]
        is_short = all(len(row[place]) <= NO_WRAP_LENGTH_MAX for row in table.rows)
        longest = max(len(row[place]) for row in table.rows)
        drawn.add_column(
            column.title.replace(" ", "\n") if column.is_number else column.title,
            justify="right" if column.is_number else "left",
            no_wrap=column.is_number or (place == 0 and is_short),
            min_width=min(longest, TEXT_WIDTH_MIN),
            overflow="fold",
            vertical="top",
        )
    tones = table.tones or ("neutral",) * len(table.rows)
    for tone, row in zip(tones, table.rows, strict=True):
        drawn.add_row(*(Text(row[i]) for i in kept), style=_TONE_STYLE[str(tone)])
    console.print(drawn)
    if note and table.note:
        console.print(Text(table.note, style="dim"))


def print_report(report: Report, *, tables: Sequence[str] | None = None) -> None:
    """A job's result: verdict, figures, tables (all, or those named)."""
    from rich.text import Text

    from flows.reports.model import Table

    console = out()
    console.print(Text(report.title, style="bold"))
    console.print(Text(report.subtitle, style="dim"))
    console.print(Text(report.verdict, style=f"bold {_TONE_STYLE[report.tone]}".strip()))
    for figure in report.figures:
        line = Text(f"  {figure.label}: ").append(figure.value, style=f"bold {_TONE_STYLE[figure.tone]}".strip())
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

    err().print(Text(message, style=style))


@contextmanager
def progress(title: str) -> Iterator[Callable[[str], None]]:
    """Show what is being done on stderr while it runs; on a terminal as one living line, else as plain lines."""
    console = err()
    if not console.is_terminal:
        say(title)

        def tell(text: str) -> None:
            say(f"  {text}", style="dim")

        yield tell
        return
    from rich.status import Status

    with Status(title, console=console) as status:
        yield lambda text: status.update(f"{title}: {text}")
