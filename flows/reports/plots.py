"""Charts as small SVG texts: drawn once with colour names, coloured by the page (light or dark) or fixed for an image.

matplotlib is imported only when something is drawn. Charts are deterministic: the same plot gives the same text.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from flows.reports.model import BOOK_ROWS_MAX, PLOT_LINES_MAX, BookRow, DriftLine, Plot, PlotKind, Tone

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Each role is drawn in a colour that nothing else uses, then replaced by the page's own.
_ROLES: Final = {
    "ink": "#010201",
    "muted": "#010202",
    "grid": "#010203",
    "before": "#010204",
    "after": "#010205",
    "band": "#010206",
    "target": "#010207",
    "good": "#010208",
    "warn": "#010209",
    "bad": "#01020a",
    "neutral": "#01020b",
}
# For images in markdown, where the page's theme is not known: readable on white and on near black.
_FIXED: Final = {
    "ink": "#6f7682",
    "muted": "#6f7682",
    "grid": "#8a919c55",
    "before": "#8f96a3",
    "after": "#2f7fd8",
    "band": "#2fa36b",
    "target": "#d98a1f",
    "good": "#2f9e63",
    "warn": "#d98a1f",
    "bad": "#d64545",
    "neutral": "#2f7fd8",
}
_TONE_ROLE: Final = {Tone.GOOD: "good", Tone.WARN: "warn", Tone.BAD: "bad", Tone.NEUTRAL: "neutral"}
_CURVE_ROLES: Final = ("after", "target", "good", "bad", "before")
_WIDTH_IN: Final = 7.6


def svg(plot: Plot) -> str:
    """An SVG element for an HTML page whose style sheet defines `--plot-ink` and the other roles."""
    return _colour(_drawn(plot), lambda role: f"var(--plot-{role})")


def data_uri(plot: Plot) -> str:
    """The chart as an image that markdown can carry, in colours that suit both themes."""
    text = _colour(_drawn(plot), lambda role: _FIXED[role])
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


def _colour(text: str, colour_of: Callable[[str], str]) -> str:
    for role, placeholder in _ROLES.items():
        text = text.replace(placeholder, colour_of(role))
    return text


@lru_cache(maxsize=32)  # the page and the artifact show the same charts
def _drawn(plot: Plot) -> str:
    with _canvas() as new_figure:
        figure = _DRAWERS[plot.kind](plot, new_figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata=_NO_META)
    return _trim(buffer.getvalue(), plot)


_NO_META: Final[dict[str, Any]] = {"Date": None, "Creator": None, "Format": None, "Type": None}


def _trim(text: str, plot: Plot) -> str:
    """Keep the element only: no prolog, no fixed size, no metadata; say in words what is drawn."""
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'(<svg[^>]*?) width="[\d.]+pt" height="[\d.]+pt"', r"\1", body, count=1)
    body = re.sub(r"font: ([\d.]+px) 'sans-serif'", r"font-size: \1; font-family: sans-serif", body)
    # Ids of clips and markers must not collide when several charts stand on one page.
    prefix = f"{plot.name}-"
    body = re.sub(r'id="([^"]+)"', rf'id="{prefix}\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}\1"', body)
    label = plot.alt.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return body.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


@contextmanager
def _canvas() -> Iterator[Callable[[float], tuple[Figure, Axes]]]:
    """Give a maker of (figure, axes) of a height in inches, in our style, without any window system."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as NewFigure

    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "algotrendy",
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": _ROLES["ink"],
        "axes.labelcolor": _ROLES["muted"],
        "axes.edgecolor": _ROLES["grid"],
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.axisbelow": True,
        "xtick.color": _ROLES["muted"],
        "ytick.color": _ROLES["ink"],
        "grid.color": _ROLES["grid"],
        "grid.linewidth": 0.8,
        "legend.frameon": False,
    }

    def new_figure(height_in: float) -> tuple[Figure, Axes]:
        figure = NewFigure(figsize=(_WIDTH_IN, height_in), layout="constrained")
        return figure, figure.add_subplot()

    with mpl.rc_context(style):
        yield new_figure


NewFigureAxes = Callable[[float], "tuple[Figure, Axes]"]


def largest(lines: Sequence[DriftLine]) -> tuple[DriftLine, ...]:
    """The lines that are drawn: all where they fit, else those that were or are furthest from target."""
    if len(lines) <= PLOT_LINES_MAX:
        return tuple(lines)

    def distance(line: DriftLine) -> Decimal:
        after = line.before if line.after is None else line.after
        return max(abs(line.before - line.target), abs(after - line.target))

    kept = sorted(lines, key=distance, reverse=True)[:PLOT_LINES_MAX]
    return tuple(line for line in lines if line in kept)


