"""One order request reaches Binance and no other host is contacted, whatever the venue and the SDK do."""

from __future__ import annotations

import hashlib
import hmac
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.binance.adapter import BinanceBroker
from brokers.binance.client import (
    FUTURES_ORDER,
    SPOT_ORDER,
    WALLET_READS,
    Client,
    classify,
    classify_with_wallet,
    committed_part,
)
from brokers.clock import SystemClock
from brokers.errors import (
    AnswerTimedOut,
    AnswerUnreadable,
    BrokerError,
    ClockSkewed,
    ConnectionLost,
    DeadlinePassed,
    DuplicateClientOrderId,
    InvalidOrder,
    NotSent,
    OrderInvalid,
    OutcomeUnknown,
    PermissionRefused,
    RateLimited,
    RedirectRefused,
    TicketMissing,
    VenueFaulted,
)
from brokers.guard import Origin, SendGuard, Verb
from brokers.ids import ClientOrderId, InstrumentId
from brokers.transport import GuardedAdapter
from brokers.types import OrderRequest, OrderSide, OrderType, PreparedOrder
from brokers.wire import WirePhase
from tests.brokers.binance.conftest import LINEAR, SPOT, refuses, says
from tests.brokers.binance.recorded import FUTURES_PLACED, SPOT_PLACED
from tests.brokers.loopback import API_KEY, API_SECRET, PATIENCE_S, Loopback, Request, drop, eventually, reply, ticket
from tests.brokers.misbehaving import (
    SHORT_S,
    endless,
    half_body,
    hang,
    patient_ticket,
    reset,
    trickle_body,
    trickle_head,
)
from tests.egress import hostile_environment

OURS = "at-0001"
PATHS = {SPOT: SPOT_ORDER, LINEAR: FUTURES_ORDER}
ACKS = {
    SPOT: {**SPOT_PLACED, "symbol": "BTCUSDT", "clientOrderId": OURS},
    LINEAR: {**FUTURES_PLACED, "clientOrderId": OURS},
}


def moved(status: int) -> Any:
    def send(request: Request, sock: Any) -> bool:
        return reply(status, "moved", Location=f"{moved.target}{request.path}")(request, sock)

    return send


moved.target = ""  # type: ignore[attr-defined]

MATRIX = [
    pytest.param(refuses(-1021, "Timestamp for this request is outside of the recvWindow."), ClockSkewed, id="-1021"),
    pytest.param(refuses(-1003, "Too many requests.", 429), RateLimited, id="429 with -1003"),
    pytest.param(refuses(-2010, "Duplicate order sent."), DuplicateClientOrderId, id="-2010 duplicate"),
    pytest.param(refuses(-5022, "Post Only order will be rejected."), OrderInvalid, id="-5022"),
    pytest.param(refuses(-9999, "new"), AnswerUnreadable, id="unknown code"),
    pytest.param(says({"code": -1007, "msg": "Timeout"}), VenueFaulted, id="200 with -1007"),
    pytest.param(refuses(-1007, "Timeout", 408), VenueFaulted, id="408 with -1007"),
    pytest.param(refuses(-2010, "Account has insufficient balance", 503), VenueFaulted, id="503 with a refusal"),
    pytest.param(reply(418, ""), RateLimited, id="418"),
    pytest.param(reply(403, "<html>"), PermissionRefused, id="403 of the firewall"),
    pytest.param(reply(500, "oops"), VenueFaulted, id="500"),
    pytest.param(reply(503, ""), VenueFaulted, id="503"),
    pytest.param(reply(201, "{}"), AnswerUnreadable, id="201"),
    *(pytest.param(moved(status), RedirectRefused, id=str(status)) for status in (301, 302, 303, 307, 308)),
    pytest.param(drop, ConnectionLost, id="drop"),
    pytest.param(reset, ConnectionLost, id="reset"),
    pytest.param(hang, AnswerTimedOut, id="hang"),
    pytest.param(trickle_head, AnswerTimedOut, id="trickle in the head"),
    pytest.param(trickle_body, AnswerTimedOut, id="trickle in the body"),
    pytest.param(half_body, ConnectionLost, id="half a body"),
    pytest.param(reply(200, "{not json"), AnswerUnreadable, id="bad json"),
    pytest.param(reply(200, "[]"), AnswerUnreadable, id="a list"),
    pytest.param(reply(200, "[1]"), AnswerUnreadable, id="not an object"),
    pytest.param(reply(400, "[]"), VenueFaulted, id="400 that is no object"),
    pytest.param(reply(200, "<html>maintenance</html>"), AnswerUnreadable, id="html 200"),
    pytest.param(reply(200, ""), AnswerUnreadable, id="empty 200"),
    pytest.param(says({**ACKS[SPOT], "clientOrderId": "x"}), AnswerUnreadable, id="another order's answer"),
    pytest.param(says({**ACKS[SPOT], "orderId": None}), AnswerUnreadable, id="answer without order id"),
]


