"""The adapter end to end on the simulated venue, for what Alpaca has and other venues have not.

What every venue must show is played by the spec cards (tests/conformance).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from typing import Any

import pytest

from brokers.alpaca.adapter import AlpacaBroker
from brokers.clock import SystemClock
from brokers.closing import closing_requests
from brokers.errors import (
    AnswerUnreadable,
    InsufficientFunds,
    InvalidOrder,
    OrderInvalid,
    PermissionRefused,
    RateLimited,
    VenueUnavailable,
)
from brokers.factory import open_broker
from brokers.ids import ClientOrderId, InstrumentId
from brokers.types import (
    CashEventKind,
    Order,
    OrderRequest,
    OrderSide,
    OrderStatus,
    OrderType,
    ProductKind,
    TimeInForce,
)
from brokers.wire import SendTicket
from simulators import AlpacaConfig, running_alpaca
from simulators.alpaca.config import AlpacaAccount, CryptoFees, FeesConfig, QuotaConfig
from simulators.core.sessions import SessionConfig, SessionMode
from simulators.testing_alpaca import small_alpaca_config
from tests.proof.venues.alpaca import account_at
from tests.proof.wire_venues import venue_clock
from tests.still import stand_still
from trading.market_hours import market_state

AAPL, MSFT, BTC = InstrumentId("AAPL"), InstrumentId("MSFT"), InstrumentId("BTC/USD")
BUY, SELL = OrderSide.BUY, OrderSide.SELL
START = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)  # a Monday, ten in the morning in New York
D = Decimal


class Venue:
    """A running simulator and the broker of its account `main`, whose clock is the venue's."""

    def __init__(self, sim: Any) -> None:
        self.sim = sim
        opened = open_broker(account_at(sim.url, 3.0), clock=SystemClock())
        assert isinstance(opened, AlpacaBroker)
        self.broker = opened
        self._numbers = itertools.count(1)

    def now(self) -> datetime:
        return self.broker.clock_reading().venue_time

    def place(self, key: InstrumentId, side: OrderSide, quantity: str, limit: str = "", **terms: Any) -> Order:
        request = OrderRequest(
            instrument_id=key,
            side=side,
            order_type=OrderType.LIMIT if limit else OrderType.MARKET,
            quantity=D(quantity),
            limit_price=D(limit) if limit else None,
            **{"time_in_force": TimeInForce.DAY if key != BTC else TimeInForce.IOC, **terms},
        )
        return self.send(request)

    def send(self, request: OrderRequest) -> Order:
        ours = ClientOrderId(f"at-{next(self._numbers):04d}")
        now = datetime.now(UTC)
        ticket = SendTicket(ours.value, now + timedelta(seconds=5), time.monotonic() + 5, timeout_s=3.0)
        self.broker.place(self.broker.prepare_order(request, ours), ticket)
        found = self.broker.find_order(instrument_id=request.instrument_id, client_order_id=ours)
        assert found is not None
        return found

    def window(self) -> dict[str, datetime]:
        return {"since": START - timedelta(hours=1), "until": self.now() + timedelta(seconds=1)}

    def dollars(self) -> Decimal:
        return next(b.total for b in self.broker.balances() if b.currency == "USD")


AT_FILL = FeesConfig(crypto=CryptoFees.AT_FILL)  # as users report it: a fee leaves with the fill and is told of later


def running(**changes: Any) -> AlpacaConfig:
    return small_alpaca_config(clock=venue_clock(START), **{"fees": AT_FILL, **changes})


@pytest.fixture(scope="module")
def started() -> Iterator[Venue]:
    with running_alpaca(running()) as sim:
        yield Venue(sim)


@pytest.fixture
def venue(started: Venue) -> Iterator[Venue]:
    yield started
    started.sim.control.clear_faults()
    started.sim.control.reset()


