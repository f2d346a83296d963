"""One order request reaches the venue and no other host is contacted, whatever the venue and the SDK do."""

from __future__ import annotations

import hashlib
import json
import socket
import time
from decimal import Decimal
from pathlib import Path

import pytest
from pybit.unified_trading import HTTP

from brokers.bybit.adapter import BybitBroker
from brokers.bybit.client import classify
from brokers.clock import SystemClock
from brokers.errors import (
    AnswerTimedOut,
    AnswerUnreadable,
    AuthenticationRefused,
    BrokerError,
    ClockSkewed,
    ConnectionLost,
    OutcomeUnknown,
    RateLimited,
    RedirectRefused,
    SecondSendRefused,
    VenueFaulted,
)
from brokers.guard import Origin, SendGuard
from brokers.ids import ClientOrderId, InstrumentId
from brokers.transport import GuardedAdapter
from brokers.types import OrderRequest, OrderSide, OrderType, PreparedOrder
from brokers.wire import WirePhase
from tests.brokers.loopback import API_KEY, API_SECRET, Loopback, Request, drop, eventually, ok, refuse, reply, ticket
from tests.brokers.misbehaving import (
    SHORT_S,
    endless,
    half_body,
    hang,
    patience_s,
    patient_ticket,
    redirect,
    reset,
    trickle_body,
    trickle_head,
)

CREATE = "/v5/order/create"
LINK = "at-0001"
MATRIX = [
    pytest.param(refuse(10002, "timestamp"), ClockSkewed, id="200 with 10002"),
    pytest.param(refuse(10006, "too many", X_Bapi_Limit_Reset_Timestamp="1"), RateLimited, id="200 with 10006"),
    pytest.param(refuse(130150, "busy"), VenueFaulted, id="200 with 130150"),
    pytest.param(refuse(10000, "Server Timeout"), VenueFaulted, id="200 with 10000"),
    pytest.param(refuse(999999, "new"), AnswerUnreadable, id="200 with unknown code"),
    pytest.param(reply(429, "slow down"), VenueFaulted, id="429"),
    pytest.param(reply(500, "oops"), VenueFaulted, id="500"),
    pytest.param(reply(503, ""), VenueFaulted, id="503"),
    pytest.param(reply(418, ""), VenueFaulted, id="418"),
    pytest.param(reply(201, "{}"), AnswerUnreadable, id="201"),
    *(pytest.param(redirect(status), RedirectRefused, id=str(status)) for status in (301, 302, 303, 307, 308)),
    pytest.param(drop, ConnectionLost, id="drop"),
    pytest.param(reset, ConnectionLost, id="reset"),
    pytest.param(hang, AnswerTimedOut, id="hang"),
    pytest.param(trickle_head, AnswerTimedOut, id="trickle in the head"),
    pytest.param(trickle_body, AnswerTimedOut, id="trickle in the body"),
    pytest.param(half_body, ConnectionLost, id="half a body"),
    pytest.param(endless, AnswerUnreadable, id="endless body"),
    pytest.param(reply(200, "{not json"), AnswerUnreadable, id="bad json"),
    pytest.param(reply(200, "<html>maintenance</html>"), AnswerUnreadable, id="html 200"),
    pytest.param(reply(200, ""), AnswerUnreadable, id="empty 200"),
    pytest.param(reply(200, '{"retCode":0,"retMsg":"OK","result":null,"time":1}'), AnswerUnreadable, id="no result"),
    pytest.param(reply(200, '{"retCode":0,"retCode":1}'), AnswerUnreadable, id="key twice"),
    pytest.param(ok({"orderId": "1", "orderLinkId": "another"}), AnswerUnreadable, id="another order's ack"),
    pytest.param(ok({"orderId": "", "orderLinkId": LINK}), AnswerUnreadable, id="ack without order id"),
]


@pytest.fixture
def hostile_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, decoy: Loopback) -> Loopback:
    """Proxies and a netrc that would divert or re-sign the request, all pointing at the decoy."""
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, decoy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1\nlogin intruder\npassword secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    redirect.target = decoy.url
    return decoy


def prepared(broker: BybitBroker) -> PreparedOrder:
    request = OrderRequest(
        instrument_id=InstrumentId("BTC/USDT:USDT"),
        side=OrderSide.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal("0.010"),
        limit_price=Decimal("50000.0"),
    )
    return broker.prepare_order(request, ClientOrderId(LINK))


