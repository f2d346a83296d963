"""Sync: the baseline holds, nothing is counted twice, nothing after it is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from brokers.clock import ManualClock
from brokers.errors import AnswerTimedOut, InstrumentUnknown
from brokers.ids import AccountId, ClientOrderId, Environment, InstrumentId, TradeId, Venue, VenueOrderId
from brokers.registry import capabilities
from brokers.types import (
    Balance,
    CashEvent,
    CashEventKind,
    ClockReading,
    Fill,
    Instrument,
    LiquiditySide,
    Order,
    OrderSide,
    OrderStatus,
    OrderType,
    Position,
    PositionMode,
    PositionSide,
    ProductKind,
    Quote,
    TimeInForce,
)
from ledger.engine import ConflictingEvidence, Ledger
from ledger.records import Feed, cursor, fills_of_intent, orders_of
from ledger.snapshots import baseline, latest_snapshot, ledger_balances, ledger_positions
from ledger.states import SnapshotPurpose
from ledger.tables import AccountSnapshot, OrderAttempt, OrderIntent
from trading.steps import StepKind
from trading.sync import BASELINE_ATTEMPTS_MAX, OVERLAP, BaselineUnsettled, SyncResult, sync_account

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACCOUNT = AccountId(Venue.BYBIT, Environment.SIMULATED, "main")
PERPETUAL = InstrumentId("BTC/USDT:USDT")


class FakeVenue:
    """A venue of one account: trades move a position and a wallet, feeds show them after `lag`.

    It stands in for a Broker; only what sync may call exists. `before` holds actions by method name, each run once
    just before the call is answered.
    """

    account_id = ACCOUNT

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.capabilities = capabilities(Venue.BYBIT)
        self.quantity = Decimal(0)
        self.wallet = Decimal(1000)
        self.orders: dict[str, Order] = {}
        self.all_fills: list[Fill] = []
        self.all_cash: list[CashEvent] = []
        self.lag = timedelta(0)
        self.listed = True
        self.before: dict[str, list[Callable[[], object]]] = {}
        self.calls: list[str] = []

    # -- what happens at the venue
    def trade(
        self, quantity: str, price: str = "100", *, client_order_id: str | None = None, part_of: str = ""
    ) -> Fill:
        number = len(self.all_fills) + 1
        amount = Decimal(quantity)
        side = OrderSide.BUY if amount > 0 else OrderSide.SELL
        client = ClientOrderId(client_order_id) if client_order_id else None
        order_id = part_of or f"order-{number}"
        if not part_of:
            self.orders[order_id] = self.order(order_id, side, abs(amount), client, status=OrderStatus.FILLED)
        fee = abs(amount) * Decimal(price) * Decimal("0.0005")
        fill = Fill(
            account_id=ACCOUNT,
            trade_id=TradeId(f"trade-{number}"),
            venue_order_id=VenueOrderId(order_id),
            client_order_id=client,
            instrument_id=PERPETUAL,
            side=side,
            quantity=abs(amount),
            price=Decimal(price),
            fee=fee,
            fee_currency="USDT",
            liquidity=LiquiditySide.TAKER,
            time=self.clock.now(),
        )
        self.all_fills.append(fill)
        self.quantity += amount
        self.cash(-fee, CashEventKind.FEE, trade_id=fill.trade_id)
        return fill

    def cash(self, amount: Decimal, kind: CashEventKind, *, trade_id: TradeId | None = None) -> None:
        self.wallet += amount
        event = CashEvent(
            account_id=ACCOUNT,
            event_id=f"event-{len(self.all_cash) + 1}",
            kind=kind,
            currency="USDT",
            amount=amount,
            time=self.clock.now(),
            trade_id=trade_id,
            balance_after=self.wallet,
        )
        self.all_cash.append(event)

    def order(
        self, order_id: str, side: OrderSide, quantity: Decimal, client: ClientOrderId | None, *, status: OrderStatus
    ) -> Order:
        is_filled = status is OrderStatus.FILLED
        return Order(
            account_id=ACCOUNT,
            venue_order_id=VenueOrderId(order_id),
            client_order_id=client,
            instrument_id=PERPETUAL,
            side=side,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.GTC,
            quantity=quantity,
            filled_quantity=quantity if is_filled else Decimal(0),
            average_price=Decimal(100) if is_filled else None,
            limit_price=Decimal(100),
            trigger_price=None,
            status=status,
            reduce_only=False,
            created_at=self.clock.now(),
            updated_at=self.clock.now(),
        )

    # -- what a broker is asked
    def _asked(self, method: str) -> None:
        self.calls.append(method)
        waiting = self.before.get(method, [])
        if waiting:
            waiting.pop(0)()

    def _shown(self, rows: Iterable[Any], since: datetime, until: datetime) -> tuple[Any, ...]:
        latest = min(until, self.clock.now() - self.lag)
        return tuple(row for row in rows if since <= row.time <= latest)

    def clock_reading(self) -> ClockReading:
        self._asked("clock_reading")
        return ClockReading(self.clock.now(), timedelta(0), timedelta(milliseconds=1))

    def balances(self) -> tuple[Balance, ...]:
        self._asked("balances")
        return (Balance(ACCOUNT, "USDT", self.wallet, self.wallet, Decimal(0), self.clock.now()),)

    def positions(self) -> tuple[Position, ...]:
        self._asked("positions")
        side = (
            PositionSide.LONG if self.quantity > 0 else PositionSide.SHORT if self.quantity < 0 else PositionSide.FLAT
        )
        none = dict.fromkeys(("average_price", "mark_price", "unrealised_pnl", "realised_pnl", "leverage"))
        return (
            Position(ACCOUNT, PERPETUAL, side, self.quantity, mode=PositionMode.ONE_WAY, time=self.clock.now(), **none),
        )

    def open_orders(self) -> tuple[Order, ...]:
        self._asked("open_orders")
        return tuple(order for order in self.orders.values() if order.status.is_open)

    def order_history(self, *, since: datetime, until: datetime) -> tuple[Order, ...]:
        self._asked("order_history")
        closed = (order for order in self.orders.values() if not order.status.is_open)
        return tuple(order for order in closed if since <= order.created_at <= until)

    def find_order(self, *, instrument_id: InstrumentId, venue_order_id: VenueOrderId) -> Order | None:
        self._asked("find_order")
        return self.orders.get(str(venue_order_id))

    def fills(self, *, since: datetime, until: datetime) -> tuple[Fill, ...]:
        self._asked("fills")
        return self._shown(self.all_fills, since, until)

    def cash_events(self, *, since: datetime, until: datetime) -> tuple[CashEvent, ...]:
        self._asked("cash_events")
        return self._shown(self.all_cash, since, until)

    def instruments(self, ids: Iterable[InstrumentId]) -> tuple[Instrument, ...]:
        self._asked("instruments")
        if not self.listed:
            raise InstrumentUnknown(f"{PERPETUAL} is not listed")
        steps = dict.fromkeys(("tick_size", "lot_size", "quantity_min", "notional_min"), Decimal("0.1"))
        return tuple(Instrument(i, "BTCUSDT", ProductKind.LINEAR, "BTC", "USDT", "USDT", **steps) for i in ids)

    def quotes(self, ids: Iterable[InstrumentId]) -> tuple[Quote, ...]:
        self._asked("quotes")
        return tuple(Quote(i, Decimal(99), Decimal(101), Decimal(100), self.clock.now()) for i in ids)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def venue(clock: ManualClock) -> FakeVenue:
    return FakeVenue(clock)


@pytest.fixture
def ledger(tmp_path: Path, clock: ManualClock) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", environment=Environment.SIMULATED, clock=clock) as opened:
        yield opened


Sync = Callable[..., SyncResult]


@pytest.fixture
def sync(ledger: Ledger, venue: FakeVenue, clock: ManualClock) -> Sync:
    def run(**options: Any) -> SyncResult:
        return sync_account(ledger, venue, clock=clock, **options)  # type: ignore[arg-type]

    return run


def figures(ledger: Ledger) -> tuple[Decimal, Decimal]:
    """Position and balance by the ledger's own evidence."""
    with ledger.read() as session:
        positions, balances = ledger_positions(session, ACCOUNT), ledger_balances(session, ACCOUNT)
    return positions.get(str(PERPETUAL), Decimal(0)), balances["USDT"]