def test_parts_of_a_share_are_bought_held_and_sold(venue: Venue) -> None:
    assert venue.place(AAPL, BUY, "2.5").status is OrderStatus.FILLED
    (position,) = venue.broker.positions()
    assert position.quantity == D("2.5")
    (item,) = venue.broker.instruments([AAPL])
    (closing,) = closing_requests(position, item)
    assert (closing.quantity, closing.time_in_force) == (D("2.5"), TimeInForce.DAY)
    assert venue.send(closing).status is OrderStatus.FILLED
    assert venue.broker.positions() == ()
    with pytest.raises(InvalidOrder, match="must reduce the position, which is 0"):
        venue.send(closing)


def test_whole_shares_close_at_once(venue: Venue) -> None:
    venue.place(AAPL, BUY, "3")
    (position,) = venue.broker.positions()
    (closing,) = closing_requests(position, venue.broker.instruments([AAPL])[0])
    assert closing.time_in_force is TimeInForce.IOC and venue.send(closing).status is OrderStatus.FILLED


def test_fees_come_late_and_count_when_they_come(venue: Venue) -> None:
    """A sale of shares, a purchase and a sale of coins: no fill says what it cost."""
    venue.place(AAPL, BUY, "100")
    venue.place(AAPL, SELL, "100")
    venue.place(BTC, BUY, "0.1")
    venue.place(BTC, SELL, "0.05")
    assert all(fill.fee == 0 for fill in venue.broker.fills(**venue.window()))
    traded = venue.now()
    assert not [e for e in venue.broker.cash_events(**venue.window()) if e.kind is CashEventKind.FEE]
    venue.sim.control.advance(days=1)
    found = venue.broker.cash_events(since=traded, until=venue.now() + timedelta(seconds=1))
    events = [event for event in found if event.kind is CashEventKind.FEE]
    fees = {(event.currency, event.venue_kind.split()[0]): event.amount for event in events}
    assert set(fees) == {("USD", "FEE"), ("USD", "CFEE"), ("BTC", "CFEE")} and all(e < 0 for e in fees.values())
    assert len(events) == 4 and all(event.time > traded for event in events)
    sums: dict[str, Decimal] = {}
    for event in venue.broker.cash_events(**venue.window()):
        sums[event.currency] = sums.get(event.currency, D(0)) + event.amount
    held = {b.currency: b.total for b in venue.broker.balances()}
    assert abs(sums["USD"] - held["USD"]) <= D("0.01") and sums["BTC"] == held["BTC"]


def test_coins_are_wallets_and_their_names_have_no_slash_there(venue: Venue) -> None:
    venue.place(BTC, BUY, "0.1")
    assert venue.broker.positions() == ()
    balance = next(b for b in venue.broker.balances() if b.currency == "BTC")
    assert balance.total == balance.available == D("0.09975"), "a quarter of a per cent was taken with the purchase"
    (fill,) = venue.broker.fills(**venue.window(), instrument_id=BTC)
    assert fill.fee_currency == "BTC"
    with pytest.raises(InsufficientFunds):
        venue.place(BTC, SELL, "0.1")


def test_a_short_position_is_negative_once(venue: Venue) -> None:
    venue.place(MSFT, SELL, "5")
    (position,) = venue.broker.positions()
    assert (position.side.value, position.quantity) == ("short", D(-5))
    (fill,) = venue.broker.fills(**venue.window())
    assert fill.side is SELL
    venue.sim.control.set_asset(symbol="AAPL", shortable=False)
    try:
        with pytest.raises(PermissionRefused, match="cannot be sold short"):
            venue.place(AAPL, SELL, "5")
    finally:
        venue.sim.control.set_asset(symbol="AAPL", shortable=True)


def test_an_order_that_another_hand_replaces_is_over_and_names_what_follows(venue: Venue) -> None:
    order = venue.place(AAPL, BUY, "5", "190")
    venue.sim.control.show_status(account="main", order_id=order.venue_order_id.value, status="replaced")
    found = venue.broker.find_order(instrument_id=AAPL, venue_order_id=order.venue_order_id)
    assert found is not None and found.status is OrderStatus.CANCELLED and found.status_text.startswith("replaced")


