"""One order request reaches TradeStation and no other host is contacted, whatever the venue does; and what of a token
may happen around it."""

from __future__ import annotations

import hashlib
import json
import socket
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers import transport_httpx
from brokers.clock import SystemClock
from brokers.errors import (
    AnswerTimedOut,
    AnswerUnreadable,
    AuthenticationRefused,
    BrokerError,
    ConnectionLost,
    DuplicateClientOrderId,
    InsufficientFunds,
    NotSent,
    OrderInvalid,
    PermissionRefused,
    RateLimited,
    RedirectRefused,
    VenueFaulted,
)
from brokers.factory import open_broker
from brokers.ids import ClientOrderId, InstrumentId, VenueOrderId
from brokers.tradestation.adapter import TradeStationBroker
from brokers.tradestation.tokens import TokenStore
from brokers.types import OrderRequest, OrderSide, OrderType, PreparedOrder, TimeInForce
from brokers.wire import WirePhase
from tests.brokers.loopback import Loopback, drop, eventually, reply, ticket
from tests.brokers.misbehaving import (
    SHORT_S,
    endless,
    half_body,
    hang,
    patient_ticket,
    redirect,
    reset,
    trickle_body,
    trickle_head,
)
from tests.brokers.tradestation.conftest import (
    ACCESS,
    ACCOUNTS_PATH,
    CLIENT_SECRET,
    PLACE_PATH,
    POSITIONS_PATH,
    REFRESH,
    config_at,
    dated,
    logged_in,
)
from tests.brokers.tradestation.recorded import ACCOUNTS, MSFT_SYMBOL, body
from tests.egress import hostile_environment

OUR_ID = ClientOrderId("0aB1cD2eF3gH4iJ5kL6mN7")
SENT = {"Message": "Sent order: Buy 10 MSFT @ 210.00 Limit", "OrderID": "286179829"}
OK = body("Orders", SENT)
TOKEN_PATH = "/oauth/token"


def failed(message: str) -> str:
    return body("Orders", {"Error": "FAILED", "Message": f"Order failed. Reason: {message}", "OrderID": "286179829"})


def words(title: str) -> str:
    return json.dumps({"Error": title, "Message": "some words"})


MATRIX = [
    pytest.param(reply(200, failed("not enough buying power")), InsufficientFunds, id="200 FAILED"),
    pytest.param(reply(200, failed("Duplicate OrderConfirmID")), DuplicateClientOrderId, id="200 duplicate"),
    pytest.param(reply(200, failed("request timed out")), VenueFaulted, id="200 timed out"),
    pytest.param(reply(400, words("BadRequest")), OrderInvalid, id="400"),
    pytest.param(reply(400, "<html>"), VenueFaulted, id="400 of a gateway"),
    pytest.param(reply(401, words("Unauthorized")), AuthenticationRefused, id="401"),
    pytest.param(reply(401, ""), VenueFaulted, id="401 without words"),
    pytest.param(reply(403, words("Forbidden")), PermissionRefused, id="403"),
    pytest.param(reply(429, words("TooManyRequests")), RateLimited, id="429"),
    pytest.param(reply(429, "slow down"), VenueFaulted, id="429 without words"),
    *(pytest.param(reply(code, words("x")), VenueFaulted, id=str(code)) for code in (500, 502, 503, 504, 418)),
    pytest.param(reply(201, OK), AnswerUnreadable, id="201"),
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
    pytest.param(reply(200, "[]"), AnswerUnreadable, id="a list"),
    pytest.param(reply(200, '{"Orders":[]}'), AnswerUnreadable, id="no order"),
    pytest.param(reply(200, '{"Orders":[{"OrderID":"1"}],"Orders":[]}'), AnswerUnreadable, id="key twice"),
]


def prepared(broker: TradeStationBroker) -> PreparedOrder:
    request = OrderRequest(
        instrument_id=InstrumentId("MSFT"),
        side=OrderSide.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal(10),
        limit_price=Decimal("210.00"),
        time_in_force=TimeInForce.DAY,
    )
    return broker.prepare_order(request, OUR_ID)


@pytest.mark.parametrize(("answer", "expected"), MATRIX)
def test_one_order_request_reaches_the_venue(
    broker: TradeStationBroker,
    loopback: Loopback,
    decoy: Loopback,
    tmp_path: Path,
    answer: Any,
    expected: type[BrokerError],
) -> None:
    redirect.target = decoy.url
    loopback.on(PLACE_PATH, answer)
    with hostile_environment(decoy.url, tmp_path):
        order, leave = prepared(broker), patient_ticket(expected)
        with pytest.raises(BrokerError) as caught:
            broker.place(order, leave)
    assert type(caught.value) is expected
    assert expected is not AnswerTimedOut or f"{SHORT_S} s" in str(caught.value)
    (sent,) = eventually(lambda: loopback.to(PLACE_PATH))
    assert decoy.requests == [] and decoy.connections == 0
    record = leave.record
    assert (record.sends, record.method, record.url) == (1, "POST", f"{loopback.url}{PLACE_PATH}")
    assert record.request_body == sent.body == order.payload.encode()
    assert record.request_sha256 == hashlib.sha256(sent.body).hexdigest() == order.sha256
    assert sent.headers["authorization"] == f"Bearer {ACCESS}" and ACCESS not in repr(record)


def test_an_answered_order_leaves_its_evidence(broker: TradeStationBroker, loopback: Loopback) -> None:
    loopback.on(PLACE_PATH, reply(200, OK, X_RateLimit_Remaining="9", Set_Cookie="id=1"))
    order, leave = prepared(broker), ticket()
    ack = broker.place(order, leave)
    assert (ack.venue_order_id, ack.client_order_id, ack.is_final) == (VenueOrderId("286179829"), OUR_ID, False)
    record = leave.record
    assert record.phase is WirePhase.ANSWERED and record.status == 200 and "set-cookie" not in record.response_headers
    assert broker.order_requests_sent == 1
    broker.positions()
    assert "cookie" not in loopback.requests[-1].headers