def _draw_drift(plot: Plot, new_figure: NewFigureAxes) -> Figure:
    lines = largest(plot.lines)
    figure, axes = new_figure(1.1 + 0.42 * max(1, len(lines)))
    has_after = any(line.after is not None for line in lines)
    for row, line in enumerate(lines):
        band = _pct(line.band)
        axes.barh(row, 2 * band, left=-band, height=0.86, color=_ROLES["band"], alpha=0.18, linewidth=0)
        axes.vlines([-band, band], row - 0.43, row + 0.43, color=_ROLES["band"], linewidth=1, alpha=0.7)
        offset = 0.19 if has_after else 0.0
        axes.barh(row - offset, _pct(line.before - line.target), height=0.3, color=_ROLES["before"], linewidth=0)
        if line.after is not None:
            _bar_with_dot(axes, row + offset, _pct(line.after - line.target))
    axes.axvline(0, color=_ROLES["muted"], linewidth=1)
    _label_rows(axes, [line.label for line in lines])
    axes.set_xlabel(plot.axis or "drift from target, percentage points of equity")
    axes.grid(axis="x")
    _widen(axes, floor=max((_pct(line.band) for line in lines), default=1.0) * 1.4)
    entries = [("before", "before", "bar"), ("tolerance band", "band", "band")]
    _legend(axes, [entries[0], *([("after", "after", "bar")] if has_after else []), entries[1]])
    return figure


def _bar_with_dot(axes: Axes, row: float, value: float) -> None:
    """A bar that stays visible when the drift left is next to nothing."""
    axes.barh(row, value, height=0.3, color=_ROLES["after"], linewidth=0)
    axes.plot([value], [row], "o", color=_ROLES["after"], markersize=4)


def _draw_weights(plot: Plot, new_figure: NewFigureAxes) -> Figure:
    lines = largest(plot.lines)
    figure, axes = new_figure(1.0 + 0.34 * max(1, len(lines)))
    has_after = any(line.after is not None for line in lines)
    for row, line in enumerate(lines):
        end = line.before if line.after is None else line.after
        axes.plot([_pct(line.before), _pct(end)], [row, row], color=_ROLES["before"], linewidth=2, alpha=0.6)
        axes.plot([_pct(line.target)], [row], "|", color=_ROLES["target"], markersize=15, markeredgewidth=2.4)
        axes.plot([_pct(line.before)], [row], "o", color=_ROLES["before"], markersize=6.5)
        if line.after is not None:
            axes.plot([_pct(line.after)], [row], "o", color=_ROLES["after"], markersize=6.5)
    if any(line.before < 0 or line.target < 0 for line in lines):
        axes.axvline(0, color=_ROLES["muted"], linewidth=1)
    else:
        axes.set_xlim(left=0)
    _label_rows(axes, [line.label for line in lines])
    axes.set_xlabel(plot.axis or "weight, percent of equity")
    axes.grid(axis="x")
    _legend(
        axes, [("current", "before", "dot"), ("target", "target", "tick"), *([("after", "after", "dot")] * has_after)]
    )
    return figure


def _draw_bars(plot: Plot, new_figure: NewFigureAxes) -> Figure:
    from matplotlib.ticker import StrMethodFormatter

    figure, axes = new_figure(0.7 + 0.36 * max(1, len(plot.bars)))
    widest = max((abs(float(bar.value)) for bar in plot.bars), default=1.0) or 1.0
    for row, bar in enumerate(plot.bars):
        value = float(bar.value)
        axes.barh(row, value, height=0.58, color=_ROLES[_TONE_ROLE[bar.tone]], linewidth=0)
        is_left = value < 0
        axes.text(
            value + widest * (-0.015 if is_left else 0.015),
            row,
            bar.shown,
            va="center",
            ha="right" if is_left else "left",
        )
    axes.axvline(0, color=_ROLES["muted"], linewidth=1)
    _label_rows(axes, [bar.label for bar in plot.bars])
    axes.set_xlabel(plot.axis)
    axes.margins(x=0.18)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.grid(axis="x")
    return figure


