"""Every job on Binance, OKX and Alpaca: the venue's own truth beside the ledger, to the last digit.

What is of one venue alone stands below; what all three must do is one test with a row of facts for each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.ids import Environment, InstrumentId
from brokers.types import CashEventKind, OrderSide, OrderType, TimeInForce
from ledger.controls import set_control
from ledger.engine import Ledger
from ledger.records import cash_events_of, fills_of
from ledger.states import ControlState, IntentState, ReconciliationOutcome, RunState
from tests.simulators.okx.conftest import Wire
from tests.trading.simulated_venues import ALPACA, BINANCE, OKX, START, Account, Seat, SharedClock, account_at
from trading.closing import close_positions
from trading.kill_model import KillRequest
from trading.killing import kill_account
from trading.leverage import LeverageOutcome, set_leverage
from trading.plans import rebalance
from trading.rebalancing import Portfolio
from trading.rebalancing.subscription import Subscription
from trading.reconciliation.equation import EquationState, Term
from trading.reconciliation.kinds import BreakKind
from trading.reconciling import ReconciliationResult, reconcile_account
from trading.runs import run_portfolio
from trading.starting import prove_account, start_trading
from trading.statement import make_statement
from trading.sweeping import sweep_account
from trading.sync import sync_account

D = Decimal
BUY, SELL = OrderSide.BUY, OrderSide.SELL
CLEAN, BREAKS = ReconciliationOutcome.CLEAN, ReconciliationOutcome.BREAKS
MONEY = ("USDT", "USD")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one venue's account is asked for, and what must come of it."""

    seat: Seat
    money: str
    opening: str
    first: dict[str, str]  # weights
    held: dict[str, str]  # what the venue holds then, in its own units
    then: dict[str, str]
    held_then: dict[str, str]
    increase: tuple[str, str]  # the last order on the way from the first to these
    leverage: str  # how often its own name is shown as set
    order: tuple[str, str, str]  # the venue's name, ours, a quantity worth about 2,000 or 18,000
    order_path: str


FACTS = {
    "binance": Facts(
        seat=BINANCE,
        money="USDT",
        opening="200000",
        first={"BTC/USDT": "0.2", "BTC/USDT:USDT": "-0.3"},
        # of 98 % of 200,000, at 60,000 a coin: 39,200 of spot and 58,800 of the perpetual
        held={"BTCUSDT": "-0.98"},
        then={"BTC/USDT": "0.1", "BTC/USDT:USDT": "0.2"},
        held_then={"BTCUSDT": "0.653"},
        increase=("BTCUSDT", "0.653"),
        leverage="set",
        order=("BTCUSDT", "BTC/USDT:USDT", "0.3"),
        order_path="/fapi/v1/order",
    ),
    "okx": Facts(
        seat=OKX,
        money="USDT",
        opening="100000",
        first={"BTC/USDT": "0.2", "BTC/USDT:USDT": "-0.3"},
        # of 98 % of 100,000: 29,400 of the swap, whose contract is a hundredth of a coin, 600
        held={"BTC-USDT-SWAP": "-49"},
        then={"BTC/USDT": "0.1", "BTC/USDT:USDT": "0.2"},
        held_then={"BTC-USDT-SWAP": "32.65"},
        increase=("BTC-USDT-SWAP", "32.65"),
        leverage="set",
        order=("BTC-USDT-SWAP", "BTC/USDT:USDT", "30"),
        order_path="/api/v5/trade/order",
    ),
    "alpaca": Facts(
        seat=ALPACA,
        money="USD",
        opening="100000",
        first={"AAPL": "0.3", "MSFT": "0.2", "BTC/USD": "0.1"},
        held={"AAPL": "147", "MSFT": "49"},
        then={"AAPL": "0.1", "MSFT": "0.4", "BTC/USD": "0.05"},
        # of 98 % of 99,994.12, what the fee of the coin left: shares in parts
        held_then={"AAPL": "48.997118791", "MSFT": "97.99423758"},
        increase=("MSFT", "48.99423758"),
        leverage="refused",
        order=("AAPL", "AAPL", "10"),
        order_path="/v2/orders",
    ),
}


@pytest.fixture(params=FACTS)
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Facts, Account]]:
    facts = FACTS[request.param]
    with account_at(facts.seat, tmp_path) as account:
        yield facts, account


def sync(account: Account) -> Any:
    return sync_account(account.runtime.ledger, account.runtime.broker, clock=account.clock)


def reconcile(account: Account) -> ReconciliationResult:
    """After some time, so that nothing is too young to judge."""
    account.clock.wait(60)
    return reconcile_account(account.runtime)


def kinds(found: ReconciliationResult) -> set[BreakKind]:
    assert found.findings is not None, found
    return {item.kind for item in found.findings.breaks}


