"""The jobs on an Alpaca account: shares and coins in one book, fees that come late, parts of a share, no leverage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.factory import open_broker
from brokers.ids import Environment, InstrumentId
from brokers.types import OrderRequest, OrderSide, OrderType, TimeInForce
from flows.reports import report_of
from ledger.engine import Ledger
from ledger.records import fills_of
from ledger.states import IntentState, ReconciliationOutcome
from simulators import running_alpaca
from simulators.alpaca.config import CryptoFees, FeesConfig
from simulators.testing_alpaca import small_alpaca_config
from tests.proof.venues.alpaca import ACCOUNT, account_at
from tests.proof.wire_venues import venue_clock
from tests.trading.simulated import PATIENT, Interrupted, VenueClock, ids
from tests.trading.simulated_tradestation import START
from trading.closing import close_positions
from trading.leverage import LeverageOutcome, set_leverage
from trading.orders import IntentView, OrderDesk, WantedOrder
from trading.plans import rebalance
from trading.rebalancing import Portfolio
from trading.reconciliation import Tolerances
from trading.reconciling import reconcile_account
from trading.risk import RiskPolicy
from trading.runtime import Runtime
from trading.starting import prove_account, start_trading
from trading.statement import make_statement
from trading.steps import StepKind
from trading.sync import sync_account

D = Decimal
AAPL, BTC = InstrumentId("AAPL"), InstrumentId("BTC/USD")
AT_ONCE = Tolerances(guard=timedelta(0))


@pytest.fixture
def on(tmp_path: Path) -> Iterator[tuple[Any, Runtime]]:
    """The simulator and one process' view of the account, both on the venue's own clock: waits pass at once."""
    clock = VenueClock(START)
    with ExitStack() as stack:
        fees = FeesConfig(crypto=CryptoFees.AT_FILL)  # they leave with the fill and are told of when the day is over
        sim = stack.enter_context(running_alpaca(small_alpaca_config(clock=venue_clock(START), fees=fees)))
        clock.sim = sim
        broker = stack.enter_context(open_broker(account_at(sim.url, 5.0), clock=clock))
        url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
        ledger = stack.enter_context(Ledger.open(url, environment=Environment.SIMULATED, clock=clock))
        policy = RiskPolicy.for_environment(Environment.SIMULATED)
        desk = OrderDesk(ledger=ledger, broker=broker, clock=clock, policy=policy, worker="test-1", limits=PATIENT)
        yield sim, Runtime(account_id=ACCOUNT, ledger=ledger, broker=broker, desk=desk, clock=clock)


def traded(runtime: Runtime, key: InstrumentId, side: OrderSide, quantity: str, name: str, **terms: Any) -> IntentView:
    request = OrderRequest(instrument_id=key, side=side, order_type=OrderType.MARKET, quantity=D(quantity), **terms)
    (quote,) = runtime.broker.quotes([key])
    view = runtime.desk.submit(WantedOrder(ACCOUNT, name, "test", request, quote, ttl_s=60))
    return runtime.desk.drive([view.intent_id], timeout_s=30)[0]


def held(sim: Any) -> dict[str, Decimal]:
    """The venue's own truth, signed."""
    return {p.symbol: p.signed_qty for p in sim.control.positions("main") if p.qty}


def sync(runtime: Runtime) -> Any:
    return sync_account(runtime.ledger, runtime.broker, clock=runtime.clock)


def reconciled(runtime: Runtime) -> Any:
    return reconcile_account(runtime, tolerances=AT_ONCE)


def test_the_books_agree_once_the_fees_are_posted(on: tuple[Any, Runtime]) -> None:
    """Shares and coins bought and sold: before, a coin may be short by its fee and by no more."""
    sim, runtime = on
    start_trading(runtime, prove_account(runtime))
    sync(runtime)
    assert reconciled(runtime).outcome is ReconciliationOutcome.CLEAN
    for number, (key, side, quantity) in enumerate(
        ((AAPL, OrderSide.BUY, "100"), (AAPL, OrderSide.SELL, "40"), (BTC, OrderSide.BUY, "0.1"))
    ):
        time = TimeInForce.DAY if key == AAPL else TimeInForce.IOC
        assert traded(runtime, key, side, quantity, f"t-{number}", time_in_force=time).state is IntentState.FILLED
    with runtime.ledger.read() as session:
        assert {(row.instrument_id, row.fee) for row in fills_of(session, ACCOUNT)} == {("AAPL", 0), ("BTC/USD", 0)}
    runtime.clock.wait(5)
    early = reconciled(runtime)
    assert early.outcome is ReconciliationOutcome.CLEAN, early
    (equation,) = [item for item in early.books.equations if item.currency == "BTC"]
    assert equation.difference == D("-0.00025") and equation.unposted == D("0.000250001")
    sim.control.advance(days=1)
    clean = reconciled(runtime)
    assert clean.outcome is ReconciliationOutcome.CLEAN, clean
    assert clean.findings.compared["balances"] == 2 and clean.findings.not_compared == ()