def _draw_timeline(plot: Plot, new_figure: NewFigureAxes) -> Figure:
    figure, axes = new_figure(0.7 + 0.38 * max(1, len(plot.spans)))
    end = max((span.start_s + span.duration_s for span in plot.spans), default=1.0)
    for row, span in enumerate(plot.spans):
        shown = max(span.duration_s, end * 0.004)
        axes.barh(row, shown, left=span.start_s, height=0.56, color=_ROLES[_TONE_ROLE[span.tone]], linewidth=0)
        axes.text(span.start_s + shown + end * 0.01, row, f"{span.duration_s:.1f} s", va="center")
    _label_rows(axes, [span.label for span in plot.spans])
    axes.set_xlabel(plot.axis or "seconds since the first run began")
    axes.set_xlim(0, end * 1.12)
    axes.grid(axis="x")
    return figure


def _draw_curves(plot: Plot, new_figure: NewFigureAxes) -> Figure:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    figure, axes = new_figure(2.7)
    for role, curve in zip(_CURVE_ROLES, plot.curves, strict=False):
        times: list[Any] = [time for time, _ in curve.points]
        axes.plot(times, [float(value) for _, value in curve.points], color=_ROLES[role], linewidth=1.6)
    axes.set_ylabel(plot.axis)
    locator: Any = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.grid(axis="y")
    _legend(axes, [(c.label, role, "line") for role, c in zip(_CURVE_ROLES, plot.curves, strict=False)])
    return figure


def largest_rows(rows: Sequence[BookRow]) -> tuple[BookRow, ...]:
    """The rows that are drawn: all where they fit, else those that move or are off most, in their own order."""
    if len(rows) <= BOOK_ROWS_MAX:
        return tuple(rows)

    def weight(place: int) -> tuple[Decimal, int]:
        row = rows[place]
        return -max(abs(row.after - row.before), abs(row.after - row.target)), place

    kept = set(sorted(range(len(rows)), key=weight)[:BOOK_ROWS_MAX])
    return tuple(row for place, row in enumerate(rows) if place in kept)


def _draw_book(plot: Plot, new_figure: NewFigureAxes) -> Figure:
    """Each line from where it is (hollow) to where it will be (full), against its target and its band."""
    rows = largest_rows(plot.rows)
    groups = list(dict.fromkeys(row.group for row in rows))
    places = {group: place for place, group in enumerate(groups)}
    ordered = sorted(rows, key=lambda row: places[row.group])
    height = len(ordered) + len(groups)
    figure, axes = new_figure(1.15 + 0.31 * height)
    place, labels = 0, []
    for group in groups:
        labels.append((place, group, True))
        place += 1
        for row in (row for row in ordered if row.group == group):
            labels.append((place, row.label, False))
            _draw_book_row(axes, place, row)
            place += 1
    _book_axes(plot, axes, ordered, labels)
    return figure


def _draw_book_row(axes: Axes, place: int, row: BookRow) -> None:
    before, target, after = _pct(row.before), _pct(row.target), _pct(row.after)
    if row.band is not None:
        axes.barh(place, 2 * _pct(row.band), left=target - _pct(row.band), height=0.66, color=_ROLES["band"],
                  alpha=0.16, linewidth=0)  # fmt: skip
    axes.plot([target, target], [place - 0.33, place + 0.33], color=_ROLES["target"], linewidth=2.2)
    if row.before != row.after:
        axes.plot([before, after], [place, place], color=_ROLES["after"], linewidth=2.4, alpha=0.55,
                  solid_capstyle="butt")  # fmt: skip
        axes.plot([after], [place], "o", color=_ROLES["after"], markersize=7)
    axes.plot([before], [place], "o", markerfacecolor="none", markeredgecolor=_ROLES["before"], markersize=7,
              markeredgewidth=1.8)  # fmt: skip


def _book_axes(plot: Plot, axes: Axes, rows: Sequence[BookRow], labels: Sequence[tuple[int, str, bool]]) -> None:
    values = [_pct(value) for row in rows for value in (row.before, row.target, row.after)]
    low, high = min([0.0, *values]), max([0.0, *values])
    room = max(high - low, 0.5)
    axes.set_xlim(low - room * 0.06, high + room * 0.06)
    for place, _, is_group in labels:
        if not is_group:
            axes.vlines(0, place - 0.5, place + 0.5, color=_ROLES["muted"], linewidth=1)
    _label_rows(axes, ["" if is_group else label for _, label, is_group in labels])
    notes = iter(rows)
    for place, label, is_group in labels:
        if is_group:
            axes.axhspan(place - 0.5, place + 0.5, color=_ROLES["grid"], alpha=0.35, linewidth=0)
            axes.annotate(_escaped(label), (0, place), (6, 0), xycoords=("axes fraction", "data"),
                          textcoords="offset points", va="center", fontweight="bold")  # fmt: skip
            continue
        row = next(notes)
        role = "ink" if row.tone is Tone.NEUTRAL else "muted" if row.tone is Tone.GOOD else _TONE_ROLE[row.tone]
        axes.annotate(_escaped(row.note), (1, place), (8, 0), xycoords=("axes fraction", "data"),
                      textcoords="offset points", va="center", color=_ROLES[role], fontsize=8.5)  # fmt: skip
    axes.set_xlabel(plot.axis or "weight, percent of equity")
    axes.grid(axis="x")
    _legend(
        axes,
        [
            ("current", "before", "ring"),
            ("target", "target", "tick"),
            ("after", "after", "dot"),
            *([("band", "band", "band")] if any(row.band is not None for row in rows) else []),
        ],
    )


