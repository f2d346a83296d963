"""What the report of a run's plan says, in its picture and its tables."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.ids import AccountId, InstrumentId
from flows.reports import markdown, report_of, write_report
from flows.reports.model import BOOK_ROWS_MAX, BookRow, Plot, PlotKind, Report, Tone
from flows.reports.plots import largest_rows, svg
from tests.trading.rebalancing.building import NOW, make_portfolio, make_view
from trading.rebalancing import plan
from trading.rebalancing.run_plan import AccountPlan, AccountProblem, RunPlan, UsedConversion, assembled
from trading.rebalancing.subscription import Subscription

D = Decimal
A, B, C = "A/USDT:USDT", "B/USDT:USDT", "C/USDT:USDT"
ONE, TWO = "bybit-simulated-one", "bybit-simulated-two"


@pytest.fixture
def run() -> RunPlan:
    """One account far from its targets, one that is there but for a line that cannot be traded."""
    portfolio = make_portfolio({A: "0.5", B: "-0.25", C: "0.1"}, drift={"absolute": "0.02"}, scope="breaching_lines")
    prices = {A: "100", B: "50", C: "10"}
    views = {
        ONE: make_view(prices),
        TWO: make_view(
            prices,
            equity="30000",
            account_id=AccountId.parse("bybit.simulated.two"),
            holdings={A: "148", B: "-150", C: "30"},
            open_order_instruments=frozenset({InstrumentId(C)}),
        ),
    }
    subscription = Subscription.model_validate(
        {
            "name": "pair",
            "portfolio": "core",
            "base_currency": "USD",
            "accounts": [{"account": ONE}, {"account": TWO}],
            "conversions": {"USDT": {"rate": "0.5"}},
        }
    )
    return assembled(
        subscription,
        portfolio,
        time=NOW,
        accounts=[
            AccountPlan(account_name=name, plan=plan(portfolio, view), base_rate=D("0.5"))
            for name, view in views.items()
        ],
        problems=(),
        conversions=(UsedConversion(currency="USDT", rate=D("0.5"), source="fixed", time=None),),
    )


def column(report: Report, name: str, title: str) -> list[str]:
    found = next(item for item in report.tables if item.name == name)
    place = [item.title for item in found.columns].index(title)
    return [row[place] for row in found.rows]


def book(report: Report) -> Plot:
    return next(item for item in report.sections if isinstance(item, Plot) and item.kind is PlotKind.BOOK)


def test_the_picture_has_every_line_of_every_account_in_the_measure_of_the_run(run: RunPlan) -> None:
    rows = book(report_of(run)).rows
    assert [(row.group, row.label) for row in rows] == [
        *(("bybit-simulated-one, 10,000 USDT", label) for label in (A, C, B)),
        *(("bybit-simulated-two, 30,000 USDT", label) for label in (A, C, B)),
    ]
    assert [(row.before, row.target, row.after) for row in rows[:1]] == [(D(0), D("0.125"), D("0.125"))]
    assert rows[0].band == D("0.005")
    assert [row.note for row in rows] == [
        "buy 50 for 2,500 USD",
        "buy 100 for 500 USD",
        "sell 50 for 1,250 USD",
        "within band",
        "open order at venue",
        "within band",
    ]
    assert [row.tone for row in rows[3:]] == [Tone.GOOD, Tone.WARN, Tone.GOOD]


def test_tables_say_where_why_and_how_much(run: RunPlan) -> None:
    report = report_of(run)
    assert report.tone is Tone.NEUTRAL
    assert report.verdict == "3 order(s) wanted on 1 account: 0 reduce, 3 increase."
    assert run.run_hash[:12] in report.subtitle
    assert "prices at most 0 s old" in report.subtitle
    assert column(report, "lines", "Reasons")[3:] == ["WITHIN_BAND", "OPEN_ORDER_AT_VENUE", "WITHIN_BAND"]
    assert column(report, "lines", "Trade, USD")[:3] == ["+2,500.00", "+500.00", "-1,250.00"]
    assert column(report, "accounts", "In USD") == ["5,000.00 (25 %)", "15,000.00 (75 %)"]
    assert column(report, "legs", "Order") == ["buy 50", "sell 50", "buy 100"]
    assert column(report, "conversions", "From") == ["fixed in the subscription"]
    assert report.data["run_plan"]["run_hash"] == run.run_hash


def test_an_account_that_is_left_out_stands_in_the_verdict_and_the_table(run: RunPlan) -> None:
    problem = AccountProblem(account_name=TWO, account_id="", reason="CONNECT_FAILED", detail="nobody answers")
    part = replace(run, accounts=run.accounts[:1], problems=(problem,))
    report = report_of(part)
    assert report.tone is Tone.WARN
    assert f"{TWO} is left out: CONNECT_FAILED." in report.verdict
    assert column(report, "accounts", "Left out because") == ["", "CONNECT_FAILED: nobody answers"]
    nothing = report_of(replace(run, accounts=(), problems=(problem,)))
    assert nothing.tone is Tone.BAD
    assert nothing.verdict.startswith("No account can be planned.")
    assert not any(isinstance(item, Plot) for item in nothing.sections)


def test_it_is_written_for_the_ui_and_as_files(run: RunPlan, tmp_path: Path) -> None:
    text = markdown(run)
    assert "data:image/svg+xml;base64," in text
    files = write_report(run, tmp_path)
    page = files.html.read_text()
    assert "buy 50 for 2,500 USD" in page
    assert (tmp_path / "lines.csv").read_text().count("\n") == 7


def test_a_large_book_draws_what_moves_most() -> None:
    rows = tuple(
        BookRow(str(n), "one", before=D(0), target=D(n) / 1000, after=D(n) / 1000, band=None, note="")
        for n in range(90)
    )
    assert [row.label for row in largest_rows(rows)] == [str(n) for n in range(90 - BOOK_ROWS_MAX, 90)]
    drawn = svg(Plot("book", "Book", PlotKind.BOOK, "All of it", rows=rows))
    assert ">89<" in drawn and ">49<" not in drawn
