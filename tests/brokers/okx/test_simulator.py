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

from brokers.clock import SystemClock
from brokers.closing import closing_requests
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
    InvalidOrder,
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
from brokers.ids import ClientOrderId, InstrumentId
from brokers.okx.adapter import OKXBroker
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
from brokers.wire import SendTicket, WirePhase
from simulators import OKXControl, Running, running_okx
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.config import ClockConfig
from simulators.okx.simulator import OKXLimitConfig
from simulators.testing_okx import small_okx_config
from tests.brokers.loopback import eventually
from tests.brokers.misbehaving import patience_s
from tests.brokers.okx.conftest import V5, config_at
from tests.still import stand_still

LINEAR, SPOT, ETH = InstrumentId("BTC/USDT:USDT"), InstrumentId("BTC/USDT"), InstrumentId("ETH/USDT:USDT")
BUY, SELL = OrderSide.BUY, OrderSide.SELL
ORDER = f"{V5}/trade/order"
_numbers = itertools.count(1)


@pytest.fixture
def sim() -> Iterator[Running[OKXControl]]:
    with running_okx(small_okx_config()) as running:
        yield running


def opened(sim: Running[OKXControl], *, key: str = "main-key", name: str = "main", **changes: Any) -> OKXBroker:
    values: dict[str, Any] = {
        "api_key": SecretStr(key),
        "api_secret": SecretStr(f"{name}-secret"),
        "api_passphrase": SecretStr(f"{name}-passphrase"),
    }
    found = open_broker(config_at(sim.url, **{**values, **changes}), clock=SystemClock())
    assert isinstance(found, OKXBroker)
    return found


@pytest.fixture
def venue(sim: Running[OKXControl]) -> Iterator[OKXBroker]:
    with opened(sim) as broker:
        yield broker


def leave(*, timeout_s: float = 30.0) -> SendTicket:
    return SendTicket(
        send_id=f"send-{next(_numbers)}",
        not_after=datetime.now(UTC) + timedelta(seconds=5),
        send_by_monotonic_s=time.monotonic() + 5,
        timeout_s=timeout_s,
    )


def place(
    broker: OKXBroker,
    instrument_id: InstrumentId,
    side: OrderSide,
    quantity: str,
    *,
    price: str | None = None,
    link: str = "",
    timeout_s: float = 30.0,
    **terms: Any,
) -> ClientOrderId:
    """Place one order and return its client id."""
    request = OrderRequest(
        instrument_id=instrument_id,
        side=side,
        order_type=OrderType.LIMIT if price else OrderType.MARKET,
        quantity=Decimal(quantity),
        limit_price=Decimal(price) if price else None,
        **terms,
    )
    client_id = ClientOrderId(link or f"t{next(_numbers):06d}")
    ack = broker.place(broker.prepare_order(request, client_id), leave(timeout_s=timeout_s))
    assert ack.client_order_id == client_id and not ack.is_final
    return client_id


def found(broker: OKXBroker, instrument_id: InstrumentId, client_id: ClientOrderId) -> Order:
    order = broker.find_order(instrument_id=instrument_id, client_order_id=client_id)
    assert order is not None and order.client_order_id == client_id
    return order


def window() -> dict[str, datetime]:
    now = datetime.now(UTC)
    return {"since": now - timedelta(days=1), "until": now + timedelta(minutes=1)}


def assert_cash_is_the_wallet(broker: OKXBroker, sim: Running[OKXControl]) -> None:
    totals: dict[str, Decimal] = {}
    for event in broker.cash_events(**window()):
        assert event.kind is not CashEventKind.UNMAPPED
        totals[event.currency] = totals.get(event.currency, Decimal(0)) + event.amount
    wallets = {coin: amount for coin, amount in sim.control.wallets(account="main").items() if amount}
    assert {coin: amount for coin, amount in totals.items() if amount} == wallets
    assert {balance.currency: balance.total for balance in broker.balances()} == wallets


# -- connection and data ----------------------------------------------------------------------------------------
def test_connect(venue: OKXBroker, sim: Running[OKXControl]) -> None:
    proof = venue.connect()
    assert proof.can_trade and not proof.can_withdraw and proof.margin_mode is MarginMode.CROSS
    assert proof.venue_account == str(sim.control.accounts()[0]["uid"])