def test_the_first_sync_is_the_baseline(ledger: Ledger, venue: FakeVenue, clock: ManualClock, sync: Sync) -> None:
    venue.trade("2")
    clock.wait(60)
    result = sync(purpose=SnapshotPurpose.BEFORE_PLAN, reference="plan-1")
    assert result.is_baseline and result.purpose is SnapshotPurpose.BASELINE and result.is_settled
    assert figures(ledger) == (venue.quantity, venue.wallet)  # the trade before is in the figures, not added again
    assert (result.fills.new, result.cash_events.new, result.orders.new) == (1, 1, 1)  # kept as history all the same
    assert result.differences == ()
    with ledger.read() as session:
        assert baseline(session, ACCOUNT).reference == "plan-1"


def test_later_syncs_add_what_happened_since(ledger: Ledger, venue: FakeVenue, clock: ManualClock, sync: Sync) -> None:
    sync()
    clock.wait(30)
    venue.trade("1.5", "100")
    venue.cash(Decimal("-0.25"), CashEventKind.FUNDING)
    clock.wait(30)
    result = sync()
    assert not result.is_baseline and result.is_settled
    assert (result.fills.new, result.cash_events.new) == (1, 2)
    assert figures(ledger) == (Decimal("1.5"), Decimal("999.675")) == (venue.quantity, venue.wallet)
    assert result.differences == (
        "BTC/USDT:USDT: 0 → 1.5 (+1.5)",
        "USDT total: 1000 → 999.675 (-0.325)",
    )
    (value,) = result.values
    assert (value.notional, value.price, value.currency) == (Decimal(150), Decimal(100), "USDT")


