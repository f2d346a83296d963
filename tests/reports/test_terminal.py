"""Tables on a terminal: whatever its width, no figure, name or code is cut."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from flows.reports.model import Column, Table, Tone
from flows.reports.terminal import WIDE_COLUMNS, draw, table_width

LEGS = Table(
    "accounts",
    "Accounts",
    (
        Column("Account"),
        *(Column(title, is_number=True) for title in ("Equity", "In USD", "Orders", "Turnover", "Cost")),
        Column("Reason", narrow=False),
    ),
    (
        ("bybit-simulated-main", "100,000.00 USDT", "100,000.00 (20.00 %)", "3", "78,400.87 USDT", "128.23 USDT", ""),
        ("alpaca-simulated-main", "100,000.00 USD", "100,000.00 (20.00 %)", "4", "88,130.75 USD", "279.47 USD", "HELD"),
    ),
    note="Weights are of the joint equity.",
    tones=(Tone.GOOD, Tone.WARN),
)


def drawn(table: Table, width: int, rows_max: int | None = None) -> str:
    written = io.StringIO()
    console = Console(file=written, width=width, highlight=False)
    for part in draw(table, width=width, rows_max=rows_max):
        console.print(part)
    assert all(len(line) <= width for line in written.getvalue().splitlines())
    return written.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 149, WIDE_COLUMNS, 300])
def test_every_figure_and_name_is_whole_at_any_width(width: int) -> None:
    shown = drawn(LEGS, width)
    for row in LEGS.rows:
        for cell in row[:-1]:
            assert cell in shown
    assert LEGS.note in shown
    assert ("HELD" in shown) is (width >= WIDE_COLUMNS)


def test_a_terminal_that_is_too_narrow_gets_row_under_row() -> None:
    lines = drawn(LEGS, 80).splitlines()
    assert [line.split() for line in lines if "Cost" in line] == [["Cost", "128.23", "USDT"], ["Cost", "279.47", "USD"]]
    wide = drawn(LEGS, 120).splitlines()
    assert any("Account" in line and "Cost" in line for line in wide)


def test_a_heading_of_narrow_figures_is_not_set_word_under_word() -> None:
    ages = ("under 1 h", "1 h to 1 day", "over 7 days")
    table = Table("ages", "Ages", tuple(Column(title, is_number=True) for title in ages), (("1", "–", "–"),))
    assert "1 h to" in drawn(table, 80)


def test_more_rows_than_are_wanted_are_counted() -> None:
    shown = drawn(LEGS, 160, rows_max=1)
    assert "… and 1 more" in shown and "alpaca" not in shown


@given(
    cells=st.lists(st.tuples(*[st.from_regex(r"[A-Z0-9.,]{1,40}", fullmatch=True)] * 4), min_size=1, max_size=4),
    width=st.integers(60, 200),
)
def test_figures_are_never_cut(cells: list[tuple[str, ...]], width: int) -> None:
    columns = tuple(Column(f"Figure {place}", is_number=True) for place in range(4))
    shown = drawn(Table("t", "Table", columns, tuple(cells)), width)
    assert all(cell in shown for row in cells for cell in row)


def test_a_pipe_has_no_edge_and_a_chosen_width_counts() -> None:
    assert table_width(is_terminal=False, console_width=80, is_chosen=False) == WIDE_COLUMNS
    assert table_width(is_terminal=False, console_width=80, is_chosen=True) == 80
    assert table_width(is_terminal=True, console_width=80, is_chosen=False) == 80


def test_codes_stay_whole_and_sentences_legible_or_the_rows_stand_under_each_other() -> None:
    """A code that is cut in two cannot be looked up, and nobody reads a sentence word under word."""
    columns = tuple(Column(title) for title in ("Alert", "Received", "What", "State", "Reason", "Detail"))
    said = "stop_loss would not be placed; let the strategy send its exit, or set brackets: ignore for route apple"
    row = ("9", "2026-11-26 08:09:16 UTC", "buy AAPL", "refused", "PLACEHOLDER_UNRESOLVED", said)
    shown = drawn(Table("alerts", "Alerts", columns, (row,)), 80)
    assert "PLACEHOLDER_UNRESOLVED" in shown
    assert "let the strategy send its exit" in shown.replace("\n", " ")
    assert max(map(len, shown.splitlines())) <= 80
    two = drawn(Table("two", "Two", columns[4:], (row[4:],)), 80)
    assert "PLACEHOLDER_UNRESOLVED  stop_loss would not be placed" in two