@pytest.mark.parametrize(("answer", "expected"), MATRIX)
def test_one_order_request_reaches_the_venue(
    broker: BybitBroker, loopback: Loopback, hostile_environment: Loopback, answer, expected: type[BrokerError]
) -> None:
    loopback.on(CREATE, answer)
    order, leave = prepared(broker), patient_ticket(expected)
    broker.clock_reading()
    with pytest.raises(BrokerError) as caught:
        broker.place(order, leave)
    assert type(caught.value) is expected
    assert expected is not AnswerTimedOut or f"{SHORT_S} s" in str(caught.value)
    assert len(eventually(loopback.orders)) == 1
    assert hostile_environment.requests == [] and hostile_environment.connections == 0
    sent = loopback.orders()[0]
    assert "authorization" not in sent.headers
    record = leave.record
    assert (record.sends, record.method, record.url) == (1, "POST", f"{loopback.url}{CREATE}")
    assert record.request_body == sent.body == order.payload.encode()
    assert record.request_sha256 == hashlib.sha256(sent.body).hexdigest() == order.sha256
    assert record.started_at is not None and record.ended_at is not None
    kept = repr(record)
    assert API_KEY not in kept and API_SECRET not in kept and sent.headers["x-bapi-sign"] not in kept


@pytest.mark.parametrize(("answer", "expected"), MATRIX)
def test_an_unmodified_sdk_with_its_own_retries_cannot_send_twice(
    loopback: Loopback, hostile_environment: Loopback, answer, expected: type[BrokerError]
) -> None:
    """pybit as it comes, with its retry list and force_retry on: the guard alone must hold."""
    guard = SendGuard(
        origins=frozenset({Origin.of(loopback.url)}),
        classify=classify,
        clock=SystemClock(),
        timeout_s=patience_s(expected),
    )
    sdk = HTTP(api_key=API_KEY, api_secret=API_SECRET, force_retry=True, retry_delay=0)
    sdk.endpoint = loopback.url
    GuardedAdapter(guard).mount(sdk.client)
    loopback.on(CREATE, answer)
    leave = patient_ticket(expected)
    try:
        with guard.sending(leave, sha256=""):
            sdk.place_order(category="linear", symbol="BTCUSDT", side="Buy", orderType="Market", qty="1")
    except OutcomeUnknown:
        pass  # whatever pybit made of it, after a first byte nothing may claim that nothing was sent
    assert len(eventually(loopback.orders)) == 1 and leave.record.sends == 1
    assert hostile_environment.connections == 0


def test_the_second_send_is_stopped_before_a_byte(loopback: Loopback) -> None:
    guard = SendGuard(
        origins=frozenset({Origin.of(loopback.url)}), classify=classify, clock=SystemClock(), timeout_s=2.0
    )
    sdk = HTTP(api_key=API_KEY, api_secret=API_SECRET, retry_codes={-1})
    sdk.endpoint = loopback.url
    GuardedAdapter(guard).mount(sdk.client)
    loopback.on(CREATE, ok({"orderId": "1", "orderLinkId": LINK}))
    leave = ticket()
    terms = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "1"}
    with guard.sending(leave, sha256=""):
        sdk.place_order(**terms)
        before = leave.record.response_body
        with pytest.raises(SecondSendRefused, match="send-1"):
            sdk.place_order(**terms)
    assert len(loopback.orders()) == 1
    assert leave.record.response_body == before, "the evidence of the first send must stay"
    with pytest.raises(SecondSendRefused), guard.sending(leave, sha256=""):
        pytest.fail("a used ticket must not open a send")


def test_a_refused_second_send_is_not_reported_as_not_sent(loopback: Loopback) -> None:
    """If an SDK swallows the first failure and trips over the second refusal, the first one may have executed."""
    guard = SendGuard(
        origins=frozenset({Origin.of(loopback.url)}), classify=classify, clock=SystemClock(), timeout_s=2.0
    )
    sdk = HTTP(api_key=API_KEY, api_secret=API_SECRET, retry_codes={-1})
    sdk.endpoint = loopback.url
    GuardedAdapter(guard).mount(sdk.client)
    loopback.on(CREATE, reply(200, "{not json"))
    leave = ticket()
    with pytest.raises(ConnectionLost, match="one order request left"), guard.sending(leave, sha256=""):
        for _ in range(2):
            try:
                sdk.place_order(category="linear")
            except SecondSendRefused:
                raise
            except Exception as error:  # noqa: BLE001 - what a careless SDK does
                assert "JSON" in str(error)
    assert len(loopback.orders()) == 1