def wallets(account: Account) -> dict[str, Decimal]:
    """The venue's own truth by currency, over all wallets of it; shares that were paid for left out."""
    found: dict[str, Decimal] = {}
    for name, amount in account.sim.control.wallets("main").items():
        found[name.partition("@")[0]] = found.get(name.partition("@")[0], D(0)) + amount
    return {currency: amount for currency, amount in found.items() if amount}


def assert_books_are_the_venues(account: Account) -> None:
    """Nothing differs, nothing is left out, and each currency that the ledger explains is the venue's to the digit."""
    found = reconcile(account)
    assert found.outcome is CLEAN and found.findings is not None and found.books is not None, found
    assert found.findings.not_compared == () == found.findings.expected
    assert {item.state for item in found.books.equations} == {EquationState.HOLDS}
    expected = {item.currency: item.expected for item in found.books.equations if item.expected}
    paid = sum((p.cost for p in account.sim.control.positions("main")), D(0))
    truth = wallets(account)
    if account.account_id.venue.value == "alpaca":  # a share is paid for in full there, and stands in no wallet here
        truth["USD"] -= paid
    assert expected == truth


def portfolio(facts: Facts, targets: dict[str, str]) -> Portfolio:
    return Portfolio(
        name="core",
        quote_currency=facts.money,
        targets=targets,
        cash_buffer="0.02",
        gross_max="2",
        minimum_trade_notional="50",  # what the fees leave is no reason to trade
    )


def test_a_portfolio_is_reached_kept_changed_and_closed_and_the_books_agree(at: tuple[Facts, Account]) -> None:
    facts, account = at
    runtime = account.runtime
    start_trading(runtime, prove_account(runtime))
    assert sync(account).is_baseline
    name = InstrumentId(facts.order[1])
    (levered,) = set_leverage(runtime, {name: D(2)}, leverage_max=D(3))
    assert levered.outcome.value == facts.leverage
    assert levered.outcome is LeverageOutcome.SET or levered.reason == "UNSUPPORTED"

    done = rebalance(runtime, portfolio(facts, facts.first), business_key="open").result
    assert done is not None and done.state.value == "completed", done
    assert account.held() == {name: D(quantity) for name, quantity in facts.held.items()}
    assert_books_are_the_venues(account)

    done_before = len(account.sim.control.executions("main"))
    sent = len(account.sim.control.orders("main"))
    again = rebalance(runtime, portfolio(facts, facts.first), business_key="again").result
    assert again is not None and again.state.value == "completed" and again.legs == ()
    assert len(account.sim.control.orders("main")) == sent

    account.clock.wait(60)
    done = rebalance(runtime, portfolio(facts, facts.then), business_key="then").result
    assert done is not None and done.state.value == "completed", done
    *reductions, increase = account.sim.control.executions("main")[done_before:]
    assert len(reductions) == 2, "what frees money goes first"
    assert (increase.symbol, increase.side.value, increase.qty) == (facts.increase[0], "buy", D(facts.increase[1]))
    assert account.held() == {name: D(quantity) for name, quantity in facts.held_then.items()}
    assert_books_are_the_venues(account)
    assert sweep_account(runtime).outcome is CLEAN

    closed = close_positions(runtime, business_key="eod", settle_currencies=MONEY)
    assert {item.outcome.value for item in closed} == {"flat"} and account.held() == {}
    assert_books_are_the_venues(account)

    account.clock.wait(24 * 3600)  # over funding times, and over the moment that late fees are posted
    assert_books_are_the_venues(account)
    statement = make_statement(runtime, START.date())
    assert statement.is_final and all(line.is_explained for line in statement.currencies)
    by_currency = {line.currency: line for line in statement.currencies}
    money = by_currency[facts.money]
    assert money.opening == D(facts.opening)
    assert money.opening + sum(term.amount for term in money.terms) == money.closing
    with runtime.ledger.read() as session:
        ours = {str(fill.venue_order_id) for fill in fills_of(session, account.account_id)}
    assert len(ours) == len(account.sim.control.orders("main"))


def test_orders_of_other_hands_and_deposits_are_found_for_what_they_are(at: tuple[Facts, Account]) -> None:
    facts, account = at
    sync(account)
    symbol, name, quantity = facts.order
    account.sim.control.place_order("main", symbol, "buy", quantity)
    account.sim.control.deposit("main", facts.money, "250.5")
    found = reconcile(account)
    assert found.outcome is BREAKS
    assert kinds(found) == {BreakKind.ORDER_EXTERNAL}
    (order,) = (item for item in found.findings.breaks if item.kind is BreakKind.ORDER_EXTERNAL)  # type: ignore[union-attr]
    assert (order.instrument_id, order.venue_amount) == (InstrumentId(name), D(quantity))
    with account.runtime.ledger.read() as session:
        events = [row for row in cash_events_of(session, account.account_id) if row.amount == D("250.5")]
    assert {row.kind for row in events} <= {CashEventKind.DEPOSIT.value, CashEventKind.TRANSFER.value} and events


