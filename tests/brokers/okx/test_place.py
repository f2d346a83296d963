"""One order request reaches OKX and no other host is contacted, whatever the venue does; and its deadline."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers import transport_httpx
from brokers.clock import SystemClock, epoch_ms
from brokers.errors import (
    AnswerTimedOut,
    AnswerUnreadable,
    AuthenticationRefused,
    BrokerError,
    ClockSkewed,
    ConnectionLost,
    DeadlinePassed,
    DuplicateClientOrderId,
    HostRefused,
    InsufficientFunds,
    InvalidOrder,
    NotSent,
    PermissionRefused,
    RateLimited,
    RedirectRefused,
    SecondSendRefused,
    TicketMissing,
    VenueFaulted,
)
from brokers.factory import open_broker
from brokers.ids import ClientOrderId, InstrumentId
from brokers.okx.adapter import OKXBroker
from brokers.types import OrderRequest, OrderSide, OrderType, PreparedOrder
from brokers.wire import WirePhase
from tests.brokers.loopback import API_KEY, API_SECRET, Loopback, Request, Responder, drop, eventually, reply, ticket
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
from tests.brokers.okx.conftest import PASSPHRASE, V5, answer, by_method, config_at, server_time
from tests.brokers.okx.recorded import ACK_ROW, REFUSED, TIMED_OUT, body, order_row
from tests.egress import hostile_environment

OUR_ID = ClientOrderId("0001a1b2c3d4e5f60718293a4b5c6d7e")
ORDER = f"{V5}/trade/order"
ROW = {**ACK_ROW, "clOrdId": OUR_ID.value, "tag": "algotrendy"}


def item(code: str, words: str = "words") -> Responder:
    return answer({**ROW, "ordId": "", "sCode": code, "sMsg": words}, code="1", msg="All operations failed")


MATRIX = [
    pytest.param(reply(200, REFUSED), PermissionRefused, id="200 with 51155"),
    pytest.param(item("51008"), InsufficientFunds, id="200 with 51008"),
    pytest.param(item("51016"), DuplicateClientOrderId, id="200 with 51016"),
    pytest.param(item("50037"), ClockSkewed, id="200 with 50037"),
    pytest.param(item("51149"), VenueFaulted, id="200 with 51149"),
    pytest.param(item("99999"), AnswerUnreadable, id="200 with unknown item code"),
    pytest.param(answer(code="50011"), RateLimited, id="200 with 50011"),
    pytest.param(answer(code="99999"), AnswerUnreadable, id="200 with unknown code"),
    pytest.param(reply(400, TIMED_OUT), VenueFaulted, id="400 with 50004"),
    pytest.param(reply(400, "<html>"), VenueFaulted, id="400 of a gateway"),
    pytest.param(answer(code="50101", status=401), AuthenticationRefused, id="401 with 50101"),
    pytest.param(answer(code="50102", status=401), ClockSkewed, id="401 with 50102"),
    pytest.param(reply(401, ""), VenueFaulted, id="401 without words"),
    pytest.param(reply(403, "<html>"), VenueFaulted, id="403 of a gateway"),
    pytest.param(answer(code="50011", status=429), RateLimited, id="429"),
    pytest.param(answer(code="50013", status=429), VenueFaulted, id="429 with 50013"),
    pytest.param(answer(code="50005", status=410), VenueFaulted, id="410 with 50005"),
    pytest.param(reply(429, "slow down"), VenueFaulted, id="429 without words"),
    pytest.param(answer(code="50026", status=500), VenueFaulted, id="500 with 50026"),
    pytest.param(answer(code="50001", status=503), VenueFaulted, id="503 with 50001"),
    *(pytest.param(reply(status, ""), VenueFaulted, id=str(status)) for status in (502, 504, 418)),
    pytest.param(reply(201, body(ROW)), AnswerUnreadable, id="201"),
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
    pytest.param(reply(200, '{"code":"0","data":[]}'), AnswerUnreadable, id="no order"),
    pytest.param(reply(200, '{"code":"0","data":null}'), AnswerUnreadable, id="no data"),
    pytest.param(reply(200, '{"code":0,"data":[]}'), AnswerUnreadable, id="a number for a code"),
    pytest.param(reply(200, '{"code":"0","code":"1"}'), AnswerUnreadable, id="key twice"),
    pytest.param(answer(ROW, ROW), AnswerUnreadable, id="two orders"),
    pytest.param(answer({**ROW, "sCode": ""}), AnswerUnreadable, id="no item code"),
    pytest.param(answer({**ROW, "clOrdId": "another"}), AnswerUnreadable, id="another order's ack"),
    pytest.param(answer({**ROW, "ordId": ""}), AnswerUnreadable, id="ack without order id"),
    pytest.param(answer(ROW, code="2"), AnswerUnreadable, id="failed in part, and the row did not"),
    pytest.param(answer(code="1", msg="All operations failed"), AnswerUnreadable, id="failed without a row"),
]


def prepared(broker: OKXBroker) -> PreparedOrder:
    request = OrderRequest(
        instrument_id=InstrumentId("BTC/USDT:USDT"),
        side=OrderSide.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal("0.03"),
        limit_price=Decimal("58000"),
    )
    return broker.prepare_order(request, OUR_ID)


def placed(loopback: Loopback) -> list[Request]:
    return [request for request in loopback.to(ORDER) if request.method == "POST"]


@pytest.mark.parametrize(("responder", "expected"), MATRIX)
def test_one_order_request_reaches_the_venue(
    broker: OKXBroker,
    loopback: Loopback,
    decoy: Loopback,
    tmp_path: Path,
    responder: Responder,
    expected: type[BrokerError],
) -> None:
    redirect.target = decoy.url
    loopback.on(ORDER, responder)
    with hostile_environment(decoy.url, tmp_path):
        order, leave = prepared(broker), patient_ticket(expected)
        broker.clock_reading()
        with pytest.raises(BrokerError) as caught:
            broker.place(order, leave)
    assert type(caught.value) is expected and not isinstance(caught.value, NotSent)
    assert expected is not AnswerTimedOut or f"{SHORT_S} s" in str(caught.value)
    (sent,) = eventually(lambda: placed(loopback))
    assert decoy.requests == [] and decoy.connections == 0
    assert "authorization" not in sent.headers and sent.headers["x-simulated-trading"] == "1"
    record = leave.record
    assert (record.sends, record.method, record.url) == (1, "POST", f"{loopback.url}{ORDER}")
    assert record.request_body == sent.body == order.payload.encode()
    assert record.request_sha256 == hashlib.sha256(sent.body).hexdigest() == order.sha256
    kept = repr(record)
    assert not any(secret in kept for secret in (API_KEY, API_SECRET, PASSPHRASE, sent.headers["ok-access-sign"]))


def test_an_acknowledged_order_leaves_its_evidence(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(ORDER, answer(ROW))
    order, leave = prepared(broker), ticket()
    ack = broker.place(order, leave)
    assert (ack.venue_order_id.value, ack.client_order_id, ack.is_final) == ("2896576259728695296", OUR_ID, False)
    record = leave.record
    assert record.phase is WirePhase.ANSWERED and record.status == 200 and record.error == ""
    assert json.loads(record.response_body)["data"][0]["sCode"] == "0" and broker.order_requests_sent == 1


def test_the_case_of_a_refusal_is_kept(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(ORDER, answer({**ROW, "ordId": "", "sCode": "51008", "sMsg": "no", "subCode": "1001"}, code="1"))
    with pytest.raises(InsufficientFunds) as caught:
        broker.place(prepared(broker), ticket())
    assert (caught.value.code, caught.value.details) == ("51008", {"sub_code": "1001"})


def test_the_venue_itself_enforces_not_after(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(ORDER, answer(ROW))
    order, leave = prepared(broker), ticket(valid_s=2.0)
    broker.place(order, leave)
    assert placed(loopback)[0].headers["exptime"] == str(epoch_ms(leave.not_after))
    assert all("exptime" not in request.headers for request in loopback.requests if request.method == "GET")


def test_a_deadline_that_passed_at_the_venue_is_not_sent(loopback: Loopback, broker: OKXBroker) -> None:
    """The venue's clock is ahead by ten seconds: what is good for five is over there."""
    ahead = str(epoch_ms(datetime.now(UTC) + timedelta(seconds=10)))
    loopback.on(f"{V5}/public/time", answer({"ts": ahead}))
    order = prepared(broker)
    with pytest.raises(DeadlinePassed, match="ms ago in venue time"):
        broker.place(order, ticket(valid_s=5.0))
    assert placed(loopback) == []