@pytest.mark.parametrize(
    ("key", "name", "error"),
    [
        ("live-only", "live-only", EnvironmentMismatch),
        ("no-such-key", "main", AuthenticationRefused),
        ("main-key", "wrong", AuthenticationRefused),
        ("elsewhere", "elsewhere", PermissionRefused),
    ],
)
def test_keys_that_do_not_belong_here(sim: Running[OKXControl], key: str, name: str, error: type[BrokerError]) -> None:
    with opened(sim, key=key, name=name) as broker, pytest.raises(error):
        broker.connect()


def test_keys_of_demo_trading_work_and_rights_are_read(sim: Running[OKXControl]) -> None:
    with opened(sim, key="demo-only", name="demo-only") as broker:
        assert broker.connect().can_trade
    with opened(sim, key="drainer", name="drainer") as broker:
        assert broker.connect().can_withdraw
    with opened(sim, key="reader", name="reader") as broker:
        assert not broker.connect().can_trade
        with pytest.raises(Refused) as caught:
            place(broker, LINEAR, BUY, "1")
    assert caught.value.code == "50120" and sim.control.orders(account="main") == []


def test_a_clock_that_is_off_is_measured_and_compensated(sim: Running[OKXControl]) -> None:
    sim.control.set_skew(skew_ms=-60_000)
    with opened(sim) as broker:
        with pytest.raises(ClockSkewed):
            broker.balances()
        assert abs(broker.clock_reading().offset + timedelta(seconds=60)) < timedelta(seconds=1)
        assert broker.balances()[0].currency == "USDT"


def test_instruments_and_quotes(venue: OKXBroker, sim: Running[OKXControl]) -> None:
    by_id = {item.instrument_id.value: item for item in venue.instruments()}
    assert set(by_id) == {"BTC/USDT", "ETH/USDT", "BTC/USDT:USDT", "ETH/USDT:USDT"}
    assert (by_id["BTC/USDT:USDT"].contract_size, by_id["ETH/USDT:USDT"].contract_size) == (
        Decimal("0.01"),
        Decimal("0.1"),
    )
    quotes = venue.quotes([ETH, SPOT, LINEAR])
    assert [quote.bid < quote.last < quote.ask for quote in quotes] == [True] * 3
    assert len(sim.control.requests(path=f"{V5}/market/tickers")) == 1
    assert len(sim.control.requests(path=f"{V5}/market/ticker")) == 1


# -- one-way swaps ----------------------------------------------------------------------------------------------
def test_a_market_order_from_placing_to_the_ledger_facts(venue: OKXBroker, sim: Running[OKXControl]) -> None:
    client_id = place(venue, LINEAR, BUY, "1.5")
    order = found(venue, LINEAR, client_id)
    assert (order.status, order.filled_quantity, order.remaining) == (OrderStatus.FILLED, Decimal("1.5"), 0)
    (fill,) = venue.fills(**window())
    (truth,) = sim.control.executions(account="main")
    assert fill.client_order_id == client_id and fill.venue_order_id == order.venue_order_id
    assert (fill.quantity, fill.price, fill.fee) == (truth.qty, truth.price, truth.fee)
    assert fill.trade_id.value == f"BTC-USDT-SWAP:{truth.execution_id}"
    assert fill.fee == fill.quantity * Decimal("0.01") * fill.price * Decimal("0.0005")
    assert order.fees == {"USDT": fill.fee} and order.average_price == fill.price
    (position,) = venue.positions()
    assert (position.quantity, position.average_price, position.side) == (fill.quantity, fill.price, PositionSide.LONG)
    (profit,) = venue.profit_and_loss()
    assert profit.realised == -fill.fee and profit.unrealised == position.unrealised_pnl
    (trade,) = [event for event in venue.cash_events(**window()) if event.kind is CashEventKind.TRADE]
    assert (trade.trade_id, trade.amount) == (fill.trade_id, -fill.fee)
    assert_cash_is_the_wallet(venue, sim)


