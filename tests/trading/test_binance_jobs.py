"""Jobs on a Binance account beside those of every venue: two wallets, a feed of one of them, listed symbols, BNB."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from pydantic import SecretStr

from brokers.clock import epoch_ms
from brokers.config import AccountConfig as Connection
from brokers.factory import open_broker
from brokers.ids import InstrumentId, VenueOrderId
from brokers.types import OrderSide, OrderType, TimeInForce
from ledger.controls import set_control
from ledger.invariants import check_ledger
from ledger.records import cash_events_of, fills_of, fills_of_intent, orders_of
from ledger.states import BreakStep, ControlState, IntentState, KillState, ReconciliationOutcome
from simulators.core.config import AccountConfig, InstrumentConfig, PricesConfig
from simulators.core.types import MarketKind
from simulators.demo_binance import binance_coins
from simulators.testing_binance import small_binance_config
from tests.trading.simulated_venues import BINANCE, LINEAR, ON_ITS_OWN_CLOCK, SPOT, Account, account_at
from trading.breaks import Decision, decide
from trading.kill_model import KillRequest
from trading.killing import kill_account
from trading.leverage import LeverageOutcome, set_leverage
from trading.orders import IntentView
from trading.reconciliation.equation import EquationState, Term
from trading.reconciliation.kinds import BreakKind
from trading.reconciling import ReconciliationResult, reconcile_account
from trading.starting import prove_account, start_trading
from trading.sync import sync_account

D = Decimal
BUY, SELL = OrderSide.BUY, OrderSide.SELL
CLEAN, BREAKS = ReconciliationOutcome.CLEAN, ReconciliationOutcome.BREAKS


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    with account_at(BINANCE, tmp_path) as opened:
        yield opened


def sync(account: Account) -> None:
    sync_account(account.runtime.ledger, account.runtime.broker, clock=account.clock)


def reconcile(account: Account) -> ReconciliationResult:
    account.clock.wait(60)
    return reconcile_account(account.runtime)


def test_orders_of_both_products_are_filled_and_their_fills_are_on_record(account: Account) -> None:
    start_trading(account.runtime, prove_account(account.runtime))
    for number, key in enumerate((SPOT, LINEAR)):
        view = account.traded(str(key), BUY, "0.1", f"buy-{number}")
        assert (view.state, view.filled_quantity) == (IntentState.FILLED, D("0.1")), view
    with account.runtime.ledger.read() as session:
        fills = {fill.instrument_id: fill for fill in fills_of(session, account.account_id)}
    assert {fill.trade_id for fill in fills.values()} == {"spot:BTCUSDT:309520010", "linear:BTCUSDT:309520010"}
    assert fills["BTC/USDT"].fee_currency == "BTC" and len(account.sim.control.executions("main")) == 2


def test_spot_is_explained_by_its_fills_and_what_came_in_and_went_out(account: Account) -> None:
    sync(account)
    account.traded("BTC/USDT", BUY, "0.1", "spot")
    account.sim.control.deposit("main", "BTC", "0.25")
    account.clock.wait(5)
    account.sim.control.withdraw("main", "USDT", "1000.5")
    account.clock.wait(5)
    sync(account)
    clean = reconcile(account)
    assert clean.outcome is CLEAN and clean.books is not None, clean
    with account.runtime.ledger.read() as session:
        told = {row.venue_kind: (row.currency, row.amount) for row in cash_events_of(session, account.account_id)}
    assert told["DEPOSIT"] == ("BTC", D("0.25")) and told["WITHDRAW"] == ("USDT", D("-1000.5"))
    assert account.traded("BTC/USDT", BUY, "0.1", "free").state is IntentState.FILLED


def test_spot_is_explained_by_its_fills_and_a_transfer_by_a_person(account: Account) -> None:
    """No row that is read tells a transfer to another wallet: it is a break, locks, and is corrected with its cause."""
    sync(account)
    account.traded("BTC/USDT", BUY, "0.1", "spot")
    assert reconcile(account).outcome is CLEAN
    account.sim.control.transfer("second", "main", "USDT", "250")
    assert reconcile(account).outcome is BREAKS
    found = reconcile(account)
    assert found.findings is not None
    (item,) = found.findings.breaks
    assert (item.kind, item.subject, item.difference) == (BreakKind.BALANCE_DIFFERS, "balance USDT", D(250))
    refused = account.traded("BTC/USDT", BUY, "0.1", "locked")
    assert refused.reason == "LOCKED_BY_BREAK"
    account.clock.wait(1)
    break_id = item.id_for(account.account_id)
    words = {"reason": "transfer from the funding wallet", "set_by": "ann", "approved_by": "bob"}
    decide(account.runtime.ledger, Decision(break_id=break_id, step=BreakStep.CORRECTED, **words))
    assert reconcile(account).outcome is CLEAN
    again = reconcile(account)
    assert again.outcome is CLEAN and again.books is not None
    (dollars,) = (item for item in again.books.equations if item.currency == "USDT")
    assert {part.term: part.amount for part in dollars.terms}[Term.ADJUSTMENTS] == D(250)
    assert account.traded("BTC/USDT", BUY, "0.1", "free").state is IntentState.FILLED


def test_fees_in_bnb_are_of_the_balance_of_bnb(tmp_path: Path) -> None:
    bnb = InstrumentConfig(
        symbol="BNBUSDT",
        kind=MarketKind.SPOT,
        base="BNB",
        tick=D("0.01"),
        step=D("0.001"),
        qty_min=D("0.001"),
        leverage_max=D(1),
    )
    money = {"USDT": D(100_000), "USDT@futures": D(100_000), "BNB": D(1), "BNB@futures": D(1)}
    config = small_binance_config(
        instruments=(*binance_coins(), bnb),
        accounts=(AccountConfig(name="main", balances=money),),
        prices=PricesConfig(start={"BTCUSDT": D(60_000), "ETHUSDT": D(3_000), "BNBUSDT": D(600)}),
        clock=ON_ITS_OWN_CLOCK,
        bnb_fees=True,
    )
    with account_at(BINANCE, tmp_path, config=config) as account:
        sync(account)
        account.traded("BTC/USDT", BUY, "0.1", "spot")
        account.traded("BTC/USDT:USDT", SELL, "0.1", "linear")
        found = reconcile(account)
        assert found.outcome is CLEAN and found.books is not None, found
        expected = {item.currency: item.expected for item in found.books.equations}
        truth = account.sim.control.wallets("main")
        assert expected == {
            "BTC": D("0.1"),
            "BNB": truth["BNB"] + truth["BNB@futures"],
            "USDT": truth["USDT"] + truth["USDT@futures"],
        }
        assert expected["BNB"] < D("1.995")
        (coin,) = (item for item in found.books.equations if item.currency == "BNB")
        assert coin.state is EquationState.HOLDS and {part.term for part in coin.terms} >= {Term.FEES}


def test_an_account_of_futures_alone_is_reconciled_to_the_last_digit_of_its_wallet(tmp_path: Path) -> None:
    with account_at(BINANCE, tmp_path, products="linear", instruments=(LINEAR,)) as account:
        sync(account)
        account.sim.control.set_funding_rate(rate="0.0001")
        account.traded("BTC/USDT:USDT", BUY, "0.5", "one")
        account.clock.wait(9 * 3600)  # over one funding time
        account.traded("BTC/USDT:USDT", SELL, "0.2", "two")
        account.sim.control.deposit("main", "USDT@futures", "250.5")
        account.clock.wait(600)
        sync(account)
        clean = reconcile(account)
        assert clean.outcome is CLEAN and clean.findings is not None and clean.books is not None, clean
        assert clean.findings.not_compared == () and clean.findings.compared["balances"] == 1
        assert clean.books.equations[0].expected == account.sim.control.wallets("main")["USDT@futures"]
        with account.runtime.ledger.read() as session:
            told = [row.venue_kind for row in cash_events_of(session, account.account_id)]
        assert set(told) == {"COMMISSION", "FUNDING_FEE", "REALIZED_PNL", "TRANSFER"}


def test_what_is_held_outside_of_the_list_is_a_break(tmp_path: Path) -> None:
    """Its fills are not read; the position that they make is."""
    with account_at(BINANCE, tmp_path, products="linear", instruments=(LINEAR,)) as account:
        sync(account)
        account.sim.control.place_order("main", "ETHUSDT", "buy", "1", kind="linear")
        account.clock.wait(600)
        found = reconcile(account)
        assert found.outcome is BREAKS and found.findings is not None
        assert BreakKind.POSITION_UNKNOWN in {item.kind for item in found.findings.breaks}
        outside = account.traded("ETH/USDT:USDT", SELL, "1", "outside", order_type=OrderType.MARKET)
        assert outside.state is IntentState.DENIED and "must be among the instruments" in outside.detail


def test_leverage_is_of_contracts_alone(account: Account) -> None:
    done = set_leverage(account.runtime, {LINEAR: D(3), SPOT: D(2)}, leverage_max=D(3))
    assert {item.instrument_id: item.outcome for item in done} == {
        LINEAR: LeverageOutcome.SET,
        SPOT: LeverageOutcome.REFUSED,
    }
    (again,) = set_leverage(account.runtime, {InstrumentId(str(LINEAR)): D(3)}, leverage_max=D(3))
    assert (again.outcome, again.before) == (LeverageOutcome.ALREADY_SO, 3)


def test_a_kill_says_what_it_could_not_close(tmp_path: Path) -> None:
    """A position outside of the list is seen; its fills would not be, so no order of ours is sent in it."""
    with account_at(BINANCE, tmp_path, products="linear", instruments=(LINEAR,)) as account:
        account.sim.control.place_order("main", "ETHUSDT", "buy", "1", kind="linear")
        account.sim.control.place_order("main", "BTCUSDT", "buy", "0.3", kind="linear")
        with account.runtime.ledger.write() as session:
            now = account.clock.now()
            set_control(session, account.account_id, ControlState.KILL, reason="test", set_by="anna", at=now)
        request = KillRequest(requested_by="anna", approved_by="ben", reason="test", flatten=True)
        report = kill_account(account.runtime, request, settle_currencies=("USDT",))
        assert report.state.value == "left" and account.held() == {"ETHUSDT": D(1)}, report
        assert any("ETH/USDT:USDT" in str(item) for item in report.left)


# -- stops in contracts -----------------------------------------------------------------------------------------
STOP = {"order_type": OrderType.STOP_MARKET, "time_in_force": TimeInForce.GTC, "trigger_price": D(59_000)}
STOP_LIMIT = {**STOP, "order_type": OrderType.STOP_LIMIT, "limit_price": D(59_500)}


def connected(account: Account) -> Connection:
    """The account for a process of its own."""
    return Connection(
        account_id=account.account_id,
        api_key=SecretStr("main-key"),
        api_secret=SecretStr("main-secret"),
        base_url=account.sim.url,
        instruments=(SPOT, LINEAR),
    )


def left_by_hand(account: Account, *, trigger: str, quantity: str) -> VenueOrderId:
    """A sell stop that a person leaves at the venue, under an id of the site's."""
    fields = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET"}
    more = {"quantity": quantity, "triggerPrice": trigger, "clientAlgoId": "web_1"}
    text = urlencode({**fields, **more, "timestamp": str(epoch_ms(account.clock.now()))})
    signature = hmac.new(b"main-secret", text.encode(), hashlib.sha256).hexdigest()
    data = f"{text}&signature={signature}".encode()
    with urlopen(
        Request(f"{account.sim.url}/fapi/v1/algoOrder", data=data, headers={"X-MBX-APIKEY": "main-key"})
    ) as answer:
        return VenueOrderId(f"algo:BTCUSDT:{json.load(answer)['algoId']}")