def test_the_overlap_is_read_again_and_counted_once(
    ledger: Ledger, venue: FakeVenue, clock: ManualClock, sync: Sync
) -> None:
    sync()
    clock.wait(5)
    venue.trade("1")
    clock.wait(5)
    sync()
    again = sync()
    assert (again.fills.new, again.fills.known, again.cash_events.known) == (0, 1, 1)
    assert figures(ledger) == (venue.quantity, venue.wallet)


def test_a_fill_shown_late_is_found_by_the_overlap(
    ledger: Ledger, venue: FakeVenue, clock: ManualClock, sync: Sync
) -> None:
    sync()
    clock.wait(60)
    venue.lag = timedelta(minutes=10)
    venue.trade("1")
    clock.wait(60)
    assert sync().fills.new == 0
    venue.lag = timedelta(0)
    clock.wait((OVERLAP - timedelta(minutes=2)).total_seconds())
    assert sync().fills.new == 1
    assert figures(ledger) == (venue.quantity, venue.wallet)


@pytest.mark.parametrize("moment", ["balances", "positions", "open_orders"])
@pytest.mark.parametrize("wait_s", [0, 0.2])
def test_a_baseline_is_read_again_when_something_lands_in_between(
    ledger: Ledger, venue: FakeVenue, clock: ManualClock, sync: Sync, moment: str, wait_s: float
) -> None:
    def trade() -> None:
        clock.wait(wait_s)
        venue.trade("1")

    venue.trade("0.5")
    venue.before[moment] = [trade]
    result = sync()
    assert venue.calls.count("balances") == 2
    assert result.is_settled and figures(ledger) == (venue.quantity, venue.wallet)


def test_a_trade_during_a_baseline_that_shows_late_is_waited_for(
    ledger: Ledger, venue: FakeVenue, clock: ManualClock, sync: Sync
) -> None:
    def trade() -> None:
        clock.wait(0.2)
        venue.trade("1")

    venue.lag = timedelta(seconds=0.8)
    venue.before["positions"] = [trade]
    clock.wait(10)
    sync()
    clock.wait(60)
    sync()
    assert figures(ledger) == (venue.quantity, venue.wallet)


def test_a_baseline_waits_for_open_orders_whose_parts_are_told_only_at_the_end(
    ledger: Ledger, venue: FakeVenue, clock: ManualClock, sync: Sync
) -> None:
    part = venue.order("order-p", OrderSide.BUY, Decimal(10), None, status=OrderStatus.PARTIALLY_FILLED)
    venue.orders["order-p"] = replace(part, filled_quantity=Decimal(4))
    venue.capabilities = replace(venue.capabilities, fills_are_totals=True)
    with pytest.raises(BaselineUnsettled, match="a part of open order order-p"):
        sync()
    venue.orders["order-p"] = replace(part, status=OrderStatus.CANCELLED, filled_quantity=Decimal(4))
    assert sync().is_baseline