def test_a_short_is_closed_by_the_helper(venue: OKXBroker, sim: Running[OKXControl]) -> None:
    place(venue, ETH, SELL, "12.34")
    (position,) = venue.positions()
    assert position.quantity == Decimal("-12.34")
    for request in closing_requests(position, venue.instruments([ETH])[0]):
        venue.place(venue.prepare_order(request, ClientOrderId(f"close{next(_numbers)}")), leave())
    assert venue.positions() == ()
    assert_cash_is_the_wallet(venue, sim)


def test_reduce_only_never_opens(venue: OKXBroker) -> None:
    with pytest.raises(OrderInvalid) as caught:
        place(venue, LINEAR, SELL, "1", reduce_only=True)
    assert caught.value.code in ("51169", "51170", "51112", "51205")


def test_a_limit_order_rests_fills_and_is_cancelled(venue: OKXBroker, sim: Running[OKXControl]) -> None:
    resting = place(venue, LINEAR, BUY, "2", price="58000")
    filling = place(venue, LINEAR, BUY, "1", price="59000")
    assert {order.client_order_id for order in venue.open_orders()} == {resting, filling}
    sim.control.set_price(symbol="BTC-USDT-SWAP", price="58900")
    assert found(venue, LINEAR, filling).status is OrderStatus.FILLED
    assert found(venue, LINEAR, resting).status is OrderStatus.WORKING
    record = venue.cancel(instrument_id=LINEAR, client_order_id=resting)
    assert record.phase is WirePhase.ANSWERED and record.status == 200
    order = found(venue, LINEAR, resting)
    assert (order.status, order.filled_quantity, order.limit_price) == (OrderStatus.CANCELLED, 0, 58000)
    assert order.reject_code == "1"
    closed = venue.order_history(**window())
    assert {order.client_order_id for order in closed} == {resting, filling} and venue.open_orders() == ()


@pytest.mark.parametrize("instrument_id", [LINEAR, SPOT])
def test_cancels_of_what_is_over_prove_nothing(venue: OKXBroker, instrument_id: InstrumentId) -> None:
    done = place(venue, instrument_id, BUY, "0.1")
    for client_id in (done, ClientOrderId("neverSent")):
        with pytest.raises(OrderNotFound) as caught:
            venue.cancel(instrument_id=instrument_id, client_order_id=client_id)
        assert caught.value.code == "51400"
    resting = place(venue, instrument_id, BUY, "0.1", price="58000")
    venue.cancel(instrument_id=instrument_id, venue_order_id=found(venue, instrument_id, resting).venue_order_id)
    assert found(venue, instrument_id, resting).status is OrderStatus.CANCELLED


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
    venue: OKXBroker, instrument_id: InstrumentId, terms: dict[str, Any], status: OrderStatus, filled: str
) -> None:
    order = found(venue, instrument_id, place(venue, instrument_id, BUY, "0.1", **terms))
    assert (order.status, order.filled_quantity) == (status, Decimal(filled))
    assert order.time_in_force is terms.get("time_in_force", TimeInForce.GTC)


@pytest.mark.parametrize("instrument_id", [LINEAR, SPOT])
def test_an_ioc_that_fills_in_part(venue: OKXBroker, sim: Running[OKXControl], instrument_id: InstrumentId) -> None:
    sim.control.fault("partial_fill", path=ORDER, method="POST", ratio="0.5")
    client_id = place(venue, instrument_id, BUY, "0.1", price="61000", time_in_force=TimeInForce.IOC)
    order = found(venue, instrument_id, client_id)
    assert order.status is OrderStatus.EXPIRED and 0 < order.filled_quantity < order.quantity
    assert sum(fill.quantity for fill in venue.fills(**window())) == order.filled_quantity
    assert_cash_is_the_wallet(venue, sim)