def waiting(account: Account, key: str, quantity: str, **terms: Any) -> IntentView:
    view = account.traded(str(LINEAR), SELL, quantity, key, timeout_s=1, **terms)
    assert view.state is IntentState.WORKING, view
    return view


@pytest.mark.parametrize("first", ["desk", "sync"])
def test_a_stop_of_ours_stays_one_order_through_its_trigger(account: Account, first: str) -> None:
    """Whoever reads the venue first: the desk, or a job that knows nothing of how the order was sent."""
    sync(account)
    account.traded(str(LINEAR), BUY, "0.3", "long")
    stop = waiting(account, "stop", "0.2", **STOP, reduce_only=True)
    sync(account)
    account.sim.control.set_price("BTCUSDT", "58900")
    if first == "sync":
        with open_broker(connected(account), clock=account.clock) as stranger:
            sync_account(account.runtime.ledger, stranger, clock=account.clock)
    (over,) = account.runtime.desk.drive([stop.intent_id], timeout_s=60)
    assert (over.state, over.filled_quantity) == (IntentState.FILLED, D("0.2")), over
    assert over.venue_order_id == stop.venue_order_id and account.held() == {"BTCUSDT": D("0.1")}
    sync(account)
    with account.runtime.ledger.read() as session:
        assert check_ledger(session, account.account_id) == ()
        mine = [row for row in orders_of(session, account.account_id) if row.intent_id == str(stop.intent_id)]
        told = fills_of_intent(session, str(stop.intent_id))
    assert [(row.venue_order_id, row.status) for row in mine] == [(str(stop.venue_order_id), "filled")]
    assert {fill.venue_order_id for fill in told} == {str(stop.venue_order_id)}
    assert reconcile(account).outcome is CLEAN