@pytest.fixture
def hostile(decoy: Loopback, tmp_path: Path) -> Any:
    moved.target = decoy.url  # type: ignore[attr-defined]
    with hostile_environment(decoy.url, tmp_path):
        yield decoy


def prepared(broker: BinanceBroker, instrument_id: InstrumentId = SPOT) -> PreparedOrder:
    request = OrderRequest(
        instrument_id=instrument_id,
        side=OrderSide.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal("0.010"),
        limit_price=Decimal("50000.0"),
    )
    return broker.prepare_order(request, ClientOrderId(OURS))


@pytest.mark.parametrize(("answer", "expected"), MATRIX)
def test_one_order_request_reaches_the_venue(
    broker: BinanceBroker, venue: Loopback, hostile: Loopback, answer: Any, expected: type[BrokerError]
) -> None:
    venue.on(SPOT_ORDER, answer)
    order, leave = prepared(broker), patient_ticket(expected)
    broker.clock_reading()
    with pytest.raises(BrokerError) as caught:
        broker.place(order, leave)
    assert type(caught.value) is expected
    assert expected is not AnswerTimedOut or f"{SHORT_S} s" in str(caught.value)
    (sent,) = eventually(lambda: venue.to(SPOT_ORDER))
    assert hostile.requests == [] and hostile.connections == 0 and "authorization" not in sent.headers
    record = leave.record
    assert (record.sends, record.method, record.url) == (1, "POST", f"{venue.url}{SPOT_ORDER}")
    assert committed_part(sent.body) == order.payload.encode()
    assert record.request_sha256 == order.sha256 == hashlib.sha256(committed_part(sent.body)).hexdigest()
    signature = sent.body.rpartition(b"=")[2]
    assert record.request_body == order.payload.encode()
    kept = repr(record)
    assert API_KEY not in kept and API_SECRET not in kept and signature.decode() not in kept
    assert broker.order_requests_sent == 1


def test_an_answer_without_an_end_is_cut_off(broker: BinanceBroker, venue: Loopback) -> None:
    venue.on(FUTURES_ORDER, endless)
    broker._guard.answer_bytes_max = 1_000_000
    leave = ticket(timeout_s=PATIENCE_S)
    with pytest.raises(AnswerUnreadable, match="at most 1000000 bytes"):
        broker.place(prepared(broker, LINEAR), leave)
    assert len(venue.to(FUTURES_ORDER)) == 1


@pytest.mark.parametrize("instrument_id", [SPOT, LINEAR])
def test_an_order_is_the_committed_form_then_time_then_signature(
    broker: BinanceBroker, venue: Loopback, instrument_id: InstrumentId
) -> None:
    venue.on(PATHS[instrument_id], says(ACKS[instrument_id]))
    order, leave = prepared(broker, instrument_id), ticket()
    ack = broker.place(order, leave)
    (sent,) = venue.to(PATHS[instrument_id])
    text, _, signature = sent.body.decode().rpartition("&signature=")
    assert hmac.new(API_SECRET.encode(), text.encode(), hashlib.sha256).hexdigest() == signature
    assert text.startswith(f"{order.payload}&recvWindow=") and sent.target == PATHS[instrument_id]
    assert (ack.client_order_id.value, ack.is_final) == (OURS, True)
    assert leave.record.phase is WirePhase.ANSWERED and leave.record.status == 200