# -- spot -------------------------------------------------------------------------------------------------------
def test_spot_buys_base_and_pays_the_fee_in_it(venue: OKXBroker, sim: Running[OKXControl]) -> None:
    client_id = place(venue, SPOT, BUY, "0.1")
    (fill,) = venue.fills(**window(), instrument_id=SPOT)
    assert fill.client_order_id == client_id and fill.quantity == Decimal("0.1")
    assert (fill.fee, fill.fee_currency) == (Decimal("0.0001"), "BTC")
    place(venue, SPOT, SELL, "0.05")
    sold = venue.fills(**window(), instrument_id=SPOT)[-1]
    assert sold.fee_currency == "USDT"
    held = {balance.currency: balance.total for balance in venue.balances()}
    assert held["BTC"] == Decimal("0.0499") and venue.positions() == ()
    assert_cash_is_the_wallet(venue, sim)


def test_a_spot_order_holds_its_cost(venue: OKXBroker) -> None:
    place(venue, SPOT, BUY, "0.1", price="58000")
    (balance,) = venue.balances()
    assert (balance.total, balance.held, balance.available) == (100_000, 5_800, 94_200)


@pytest.mark.parametrize(("instrument_id", "quantity"), [(LINEAR, "11000"), (SPOT, "10")])
def test_too_little_money_is_a_refusal(venue: OKXBroker, instrument_id: InstrumentId, quantity: str) -> None:
    with pytest.raises(InsufficientFunds):
        place(venue, instrument_id, BUY, quantity)


@pytest.mark.parametrize("level", ["1", "2", "3", "4"])
def test_spot_in_every_account_mode(sim: Running[OKXControl], level: str) -> None:
    sim.control.set_account_level(account="main", level=level)
    with opened(sim, products=frozenset({ProductKind.SPOT})) as broker:
        broker.connect()
        client_id = place(broker, SPOT, BUY, "0.1")
        assert found(broker, SPOT, client_id).status is OrderStatus.FILLED
        assert [fill.client_order_id for fill in broker.fills(**window())] == [client_id]
        assert_cash_is_the_wallet(broker, sim)


@pytest.mark.parametrize("level", ["3", "4"])
def test_swaps_in_the_other_margin_modes(sim: Running[OKXControl], level: str) -> None:
    sim.control.set_account_level(account="main", level=level)
    with opened(sim) as broker:
        place(broker, LINEAR, BUY, "2")
        place(broker, LINEAR, SELL, "1", reduce_only=True)
        assert [position.quantity for position in broker.positions()] == [Decimal(1)]
        assert broker.margin_health().equity > 0
        if level == "4":
            with pytest.raises(InvalidOrder, match="portfolio margin"):
                place(broker, LINEAR, SELL, "2", reduce_only=True)


def test_spot_mode_refuses_swaps_before_anything_is_sent(sim: Running[OKXControl]) -> None:
    sim.control.set_account_level(account="main", level="1")
    with opened(sim) as broker:
        with pytest.raises(PermissionRefused, match="spot mode"):
            broker.connect()
        with pytest.raises(InvalidOrder, match="spot mode"):
            place(broker, LINEAR, BUY, "1")
    assert sim.control.requests(path=ORDER) == []


# -- settings ---------------------------------------------------------------------------------------------------
def test_leverage_is_set_twice_and_read_back(venue: OKXBroker) -> None:
    for _ in range(2):
        info = venue.set_leverage(LINEAR, Decimal("7"))
        assert (info.long_leverage, info.short_leverage) == (Decimal(7), Decimal(7))
    assert venue.leverage(LINEAR).position_mode is PositionMode.ONE_WAY


def test_hedge_mode_holds_both_sides(venue: OKXBroker, sim: Running[OKXControl]) -> None:
    for _ in range(2):
        assert venue.set_position_mode(LINEAR, PositionMode.HEDGE).position_mode is PositionMode.HEDGE
    with pytest.raises(InvalidOrder, match="position_side must be long or short"):
        place(venue, LINEAR, BUY, "1")
    place(venue, LINEAR, BUY, "2", position_side=PositionSide.LONG)
    place(venue, LINEAR, SELL, "1", position_side=PositionSide.SHORT)
    by_side = {position.side: position for position in venue.positions()}
    assert by_side[PositionSide.LONG].quantity == Decimal(2)
    assert by_side[PositionSide.SHORT].quantity == Decimal(-1)
    with pytest.raises(OrderInvalid) as caught:
        venue.set_position_mode(LINEAR, PositionMode.ONE_WAY)
    assert caught.value.code == "59000"
    for position in by_side.values():
        for request in closing_requests(position, venue.instruments([LINEAR])[0]):
            client_id = ClientOrderId(f"close{next(_numbers)}")
            venue.place(venue.prepare_order(request, client_id), leave())
            order = found(venue, LINEAR, client_id)
            assert order.position_side is position.side and order.reduce_only
    assert venue.positions() == ()
    assert venue.set_position_mode(LINEAR, PositionMode.ONE_WAY).position_mode is PositionMode.ONE_WAY
    assert_cash_is_the_wallet(venue, sim)