def test_a_baseline_that_never_settles_stores_nothing(
    ledger: Ledger, venue: FakeVenue, clock: ManualClock, sync: Sync
) -> None:
    venue.before["positions"] = [lambda: venue.trade("1")] * BASELINE_ATTEMPTS_MAX
    with pytest.raises(BaselineUnsettled, match="did not settle in 5 attempts; last arrived: cash event event-5"):
        sync()
    with ledger.read() as session:
        assert latest_snapshot(session, ACCOUNT) is None and cursor(session, ACCOUNT, Feed.FILLS) is None


def test_a_later_sync_says_when_it_did_not_settle(
    ledger: Ledger, venue: FakeVenue, clock: ManualClock, sync: Sync
) -> None:
    def trade() -> None:
        clock.wait(0.2)
        venue.trade("1")

    sync()
    clock.wait(10)
    venue.before["open_orders"] = [trade] * 3
    assert not sync().is_settled
    clock.wait(10)
    assert sync().is_settled
    assert figures(ledger) == (venue.quantity, venue.wallet)


def test_fills_and_orders_find_their_intent(ledger: Ledger, venue: FakeVenue, clock: ManualClock, sync: Sync) -> None:
    sync()
    with ledger.write() as session:
        session.add(intent("intent-1"))
        session.flush()
        session.add(
            OrderAttempt(
                client_order_id="ours-1",
                intent_id="intent-1",
                attempt_number=1,
                payload="{}",
                payload_sha256="",
                created_at=START,
            )
        )
    clock.wait(5)
    first = venue.trade("1", client_order_id="ours-1")
    second = venue.trade("1", part_of=str(first.venue_order_id))  # a fill that does not carry our id
    venue.trade("3")
    clock.wait(5)
    sync()
    with ledger.read() as session:
        ours = orders_of(session, ACCOUNT, ours=True)
        assert [row.client_order_id for row in ours] == ["ours-1"] and ours[0].intent_id == "intent-1"
        assert [row.venue_order_id for row in orders_of(session, ACCOUNT, ours=False)] == ["order-3"]
        linked = fills_of_intent(session, "intent-1")
        assert [row.trade_id for row in linked] == [str(first.trade_id), str(second.trade_id)]
        assert {row.client_order_id for row in linked} == {"ours-1"}


def intent(intent_id: str) -> OrderIntent:
    return OrderIntent(
        intent_id=intent_id,
        account_id=str(ACCOUNT),
        business_key="key",
        terms_sha256="",
        source="test",
        instrument_id=str(PERPETUAL),
        side="buy",
        order_type="limit",
        time_in_force="gtc",
        quantity=Decimal(2),
        created_at=START,
        updated_at=START,
        expires_at=START,
    )


def test_an_order_that_history_no_longer_lists_is_looked_up(
    ledger: Ledger, venue: FakeVenue, clock: ManualClock, sync: Sync
) -> None:
    venue.orders["old"] = venue.order("old", OrderSide.BUY, Decimal(1), None, status=OrderStatus.WORKING)
    clock.wait(3600)
    assert [str(order.venue_order_id) for order in sync().open_orders] == ["old"]
    clock.wait(3 * 86400)
    venue.orders["old"] = replace(venue.orders["old"], status=OrderStatus.CANCELLED, updated_at=clock.now())
    assert sync().missing_orders == ()
    with ledger.read() as session:
        assert orders_of(session, ACCOUNT)[0].status == "cancelled"
    assert venue.calls.count("find_order") == 1


def test_an_order_that_the_venue_shows_nowhere_is_named(venue: FakeVenue, clock: ManualClock, sync: Sync) -> None:
    venue.orders["gone"] = venue.order("gone", OrderSide.BUY, Decimal(1), None, status=OrderStatus.WORKING)
    sync()
    del venue.orders["gone"]
    assert sync().missing_orders == ("gone",)