def test_the_venue_enforces_not_after(broker: BinanceBroker, venue: Loopback) -> None:
    """recvWindow is what is left until `not_after`, never the SDK's own ten seconds."""
    venue.on(SPOT_ORDER, says(ACKS[SPOT]))
    order = prepared(broker)
    broker.clock_reading()
    broker._client.offset = timedelta(0)  # one machine has one clock, however long the reading took
    for valid_s, most in ((2.0, 2_000), (60.0, 5_000)):
        leave = ticket(valid_s=valid_s)
        broker.place(order, leave)
        pairs = dict(pair.split("=") for pair in venue.to(SPOT_ORDER)[-1].body.decode().split("&"))
        assert 1 <= int(pairs["recvWindow"]) <= most
        if valid_s == 2.0:
            deadline_ms = leave.not_after.timestamp() * 1000
            assert 0 <= deadline_ms - int(pairs["timestamp"]) - int(pairs["recvWindow"]) < 1
    with pytest.raises(DeadlinePassed, match="not_after"):
        broker.place(order, ticket(valid_s=-1.0))
    assert len(venue.to(SPOT_ORDER)) == 2


def test_the_clock_is_measured_before_the_first_order(broker: BinanceBroker, venue: Loopback) -> None:
    before = time.time_ns() // 1_000_000
    venue.on("/api/v3/time", says({"serverTime": before + 60_000}))
    venue.on(SPOT_ORDER, says(ACKS[SPOT]))
    broker.place(prepared(broker), ticket(valid_s=90.0))
    after = time.time_ns() // 1_000_000
    (sent,) = venue.to(SPOT_ORDER)
    stamp = int(dict(pair.split("=") for pair in sent.body.decode().split("&"))["timestamp"])
    assert before + 60_000 - 1 <= stamp <= after + 60_000 + 1


@pytest.mark.parametrize("answer", [reply(503, "busy"), drop, reply(200, "<html>"), refuses(-1003, "slow down", 429)])
def test_a_clock_that_cannot_be_read_sends_nothing_and_says_so(
    broker: BinanceBroker, venue: Loopback, answer: Any
) -> None:
    order = prepared(broker)
    venue.on("/api/v3/time", answer)
    leave = ticket()
    with pytest.raises(NotSent, match="nothing was sent: the venue's clock"):
        broker.place(order, leave)
    assert leave.record.sends == 0 and venue.to(SPOT_ORDER) == []


def test_nothing_is_asked_between_the_commit_and_the_order(broker: BinanceBroker, venue: Loopback) -> None:
    order = prepared(broker)
    venue.on(SPOT_ORDER, says(ACKS[SPOT]))
    broker.clock_reading()
    broker._book._read_at.clear()  # what is known of instruments has grown old
    before = len(venue.requests)
    broker.place(order, ticket())
    assert len(venue.requests) == before + 1


def test_a_payload_that_was_changed_is_not_sent(broker: BinanceBroker, venue: Loopback) -> None:
    order = prepared(broker)
    changed = (
        order.payload.replace("quantity=0.01", "quantity=9"),
        order.payload.replace(OURS, "another"),
        f"{order.payload}&quantity=9",
        f"{order.payload}&icebergQty=",
        "symbol=BTCUSDT&newClientOrderId=at-0001",
        "",
    )
    for payload in changed:
        leave = ticket()
        with pytest.raises(InvalidOrder):
            broker.place(PreparedOrder(order.client_order_id, order.request, payload, order.sha256), leave)
        assert leave.record.sends == 0
    assert venue.to(SPOT_ORDER) == []


def test_an_order_without_a_ticket_never_leaves(broker: BinanceBroker, venue: Loopback) -> None:
    for send in (broker._client.create_order, broker._client.futures_create_order):
        with pytest.raises(TicketMissing):
            send(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="1")
    assert all(request.method == "GET" for request in venue.requests)


@pytest.mark.parametrize("value", [0.1, Decimal("1E-7"), ["a"], {"a": "b"}, b"x"])
def test_only_text_whole_numbers_and_booleans_are_written(broker: BinanceBroker, value: Any) -> None:
    with pytest.raises(InvalidOrder, match="parameter quantity must be text"):
        broker._client.create_order(symbol="BTCUSDT", quantity=value)


