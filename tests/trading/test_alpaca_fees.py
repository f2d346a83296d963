"""Fees at Alpaca that no fill tells: expected as long as they may be on their way, and no more than they may be."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.ids import InstrumentId
from brokers.types import OrderSide, TimeInForce
from flows.reports.reconciling import reconciliation_report
from ledger.states import IntentState, ReconciliationOutcome
from simulators.alpaca.config import CryptoFees, FeesConfig
from simulators.core.types import EntryKind
from simulators.testing_alpaca import small_alpaca_config
from tests.trading.simulated_venues import ALPACA, ON_ITS_OWN_CLOCK, Account, account_at
from trading.closing import close_positions
from trading.plans import make_plan
from trading.rebalancing import Portfolio
from trading.reconciliation.equation import EquationState
from trading.reconciliation.kinds import BreakKind
from trading.reconciling import ReconciliationResult, reconcile_account
from trading.sync import sync_account

D = Decimal
BUY, SELL = OrderSide.BUY, OrderSide.SELL
CLEAN, BREAKS = ReconciliationOutcome.CLEAN, ReconciliationOutcome.BREAKS
HELD, DUE = EquationState.HOLDS, EquationState.FEES_DUE


@pytest.fixture
def account(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Account]:
    fees = FeesConfig(crypto=getattr(request, "param", CryptoFees.WHEN_POSTED))
    with account_at(ALPACA, tmp_path, config=small_alpaca_config(clock=ON_ITS_OWN_CLOCK, fees=fees)) as opened:
        sync_account(opened.runtime.ledger, opened.runtime.broker, clock=opened.clock)
        yield opened


def reconcile(account: Account) -> ReconciliationResult:
    account.clock.wait(60)
    return reconcile_account(account.runtime)


def states(found: ReconciliationResult) -> dict[str, EquationState]:
    assert found.books is not None, found
    return {item.currency: item.state for item in found.books.equations}


def due(found: ReconciliationResult) -> dict[str, Decimal]:
    assert found.books is not None, found
    return {item.currency: item.unposted for item in found.books.equations}


@pytest.mark.parametrize("account", list(CryptoFees), indirect=True)
def test_a_crypto_fee_is_no_break_whether_it_is_taken_at_the_fill_or_when_it_is_told(
    account: Account, request: pytest.FixtureRequest
) -> None:
    is_at_fill = request.node.callspec.params["account"] is CryptoFees.AT_FILL
    assert account.traded("BTC/USD", BUY, "0.5", "buy").state is IntentState.FILLED
    first = reconcile(account)
    assert first.outcome is CLEAN and first.findings is not None
    assert states(first) == {"BTC": DUE if is_at_fill else HELD, "USD": HELD}
    said = ("balance BTC: 0.00125 less, of at most 0.001250001 of fees to be posted",)
    assert first.findings.expected == (said if is_at_fill else ())
    verdict = reconciliation_report(first).verdict
    assert verdict.startswith("No break") and (f"Expected: {said[0]}." in verdict) is is_at_fill

    assert account.traded("BTC/USD", SELL, "0.2", "sell").state is IntentState.FILLED, "nothing is locked"
    second = reconcile(account)
    assert second.outcome is CLEAN and set(states(second).values()) == {DUE if is_at_fill else HELD}

    account.clock.wait(24 * 3600)  # New York's day is over: the activities are there
    third = reconcile(account)
    assert third.outcome is CLEAN and third.books is not None and third.findings is not None
    assert set(states(third).values()) == {HELD} and third.findings.expected == ()
    assert {item.currency: item.expected for item in third.books.equations} == account.sim.control.wallets("main")
    account.clock.wait(24 * 3600)
    assert set(due(reconcile(account)).values()) == {0}


@pytest.mark.parametrize(("taken", "is_break"), [("0.00125", False), ("0.0013", True), ("-0.0001", True)])
def test_only_what_a_fee_may_be_is_expected_and_only_as_long_as_it_may_be(
    account: Account, taken: str, is_break: bool
) -> None:
    """What no activity tells: as much as a fee may be is waited for, more or the other way is a break at once."""
    account.traded("BTC/USD", BUY, "0.5", "buy")
    venue = account.sim.simulator.venue
    venue.settlement.post(venue.accounts["main"], EntryKind.FEE, "BTC", at_ms=venue.now_ms(), fee=D(taken))
    found = reconcile(account)
    assert (found.outcome is BREAKS) is is_break
    account.clock.wait(37 * 3600)  # the fee itself is told meanwhile, and this was none
    late = reconcile(account)
    assert late.findings is not None and late.books is not None
    assert [(item.kind, item.subject) for item in late.findings.breaks] == [
        (BreakKind.BALANCE_UNEXPLAINED, "balance BTC")
    ]
    assert {item.currency: item.difference for item in late.books.equations} == {"BTC": -D(taken), "USD": 0}


def test_parts_of_a_share_are_closed_and_shorts_too(account: Account) -> None:
    day = {"time_in_force": TimeInForce.DAY}
    assert account.traded("AAPL", BUY, "10.125", "parts", **day).state is IntentState.FILLED
    assert account.traded("MSFT", SELL, "4", "short", **day).state is IntentState.FILLED
    assert account.held() == {"AAPL": D("10.125"), "MSFT": D(-4)}
    assert reconcile(account).outcome is CLEAN
    closed = close_positions(account.runtime, business_key="eod", settle_currencies=("USD",))
    assert {(str(item.instrument_id), item.outcome.value) for item in closed} == {("AAPL", "flat"), ("MSFT", "flat")}
    assert account.held() == {} and reconcile(account).outcome is CLEAN
    account.clock.wait(48 * 3600)
    after = reconcile(account)  # the regulators' fees on what was sold
    assert after.outcome is CLEAN and after.books is not None
    (dollars,) = after.books.equations
    assert {part.term.value for part in dollars.terms} == {"trades", "fees"}
    assert dollars.expected == account.sim.control.wallets("main")["USD"]


def test_a_short_share_is_not_planned(account: Account) -> None:
    wanted = Portfolio(name="core", quote_currency="USD", targets={"AAPL": "0.3", "MSFT": "-0.2"}, cash_buffer="0.02")
    plan = make_plan(account.runtime, wanted, business_key="short").plan
    (line,) = (line for line in plan.lines if line.instrument_id == InstrumentId("MSFT"))
    assert [reason.value for reason in line.reasons] == ["NO_SHORT_IN_PRODUCT"]