def test_a_stop_limit_is_taken_back_after_its_trigger(account: Account) -> None:
    account.traded(str(LINEAR), BUY, "0.3", "long")
    stop = waiting(account, "stop", "0.2", **STOP_LIMIT)
    account.sim.control.set_price("BTCUSDT", "58900")
    account.runtime.desk.cancel(stop.intent_id, reason="no longer wanted")
    (over,) = account.runtime.desk.drive([stop.intent_id], timeout_s=60)
    assert (over.state, over.filled_quantity) == (IntentState.CANCELLED, 0), over
    assert account.runtime.broker.open_orders() == ()


def test_a_kill_ends_stops_of_ours_and_of_a_person_wherever_they_are(account: Account) -> None:
    """Ours that waits, ours that triggered and rests in the engine, and one of a person's."""
    account.traded(str(LINEAR), BUY, "0.3", "long")
    waits = waiting(account, "waits", "0.1", **{**STOP, "trigger_price": D(50_000)})
    rests = waiting(account, "rests", "0.1", **STOP_LIMIT)
    left = left_by_hand(account, trigger="51000", quantity="0.1")
    account.sim.control.set_price("BTCUSDT", "58900")
    shown = {order.venue_order_id for order in account.runtime.broker.open_orders()}
    assert len(shown) == 3 and {waits.venue_order_id, rests.venue_order_id, left} <= shown
    with account.runtime.ledger.write() as session:
        now = account.clock.now()
        set_control(session, account.account_id, ControlState.KILL, reason="test", set_by="anna", at=now)
    request = KillRequest(requested_by="anna", approved_by="ben", reason="test", flatten=True, everything=True)
    report = kill_account(account.runtime, request, settle_currencies=("USDT",))
    assert report.state is KillState.FLAT_PROVEN, report
    assert account.held() == {} and account.runtime.broker.open_orders() == ()
