"""The daily statement on a simulated venue: it adds up exactly, and agrees with the venue's own closed profit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.ids import InstrumentId
from flows.reports import report_of
from flows.reports.model import Tone
from ledger.engine import NoBaseline
from ledger.states import BreakStep, ReconciliationOutcome
from ledger.tables import FillRow
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.config import ClockConfig
from simulators.core.types import EntryKind
from simulators.testing import small_config
from tests.trading.simulated import ACCOUNT, Stage, VenueClock, stage
from tests.trading.simulated_tradestation import tradestation
from tests.trading.test_breaks import change, decided
from tests.trading.test_reconciling import AT_ONCE
from trading.reconciliation.equation import Term
from trading.reconciling import reconcile_account
from trading.statement import StatementReason, StatementRefused, make_statement
from trading.statement_day import Day, gather
from trading.statement_model import InstrumentLine, Statement
from trading.sync import sync_account

D = Decimal
START = datetime(2026, 3, 2, 15, tzinfo=UTC)
CONFIG = small_config(clock=ClockConfig(mode=ClockMode.MANUAL, start=START, gateway=GatewayClock.ENGINE))
AAPL, BTC, SPOT = InstrumentId("AAPL/USDT:USDT"), InstrumentId("BTC/USDT:USDT"), InstrumentId("BTC/USDT")


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Stage]:
    """A venue on its own clock: days pass in no time, and funding with them."""
    with stage(tmp_path, clock=VenueClock(START), config=CONFIG) as opened:
        sync(opened)
        yield opened


def sync(on: Stage) -> None:
    on.clock.wait(60)  # feeds are read until the venue's now, which is not in them yet
    sync_account(on.runtime.ledger, on.runtime.broker, clock=on.clock)


def trade(on: Stage, symbol: str, side: str, quantity: str, **more: Any) -> None:
    on.clock.wait(60)
    on.sim.control.place_order("main", symbol, side, quantity, **more)


def until_midnight(on: Stage) -> None:
    """To the start of the next day, read just before and just after it."""
    midnight = datetime.combine(on.clock.now().date() + timedelta(days=1), time(), UTC)
    on.clock.advance(midnight - on.clock.now() - timedelta(minutes=5))  # type: ignore[attr-defined]
    sync(on)
    on.clock.advance(timedelta(minutes=10))  # type: ignore[attr-defined]
    sync(on)


def line_of(made: Statement, key: InstrumentId) -> InstrumentLine:
    return next(line for line in made.instruments if line.instrument_id == key)


def test_a_day_adds_up_and_is_the_next_days_opening(on: Stage) -> None:
    """Trades, funding, a deposit, moved prices; then a day on which only marks and funding move."""
    on.sim.control.set_funding_rate("0.0001")
    trade(on, "AAPLUSDT", "buy", "30")
    on.sim.control.set_price("AAPLUSDT", "204")
    trade(on, "AAPLUSDT", "sell", "10")
    trade(on, "BTCUSDT", "sell", "0.3")
    on.sim.control.deposit("main", "USDT", "1234.56")
    on.sim.control.set_price("BTCUSDT", "59000")
    until_midnight(on)
    first = make_statement(on.runtime, START.date())
    on.sim.control.set_price("AAPLUSDT", "201")
    until_midnight(on)
    second = make_statement(on.runtime, START.date() + timedelta(days=1))
    for made in (first, second):
        assert made.is_final and made.adds_up and not made.notes, made.notes
        (usdt,) = made.currencies
        assert usdt.equity_opening is not None and usdt.equity_closing is not None
        total = sum((line.unrealised_closing or D(0) for line in made.instruments), D(0))
        assert usdt.equity_closing == usdt.closing + total
        assert all(line.unbooked in (0, None) for line in made.instruments), "average cost is the venue's own method"
    (before,), (after,) = first.currencies, second.currencies
    assert (before.closing, before.equity_closing) == (after.opening, after.equity_opening)
    assert first.sha256 != second.sha256 == make_statement(on.runtime, second.day).sha256
    log = [row for row in on.sim.control.transaction_log("main") if row.time_ms / 1000 <= first.closes_at.timestamp()]
    terms = {part.term: part.amount for part in before.terms}
    assert terms[Term.FUNDING] == sum(row.funding for row in log if row.kind is EntryKind.FUNDING) != 0
    assert terms[Term.FEES] == -sum(row.fee for row in log if row.kind is EntryKind.TRADE) < 0
    assert line_of(first, AAPL).funding + line_of(first, BTC).funding == terms[Term.FUNDING]
    assert (line_of(first, AAPL).closing_quantity, line_of(second, AAPL).opening_quantity) == (20, 20)


def test_what_is_realised_is_what_the_venue_calls_closed_profit(on: Stage) -> None:
    """Bybit's closed PnL is after opening and closing fees; every position of the day is closed in it."""
    prices = iter(["200.37", "203.11", "199.93", "201.07", "198.99"])
    for side, quantity in (
        ("buy", "7"),
        ("buy", "4"),
        ("sell", "3"),
        ("sell", "13"),
        ("buy", "5"),
    ):  # 7, 11, 8 long, 5 short, flat
        on.sim.control.set_price("AAPLUSDT", next(prices))
        trade(on, "AAPLUSDT", side, quantity)
    sync(on)
    made = make_statement(on.runtime, START.date())
    line = line_of(made, AAPL)
    closed = sum((trade.profit for trade in on.sim.control.closed_trades("main")), D(0))
    assert line.realised is not None and line.closing_quantity == 0
    assert line.realised - sum(amount for _, amount in line.fees) == closed
    assert line.booked == line.realised and line.unrealised_closing == 0


