"""Seeded corruptions of a whole account: simulator, adapter and ledger are real, then one side is falsified.

Each is found as what it is, and nothing else is reported. What the venue says is falsified after the adapter has read
it, what the ledger says in its database, in a transaction that is taken back.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session

from brokers.ids import ClientOrderId, Environment, InstrumentId, TradeId, VenueOrderId
from brokers.types import CashEventKind, Fill, OrderSide, OrderStatus
from ledger.engine import Ledger
from simulators.core.clock import ClockMode, GatewayClock
from simulators.testing import small_config
from tests.trading.reconciliation.building import make_balance, make_position
from tests.trading.simulated import ACCOUNT, Stage, VenueClock, send, stage
from trading.books import news_of
from trading.cash_flows import cash_flows
from trading.fact_rows import CASH_EVENTS, FILLS, ORDERS, Spool
from trading.ledger_view import ledger_view
from trading.reconciliation import BreakKind, Findings, LedgerView, Tolerances, VenueView, reconcile
from trading.reconciliation.equation import Rounding, equations, judge
from trading.reconciling import reconcile_account
from trading.settling import settled
from trading.sync import sync_account
from trading.venue_reading import VenueReading

D = Decimal
K = BreakKind
START = datetime(2025, 3, 3, tzinfo=UTC)
AAPL, MSFT, ETH = (InstrumentId(f"{base}/USDT:USDT") for base in ("AAPL", "MSFT", "ETH"))
SPOT = InstrumentId("BTC/USDT")
LEVERAGE = {AAPL: D(10)}


class Undone(Exception):
    """The falsification is rolled back."""


@dataclass(frozen=True)
class Scene:
    """What both sides agree on, and a copy of the ledger whose evidence nothing protects."""

    ledger: Ledger
    venue: VenueView
    now: datetime

    def compare(self, venue: VenueView, *statements: str) -> Findings:
        """What a comparison finds with these statements in the ledger, which are taken back."""
        found: list[Findings] = []
        with pytest.raises(Undone), self.ledger.write() as session:
            for statement in statements:
                assert session.connection().exec_driver_sql(statement).rowcount > 0, statement
            ours = ledger_view(session, ACCOUNT, since=venue.window_start, until=venue.read_at)
            news = news_of(session, ours, venue)
            cash = cash_flows(session, ACCOUNT, until=venue.read_at, news=news.cash_events, new_fills=news.fills)
            findings = reconcile(replace(ours, expected_leverage=LEVERAGE), venue, now=self.now)
            assert of_the_rest(session, ours, venue, self.now) == findings
            figures = {item.currency: item.total for item in venue.balances}
            of_feed = equations(cash, ledger=ours.balances, venue=figures, rounding=Rounding())
            found.append(judge(findings, cash, of_feed)[0])
            raise Undone
        return found[0]


def of_the_rest(session: Session, ours: LedgerView, venue: VenueView, now: datetime) -> Findings:
    """What the comparison finds once what both sides hold alike was taken out, as a run does it."""
    spools = [Spool(layout) for layout in (ORDERS, FILLS, CASH_EVENTS)]
    for kept, facts in zip(spools, (venue.orders, venue.fills, venue.cash_events), strict=True):
        kept.add(facts)
    reading = VenueReading(
        read_at=venue.read_at,
        now=now,
        orders_shown=spools[0],
        fills_shown=spools[1],
        cash_events_shown=spools[2],
        positions=tuple(venue.positions),
        balances=tuple(venue.balances),
        leverages=tuple(venue.leverages),
        has_cash_feed=venue.has_cash_feed,
        feed_is_whole=venue.feed_is_whole,
        fills_are_totals=venue.fills_are_totals,
    )
    view = replace(ours, expected_leverage=LEVERAGE, orders=(), fills=(), cash_events=())
    until = min(venue.read_at, now - Tolerances().guard)
    left, rest = settled(session, view, reading, since=venue.window_start, keep_after=until)
    shown = replace(venue, orders=rest.orders, fills=rest.fills, cash_events=rest.cash_events)
    return reconcile(left, shown, now=now)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A day of an account: orders of ours on two perpetuals and a spot pair, one at rest, a deposit, funding."""
    config = small_config()
    ticking = {"gateway": GatewayClock.ENGINE, "mode": ClockMode.MANUAL, "start": START}
    config = config.model_copy(update={"clock": config.clock.model_copy(update=ticking)})
    folder = tmp_path_factory.mktemp("corruptions")
    with stage(folder, clock=VenueClock(START), config=config) as on:
        sync_account(on.runtime.ledger, on.runtime.broker, clock=on.clock)
        on.clock.wait(60)
        send(on, "buy", AAPL, OrderSide.BUY, "5")
        send(on, "sell", AAPL, OrderSide.SELL, "2")
        send(on, "short", MSFT, OrderSide.SELL, "3")
        send(on, "coins", SPOT, OrderSide.BUY, "0.01")
        send(on, "rest", MSFT, OrderSide.BUY, "1", limit_price=D(390))
        on.sim.control.deposit("main", "USDT", "500")
        on.sim.control.set_funding_rate("0.0001")
        on.clock.advance(timedelta(hours=9))  # type: ignore[attr-defined]
        for _ in range(2):
            reconcile_account(on.runtime)
            on.clock.wait(60)
        venue, now = read(on), on.runtime.broker.clock_reading().venue_time
        file = unprotected(Path(on.ledger_url.removeprefix("sqlite:///")))
    with Ledger.open(f"sqlite:///{file}", environment=Environment.SIMULATED) as ledger:
        yield Scene(ledger, venue, now)