def test_the_dead_man_switch_cancels_our_orders_and_no_others() -> None:
    clock = ClockConfig(mode=ClockMode.MANUAL, start=datetime.now(UTC), gateway=GatewayClock.ENGINE)
    with running_okx(small_okx_config(clock=clock)) as sim, opened(sim) as broker:

        def still_open(*, after_s: int) -> list[str]:
            sim.control.advance(seconds=after_s)
            broker.clock_reading()
            return sorted(order.venue_order_id.value for order in broker.open_orders())

        ours = [(name, place(broker, name, BUY, "1", price="58000")) for name in (LINEAR, SPOT)]
        theirs = sim.control.place_order(account="main", symbol="BTC-USDT-SWAP", side="buy", qty="1", price="58100")
        broker.arm_dead_man(10)
        assert len(still_open(after_s=9)) == 3
        broker.arm_dead_man(10)
        assert len(still_open(after_s=9)) == 3, "each request starts the countdown again"
        broker.arm_dead_man(0)
        assert len(still_open(after_s=30)) == 3
        broker.arm_dead_man(10)
        assert still_open(after_s=11) == [theirs.order_id]
        assert {found(broker, *order).status for order in ours} == {OrderStatus.CANCELLED}


# -- funding and paging -----------------------------------------------------------------------------------------
def test_funding_is_money_not_a_fill(venue: OKXBroker, sim: Running[OKXControl]) -> None:
    sim.control.set_funding_rate(rate="0.0001")
    place(venue, LINEAR, BUY, "10")
    sim.control.advance(days=1)
    events = venue.cash_events(**window())
    funding = [event for event in events if event.kind is CashEventKind.FUNDING]
    assert funding and all(event.instrument_id == LINEAR and event.amount < 0 for event in funding)
    assert [fill.kind for fill in venue.fills(**window())] == ["trade"]
    assert_cash_is_the_wallet(venue, sim)


def test_long_lists_are_read_to_their_end(venue: OKXBroker, sim: Running[OKXControl]) -> None:
    place(venue, ETH, BUY, "1")
    for number in range(209):
        sim.control.place_order(
            account="main", symbol="ETH-USDT-SWAP", side="sell" if number % 2 == 0 else "buy", qty="1"
        )
    assert len(venue.fills(**window())) == 210 == len(sim.control.executions(account="main"))
    assert len(venue.order_history(**window())) == 210
    events = venue.cash_events(**window())
    assert len(events) == 211 and [event.time for event in events] == sorted(event.time for event in events)
    balance = Decimal(0)
    for event in events:
        balance += event.amount
        assert event.balance_after == balance, "the order of events is the order of the wallet"
    assert_cash_is_the_wallet(venue, sim)


# -- faults -----------------------------------------------------------------------------------------------------
FAULTS: list[tuple[str, dict[str, Any], type[OutcomeUnknown], bool]] = [
    ("drop", {}, ConnectionLost, False),
    ("execute_then_drop", {}, ConnectionLost, True),
    ("reset", {"after_bytes": 20}, ConnectionLost, True),
    ("truncated", {"after_bytes": 30}, AnswerUnreadable, True),
    ("status", {"status": 503, "execute": True}, VenueFaulted, True),
    ("status", {"status": 503, "execute": False}, VenueFaulted, False),
    ("error", {"code": 50004, "message": "API endpoint request timeout ", "execute": True}, VenueFaulted, True),
    ("error", {"code": 51149, "message": "Order timed out.", "execute": False}, VenueFaulted, False),
    ("bad_json", {"execute": True}, AnswerUnreadable, True),
    ("html", {"execute": True}, AnswerUnreadable, True),
    ("redirect", {"status": 307, "location": "http://127.0.0.2:9/", "execute": True}, RedirectRefused, True),
    ("delay", {"after_s": "1.2"}, AnswerTimedOut, True),
]