def test_a_token_that_the_venue_quotes_is_kept_nowhere(broker: TradeStationBroker, loopback: Loopback) -> None:
    loopback.on(PLACE_PATH, reply(401, json.dumps({"Error": "Unauthorized", "Message": f"token {ACCESS} expired"})))
    order, leave = prepared(broker), ticket()
    with pytest.raises(AuthenticationRefused) as caught:
        broker.place(order, leave)
    kept = repr(caught.value.args) + caught.value.text + repr(leave.record)
    assert ACCESS not in kept and "token *** expired" in kept


def test_a_write_to_a_closed_socket_is_not_resent(
    broker: TradeStationBroker, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Force the race: httpcore believes that the connection lives, the server has closed it."""
    order = prepared(broker)
    monkeypatch.setattr(transport_httpx, "_is_readable", lambda sock: False)

    def close_after_answer(request: Any, sock: socket.socket) -> bool:
        dated(body("Positions"))(request, sock)
        return False

    loopback.on(POSITIONS_PATH, close_after_answer)
    loopback.on(PLACE_PATH, reply(200, OK))
    broker.positions()
    seen, leave = loopback.connections, ticket()
    with pytest.raises(ConnectionLost):
        broker.place(order, leave)
    assert leave.record.sends == 1 and leave.record.phase is WirePhase.SENDING
    assert loopback.to(PLACE_PATH) == [] and loopback.connections == seen, "no new connection carried the order again"


def test_keep_alive_is_used_and_a_closed_connection_is_noticed(broker: TradeStationBroker, loopback: Loopback) -> None:
    for _ in range(3):
        broker.positions()
    assert loopback.connections == 1

    def close_after_answer(request: Any, sock: socket.socket) -> bool:
        dated(body("Positions"))(request, sock)
        return False

    loopback.on(POSITIONS_PATH, close_after_answer, dated(body("Positions")))
    broker.positions()
    eventually(lambda: loopback.closed == 1)  # a close that is still on its way would break the next read
    broker.positions()
    assert loopback.connections == 2


# -- tokens around an order -------------------------------------------------------------------------------------
def broker_with(loopback: Loopback, folder: Path, **login: Any) -> tuple[Any, TokenStore]:
    store = logged_in(loopback.url, folder, **login)
    loopback.on(ACCOUNTS_PATH, dated(ACCOUNTS))
    loopback.on("/v3/marketdata/symbols/MSFT", dated(body("Symbols", MSFT_SYMBOL)))
    loopback.on(POSITIONS_PATH, dated(body("Positions")))
    return open_broker(config_at(loopback.url, folder), clock=SystemClock()), store


def fresh_token(**changes: Any) -> str:
    answer = {"access_token": "access-token-of-the-tests-2", "expires_in": 1200, "token_type": "Bearer"}
    return json.dumps({**answer, **changes})


def test_a_refused_token_is_replaced_once_for_reads_and_cancels(broker: TradeStationBroker, loopback: Loopback) -> None:
    loopback.on(TOKEN_PATH, reply(200, fresh_token()))
    loopback.on(POSITIONS_PATH, reply(401, words("Unauthorized")), dated(body("Positions")))
    assert broker.positions() == ()
    loopback.on(f"{PLACE_PATH}/7", reply(401, words("Unauthorized")), reply(401, words("Unauthorized")))
    with pytest.raises(AuthenticationRefused):
        broker.cancel(instrument_id=InstrumentId("MSFT"), venue_order_id=VenueOrderId("7"))
    assert len(loopback.to(f"{PLACE_PATH}/7")) == 2 and len(loopback.to(TOKEN_PATH)) == 2


def test_a_refused_token_never_sends_an_order_twice(broker: TradeStationBroker, loopback: Loopback) -> None:
    loopback.on(TOKEN_PATH, reply(200, fresh_token()))
    loopback.on(PLACE_PATH, reply(401, words("Unauthorized")), reply(200, OK))
    order, leave = prepared(broker), ticket()
    with pytest.raises(AuthenticationRefused):
        broker.place(order, leave)
    assert len(loopback.to(PLACE_PATH)) == 1 and loopback.to(TOKEN_PATH) == []


def test_a_token_that_cannot_be_renewed_sends_nothing(loopback: Loopback, tmp_path: Path) -> None:
    opened, _ = broker_with(loopback, tmp_path)
    with opened as broker:
        order = prepared(broker)
        logged_in(loopback.url, tmp_path, lifetime=timedelta(seconds=30))
        broker._tokens._known = None  # what a process that waited for long would find
        loopback.on(TOKEN_PATH, reply(503, "maintenance"))
        leave = ticket()
        with pytest.raises(NotSent, match="could not be renewed") as caught:
            broker.place(order, leave)
        assert type(caught.value) is NotSent and leave.record.sends == 0 and loopback.to(PLACE_PATH) == []
        refused = reply(403, json.dumps({"error": "invalid_grant", "error_description": "Unknown refresh token."}))
        loopback.on(TOKEN_PATH, refused)
        with pytest.raises(AuthenticationRefused, match="algotrendy login tradestation"):
            broker.place(order, ticket())
        assert loopback.to(PLACE_PATH) == []


def test_nothing_shows_a_secret(broker: TradeStationBroker) -> None:
    for thing in (broker, broker._client, broker._tokens, broker._endpoint, broker._config, broker._tokens._store):
        shown = repr(thing) + str(thing)
        assert not any(secret in shown for secret in (ACCESS, REFRESH, CLIENT_SECRET))