def unprotected(file: Path) -> Path:
    """A copy of the ledger without the triggers that keep its evidence."""
    copy = file.with_name("copy.sqlite")
    shutil.copy(file, copy)
    connection = sqlite3.connect(copy)
    with connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
    connection.close()
    return copy


def read(on: Stage) -> VenueView:
    """The account as the adapter reads it."""
    broker, start = on.runtime.broker, START
    read_at = broker.clock_reading().venue_time
    orders = {order.venue_order_id: order for order in broker.open_orders()}
    orders |= {order.venue_order_id: order for order in broker.order_history(since=start, until=read_at)}
    with on.runtime.ledger.read() as session:
        opening = ledger_view(session, ACCOUNT, since=start, until=read_at).fills_known_until
    assert opening > start
    return VenueView(
        account_id=ACCOUNT,
        orders=tuple(orders.values()),
        fills=tuple(broker.fills(since=start, until=read_at)),
        cash_events=tuple(broker.cash_events(since=start, until=read_at)),
        positions=broker.positions(),
        balances=broker.balances(),
        leverages=tuple(broker.leverage(key) for key in LEVERAGE),
        window_start=start + timedelta(seconds=30),
        read_at=read_at,
    )


def test_the_account_is_clean_before_anything_is_falsified(scene: Scene) -> None:
    found = scene.compare(scene.venue)
    assert (found.breaks, found.pending, dict(found.news)) == ((), (), {})
    assert {event.kind for event in scene.venue.cash_events} >= {CashEventKind.FUNDING, CashEventKind.TRANSFER}
    assert [found.compared[f"venue_{name}"] for name in ("fills", "orders")] == [4, 5]