def test_a_stale_connection_never_sends_twice(broker: BybitBroker, loopback: Loopback) -> None:
    """The server closes the kept connection just as the order is written: unknown, and one request at most."""
    order = prepared(broker)

    def close_after_answer(request: Request, sock: socket.socket) -> bool:
        nano = str(time.time_ns())
        ok({"timeSecond": nano[:10], "timeNano": nano})(request, sock)
        return False

    loopback.on("/v5/market/time", close_after_answer)
    loopback.on(CREATE, ok({"orderId": "1", "orderLinkId": LINK}))
    for _ in range(5):
        broker.clock_reading()
        leave = ticket()
        try:
            assert broker.place(order, leave).venue_order_id.value == "1"
        except ConnectionLost:
            assert leave.record.sends == 1
    assert len(loopback.orders()) <= 5


def test_a_write_to_a_closed_socket_is_not_resent(broker: BybitBroker, loopback: Loopback, monkeypatch) -> None:
    """Force the race: urllib3 believes that the connection lives, the server has closed it."""
    from brokers import transport

    order = prepared(broker)
    seen = loopback.connections

    def close_after_answer(request: Request, sock: socket.socket) -> bool:
        nano = str(time.time_ns())
        ok({"timeSecond": nano[:10], "timeNano": nano})(request, sock)
        return False

    loopback.on("/v5/market/time", close_after_answer)
    loopback.on(CREATE, ok({"orderId": "1", "orderLinkId": LINK}))
    broker.clock_reading()
    monkeypatch.setattr(transport._GuardedHttp, "is_connected", property(lambda self: self.sock is not None))
    leave = ticket()
    with pytest.raises(ConnectionLost):
        broker.place(order, leave)
    assert leave.record.sends == 1 and leave.record.phase is WirePhase.SENDING
    assert loopback.orders() == [] and loopback.connections == seen, "no new connection carried the order again"


def test_an_idle_connection_is_reopened_before_it_is_used(broker: BybitBroker, loopback: Loopback, monkeypatch) -> None:
    from brokers import transport

    broker.clock_reading()
    broker.clock_reading()
    assert loopback.connections == 1
    monkeypatch.setattr(transport, "IDLE_S_MAX", -1.0)
    broker.clock_reading()
    assert loopback.connections == 2


def test_an_answered_order_leaves_its_evidence(broker: BybitBroker, loopback: Loopback) -> None:
    loopback.on(CREATE, ok({"orderId": "o-1", "orderLinkId": LINK}, X_Bapi_Limit="10", Set_Cookie="id=1"))
    order, leave = prepared(broker), ticket()
    ack = broker.place(order, leave)
    assert (ack.venue_order_id.value, ack.client_order_id.value, ack.is_final) == ("o-1", LINK, False)
    record = leave.record
    assert record.phase is WirePhase.ANSWERED and record.status == 200 and record.error == ""
    assert record.response_headers["x-bapi-limit"] == "10" and "set-cookie" not in record.response_headers
    assert json.loads(record.response_body)["result"]["orderId"] == "o-1"


def test_a_key_that_the_venue_quotes_is_kept_nowhere(broker: BybitBroker, loopback: Loopback) -> None:
    """Bybit's 10004 says what it has signed, and the key is part of that."""
    quoted = f"error sign! origin_string[1700000000000{API_KEY}5000{API_SECRET}]"
    loopback.on(CREATE, refuse(10004, quoted, X_Trace=f"key={API_KEY}"))
    order, leave = prepared(broker), ticket()
    with pytest.raises(AuthenticationRefused) as caught:
        broker.place(order, leave)
    kept = repr(caught.value.args) + caught.value.text + repr(leave.record) + leave.record.response_body.decode()
    assert API_KEY not in kept and API_SECRET not in kept
    assert "origin_string[1700000000000***5000***]" in caught.value.text, "the rest of the venue's words stays"


def test_the_venue_enforces_not_after(broker: BybitBroker, loopback: Loopback) -> None:
    loopback.on(CREATE, ok({"orderId": "o-1", "orderLinkId": LINK}))
    order = prepared(broker)
    broker.clock_reading()
    for valid_s, most in ((2.0, 2002), (60.0, 5000)):  # the two clocks are known to a millisecond or so
        leave = ticket(valid_s=valid_s)
        broker.place(order, leave)
        headers = loopback.orders()[-1].headers
        window = int(headers["x-bapi-recv-window"])
        assert 1 <= window <= most
        if valid_s == 2.0:
            deadline_ms = leave.not_after.timestamp() * 1000
            assert abs(int(headers["x-bapi-timestamp"]) + window - deadline_ms) <= 2


def test_keep_alive_is_used(broker: BybitBroker, loopback: Loopback) -> None:
    for _ in range(3):
        broker.clock_reading()
    assert loopback.connections == 1 and len(loopback.requests) == 3