@pytest.mark.parametrize(("kind", "fields", "error", "executed"), FAULTS)
def test_an_unclear_answer_is_unknown_until_the_order_is_looked_up(
    venue: OKXBroker,
    sim: Running[OKXControl],
    kind: str,
    fields: dict[str, Any],
    error: type[OutcomeUnknown],
    executed: bool,
) -> None:
    venue.connect()
    venue.instruments()
    sim.control.fault(kind, path=ORDER, method="POST", **fields)
    with pytest.raises(error):
        place(venue, SPOT, BUY, "0.1", price="58000", link="unclear", timeout_s=patience_s(error))
    assert len(sim.control.requests(path=ORDER)) == 1
    assert eventually(lambda: len(sim.control.orders(account="main")) == int(executed) and [True])
    order = venue.find_order(instrument_id=SPOT, client_order_id=ClientOrderId("unclear"))
    assert (order is not None) is executed
    if executed:
        with pytest.raises(DuplicateClientOrderId):
            place(venue, SPOT, BUY, "0.1", price="58000", link="unclear")
        assert len(sim.control.orders(account="main")) == 1


def test_a_request_that_arrives_after_its_deadline_is_refused_by_the_venue(
    venue: OKXBroker, sim: Running[OKXControl]
) -> None:
    order = venue.prepare_order(
        OrderRequest(instrument_id=SPOT, side=BUY, order_type=OrderType.MARKET, quantity=Decimal("0.1")),
        ClientOrderId("late"),
    )
    venue.clock_reading()
    sim.control.set_skew(skew_ms=6_000)  # six seconds pass on the way
    with pytest.raises(ClockSkewed) as caught:
        venue.place(order, leave())
    assert caught.value.code in ("50036", "50037") and sim.control.orders(account="main") == []


def test_a_client_id_is_free_again_after_the_end_of_its_order(venue: OKXBroker, sim: Running[OKXControl]) -> None:
    """Why the scope is open-only: what was filled would be bought again. The look-up shows the latest."""
    place(venue, SPOT, BUY, "0.1", link="again")
    first = found(venue, SPOT, ClientOrderId("again"))
    place(venue, SPOT, BUY, "0.2", link="again")
    second = found(venue, SPOT, ClientOrderId("again"))
    assert first.venue_order_id != second.venue_order_id and second.quantity == Decimal("0.2")
    assert venue.find_order(instrument_id=SPOT, venue_order_id=first.venue_order_id) == first
    assert len(sim.control.orders(account="main")) == 2


def test_lagging_reads_show_nothing_then_the_order(venue: OKXBroker, sim: Running[OKXControl]) -> None:
    venue.instruments()
    sim.control.set_lags(orders_ms=300)
    stand_still(sim)
    client_id = place(venue, LINEAR, BUY, "1")
    assert venue.find_order(instrument_id=LINEAR, client_order_id=client_id) is None
    stand_still(sim, later_s=1)
    order = venue.find_order(instrument_id=LINEAR, client_order_id=client_id)
    assert order is not None and order.status is OrderStatus.FILLED


def test_rate_limits_are_typed_and_never_resent() -> None:
    limits = OKXLimitConfig(per_window={ORDER: 5})
    with running_okx(small_okx_config(rate_limits=limits)) as sim, opened(sim) as broker:
        broker.connect()
        stand_still(sim)
        with pytest.raises(RateLimited) as caught:
            for _ in range(8):
                place(broker, LINEAR, BUY, "1", price="58000")
        assert caught.value.code == "50011" and caught.value.retryable and caught.value.retry_after_s == 2.0
        ids = [json.loads(record.body)["clOrdId"] for record in sim.control.requests(path=ORDER)]
        assert len(ids) == len(set(ids)), "no order was sent twice"