@pytest.mark.parametrize("status", ["held", "done_for_day", "stopped", "suspended", "calculated", "activated"])
def test_rare_states_are_open(venue: Venue, status: str) -> None:
    order = venue.place(AAPL, BUY, "5", "190")
    venue.sim.control.show_status(account="main", order_id=order.venue_order_id.value, status=status)
    (found,) = venue.broker.open_orders()
    assert found.status.is_open and found.status_text == status


def test_a_state_that_nobody_documents_is_named(venue: Venue) -> None:
    order = venue.place(AAPL, BUY, "5", "190")
    venue.sim.control.show_status(account="main", order_id=order.venue_order_id.value, status="teleported")
    with pytest.raises(AnswerUnreadable, match="'teleported'"):
        venue.broker.open_orders()


def test_a_side_without_a_quote_is_no_market(venue: Venue) -> None:
    venue.sim.control.one_sided(symbol="AAPL", no_ask=True)
    try:
        with pytest.raises(VenueUnavailable, match="no ap now"):
            venue.broker.quotes([AAPL])
    finally:
        venue.sim.control.one_sided(symbol="AAPL")


def test_a_wash_trade_is_refused(venue: Venue) -> None:
    venue.place(AAPL, BUY, "5", "190")
    with pytest.raises(OrderInvalid, match="wash trade"):
        venue.place(AAPL, SELL, "5", "190")


def test_what_an_order_holds_is_not_available(venue: Venue) -> None:
    venue.place(AAPL, BUY, "100", "190")
    (balance,) = venue.broker.balances()
    assert balance.total == 100_000 and balance.available is not None and balance.available < 100_000
    assert balance.total == balance.available + balance.held


def test_limits_tell_when_to_ask_again() -> None:
    quota = QuotaConfig(trading=5, data=5)
    with running_alpaca(running(rate_limits=quota)) as sim:
        venue = Venue(sim)
        stand_still(sim)
        with pytest.raises(RateLimited) as caught:
            for _ in range(10):
                venue.broker.margin_health()
        assert caught.value.retry_after_s is None or 0 <= caught.value.retry_after_s <= 60


def test_a_cash_account_may_not_borrow() -> None:
    cash = AlpacaAccount(name="main", balances={"USD": D(1_000)}, multiplier=1)
    with running_alpaca(running(accounts=(cash,))) as sim:
        venue = Venue(sim)
        assert venue.broker.connect().margin_mode == "cash"
        assert venue.broker.margin_health().available == D(1_000)
        with pytest.raises(InsufficientFunds):
            venue.place(AAPL, BUY, "6")


def test_the_calendar_knows_half_days_and_the_clock_its_next_opening() -> None:
    session = SessionConfig(
        mode=SessionMode.EXCHANGE, holidays=(date(2026, 11, 26),), early_closes={date(2026, 11, 27): clock_time(13)}
    )
    with running_alpaca(running(session=session)) as sim:
        broker = Venue(sim).broker
        clock = broker.market_clock()
        assert clock.is_open is market_state("NYSE", START).is_open is True
        assert clock.next_close == datetime(2026, 3, 2, 21, 0, tzinfo=UTC)
        days = broker.trading_days(first=date(2026, 11, 23), last=date(2026, 11, 30))
        assert [day.day.day for day in days] == [23, 24, 25, 27, 30], "Thanksgiving is no trading day"
        for day in days:  # the same hours as those that our own jobs wait for
            minute = timedelta(minutes=1)
            assert market_state("NYSE", day.opens_at + minute).is_open
            assert not market_state("NYSE", day.closes_at + minute).is_open
            assert market_state("NYSE", day.closes_at - minute).is_open


def test_options_of_the_account(venue: Venue) -> None:
    """An account that trades shares alone still shows its coins: what is held is read whole."""
    venue.place(BTC, BUY, "0.1")
    shares = replace(account_at(venue.sim.url, 3.0), products=frozenset({ProductKind.EQUITY}))
    with open_broker(shares, clock=SystemClock()) as broker:
        assert {balance.currency for balance in broker.balances()} == {"USD", "BTC"}
        assert [item.instrument_id for item in broker.instruments()] == [AAPL, MSFT]
