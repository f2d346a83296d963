"""Closing positions: flat is what the venue shows, and repeating the call sends nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from brokers.errors import InstrumentUnknown
from brokers.ids import InstrumentId
from brokers.types import PositionSide
from simulators.core.config import AccountConfig, LagsConfig
from simulators.core.types import PositionMode
from simulators.testing import small_config
from tests.trading.simulated import Interrupted, InterruptingStep, Stage, stage
from trading.closing import ClosedPosition, CloseOutcome, ClosingLimits, ClosingRefused
from trading.closing import close_positions as close_of

D = Decimal
close_positions = partial(close_of, settle_currencies=("USDT",))
AAPL, MSFT = InstrumentId("AAPL/USDT:USDT"), InstrumentId("MSFT/USDT:USDT")


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as opened:
        opened.sim.control.place_order("main", "AAPLUSDT", "buy", "10")
        opened.sim.control.place_order("main", "MSFTUSDT", "sell", "4")
        yield opened


def outcomes(closed: tuple[ClosedPosition, ...]) -> dict[str, str]:
    return {str(item.instrument_id): item.outcome.value for item in closed}


def our_orders(on: Stage) -> int:
    return len(on.sim.control.requests(path="/v5/order/create"))


def test_closes_long_and_short_and_proves_it(on: Stage) -> None:
    closed = close_positions(on.runtime, business_key="eod")
    assert outcomes(closed) == {str(AAPL): "flat", str(MSFT): "flat"}
    assert [(item.quantity_before, item.filled_quantity, item.quantity_left) for item in closed] == [
        (D(10), D(10), D(0)),
        (D(-4), D(4), D(0)),
    ]
    assert on.positions() == {}
    assert all(order.request.reduce_only for order in on.venue_orders()[2:])


def test_closes_only_what_is_named_and_says_what_was_flat(on: Stage) -> None:
    closed = close_positions(on.runtime, business_key="eod", instruments=[AAPL, InstrumentId("BTC/USDT:USDT")])
    assert outcomes(closed) == {str(AAPL): "flat", "BTC/USDT:USDT": "already_flat"}
    assert on.positions() == {"MSFTUSDT": D(-4)}


@pytest.mark.parametrize(
    ("name", "reason"), [("BTC/USDT", "NOT_A_POSITION"), ("BTC/USDC:USDC", "SETTLE_CURRENCY_NOT_READ")]
)
def test_what_no_reading_of_positions_shows_is_refused_and_not_called_flat(on: Stage, name: str, reason: str) -> None:
    on.sim.control.deposit("main", "BTC", "1")
    with pytest.raises(ClosingRefused) as refused:
        close_positions(on.runtime, business_key="eod", instruments=[AAPL, InstrumentId(name)])
    assert refused.value.reason == reason and refused.value.remedy
    assert our_orders(on) == 0


def test_what_the_venue_does_not_list_is_refused_and_not_called_flat(on: Stage) -> None:
    with pytest.raises(InstrumentUnknown, match="NOSUCH"):
        close_positions(on.runtime, business_key="eod", instruments=[AAPL, InstrumentId("NOSUCH/USDT:USDT")])
    assert our_orders(on) == 0


@pytest.fixture
def bounded(tmp_path: Path) -> Iterator[Stage]:
    """10 AAPL are held, and one market order may have 2."""
    plain = small_config()
    stock = plain.instruments[0].model_copy(update={"qty_max_market": D(2)})
    with stage(tmp_path, config=small_config(instruments=(stock, *plain.instruments[1:]))) as opened:
        for _ in range(5):
            opened.sim.control.place_order("main", "AAPLUSDT", "buy", "2")
        yield opened


def test_a_position_above_the_largest_market_order_is_closed_in_parts(bounded: Stage) -> None:
    (closed,) = close_positions(bounded.runtime, business_key="eod")
    assert (closed.outcome, closed.quantity_before, closed.filled_quantity) == (CloseOutcome.FLAT, D(10), D(10))
    assert [order.qty for order in bounded.venue_orders()[5:]] == [D(2)] * 5
    bounded.sim.control.place_order("main", "AAPLUSDT", "buy", "2")
    (late,) = close_positions(bounded.open_again(), business_key="eod", instruments=[AAPL])
    assert (late.outcome, late.reason) == (CloseOutcome.LEFT, "POSITION_OPENED_AFTER_CLOSING")
    assert our_orders(bounded) == 5


@pytest.mark.parametrize("number", [9, 14])
def test_interrupted_between_parts_the_next_call_closes_the_rest(bounded: Stage, number: int) -> None:
    with pytest.raises(Interrupted):
        close_positions(bounded.runtime, business_key="eod", step=InterruptingStep(number, after=True))
    assert 0 < our_orders(bounded) < 5
    (closed,) = close_positions(bounded.open_again(), business_key="eod")
    assert (closed.outcome, closed.quantity_before, closed.filled_quantity) == (CloseOutcome.FLAT, D(10), D(10))
    assert our_orders(bounded) == 5


def test_the_number_of_parts_is_bounded(bounded: Stage) -> None:
    (closed,) = close_positions(bounded.runtime, business_key="eod", limits=ClosingLimits(parts_max=3))
    assert (closed.outcome, closed.quantity_left) == (CloseOutcome.LEFT, D(4))
    assert closed.reason == "POSITION_ABOVE_MARKET_ORDER_MAX"


def test_the_same_key_again_sends_nothing(on: Stage) -> None:
    first = close_positions(on.runtime, business_key="eod", instruments=[AAPL])
    again = close_positions(on.open_again(), business_key="eod", instruments=[AAPL])
    assert our_orders(on) == 1
    assert again == first


def test_a_late_repetition_does_not_close_what_was_opened_since(on: Stage) -> None:
    close_positions(on.runtime, business_key="eod", instruments=[AAPL])
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "5")
    (late,) = close_positions(on.open_again(), business_key="eod", instruments=[AAPL])
    assert (late.outcome, late.reason) == (CloseOutcome.LEFT, "POSITION_OPENED_AFTER_CLOSING")
    assert (late.quantity_before, late.quantity_left) == (D(10), D(5))
    assert our_orders(on) == 1
    (new,) = close_positions(on.runtime, business_key="eod-2", instruments=[AAPL])
    assert new.outcome is CloseOutcome.FLAT


def test_interrupted_anywhere_the_next_call_ends_it_with_one_order(tmp_path: Path) -> None:
    for number in range(1, 7):
        directory = tmp_path / str(number)
        directory.mkdir()
        with stage(directory) as on:
            on.sim.control.place_order("main", "AAPLUSDT", "buy", "10")
            with pytest.raises(Interrupted):
                close_positions(on.runtime, business_key="eod", step=InterruptingStep(number, after=True))
            close_positions(on.open_again(), business_key="eod", instruments=[AAPL])
            assert on.positions() == {}
            assert our_orders(on) == 1


def test_partial_fills_get_further_rounds(on: Stage) -> None:
    on.sim.control.fault("partial_fill", path="/v5/order/create", ratio="0.5", times=1)
    (closed,) = close_positions(on.runtime, business_key="eod", instruments=[AAPL])
    assert (closed.outcome, closed.filled_quantity) == (CloseOutcome.FLAT, D(10))
    assert our_orders(on) == 2


def test_what_is_left_after_the_rounds_is_said(on: Stage) -> None:
    on.sim.control.fault("partial_fill", path="/v5/order/create", ratio="0.5", times=None)
    (closed,) = close_positions(on.runtime, business_key="eod", instruments=[AAPL])
    assert closed.outcome is CloseOutcome.LEFT
    assert closed.quantity_left == on.positions()["AAPLUSDT"] == D("1.25")
    assert closed.reason


def test_a_refusal_is_told_with_the_venues_words(on: Stage) -> None:
    on.sim.control.fault("error", path="/v5/order/create", code=110017, message="truncated to zero", times=None)
    (closed,) = close_positions(on.runtime, business_key="eod", instruments=[AAPL])
    assert (closed.outcome, closed.reason) == (CloseOutcome.LEFT, "VENUE_ORDER_INVALID")
    assert "truncated to zero" in closed.detail
    assert our_orders(on) == 1


def test_an_answer_lost_after_execution_closes_once(on: Stage) -> None:
    on.sim.control.fault("execute_then_drop", path="/v5/order/create", times=1)
    (closed,) = close_positions(on.runtime, business_key="eod", instruments=[AAPL])
    assert closed.outcome is CloseOutcome.FLAT
    assert on.positions() == {"MSFTUSDT": D(-4)}


def test_a_lagging_position_is_read_again_instead_of_closed_again(tmp_path: Path) -> None:
    with stage(tmp_path, config=small_config(lags=LagsConfig(positions_ms=150))) as on:
        on.sim.control.place_order("main", "AAPLUSDT", "buy", "10")
        deadline = time.monotonic() + 5
        while not on.runtime.broker.positions() and time.monotonic() < deadline:
            pass
        (closed,) = close_positions(on.runtime, business_key="eod")
        assert closed.outcome is CloseOutcome.FLAT
        assert our_orders(on) == 1


def test_hedge_mode_closes_each_side(tmp_path: Path) -> None:
    account = AccountConfig(name="main", balances={"USDT": D(100_000)}, position_mode=PositionMode.HEDGE)
    with stage(tmp_path, config=small_config(accounts=(account,))) as on:
        on.sim.control.place_order("main", "AAPLUSDT", "buy", "10", position_side="long")
        on.sim.control.place_order("main", "AAPLUSDT", "sell", "3", position_side="short")
        closed = close_positions(on.runtime, business_key="eod")
        assert [(item.position_side, item.outcome) for item in closed] == [
            (PositionSide.LONG, CloseOutcome.FLAT),
            (PositionSide.SHORT, CloseOutcome.FLAT),
        ]
        assert on.positions() == {}
