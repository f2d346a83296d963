"""Sync through the real adapter: the ledger's own figures equal the simulated venue's truth, to the last digit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from brokers.clock import SystemClock
from ledger.records import cash_events_of, fills_of, orders_of
from ledger.snapshots import ledger_balances, ledger_positions
from simulators.core.types import PositionMode
from simulators.testing import small_config
from tests.trading.simulated import ACCOUNT, Stage, stage
from trading.sync import SyncResult, sync_account


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as opened:
        yield opened


def sync(on: Stage) -> SyncResult:
    return sync_account(on.runtime.ledger, on.runtime.broker, clock=on.runtime.clock)


def require_equal_to_the_venue(on: Stage) -> None:
    with on.runtime.ledger.read() as session:
        positions, balances = ledger_positions(session, ACCOUNT), ledger_balances(session, ACCOUNT)
    held = {symbol.removesuffix("USDT") + "/USDT:USDT": quantity for symbol, quantity in on.positions().items()}
    wallets = {coin: Decimal(amount) for coin, amount in on.sim.control.wallets("main").items() if amount}
    assert (positions, balances) == (held, wallets)


def test_an_account_with_a_past_starts_from_what_it_holds(on: Stage) -> None:
    on.sim.control.place_order("main", "BTCUSDT", "buy", "0.01")
    on.sim.control.place_order("main", "ETHUSDT", "buy", "0.5", kind="spot")
    result = sync(on)
    assert result.is_baseline and result.is_settled
    assert (result.orders.new, result.fills.new) == (2, 2)
    require_equal_to_the_venue(on)
    (value,) = result.values
    assert value.currency == "USDT" and value.notional is not None and value.notional > 0


def test_trades_fees_funding_and_transfers_are_followed(on: Stage) -> None:
    control = on.sim.control
    sync(on)
    control.place_order("main", "AAPLUSDT", "buy", "12.34")
    control.place_order("main", "AAPLUSDT", "sell", "2.17")
    control.place_order("main", "MSFTUSDT", "sell", "3.03")
    control.place_order("main", "BTCUSDT", "buy", "0.0123", kind="spot")
    control.place_order("main", "BTCUSDT", "sell", "0.002", kind="spot")
    control.place_order("main", "ETHUSDT", "buy", "0.5", price="2900")  # rests
    control.deposit("main", "USDT", "123.456789")
    control.withdraw("main", "USDT", "3.3")
    control.transfer("main", "second", "USDT", "7")
    control.set_funding_rate("0.000137")
    control.advance(days=1)
    control.set_price("AAPLUSDT", "210")
    control.place_order("main", "AAPLUSDT", "sell", "5")
    result = sync(on)
    require_equal_to_the_venue(on)
    assert result.unmapped_cash_events == () and result.missing_orders == ()
    assert [str(order.instrument_id) for order in result.open_orders] == ["ETH/USDT:USDT"]
    with on.runtime.ledger.read() as session:
        assert len(fills_of(session, ACCOUNT)) == len(control.executions("main")) - funding_rows(on)
        kinds = {row.kind for row in cash_events_of(session, ACCOUNT)}
        assert {"funding", "transfer", "trade"} <= kinds
        assert len(orders_of(session, ACCOUNT)) == 7
    again = sync(on)
    assert (again.fills.new, again.cash_events.new, again.orders.new) == (0, 0, 0)
    require_equal_to_the_venue(on)


def funding_rows(on: Stage) -> int:
    return sum(1 for row in on.sim.control.executions("main") if "funding" in str(row.kind).lower())


def test_hedge_legs_are_summed(tmp_path: Path) -> None:
    config = small_config()
    accounts = tuple(a.model_copy(update={"position_mode": PositionMode.HEDGE}) for a in config.accounts)
    with stage(tmp_path, config=config.model_copy(update={"accounts": accounts})) as on:
        sync(on)
        on.sim.control.place_order("main", "BTCUSDT", "buy", "0.03", position_side="long")
        on.sim.control.place_order("main", "BTCUSDT", "sell", "0.01", position_side="short")
        result = sync(on)
        assert sorted(position.quantity for position in result.positions) == [Decimal("-0.01"), Decimal("0.03")]
        assert [line.split(":")[0] for line in result.differences][:2] == ["BTC/USDT", "BTC/USDT"]
        with on.runtime.ledger.read() as session:
            assert ledger_positions(session, ACCOUNT) == {"BTC/USDT:USDT": Decimal("0.02")}


def test_a_baseline_under_fire_holds(tmp_path: Path) -> None:
    """A human trades while the first sync runs, and reads lag behind; afterwards not a digit is off."""
    with stage(tmp_path, clock=SystemClock()) as on:
        on.sim.control.set_lags(executions_ms=300, entries_ms=300)
        chance, stop = Random(7), threading.Event()

        def trade() -> None:
            for _ in range(6):
                on.sim.control.place_order("main", "BTCUSDT", chance.choice(["buy", "sell"]), "0.011")
                if stop.wait(0.15):
                    return

        human = threading.Thread(target=trade)
        human.start()
        try:
            assert sync(on).is_baseline
        finally:
            stop.set()
            human.join()
        on.sim.control.set_lags(executions_ms=0, entries_ms=0)
        sync(on)
        require_equal_to_the_venue(on)
