"""The benchmarks measure what they say, at a small size."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench import calls, desk, planning, receiving, reconciling, reconciling_whole, requests, running, venue_calls
from bench.__main__ import main
from bench.measure import Timing, in_turns
from brokers.registry import supported_venues


def test_contestants_take_turns_and_each_begins_once() -> None:
    order: list[str] = []
    taken = in_turns({name: lambda name=name: order.append(name) for name in "abc"}, rounds=3, warm_up=0)  # type: ignore[misc]
    assert "".join(order) == "abcbcacab"
    assert {timing.calls for timing in taken.values()} == {3}


def test_a_timing_is_median_and_ninetieth_percentile() -> None:
    timing = Timing.of([n / 1000 for n in range(1, 11)])
    assert (timing.calls, timing.median_ms, timing.p90_ms) == (10, 5.5, 10.0)
    with pytest.raises(ValueError, match="at least one call"):
        Timing.of([])


def test_planning_and_reconciling_run_at_any_size(tmp_path: Path) -> None:
    rows = planning.run(lines=200, accounts=2, repeats=1)
    assert [row.what.split(",")[0] for row in rows] == ["200 lines", "200 lines × 2 accounts"] * 2
    taken = reconciling.measure(500)
    assert taken.fills == 500
    whole = reconciling_whole.measure(400, tmp_path)
    assert (whole.fills, round(reconciling.exponent(10, 2.0, 1_000, 200.0), 6)) == (400, 1)


def test_venue_calls_are_compared_with_both_clients(tmp_path: Path) -> None:
    rows = calls.run(tmp_path, rounds=3)
    assert [row.what for row in rows][-2:] == ["place, against pybit", "place, against ccxt"]
    assert all(float(row.ratio) > 0 for row in rows)


@pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning")  # python-okx's way of sending
def test_calls_of_the_other_venues_are_compared_with_their_sdks_and_ccxt(tmp_path: Path) -> None:
    rows = venue_calls.run(tmp_path, rounds=1)
    compared = {row.what.split(",")[0] for row in rows}
    assert compared == {
        f"{v}: {what}" for v in venue_calls.VENUES for what in ("balances", "quote", "positions", "place")
    }
    assert all(float(row.ratio) > 0 for row in rows)


def test_no_operation_takes_more_requests_than_the_venue_needs(tmp_path: Path) -> None:
    rows = requests.run(tmp_path)
    assert [row.what for row in rows if not row.held] == []
    assert len(rows) == len(supported_venues())


def test_orders_of_the_desk_end_filled(tmp_path: Path) -> None:
    rows = desk.run(tmp_path, orders=2)
    assert "2 orders" in rows[0].detail


def test_a_run_over_three_accounts_completes() -> None:
    whole, sends = running.run(legs=7)
    assert "3 orders" in sends.what
    assert whole.what == "7 legs on 3 accounts, planned to proved"


def test_an_unknown_section_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["speed"])
    assert "sections: calls, venues, requests, plan" in capsys.readouterr().err


def test_the_report_is_written(tmp_path: Path) -> None:
    assert main(["plan", "--report", str(tmp_path / "out")]) in (0, 1)
    assert (tmp_path / "out" / "report.html").is_file()
    assert '"5,000 lines"' in (tmp_path / "out" / "result.json").read_text()


def test_waits_of_alerts_count_from_when_they_were_due(tmp_path: Path) -> None:
    with receiving.bare_endpoint(tmp_path) as address:
        waits = asyncio.run(receiving.open_loop(address, rate=50, seconds=0.5))
    assert (len(waits.ms), waits.refused) == (25, 0)
    row = receiving._row("SQLite", 200, receiving.Waits((10.0,) * 99 + (26.0,), 0), waits)
    assert row.held is False, "26 ms at p99 are more than the aim"
    assert receiving._row("SQLite", 200, receiving.Waits((10.0,) * 100, 1), waits).held is False, "one was refused"
    assert receiving._row("SQLite", 200, receiving.Waits((10.0,) * 100, 0), waits).held is True
