"""The countdown of a futures symbol, driven by Binance's own SDK."""

from datetime import UTC, datetime
from typing import Any

import pytest
from binance.client import Client
from binance.exceptions import BinanceAPIException

from simulators import Control
from simulators.core.clock import ClockMode
from simulators.core.config import ClockConfig


@pytest.fixture
def config_changes() -> dict[str, Any]:
    return {"clock": ClockConfig(mode=ClockMode.MANUAL, start=datetime(2026, 3, 2, 15, tzinfo=UTC))}


def open_symbols(control: Control) -> list[str]:
    return sorted(f"{one.request.kind.value} {one.request.symbol}" for one in control.orders("main", open_only=True))


def test_it_cancels_its_symbol_unless_it_is_started_again_or_stopped(sdk: Client, control: Control) -> None:
    control.place_order("main", "BTCUSDT", "buy", "0.01", price="58000")
    control.place_order("main", "ETHUSDT", "buy", "0.1", price="2900")
    control.place_order("main", "BTCUSDT", "buy", "0.01", price="58000", kind="spot")
    sdk.futures_create_algo_order(
        symbol="BTCUSDT", side="SELL", type="STOP_MARKET", quantity="0.01", triggerPrice="50000"
    )
    assert sdk.futures_countdown_cancel_all(symbol="BTCUSDT", countdownTime=10_000) == {
        "symbol": "BTCUSDT",
        "countdownTime": "10000",
    }
    control.advance(seconds=9)
    sdk.futures_countdown_cancel_all(symbol="BTCUSDT", countdownTime=10_000)
    control.advance(seconds=9)
    sdk.futures_countdown_cancel_all(symbol="BTCUSDT", countdownTime=0)
    control.advance(seconds=30)
    assert open_symbols(control).count("linear BTCUSDT") == 2
    sdk.futures_countdown_cancel_all(symbol="BTCUSDT", countdownTime=10_000)
    control.advance(seconds=11)
    assert open_symbols(control) == ["linear BTCUSDT", "linear ETHUSDT", "spot BTCUSDT"], "the stop waits elsewhere"
    control.place_order("main", "BTCUSDT", "buy", "0.01", price="58000")
    control.advance(seconds=30)
    assert open_symbols(control).count("linear BTCUSDT") == 2, "it acts once"


def test_what_it_does_not_take(sdk: Client) -> None:
    for wrong, code in (
        ({"symbol": "BTCUSDT", "countdownTime": -1}, -1100),
        ({"symbol": "NOTHING", "countdownTime": 1}, -1121),
        ({"symbol": "BTCUSDT"}, -1102),
    ):
        with pytest.raises(BinanceAPIException) as caught:
            sdk.futures_countdown_cancel_all(**wrong)
        assert caught.value.code == code


def test_it_weighs_ten(sdk: Client) -> None:
    before = int(_used(sdk, 0))
    assert int(_used(sdk, 10_000)) - before == 10


def _used(sdk: Client, countdown_ms: int) -> str:
    sdk.futures_countdown_cancel_all(symbol="BTCUSDT", countdownTime=countdown_ms)
    return str(sdk.response.headers["X-MBX-USED-WEIGHT-1M"])
