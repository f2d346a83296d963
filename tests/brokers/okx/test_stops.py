"""Conditional orders: two books behind one port, one order from placement to the end of what it became."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.clock import epoch_ms
from brokers.errors import (
    AnswerUnreadable,
    ClockSkewed,
    DuplicateClientOrderId,
    InvalidOrder,
    OrderAlreadyDone,
    OrderInvalid,
    OrderNotFound,
    TicketMissing,
    VenueFaulted,
)
from brokers.ids import AccountId, ClientOrderId, InstrumentId, VenueOrderId
from brokers.okx import algos
from brokers.okx.adapter import OKXBroker
from brokers.okx.client import TIME_WINDOW
from brokers.okx.instruments import delisted
from brokers.types import Order, OrderRequest, OrderSide, OrderStatus, OrderType, PositionSide, TimeInForce
from simulators import OKXControl, Running, running_okx
from simulators.testing_okx import small_okx_config
from tests.brokers.loopback import Loopback, Request, ticket
from tests.brokers.okx.conftest import V5, answer, by_method, paged, server_time
from tests.brokers.okx.recorded import (
    ALGO_ACK,
    ALGO_BY_VALUE,
    ALGO_EFFECTIVE,
    ALGO_TRIGGER,
    FILL_ROW,
    child_row,
    order_row,
    stop_row,
)
from tests.brokers.okx.test_simulator import leave, opened, window
from tests.simulators.okx.conftest import Wire

ACCOUNT = AccountId.parse("okx.simulated.main")
BTC, SWAP = InstrumentId("BTC/USDT"), InstrumentId("BTC/USDT:USDT")
OURS = ClientOrderId("a1b2")
ORDER, ALGO = f"{V5}/trade/order", f"{V5}/trade/order-algo"
PENDING, HISTORY = f"{V5}/trade/orders-algo-pending", f"{V5}/trade/orders-algo-history"
CANCEL, CANCEL_ALGOS = f"{V5}/trade/cancel-order", f"{V5}/trade/cancel-algos"
BUY, SELL = OrderSide.BUY, OrderSide.SELL
NOT_THERE = answer(code="51603", msg="Order does not exist")
LONG_AGO, LATELY = "1708587373361", lambda: str(time.time_ns() // 10**6)


def alone(row: dict[str, Any]) -> Order:
    return algos.order(row, delisted(row["instId"], row["instType"]), account_id=ACCOUNT)


# -- rows -------------------------------------------------------------------------------------------------------
def test_recorded_rows() -> None:
    by_value, effective, trigger = alone(ALGO_BY_VALUE), alone(ALGO_EFFECTIVE), alone(ALGO_TRIGGER)
    assert str(by_value.venue_order_id) == "algo:1753184812254216192" and by_value.client_order_id is None
    assert (by_value.order_type, by_value.trigger_price, by_value.limit_price) == (OrderType.STOP_MARKET, 10_000, None)
    assert (by_value.status, by_value.time_in_force) == (OrderStatus.WORKING, TimeInForce.IOC)
    assert (effective.status, effective.status_text, effective.reject_code) == (OrderStatus.EXPIRED, "effective", "")
    assert effective.reduce_only and effective.position_side is PositionSide.LONG and effective.filled_quantity == 0
    assert (trigger.order_type, trigger.trigger_price, trigger.limit_price) == (OrderType.STOP_LIMIT, 50, 45)
    assert trigger.client_order_id == ClientOrderId("e847386590ce4dBC966d26e514409045") and not trigger.reduce_only


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("live", OrderStatus.WORKING),
        ("pause", OrderStatus.WORKING),
        ("partially_effective", OrderStatus.WORKING),
        ("effective", OrderStatus.EXPIRED),
        ("canceled", OrderStatus.CANCELLED),
        ("order_failed", OrderStatus.REJECTED),
        ("partially_failed", OrderStatus.EXPIRED),
    ],
)
def test_each_state(state: str, status: OrderStatus) -> None:
    found = alone(stop_row(state=state, failCode="51008"))
    assert found.status is status and found.reject_code == ("51008" if "failed" in state else "")


def test_what_slices_an_order_has_no_trigger() -> None:
    found = alone({**ALGO_TRIGGER, "ordType": "twap", "triggerPx": "", "pxLimit": "100"})
    assert (found.order_type, found.trigger_price, found.limit_price) == (OrderType.LIMIT, None, 100)
    chase = alone({**ALGO_TRIGGER, "ordType": "chase", "triggerPx": "", "ordPx": ""})
    assert (chase.order_type, chase.limit_price) == (OrderType.LIMIT, None)


@pytest.mark.parametrize(
    "change", [{"state": "asleep"}, {"algoId": ""}, {"side": ""}, {"posSide": "x"}, {"slTriggerPx": "x"}, {"cTime": ""}]
)
def test_malformed_rows_are_unreadable(change: dict[str, Any]) -> None:
    with pytest.raises(AnswerUnreadable):
        alone(stop_row(**change))


def test_the_numbers_of_what_was_placed() -> None:
    assert algos.children_of(stop_row()) == ()
    assert algos.children_of(stop_row(ordId="2", ordIdList=["1", "2"])) == ("1", "2")
    assert algos.children_of({"ordId": "7"}) == ("7",)
    for wrong in ("1", [1], {"a": 1}):
        with pytest.raises(AnswerUnreadable, match="ordIdList"):
            algos.children_of(stop_row(ordIdList=wrong))


def test_ids_say_that_they_are_of_a_conditional_order() -> None:
    identity = algos.venue_order_id("900")
    assert algos.is_algo(identity) and algos.algo_id_of(identity) == "900"
    for wrong in ("900", "algo:", "algo:x", "spot:900"):
        with pytest.raises(InvalidOrder, match="algo:NUMBER"):
            algos.algo_id_of(VenueOrderId(wrong))


@pytest.mark.parametrize("source", ["6", "13", "25", "34", "99"])
def test_orders_that_other_kinds_placed_are_orders_of_their_own(source: str) -> None:
    assert algos.parent_of(child_row()) == algos.parent_of(child_row(source="")) == "900"
    assert algos.parent_of(child_row(source=source)) == algos.parent_of(child_row(algoClOrdId="")) == ""


# -- one order --------------------------------------------------------------------------------------------------
def test_a_stop_that_waits_is_found_by_our_id(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(ALGO, answer(stop_row()))
    found = broker.find_order(instrument_id=BTC, client_order_id=OURS)
    assert found is not None and found.client_order_id == OURS and found.status is OrderStatus.WORKING
    assert (found.order_type, found.trigger_price, found.quantity) == (OrderType.STOP_MARKET, 61_000, Decimal("0.02"))
    assert loopback.to(ALGO)[0].query == {"algoClOrdId": "a1b2"}
    assert broker.find_order(instrument_id=BTC, venue_order_id=found.venue_order_id) == found
    assert loopback.to(ALGO)[1].query == {"algoId": "900"}


def triggered(loopback: Loopback, *children: dict[str, Any], **changes: Any) -> None:
    rows = {row["ordId"]: row for row in children}
    numbers = changes.pop("ordIdList", list(rows))
    own = {"state": "effective", "ordIdList": numbers, "ordId": numbers[-1] if numbers else "", "triggerTime": LATELY()}
    loopback.on(ALGO, answer(stop_row(**{**own, **changes})))
    loopback.on(
        ORDER,
        lambda request, sock: (answer(rows[n]) if (n := request.query.get("ordId")) in rows else NOT_THERE)(
            request, sock
        ),
    )


def found(broker: OKXBroker) -> Order:
    order = broker.find_order(instrument_id=BTC, client_order_id=OURS)
    assert order is not None and str(order.venue_order_id) == "algo:900" and order.client_order_id == OURS
    assert (order.quantity, order.order_type) == (Decimal("0.02"), OrderType.STOP_MARKET)
    return order


def test_what_a_stop_became_is_the_same_order(broker: OKXBroker, loopback: Loopback) -> None:
    triggered(loopback, child_row(state="filled", accFillSz="0.02", avgPx="61010.5", fee="-0.00002", uTime=LATELY()))
    order = found(broker)
    assert (order.status, order.filled_quantity, order.average_price) == (
        OrderStatus.FILLED,
        Decimal("0.02"),
        Decimal("61010.5"),
    )
    assert order.fees == {"BTC": Decimal("0.00002")} and order.status_text == "effective filled"


def test_one_that_okx_splits_is_one_order(broker: OKXBroker, loopback: Loopback) -> None:
    first = child_row(ordId="901", state="filled", sz="0.01", accFillSz="0.01", avgPx="61000")
    second = child_row(ordId="902", state="partially_filled", sz="0.01", accFillSz="0.005", avgPx="61030")
    triggered(loopback, first, second)
    order = found(broker)
    assert (order.status, order.filled_quantity, order.average_price) == (
        OrderStatus.PARTIALLY_FILLED,
        Decimal("0.015"),
        61_010,
    )
    triggered(loopback, first, {**second, "state": "canceled", "cancelSource": "14"})
    assert found(broker).status is OrderStatus.EXPIRED and found(broker).reject_code == "14"
    triggered(loopback, first, {**second, "state": "canceled", "cancelSource": "1"})
    assert found(broker).status is OrderStatus.CANCELLED


def test_what_is_not_shown_yet_leaves_the_order_open(broker: OKXBroker, loopback: Loopback) -> None:
    triggered(loopback, ordIdList=["901"])
    assert found(broker).status is OrderStatus.WORKING
    triggered(loopback, ordIdList=[])
    assert found(broker).status is OrderStatus.WORKING
    triggered(loopback, child_row(state="filled", accFillSz="0.01", avgPx="61000"), ordIdList=["901", "902"])
    assert found(broker).status is OrderStatus.PARTIALLY_FILLED


def test_what_is_not_shown_for_two_hours_was_cancelled_unfilled(broker: OKXBroker, loopback: Loopback) -> None:
    triggered(loopback, ordIdList=["901"], triggerTime=LONG_AGO)
    order = found(broker)
    assert (order.status, order.filled_quantity) == (OrderStatus.CANCELLED, 0)
    triggered(loopback, ordIdList=[], triggerTime=LONG_AGO)
    with pytest.raises(AnswerUnreadable, match="names no order"):
        broker.find_order(instrument_id=BTC, client_order_id=OURS)


def test_one_that_failed_to_be_placed_is_rejected(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(ALGO, answer(stop_row(state="order_failed", failCode="51008", triggerTime=LATELY())))
    order = found(broker)
    assert (order.status, order.reject_code) == (OrderStatus.REJECTED, "51008")


def test_absence_is_told_by_the_lists(broker: OKXBroker, loopback: Loopback) -> None:
    """What the page of details answers of an order that is none is not documented: an empty list proves nothing."""
    for details in (NOT_THERE, answer()):
        loopback.on(ALGO, details)
        assert broker.find_order(instrument_id=BTC, client_order_id=OURS) is None
    asked = [request.query for request in loopback.to(HISTORY)]
    assert [query["state"] for query in asked] == ["effective", "canceled", "order_failed"] * 2
    assert {query["instId"] for query in (*asked, *(r.query for r in loopback.to(PENDING)))} == {"BTC-USDT"}
    loopback.on(HISTORY, paged("algoId", lambda: [stop_row(algoId="901", algoClOrdId="x"), stop_row(state="canceled")]))
    order = broker.find_order(instrument_id=BTC, client_order_id=OURS)
    assert order is not None and order.status is OrderStatus.CANCELLED
    loopback.on(HISTORY, answer(code="50026", status=500))
    with pytest.raises(VenueFaulted):
        broker.find_order(instrument_id=BTC, client_order_id=ClientOrderId("other"))


def test_one_of_others_is_looked_for_by_its_number_alone(broker: OKXBroker, loopback: Loopback) -> None:
    row = {**ALGO_BY_VALUE, "state": "canceled"}
    loopback.on(HISTORY, paged("algoId", lambda: [row]))
    order = broker.find_order(instrument_id=BTC, venue_order_id=VenueOrderId("algo:1753184812254216192"))
    assert order is not None and order.status is OrderStatus.CANCELLED
    assert broker.find_order(instrument_id=BTC, venue_order_id=VenueOrderId("algo:5")) is None


@pytest.mark.parametrize("rows", [[stop_row(algoClOrdId="x")], [stop_row(instId="ETH-USDT")], [stop_row(), stop_row()]])
def test_answers_about_other_stops_are_unreadable(
    broker: OKXBroker, loopback: Loopback, rows: list[dict[str, Any]]
) -> None:
    loopback.on(ALGO, answer(*rows))
    with pytest.raises(AnswerUnreadable, match="showed others"):
        broker.find_order(instrument_id=BTC, client_order_id=OURS)


# -- lists ------------------------------------------------------------------------------------------------------
def test_everything_that_waits_is_open_whoever_left_it(broker: OKXBroker, loopback: Loopback) -> None:
    by_type = {"conditional,oco": [stop_row(), ALGO_BY_VALUE], "trigger": [ALGO_TRIGGER]}
    loopback.on(PENDING, lambda request, sock: answer(*by_type.get(request.query["ordType"], []))(request, sock))
    loopback.on(f"{V5}/trade/orders-pending", paged("ordId", lambda: [order_row()]))
    assert [str(order.venue_order_id) for order in broker.open_orders()] == [
        "algo:900",
        "algo:1753184812254216192",
        "algo:551544169240731648",
        "680800019749904001",
    ]
    asked = [request.query["ordType"] for request in loopback.to(PENDING)]
    assert asked == ["conditional,oco", "trigger", "move_order_stop", "chase", "twap", "smart_iceberg"]


def test_a_type_is_listed_under_its_older_name_where_the_newer_one_is_not_known(
    broker: OKXBroker, loopback: Loopback
) -> None:
    iceberg = {**ALGO_BY_VALUE, "ordType": "iceberg", "tpTriggerPx": "", "tpOrdPx": "", "pxLimit": "100"}
    refused = {"smart_iceberg"}

    def send(request: Request, sock: Any) -> bool:
        kind = request.query["ordType"]
        if kind in refused:
            return answer(code="51000", msg="Parameter ordType error", status=400)(request, sock)
        return answer(*([iceberg] if kind == "iceberg" else []))(request, sock)

    loopback.on(PENDING, send)
    loopback.on(f"{V5}/trade/orders-pending", answer())
    (order,) = broker.open_orders()
    assert (order.order_type, order.limit_price) == (OrderType.LIMIT, 100)
    for kind in ("iceberg", "twap"):  # what cannot be listed at all may hold open orders
        refused.add(kind)
        with pytest.raises(OrderInvalid):
            broker.open_orders()
        refused.discard("iceberg")


def test_a_stop_that_triggers_between_two_lists_is_not_lost(broker: OKXBroker, loopback: Loopback) -> None:
    """The stops are read first: what is not among them any more is among the others already."""
    resting = child_row(ordType="limit", px="61000")
    order = list[str]()
    loopback.on(PENDING, lambda request, sock: (order.append("stops"), answer()(request, sock))[1])
    loopback.on(
        f"{V5}/trade/orders-pending", lambda request, sock: (order.append("others"), answer(resting)(request, sock))[1]
    )
    triggered(loopback, resting, slOrdPx="61000")
    (shown,) = broker.open_orders()
    assert str(shown.venue_order_id) == "algo:900" and shown.order_type is OrderType.STOP_LIMIT
    assert order == ["stops"] * 6 + ["others"]


def test_what_another_kind_became_is_open_by_itself(broker: OKXBroker, loopback: Loopback) -> None:
    """Also where OKX does not say which kind it was, and where the parent is not shown."""
    child = child_row(source="", ordType="limit", px="61000")
    loopback.on(f"{V5}/trade/orders-pending", paged("ordId", lambda: [child]))
    loopback.on(ALGO, answer(stop_row(ordType="trigger", state="effective")))
    assert [str(order.venue_order_id) for order in broker.open_orders()] == ["901"]
    loopback.on(ALGO, NOT_THERE)
    assert [str(order.venue_order_id) for order in broker.open_orders()] == ["901"]


def test_history_holds_stops_that_are_over(broker: OKXBroker, loopback: Loopback) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    created = {"cTime": str(epoch_ms(now - timedelta(minutes=10))), "uTime": str(epoch_ms(now))}
    early = {"cTime": str(epoch_ms(now - timedelta(hours=3))), "uTime": str(epoch_ms(now))}
    by_state = {
        "canceled": [
            stop_row(algoId="904", state="canceled", **created),
            {**ALGO_BY_VALUE, "algoId": "903", "state": "canceled", **created},
            stop_row(algoId="902", state="canceled", **early),
        ],
        "effective": [stop_row(state="effective", ordIdList=["901"], triggerTime=created["uTime"], **created)],
    }
    loopback.on(HISTORY, lambda request, sock: answer(*by_state.get(request.query["state"], []))(request, sock))
    child = child_row(state="filled", accFillSz="0.02", avgPx="61000", **created)
    loopback.on(ORDER, answer(child))
    loopback.on(ALGO, answer(by_state["effective"][0]))
    loopback.on(f"{V5}/trade/orders-history", paged("ordId", lambda: [child, order_row(state="canceled", **created)]))
    found = broker.order_history(since=now - timedelta(hours=1), until=now)
    assert [(str(order.venue_order_id), order.status) for order in found] == [
        ("680800019749904001", OrderStatus.CANCELLED),
        ("algo:900", OrderStatus.FILLED),
        ("algo:904", OrderStatus.CANCELLED),
    ]


# -- fills ------------------------------------------------------------------------------------------------------
def fill_row(number: int, **changes: Any) -> dict[str, Any]:
    own = {"instId": "BTC-USDT", "billId": str(number), "tradeId": str(number), "fillTime": LATELY(), "ts": LATELY()}
    return {**FILL_ROW, **own, **changes}


def read_fills(broker: OKXBroker) -> list[tuple[str, str]]:
    now = datetime.now(UTC)
    found = broker.fills(since=now - timedelta(minutes=5), until=now + timedelta(minutes=1), instrument_id=BTC)
    return sorted((str(fill.venue_order_id), str(fill.client_order_id or "")) for fill in found)


def test_fills_of_what_a_stop_became_are_fills_of_the_stop(broker: OKXBroker, loopback: Loopback) -> None:
    """A fill names neither the stop nor its id: whose order it is of is asked for once."""
    rows = [fill_row(3, ordId="901", clOrdId="O901"), fill_row(2, ordId="5", clOrdId="c5"), fill_row(1, ordId="6")]
    orders = {"901": child_row(state="filled"), "5": order_row(ordId="5"), "6": order_row(ordId="6")}
    loopback.on(f"{V5}/trade/fills", paged("billId", lambda: rows))
    loopback.on(ORDER, lambda request, sock: answer(orders[request.query["ordId"]])(request, sock))
    expected = [("5", "c5"), ("6", FILL_ROW["clOrdId"]), ("algo:900", "a1b2")]
    assert read_fills(broker) == expected and len(loopback.to(ORDER)) == 3
    assert read_fills(broker) == expected and len(loopback.to(ORDER)) == 3


def test_whose_many_fills_are_is_told_by_the_list_of_orders(broker: OKXBroker, loopback: Loopback) -> None:
    rows = [fill_row(n, ordId=str(n), clOrdId=f"c{n}") for n in range(30, 0, -1)]
    orders = [child_row(ordId="30", state="filled"), *(order_row(ordId=str(n)) for n in range(29, 0, -1))]
    loopback.on(f"{V5}/trade/fills", paged("billId", lambda: rows))
    loopback.on(f"{V5}/trade/orders-history", paged("ordId", lambda: orders))
    assert read_fills(broker)[-1] == ("algo:900", "a1b2") and loopback.to(ORDER) == []


def test_an_order_that_nothing_shows_keeps_its_fills(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(f"{V5}/trade/fills", paged("billId", lambda: [fill_row(1, ordId="7", clOrdId="c7")]))
    assert read_fills(broker) == [("7", "c7")]


def test_a_failed_look_up_of_the_order_is_a_failed_read(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(f"{V5}/trade/fills", paged("billId", lambda: [fill_row(1, ordId="7")]))
    loopback.on(ORDER, answer(code="50026", status=500))
    with pytest.raises(VenueFaulted):
        read_fills(broker)


# -- sending ----------------------------------------------------------------------------------------------------
def stop(**changes: Any) -> OrderRequest:
    values: dict[str, Any] = {
        "instrument_id": BTC,
        "side": BUY,
        "order_type": OrderType.STOP_MARKET,
        "quantity": Decimal("0.02"),
        "trigger_price": Decimal(61_000),
    }
    return OrderRequest(**{**values, **changes})


def test_a_stop_is_dated_so_that_it_is_refused_after_its_deadline(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(f"{V5}/public/time", server_time)
    loopback.on(ALGO, by_method(POST=answer({**ALGO_ACK, "algoClOrdId": "a1b2"}), GET=NOT_THERE))
    leaving = ticket()
    prepared = broker.prepare_order(stop(), OURS)
    ack = broker.place(prepared, leaving)
    assert (str(ack.venue_order_id), ack.is_final) == ("algo:1836487817828872192", False)
    (sent,) = loopback.to(ALGO)
    assert sent.body.decode() == prepared.payload and "exptime" not in sent.headers
    dated = datetime.fromisoformat(sent.headers["ok-access-timestamp"])
    assert abs(dated + TIME_WINDOW - leaving.not_after) < timedelta(milliseconds=2)


def test_an_acknowledgement_of_another_stop_proves_nothing(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(ALGO, answer(ALGO_ACK))
    with pytest.raises(AnswerUnreadable, match="algoClOrdId"):
        broker.place(broker.prepare_order(stop(), OURS), ticket())


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("51278", OrderInvalid),
        ("51261", OrderInvalid),
        ("51065", DuplicateClientOrderId),
        ("51068", DuplicateClientOrderId),
        ("51149", VenueFaulted),
        ("77777", AnswerUnreadable),
    ],
)
def test_the_code_of_the_row_decides(broker: OKXBroker, loopback: Loopback, code: str, error: type[Exception]) -> None:
    row = {**ALGO_ACK, "algoId": "", "algoClOrdId": "a1b2", "sCode": code, "sMsg": "words"}
    loopback.on(ALGO, answer(row, code="1"))
    with pytest.raises(error, match="words"):
        broker.place(broker.prepare_order(stop(), OURS), ticket())


# -- cancelling -------------------------------------------------------------------------------------------------
def gone(code: str, **ids: str) -> Any:
    return answer({"sCode": code, "sMsg": "words", **ids}, code="1" if code != "0" else "0")


def test_a_stop_is_cancelled_by_its_number(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(CANCEL_ALGOS, gone("0"))
    broker.cancel(instrument_id=BTC, client_order_id=OURS, venue_order_id=VenueOrderId("algo:900"))
    assert loopback.to(CANCEL_ALGOS)[0].json == [{"algoId": "900", "instId": "BTC-USDT"}] and not loopback.to(CANCEL)


def test_with_our_id_alone_both_books_are_asked(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(CANCEL, gone("51400"))
    loopback.on(CANCEL_ALGOS, gone("0"))
    broker.cancel(instrument_id=BTC, client_order_id=OURS)
    assert loopback.to(CANCEL_ALGOS)[0].json == [{"algoClOrdId": "a1b2", "instId": "BTC-USDT"}]
    with pytest.raises(OrderNotFound):
        broker.cancel(instrument_id=BTC, client_order_id=OURS, venue_order_id=VenueOrderId("5"))
    assert len(loopback.to(CANCEL_ALGOS)) == 1, "an order with a number of the other book is no stop"


@pytest.mark.parametrize("code", ["51400", "51416", "51412"])
def test_what_a_stop_became_is_cancelled_instead(broker: OKXBroker, loopback: Loopback, code: str) -> None:
    loopback.on(CANCEL_ALGOS, gone(code))
    loopback.on(CANCEL, gone("0"))
    triggered(loopback, child_row(ordType="limit", px="61000"), slOrdPx="61000")
    broker.cancel(instrument_id=BTC, venue_order_id=VenueOrderId("algo:900"))
    assert loopback.to(CANCEL)[0].json == {"instId": "BTC-USDT", "ordId": "901"}
    triggered(loopback, child_row(state="filled", accFillSz="0.02", avgPx="1"))
    with pytest.raises((OrderNotFound, OrderAlreadyDone, VenueFaulted), match="words"):
        broker.cancel(instrument_id=BTC, venue_order_id=VenueOrderId("algo:900"))
    assert len(loopback.to(CANCEL)) == 1


# -- on the simulated venue -------------------------------------------------------------------------------------
@pytest.fixture(params=[True, False], ids=["child ids", "no child ids"])
def sim(request: pytest.FixtureRequest) -> Iterator[Running[OKXControl]]:
    with running_okx(small_okx_config(child_ids=request.param)) as running:
        yield running


@pytest.fixture
def venue(sim: Running[OKXControl]) -> Iterator[OKXBroker]:
    with opened(sim) as broker:
        broker.connect()
        yield broker


def placed(broker: OKXBroker, link: str, **changes: Any) -> ClientOrderId:
    ours = ClientOrderId(link)
    terms = {"instrument_id": SWAP, "quantity": Decimal(2), **changes}
    broker.place(broker.prepare_order(stop(**terms), ours), leave())
    return ours


def by_hand(sim: Running[OKXControl], **body: str) -> None:
    """A conditional order without an id of a client's, as one on the venue's site has none."""
    (row,) = Wire(sim.url).send("POST", "/trade/order-algo", body=json.dumps(body)).json()["data"]
    assert row["sCode"] == "0"


def look(broker: OKXBroker, ours: ClientOrderId, name: InstrumentId = SWAP) -> Order:
    order = broker.find_order(instrument_id=name, client_order_id=ours)
    assert order is not None and order.client_order_id == ours and algos.is_algo(order.venue_order_id)
    return order


@pytest.mark.parametrize("name", [SWAP, BTC])
def test_one_order_through_the_trigger(venue: OKXBroker, sim: Running[OKXControl], name: InstrumentId) -> None:
    ours = placed(venue, "s1", instrument_id=name, quantity=Decimal("0.5"))
    waiting = look(venue, ours, name)
    assert waiting.status is OrderStatus.WORKING and venue.open_orders() == (waiting,)
    sim.control.set_price("BTC-USDT", "61500")
    with opened(sim) as other:  # one that has seen nothing of it
        done = look(other, ours, name)
        assert (done.status, done.venue_order_id, done.filled_quantity) == (
            OrderStatus.FILLED,
            waiting.venue_order_id,
            Decimal("0.5"),
        )
        assert other.open_orders() == () and other.order_history(**window()) == (done,)
        (fill,) = other.fills(**window())
        assert (fill.venue_order_id, fill.client_order_id, fill.quantity) == (done.venue_order_id, ours, Decimal("0.5"))
        assert done.average_price == fill.price > 61_500
    assert len(sim.control.executions(account="main")) == 1


def test_a_stop_limit_rests_after_its_trigger_and_is_cancelled_there(
    venue: OKXBroker, sim: Running[OKXControl]
) -> None:
    sim.control.set_liquidity("BTC-USDT-SWAP", level_notional="600", levels=1, gap_bps="10")
    terms = {"order_type": OrderType.STOP_LIMIT, "limit_price": Decimal("61006.2"), "quantity": Decimal(3)}
    ours = placed(venue, "s2", **terms)
    sim.control.set_price("BTC-USDT-SWAP", "61000")
    order = look(venue, ours)
    assert order.status.is_open and (order.trigger_price, order.limit_price) == (61_000, Decimal("61006.2"))
    assert venue.open_orders() == (order,)
    venue.cancel(instrument_id=SWAP, client_order_id=ours, venue_order_id=order.venue_order_id)
    over = look(venue, ours)
    assert over.status is OrderStatus.CANCELLED and venue.open_orders() == ()
    fills = venue.fills(**window())
    assert sum(fill.quantity for fill in fills) == over.filled_quantity < 3
    assert {fill.venue_order_id for fill in fills} <= {over.venue_order_id}


def test_a_stop_that_waits_is_cancelled(venue: OKXBroker) -> None:
    ours = placed(venue, "s3")
    venue.cancel(instrument_id=SWAP, client_order_id=ours)
    order = look(venue, ours)
    assert (order.status, order.filled_quantity) == (OrderStatus.CANCELLED, 0) and venue.open_orders() == ()
    assert venue.order_history(**window()) == (order,)
    with pytest.raises(OrderNotFound):
        venue.cancel(instrument_id=SWAP, client_order_id=ours)


def test_a_stop_that_cannot_be_paid_for_when_it_triggers(venue: OKXBroker, sim: Running[OKXControl]) -> None:
    ours = placed(venue, "s4", instrument_id=BTC, quantity=Decimal(1), side=SELL, trigger_price=Decimal(59_000))
    sim.control.set_price("BTC-USDT", "58900")
    order = look(venue, ours, BTC)
    assert (order.status, order.reject_code) == (OrderStatus.REJECTED, "51008")


def test_a_stop_on_the_wrong_side_of_the_price_is_refused(venue: OKXBroker, sim: Running[OKXControl]) -> None:
    for link, side, price, code in (("a", BUY, 59_000, "51278"), ("b", SELL, 61_000, "51280")):
        with pytest.raises(OrderInvalid) as caught:
            placed(venue, link, side=side, trigger_price=Decimal(price))
        assert caught.value.code == code
        assert venue.find_order(instrument_id=SWAP, client_order_id=ClientOrderId(link)) is None
    assert sim.control.orders(account="main") == []


def test_an_id_that_waits_is_refused_again(venue: OKXBroker, sim: Running[OKXControl]) -> None:
    placed(venue, "s5")
    with pytest.raises(DuplicateClientOrderId):
        placed(venue, "s5")
    assert len(sim.control.orders(account="main")) == 1


def test_a_stop_that_arrives_after_its_deadline_is_refused(venue: OKXBroker, sim: Running[OKXControl]) -> None:
    prepared = venue.prepare_order(stop(instrument_id=SWAP, quantity=Decimal(1)), ClientOrderId("late"))
    venue.clock_reading()
    sim.control.set_skew(skew_ms=5_500)  # as long it was on its way
    with pytest.raises(ClockSkewed) as caught:
        venue.place(prepared, leave())
    assert caught.value.code == "50102" and sim.control.orders(account="main") == []


def test_stops_of_a_person_are_open_orders_and_can_be_cancelled(venue: OKXBroker, sim: Running[OKXControl]) -> None:
    """Without an id of a client, of a kind that this adapter does not place: on the site, or by another program."""
    body = {"instId": "BTC-USDT-SWAP", "tdMode": "cross", "side": "sell", "sz": "1"}
    kinds = (
        {"ordType": "trigger", "triggerPx": "58500", "orderPx": "58000"},
        {"ordType": "conditional", "tpTriggerPx": "62000", "tpOrdPx": "-1"},
    )
    for own in kinds:
        by_hand(sim, **body, **own)
    found = venue.open_orders()
    assert {(order.order_type, order.trigger_price) for order in found} == {
        (OrderType.STOP_LIMIT, 58_500),
        (OrderType.STOP_MARKET, 62_000),
    }
    for order in found:
        assert order.client_order_id is None
        where: dict[str, Any] = {"instrument_id": order.instrument_id, "venue_order_id": order.venue_order_id}
        assert venue.find_order(**where) == order
        venue.cancel(**where)
        over = venue.find_order(**where)
        assert over is not None and over.status is OrderStatus.CANCELLED
    assert venue.open_orders() == ()


def test_what_a_stop_of_a_person_became_speaks_for_itself(venue: OKXBroker, sim: Running[OKXControl]) -> None:
    terms = {"instId": "BTC-USDT-SWAP", "tdMode": "cross", "side": "buy", "sz": "1", "ordType": "conditional"}
    by_hand(sim, **terms, slTriggerPx="61000", slOrdPx="-1")
    (waiting,) = venue.open_orders()
    sim.control.set_price("BTC-USDT-SWAP", "61500")
    over = venue.find_order(instrument_id=SWAP, venue_order_id=waiting.venue_order_id)
    assert over is not None and (over.status, over.filled_quantity) == (OrderStatus.EXPIRED, 0)
    (done,) = venue.order_history(**window())
    (fill,) = venue.fills(**window())
    assert done.status is OrderStatus.FILLED and not algos.is_algo(done.venue_order_id)
    assert fill.venue_order_id == done.venue_order_id


def test_no_stop_leaves_without_a_ticket(venue: OKXBroker, sim: Running[OKXControl]) -> None:
    with pytest.raises(TicketMissing):
        venue._client.write("trade/order-algo", {"instId": "BTC-USDT-SWAP"})
    assert sim.control.requests(path=ALGO, method="POST") == []
