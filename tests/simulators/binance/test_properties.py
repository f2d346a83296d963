"""Properties of both products under random trading: what the wire tells adds up to the wallets, to eight decimals."""

import contextlib
from collections import defaultdict
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from simulators import Control
from simulators.binance.simulator import build_binance
from simulators.core.config import ClockConfig, LiquidityConfig
from simulators.core.types import ExecutionKind, MarketKind, Refusal
from simulators.testing_binance import small_binance_config

EIGHT = Decimal("1e-8")
orders = st.fixed_dictionaries(
    {
        "do": st.just("order"),
        "kind": st.sampled_from(["spot", "linear"]),
        "symbol": st.sampled_from(["BTCUSDT", "ETHUSDT"]),
        "side": st.sampled_from(["buy", "sell"]),
        "lots": st.integers(1, 3_000),
        "offset": st.none() | st.integers(-40, 40),
    }
)
moves = st.fixed_dictionaries(
    {
        "do": st.just("move"),
        "symbol": st.sampled_from(["BTCUSDT", "ETHUSDT"]),
        "cents": st.integers(-30_000, 30_000),
    }
)
waits = st.fixed_dictionaries({"do": st.just("wait"), "hours": st.integers(1, 30)})


def play(control: Control, step: dict[str, Any]) -> None:
    if step["do"] == "move":
        control.set_price(step["symbol"], control.prices()[step["symbol"]] + Decimal(step["cents"]) / 100)
        return
    if step["do"] == "wait":
        control.advance(seconds=3_600 * step["hours"])
        return
    unit = {"BTCUSDT": Decimal("0.00001"), "ETHUSDT": Decimal("0.0001")}[step["symbol"]]
    linear = step["kind"] == "linear"
    quote = control.quote(step["symbol"], step["kind"])
    price = None if step["offset"] is None else (quote.ask + step["offset"]).quantize(Decimal("0.1"))
    order = {
        "account": "main",
        "symbol": step["symbol"],
        "side": step["side"],
        "qty": step["lots"] * (Decimal("0.001") if linear else unit),
        "kind": step["kind"],
    }
    with contextlib.suppress(Refusal):
        control.place_order(**order, price=price)


@settings(max_examples=15)
@given(steps=st.lists(orders | orders | orders | moves | waits, min_size=10, max_size=40), bounded=st.booleans())
def test_wallets_are_the_sum_of_their_entries_in_eight_decimals(steps: list[dict[str, Any]], bounded: bool):
    small = small_binance_config()
    level = Decimal(30_000) if bounded else None
    prices = small.prices.model_copy(update={"liquidity": LiquidityConfig(level_notional=level)})
    clock = ClockConfig.model_validate({"mode": "manual", "start": "2026-03-01T00:00:00Z"})
    simulator = build_binance(small_binance_config(prices=prices, clock=clock, funding_rate=Decimal("0.0001")))
    control = Control(simulator)
    for step in steps:
        play(control, step)
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for entry in control.transaction_log("main"):
        sums[entry.coin] += entry.change
        assert entry.change == entry.change.quantize(EIGHT)
    assert sums == control.wallets("main")
    assert all(amount >= 0 for coin, amount in sums.items() if "@" not in coin), "spot is never short of a coin"
    held: dict[str, Decimal] = defaultdict(Decimal)
    numbers = set()
    for execution in control.executions("main"):
        numbers.add((execution.market, execution.symbol, execution.execution_id))
        if execution.market is MarketKind.LINEAR and execution.kind is not ExecutionKind.FUNDING:
            held[execution.symbol] += execution.side.sign * execution.qty
    assert len(numbers) == len(control.executions("main")), "trade numbers differ within a symbol"
    assert {symbol: qty for symbol, qty in held.items() if qty} == {
        position.symbol: position.signed_qty for position in control.positions("main")
    }