def test_changed_evidence_stops_the_sync_and_overwrites_nothing(
    ledger: Ledger, venue: FakeVenue, clock: ManualClock, sync: Sync
) -> None:
    sync()
    clock.wait(5)
    venue.trade("1", "100")
    clock.wait(5)
    sync()
    before = figures(ledger)
    venue.all_fills[0] = replace(venue.all_fills[0], price=Decimal(90))
    venue.trade("7")
    clock.wait(5)
    with pytest.raises(ConflictingEvidence, match=r"fill trade-1 .*price is 100, was received as 90"):
        sync()
    assert figures(ledger) == before


def test_a_failed_read_stores_nothing(ledger: Ledger, venue: FakeVenue, clock: ManualClock, sync: Sync) -> None:
    def fail() -> None:
        raise AnswerTimedOut("no answer")

    sync()
    clock.wait(5)
    venue.trade("1")
    clock.wait(5)
    with ledger.read() as session:
        before = [cursor(session, ACCOUNT, feed) for feed in Feed]
    venue.before["cash_events"] = [fail]
    with pytest.raises(AnswerTimedOut):
        sync()
    with ledger.read() as session:
        assert [cursor(session, ACCOUNT, feed) for feed in Feed] == before
        assert len(session.exec(select(AccountSnapshot)).all()) == 1
    assert sync().fills.new == 1


def test_unmapped_wallet_changes_are_named(venue: FakeVenue, clock: ManualClock, sync: Sync) -> None:
    sync()
    clock.wait(5)
    venue.cash(Decimal(3), CashEventKind.UNMAPPED)
    clock.wait(5)
    assert [event.amount for event in sync().unmapped_cash_events] == [Decimal(3)]


def test_a_delisted_position_stands_without_a_price(venue: FakeVenue, sync: Sync) -> None:
    venue.trade("-1")
    venue.listed = False
    (value,) = sync().values
    assert value.notional is None and value.position.quantity == -1


def test_a_venue_without_a_cash_feed_is_not_asked_for_it(
    ledger: Ledger, venue: FakeVenue, clock: ManualClock, sync: Sync
) -> None:
    venue.capabilities = replace(venue.capabilities, cash_events=False)
    assert sync().cash_events.new == 0
    assert "cash_events" not in venue.calls
    assert not sync().has_cash_feed
    with ledger.read() as session:
        assert cursor(session, ACCOUNT, Feed.CASH_EVENTS) is None
        assert cursor(session, ACCOUNT, Feed.FILLS) is not None


def test_a_second_first_sync_makes_no_second_baseline(
    ledger: Ledger, venue: FakeVenue, clock: ManualClock, sync: Sync
) -> None:
    other_results: list[SyncResult] = []
    venue.before["quotes"] = [lambda: other_results.append(sync())]
    venue.trade("1")
    result = sync()
    assert (other_results[0].purpose, result.purpose) == (SnapshotPurpose.BASELINE, SnapshotPurpose.SYNC)
    assert figures(ledger) == (venue.quantity, venue.wallet)


def test_steps_are_named_as_sentences(venue: FakeVenue, sync: Sync) -> None:
    seen: list[tuple[StepKind, str]] = []

    def step(name: str, kind: StepKind, function: Callable[[], Any]) -> Any:
        seen.append((kind, name))
        return function()

    sync(step=step)
    assert seen[-1] == (StepKind.RECORD, "record bybit.simulated.main")
    assert (StepKind.READ, "read balances of bybit.simulated.main") in seen
    assert {kind for kind, _ in seen} == {StepKind.READ, StepKind.RECORD}


@pytest.mark.parametrize("seed", range(8))
def test_ledger_and_venue_agree_after_any_history(
    ledger: Ledger, venue: FakeVenue, clock: ManualClock, sync: Sync, seed: int
) -> None:
    import random

    chance = random.Random(seed)

    def happen() -> None:
        clock.wait(chance.choice([0, 0.001, 0.3]))
        venue.trade(str(chance.choice([-3, -1, 1, 2])) + ".000000000001", str(chance.randint(1, 10**6)))

    for _ in range(12):
        for moment in chance.sample(["balances", "positions", "open_orders", "fills", "cash_events"], 2):
            venue.before[moment] = [happen] * chance.choice([0, 0, 1, 2])
        sync()
        clock.wait(chance.choice([0.5, 30, 3000]))
        if chance.random() < 0.5:
            happen()
    venue.before.clear()
    clock.wait(5)
    sync()
    assert figures(ledger) == (venue.quantity, venue.wallet)