@pytest.mark.parametrize("imported", [("1-buys", "2-sells"), ("2-sells", "1-buys")])
def test_fills_of_one_moment_count_in_the_order_of_their_ids_however_they_came(
    on: Stage, imported: tuple[str, str]
) -> None:
    day = Day(START, START + timedelta(hours=9))
    for trade_id in imported:
        buys = trade_id == "1-buys"
        row = FillRow(
            account_id=str(ACCOUNT),
            trade_id=trade_id,
            venue_order_id=trade_id,
            instrument_id=str(AAPL),
            side="buy" if buys else "sell",
            quantity=D(1) if buys else D(3),
            price=D(100) if buys else D(110),
            fee=D(0),
            fee_currency="USDT",
            liquidity="taker",
            time=START + timedelta(hours=1),
            recorded_at=START + timedelta(hours=1),
        )
        with on.runtime.ledger.write() as session:
            session.add(row)
    with on.runtime.ledger.read() as session:
        book = gather(session, ACCOUNT, day, {}).traded[AAPL]
    assert (book.realised, book.book.quantity) == (10, -2), "bought at 100, sold at 110, and two more sold short"


def test_a_spot_coin_is_a_balance_and_its_profit_stands_beside(on: Stage) -> None:
    trade(on, "BTCUSDT", "buy", "0.02", kind="spot")
    trade(on, "BTCUSDT", "sell", "0.01", kind="spot")
    sync(on)
    made = make_statement(on.runtime, START.date())
    line = line_of(made, SPOT)
    assert made.adds_up and not line.in_equity and line.booked is None
    assert {item.currency for item in made.currencies} == {"BTC", "USDT"}
    btc = made.currencies[0]
    assert btc.closing == on.wallet("BTC") and btc.equity_closing == btc.closing
    assert line.realised is not None and line.realised < 0, "the spread was paid"
    assert f"{SPOT}: valued at its last fill" in made.notes[-1]


def test_a_coin_from_elsewhere_has_no_cost_and_no_profit_is_made_up(on: Stage) -> None:
    on.sim.control.deposit("main", "BTC", "1")
    trade(on, "BTCUSDT", "sell", "0.5", kind="spot")
    sync(on)
    made = make_statement(on.runtime, START.date())
    line = line_of(made, SPOT)
    assert (line.realised, line.average_price, line.unrealised_closing) == (None, None, None)
    assert made.adds_up, "its money is accounted for all the same"
    assert any("its cost or contract size is not known" in note for note in made.notes)


def test_a_position_from_before_the_opening_keeps_the_venues_average(tmp_path: Path) -> None:
    with stage(tmp_path, clock=VenueClock(START), config=CONFIG) as on:
        on.sim.control.place_order("main", "AAPLUSDT", "buy", "10")
        sync(on)
        trade(on, "AAPLUSDT", "sell", "4")
        sync(on)
        line = line_of(make_statement(on.runtime, START.date()), AAPL)
        assert (line.opening_quantity, line.closing_quantity, line.unbooked) == (10, 6, 0)


def test_a_statement_says_what_is_provisional_and_what_was_never_agreed(on: Stage) -> None:
    made = make_statement(on.runtime, START.date())
    assert not made.is_final and made.notes == ("The day is not over: figures are until now.",)
    assert made.last_run is None and report_of(made).tone is Tone.WARN
    on.clock.advance(timedelta(days=1))  # type: ignore[attr-defined]
    late = make_statement(on.runtime, START.date())
    assert not late.is_final and late.notes[0].startswith("Provisional: the ledger has not read every feed")
    reconcile_account(on.runtime, tolerances=AT_ONCE)
    done = make_statement(on.runtime, START.date())
    assert done.is_final and done.last_run is not None and done.last_run[1] == "clean"
    assert report_of(done).tone is Tone.GOOD