# -- the ledger is wrong ----------------------------------------------------------------------------------------
FILL = "(SELECT trade_id FROM fill WHERE instrument_id = 'AAPL/USDT:USDT' ORDER BY time LIMIT 1)"
ORDER = "(SELECT venue_order_id FROM venue_order WHERE instrument_id = 'AAPL/USDT:USDT' ORDER BY created_at LIMIT 1)"
RESTING = "status = 'working'"
DEPOSIT = "amount = '500'"
FUNDING = "event_id = (SELECT event_id FROM cash_event WHERE kind = 'funding' LIMIT 1)"
COPY_FILL = "INSERT INTO fill SELECT account_id, '{id}', {columns} FROM fill WHERE trade_id = " + FILL
FILL_COLUMNS = (
    "venue_order_id, client_order_id, instrument_id, side, quantity, price, fee, fee_currency, liquidity, kind, "
    "time, recorded_at"
)
POSITION = "INSERT INTO position (snapshot_id, instrument_id, position_side, quantity) VALUES (1, '{}', 'net', '{}')"
LEDGER: dict[str, tuple[BreakKind, str]] = {
    "a deleted fill": (K.FILL_MISSING_IN_LEDGER, f"DELETE FROM fill WHERE trade_id = {FILL}"),
    "a deleted fill of a spot pair": (
        K.FILL_MISSING_IN_LEDGER,
        "DELETE FROM fill WHERE instrument_id = 'BTC/USDT'",
    ),
    "an invented fill": (K.FILL_MISSING_AT_VENUE, COPY_FILL.format(id="invented", columns=FILL_COLUMNS)),
    "another quantity of a fill": (K.FILL_DIFFERS, f"UPDATE fill SET quantity = '4' WHERE trade_id = {FILL}"),
    "another price of a fill": (K.FILL_DIFFERS, f"UPDATE fill SET price = '1' WHERE trade_id = {FILL}"),
    "another side of a fill": (K.FILL_DIFFERS, f"UPDATE fill SET side = 'sell' WHERE trade_id = {FILL}"),
    "another order of a fill": (K.FILL_DIFFERS, f"UPDATE fill SET venue_order_id = 'x' WHERE trade_id = {FILL}"),
    "another instrument of a fill": (
        K.FILL_DIFFERS,
        f"UPDATE fill SET instrument_id = 'MSFT/USDT:USDT' WHERE trade_id = {FILL}",
    ),
    "another time of a fill": (
        K.FILL_DIFFERS,
        f"UPDATE fill SET time = '2025-03-03T05:00:00.000000Z' WHERE trade_id = {FILL}",
    ),
    "another fee": (K.FEE_DIFFERS, f"UPDATE fill SET fee = '9' WHERE trade_id = {FILL}"),
    "another currency of a fee": (K.FEE_DIFFERS, f"UPDATE fill SET fee_currency = 'BNB' WHERE trade_id = {FILL}"),
    "a missing funding row": (K.CASH_EVENT_MISSING_IN_LEDGER, f"DELETE FROM cash_event WHERE {FUNDING}"),
    "a missing deposit": (K.CASH_EVENT_MISSING_IN_LEDGER, f"DELETE FROM cash_event WHERE {DEPOSIT}"),
    "an invented deposit": (
        K.CASH_EVENT_MISSING_AT_VENUE,
        "INSERT INTO cash_event SELECT account_id, 'invented', kind, venue_kind, currency, amount, balance_after, "
        "instrument_id, trade_id, venue_order_id, time, recorded_at FROM cash_event WHERE amount = '500'",
    ),
    "another amount of a deposit": (
        K.CASH_EVENT_DIFFERS,
        f"UPDATE cash_event SET amount = '5' WHERE {DEPOSIT}",
    ),
    "another kind of a wallet change": (
        K.CASH_EVENT_DIFFERS,
        f"UPDATE cash_event SET kind = 'interest' WHERE {FUNDING}",
    ),
    "another currency of a wallet change": (
        K.CASH_EVENT_DIFFERS,
        f"UPDATE cash_event SET currency = 'USDC' WHERE {FUNDING}",
    ),
    "a deleted order": (
        K.ORDER_UNKNOWN_TO_LEDGER,
        f"DELETE FROM venue_order WHERE venue_order_id = {ORDER}",
    ),
    "another status of an order": (
        K.ORDER_STATUS_DIFFERS,
        f"UPDATE venue_order SET status = 'cancelled' WHERE venue_order_id = {ORDER}",
    ),
    "another filled quantity of an order": (
        K.ORDER_FILLED_QUANTITY_DIFFERS,
        f"UPDATE venue_order SET filled_quantity = '4' WHERE venue_order_id = {ORDER}",
    ),
    "another quantity of an order": (
        K.ORDER_TERMS_DIFFER,
        f"UPDATE venue_order SET quantity = '50' WHERE venue_order_id = {ORDER}",
    ),
    "another side of an order": (
        K.ORDER_TERMS_DIFFER,
        f"UPDATE venue_order SET side = 'sell' WHERE venue_order_id = {ORDER}",
    ),
    "another client order id": (
        K.ORDER_TERMS_DIFFER,
        f"UPDATE venue_order SET client_order_id = 'somebody' WHERE venue_order_id = {ORDER}",
    ),
    "another price of a resting order": (
        K.ORDER_TERMS_DIFFER,
        f"UPDATE venue_order SET limit_price = '391' WHERE {RESTING}",
    ),
    "an order without an outcome": (
        K.ORDER_OUTCOME_UNKNOWN,
        "UPDATE order_intent SET state = 'needs_human' WHERE instrument_id = 'BTC/USDT'",
    ),
    "an order adopted late": (
        K.ORDER_ADOPTED_LATE,
        "UPDATE order_intent SET state = 'adopted_late' WHERE instrument_id = 'BTC/USDT'",
    ),
    "a position too many": (K.POSITION_VANISHED, POSITION.format(ETH, 7)),
    "a position too large": (K.POSITION_DIFFERS, POSITION.format(AAPL, "0.5")),
    "a position that cancels out": (K.POSITION_UNKNOWN, POSITION.format(MSFT, 3)),
    "wrong opening money": (K.BALANCE_UNEXPLAINED, "UPDATE balance SET total = '99999.99' WHERE snapshot_id = 1"),
    "money in a currency too many": (
        K.BALANCE_VANISHED,
        "INSERT INTO balance (snapshot_id, currency, total, held) VALUES (1, 'XRP', '12', '0')",
    ),
}