# -- the SDK as it comes ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("answer", [drop, reset, reply(503, ""), moved(302), reply(429, ""), reply(200, "[]")])
def test_an_unmodified_sdk_behind_the_guard_sends_once_and_nowhere_else(
    loopback: Loopback, hostile: Loopback, own_loop: None, answer: Any
) -> None:
    sdk = Client(API_KEY, API_SECRET, ping=False)
    sdk.API_URL, sdk.FUTURES_URL = f"{loopback.url}/api", f"{loopback.url}/fapi"
    guard = SendGuard(
        origins=frozenset({Origin.of(loopback.url)}), classify=classify, clock=SystemClock(), timeout_s=PATIENCE_S
    )
    GuardedAdapter(guard).mount(sdk.session)
    loopback.on(FUTURES_ORDER, answer)
    leave = ticket(timeout_s=PATIENCE_S)
    try:
        with guard.sending(leave, sha256=""):
            sdk.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="1")
    except OutcomeUnknown:
        pass  # whatever the SDK made of it, after a first byte nothing may claim that nothing was sent
    assert len(loopback.to(FUTURES_ORDER)) == 1 and leave.record.sends == 1 and hostile.connections == 0


@pytest.mark.parametrize(
    ("method", "path", "verb"),
    [
        ("GET", "/api/v3/account", Verb.READ),
        ("GET", "/fapi/v3/positionRisk", Verb.READ),
        ("GET", "/fapi/v1/positionSide/dual", Verb.READ),
        ("POST", SPOT_ORDER, Verb.ORDER),
        ("POST", FUTURES_ORDER, Verb.ORDER),
        ("DELETE", SPOT_ORDER, Verb.WRITE),
        ("POST", "/fapi/v1/leverage", Verb.WRITE),
        ("POST", "/fapi/v1/algoOrder", Verb.ORDER),
        ("DELETE", "/fapi/v1/algoOrder", Verb.WRITE),
        ("DELETE", "/fapi/v1/algoOpenOrders", Verb.FORBIDDEN),
        ("POST", "/fapi/v1/batchOrders", Verb.FORBIDDEN),
        ("POST", "/api/v3/order/cancelReplace", Verb.FORBIDDEN),
        ("PUT", FUTURES_ORDER, Verb.FORBIDDEN),
        ("DELETE", "/fapi/v1/allOpenOrders", Verb.FORBIDDEN),
        ("GET", "/sapi/v1/account/apiRestrictions", Verb.FORBIDDEN),
        ("POST", "/sapi/v1/capital/withdraw/apply", Verb.FORBIDDEN),
        ("GET", "/api/v3/../../sapi/v1/system/status", Verb.FORBIDDEN),
        ("GET", "/api/v3/%2e%2e/sapi", Verb.FORBIDDEN),
        ("GET", "/api/v3//account", Verb.FORBIDDEN),
        ("GET", "/dapi/v1/account", Verb.FORBIDDEN),
        ("GET", "/", Verb.FORBIDDEN),
    ],
)
def test_what_may_be_asked(method: str, path: str, verb: Verb) -> None:
    assert classify(method, path) is verb


def test_of_the_wallet_reads_by_name_alone_are_let_through_and_nothing_that_moves_money() -> None:
    for path in WALLET_READS:
        assert classify_with_wallet("GET", path) is Verb.READ and classify("GET", path) is Verb.FORBIDDEN
        for method in ("POST", "PUT", "DELETE"):
            assert classify_with_wallet(method, path) is Verb.FORBIDDEN
        for other in (f"{path}/", f"{path}/x", path.upper(), f"/api{path}"):
            assert classify_with_wallet("GET", other) is not Verb.READ
    for path in ("/sapi/v1/capital/withdraw/apply", "/sapi/v1/asset/transfer", "/sapi/v1/system/status"):
        assert classify_with_wallet("POST", path) is Verb.FORBIDDEN
    assert classify_with_wallet("GET", "/sapi/v1/capital/config/getall") is Verb.FORBIDDEN
    assert classify_with_wallet("POST", SPOT_ORDER) is Verb.ORDER