def _draw_waterfall(plot: Plot, new_figure: NewFigureAxes) -> Figure:
    """Totals stand on the axis, what is added floats from level to level. The axis begins near the amounts: what an
    account pays in a week is invisible beside what it holds."""
    from matplotlib.ticker import StrMethodFormatter

    figure, axes = new_figure(0.75 + 0.36 * max(1, len(plot.steps)))
    spans, level = [], 0.0
    for step in plot.steps:
        start, level = (0.0, float(step.amount)) if step.is_total else (level, level + float(step.amount))
        spans.append((start, level))
    reached = [end for _, end in spans] or [0.0]
    low, high = min(reached), max(reached)
    room = (high - low) * 0.25 or abs(high) * 0.001 or 1.0
    left = min(0.0, low) if low - room <= 0 or high - low > high / 2 else low - room
    for row, (step, (start, end)) in enumerate(zip(plot.steps, spans, strict=True)):
        begin = max(left, 0.0) if step.is_total else start
        role = _TONE_ROLE[step.tone]
        axes.barh(row, end - begin, left=begin, height=0.58, color=_ROLES[role], linewidth=0)
        if not step.is_total:
            axes.plot([end, end], [row - 0.29, row + 0.29], color=_ROLES[role], linewidth=2)
        if row + 1 < len(spans):
            axes.plot([end, end], [row + 0.29, row + 0.71], color=_ROLES["muted"], linewidth=0.8)
        axes.text(max(begin, end) + (high - left) * 0.015, row, step.shown, va="center", ha="left")
    _label_rows(axes, [step.label for step in plot.steps])
    axes.set_xlim(left, high + (high - left or 1.0) * 0.3)
    axes.set_xlabel(plot.axis)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
    axes.xaxis.set_major_locator(_few_ticks())
    axes.grid(axis="x")
    return figure


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=5)


_DRAWERS: Final[dict[PlotKind, Callable[[Plot, NewFigureAxes], Figure]]] = {
    PlotKind.DRIFT: _draw_drift,
    PlotKind.WEIGHTS: _draw_weights,
    PlotKind.BARS: _draw_bars,
    PlotKind.TIMELINE: _draw_timeline,
    PlotKind.CURVES: _draw_curves,
    PlotKind.BOOK: _draw_book,
    PlotKind.WATERFALL: _draw_waterfall,
}


def _pct(weight: Decimal) -> float:
    return float(weight * 100)


def _label_rows(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels=[_escaped(label) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def _escaped(label: str) -> str:
    """A dollar would start a formula."""
    return label.replace("$", r"\$")


def _widen(axes: Axes, *, floor: float) -> None:
    left, right = axes.get_xlim()
    axes.set_xlim(min(left, -floor), max(right, floor))


def _legend(axes: Axes, entries: Sequence[tuple[str, str, str]]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    for label, role, form in entries:
        colour = _ROLES[role]
        if form == "bar":
            handles.append(Patch(facecolor=colour, linewidth=0, label=label))
        elif form == "band":
            handles.append(Patch(facecolor=colour, alpha=0.3, linewidth=0, label=label))
        elif form == "line":
            handles.append(Line2D([], [], color=colour, linewidth=1.6, label=label))
        elif form == "ring":
            handles.append(
                Line2D([], [], markerfacecolor="none", markeredgecolor=colour, linestyle="", marker="o", markersize=6.5,
                       label=label, mew=1.8)
            )  # fmt: skip
        else:
            marker = "o" if form == "dot" else "|"
            size = 6.5 if form == "dot" else 11
            handles.append(
                Line2D([], [], color=colour, linestyle="", marker=marker, markersize=size, label=label, mew=2)
            )
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(handles), borderaxespad=0.2)
