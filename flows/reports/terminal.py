"""A table as text of a given width: nothing is ever cut, a terminal that is too narrow gets one row under the other."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType
    from rich.table import Table as RichTable

    from flows.reports.model import Column, Table, Tone

WIDE_COLUMNS = 150  # a terminal at least this wide shows every column
NO_WRAP_LENGTH_MAX = 28  # a first column of short names stays on one line
TEXT_WIDTH_MIN = 10  # of a column of text where the terminal is narrow: dates stay legible
PROSE_LENGTH_MIN = 60  # a cell as long as this is sentences,
PROSE_WIDTH_MIN = 24  # which nobody reads word under word
WORD_LENGTH_MAX = 28  # codes and names up to here stay whole, so that they can be copied and looked up
HEADING_WIDTH_MIN = 6  # the heading of a column of narrow figures
COLUMN_GAP = 2  # cells between two columns, and beside the outer ones
_TONE_STYLE = {"good": "green", "warn": "yellow", "bad": "red", "neutral": ""}


def tone_style(tone: Tone | str) -> str:
    """The colour of a tone; empty for the neutral one."""
    return _TONE_STYLE[str(tone)]


def table_width(*, is_terminal: bool, console_width: int, is_chosen: bool) -> int:
    """How wide tables are drawn: as the terminal or COLUMNS says, else wide, because a pipe or a file has no edge."""
    return console_width if is_terminal or is_chosen else max(console_width, WIDE_COLUMNS)


def draw(table: Table, *, width: int, rows_max: int | None = None, note: bool = True) -> Iterator[RenderableType]:
    """The table for `width` cells, then its note. Columns that are not `narrow` need a wide terminal."""
    from rich.text import Text

    if not table.rows:
        yield Text(f"{table.title}: {table.empty}")
        return
    kept = table.shown(narrow_only=width < WIDE_COLUMNS)
    yield _grid(table, kept, rows_max) if _least_width(table, kept) <= width else _records(table, kept, rows_max)
    if rows_max is not None and len(table.rows) > rows_max:
        yield Text(f"… and {len(table.rows) - rows_max} more", style="dim")
    if note and table.note:
        yield Text(table.note, style="dim")


def _grid(table: Table, kept: tuple[int, ...], rows_max: int | None) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(
        title=table.title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for place in kept:
        column = table.columns[place]
        is_whole = _is_whole(table, place)
        drawn.add_column(
            Text(_heading(column, _longest(table, place))),
            justify="right" if column.is_number else "left",
            no_wrap=is_whole,
            min_width=_least(table, place),
            overflow="fold",
            vertical="top",
        )
    for tone, row in _toned(table, rows_max):
        drawn.add_row(*(Text(row[place]) for place in kept), style=tone_style(tone))
    return drawn


def _records(table: Table, kept: tuple[int, ...], rows_max: int | None) -> RenderableType:
    """One block for each row: the headings at the left, the cells whole at the right."""
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    parts: list[RenderableType] = [Text(table.title, style="bold")]
    for tone, row in _toned(table, rows_max):
        block = RichTable.grid(padding=(0, COLUMN_GAP))
        block.add_column(style="dim", no_wrap=True)
        block.add_column(overflow="fold")
        for place in kept:
            if row[place]:
                block.add_row(Text(f" {table.columns[place].title}"), Text(row[place], style=tone_style(tone)))
        parts += [block, Text("")]
    return Group(*parts)


def _toned(table: Table, rows_max: int | None) -> list[tuple[Tone | str, tuple[str, ...]]]:
    tones = table.tones or ("neutral",) * len(table.rows)
    return list(zip(tones, table.rows, strict=True))[:rows_max]


def _least_width(table: Table, kept: tuple[int, ...]) -> int:
    return sum(_least(table, place) + COLUMN_GAP for place in kept)


def _least(table: Table, place: int) -> int:
    """The fewest cells that a column needs: all of its figures, names and codes, a little of its text."""
    longest = _longest(table, place)
    if not _is_whole(table, place):
        words = [len(word) for row in table.rows for word in row[place].split() if len(word) <= WORD_LENGTH_MAX]
        text = PROSE_WIDTH_MIN if longest >= PROSE_LENGTH_MIN else TEXT_WIDTH_MIN
        title = table.columns[place].title
        return min(max(longest, _longest_word(title)), max(text, *words, _longest_word(title)))
    return max(longest, *map(len, _heading(table.columns[place], longest).splitlines()))


def _is_whole(table: Table, place: int) -> bool:
    """Whether a column's cells stay on one line: figures, and short names in the first column."""
    return table.columns[place].is_number or (place == 0 and _longest(table, place) <= NO_WRAP_LENGTH_MAX)


def _longest(table: Table, place: int) -> int:
    return max(len(row[place]) for row in table.rows)


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _heading(column: Column, longest: int) -> str:
    """A heading of figures in lines that are no wider than they need to be; another one as it is."""
    if not column.is_number:
        return column.title
    width = max(longest, HEADING_WIDTH_MIN, _longest_word(column.title))
    return "\n".join(textwrap.wrap(column.title, width, break_long_words=False)) or column.title