def test_kill_cancels_flattens_and_proves_after_a_lost_answer(at: tuple[Facts, Account]) -> None:
    facts, account = at
    sync(account)
    _, name, quantity = facts.order
    terms: dict[str, Any] = {"time_in_force": TimeInForce.DAY} if facts.seat is ALPACA else {}
    account.sim.control.fault("execute_then_drop", path=facts.order_path)
    lost = account.traded(name, SELL, quantity, "lost", timeout_s=300, **terms)
    assert (lost.state, lost.filled_quantity) == (IntentState.FILLED, D(quantity)), lost
    assert len(account.sim.control.orders("main")) == 1 and len(account.held()) == 1
    assert reconcile(account).outcome is CLEAN

    limit = {"order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC}
    price = account.runtime.broker.quotes([InstrumentId(name)])[0].bid * D("0.98")
    rests = account.traded(name, BUY, quantity, "rests", timeout_s=1, limit_price=price.quantize(D("0.1")), **limit)
    assert rests.state is IntentState.WORKING, rests
    with account.runtime.ledger.write() as session:
        at_ = account.clock.now()
        set_control(session, account.account_id, ControlState.KILL, reason="test", set_by="anna", at=at_)
    request = KillRequest(requested_by="anna", approved_by="ben", reason="test", flatten=True)
    report = kill_account(account.runtime, request, settle_currencies=MONEY)
    assert report.state.value == "flat_proven" and len(report.cancelled) == 1, report
    assert account.held() == {} and account.sim.control.orders("main", open_only=True) == []
    assert_books_are_the_venues(account)


# -- OKX alone --------------------------------------------------------------------------------------------------
@pytest.fixture
def okx(tmp_path: Path) -> Iterator[Account]:
    with account_at(OKX, tmp_path) as account:
        yield account


@pytest.mark.parametrize(("rate", "side"), [("0.0001", BUY), ("0.0001", SELL), ("-0.00025", BUY)])
def test_reconciliation_over_funding_at_okx(okx: Account, rate: str, side: OrderSide) -> None:
    """Funding is worth contracts times their size at the mark; the bill tells it, and the equation counts it apart."""
    sync(okx)
    okx.sim.control.set_funding_rate(rate=rate)
    assert okx.traded("BTC/USDT:USDT", side, "30", "open").state is IntentState.FILLED
    assert_books_are_the_venues(okx)
    before, mark = wallets(okx)["USDT"], okx.sim.control.prices()["BTC-USDT-SWAP"]
    okx.clock.wait(8 * 3600 + 60)
    paid = D(rate) * side.sign * 30 * D("0.01") * mark
    assert wallets(okx)["USDT"] == before - paid and paid
    found = reconcile(okx)
    assert found.outcome is CLEAN and found.books is not None
    (money,) = (item for item in found.books.equations if item.currency == "USDT")
    terms = {item.term: item.amount for item in money.terms}
    assert terms[Term.FUNDING] == -paid and money.expected == money.venue == wallets(okx)["USDT"]
    assert (money.tolerance, money.state) == (0, EquationState.HOLDS)
    with okx.runtime.ledger.read() as session:
        funding = [e for e in cash_events_of(session, okx.account_id) if e.kind == CashEventKind.FUNDING.value]
    assert [(event.amount, event.instrument_id) for event in funding] == [(-paid, "BTC/USDT:USDT")]
    assert close_positions(okx.runtime, business_key="eod", settle_currencies=MONEY)[0].outcome.value == "flat"
    assert_books_are_the_venues(okx)


STOP: dict[str, Any] = {"order_type": OrderType.STOP_MARKET, "time_in_force": TimeInForce.GTC}


def test_a_stop_is_one_order_from_its_placement_to_its_fills_at_okx(okx: Account) -> None:
    """Its trigger makes another order at OKX: the ledger has one, with all of its fills, and nothing is external."""
    sync(okx)
    okx.sim.control.fault("execute_then_drop", path="/api/v5/trade/order-algo", method="POST")
    name = "BTC/USDT:USDT"
    view = okx.traded(name, BUY, "30", "stop", timeout_s=60, trigger_price=D(61_000), **STOP)
    assert view.state is IntentState.WORKING and str(view.venue_order_id).startswith("algo:"), view
    assert reconcile(okx).outcome is CLEAN
    okx.sim.control.set_price("BTC-USDT-SWAP", "61500")
    (done,) = okx.runtime.desk.drive([view.intent_id], timeout_s=120)
    assert (done.state, done.filled_quantity, done.venue_order_id) == (
        IntentState.FILLED,
        D(30),
        view.venue_order_id,
    )
    assert okx.held() == {"BTC-USDT-SWAP": D(30)}
    assert_books_are_the_venues(okx)
    assert sweep_account(okx.runtime).outcome is CLEAN
    with okx.runtime.ledger.read() as session:
        assert {str(fill.venue_order_id) for fill in fills_of(session, okx.account_id)} == {str(view.venue_order_id)}


def test_a_kill_sees_stops_of_ours_and_of_people_at_okx(okx: Account) -> None:
    """Ours are cancelled; a person's is named, and cancelled where everything is to go."""
    sync(okx)
    name = "BTC/USDT:USDT"
    ours = okx.traded(name, BUY, "30", "stop", timeout_s=5, trigger_price=D(61_000), **STOP)
    assert ours.state is IntentState.WORKING, ours
    terms = {"instId": "BTC-USDT-SWAP", "tdMode": "cross", "side": "sell", "sz": "1"}
    body = json.dumps({**terms, "ordType": "trigger", "triggerPx": "58500", "orderPx": "-1"})
    person = Wire(okx.sim.url, at=okx.clock.now).send("POST", "/trade/order-algo", body=body).json()["data"][0]
    assert person["sCode"] == "0", person
    with okx.runtime.ledger.write() as session:
        set_control(session, okx.account_id, ControlState.KILL, reason="test", set_by="anna", at=okx.clock.now())
    request = KillRequest(requested_by="anna", approved_by="ben", reason="test", flatten=True)
    report = kill_account(okx.runtime, request, settle_currencies=MONEY)
    assert report.state.value == "flat_proven" and report.cancelled == (f"buy 30 {name} ({ours.venue_order_id})",), (
        report
    )
    (theirs,) = report.others_open
    assert theirs == f"sell 1 {name} (algo:{person['algoId']})", "it is named"
    everything = replace(request, everything=True)
    report = kill_account(okx.runtime, everything, settle_currencies=MONEY)
    assert report.others_cancelled == (theirs,) and report.others_open == (), report
    assert okx.sim.control.orders("main", open_only=True) == []


# -- several venues at once -------------------------------------------------------------------------------------
TOGETHER = {"BTC/USDT": "0.05", "BTC/USDT:USDT": "-0.1", "AAPL": "0.1", "BTC/USD": "0.02"}
WHERE = {"binance": ["BTC/USDT"], "okx": ["BTC/USDT:USDT"], "alpaca": ["AAPL", "BTC/USD"]}


@pytest.fixture
def together(tmp_path: Path) -> Iterator[dict[str, Account]]:
    """An account at each venue over one ledger, on one clock, with a pool that must be read and is tight."""
    clock = SharedClock(START)
    tight = {"pool_may_be_unread": False, "pool_gross_notional_max": D(200_000)}
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
        ledger = stack.enter_context(Ledger.open(url, environment=Environment.SIMULATED, clock=clock))
        yield {
            name: stack.enter_context(account_at(facts.seat, ledger, clock=clock, policy=tight))
            for name, facts in FACTS.items()
        }


def test_one_run_trades_one_portfolio_over_three_venues(together: dict[str, Account]) -> None:
    """The pool may hold 200,000: 66 contracts of OKX are no 66 coins where Binance values them."""
    for account in together.values():
        sync(account)
    runtimes = {f"{name}-simulated-main": account.runtime for name, account in together.items()}
    subscription = Subscription(
        name="everywhere",
        portfolio="core",
        base_currency="USD",
        split="by_instrument",
        accounts=[
            {"account": f"{name}-simulated-main", "quote_currency": FACTS[name].money, "instruments": instruments}
            for name, instruments in WHERE.items()
        ],
        conversions={"USDT": {"rate": "1"}},
    )
    wanted = Portfolio(
        name="core", quote_currency="USD", targets=TOGETHER, cash_buffer="0", gross_max="2", minimum_trade_notional="50"
    )
    done = run_portfolio(runtimes, subscription, wanted, business_key="all")
    assert done.state is RunState.COMPLETED, done.result
    # of 400,000 in all accounts: 20,000 of spot at Binance, -40,000 of OKX's swap, 40,000 and 8,000 at Alpaca
    assert together["okx"].held() == {"BTC-USDT-SWAP": D("-66.66")}
    assert together["alpaca"].held() == {"AAPL": D(200)} and together["binance"].held() == {}
    assert D("0.33") < wallets(together["binance"])["BTC"] < D("0.334")
    together["okx"].clock.wait(60)
    again = run_portfolio(runtimes, subscription, wanted, business_key="again")
    assert again.state is RunState.COMPLETED and again.run_plan.legs == ()
    for account in together.values():
        assert_books_are_the_venues(account)
