"""The benchmarks measure what they say, at a small size."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import calls, desk, planning, receiving, reconciling
from bench.__main__ import main
from bench.measure import Timing, in_turns


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


def test_planning_and_reconciling_run_at_any_size() -> None:
    (row,) = planning.run(lines=200, repeats=1)
    assert "200 lines" in row.what
    taken = reconciling.measure(500)
    assert taken.fills == 500


def test_venue_calls_are_compared_with_both_clients(tmp_path: Path) -> None:
    rows = calls.run(tmp_path, rounds=3)
    assert [row.what for row in rows][-2:] == ["place, against pybit", "place, against ccxt"]
    assert all(float(row.ratio) > 0 for row in rows)


def test_orders_of_the_desk_end_filled(tmp_path: Path) -> None:
    rows = desk.run(tmp_path, orders=2)
    assert "2 orders" in rows[0].detail


def test_an_unknown_section_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["speed"])
    assert "sections: calls, plan" in capsys.readouterr().err


def test_the_report_is_written(tmp_path: Path) -> None:
    assert main(["plan", "--report", str(tmp_path / "out")]) in (0, 1)
    assert (tmp_path / "out" / "report.html").is_file()
    assert '"5,000 lines"' in (tmp_path / "out" / "result.json").read_text()


def test_receiving_is_measured_beside_an_endpoint_that_keeps_nothing(tmp_path: Path) -> None:
    (row,) = receiving.run(tmp_path, rates=(50,), seconds=0.5, rounds=1)
    assert "25 alerts, 0 refused" in row.detail and "at p50" in row.ratio
    assert row.held is None, "nothing is aimed at where nothing was promised"