@pytest.mark.parametrize("name", LEDGER)
def test_a_falsified_ledger_is_found_as_what_it_is(scene: Scene, name: str) -> None:
    kind, statement = LEDGER[name]
    found = scene.compare(scene.venue, statement)
    assert ([item.kind for item in found.breaks], found.pending) == ([kind], ())


# -- the venue is wrong -----------------------------------------------------------------------------------------
def first(view: VenueView, what: str, **wanted: object) -> Any:
    return next(item for item in getattr(view, what) if all(getattr(item, k) == v for k, v in wanted.items()))


def changed(view: VenueView, what: str, item: Any, **values: object) -> VenueView:
    """The view with one of its facts replaced; without `values` it is gone."""
    rest = tuple(one for one in getattr(view, what) if one is not item)
    return replace(view, **{what: (*rest, replace(item, **values)) if values else rest})


def added(view: VenueView, what: str, *items: Any) -> VenueView:
    return replace(view, **{what: (*getattr(view, what), *items)})


def fill(view: VenueView) -> Fill:
    found: Fill = first(view, "fills", instrument_id=AAPL, side=OrderSide.BUY)
    return found


def event(view: VenueView) -> Any:
    return first(view, "cash_events", kind=CashEventKind.FUNDING)


def order(view: VenueView) -> Any:
    return first(view, "orders", instrument_id=AAPL, side=OrderSide.BUY)


def resting(view: VenueView) -> Any:
    return first(view, "orders", status=OrderStatus.WORKING)


def position(view: VenueView, key: InstrumentId) -> Any:
    return first(view, "positions", instrument_id=key)