def test_without_the_venues_clock_nothing_is_sent(broker: OKXBroker, loopback: Loopback) -> None:
    order = prepared(broker)
    loopback.on(f"{V5}/public/time", reply(503, ""))
    leave = ticket()
    with pytest.raises(NotSent, match="clock could not be read"):
        broker.place(order, leave)
    assert placed(loopback) == [] and leave.record.phase is WirePhase.NOT_STARTED


@pytest.mark.parametrize("payload", ["{", "[]", '{"clOrdId":"another"}'])
def test_a_payload_of_another_order_is_not_sent(broker: OKXBroker, loopback: Loopback, payload: str) -> None:
    order = prepared(broker)
    wrong = PreparedOrder(OUR_ID, order.request, payload, hashlib.sha256(payload.encode()).hexdigest())
    with pytest.raises(InvalidOrder, match="prepared payload"):
        broker.place(wrong, ticket())
    assert placed(loopback) == []


def test_a_second_send_and_one_without_a_ticket_are_stopped(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(ORDER, answer(ROW))
    order, leave = prepared(broker), ticket()
    broker.place(order, leave)
    with pytest.raises(SecondSendRefused):
        broker.place(order, leave)
    with pytest.raises(TicketMissing):
        broker._client.place_order(order.payload, ticket=ticket())
    with pytest.raises(HostRefused), broker._guard.sending(ticket(), sha256=order.sha256):
        broker._client._client.post(f"http://127.0.0.1:1{ORDER}", content=order.payload)
    assert len(placed(loopback)) == 1


def test_a_look_up_while_an_order_is_on_its_way_is_not_the_order(broker: OKXBroker, loopback: Loopback) -> None:
    """Both have one path; only the method tells them apart."""
    seen: list[Any] = []

    def look(request: Request, sock: Any) -> bool:
        seen.append(broker.find_order(instrument_id=InstrumentId("BTC/USDT"), client_order_id=OUR_ID))
        return answer(ROW)(request, sock)

    loopback.on(ORDER, by_method(GET=answer(order_row(clOrdId=OUR_ID.value)), POST=look))
    leave = ticket()
    broker.place(prepared(broker), leave)
    assert len(seen) == 1 and len(placed(loopback)) == 1 and leave.record.method == "POST"


def test_a_stale_connection_never_sends_twice(broker: OKXBroker, loopback: Loopback, monkeypatch: Any) -> None:
    """Force the race: the pool believes that the connection lives, the server has closed it."""
    order = prepared(broker)

    def close_after_answer(request: Request, sock: Any) -> bool:
        server_time(request, sock)
        return False

    loopback.on(f"{V5}/public/time", close_after_answer)
    loopback.on(ORDER, answer(ROW))
    monkeypatch.setattr(transport_httpx, "_is_readable", lambda sock: False)
    broker.clock_reading()
    seen, leave = loopback.connections, ticket()
    with pytest.raises(ConnectionLost):
        broker.place(order, leave)
    assert leave.record.sends == 1 and placed(loopback) == [] and loopback.connections == seen


def test_a_secret_that_the_venue_quotes_is_kept_nowhere(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(ORDER, answer(code="50105", msg=f"wrong {PASSPHRASE} of {API_KEY}", status=401))
    order, leave = prepared(broker), ticket()
    with pytest.raises(AuthenticationRefused) as caught:
        broker.place(order, leave)
    kept = repr(caught.value.args) + caught.value.text + repr(leave.record) + leave.record.response_body.decode()
    assert PASSPHRASE not in kept and API_KEY not in kept and "wrong *** of ***" in caught.value.text


def test_nothing_that_can_be_shown_holds_a_secret(loopback: Loopback) -> None:
    shown: list[Callable[[Any], str]] = [repr, str]
    with open_broker(config_at(loopback.url), clock=SystemClock()) as broker:
        assert isinstance(broker, OKXBroker)
        for thing in (broker, broker._client, broker._config):
            for show in shown:
                assert not any(secret in show(thing) for secret in (API_KEY, API_SECRET, PASSPHRASE))
    with pytest.raises(NotSent, match="closed"):
        broker.positions()
