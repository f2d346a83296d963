"""Every job on a Binance account: two products with wallets of their own, a feed of one of them, listed symbols."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from brokers.config import AccountConfig
from brokers.factory import open_broker
from brokers.ids import AccountId, Environment, InstrumentId
from brokers.types import OrderRequest, OrderSide, OrderType, ProductKind
from ledger.controls import set_control
from ledger.engine import Ledger
from ledger.records import fills_of
from ledger.states import ControlState, IntentState, ReconciliationOutcome
from simulators import running_binance
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.config import ClockConfig
from simulators.testing_binance import small_binance_config
from tests.trading.simulated import PATIENT, VenueClock, book, ids
from trading.closing import close_positions
from trading.kill_model import KillRequest
from trading.killing import kill_account
from trading.leverage import LeverageOutcome, set_leverage
from trading.orders import IntentView, OrderDesk, WantedOrder
from trading.plans import rebalance
from trading.reconciliation.kinds import BreakKind
from trading.reconciling import reconcile_account
from trading.risk import RiskPolicy
from trading.runtime import Runtime
from trading.starting import prove_account, start_trading
from trading.sync import sync_account

D = Decimal
ACCOUNT = AccountId.parse("binance.simulated.main")
START = datetime(2026, 3, 2, 15, tzinfo=UTC)
SPOT, LINEAR = InstrumentId("BTC/USDT"), InstrumentId("BTC/USDT:USDT")
USDT = ("USDT",)


@contextmanager
def binance(
    directory: Path, *instruments: InstrumentId, products: str = "spot linear"
) -> Iterator[tuple[Any, Runtime]]:
    """The simulator and one process' view of the account, both on the venue's own clock: waits pass at once."""
    clock = VenueClock(START)
    own = ClockConfig(mode=ClockMode.MANUAL, start=START, gateway=GatewayClock.ENGINE)
    with ExitStack() as stack:
        sim = clock.sim = stack.enter_context(running_binance(small_binance_config(clock=own)))
        connection = AccountConfig(
            account_id=ACCOUNT,
            api_key=SecretStr("main-key"),
            api_secret=SecretStr("main-secret"),
            base_url=sim.url,
            products=frozenset(map(ProductKind, products.split())),
            instruments=instruments or (SPOT, LINEAR),
        )
        broker = stack.enter_context(open_broker(connection, clock=clock))
        url = f"sqlite:///{directory / 'ledger.sqlite'}"
        ledger = stack.enter_context(Ledger.open(url, environment=Environment.SIMULATED, clock=clock))
        policy = RiskPolicy.for_environment(Environment.SIMULATED)
        desk = OrderDesk(ledger=ledger, broker=broker, clock=clock, policy=policy, worker="test-1", limits=PATIENT)
        yield sim, Runtime(account_id=ACCOUNT, ledger=ledger, broker=broker, desk=desk, clock=clock)


@pytest.fixture
def on(tmp_path: Path) -> Iterator[tuple[Any, Runtime]]:
    with binance(tmp_path) as opened:
        yield opened


def traded(runtime: Runtime, instrument_id: InstrumentId, side: OrderSide, quantity: str, key: str) -> IntentView:
    request = OrderRequest(instrument_id=instrument_id, side=side, order_type=OrderType.MARKET, quantity=D(quantity))
    (quote,) = runtime.broker.quotes([instrument_id])
    view = runtime.desk.submit(WantedOrder(ACCOUNT, key, "test", request, quote, ttl_s=60))
    return runtime.desk.drive([view.intent_id], timeout_s=30)[0]


def sync(runtime: Runtime) -> Any:
    return sync_account(runtime.ledger, runtime.broker, clock=runtime.clock)


def held(sim: Any) -> dict[str, Decimal]:
    return {p.symbol: p.signed_qty for p in sim.control.positions("main") if p.qty}


def test_orders_of_both_products_are_filled_and_their_fills_are_on_record(on: tuple[Any, Runtime]) -> None:
    sim, runtime = on
    start_trading(runtime, prove_account(runtime))
    for number, key in enumerate((SPOT, LINEAR)):
        view = traded(runtime, key, OrderSide.BUY, "0.1", f"buy-{number}")
        assert (view.state, view.filled_quantity) == (IntentState.FILLED, D("0.1")), view
    with runtime.ledger.read() as session:
        fills = {fill.instrument_id: fill for fill in fills_of(session, ACCOUNT)}
    assert {fill.trade_id for fill in fills.values()} == {"spot:BTCUSDT:309520010", "linear:BTCUSDT:309520010"}
    assert fills["BTC/USDT"].fee_currency == "BTC" and len(sim.control.executions("main")) == 2


def test_an_account_of_both_products_compares_all_but_its_balances_once_it_has_traded(on: tuple[Any, Runtime]) -> None:
    """Spot has no feed of wallet changes within reach, and both products share one balance of USDT."""
    runtime = on[1]
    first = sync(runtime)
    assert first.is_baseline and not first.has_cash_feed
    quiet = reconcile_account(runtime)
    assert quiet.outcome is ReconciliationOutcome.CLEAN and quiet.findings is not None
    assert quiet.findings.not_compared == ()
    traded(runtime, SPOT, OrderSide.BUY, "0.1", "spot")
    traded(runtime, LINEAR, OrderSide.SELL, "0.1", "linear")
    sync(runtime)
    clean = reconcile_account(runtime)
    assert clean.outcome is ReconciliationOutcome.CLEAN and clean.findings is not None, clean
    assert "no feed of wallet changes" in clean.findings.not_compared[0]
    assert clean.findings.compared["positions"] == 1 and clean.findings.compared["venue_fills"] == 2


def test_an_account_of_futures_alone_is_reconciled_to_the_last_digit_of_its_wallet(tmp_path: Path) -> None:
    with binance(tmp_path, LINEAR, products="linear") as (sim, runtime):
        assert sync(runtime).has_cash_feed
        sim.control.set_funding_rate(rate="0.0001")
        traded(runtime, LINEAR, OrderSide.BUY, "0.5", "one")
        runtime.clock.wait(9 * 3600)  # over one funding time
        traded(runtime, LINEAR, OrderSide.SELL, "0.2", "two")
        runtime.clock.wait(600)
        sync(runtime)
        clean = reconcile_account(runtime)
        assert clean.outcome is ReconciliationOutcome.CLEAN and clean.findings is not None, clean
        assert clean.findings.not_compared == () and clean.findings.compared["balances"] == 1
        assert clean.findings.compared["venue_cash_events"] == 5


def test_what_is_held_outside_of_the_list_is_a_break(tmp_path: Path) -> None:
    """Its fills are not read; the position that they make is."""
    with binance(tmp_path, LINEAR, products="linear") as (sim, runtime):
        sync(runtime)
        sim.control.place_order("main", "ETHUSDT", "buy", "1", kind="linear")
        runtime.clock.wait(600)
        found = reconcile_account(runtime)
        assert found.outcome is ReconciliationOutcome.BREAKS and found.findings is not None
        kinds = {item.kind for item in found.findings.breaks}
        assert BreakKind.POSITION_UNKNOWN in kinds
        outside = traded(runtime, InstrumentId("ETH/USDT:USDT"), OrderSide.SELL, "1", "outside")
        assert outside.state is IntentState.DENIED and "must be among the instruments" in outside.detail


def test_leverage_is_set_and_proved(on: tuple[Any, Runtime]) -> None:
    done = set_leverage(on[1], {LINEAR: D(3), SPOT: D(2)}, leverage_max=D(3))
    assert {item.instrument_id: item.outcome for item in done} == {
        LINEAR: LeverageOutcome.SET,
        SPOT: LeverageOutcome.REFUSED,
    }
    (again,) = set_leverage(on[1], {LINEAR: D(3)}, leverage_max=D(3))
    assert (again.outcome, again.before) == (LeverageOutcome.ALREADY_SO, 3)


def test_rebalancing_spot_and_a_perpetual_together(on: tuple[Any, Runtime]) -> None:
    sim, runtime = on
    runtime.broker.set_leverage(LINEAR, D(2))
    done = rebalance(runtime, book({"BTC/USDT": "0.2", "BTC/USDT:USDT": "0.3"}), business_key="open")
    assert done.result is not None and done.result.state.value == "completed", done
    # of 200,000 in both wallets: 40,000 of spot and 60,000 of the perpetual, at 60,000 a coin
    assert D("0.95") < held(sim)["BTCUSDT"] <= 1
    (bitcoin,) = (b.total for b in runtime.broker.balances() if b.currency == "BTC")
    assert D("0.62") < bitcoin < D("0.67")


def test_kill_cancels_closes_and_proves(on: tuple[Any, Runtime]) -> None:
    sim, runtime = on
    sim.control.place_order("main", "BTCUSDT", "sell", "0.3", kind="linear")
    with runtime.ledger.write() as session:
        set_control(session, ACCOUNT, ControlState.KILL, reason="test", set_by="anna", at=runtime.clock.now())
    request = KillRequest(requested_by="anna", approved_by="ben", reason="test", flatten=True)
    report = kill_account(runtime, request, settle_currencies=USDT)
    assert report.state.value == "flat_proven" and held(sim) == {}, report


def test_a_kill_says_what_it_could_not_close(tmp_path: Path) -> None:
    """A position outside of the list is seen; its fills would not be, so no order of ours is sent in it."""
    with binance(tmp_path, LINEAR, products="linear") as (sim, runtime):
        sim.control.place_order("main", "ETHUSDT", "buy", "1", kind="linear")
        sim.control.place_order("main", "BTCUSDT", "buy", "0.3", kind="linear")
        with runtime.ledger.write() as session:
            set_control(session, ACCOUNT, ControlState.KILL, reason="test", set_by="anna", at=runtime.clock.now())
        request = KillRequest(requested_by="anna", approved_by="ben", reason="test", flatten=True)
        report = kill_account(runtime, request, settle_currencies=USDT)
        assert report.state.value == "left" and held(sim) == {"ETHUSDT": D(1)}, report
        assert any("ETH/USDT:USDT" in str(item) for item in report.left)


def test_closing_named_positions(on: tuple[Any, Runtime]) -> None:
    sim, runtime = on
    sim.control.place_order("main", "BTCUSDT", "buy", "0.3", kind="linear")
    (closed,) = close_positions(runtime, business_key="eod", settle_currencies=USDT, instruments=ids("BTC/USDT:USDT"))
    assert (closed.outcome.value, closed.filled_quantity) == ("flat", D("0.3")) and held(sim) == {}