def by_hand(view: VenueView, **terms: object) -> VenueView:
    """A trade of other hands since the last import: order, fill and position."""
    at = view.read_at - timedelta(seconds=30)
    theirs = replace(
        order(view),
        venue_order_id=VenueOrderId("by-hand"),
        client_order_id=ClientOrderId("a-person"),
        created_at=at,
        updated_at=at,
    )
    done = replace(
        fill(view), trade_id=TradeId("by-hand"), venue_order_id=theirs.venue_order_id, client_order_id=None, time=at
    )
    held = position(view, AAPL)
    moved = changed(view, "positions", held, quantity=held.quantity + done.quantity)
    return added(added(moved, "orders", theirs), "fills", done)


def liquidated(view: VenueView) -> VenueView:
    """What the venue did by itself: a fill of no order that it shows."""
    whole = by_hand(view)
    return replace(whole, orders=view.orders)


def cancelled_by_hand(view: VenueView) -> VenueView:
    """An order of other hands from before the last import that never filled."""
    theirs = replace(
        order(view),
        venue_order_id=VenueOrderId("by-hand"),
        client_order_id=None,
        filled_quantity=D(0),
        average_price=None,
        status=OrderStatus.CANCELLED,
    )
    return added(view, "orders", theirs)


VENUE: dict[str, tuple[BreakKind, Callable[[VenueView], VenueView]]] = {
    "a forgotten fill": (K.FILL_MISSING_AT_VENUE, lambda v: changed(v, "fills", fill(v))),
    "a duplicated trade id": (K.FILL_DUPLICATED, lambda v: added(v, "fills", fill(v))),
    "a fill at another price": (K.FILL_DIFFERS, lambda v: changed(v, "fills", fill(v), price=D(7))),
    "a fill of another quantity": (K.FILL_DIFFERS, lambda v: changed(v, "fills", fill(v), quantity=D(4))),
    "a fee taken back": (K.FEE_DIFFERS, lambda v: changed(v, "fills", fill(v), fee=D(0))),
    "a fill that only the venue has": (
        K.FILL_MISSING_IN_LEDGER,
        lambda v: added(v, "fills", replace(fill(v), trade_id=TradeId("more"))),
    ),
    "a forgotten funding row": (K.CASH_EVENT_MISSING_AT_VENUE, lambda v: changed(v, "cash_events", event(v))),
    "a duplicated wallet change": (K.CASH_EVENT_DUPLICATED, lambda v: added(v, "cash_events", event(v))),
    "another amount of funding": (K.CASH_EVENT_DIFFERS, lambda v: changed(v, "cash_events", event(v), amount=D(9))),
    "a wallet change at another time": (
        K.CASH_EVENT_DIFFERS,
        lambda v: changed(v, "cash_events", event(v), time=event(v).time - timedelta(hours=1)),
    ),
    "a wallet change that only the venue has": (
        K.CASH_EVENT_MISSING_IN_LEDGER,
        lambda v: added(v, "cash_events", replace(event(v), event_id="more")),
    ),
    "a resting order gone": (K.ORDER_MISSING_AT_VENUE, lambda v: changed(v, "orders", resting(v))),
    "a resting order amended": (K.ORDER_TERMS_DIFFER, lambda v: changed(v, "orders", resting(v), limit_price=D(380))),
    "a resting order enlarged": (K.ORDER_TERMS_DIFFER, lambda v: changed(v, "orders", resting(v), quantity=D(100))),
    "a resting order called cancelled": (
        K.ORDER_STATUS_DIFFERS,
        lambda v: changed(v, "orders", resting(v), status=OrderStatus.CANCELLED),
    ),
    "an order filled less than before": (
        K.ORDER_FILLED_QUANTITY_DIFFERS,
        lambda v: changed(v, "orders", order(v), filled_quantity=D(4)),
    ),
    "a vanished position": (K.POSITION_VANISHED, lambda v: changed(v, "positions", position(v, AAPL))),
    "a position of another quantity": (
        K.POSITION_DIFFERS,
        lambda v: changed(v, "positions", position(v, MSFT), quantity=D("-2.9")),
    ),
    "a position turned over": (
        K.POSITION_DIFFERS,
        lambda v: added(changed(v, "positions", position(v, AAPL)), "positions", make_position(AAPL, D(-3))),
    ),
    "a position that nobody opened": (K.POSITION_UNKNOWN, lambda v: added(v, "positions", make_position(ETH, D(1)))),
    "a wrong balance": (
        K.BALANCE_UNEXPLAINED,
        lambda v: changed(v, "balances", usdt(v), total=usdt(v).total + D("0.01")),
    ),
    "a balance gone": (K.BALANCE_VANISHED, lambda v: changed(v, "balances", first(v, "balances", currency="BTC"))),
    "a gift": (K.BALANCE_UNKNOWN, lambda v: added(v, "balances", make_balance("AIR", D(3)))),
    "another leverage": (
        K.LEVERAGE_DIFFERS,
        lambda v: changed(v, "leverages", first(v, "leverages", instrument_id=AAPL), long_leverage=D(25)),
    ),
    "a trade of other hands": (K.ORDER_EXTERNAL, by_hand),
    "an order of other hands that never filled": (K.ORDER_EXTERNAL, cancelled_by_hand),
    "a liquidation": (K.FILL_EXTERNAL, liquidated),
}


