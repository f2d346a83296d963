"""One order request reaches Alpaca and no other host, whatever venue and SDK do; and what each answer proves."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alpaca.common.rest import RESTClient
from alpaca.trading.client import TradingClient
from alpaca.trading.requests import MarketOrderRequest

from brokers.alpaca.adapter import AlpacaBroker
from brokers.alpaca.client import AlpacaClient, classify
from brokers.clock import SystemClock
from brokers.errors import (
    AnswerTimedOut,
    AnswerUnreadable,
    AuthenticationRefused,
    BrokerError,
    ConnectionLost,
    DuplicateClientOrderId,
    InsufficientFunds,
    InvalidOrder,
    OrderInvalid,
    OutcomeUnknown,
    RateLimited,
    RedirectRefused,
    VenueFaulted,
)
from brokers.guard import Origin, SendGuard, Verb
from brokers.ids import ClientOrderId, InstrumentId
from brokers.transport import GuardedAdapter
from brokers.types import OrderRequest, OrderSide, OrderType, PreparedOrder
from brokers.wire import WirePhase
from tests.brokers.alpaca import recorded
from tests.brokers.alpaca.conftest import BY_CLIENT_ID, ORDERS, says, sent_orders
from tests.brokers.loopback import API_KEY, API_SECRET, PATIENCE_S, Loopback, drop, eventually, reply, ticket
from tests.brokers.misbehaving import (
    SHORT_S,
    endless,
    half_body,
    hang,
    patience_s,
    patient_ticket,
    reset,
    trickle_body,
    trickle_head,
)
from tests.egress import hostile_environment

AAPL = InstrumentId("AAPL")
ID = ClientOrderId("at-0001")
REQUEST = OrderRequest(
    instrument_id=AAPL,
    side=OrderSide.BUY,
    order_type=OrderType.LIMIT,
    quantity=Decimal(2),
    limit_price=Decimal("190.1"),
)
ACKED = says({**recorded.ORDER, "status": "pending_new"})


def redirect(status: int) -> Any:
    return reply(status, "moved", Location="http://127.0.0.2:9/v2/orders")


def refusal(status: int, code: int | None, text: str, **headers: str) -> Any:
    return reply(status, recorded.error(code, text), **headers)


MATRIX = [
    pytest.param(refusal(429, 42910000, "rate limit exceeded"), RateLimited, id="429 in Alpaca's words"),
    pytest.param(refusal(429, None, "too many requests."), RateLimited, id="429 in the edge's words"),
    pytest.param(reply(429, "slow down"), VenueFaulted, id="429 without words"),
    pytest.param(refusal(422, 40010001, "client_order_id must be unique"), DuplicateClientOrderId, id="duplicate"),
    pytest.param(refusal(422, 42210000, "qty must be > 0"), OrderInvalid, id="422"),
    pytest.param(refusal(403, 40310000, "insufficient buying power"), InsufficientFunds, id="403"),
    pytest.param(refusal(401, None, "unauthorized."), AuthenticationRefused, id="401"),
    pytest.param(reply(401, "<html>who are you</html>"), VenueFaulted, id="401 without words"),
    pytest.param(refusal(422, 42299999, "new"), AnswerUnreadable, id="unknown code"),
    pytest.param(refusal(500, 50010000, "internal server error occurred"), VenueFaulted, id="500"),
    pytest.param(reply(502, "<html></html>"), VenueFaulted, id="502"),
    pytest.param(reply(503, ""), VenueFaulted, id="503"),
    pytest.param(reply(504, ""), VenueFaulted, id="504"),
    pytest.param(reply(418, ""), VenueFaulted, id="418"),
    pytest.param(reply(201, "{}"), AnswerUnreadable, id="201"),
    pytest.param(reply(204, ""), AnswerUnreadable, id="204"),
    *(pytest.param(redirect(status), RedirectRefused, id=str(status)) for status in (301, 302, 303, 307, 308)),
    pytest.param(drop, ConnectionLost, id="drop"),
    pytest.param(reset, ConnectionLost, id="reset"),
    pytest.param(hang, AnswerTimedOut, id="hang"),
    pytest.param(trickle_head, AnswerTimedOut, id="trickle in the head"),
    pytest.param(trickle_body, AnswerTimedOut, id="trickle in the body"),
    pytest.param(half_body, ConnectionLost, id="half a body"),
    pytest.param(reply(200, "{not json"), AnswerUnreadable, id="bad json"),
    pytest.param(reply(200, "<html>maintenance</html>"), AnswerUnreadable, id="html 200"),
    pytest.param(reply(200, ""), AnswerUnreadable, id="empty 200"),
    pytest.param(reply(200, "null"), AnswerUnreadable, id="null"),
    pytest.param(reply(200, '{"id":"1","id":"2"}'), AnswerUnreadable, id="key twice"),
    pytest.param(says({**recorded.ORDER, "client_order_id": "another"}), AnswerUnreadable, id="another order's ack"),
    pytest.param(says({**recorded.ORDER, "id": ""}), AnswerUnreadable, id="ack without order id"),
]


@pytest.fixture
def diverted(decoy: Loopback, tmp_path: Path) -> Iterator[Loopback]:
    """Proxies and a netrc that would divert or re-sign the request, all pointing at the decoy."""
    with hostile_environment(decoy.url, tmp_path):
        yield decoy


def prepared(broker: AlpacaBroker) -> PreparedOrder:
    return broker.prepare_order(REQUEST, ID)


@pytest.mark.parametrize(("answer", "expected"), MATRIX)
def test_one_order_request_reaches_the_venue(
    broker: AlpacaBroker, loopback: Loopback, diverted: Loopback, answer: Any, expected: type[BrokerError]
) -> None:
    loopback.on(ORDERS, answer)
    order, leave = prepared(broker), patient_ticket(expected)
    with pytest.raises(BrokerError) as caught:
        broker.place(order, leave)
    assert type(caught.value) is expected
    assert expected is not AnswerTimedOut or f"{SHORT_S} s" in str(caught.value)
    (sent,) = eventually(lambda: sent_orders(loopback))
    assert broker.order_requests_sent == 1 and diverted.requests == [] and diverted.connections == 0
    assert "authorization" not in sent.headers and sent.headers["content-type"] == "application/json"
    record = leave.record
    assert (record.sends, record.method, record.url) == (1, "POST", f"{loopback.url}{ORDERS}")
    assert record.request_body == sent.body == order.payload.encode()
    assert record.request_sha256 == hashlib.sha256(sent.body).hexdigest() == order.sha256
    assert API_KEY not in repr(record) and API_SECRET not in repr(record)


_REPEATED = {"504", "429 without words", "429 in Alpaca's words", "drop", "502"}
SDK_MATRIX = [case for case in MATRIX if case.id in _REPEATED]


@pytest.mark.parametrize(("answer", "expected"), SDK_MATRIX)
def test_an_unmodified_sdk_with_its_own_retries_cannot_send_twice(
    loopback: Loopback, diverted: Loopback, answer: Any, expected: type[BrokerError]
) -> None:
    """alpaca-py as it comes repeats a POST on 429 and 504: the guard alone must hold."""
    guard = SendGuard(
        origins=frozenset({Origin.of(loopback.url)}),
        classify=classify,
        clock=SystemClock(),
        timeout_s=patience_s(expected),
    )
    sdk = TradingClient(api_key=API_KEY, secret_key=API_SECRET, url_override=loopback.url)
    sdk._retry_wait = 0
    assert sdk._retry == 3 and set(sdk._retry_codes) == {429, 504}
    GuardedAdapter(guard).mount(sdk._session)
    loopback.on(ORDERS, answer, ACKED)
    leave = patient_ticket(expected)
    with pytest.raises(OutcomeUnknown), guard.sending(leave, sha256=""):
        sdk.submit_order(MarketOrderRequest(symbol="AAPL", qty=1, side="buy", time_in_force="day"))
    assert len(sent_orders(loopback)) == 1 and leave.record.sends == 1 and diverted.connections == 0


def test_a_stream_of_bytes_without_an_end_is_refused(loopback: Loopback) -> None:
    guard = SendGuard(
        origins=frozenset({Origin.of(loopback.url)}),
        classify=classify,
        clock=SystemClock(),
        timeout_s=PATIENCE_S,
    )
    client = AlpacaClient(
        base_url=loopback.url, data_url=loopback.url, api_key=API_KEY, api_secret=API_SECRET, guard=guard
    )
    loopback.on("/v2/assets", endless)
    with pytest.raises(AnswerUnreadable, match="at most 5000000 bytes"):
        client.read("/assets")
    with pytest.raises(AnswerUnreadable, match="at most 6000000 bytes"), guard.recording(answer_bytes_max=6_000_000):
        client.read("/assets")


def test_an_acknowledged_order_leaves_its_evidence(broker: AlpacaBroker, loopback: Loopback) -> None:
    loopback.on(ORDERS, ACKED)
    order, leave = prepared(broker), ticket()
    ack = broker.place(order, leave)
    assert (ack.venue_order_id.value, ack.client_order_id, ack.is_final) == (recorded.ORDER["id"], ID, False)
    record = leave.record
    assert record.phase is WirePhase.ANSWERED and record.status == 200 and record.error == ""
    assert json.loads(record.response_body)["status"] == "pending_new"
    assert sent_orders(loopback)[0].json == {
        "symbol": "AAPL",
        "qty": "2",
        "side": "buy",
        "type": "limit",
        "time_in_force": "gtc",
        "limit_price": "190.1",
        "client_order_id": "at-0001",
    }


def test_a_duplicate_is_the_proof_that_the_order_exists(broker: AlpacaBroker, loopback: Loopback) -> None:
    loopback.on(ORDERS, refusal(422, 40010001, "client_order_id must be unique"))
    loopback.on(BY_CLIENT_ID, says(recorded.ORDER))
    with pytest.raises(DuplicateClientOrderId, match="look it up"):
        broker.place(prepared(broker), ticket())
    found = broker.find_order(instrument_id=AAPL, client_order_id=ID)
    assert found is not None and found.quantity == REQUEST.quantity and found.limit_price == REQUEST.limit_price


@pytest.mark.parametrize("payload", ["{not json", '{"client_order_id":"another"}', "[]"])
def test_a_payload_that_is_not_this_order_never_leaves(broker: AlpacaBroker, loopback: Loopback, payload: str) -> None:
    order = PreparedOrder(ID, REQUEST, payload, hashlib.sha256(payload.encode()).hexdigest())
    with pytest.raises(InvalidOrder, match="prepared payload"):
        broker.place(order, ticket())
    assert sent_orders(loopback) == []


def test_bytes_other_than_the_committed_ones_never_leave(broker: AlpacaBroker, loopback: Loopback) -> None:
    order = prepared(broker)
    spaced = PreparedOrder(ID, REQUEST, order.payload.replace(",", ", "), order.sha256)
    changed = PreparedOrder(ID, REQUEST, order.payload.replace('"2"', '"3"'), order.sha256)
    loopback.on(ORDERS, ACKED)
    broker.place(spaced, ticket())  # canonical again on the wire: the committed bytes
    with pytest.raises(InvalidOrder, match="body sha256"):
        broker.place(changed, ticket())
    assert [request.body for request in sent_orders(loopback)] == [order.payload.encode()]


@pytest.mark.parametrize(
    ("method", "path", "verb"),
    [
        ("POST", "/v2/orders", Verb.ORDER),
        ("DELETE", "/v2/orders/61e69015-8549-4bfd-b9c3-01e75843f47d", Verb.WRITE),
        ("DELETE", "/v2/orders", Verb.FORBIDDEN),  # every order of the account
        ("PATCH", "/v2/orders/61e69015-8549-4bfd-b9c3-01e75843f47d", Verb.FORBIDDEN),  # a new order without our id
        ("DELETE", "/v2/positions/AAPL", Verb.FORBIDDEN),  # a market order without an id
        ("DELETE", "/v2/positions", Verb.FORBIDDEN),
        ("POST", "/v2/positions/AAPL/exercise", Verb.FORBIDDEN),
        ("PATCH", "/v2/account/configurations", Verb.FORBIDDEN),
        ("POST", "/v2/wallets/transfers", Verb.FORBIDDEN),  # coins would leave
        ("GET", "/v2/wallets/transfers", Verb.FORBIDDEN),
        ("GET", "/v2/orders:by_client_order_id", Verb.READ),
        ("GET", "/v2/account/activities/FILL", Verb.READ),
        ("GET", "/v2/stocks/snapshots", Verb.READ),
        ("GET", "/v1beta3/crypto/us/snapshots", Verb.READ),
        ("GET", "/v1/journals", Verb.FORBIDDEN),
    ],
)
def test_what_may_leave(method: str, path: str, verb: Verb) -> None:
    assert classify(method, path) is verb


def test_what_is_overridden_exists_in_the_sdk() -> None:
    """An upgrade that moves these would leave our rules without effect."""
    assert list(inspect.signature(RESTClient._one_request).parameters) == ["self", "method", "url", "opts", "retry"]
    source = inspect.getsource(RESTClient._request)
    assert "self._one_request(method, url, opts, retry)" in source and "self._retry" in source


def test_the_client_is_built_without_what_repeats_and_shows_no_secret(broker: AlpacaBroker) -> None:
    client = broker._client
    assert client._retry == 0 and client._retry_codes == [] and client._use_raw_data
    assert API_SECRET not in repr(client) and API_KEY not in repr(client)
