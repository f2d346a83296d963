"""What a report is, before it is drawn: a verdict, a few figures, tables and plots, and the full data.

Builders turn results into a `Report`; the writers turn a `Report` into markdown, HTML, CSV and JSON. Every cell is text
already: nothing downstream formats money.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Discriminator

MARKDOWN_COLUMNS_MAX = 7  # what the Prefect page shows without scrolling
PAGE_ROWS_MAX = 400  # rows of one table on the HTML page; the CSV file has them all
MARKDOWN_ROWS_MAX = 40
BOOK_ROWS_MAX = 40  # rows drawn in the picture of a book
PLOT_LINES_MAX = 24  # lines drawn in one chart: those that moved most


class Tone(StrEnum):
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that the reader should see first."""

    label: str
    value: str
    note: str = ""
    tone: Tone = Tone.NEUTRAL


@dataclass(frozen=True, slots=True)
class Column:
    """`narrow` columns are shown in markdown too; at most seven of a table may be."""

    title: str
    is_number: bool = False
    narrow: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of ready text. `name` is its CSV file; `tones` colours a row; `empty` is said when there is none."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    empty: str = "None."
    tones: tuple[Tone, ...] = ()
    section: Literal["table"] = "table"

    def shown(self, *, narrow_only: bool) -> tuple[int, ...]:
        """Places of the columns to draw: those that have something in a row (all of them where there is no row)."""
        return tuple(
            place
            for place, column in enumerate(self.columns)
            if (column.narrow or not narrow_only) and (not self.rows or any(row[place] for row in self.rows))
        )

    def __post_init__(self) -> None:
        narrow = sum(column.narrow for column in self.columns)
        if narrow > MARKDOWN_COLUMNS_MAX:
            raise ValueError(f"table {self.name} has {narrow} narrow columns, at most {MARKDOWN_COLUMNS_MAX} fit")
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.name} has {len(self.columns)} columns, a row has {len(row)}: {row}")
        if self.tones and len(self.tones) != len(self.rows):
            raise ValueError(f"table {self.name} has {len(self.rows)} rows but {len(self.tones)} tones")


@dataclass(frozen=True, slots=True)
class DriftLine:
    """Weights of one line, as parts of equity; `band` is the drift that is tolerated (half width)."""

    label: str
    target: Decimal
    before: Decimal
    after: Decimal | None
    band: Decimal


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a simple chart, its value and how it reads."""

    label: str
    value: Decimal
    shown: str
    tone: Tone = Tone.NEUTRAL


class PlotKind(StrEnum):
    DRIFT = "drift"  # lines: before and after against the tolerance band
    WEIGHTS = "weights"  # lines: current, target and after
    BARS = "bars"  # bars: one value each
    TIMELINE = "timeline"  # spans: runs against time
    CURVES = "curves"  # curves: values against time
    BOOK = "book"  # rows: where each line is, should be and will be, by account
    WATERFALL = "waterfall"  # steps: how one amount becomes another


@dataclass(frozen=True, slots=True)
class Span:
    """One run on a time axis, in seconds since the first one began."""

    label: str
    start_s: float
    duration_s: float
    tone: Tone = Tone.NEUTRAL


@dataclass(frozen=True, slots=True)
class BookRow:
    """One line of a book, as parts of its equity; `band` is how far from target is allowed, None without bands.

    Rows of one `group` stand together under its name. `note` is said at the right end of the row.
    """

    label: str
    group: str
    before: Decimal
    target: Decimal
    after: Decimal
    band: Decimal | None
    note: str
    tone: Tone = Tone.NEUTRAL


@dataclass(frozen=True, slots=True)
class WaterfallStep:
    """One step of a waterfall: an amount that is added, or (`is_total`) the level that was reached."""

    label: str
    amount: Decimal
    shown: str
    is_total: bool = False
    tone: Tone = Tone.NEUTRAL


@dataclass(frozen=True, slots=True)
class Curve:
    """One value over time; `points` are in time order."""

    label: str
    points: tuple[tuple[datetime, Decimal], ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """What to draw; `alt` says in words what the picture shows."""

    name: str
    title: str
    kind: PlotKind
    alt: str
    axis: str = ""
    lines: tuple[DriftLine, ...] = ()
    bars: tuple[Bar, ...] = ()
    spans: tuple[Span, ...] = ()
    curves: tuple[Curve, ...] = ()
    rows: tuple[BookRow, ...] = ()
    steps: tuple[WaterfallStep, ...] = ()
    note: str = ""
    section: Literal["plot"] = "plot"


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph or a list under a heading."""

    title: str
    lines: tuple[str, ...]
    section: Literal["text"] = "text"


Section = Annotated[Table | Plot | Text, Discriminator("section")]


@dataclass(frozen=True, slots=True)
class Report:
    """One job's result as people read it.

    `data` is the whole result for the JSON file; `evidence` the rows that a summary over several runs collects
    (orders, fills, breaks), both JSON-ready.
    """

    kind: str
    title: str
    subtitle: str
    tone: Tone
    verdict: str
    figures: tuple[Figure, ...]
    sections: tuple[Section, ...]
    data: Mapping[str, Any] = field(default_factory=dict)
    evidence: Mapping[str, list[Any]] = field(default_factory=dict)

    @property
    def tables(self) -> tuple[Table, ...]:
        return tuple(section for section in self.sections if isinstance(section, Table))
