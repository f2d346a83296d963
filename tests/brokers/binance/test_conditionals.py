"""Conditional futures orders of ours: two books of the venue, one order here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.binance.adapter import BinanceBroker
from brokers.errors import (
    AnswerUnreadable,
    DuplicateClientOrderId,
    InvalidOrder,
    NotSent,
    OrderNotFound,
    OutcomeUnknown,
    VenueFaulted,
)
from brokers.ids import ClientOrderId, VenueOrderId
from brokers.types import Order, OrderRequest, OrderSide, OrderStatus, OrderType
from tests.brokers.binance.conftest import LINEAR, SPOT, refuses, says
from tests.brokers.binance.recorded import ALGO_ORDER, FUTURES_TRADE, futures_order
from tests.brokers.binance.test_simulator import opened as opened_on
from tests.brokers.binance.test_simulator import place, sim
from tests.brokers.loopback import Loopback, ticket

__all__ = ["sim"]
SELL, BUY = OrderSide.SELL, OrderSide.BUY
OURS = ClientOrderId("0123456789abcdef0123456789abcdef")
STOP = VenueOrderId("algo:BTCUSDT:2148627")
NOW_MS = time.time_ns() // 1_000_000
DAY_MS = 86_400_000
ALGO, ORDER = "/fapi/v1/algoOrder", "/fapi/v1/order"
NOBODY = refuses(-2013, "Order does not exist.")


def algo(**changes: Any) -> dict[str, Any]:
    """A sell stop of ours in BTCUSDT, as the algo service shows it."""
    own = {
        "symbol": "BTCUSDT",
        "clientAlgoId": f"st-{OURS}",
        "orderType": "STOP_MARKET",
        "price": "0",
        "quantity": "0.2",
    }
    return {**ALGO_ORDER, **own, "triggerPrice": "59000", "createTime": NOW_MS, "updateTime": NOW_MS, **changes}


def taken(**changes: Any) -> dict[str, Any]:
    """What the engine made of it."""
    own = {"orderId": 28, "clientOrderId": f"st-{OURS}", "type": "MARKET", "origQty": "0.2", "executedQty": "0.2"}
    more = {"side": "SELL", "status": "FILLED", "avgPrice": "58990.5", "time": NOW_MS, "updateTime": NOW_MS + 5}
    return futures_order(**{**own, **more, **changes})


TRIGGERED = algo(algoStatus="FINISHED", actualOrderId="28")


def window() -> dict[str, datetime]:
    now = datetime.now(UTC)
    return {"since": now - timedelta(hours=1), "until": now + timedelta(minutes=1)}


def by_ours(broker: BinanceBroker) -> Order | None:
    return broker.find_order(instrument_id=LINEAR, client_order_id=OURS)


# -- placing ----------------------------------------------------------------------------------------------------
def test_a_stop_goes_to_the_algo_service_and_an_answer_about_another_proves_nothing(
    broker: BinanceBroker, venue: Loopback
) -> None:
    request = OrderRequest(LINEAR, SELL, OrderType.STOP_MARKET, Decimal("0.2"), trigger_price=Decimal(59000))
    prepared = broker.prepare_order(request, OURS)
    venue.on(ALGO, says(algo()), says(algo(clientAlgoId="st-another")), says(algo(symbol="ETHUSDT")))
    ack = broker.place(prepared, ticket())
    assert (ack.venue_order_id, ack.client_order_id) == (STOP, OURS)
    sent = venue.to(ALGO)[-1]
    assert sent.method == "POST" and sent.body.startswith(f"{prepared.payload}&recvWindow=".encode())
    for _ in range(2):
        with pytest.raises(AnswerUnreadable):
            broker.place(broker.prepare_order(request, OURS), ticket())


def test_the_sdk_cannot_send_a_stop_by_a_way_of_its_own(broker: BinanceBroker, venue: Loopback) -> None:
    """python-binance turns a conditional type into an algo order under an id that it makes up."""
    request = OrderRequest(LINEAR, SELL, OrderType.STOP_MARKET, Decimal("0.2"), trigger_price=Decimal(59000))
    prepared = broker.prepare_order(request, OURS)
    terms = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "quantity": "0.2", "stopPrice": "59000"}
    broker.clock_reading()
    with pytest.raises(NotSent):
        broker._client.futures_create_order(**terms)
    with pytest.raises(NotSent), broker._guard.sending(ticket(), sha256=prepared.sha256):
        broker._client.futures_create_order(**terms, newClientOrderId=OURS.value)
    assert venue.to(ALGO) == [] and venue.to(ORDER) == []


# -- looking up -------------------------------------------------------------------------------------------------
def test_an_order_is_absent_only_where_neither_book_has_it(broker: BinanceBroker, venue: Loopback) -> None:
    venue.on(ORDER, NOBODY)
    venue.on(ALGO, NOBODY)
    assert by_ours(broker) is None
    assert venue.to(ORDER)[-1].query["origClientOrderId"] == OURS.value
    assert venue.to(ALGO)[-1].query["clientAlgoId"] == f"st-{OURS}"
    venue.on(ALGO, refuses(-1000, "An unknown error occurred.", 500))
    with pytest.raises(VenueFaulted):
        by_ours(broker)


def test_a_stop_is_found_while_it_waits_and_with_what_became_of_it(broker: BinanceBroker, venue: Loopback) -> None:
    venue.on(ALGO, says(algo()))
    venue.on(ORDER, NOBODY)
    waits = by_ours(broker)
    assert waits is not None and (waits.venue_order_id, waits.status) == (STOP, OrderStatus.WORKING)
    assert (waits.client_order_id, waits.order_type, waits.trigger_price) == (OURS, OrderType.STOP_MARKET, 59000)
    venue.on(ALGO, says(TRIGGERED))
    venue.on(ORDER, NOBODY, says(taken()))
    over = by_ours(broker)
    assert over is not None and (over.venue_order_id, over.client_order_id) == (STOP, OURS)
    assert (over.status, over.filled_quantity, over.average_price) == (
        OrderStatus.FILLED,
        Decimal("0.2"),
        Decimal("58990.5"),
    )
    assert (over.order_type, over.trigger_price, over.limit_price) == (OrderType.STOP_MARKET, 59000, None)
    venue.on(ORDER, says(taken(origQty="0.1", executedQty="0.1")))
    cut = broker.find_order(instrument_id=LINEAR, venue_order_id=STOP)
    assert cut is not None and (cut.quantity, cut.filled_quantity) == (Decimal("0.1"), Decimal("0.1"))


@pytest.mark.parametrize("status", ["TRIGGERED", "FINISHED"])
def test_what_was_handed_over_and_is_not_shown_is_not_absent(
    broker: BinanceBroker, venue: Loopback, status: str
) -> None:
    venue.on(ORDER, NOBODY)
    venue.on(ALGO, says(algo(algoStatus=status, actualOrderId="28")))
    with pytest.raises(AnswerUnreadable, match="does not show yet"):
        by_ours(broker)
    venue.on(ALGO, says(algo(algoStatus=status)))
    with pytest.raises(AnswerUnreadable, match="names no actualOrderId"):
        by_ours(broker)
    old = NOW_MS - 4 * DAY_MS  # an order that ended without a fill is shown for three days
    venue.on(ALGO, says(algo(algoStatus=status, actualOrderId="28", createTime=old, updateTime=old)))
    gone = by_ours(broker)
    assert gone is not None and (gone.status, gone.filled_quantity) == (OrderStatus.CANCELLED, 0)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("TRIGGERING", OrderStatus.WORKING),
        ("CANCELED", OrderStatus.CANCELLED),
        ("EXPIRED", OrderStatus.EXPIRED),
        ("REJECTED", OrderStatus.REJECTED),
    ],
)
def test_what_never_reached_the_engine_ends_by_its_own_word(
    broker: BinanceBroker, venue: Loopback, word: str, status: OrderStatus
) -> None:
    venue.on(ORDER, NOBODY)
    venue.on(ALGO, says(algo(algoStatus=word)))
    found = by_ours(broker)
    assert found is not None and (found.status, found.filled_quantity) == (status, 0)
    venue.on(ALGO, says(algo(algoStatus=word, actualOrderId="28")))  # named, and refused before it lived
    found = by_ours(broker)
    assert found is not None and found.status is status


# -- lists ------------------------------------------------------------------------------------------------------
def test_one_that_triggers_between_the_lists_is_one_open_order(broker: BinanceBroker, venue: Loopback) -> None:
    venue.on("/api/v3/openOrders", says([]))
    venue.on("/fapi/v1/openAlgoOrders", says([algo(orderType="STOP", price="58900")]))
    waiting = {"type": "LIMIT", "price": "58900", "status": "PARTIALLY_FILLED", "executedQty": "0.1"}
    venue.on("/fapi/v1/openOrders", says([taken(**waiting), futures_order(orderId=29)]))
    venue.on(ALGO, says(algo(orderType="STOP", price="58900", algoStatus="TRIGGERED", actualOrderId="28")))
    stop, other = broker.open_orders()
    assert (stop.venue_order_id, stop.order_type, stop.filled_quantity) == (STOP, OrderType.STOP_LIMIT, Decimal("0.1"))
    assert str(other.venue_order_id) == "linear:BTCUSDT:29"
    broker.open_orders()
    assert len(venue.to(ALGO)) == 1, "whose the engine's order is does not change"


@pytest.mark.parametrize("parent", [NOBODY, says(algo(symbol="ETHUSDT")), says(algo(actualOrderId="27"))])
def test_an_order_whose_id_only_looks_like_a_stops_stands_for_itself(
    broker: BinanceBroker, venue: Loopback, parent: Any
) -> None:
    venue.on("/api/v3/openOrders", says([]))
    venue.on("/fapi/v1/openAlgoOrders", says([]))
    venue.on("/fapi/v1/openOrders", says([taken(status="NEW", executedQty="0")]))
    venue.on(ALGO, parent)
    (order,) = broker.open_orders()
    assert str(order.venue_order_id) == "linear:BTCUSDT:28"


def test_history_tells_a_stop_once_and_with_its_outcome(broker: BinanceBroker, venue: Loopback) -> None:
    cancelled = algo(algoId=5, clientAlgoId="st-x", algoStatus="CANCELED")
    foreign = algo(algoId=6, clientAlgoId="web_1", algoStatus="FINISHED", actualOrderId="30")
    rows = [taken(), taken(orderId=30, clientOrderId="web_1"), taken(orderId=31, clientOrderId="st-old")]
    venue.on("/api/v3/allOrders", says([]))
    venue.on("/fapi/v1/allAlgoOrders", says([TRIGGERED, cancelled, foreign, algo(algoId=7)]))
    venue.on("/fapi/v1/allOrders", says(rows))
    venue.on(ALGO, says(algo(algoId=4, clientAlgoId="st-old", algoStatus="FINISHED", actualOrderId="31")))
    found = {str(order.venue_order_id): order for order in broker.order_history(**window())}
    assert {name: (order.status, order.filled_quantity) for name, order in found.items()} == {
        "algo:BTCUSDT:2148627": (OrderStatus.FILLED, Decimal("0.2")),
        "algo:BTCUSDT:5": (OrderStatus.CANCELLED, 0),
        "algo:BTCUSDT:6": (OrderStatus.EXPIRED, 0),  # another hand's: what became of it is an order of its own
        "linear:BTCUSDT:30": (OrderStatus.FILLED, Decimal("0.2")),
    }, "the one that was created before the window is not of it, nor is what became of it"


def test_a_page_of_conditional_orders_is_full_at_a_hundred(broker: BinanceBroker, venue: Loopback) -> None:
    rows = [algo(algoId=n, algoStatus="CANCELED", createTime=NOW_MS - n * 1000) for n in range(150)]

    def page(request: Any, sock: Any) -> bool:
        start, end = int(request.query["startTime"]), int(request.query["endTime"])
        return says([row for row in rows if start <= row["createTime"] <= end][:100])(request, sock)

    venue.on("/api/v3/allOrders", says([]))
    venue.on("/fapi/v1/allOrders", says([]))
    venue.on("/fapi/v1/allAlgoOrders", page)
    assert len(broker.order_history(**window())) == 150
    assert {request.query["limit"] for request in venue.to("/fapi/v1/allAlgoOrders")} == {"100"}


# -- fills ------------------------------------------------------------------------------------------------------
def trade(**changes: Any) -> dict[str, Any]:
    return {**FUTURES_TRADE, "orderId": 28, "time": time.time_ns() // 1_000_000, **changes}


def fills(broker: BinanceBroker) -> list[str]:
    return [str(fill.venue_order_id) for fill in broker.fills(**window(), instrument_id=LINEAR)]


def test_the_fills_of_a_stop_are_told_with_it(broker: BinanceBroker, venue: Loopback) -> None:
    venue.on("/fapi/v1/userTrades", says([trade(), trade(id=2), trade(id=3, orderId=29)]))
    venue.on(
        ORDER,
        lambda request, sock: says(taken() if request.query["orderId"] == "28" else futures_order(orderId=29))(
            request, sock
        ),
    )
    venue.on(ALGO, says(TRIGGERED))
    assert sorted(fills(broker)) == ["algo:BTCUSDT:2148627", "algo:BTCUSDT:2148627", "linear:BTCUSDT:29"]
    fills(broker)
    assert (len(venue.to(ORDER)), len(venue.to(ALGO))) == (2, 1)


def test_a_young_fill_whose_order_is_not_shown_is_not_given_away(broker: BinanceBroker, venue: Loopback) -> None:
    venue.on(ORDER, NOBODY)
    venue.on("/fapi/v1/userTrades", says([trade()]))
    with pytest.raises(AnswerUnreadable, match="has a fill, and is not shown yet"):
        fills(broker)
    venue.on("/fapi/v1/userTrades", says([trade(time=NOW_MS - 90_000)]))
    assert fills(broker) == ["linear:BTCUSDT:28"], "an order that is shown no more was no stop that is shown"


def test_many_orders_are_read_as_one_list(broker: BinanceBroker, venue: Loopback) -> None:
    venue.on("/fapi/v1/userTrades", says([trade(id=n, orderId=n) for n in range(100, 120)]))
    venue.on("/fapi/v1/allOrders", says([futures_order(orderId=n) for n in range(100, 119)]))
    venue.on(ORDER, says(futures_order(orderId=119)))
    assert len(set(fills(broker))) == 20
    assert (len(venue.to("/fapi/v1/allOrders")), len(venue.to(ORDER))) == (1, 1)


# -- cancelling -------------------------------------------------------------------------------------------------
CANCELLED = says({"algoId": 2148627, "clientAlgoId": f"st-{OURS}", "code": "200", "msg": "success"})
UNKNOWN = refuses(-2011, "Unknown order sent.")


def deletes(venue: Loopback, path: str) -> list[bytes]:
    return [request.body.partition(b"&recvWindow")[0] for request in venue.to(path) if request.method == "DELETE"]


@pytest.mark.parametrize("both", [False, True], ids=["number", "number and our id"])
def test_a_stop_is_cancelled_where_it_is(broker: BinanceBroker, venue: Loopback, both: bool) -> None:
    ids: dict[str, Any] = {"venue_order_id": STOP} | ({"client_order_id": OURS} if both else {})
    venue.on(ALGO, CANCELLED)
    assert broker.cancel(instrument_id=LINEAR, **ids).status == 200
    assert deletes(venue, ALGO) == [b"algoId=2148627"] and deletes(venue, ORDER) == []
    venue.on(ALGO, UNKNOWN, says(algo(algoStatus="TRIGGERED", actualOrderId="28")))
    venue.on(ORDER, says(taken(status="CANCELED", executedQty="0")))
    broker.cancel(instrument_id=LINEAR, **ids)
    assert deletes(venue, ORDER) == [b"orderId=28&symbol=BTCUSDT"]
    venue.on(ALGO, UNKNOWN, says(algo(algoStatus="TRIGGERING")))
    with pytest.raises(OrderNotFound):
        broker.cancel(instrument_id=LINEAR, **ids)


def test_by_our_id_alone_both_books_are_asked(broker: BinanceBroker, venue: Loopback) -> None:
    venue.on(ORDER, UNKNOWN)
    venue.on(ALGO, CANCELLED)
    broker.cancel(instrument_id=LINEAR, client_order_id=OURS)
    assert deletes(venue, ALGO) == [f"clientAlgoId=st-{OURS}".encode()]
    with pytest.raises(InvalidOrder):
        broker.cancel(instrument_id=SPOT, venue_order_id=STOP)


def test_another_hands_stop_that_triggered_is_not_followed(broker: BinanceBroker, venue: Loopback) -> None:
    venue.on(ALGO, UNKNOWN, says(algo(clientAlgoId="web_1", algoStatus="TRIGGERED", actualOrderId="28")))
    with pytest.raises(OrderNotFound):
        broker.cancel(instrument_id=LINEAR, venue_order_id=STOP)
    assert deletes(venue, ORDER) == []


# -- on the simulated venue -------------------------------------------------------------------------------------
@pytest.fixture
def stranger(sim: Any) -> Iterator[BinanceBroker]:
    """A process that knows nothing of what the other one sent."""
    with opened_on(sim) as broker:
        yield broker


def test_a_process_that_sent_nothing_reads_the_same_order(sim: Any, stranger: BinanceBroker) -> None:
    with opened_on(sim) as first:
        place(first, LINEAR, BUY, "0.3")
        stop = place(first, LINEAR, SELL, "0.2", trigger="59000", reduce_only=True)
        limited = place(first, LINEAR, SELL, "0.1", trigger="59000", price="59500")
        acked = {order.client_order_id: order.venue_order_id for order in first.open_orders()}
        assert {order.venue_order_id for order in stranger.open_orders()} == set(acked.values())
        sim.control.set_price(symbol="BTCUSDT", price="58900")
        for broker in (first, stranger):
            assert {fill.venue_order_id for fill in broker.fills(**window())} >= {acked[stop]}
            (rests,) = broker.open_orders()
            assert (rests.venue_order_id, rests.client_order_id) == (acked[limited], limited)
            assert (rests.order_type, rests.limit_price, rests.reduce_only) == (OrderType.STOP_LIMIT, 59500, False)
            over = broker.find_order(instrument_id=LINEAR, client_order_id=stop)
            assert over is not None and (over.venue_order_id, over.status) == (acked[stop], OrderStatus.FILLED)
            shown = [order for order in broker.order_history(**window()) if order.client_order_id == stop]
            assert shown == [over] and over.reduce_only
        stranger.cancel(instrument_id=LINEAR, client_order_id=limited)
        assert first.open_orders() == ()


def test_a_stop_whose_answer_was_lost_is_found_and_never_sent_again(sim: Any, stranger: BinanceBroker) -> None:
    with opened_on(sim) as first:
        sim.control.fault("execute_then_drop", path=ALGO, method="POST")
        with pytest.raises(OutcomeUnknown):
            place(first, LINEAR, BUY, "0.2", trigger="61000", link="lost")
        for broker in (first, stranger):
            order = broker.find_order(instrument_id=LINEAR, client_order_id=ClientOrderId("lost"))
            assert order is not None and order.status is OrderStatus.WORKING
        with pytest.raises(DuplicateClientOrderId):
            place(stranger, LINEAR, BUY, "0.2", trigger="61000", link="lost")
        assert len(sim.control.orders("main")) == 1
