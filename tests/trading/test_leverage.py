"""Leverage: what counts is what reads back."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from brokers.ids import InstrumentId
from tests.trading.simulated import Stage, stage
from trading.leverage import LeverageOutcome, LeverageRefused
from trading.leverage import set_leverage as set_of

D = Decimal
set_leverage = partial(set_of, leverage_max=D(2000))
AAPL, MSFT = InstrumentId("AAPL/USDT:USDT"), InstrumentId("MSFT/USDT:USDT")


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as opened:
        yield opened


def test_sets_and_reads_back_and_setting_again_is_already_so(on: Stage) -> None:
    first = set_leverage(on.runtime, {MSFT: D(5), AAPL: D(3)})
    assert [(item.instrument_id, item.before, item.after, item.outcome) for item in first] == [
        (AAPL, D(10), D(3), LeverageOutcome.SET),
        (MSFT, D(10), D(5), LeverageOutcome.SET),
    ]
    again = set_leverage(on.runtime, {MSFT: D(5), AAPL: D(3)})
    assert {item.outcome for item in again} == {LeverageOutcome.ALREADY_SO}
    assert all(item.outcome.is_proved for item in again)


def test_one_that_fails_stops_no_other_and_says_why(on: Stage) -> None:
    found = set_leverage(on.runtime, {AAPL: D(1000), InstrumentId("XYZ/USDT:USDT"): D(2), MSFT: D(4)})
    by_id = {str(item.instrument_id): item for item in found}
    assert by_id[str(AAPL)].outcome is LeverageOutcome.REFUSED
    assert by_id[str(AAPL)].reason == "ORDER_INVALID_LOCAL"
    assert by_id[str(AAPL)].after == D(10)
    assert by_id["XYZ/USDT:USDT"].outcome is LeverageOutcome.UNKNOWN
    assert by_id["XYZ/USDT:USDT"].reason == "VENUE_INSTRUMENT_UNKNOWN"
    assert by_id[str(MSFT)].outcome is LeverageOutcome.SET


def test_a_lost_answer_is_settled_by_reading(on: Stage) -> None:
    on.sim.control.fault("execute_then_drop", path="/v5/position/set-leverage", times=1)
    (found,) = set_leverage(on.runtime, {AAPL: D(4)})
    assert (found.outcome, found.after) == (LeverageOutcome.SET, D(4))


def test_a_venue_refusal_carries_its_code(on: Stage) -> None:
    on.sim.control.fault("error", path="/v5/position/set-leverage", code=110013, message="risk limit", times=None)
    (found,) = set_leverage(on.runtime, {AAPL: D(4)})
    assert found.outcome is LeverageOutcome.REFUSED
    assert "110013" in found.detail


def test_a_value_that_does_not_read_back_differs(on: Stage) -> None:
    on.sim.control.fault("error", path="/v5/position/set-leverage", code=0, message="OK", times=None)
    (found,) = set_leverage(on.runtime, {AAPL: D(4)})
    assert (found.outcome, found.after) == (LeverageOutcome.DIFFERS, D(10))
    assert found.reason


@pytest.mark.parametrize("value", [D(0), D(-1), D("NaN")])
def test_senseless_values_are_refused_before_any_request(on: Stage, value: Decimal) -> None:
    with pytest.raises(ValueError, match="above 0"):
        set_leverage(on.runtime, {AAPL: value})
    assert on.sim.control.requests(path="/v5/position/set-leverage") == []


@pytest.mark.parametrize(
    ("wanted", "reason"), [({AAPL: D(3), MSFT: D("10.01")}, "LEVERAGE_ABOVE_LIMIT"), ({}, "NO_LEVERAGE_WANTED")]
)
def test_the_accounts_limit_is_checked_before_any_request(
    on: Stage, wanted: dict[InstrumentId, Decimal], reason: str
) -> None:
    with pytest.raises(LeverageRefused) as refused:
        set_of(on.runtime, wanted, leverage_max=D(10))
    assert refused.value.reason == reason and refused.value.remedy
    assert on.sim.control.requests(path="/v5/position/set-leverage") == []
