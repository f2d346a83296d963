"""The adapter end to end on the simulated Binance: its reading of the protocol against an independent one."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from pydantic import SecretStr

from brokers.binance.adapter import BinanceBroker
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
    InsufficientFunds,
    OrderInvalid,
    OrderNotFound,
    OutcomeUnknown,
    PermissionRefused,
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
    ProductKind,
    TimeInForce,
)
from brokers.wire import WirePhase
from simulators.binance.simulator import RateLimitConfig, running_binance
from simulators.testing_binance import small_binance_config
from tests.brokers.loopback import eventually, ticket
from tests.brokers.misbehaving import patience_s
from tests.still import stand_still

SPOT, LINEAR = InstrumentId("BTC/USDT"), InstrumentId("BTC/USDT:USDT")
LISTED = (SPOT, LINEAR, InstrumentId("ETH/USDT"), InstrumentId("ETH/USDT:USDT"))
FUTURES_ONLY = {"products": frozenset({ProductKind.LINEAR}), "instruments": (LINEAR, LISTED[3])}
BUY, SELL = OrderSide.BUY, OrderSide.SELL
PATHS = {SPOT: "/api/v3/order", LINEAR: "/fapi/v1/order"}
BOTH = pytest.mark.parametrize("instrument_id", [SPOT, LINEAR])
_numbers = itertools.count(1)


@pytest.fixture
def sim() -> Iterator[Any]:
    with running_binance(small_binance_config()) as running:
        yield running


def opened(
    sim: Any, *, key: str = "main-key", secret: str = "", timeout_s: float = 30.0, **changes: Any
) -> BinanceBroker:
    values: dict[str, Any] = {
        "account_id": AccountId.parse("binance.simulated.main"),
        "api_key": SecretStr(key),
        "api_secret": SecretStr(secret or f"{key.removesuffix('-key')}-secret"),
        "base_url": sim.url,
        "instruments": LISTED,
        "read_timeout_s": timeout_s,
        "write_timeout_s": timeout_s,
    }
    found = open_broker(AccountConfig(**{**values, **changes}), clock=SystemClock())
    assert isinstance(found, BinanceBroker)
    return found


@pytest.fixture
def venue(sim: Any) -> Iterator[BinanceBroker]:
    with opened(sim) as broker:
        yield broker


def place(
    broker: BinanceBroker,
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
    kinds = {(False, False): "market", (True, False): "limit", (False, True): "stop_market", (True, True): "stop_limit"}
    request = OrderRequest(
        instrument_id=instrument_id,
        side=side,
        order_type=OrderType(kinds[price is not None, trigger is not None]),
        quantity=Decimal(quantity),
        limit_price=Decimal(price) if price else None,
        trigger_price=Decimal(trigger) if trigger else None,
        **terms,
    )
    client_id = ClientOrderId(link or f"t-{next(_numbers):06d}")
    ack = broker.place(broker.prepare_order(request, client_id), ticket(timeout_s=timeout_s))
    assert ack.client_order_id == client_id and ack.is_final
    return client_id


def found(broker: BinanceBroker, instrument_id: InstrumentId, client_id: ClientOrderId) -> Order:
    order = broker.find_order(instrument_id=instrument_id, client_order_id=client_id)
    assert order is not None and order.client_order_id == client_id
    return order


def window() -> dict[str, datetime]:
    now = datetime.now(UTC)
    return {"since": now - timedelta(hours=12), "until": now + timedelta(minutes=1)}


def assert_balances_are_the_wallets(broker: BinanceBroker, sim: Any) -> None:
    totals: dict[str, Decimal] = {}
    for name, amount in sim.control.wallets(account="main").items():
        coin = name.partition("@")[0]
        totals[coin] = totals.get(coin, Decimal(0)) + amount
    assert {b.currency: b.total for b in broker.balances()} == {coin: total for coin, total in totals.items() if total}


# -- connection and data ----------------------------------------------------------------------------------------
def test_connect(venue: BinanceBroker, sim: Any) -> None:
    proof = venue.connect()
    assert proof.can_trade and not proof.can_withdraw and proof.margin_mode is MarginMode.CROSS
    assert proof.host == sim.url and proof.venue_account and set(proof.permissions) >= {"SPOT", "FUTURES"}


@pytest.mark.parametrize(
    ("key", "secret", "error"),
    [
        ("other-key", "main-secret", AuthenticationRefused),
        ("elsewhere", "", AuthenticationRefused),  # bound to another address: the venue's words are the same
        ("spotter", "", PermissionRefused),
        ("main-key", "wrong-secret", AuthenticationRefused),
    ],
)
def test_keys_that_do_not_open_the_account(sim: Any, key: str, secret: str, error: type[BrokerError]) -> None:
    with opened(sim, key=key, secret=secret) as broker, pytest.raises(error):
        broker.connect()


def test_a_read_only_key_is_refused_by_the_venue_when_it_trades(sim: Any) -> None:
    with opened(sim, key="reader") as broker:
        broker.connect()  # nothing that may be asked shows the rights of a key
        with pytest.raises(Refused) as caught:
            place(broker, LINEAR, BUY, "0.01")
    assert caught.value.code == "-2015" and sim.control.orders(account="main") == []


def test_a_clock_that_is_off_is_measured_and_compensated(sim: Any) -> None:
    sim.control.set_skew(skew_ms=-30_000)
    with opened(sim) as broker:
        with pytest.raises(ClockSkewed):
            broker.balances()
        reading = broker.clock_reading()
        assert abs(reading.offset + timedelta(seconds=30)) < timedelta(seconds=1)
        assert broker.balances()[0].currency == "USDT"


def test_instruments_and_quotes(venue: BinanceBroker, sim: Any) -> None:
    listed = venue.instruments()
    assert {item.instrument_id for item in listed} == set(LISTED)
    assert all(item.tick_size > 0 and item.lot_size > 0 and item.is_trading for item in listed)
    sim.control.set_price(symbol="BTCUSDT", price="60123.40")
    before = len(sim.control.requests())
    quotes = venue.quotes([item.instrument_id for item in listed])
    assert len(sim.control.requests()) == before + 4, "two requests per product, however many symbols"
    assert all(quote.bid < quote.ask for quote in quotes)
    assert {q.last for q in quotes if str(q.instrument_id).startswith("BTC")} == {Decimal("60123.40")}


# -- orders -----------------------------------------------------------------------------------------------------
@BOTH
def test_a_market_order_from_placing_to_the_ledger_facts(
    venue: BinanceBroker, sim: Any, instrument_id: InstrumentId
) -> None:
    client_id = place(venue, instrument_id, BUY, "0.1")
    order = found(venue, instrument_id, client_id)
    assert (order.status, order.filled_quantity, order.remaining) == (OrderStatus.FILLED, Decimal("0.1"), 0)
    (fill,) = venue.fills(**window())
    (truth,) = sim.control.executions(account="main")
    assert fill.venue_order_id == order.venue_order_id and fill.instrument_id == instrument_id
    assert (fill.quantity, fill.price, fill.fee) == (truth.qty, truth.price, truth.fee)
    assert order.average_price == fill.price
    assert fill.fee_currency == ("BTC" if instrument_id == SPOT else "USDT")
    assert_balances_are_the_wallets(venue, sim)
    held = {position.instrument_id: position for position in venue.positions()}
    if instrument_id == LINEAR:
        position = held[LINEAR]
        assert (position.quantity, position.average_price, position.leverage) == (fill.quantity, fill.price, 20)
    else:
        assert held == {} and {b.currency for b in venue.balances()} == {"BTC", "USDT"}


def test_the_answer_of_a_market_order_is_its_result_and_not_an_acknowledgement(venue: BinanceBroker) -> None:
    request = OrderRequest(instrument_id=LINEAR, side=BUY, order_type=OrderType.MARKET, quantity=Decimal("0.1"))
    leave = ticket()
    venue.place(venue.prepare_order(request, ClientOrderId("result")), leave)
    assert b'"status":"FILLED"' in leave.record.response_body.replace(b" ", b"")


@BOTH
def test_limit_order_rests_fills_and_is_cancelled(venue: BinanceBroker, sim: Any, instrument_id: InstrumentId) -> None:
    resting = place(venue, instrument_id, BUY, "0.2", price="57500")
    filling = place(venue, instrument_id, BUY, "0.1", price="59000")
    assert {order.client_order_id for order in venue.open_orders()} == {resting, filling}
    sim.control.set_price(symbol="BTCUSDT", price="58500")
    assert found(venue, instrument_id, filling).status is OrderStatus.FILLED
    order = found(venue, instrument_id, resting)
    assert order.status is OrderStatus.WORKING
    assert venue.find_order(instrument_id=instrument_id, venue_order_id=order.venue_order_id) == order
    record = venue.cancel(instrument_id=instrument_id, client_order_id=resting)
    assert record.phase is WirePhase.ANSWERED and record.status == 200
    order = found(venue, instrument_id, resting)
    assert (order.status, order.filled_quantity, order.limit_price) == (OrderStatus.CANCELLED, 0, 57500)
    closed = venue.order_history(**window())
    assert {order.client_order_id for order in closed} == {resting, filling} and venue.open_orders() == ()


@BOTH
def test_cancel_races_are_told_apart(venue: BinanceBroker, instrument_id: InstrumentId) -> None:
    done = place(venue, instrument_id, BUY, "0.1")
    for client_id in (done, ClientOrderId("never-sent")):
        with pytest.raises(OrderNotFound) as caught:
            venue.cancel(instrument_id=instrument_id, client_order_id=client_id)
        assert caught.value.code == "-2011"
    assert venue.find_order(instrument_id=instrument_id, client_order_id=ClientOrderId("never-sent")) is None


@pytest.mark.parametrize(
    ("terms", "status", "filled"),
    [
        ({"price": "59000", "time_in_force": TimeInForce.IOC}, OrderStatus.EXPIRED, "0"),
        ({"price": "61000", "time_in_force": TimeInForce.FOK}, OrderStatus.FILLED, "0.1"),
        ({"price": "59000", "post_only": True}, OrderStatus.WORKING, "0"),
    ],
)
@BOTH
def test_time_in_force(
    venue: BinanceBroker, instrument_id: InstrumentId, terms: dict[str, Any], status: OrderStatus, filled: str
) -> None:
    order = found(venue, instrument_id, place(venue, instrument_id, BUY, "0.1", **terms))
    assert (order.status, order.filled_quantity) == (status, Decimal(filled))


@BOTH
def test_a_post_only_order_that_would_take_is_refused_and_leaves_nothing(
    venue: BinanceBroker, sim: Any, instrument_id: InstrumentId
) -> None:
    with pytest.raises(OrderInvalid) as caught:
        place(venue, instrument_id, BUY, "0.1", price="61000", post_only=True)
    assert caught.value.code == ("-2010" if instrument_id == SPOT else "-5022")
    assert venue.order_history(**window()) == () and sim.control.executions(account="main") == []


@BOTH
def test_an_ioc_that_fills_in_part(venue: BinanceBroker, sim: Any, instrument_id: InstrumentId) -> None:
    sim.control.fault("partial_fill", path=PATHS[instrument_id], ratio="0.5")
    client_id = place(venue, instrument_id, BUY, "0.1", price="61000", time_in_force=TimeInForce.IOC)
    order = found(venue, instrument_id, client_id)
    assert order.status is OrderStatus.EXPIRED and 0 < order.filled_quantity < order.quantity
    assert sum(fill.quantity for fill in venue.fills(**window())) == order.filled_quantity
    assert_balances_are_the_wallets(venue, sim)


def test_a_spot_stop_order(venue: BinanceBroker, sim: Any) -> None:
    place(venue, SPOT, BUY, "0.1")
    stop = place(venue, SPOT, SELL, "0.05", trigger="58000", price="57000")
    market = place(venue, SPOT, SELL, "0.02", trigger="58500")
    seen = {order.client_order_id: order for order in venue.open_orders()}
    assert seen[stop].order_type is OrderType.STOP_LIMIT and seen[stop].trigger_price == 58000
    assert seen[market].order_type is OrderType.STOP_MARKET
    cancelled = place(venue, SPOT, SELL, "0.02", trigger="50000")
    venue.cancel(instrument_id=SPOT, client_order_id=cancelled)
    assert found(venue, SPOT, cancelled).status is OrderStatus.CANCELLED
    sim.control.set_price(symbol="BTCUSDT", price="57500")
    assert {found(venue, SPOT, one).status for one in (stop, market)} == {OrderStatus.FILLED}
    assert_balances_are_the_wallets(venue, sim)


def test_a_short_is_closed_by_the_helper_and_reduce_only_never_opens(venue: BinanceBroker, sim: Any) -> None:
    place(venue, LINEAR, SELL, "1.234")
    (position,) = venue.positions()
    assert position.quantity == Decimal("-1.234")
    for request in closing_requests(position, venue.instruments([LINEAR])[0]):
        venue.place(venue.prepare_order(request, ClientOrderId(f"close-{next(_numbers)}")), ticket())
    assert venue.positions() == ()
    with pytest.raises(OrderInvalid) as caught:
        place(venue, LINEAR, SELL, "0.1", reduce_only=True)
    assert caught.value.code == "-2022"
    assert_balances_are_the_wallets(venue, sim)


@pytest.mark.parametrize(("instrument_id", "quantity"), [(LINEAR, "110"), (SPOT, "40")])
def test_too_little_money_is_a_refusal(venue: BinanceBroker, instrument_id: InstrumentId, quantity: str) -> None:
    with pytest.raises(InsufficientFunds):
        place(venue, instrument_id, BUY, quantity)


def test_a_spot_order_holds_its_cost(venue: BinanceBroker) -> None:
    place(venue, SPOT, BUY, "0.1", price="50000")
    (balance,) = venue.balances()
    assert (balance.total, balance.held, balance.available) == (200_000, 5_000, None)
    health = venue.margin_health()
    assert (health.equity, health.available) == (200_000, 95_000)


def test_a_stop_that_a_person_left_at_the_venue_is_seen_and_can_be_cancelled(venue: BinanceBroker, sim: Any) -> None:
    """The adapter places no conditional futures order, but what it proves closed must be closed."""
    place(venue, LINEAR, BUY, "0.3")
    for trigger in ("58000", "57000"):
        signed_by_hand(
            sim,
            "/fapi/v1/algoOrder",
            {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET"}
            | {"quantity": "0.1", "triggerPrice": trigger, "reduceOnly": "true"},
        )
    upper, lower = sorted(venue.open_orders(), key=lambda order: -(order.trigger_price or 0))
    assert (upper.order_type, upper.trigger_price, upper.reduce_only) == (OrderType.STOP_MARKET, 58000, True)
    venue.cancel(instrument_id=LINEAR, venue_order_id=lower.venue_order_id)
    assert [order.venue_order_id for order in venue.open_orders()] == [upper.venue_order_id]
    sim.control.set_price(symbol="BTCUSDT", price="57900")
    assert venue.open_orders() == ()
    for identity, status in (
        (upper.venue_order_id, OrderStatus.EXPIRED),
        (lower.venue_order_id, OrderStatus.CANCELLED),
    ):
        order = venue.find_order(instrument_id=LINEAR, venue_order_id=identity)
        assert order is not None and (order.status, order.filled_quantity) == (status, 0)
    became = venue.order_history(**window())[-1]
    assert (became.status, became.quantity) == (OrderStatus.FILLED, Decimal("0.1"))
    assert venue.positions()[0].quantity == Decimal("0.2")


def signed_by_hand(sim: Any, path: str, fields: dict[str, str]) -> None:
    """A request of the same account that is not made by the adapter."""
    text = urlencode({**fields, "recvWindow": "5000", "timestamp": str(time.time_ns() // 1_000_000)})
    signature = hmac.new(b"main-secret", text.encode(), hashlib.sha256).hexdigest()
    request = Request(
        f"{sim.url}{path}", data=f"{text}&signature={signature}".encode(), headers={"X-MBX-APIKEY": "main-key"}
    )
    with urlopen(request) as answer:
        assert answer.status == 200


# -- one id, two orders -----------------------------------------------------------------------------------------
@BOTH
def test_an_id_is_refused_while_its_order_is_open_and_no_longer(
    venue: BinanceBroker, sim: Any, instrument_id: InstrumentId
) -> None:
    """Why nothing is ever sent again here: a second market order under the same id is a second order."""
    place(venue, instrument_id, BUY, "0.1", price="57500", link="same")
    with pytest.raises(DuplicateClientOrderId) as caught:
        place(venue, instrument_id, BUY, "0.1", price="57500", link="same")
    assert caught.value.code == ("-2010" if instrument_id == SPOT else "-4116")
    venue.cancel(instrument_id=instrument_id, client_order_id=ClientOrderId("same"))
    for _ in range(2):
        place(venue, instrument_id, BUY, "0.1", link="same")
    assert len(sim.control.executions(account="main")) == 2
    assert venue.capabilities.identity[ProductKind.SPOT].id_scope == "open_only"


# -- settings ---------------------------------------------------------------------------------------------------
def test_leverage_margin_mode_and_position_mode_are_set_twice_and_read_back(venue: BinanceBroker) -> None:
    for _ in range(2):
        assert venue.set_leverage(LINEAR, Decimal(7)).long_leverage == 7
        assert venue.set_margin_mode(LINEAR, MarginMode.ISOLATED).margin_mode is MarginMode.ISOLATED
        assert venue.set_position_mode(LINEAR, PositionMode.HEDGE).position_mode is PositionMode.HEDGE
    info = venue.leverage(LINEAR)
    assert (info.long_leverage, info.margin_mode, info.position_mode) == (7, MarginMode.ISOLATED, PositionMode.HEDGE)
    with pytest.raises(Refused) as caught:
        venue.set_leverage(LINEAR, Decimal(500))
    assert caught.value.code == "-4028"


def test_hedge_mode_holds_both_sides(venue: BinanceBroker, sim: Any) -> None:
    venue.set_position_mode(LINEAR, PositionMode.HEDGE)
    with pytest.raises(OrderInvalid) as caught:
        place(venue, LINEAR, BUY, "0.1")
    assert caught.value.code == "-4061"
    place(venue, LINEAR, BUY, "0.2", position_side=PositionSide.LONG)
    place(venue, LINEAR, SELL, "0.1", position_side=PositionSide.SHORT)
    by_side = {position.side: position for position in venue.positions()}
    assert by_side[PositionSide.LONG].quantity == Decimal("0.2")
    assert by_side[PositionSide.SHORT].quantity == Decimal("-0.1")
    with pytest.raises(Refused) as caught:
        venue.set_position_mode(LINEAR, PositionMode.ONE_WAY)
    assert caught.value.code == "-4068"
    for position in by_side.values():
        for request in closing_requests(position, venue.instruments([LINEAR])[0]):
            client_id = ClientOrderId(f"close-{next(_numbers)}")
            venue.place(venue.prepare_order(request, client_id), ticket())
            assert found(venue, LINEAR, client_id).position_side is position.side
    assert venue.positions() == ()
    assert venue.set_position_mode(LINEAR, PositionMode.ONE_WAY).position_mode is PositionMode.ONE_WAY
    assert_balances_are_the_wallets(venue, sim)


# -- wallet changes and long lists ------------------------------------------------------------------------------
def test_wallet_changes_of_futures_sum_to_the_wallet(sim: Any) -> None:
    with opened(sim, **FUTURES_ONLY) as broker:
        place(broker, LINEAR, BUY, "0.5")
        place(broker, LINEAR, SELL, "0.2")
        sim.control.set_funding_rate(rate="0.0001")
        sim.control.advance(days=1)
        events = broker.cash_events(since=window()["since"], until=window()["until"] + timedelta(days=1))
        kinds = {event.kind for event in events}
        assert {CashEventKind.TRADE, CashEventKind.FUNDING} <= kinds and CashEventKind.UNMAPPED not in kinds
        (balance,) = broker.balances()
        moved = sum((event.amount for event in events if event.kind is not CashEventKind.TRANSFER), Decimal(0))
        assert balance.total == Decimal(100_000) + moved
        assert {str(event.instrument_id) for event in events if event.trade_id} == {"BTC/USDT:USDT"}


def test_long_lists_are_read_to_their_end(venue: BinanceBroker, sim: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brokers.binance.paging.PAGE_SIZE", 7)
    place(venue, SPOT, BUY, "0.1")
    for number in range(20):
        place(venue, SPOT, (BUY, SELL)[number % 2], "0.01")
        place(venue, LINEAR, (BUY, SELL)[number % 2], "0.01")
    fills = venue.fills(**window())
    assert len(fills) == 41 == len({fill.trade_id for fill in fills}) == len(sim.control.executions(account="main"))
    assert len(venue.order_history(**window())) == 41
    assert list(fills) == sorted(fills, key=lambda fill: fill.time)


# -- faults -----------------------------------------------------------------------------------------------------
FAULTS: list[tuple[str, dict[str, Any], type[OutcomeUnknown], bool]] = [
    ("drop", {}, ConnectionLost, False),
    ("execute_then_drop", {}, ConnectionLost, True),
    ("truncated", {"after_bytes": 30}, AnswerUnreadable, True),
    ("status", {"status": 503, "execute": True}, VenueFaulted, True),
    ("error", {"code": -1007, "message": "Timeout waiting for response.", "execute": True}, VenueFaulted, True),
    ("error", {"code": -1006, "message": "Unexpected response.", "execute": False}, VenueFaulted, False),
    ("html", {"execute": True}, AnswerUnreadable, True),
    ("redirect", {"status": 302, "location": "/api/v3/time", "execute": False}, RedirectRefused, False),
    ("delay", {"after_s": "1.2"}, AnswerTimedOut, True),
]


@pytest.mark.parametrize(("kind", "fields", "error", "executed"), FAULTS)
@BOTH
def test_an_unclear_answer_is_unknown_until_the_order_is_looked_up(
    venue: BinanceBroker,
    sim: Any,
    kind: str,
    fields: dict[str, Any],
    error: type[OutcomeUnknown],
    executed: bool,
    instrument_id: InstrumentId,
) -> None:
    venue.clock_reading()
    sim.control.fault(kind, path=PATHS[instrument_id], **fields)
    with pytest.raises(error):
        place(venue, instrument_id, BUY, "0.1", link="unclear", timeout_s=patience_s(error))
    assert len(sim.control.requests(path=PATHS[instrument_id])) == 1
    assert eventually(lambda: len(sim.control.orders(account="main")) == int(executed))
    order = venue.find_order(instrument_id=instrument_id, client_order_id=ClientOrderId("unclear"))
    assert (order is not None) is executed


def test_lagging_reads_show_nothing_then_the_order(venue: BinanceBroker, sim: Any) -> None:
    venue.instruments()
    sim.control.set_lags(orders_ms=300)
    stand_still(sim)
    client_id = place(venue, LINEAR, BUY, "0.1")
    assert venue.find_order(instrument_id=LINEAR, client_order_id=client_id) is None
    stand_still(sim, later_s=1)
    order = venue.find_order(instrument_id=LINEAR, client_order_id=client_id)
    assert order is not None and order.status is OrderStatus.FILLED


def test_rate_limits_are_typed_and_never_sent_again() -> None:
    limits = RateLimitConfig(enabled=True, spot_orders_10s=3)
    with running_binance(small_binance_config(rate_limits=limits)) as sim, opened(sim) as broker:
        broker.connect()
        stand_still(sim)
        for _ in range(3):
            place(broker, SPOT, BUY, "0.001", price="30000")
        with pytest.raises(RateLimited) as caught:
            place(broker, SPOT, BUY, "0.001", price="30000")
        assert caught.value.code == "-1015" and caught.value.retryable
        assert len(sim.control.requests(path=PATHS[SPOT])) == 4
