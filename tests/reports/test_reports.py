"""What each job's report says, and that a reader can trust its colour."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from brokers.types import CashEvent, CashEventKind
from flows.reports import markdown, report_of
from flows.reports.model import MARKDOWN_COLUMNS_MAX, Plot, Report, Table, Tone
from ledger.states import PlanState, ReconciliationOutcome
from tests.reports.conftest import ACCOUNT, BTC, ETH, make_break, make_reconciliation, make_sync
from tests.trading.rebalancing.building import NOW
from trading.closing import ClosedPosition, CloseOutcome
from trading.leverage import LeverageOutcome, LeverageResult
from trading.orders import SweepReport
from trading.orders.adopting import Sightings
from trading.plans import RebalanceResult

D = Decimal


def table(report: Report, name: str) -> Table:
    return next(item for item in report.tables if item.name == name)


def column(report: Report, name: str, title: str) -> list[str]:
    found = table(report, name)
    place = [item.title for item in found.columns].index(title)
    return [row[place] for row in found.rows]


def test_a_reached_target_is_green_and_shows_both_sides(reached: RebalanceResult) -> None:
    report = report_of(reached)
    assert (report.kind, report.tone) == ("rebalance", Tone.GOOD)
    assert "all 2 lines" in report.verdict
    drift = next(item for item in report.sections if isinstance(item, Plot) and item.name == "drift")
    assert [line.label for line in drift.lines] == [str(BTC), str(ETH)]
    assert all(line.after is not None and abs(line.after - line.target) <= line.band for line in drift.lines)
    assert column(report, "lines", "Verdict") == ["reached", "reached"]
    assert column(report, "positions", "Before") == ["0", "1"]
    assert len(report.evidence["orders"]) == len(reached.plan.plan.legs)


def test_a_refused_plan_is_red_and_names_the_reason(refused: RebalanceResult) -> None:
    report = report_of(refused)
    assert report.tone is Tone.BAD
    assert "VENUE_INSUFFICIENT_FUNDS" in " ".join(column(report, "lines", "Reasons"))
    assert set(table(report, "lines").tones) == {Tone.BAD}


def test_a_plan_only_run_shows_the_plan(reached: RebalanceResult) -> None:
    planned = replace(reached, result=None, state=PlanState.PLANNED, after=None, message="planned")
    report = report_of(planned)
    assert (report.kind, report.tone) == ("plan", Tone.NEUTRAL)
    assert column(report, "legs", "Side") == [leg.side.value for leg in reached.plan.plan.legs]


def test_an_unfinished_plan_is_never_green(reached: RebalanceResult) -> None:
    report = report_of(replace(reached, result=None, state=PlanState.EXECUTING, message="time is over"))
    assert (report.kind, report.tone) == ("rebalance", Tone.WARN)
    assert "time is over" in report.verdict


def test_a_break_carries_amounts_tolerance_and_evidence() -> None:
    report = report_of(make_reconciliation(make_break()))
    assert report.tone is Tone.BAD
    (row,) = table(report, "breaks").rows
    assert row[:6] == ("POSITION_DIFFERS", f"position {BTC}", "0.5", "0.75", "+0.25", "0")
    assert "venue_read_at" in row[6]
    (evidence,) = report.evidence["breaks"]
    assert evidence["difference"] == "0.25"


def test_a_clean_reconciliation_is_green_and_an_unread_one_is_not() -> None:
    assert report_of(make_reconciliation()).tone is Tone.GOOD
    unread = replace(
        make_reconciliation(), outcome=ReconciliationOutcome.NOT_RECONCILED, findings=None, reason="CONNECT_FAILED"
    )
    report = report_of(unread)
    assert report.tone is Tone.BAD
    assert "CONNECT_FAILED" in report.verdict


def test_a_sync_that_cannot_name_a_wallet_change_is_red() -> None:
    event = CashEvent(ACCOUNT, "e1", CashEventKind.UNMAPPED, "USDT", D(1), NOW, venue_kind="MYSTERY")
    assert report_of(make_sync({BTC: D(1)})).tone is Tone.GOOD
    assert report_of(make_sync(is_settled=False)).tone is Tone.WARN
    assert report_of(make_sync(unmapped_cash_events=(event,))).tone is Tone.BAD


@pytest.mark.parametrize(
    ("outcome", "tone"),
    [
        (LeverageOutcome.SET, Tone.GOOD),
        (LeverageOutcome.ALREADY_SO, Tone.GOOD),
        (LeverageOutcome.REFUSED, Tone.BAD),
        (LeverageOutcome.DIFFERS, Tone.BAD),
        (LeverageOutcome.UNKNOWN, Tone.BAD),
    ],
)
def test_leverage_is_green_only_when_proved(outcome: LeverageOutcome, tone: Tone) -> None:
    item = LeverageResult(instrument_id=BTC, wanted=D(3), before=D(10), after=None, outcome=outcome)
    report = report_of((item,), subject=str(ACCOUNT))
    assert report.tone is tone
    assert str(ACCOUNT) in report.title


@pytest.mark.parametrize(
    ("outcome", "tone"),
    [(CloseOutcome.FLAT, Tone.GOOD), (CloseOutcome.LEFT, Tone.WARN), (CloseOutcome.UNRESOLVED, Tone.BAD)],
)
def test_closing_takes_the_colour_of_its_worst_position(outcome: CloseOutcome, tone: Tone) -> None:
    def closed(how: CloseOutcome) -> ClosedPosition:
        return ClosedPosition(
            instrument_id=BTC,
            position_side=None,
            quantity_before=D(1),
            filled_quantity=D(1),
            quantity_left=D(0),
            outcome=how,
        )

    assert report_of([closed(CloseOutcome.ALREADY_FLAT), closed(outcome)]).tone is tone


def test_a_sweep_that_saw_what_should_not_be_there_is_red() -> None:
    assert report_of(SweepReport((), 0, Sightings())).tone is Tone.GOOD
    assert report_of(SweepReport((), 0, Sightings(untracked=("x1",)))).tone is Tone.BAD
    assert report_of(SweepReport((), 0, Sightings(), unread="CONNECT_FAILED: no")).tone is Tone.WARN


def test_nothing_to_do_has_a_report_and_an_unknown_type_has_none() -> None:
    assert report_of(()).tone is Tone.GOOD
    with pytest.raises(TypeError, match="no report is made of dict"):
        report_of({"a": 1})


def test_markdown_keeps_to_seven_columns_and_escapes_what_would_format(refused: RebalanceResult) -> None:
    for result in (refused, make_reconciliation(make_break()), make_sync({BTC: D(1)})):
        text = markdown(result)
        rows = [line for line in text.splitlines() if line.startswith("| ")]
        assert rows
        for row in rows:
            cells = row.replace(r"\|", "").count("|") - 1
            assert cells <= MARKDOWN_COLUMNS_MAX, row
    assert "<b>" not in markdown(make_reconciliation(make_break()))
    assert r"\<b\>t\|1" in markdown(make_reconciliation(make_break()))


def test_markdown_charts_are_images_without_scripts(reached: RebalanceResult) -> None:
    text = markdown(reached)
    assert text.count("](data:image/svg+xml;base64,") == 3
    assert len(text) < 200_000


def test_breaks_of_former_runs_are_shown_even_when_this_one_saw_none() -> None:
    old = "POSITION_DIFFERS position AAPL/USDT:USDT"
    result = replace(make_reconciliation(), outcome=ReconciliationOutcome.BREAKS, still_open=(old,))
    report = report_of(result)
    assert report.tone is Tone.BAD
    assert "1 of former runs still open" in report.verdict
    assert "position AAPL/USDT:USDT" in markdown(report)