def usdt(view: VenueView) -> Any:
    return first(view, "balances", currency="USDT")


@pytest.mark.parametrize("name", VENUE)
def test_a_venue_that_says_something_else_is_found_as_that(scene: Scene, name: str) -> None:
    kind, falsify = VENUE[name]
    found = scene.compare(falsify(scene.venue))
    assert ([item.kind for item in found.breaks], found.pending) == ([kind], ())


# -- both sides are wrong together ------------------------------------------------------------------------------
BOTH: dict[str, tuple[BreakKind, str, Callable[[VenueView], VenueView]]] = {
    "neither side has the fill of an order": (
        K.FILL_INFERRED,
        f"DELETE FROM fill WHERE trade_id = {FILL}",
        lambda v: changed(v, "fills", fill(v)),
    ),
    "both sides call an order filled less than its fills": (
        K.ORDER_FILLS_DIFFER,
        f"UPDATE venue_order SET filled_quantity = '4' WHERE venue_order_id = {ORDER}",
        lambda v: changed(v, "orders", order(v), filled_quantity=D(4)),
    ),
    "neither side has a wallet change in the middle of the feed": (
        K.CASH_FEED_INCOMPLETE,
        "DELETE FROM cash_event WHERE amount = '500'",
        lambda v: replace(v, cash_events=tuple(event for event in v.cash_events if event.amount != 500)),
    ),
    "a wallet change of a kind that nobody knows": (
        K.CASH_EVENT_UNMAPPED,
        f"UPDATE cash_event SET kind = 'unmapped' WHERE {FUNDING}",
        lambda v: changed(v, "cash_events", event(v), kind=CashEventKind.UNMAPPED),
    ),
}


@pytest.mark.parametrize("name", BOTH)
def test_what_both_sides_have_wrong_is_found_where_it_shows(scene: Scene, name: str) -> None:
    kind, statement, falsify = BOTH[name]
    found = scene.compare(falsify(scene.venue), statement)
    assert ([item.kind for item in found.breaks], found.pending) == ([kind], ())


def test_every_kind_is_seeded_here_or_only_where_a_venue_tells_less() -> None:
    seeded = {kind for kind, *_ in (*LEDGER.values(), *VENUE.values(), *BOTH.values())}
    without_feed, before_the_look_back = K.BALANCE_DIFFERS, K.BALANCE_EQUATION_INCOMPLETE
    assert set(BreakKind) - seeded == {without_feed, before_the_look_back}, "on views, and in test_equation.py"
    assert len(LEDGER) + len(VENUE) + len(BOTH) >= 60