def test_rebalancing_shares_and_a_coin_in_dollars(on: tuple[Any, Runtime]) -> None:
    sim, runtime = on
    wanted = {"AAPL": "0.30", "MSFT": "0.20", "BTC/USD": "0.10"}
    portfolio = Portfolio(name="mixed", quote_currency="USD", targets=wanted, cash_buffer="0.02")
    done = rebalance(runtime, portfolio, business_key="open")
    assert done.result is not None and done.result.state.value == "completed", done
    found = held(sim)
    assert found["AAPL"] == D(147) and found["MSFT"] == D(49)  # 98 % of 100,000 in shares of 200 and of 400
    # 9,800 at 60,000, less the quarter of a per cent that no fill tells of
    assert sim.control.wallets("main")["BTC"] == D("0.163333333") - D("0.000408334")
    by_key = {str(line.instrument_id): line for line in done.result.lines}
    assert by_key["BTC/USD"].verdict == "reached" and by_key["BTC/USD"].expected_quantity == D("0.162924999")
    runtime.clock.wait(60)
    less = Portfolio(name="mixed", quote_currency="USD", targets={**wanted, "AAPL": "0.10"}, cash_buffer="0.02")
    assert rebalance(runtime, less, business_key="later").result.state.value == "completed"  # type: ignore[union-attr]
    assert held(sim)["AAPL"] == D("48.985113771")  # the day's costs are off its target


def forces(sim: Any) -> list[str]:
    """The times in force of the account's orders, oldest first."""
    book = sim.simulator.front.house.book
    return [book.ticket(order).force.value for order in sim.control.orders("main")]


BOOK = {"name": "parts", "quote_currency": "USD", "targets": {"AAPL": "0.3333"}, "cash_buffer": "0"}


@pytest.mark.parametrize("style", ["limit", "market", "limit_then_market", "sliced"])
def test_parts_of_a_share_are_traded_in_every_order_style(on: tuple[Any, Runtime], style: str) -> None:
    sim, runtime = on
    portfolio = Portfolio(**BOOK, order_style=style, reprice_steps=1, slices=2, slice_interval_s=1)
    done = rebalance(runtime, portfolio, business_key=style)
    assert done.result is not None and done.result.state.value == "completed", done
    (line,) = done.result.lines
    assert (held(sim)["AAPL"], line.verdict.value, line.reasons) == (D("166.65"), "reached", ())
    assert forces(sim) == {"sliced": ["ioc", "day"], "limit_then_market": ["day", "day"]}.get(style, ["day"])
    runtime.clock.wait(60)
    again = rebalance(runtime, portfolio, business_key=f"{style}-again").plan.plan
    assert sum(leg.notional for leg in again.legs) < 5, again  # what the first one cost
    runtime.clock.wait(60)
    found = reconciled(runtime)
    assert found.outcome is ReconciliationOutcome.CLEAN
    (balance,) = [item for item in report_of(found).figures if item.label == "Balance equation"]
    is_exact = not any(item.difference for item in found.books.equations)
    assert balance.note.startswith(
        "currencies, to the last digit" if is_exact else "currencies, within the venue's own"
    )


def test_a_part_that_finds_no_price_is_taken_back_and_tried_again(on: tuple[Any, Runtime]) -> None:
    """No order for a part ends by itself at once: the first is put away before the second leaves."""
    sim, runtime = on
    live: list[int] = []

    def step(name: str, kind: StepKind, function: Any) -> Any:
        if name.startswith("Submit leg 1 round 1"):
            sim.control.set_price("AAPL", "204")  # within price_move_max, out of the collar's reach
        if name.startswith("Submit leg 1 round 2"):
            live.append(sum(order.status.is_open for order in sim.control.orders("main")))
        return function()

    done = rebalance(runtime, Portfolio(**BOOK), business_key="moved", step=step)
    assert done.result is not None and done.result.legs[0].orders == 2, done
    assert live == [0]
    assert [str(order.filled_qty) for order in sim.control.orders("main")] == ["0", str(held(sim)["AAPL"])]
    assert forces(sim) == ["day", "day"]