def test_breaks_are_those_of_the_end_of_the_day_and_what_came_of_them_is_told_apart(on: Stage) -> None:
    """The same day's statement made later lists what was accepted then, whatever was decided since."""
    change(on, "UPDATE balance SET total = '99990' WHERE snapshot_id = 1")
    for _ in range(2):
        assert reconcile_account(on.runtime, tolerances=AT_ONCE).outcome is ReconciliationOutcome.BREAKS
    today = make_statement(on.runtime, START.date()).breaks
    assert (today.opened, today.accepted, today.since, today.left) == (1, (), (), 1)
    until_midnight(on)
    decided(on, BreakStep.ACCEPTED, reason="gift")
    second = START.date() + timedelta(days=1)
    named = "BALANCE_UNEXPLAINED balance USDT +10 (by ann until "
    first = make_statement(on.runtime, START.date()).breaks
    assert (first.opened, first.accepted, first.left) == (1, (), 0), "nobody had accepted it when the day was over"
    assert first.since[0].startswith(f"accepted since: {named}")
    until_midnight(on)
    decided(on, BreakStep.UNACCEPTED, reason="it is none")
    made = make_statement(on.runtime, second)
    assert (made.breaks.opened, len(made.breaks.accepted), made.breaks.left) == (1, 1, 1)
    assert made.breaks.accepted[0].startswith(named)
    assert made.breaks.since == ("BALANCE_UNEXPLAINED balance USDT: open, and no longer accepted",)
    assert report_of(made).tone is Tone.WARN, "it is open now, so nobody signs unwarned"
    change(on, "UPDATE balance SET total = '100000' WHERE snapshot_id = 1")
    assert reconcile_account(on.runtime, tolerances=AT_ONCE).outcome is ReconciliationOutcome.CLEAN
    trade(on, "MSFTUSDT", "buy", "3")
    on.clock.wait(60)
    reconcile_account(on.runtime, tolerances=AT_ONCE)
    later = make_statement(on.runtime, second).breaks
    assert (later.opened, later.accepted, later.left) == (1, made.breaks.accepted, 1)
    assert later.since[0].startswith("BALANCE_UNEXPLAINED balance USDT: cleared 2026-03-04 00:")
    assert later.since[1].startswith("found since, and open: ORDER_EXTERNAL order ")
    assert make_statement(on.runtime, START.date()).breaks.opened == 1


def test_days_without_a_statement_are_refused_by_name(on: Stage, tmp_path: Path) -> None:
    for days, reason in ((1, StatementReason.STATEMENT_DAY_AHEAD), (-1, StatementReason.STATEMENT_BEFORE_OPENING)):
        with pytest.raises(StatementRefused) as refused:
            make_statement(on.runtime, START.date() + timedelta(days=days))
        assert refused.value.reason is reason and reason.remedy
    (tmp_path / "new").mkdir()
    with stage(tmp_path / "new", config=CONFIG, clock=VenueClock(START)) as fresh, pytest.raises(NoBaseline):
        make_statement(fresh.runtime, START.date())


def test_a_venue_without_a_feed_states_the_equity_that_it_showed(tmp_path: Path) -> None:
    with tradestation(tmp_path) as (sim, runtime):
        sync_account(runtime.ledger, runtime.broker, clock=runtime.clock)
        sim.control.place_order("SIM123456M", "AAPL", "buy", "5")
        runtime.clock.wait(60)
        sync_account(runtime.ledger, runtime.broker, clock=runtime.clock)
        shown = runtime.broker.margin_health().equity  # as the venue's own balances say it
        runtime.clock.wait(60)
        made = make_statement(runtime, START.date())
    (usd,) = made.currencies
    assert (usd.is_explained, usd.terms, usd.adds_up) == (False, (), False)
    assert (usd.equity_opening, usd.equity_closing) == (100_000, shown) and shown != 100_000
    assert usd.closing < usd.opening == 100_000 and any("tells no wallet changes" in note for note in made.notes)
    (line,) = made.instruments
    assert (line.closing_quantity, line.realised, line.booked) == (5, 0, None)
    report = report_of(made)
    assert report.tone is Tone.WARN and "not told" in str(report.sections)
