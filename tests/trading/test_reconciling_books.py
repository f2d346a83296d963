"""The balance equation of a simulated account: every term by the venue's own feed, and what makes it incomplete."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.ids import InstrumentId
from brokers.types import CashEvent, CashEventKind, OrderSide
from ledger.breaks import latest_run
from ledger.states import ReconciliationOutcome
from simulators.core.types import EntryKind
from tests.trading.simulated import Stage, send, stage
from tests.trading.test_reconciling import forget, kinds, run
from trading.reconciliation.equation import EquationState, Term
from trading.sync import sync_account

D = Decimal
AAPL = InstrumentId("AAPL/USDT:USDT")


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as opened:
        sync_account(opened.runtime.ledger, opened.runtime.broker, clock=opened.clock)
        yield opened


def live(on: Stage) -> None:
    """A day of an account: trades on both products, money in, funding paid."""
    send(on, "buy", AAPL, OrderSide.BUY, "3")
    send(on, "coins", InstrumentId("BTC/USDT"), OrderSide.BUY, "0.01")
    on.sim.control.deposit("main", "USDT", "250.5")
    send(on, "sell", AAPL, OrderSide.SELL, "1")


def test_each_currency_is_its_opening_plus_its_terms_exactly(on: Stage) -> None:
    """Once with everything as news, once with it imported: the same equation, to the last digit of the venue."""
    live(on)
    for _ in range(2):
        found = run(on)
        assert found.findings is not None and found.books is not None
        assert kinds(found) == []
        by_currency = {item.currency: item for item in found.books.equations}
        assert set(by_currency) == {"USDT", "BTC"}
        for currency, item in by_currency.items():
            assert item.state is EquationState.HOLDS and item.tolerance == item.difference == 0
            assert item.expected == item.venue == on.wallet(currency)
        log = on.sim.control.transaction_log("main")
        terms = {part.term: part.amount for part in by_currency["USDT"].terms}
        usdt = [row for row in log if row.coin == "USDT" and row.kind is EntryKind.TRADE]
        assert terms[Term.FEES] == -sum(row.fee for row in usdt) < 0
        assert terms[Term.TRADES] + terms[Term.CONVERSIONS] == sum(row.cash_flow for row in usdt)
        assert terms[Term.TRANSFERS if Term.TRANSFERS in terms else Term.DEPOSITS] == D("250.5")
    assert found.books.chained_rows == len(log) - 1, "all rows but the one of the opening balance"
    with on.runtime.ledger.read() as session:
        row = latest_run(session, on.runtime.account_id)
    assert row is not None
    assert [item["state"] for item in json.loads(row.summary)["equations"]] == ["holds", "holds"]


def losing(on: Stage, monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Have the venue's feed come through `change`."""
    read = on.runtime.broker.cash_events

    def changed(**window: Any) -> tuple[CashEvent, ...]:
        return tuple(change(read(**window)))

    monkeypatch.setattr(on.runtime.broker, "cash_events", changed)


def test_a_row_that_the_feed_never_showed_is_located_and_heals_when_it_shows(
    on: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for amount in ("1", "7", "2"):
        on.sim.control.deposit("main", "USDT", amount)
    with monkeypatch.context() as hidden:
        losing(on, hidden, lambda events: [event for event in events if event.amount != 7])
        found = run(on)
        assert kinds(found) == ["CASH_FEED_INCOMPLETE"] and found.outcome is ReconciliationOutcome.BREAKS
        assert found.findings is not None and found.findings.breaks[0].difference == 7
        assert found.books is not None and found.books.equations[0].state is EquationState.INCOMPLETE
        again = run(on)
        assert kinds(again) == ["CASH_FEED_INCOMPLETE"] and len(again.changes.seen_again) == 1
    assert kinds(run(on)) == ["CASH_EVENT_MISSING_IN_LEDGER"], "now the venue shows it"
    healed = run(on)
    assert healed.outcome is ReconciliationOutcome.CLEAN and len(healed.changes.cleared) >= 1


def test_a_row_lost_before_the_look_back_is_found_by_the_chain_and_read_again(on: Stage) -> None:
    for amount in ("1", "7", "2"):
        on.sim.control.deposit("main", "USDT", amount)
    run(on)
    forget(on, "cash_event", "amount = '7'")
    short = timedelta(0)
    assert kinds(run(on, lookback=short)) == ["CASH_FEED_INCOMPLETE"]
    assert run(on, lookback=short).outcome is ReconciliationOutcome.CLEAN, "the sync's overlap reached it"


def test_a_kind_that_nobody_knows_is_never_clean_inside_or_before_the_look_back(
    on: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    on.sim.control.deposit("main", "USDT", "5")
    unmapped = {"kind": CashEventKind.UNMAPPED, "venue_kind": "GIFT"}
    losing(on, monkeypatch, lambda events: [replace(e, **unmapped) if e.amount == 5 else e for e in events])
    sync_account(on.runtime.ledger, on.runtime.broker, clock=on.clock)
    found = run(on, lookback=timedelta(0))
    assert kinds(found) == ["BALANCE_EQUATION_INCOMPLETE"]
    assert found.outcome is ReconciliationOutcome.BREAKS
    assert found.books is not None and found.books.equations[0].difference == 0
    assert kinds(run(on)) == ["CASH_EVENT_UNMAPPED"]


def test_positions_and_open_orders_stand_side_by_side(on: Stage) -> None:
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "3")
    on.sim.control.place_order("main", "MSFTUSDT", "buy", "1", price="390")
    found = run(on)
    assert found.books is not None
    (pair,) = found.books.positions
    assert (pair.ledger, pair.news, pair.venue, pair.difference) == (0, 3, 3, 0)
    (order,) = found.books.orders
    assert order.ledger is None and order.venue is not None and order.either.limit_price == 390
    again = run(on)
    assert again.books is not None
    assert (again.books.positions[0].ledger, again.books.orders[0].ledger) == (3, again.books.orders[0].venue) or (
        again.books.orders[0].ledger is not None
    )