def test_a_part_that_waits_when_its_process_dies_is_taken_back_by_the_next_one(on: tuple[Any, Runtime]) -> None:
    sim, runtime = on

    def step(name: str, kind: StepKind, function: Any) -> Any:
        if name.startswith("Submit leg 1"):
            sim.control.set_price("AAPL", "204")
        result = function()
        if sim.control.orders("main"):
            raise Interrupted(name)
        return result

    with pytest.raises(Interrupted):
        rebalance(runtime, Portfolio(**BOOK), business_key="killed", step=step)
    runtime.clock.wait(40)  # its lease is over
    done = rebalance(runtime, Portfolio(**BOOK), business_key="killed")
    assert done.is_resumed and done.state.value == "completed", done
    first, second = sim.control.orders("main")
    assert (first.filled_qty, second.filled_qty) == (0, held(sim)["AAPL"])
    assert not first.status.is_open and forces(sim) == ["day", "day"]


def test_whole_shares_are_a_choice(on: tuple[Any, Runtime]) -> None:
    sim, runtime = on
    rebalance(runtime, Portfolio(**BOOK, whole_lots=True), business_key="whole")
    assert (held(sim)["AAPL"], forces(sim)) == (D(166), ["ioc"])


def test_a_statement_counts_what_shares_are_worth(on: tuple[Any, Runtime]) -> None:
    runtime = on[1]
    sync(runtime)
    runtime.clock.wait(60)
    traded(runtime, AAPL, OrderSide.BUY, "100", "in", time_in_force=TimeInForce.DAY)
    runtime.clock.wait(60)
    traded(runtime, AAPL, OrderSide.SELL, "40", "out", time_in_force=TimeInForce.DAY)
    runtime.clock.wait(60)
    sync(runtime)
    runtime.clock.wait(60)
    made = make_statement(runtime, START.date())
    (usd,), (line,) = made.currencies, made.instruments
    assert made.adds_up and (line.bought, line.sold, line.closing_quantity) == (100, 40, 60)
    assert line.realised == D("-1.60") and line.booked is None  # 40 x (199.98 - 200.02); what it cost is no profit
    assert usd.equity_closing == runtime.broker.margin_health().equity == D("99997.20")  # 60 x 0.02 and 40 x 0.04 lost


def test_closing_sells_the_part_of_a_share_as_well(on: tuple[Any, Runtime]) -> None:
    sim, runtime = on
    bought = traded(runtime, AAPL, OrderSide.BUY, "2.5", "parts", time_in_force=TimeInForce.DAY)
    assert bought.state is IntentState.FILLED and held(sim) == {"AAPL": D("2.5")}
    denied = traded(runtime, AAPL, OrderSide.BUY, "2.5", "at once", time_in_force=TimeInForce.IOC)
    assert denied.state is IntentState.DENIED and "multiple of 1" in denied.detail
    (closed,) = close_positions(runtime, business_key="eod", settle_currencies=("USD",))
    assert (closed.outcome.value, closed.filled_quantity) == ("flat", D("2.5")) and held(sim) == {}


def test_an_answer_that_is_lost_is_asked_for_by_the_same_id(on: tuple[Any, Runtime]) -> None:
    sim, runtime = on
    sim.control.fault("execute_then_drop", path="/v2/orders", method="POST")
    view = traded(runtime, AAPL, OrderSide.BUY, "5", "lost", time_in_force=TimeInForce.DAY)
    assert view.state is IntentState.FILLED and held(sim) == {"AAPL": D(5)}
    assert len({order.client_id for order in sim.control.orders("main")}) == len(sim.control.orders("main")) == 1


def test_setting_leverage_says_that_there_is_none(on: tuple[Any, Runtime]) -> None:
    (done,) = set_leverage(on[1], {AAPL: D(2)}, leverage_max=D(3))
    assert done.outcome is LeverageOutcome.REFUSED and "no leverage" in done.detail and done.reason == "UNSUPPORTED"
    assert ids("AAPL") == [AAPL]
