"""The adapter end to end on the simulated venue: its reading of the protocol against an independent one."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr

from brokers.bybit.adapter import BybitBroker
from brokers.clock import SystemClock
from brokers.closing import closing_requests
from brokers.config import AccountConfig
from brokers.errors import (
    AnswerTimedOut,
    AnswerUnreadable,
    AuthenticationRefused,
    BrokerError,
    ClockSkewed,
    ConnectionLost,
    DuplicateClientOrderId,
    EnvironmentMismatch,
    InsufficientFunds,
    OrderAlreadyDone,
    OrderInvalid,
    OrderNotFound,
    OutcomeUnknown,
    RateLimited,
    RedirectRefused,
    Refused,
    VenueFaulted,
)
from brokers.factory import open_broker
from brokers.ids import AccountId, ClientOrderId, InstrumentId
from brokers.types import (
    CashEventKind,
    MarginMode,
    Order,
    OrderRequest,
    OrderSide,
    OrderStatus,
    OrderType,
    PositionMode,
    PositionSide,
    TimeInForce,
)
from brokers.wire import SendTicket, WirePhase
from simulators import Running, demo_config, running_bybit
from tests.brokers.loopback import eventually
from tests.brokers.misbehaving import patience_s
from tests.still import stand_still

LINEAR, SPOT, AAPL = InstrumentId("BTC/USDT:USDT"), InstrumentId("BTC/USDT"), InstrumentId("AAPL/USDT:USDT")
BUY, SELL = OrderSide.BUY, OrderSide.SELL
MARKET, LIMIT = OrderType.MARKET, OrderType.LIMIT
CREATE = "/v5/order/create"
_numbers = itertools.count(1)


@pytest.fixture
def sim() -> Iterator[Running]:
    with running_bybit(demo_config(rate_limits=False)) as running:
        yield running


def opened(sim: Running, *, key: str = "main-key", secret: str = "main-secret", timeout_s: float = 30.0) -> BybitBroker:
    config = AccountConfig(
        account_id=AccountId.parse("bybit.simulated.main"),
        api_key=SecretStr(key),
        api_secret=SecretStr(secret),
        base_url=sim.url,
        read_timeout_s=timeout_s,
        write_timeout_s=timeout_s,
    )
    found = open_broker(config, clock=SystemClock())
    assert isinstance(found, BybitBroker)
    return found


@pytest.fixture
def venue(sim: Running) -> Iterator[BybitBroker]:
    broker = opened(sim)
    yield broker
    broker.close()


def leave(*, timeout_s: float = 30.0) -> SendTicket:
    return SendTicket(
        send_id=f"send-{next(_numbers)}",
        not_after=datetime.now(UTC) + timedelta(seconds=5),
        send_by_monotonic_s=time.monotonic() + 5,
        timeout_s=timeout_s,
    )


def place(
    broker: BybitBroker,
    instrument_id: InstrumentId,
    side: OrderSide,
    quantity: str,
    *,
    price: str | None = None,
    trigger: str | None = None,
    link: str = "",
    timeout_s: float = 30.0,
    **terms: Any,
) -> ClientOrderId:
    """Place one order and return its client id."""
    kind = {
        (False, False): MARKET,
        (True, False): LIMIT,
        (False, True): OrderType.STOP_MARKET,
        (True, True): OrderType.STOP_LIMIT,
    }[(price is not None, trigger is not None)]
    request = OrderRequest(
        instrument_id=instrument_id,
        side=side,
        order_type=kind,
        quantity=Decimal(quantity),
        limit_price=Decimal(price) if price else None,
        trigger_price=Decimal(trigger) if trigger else None,
        **terms,
    )
    client_id = ClientOrderId(link or f"t-{next(_numbers):06d}")
    ack = broker.place(broker.prepare_order(request, client_id), leave(timeout_s=timeout_s))
    assert ack.client_order_id == client_id and not ack.is_final
    return client_id


def found(broker: BybitBroker, instrument_id: InstrumentId, client_id: ClientOrderId) -> Order:
    order = broker.find_order(instrument_id=instrument_id, client_order_id=client_id)
    assert order is not None and order.client_order_id == client_id
    return order


def window() -> dict[str, datetime]:
    now = datetime.now(UTC)
    return {"since": now - timedelta(days=1), "until": now + timedelta(minutes=1)}


def assert_cash_is_the_wallet(broker: BybitBroker, sim: Running) -> None:
    totals: dict[str, Decimal] = {}
    for event in broker.cash_events(**window()):
        assert event.kind is not CashEventKind.UNMAPPED
        totals[event.currency] = totals.get(event.currency, Decimal(0)) + event.amount
    wallets = {coin: amount for coin, amount in sim.control.wallets(account="main").items() if amount}
    assert {coin: amount for coin, amount in totals.items() if amount} == wallets
    assert {balance.currency: balance.total for balance in broker.balances()} == wallets


# -- connection and data ----------------------------------------------------------------------------------------------
def test_connect(venue: BybitBroker, sim: Running) -> None:
    proof = venue.connect()
    assert proof.can_trade and not proof.can_withdraw and proof.margin_mode is MarginMode.CROSS
    assert proof.host == sim.url and proof.venue_account == "100000001"


def test_a_read_only_key_cannot_trade(sim: Running) -> None:
    sim.control.add_key(account="main", api_key="look-key", api_secret="look-secret", read_only=True)
    with opened(sim, key="look-key", secret="look-secret") as broker:
        assert not broker.connect().can_trade
        with pytest.raises(Refused) as caught:
            place(broker, LINEAR, BUY, "0.01")
    assert caught.value.code == "10005" and sim.control.orders(account="main") == []


@pytest.mark.parametrize(
    ("key", "secret", "error"),
    [("other-key", "main-secret", EnvironmentMismatch), ("main-key", "wrong-secret", AuthenticationRefused)],
)
def test_wrong_credentials(sim: Running, key: str, secret: str, error: type[BrokerError]) -> None:
    with opened(sim, key=key, secret=secret) as broker, pytest.raises(error):
        broker.connect()


def test_a_clock_that_is_off_is_measured_and_compensated(sim: Running) -> None:
    sim.control.set_skew(skew_ms=-30_000)
    with opened(sim) as broker:
        with pytest.raises(ClockSkewed):
            broker.balances()
        reading = broker.clock_reading()
        assert abs(reading.offset + timedelta(seconds=30)) < timedelta(seconds=1)
        assert broker.balances()[0].currency == "USDT"


def test_instruments_and_quotes(venue: BybitBroker, sim: Running) -> None:
    listed = venue.instruments()
    assert len(listed) == 24 and len({item.instrument_id for item in listed}) == 24
    sim.control.set_price(symbol="AAPLUSDT", price="181.20")
    quote = venue.quotes([AAPL])[0]
    assert quote.last == Decimal("181.20") and quote.bid < quote.last < quote.ask
    before = len(sim.control.requests(path="/v5/market/tickers"))
    venue.quotes([item.instrument_id for item in listed])
    assert len(sim.control.requests(path="/v5/market/tickers")) == before + 2


def test_prices_scientific_text_and_tiny_numbers_stay_exact(venue: BybitBroker) -> None:
    for item in venue.instruments():
        assert item.tick_size > 0 and item.lot_size > 0 and item.notional_min >= 0


# -- one-way linear ---------------------------------------------------------------------------------------------------
def test_a_market_order_from_placing_to_the_ledger_facts(venue: BybitBroker, sim: Running) -> None:
    client_id = place(venue, LINEAR, BUY, "0.1")
    order = found(venue, LINEAR, client_id)
    assert (order.status, order.filled_quantity, order.remaining) == (OrderStatus.FILLED, Decimal("0.1"), 0)
    (fill,) = venue.fills(**window())
    (truth,) = sim.control.executions(account="main")
    assert fill.client_order_id == client_id and fill.venue_order_id == order.venue_order_id
    assert (fill.quantity, fill.price, fill.fee) == (truth.qty, truth.price, truth.fee)
    assert order.fees == {"USDT": fill.fee} and order.average_price == fill.price
    (position,) = venue.positions()
    assert (position.quantity, position.average_price, position.side) == (fill.quantity, fill.price, PositionSide.LONG)
    (profit,) = venue.profit_and_loss()
    assert profit.realised == -fill.fee and profit.unrealised == position.unrealised_pnl
    health = venue.margin_health()
    assert health.equity == Decimal(100_000) - fill.fee + profit.unrealised
    assert_cash_is_the_wallet(venue, sim)


def test_a_short_is_closed_by_the_helper(venue: BybitBroker, sim: Running) -> None:
    place(venue, AAPL, SELL, "12.34")
    (position,) = venue.positions()
    assert position.quantity == Decimal("-12.34")
    for request in closing_requests(position, venue.instruments([AAPL])[0]):
        venue.place(venue.prepare_order(request, ClientOrderId(f"close-{next(_numbers)}")), leave())
    assert venue.positions() == ()
    assert_cash_is_the_wallet(venue, sim)


def test_reduce_only_never_opens(venue: BybitBroker) -> None:
    with pytest.raises(OrderInvalid) as caught:
        place(venue, LINEAR, SELL, "0.1", reduce_only=True)
    assert caught.value.code == "110017"


def test_limit_order_rests_fills_and_is_cancelled(venue: BybitBroker, sim: Running) -> None:
    resting = place(venue, LINEAR, BUY, "0.2", price="50000")
    filling = place(venue, LINEAR, BUY, "0.1", price="55000")
    assert {order.client_order_id for order in venue.open_orders()} == {resting, filling}
    sim.control.set_price(symbol="BTCUSDT", price="54000")
    assert found(venue, LINEAR, filling).status is OrderStatus.FILLED
    assert found(venue, LINEAR, resting).status is OrderStatus.WORKING
    record = venue.cancel(instrument_id=LINEAR, client_order_id=resting)
    assert record.phase is WirePhase.ANSWERED and record.status == 200
    order = found(venue, LINEAR, resting)
    assert (order.status, order.filled_quantity, order.limit_price) == (OrderStatus.CANCELLED, 0, 50000)
    closed = venue.order_history(**window())
    assert {order.client_order_id for order in closed} == {resting, filling} and venue.open_orders() == ()


def test_cancel_races_are_told_apart(venue: BybitBroker) -> None:
    done = place(venue, LINEAR, BUY, "0.1")
    with pytest.raises((OrderAlreadyDone, OrderNotFound)):
        venue.cancel(instrument_id=LINEAR, client_order_id=done)
    with pytest.raises(OrderNotFound):
        venue.cancel(instrument_id=SPOT, client_order_id=ClientOrderId("never-sent"))
    resting = place(venue, SPOT, BUY, "0.1", price="50000")
    order = found(venue, SPOT, resting)
    venue.cancel(instrument_id=SPOT, venue_order_id=order.venue_order_id)
    with pytest.raises((OrderAlreadyDone, OrderNotFound)):
        venue.cancel(instrument_id=SPOT, client_order_id=resting)


@pytest.mark.parametrize(
    ("terms", "status", "filled"),
    [
        ({"price": "59000", "time_in_force": TimeInForce.IOC}, OrderStatus.EXPIRED, "0"),
        ({"price": "59000", "time_in_force": TimeInForce.FOK}, OrderStatus.EXPIRED, "0"),
        ({"price": "61000", "time_in_force": TimeInForce.FOK}, OrderStatus.FILLED, "0.1"),
        ({"price": "61000", "post_only": True}, OrderStatus.EXPIRED, "0"),
        ({"price": "59000", "post_only": True}, OrderStatus.WORKING, "0"),
    ],
)
@pytest.mark.parametrize("instrument_id", [LINEAR, SPOT])
def test_time_in_force(
    venue: BybitBroker, instrument_id: InstrumentId, terms: dict[str, Any], status: OrderStatus, filled: str
) -> None:
    order = found(venue, instrument_id, place(venue, instrument_id, BUY, "0.1", **terms))
    assert (order.status, order.filled_quantity) == (status, Decimal(filled))


@pytest.mark.parametrize("instrument_id", [LINEAR, SPOT])
def test_an_ioc_that_fills_in_part(venue: BybitBroker, sim: Running, instrument_id: InstrumentId) -> None:
    sim.control.fault("partial_fill", path=CREATE, ratio="0.5")
    client_id = place(venue, instrument_id, BUY, "0.1", price="61000", time_in_force=TimeInForce.IOC)
    order = found(venue, instrument_id, client_id)
    assert not order.status.is_open and 0 < order.filled_quantity < order.quantity
    assert sum(fill.quantity for fill in venue.fills(**window())) == order.filled_quantity
    assert_cash_is_the_wallet(venue, sim)


def test_stop_orders_trigger_in_their_direction(venue: BybitBroker, sim: Running) -> None:
    place(venue, LINEAR, BUY, "0.3")
    stop_loss = place(venue, LINEAR, SELL, "0.1", trigger="58000", reduce_only=True)
    stop_entry = place(venue, LINEAR, BUY, "0.1", trigger="62000", price="62100")
    assert found(venue, LINEAR, stop_loss).order_type is OrderType.STOP_MARKET
    assert found(venue, LINEAR, stop_entry).trigger_price == 62000
    assert {order.client_order_id for order in venue.open_orders()} == {stop_loss, stop_entry}
    sim.control.set_price(symbol="BTCUSDT", price="57500")
    assert found(venue, LINEAR, stop_loss).status is OrderStatus.FILLED
    assert found(venue, LINEAR, stop_entry).status is OrderStatus.WORKING
    sim.control.set_price(symbol="BTCUSDT", price="62000")
    assert found(venue, LINEAR, stop_entry).status is OrderStatus.FILLED
    assert venue.positions()[0].quantity == Decimal("0.3")


def test_a_spot_stop_order(venue: BybitBroker, sim: Running) -> None:
    place(venue, SPOT, BUY, "0.1")
    stop = place(venue, SPOT, SELL, "0.05", trigger="58000", price="57000")
    assert stop in {order.client_order_id for order in venue.open_orders()}
    cancelled = place(venue, SPOT, SELL, "0.02", trigger="50000")
    venue.cancel(instrument_id=SPOT, client_order_id=cancelled)
    assert found(venue, SPOT, cancelled).status is OrderStatus.CANCELLED
    sim.control.set_price(symbol="BTCUSDT", price="57500")
    assert found(venue, SPOT, stop).status is OrderStatus.FILLED
    assert_cash_is_the_wallet(venue, sim)


# -- spot -------------------------------------------------------------------------------------------------------------
def test_spot_buys_base_and_pays_the_fee_in_it(venue: BybitBroker, sim: Running) -> None:
    client_id = place(venue, SPOT, BUY, "0.1")
    (fill,) = venue.fills(**window(), instrument_id=SPOT)
    assert fill.client_order_id == client_id and fill.quantity == Decimal("0.1")
    assert (fill.fee, fill.fee_currency) == (Decimal("0.0001"), "BTC")
    place(venue, SPOT, SELL, "0.05")
    sold = venue.fills(**window(), instrument_id=SPOT)[-1]
    assert sold.fee_currency == "USDT"
    held = {balance.currency: balance.total for balance in venue.balances()}
    assert held["BTC"] == Decimal("0.0499")
    assert_cash_is_the_wallet(venue, sim)


def test_a_spot_order_holds_its_cost(venue: BybitBroker) -> None:
    place(venue, SPOT, BUY, "0.1", price="50000")
    (balance,) = venue.balances()
    assert (balance.total, balance.held, balance.available) == (100_000, 5_000, None)


@pytest.mark.parametrize(("instrument_id", "quantity"), [(LINEAR, "400"), (SPOT, "40")])
def test_too_little_money_is_a_refusal(venue: BybitBroker, instrument_id: InstrumentId, quantity: str) -> None:
    with pytest.raises(InsufficientFunds):
        place(venue, instrument_id, BUY, quantity)


# -- settings ---------------------------------------------------------------------------------------------------------
def test_leverage_is_set_twice_and_read_back(venue: BybitBroker) -> None:
    assert venue.leverage(LINEAR).long_leverage == 10
    for _ in range(2):
        info = venue.set_leverage(LINEAR, Decimal("7.5"))
        assert (info.long_leverage, info.short_leverage) == (Decimal("7.5"), Decimal("7.5"))
    assert venue.leverage(LINEAR).position_mode is PositionMode.ONE_WAY


def test_hedge_mode_holds_both_sides(venue: BybitBroker, sim: Running) -> None:
    for _ in range(2):
        assert venue.set_position_mode(LINEAR, PositionMode.HEDGE).position_mode is PositionMode.HEDGE
    with pytest.raises(OrderInvalid) as caught:
        place(venue, LINEAR, BUY, "0.1")
    assert caught.value.code == "10001"
    place(venue, LINEAR, BUY, "0.2", position_side=PositionSide.LONG)
    place(venue, LINEAR, SELL, "0.1", position_side=PositionSide.SHORT)
    by_side = {position.side: position for position in venue.positions()}
    assert by_side[PositionSide.LONG].quantity == Decimal("0.2")
    assert by_side[PositionSide.SHORT].quantity == Decimal("-0.1")
    with pytest.raises(Refused):
        venue.set_position_mode(LINEAR, PositionMode.ONE_WAY)
    for position in by_side.values():
        for request in closing_requests(position, venue.instruments([LINEAR])[0]):
            client_id = ClientOrderId(f"close-{next(_numbers)}")
            venue.place(venue.prepare_order(request, client_id), leave())
            assert found(venue, LINEAR, client_id).position_side is position.side
    assert venue.positions() == ()
    assert venue.set_position_mode(LINEAR, PositionMode.ONE_WAY).position_mode is PositionMode.ONE_WAY
    assert_cash_is_the_wallet(venue, sim)


# -- funding and paging -----------------------------------------------------------------------------------------------
def test_funding_is_money_not_a_fill(venue: BybitBroker, sim: Running) -> None:
    place(venue, AAPL, BUY, "10")
    sim.control.advance(days=3)
    events = venue.cash_events(**window())
    funding = [event for event in events if event.kind is CashEventKind.FUNDING]
    assert funding and all(event.instrument_id == AAPL and event.amount < 0 for event in funding)
    rows = venue._result(venue._client.get_executions, category="linear", limit=100)["list"]
    assert {row["execType"] for row in rows} == {"Trade", "Funding"}
    assert [fill.kind for fill in venue.fills(**window())] == ["trade"]
    assert_cash_is_the_wallet(venue, sim)


def test_long_lists_are_read_to_their_end(venue: BybitBroker, sim: Running) -> None:
    for number in range(60):
        place(venue, AAPL, (BUY, SELL)[number % 2], "1")
        sim.control.place_order(account="main", symbol="AAPLUSDT", side="buy" if number % 2 else "sell", qty="1")
    assert len(venue.fills(**window())) == 120 == len(sim.control.executions(account="main"))
    assert len(venue.order_history(**window())) == 120
    for number in range(55):
        place(venue, AAPL, BUY, "1", price=f"{10 + number}.00" if number < 20 else "20.00")
    assert len(venue.open_orders()) == 55
    events = venue.cash_events(**window())
    assert len(events) == 121 and [event.time for event in events] == sorted(event.time for event in events)
    balance = Decimal(0)
    for event in events:
        balance += event.amount
        assert event.balance_after == balance, "the order of events is the order of the wallet"
    assert_cash_is_the_wallet(venue, sim)


# -- faults -----------------------------------------------------------------------------------------------------------
FAULTS: list[tuple[str, dict[str, Any], type[OutcomeUnknown], bool]] = [
    ("drop", {}, ConnectionLost, False),
    ("execute_then_drop", {}, ConnectionLost, True),
    ("reset", {"after_bytes": 20}, ConnectionLost, True),
    ("truncated", {"after_bytes": 30}, AnswerUnreadable, True),
    ("status", {"status": 503, "execute": True}, VenueFaulted, True),
    ("status", {"status": 503, "execute": False}, VenueFaulted, False),
    ("status", {"status": 429, "execute": True}, VenueFaulted, True),
    ("error", {"code": 10016, "message": "Server error.", "execute": True}, VenueFaulted, True),
    ("bad_json", {"execute": True}, AnswerUnreadable, True),
    ("html", {"execute": True}, AnswerUnreadable, True),
    ("redirect", {"status": 307, "location": "http://127.0.0.2:9/", "execute": True}, RedirectRefused, True),
    ("redirect", {"status": 302, "location": "/v5/market/time", "execute": False}, RedirectRefused, False),
    ("delay", {"after_s": "1.2"}, AnswerTimedOut, True),
]


@pytest.mark.parametrize(("kind", "fields", "error", "executed"), FAULTS)
@pytest.mark.parametrize("instrument_id", [LINEAR, SPOT])
def test_an_unclear_answer_is_unknown_until_the_order_is_looked_up(
    venue: BybitBroker,
    sim: Running,
    kind: str,
    fields: dict[str, Any],
    error: type[OutcomeUnknown],
    executed: bool,
    instrument_id: InstrumentId,
) -> None:
    venue.connect()
    venue.instruments()
    sim.control.fault(kind, path=CREATE, **fields)
    with pytest.raises(error):
        place(venue, instrument_id, BUY, "0.1", link="unclear", timeout_s=patience_s(error))
    assert len(sim.control.requests(path=CREATE)) == 1
    orders = eventually(lambda: len(sim.control.orders(account="main")) == int(executed) and [True])
    assert orders
    order = venue.find_order(instrument_id=instrument_id, client_order_id=ClientOrderId("unclear"))
    assert (order is not None) is executed
    if executed and instrument_id == LINEAR:
        with pytest.raises(DuplicateClientOrderId):
            place(venue, instrument_id, BUY, "0.1", link="unclear")
        assert len(sim.control.orders(account="main")) == 1


def test_a_refusal_is_definite_and_leaves_no_order(venue: BybitBroker, sim: Running) -> None:
    sim.control.fault("error", path=CREATE, code=110007, message="ab not enough for new order", execute=False)
    with pytest.raises(InsufficientFunds) as caught:
        place(venue, LINEAR, BUY, "0.1")
    assert caught.value.text == "ab not enough for new order" and sim.control.orders(account="main") == []


def test_lagging_reads_show_nothing_then_the_order(venue: BybitBroker, sim: Running) -> None:
    venue.instruments()
    sim.control.set_lags(orders_ms=300)
    stand_still(sim)
    client_id = place(venue, LINEAR, BUY, "0.1")
    assert venue.find_order(instrument_id=LINEAR, client_order_id=client_id) is None
    stand_still(sim, later_s=1)
    order = venue.find_order(instrument_id=LINEAR, client_order_id=client_id)
    assert order is not None and order.status is OrderStatus.FILLED


def test_rate_limits_are_typed_and_never_resent() -> None:
    with running_bybit(demo_config()) as sim, opened(sim) as broker:
        broker.connect()
        stand_still(sim)
        with pytest.raises(RateLimited) as caught:
            for _ in range(15):
                place(broker, LINEAR, BUY, "0.001", price="30000")
        assert caught.value.code == "10006" and caught.value.retryable
        assert caught.value.retry_after_s is not None and 0 <= caught.value.retry_after_s <= 1.5
        sent = sim.control.requests(path=CREATE)
        ids = [json.loads(record.body)["orderLinkId"] for record in sent]
        assert len(ids) == len(set(ids)), "no order was sent twice"
