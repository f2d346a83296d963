"""The guarded transports by themselves: what is refused before a byte, and what a failure before the first byte is.

Each test plays twice: over requests and over httpx, on one guard.
"""

from __future__ import annotations

import contextvars
import hashlib
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import requests

from brokers import transport, transport_httpx
from brokers.bybit.client import classify
from brokers.clock import Clock, ManualClock, SystemClock
from brokers.errors import (
    AnswerUnreadable,
    ConnectFailed,
    ConnectionLost,
    DeadlinePassed,
    HostRefused,
    InvalidOrder,
    NotSent,
    SecondSendRefused,
    TicketMissing,
    Unsupported,
)
from brokers.guard import Origin, SendGuard, Verb
from brokers.transport import GuardedAdapter
from brokers.transport_httpx import GuardedTransport
from brokers.wire import SendTicket, WirePhase
from tests.brokers.loopback import NOW, Loopback, Request, drop, reply, ticket

CREATE = "/v5/order/create"
READ = "/v5/market/time"


class HttpxSession:
    """httpx's client with the few words of a requests session that these tests use."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def request(self, method: str, url: str, data: bytes | None = None) -> httpx.Response:
        return self._client.request(method, url, content=data)

    def get(self, url: str) -> httpx.Response:
        return self.request("GET", url)

    def post(self, url: str, data: bytes | None = None) -> httpx.Response:
        return self.request("POST", url, data)


_LIBRARY = {"name": "requests"}
_OPENED: list[httpx.Client] = []


@pytest.fixture(autouse=True, params=["requests", "httpx"])
def library(request: pytest.FixtureRequest) -> Iterator[str]:
    _LIBRARY["name"] = request.param
    yield str(request.param)
    while _OPENED:
        _OPENED.pop().close()


def guarded(*urls: str, clock: Clock | None = None, timeout_s: float = 30.0, **options: Any) -> tuple[SendGuard, Any]:
    guard = SendGuard(
        **options,
        origins=frozenset(Origin.of(url) for url in urls),
        classify=classify,
        clock=clock or SystemClock(),
        timeout_s=timeout_s,
    )
    if _LIBRARY["name"] == "httpx":
        _OPENED.append(GuardedTransport(guard).client())
        return guard, HttpxSession(_OPENED[-1])
    session = requests.Session()
    GuardedAdapter(guard).mount(session)
    return guard, session


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.2:{port}/v5/market/time",
        "http://localhost:{port}/v5/market/time",
        "https://127.0.0.1:{port}/v5/market/time",
        "http://127.0.0.1:{other}/v5/market/time",
        "http://127.0.0.1/v5/market/time",
        "http://api.bybit.com/v5/market/time",
        "http://127.0.0.1:{port}@evil.example/v5/market/time",
        "http://evil.example#@127.0.0.1:{port}/v5/market/time",
    ],
)
def test_only_the_pinned_origin_is_contacted(loopback: Loopback, decoy: Loopback, target: str) -> None:
    _, session = guarded(loopback.url)
    with pytest.raises(HostRefused):
        session.get(target.format(port=loopback.port, other=decoy.port))
    assert loopback.connections == 0 and decoy.connections == 0


@pytest.mark.parametrize(
    "url", ["", "ftp://127.0.0.1/", "/v5/market/time", "http://", "http://127.0.0.1:port/", "http://[::1"]
)
def test_what_is_not_an_origin(url: str) -> None:
    with pytest.raises(HostRefused):
        Origin.of(url)


def test_an_origin_knows_default_ports() -> None:
    assert Origin.of("https://Api.Bybit.com/v5?x=1") == Origin("https", "api.bybit.com", 443)
    assert Origin.of("http://[::1]:80/") == Origin("http", "::1", 80)
    with pytest.raises(ValueError, match="origins"):
        guarded()


def test_a_connection_to_another_address_is_stopped_even_behind_a_pinned_url(
    loopback: Loopback, decoy: Loopback
) -> None:
    """If a library read the URL differently than the guard, the socket itself would still be refused."""
    guard, _ = guarded(loopback.url)
    call = guard.begin(method="GET", url=loopback.url + READ, body=b"")
    with pytest.raises(HostRefused, match=str(decoy.port)):
        call.connecting("127.0.0.1", decoy.port)
    call.connecting("127.0.0.1", loopback.port)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v5/asset/withdraw/create"),
        ("POST", "/v5/asset/transfer/inter-transfer"),
        ("POST", "/v5/order/create-batch"),
        ("POST", "/v5/order/amend"),
        ("POST", "/v5/user/create-sub-api"),
        ("DELETE", "/v5/order/create"),
        ("PUT", "/v5/order/cancel"),
        ("GET", "/v3/private"),
        ("POST", "/v5/order/create/"),
    ],
)
def test_verbs_that_are_no_business_of_ours_never_leave(loopback: Loopback, method: str, path: str) -> None:
    _, session = guarded(loopback.url)
    assert classify(method, path) is Verb.FORBIDDEN
    with pytest.raises(Unsupported):
        session.request(method, loopback.url + path)
    assert loopback.connections == 0


def test_an_order_without_a_ticket_never_leaves(loopback: Loopback) -> None:
    guard, session = guarded(loopback.url)
    with pytest.raises(TicketMissing):
        session.post(loopback.url + CREATE, data=b"{}")
    with guard.recording(), pytest.raises(TicketMissing):
        session.post(loopback.url + CREATE, data=b"{}")
    other, _ = guarded(loopback.url)
    with other.sending(ticket(), sha256=""), pytest.raises(TicketMissing):
        session.post(loopback.url + CREATE, data=b"{}")
    assert loopback.connections == 0


def test_a_ticket_is_not_seen_by_another_thread(loopback: Loopback) -> None:
    guard, session = guarded(loopback.url)
    caught: list[BaseException] = []

    def send() -> None:
        try:
            session.post(loopback.url + CREATE, data=b"{}")
        except NotSent as error:
            caught.append(error)

    with guard.sending(ticket(), sha256=""):
        thread = threading.Thread(target=send)
        thread.start()
        thread.join()
    assert [type(error) for error in caught] == [TicketMissing]


def test_threads_that_share_a_ticket_send_once(loopback: Loopback) -> None:
    guard, session = guarded(loopback.url)
    loopback.on(CREATE, reply(200, "{}"))
    outcomes: list[str] = []

    def send() -> None:
        try:
            session.post(loopback.url + CREATE, data=b"{}")
            outcomes.append("sent")
        except SecondSendRefused:
            outcomes.append("refused")

    with guard.sending(ticket(), sha256=""):
        threads = [threading.Thread(target=contextvars.copy_context().run, args=(send,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(outcomes) == ["refused"] * 7 + ["sent"] and len(loopback.orders()) == 1


def test_other_bytes_than_the_committed_ones_never_leave(loopback: Loopback) -> None:
    guard, session = guarded(loopback.url)
    leave = ticket()
    with pytest.raises(InvalidOrder, match="sha256"), guard.sending(leave, sha256="0" * 64):
        session.post(loopback.url + CREATE, data=b"{}")
    assert leave.record.sends == 0 and leave.record.phase is WirePhase.NOT_STARTED and loopback.connections == 0


def before_time(body: bytes) -> bytes:
    committed, separator, rest = body.partition(b"&timestamp=")
    if not separator or b"&signature=" not in rest:
        raise ValueError("time and signature must follow")
    return committed


def test_time_and_signature_may_follow_what_was_committed_and_are_not_kept(loopback: Loopback) -> None:
    loopback.on(CREATE, reply(200, b"{}"))
    guard, session = guarded(loopback.url, committed_part=before_time)
    committed, leave = b"qty=1&side=BUY", ticket()
    with guard.sending(leave, sha256=hashlib.sha256(committed).hexdigest()):
        session.post(loopback.url + CREATE, data=committed + b"&timestamp=17&signature=abcdef&x=1")
    assert loopback.orders()[0].body == committed + b"&timestamp=17&signature=abcdef&x=1"
    record = leave.record
    assert record.request_body == committed
    assert record.request_sha256 == hashlib.sha256(committed).hexdigest()
    with guard.recording() as other:
        session.post(loopback.url + "/v5/order/cancel", data=b"id=1&signature=abcdef&x=1")
    assert other.request_body == b"id=1&signature=***&x=1"
    assert other.request_sha256 == hashlib.sha256(other.request_body).hexdigest()


@pytest.mark.parametrize("body", [b"qty=2&side=BUY&timestamp=17&signature=ab", b"qty=1&side=BUY", b""])
def test_what_follows_must_be_time_and_signature_and_nothing_else_may_differ(loopback: Loopback, body: bytes) -> None:
    guard, session = guarded(loopback.url, committed_part=before_time)
    leave = ticket()
    with pytest.raises(InvalidOrder), guard.sending(leave, sha256=hashlib.sha256(b"qty=1&side=BUY").hexdigest()):
        session.post(loopback.url + CREATE, data=body)
    assert leave.record.sends == 0 and loopback.connections == 0


def test_bodies_must_be_bytes(loopback: Loopback, library: str) -> None:
    if library == "httpx":
        pytest.skip("httpx reads a body to its end before the transport sees it: what is sent is bytes in any case")
    _, session = guarded(loopback.url)
    with pytest.raises(NotSent, match="text or bytes"):
        session.post(loopback.url + "/v5/order/cancel", data=iter([b"x"]))


def manual_ticket(clock: ManualClock, *, send_by_s: float) -> SendTicket:
    return SendTicket("send-9", NOW + timedelta(seconds=5), clock.monotonic() + send_by_s, 1.0)


def test_send_by_is_checked_before_a_connection_is_used(loopback: Loopback) -> None:
    clock = ManualClock(NOW)
    guard, session = guarded(loopback.url, clock=clock)
    leave = manual_ticket(clock, send_by_s=1.0)
    clock.advance(timedelta(seconds=1.5))
    with pytest.raises(DeadlinePassed, match=r"0\.500 s ago"), guard.sending(leave, sha256=""):
        session.post(loopback.url + CREATE, data=b"{}")
    assert leave.record.sends == 0 and loopback.connections == 0


def test_send_by_is_checked_again_just_before_the_first_byte(loopback: Loopback, monkeypatch) -> None:
    """Connecting took too long (a paused process, a slow handshake): the order must not leave late."""
    clock = ManualClock(NOW)
    guard, session = guarded(loopback.url, clock=clock)
    leave = manual_ticket(clock, send_by_s=1.0)
    real = transport._connect

    def slow(*args: Any) -> socket.socket:
        clock.advance(timedelta(seconds=2))
        return real(*args)

    for module in (transport, transport_httpx):
        monkeypatch.setattr(module, "_connect", slow)
    with pytest.raises(DeadlinePassed), guard.sending(leave, sha256=""):
        session.post(loopback.url + CREATE, data=b"{}")
    assert leave.record.sends == 0 and leave.record.phase is WirePhase.CONNECTING
    assert "DEADLINE_PASSED" in leave.record.error
    assert loopback.requests == []


def test_connection_refused_is_not_sent(loopback: Loopback) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # nobody else can listen there meanwhile
        port = deaf.getsockname()[1]
        guard, session = guarded(f"http://127.0.0.1:{port}")
        leave = ticket()
        with pytest.raises(ConnectFailed, match="nothing was sent"), guard.sending(leave, sha256=""):
            session.post(f"http://127.0.0.1:{port}{CREATE}", data=b"{}")
    assert leave.record.sends == 0 and leave.record.phase is WirePhase.CONNECTING
    with pytest.raises(SecondSendRefused), guard.sending(leave, sha256=""):
        pytest.fail("a ticket that was tried once is used")


def test_unknown_name_is_not_sent(monkeypatch) -> None:
    _, session = guarded("https://api-testnet.bybit.com")

    def fail(host: str, *args: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ConnectFailed, match="Name or service not known"):
        session.get("https://api-testnet.bybit.com" + READ)


def test_a_resolver_that_hangs_is_cut_off(monkeypatch) -> None:
    _, session = guarded("https://api-testnet.bybit.com", timeout_s=0.3)
    free, ended = threading.Event(), threading.Event()

    def hang(host: str, port: int, family: int, kind: int, proto: int = 0, flags: int = 0) -> Any:
        if flags:
            raise socket.gaierror(socket.EAI_NONAME, "not numeric")
        free.wait()
        ended.set()
        raise socket.gaierror(socket.EAI_NONAME, "late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with pytest.raises(ConnectFailed, match="no address"):
        session.get("https://api-testnet.bybit.com" + READ)
    assert not ended.is_set(), "it still hangs"
    free.set()


def test_names_are_resolved_and_every_address_is_tried(loopback: Loopback, monkeypatch) -> None:
    _, session = guarded(f"http://venue.test:{loopback.port}")
    loopback.on(READ, reply(200, "{}"))

    def resolve(host: str, port: int, family: int, kind: int, proto: int = 0, flags: int = 0) -> Any:
        if flags:
            raise socket.gaierror(socket.EAI_NONAME, "not numeric")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("127.0.0.3", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert session.get(f"http://venue.test:{loopback.port}{READ}").status_code == 200


def test_no_address_at_all_is_not_sent(monkeypatch) -> None:
    _, session = guarded("http://venue.test:80")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: [])
    with pytest.raises(ConnectFailed, match="no address"):
        session.get("http://venue.test" + READ)


def test_a_failed_handshake_is_not_sent(loopback: Loopback) -> None:
    """A plain-text server behind https: TLS fails before the first byte of the request."""
    url = f"https://127.0.0.1:{loopback.port}"
    guard, session = guarded(url)
    leave = ticket(timeout_s=0.4)
    with pytest.raises(ConnectFailed), guard.sending(leave, sha256=""):
        session.post(url + CREATE, data=b"{}")
    assert leave.record.sends == 0 and loopback.requests == []


def test_a_handshake_that_hangs_is_cut_off(silent: int) -> None:
    url = f"https://127.0.0.1:{silent}"
    _, session = guarded(url, timeout_s=0.3)
    with pytest.raises(ConnectFailed):  # that it comes back at all is its deadline's doing
        session.get(url + READ)


def test_a_closed_guard_refuses(loopback: Loopback) -> None:
    guard, session = guarded(loopback.url)
    guard.close()
    with pytest.raises(NotSent, match="closed"):
        session.get(loopback.url + READ)


def test_reads_are_recorded_and_secrets_in_queries_are_not(loopback: Loopback) -> None:
    guard, session = guarded(loopback.url)
    loopback.on(READ, reply(200, "{}", Set_Cookie="s=1", X_Trace="t"))
    with guard.recording(timeout_s=30.0) as record:
        session.get(loopback.url + READ + "?symbol=A&signature=abc123&apiKey=KEY")
    assert "abc123" not in record.url and "KEY" not in record.url and "symbol=A" in record.url
    assert record.response_headers["x-trace"] == "t" and "set-cookie" not in record.response_headers
    assert (record.status, record.phase, record.sends) == (200, WirePhase.ANSWERED, 1)


def test_an_error_that_quotes_the_url_does_not_quote_the_signature() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def speak_no_tls() -> None:
        with listener.accept()[0] as sock:
            sock.recv(65_536)  # all of it: what is left unread would break the connection
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    threading.Thread(target=speak_no_tls, daemon=True).start()
    with listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        guard, session = guarded(url)
        with guard.recording() as record, pytest.raises(ConnectFailed) as caught:
            session.get(f"{url}{READ}?symbol=A&apiKey=KEY&timestamp=17&signature=abc123")
    for text in (str(caught.value), record.error):
        assert "SSLError" in text and ("signature=***" in text) is (_LIBRARY["name"] == "requests")
        assert "abc123" not in text and "KEY" not in text


def test_a_read_inside_a_send_keeps_the_evidence_of_the_order(loopback: Loopback) -> None:
    guard, session = guarded(loopback.url)
    loopback.on(READ, reply(200, '{"read":1}'))
    loopback.on(CREATE, reply(200, '{"order":1}'))
    leave = ticket()
    with guard.sending(leave, sha256="") as record:
        session.get(loopback.url + READ)
        session.post(loopback.url + CREATE, data=b"{}")
        session.get(loopback.url + READ)
    assert record is leave.record and record.response_body == b'{"order":1}' and record.sends == 1


def test_an_sdk_exception_is_sorted_by_what_left(loopback: Loopback) -> None:
    guard, session = guarded(loopback.url)
    with pytest.raises(NotSent, match="KeyError"), guard.sending(ticket(), sha256=""):
        raise KeyError("price")
    loopback.on(CREATE, reply(200, "{}"))
    leave = ticket()
    with pytest.raises(ConnectionLost, match="KeyError"), guard.sending(leave, sha256=""):
        session.post(loopback.url + CREATE, data=b"{}")
        raise KeyError("orderId")
    assert "KeyError" in leave.record.error and leave.record.phase is WirePhase.ANSWERED


def test_compressed_answers_count_unpacked(loopback: Loopback) -> None:
    import gzip

    _, session = guarded(loopback.url)
    loopback.on(READ, reply(200, gzip.compress(b" " * 20_000_000), Content_Encoding="gzip"))
    with pytest.raises(AnswerUnreadable, match="5000000"):
        session.get(loopback.url + READ)
    loopback.on(READ, reply(200, gzip.compress(b'{"a":1}'), Content_Encoding="gzip"))
    assert session.get(loopback.url + READ).json() == {"a": 1}
    loopback.on(READ, reply(200, b"not gzip", Content_Encoding="gzip"))
    with pytest.raises(ConnectionLost):
        session.get(loopback.url + READ)


def test_a_closing_answer_is_read_to_its_end(loopback: Loopback) -> None:
    def close(_: Request, sock: socket.socket) -> bool:
        sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 100_000)
        return False

    loopback.on(READ, close)
    _, session = guarded(loopback.url)
    for _ in range(2):
        assert len(session.get(loopback.url + READ).content) == 100_000
    assert loopback.connections == 2


def test_many_threads_share_one_session(loopback: Loopback) -> None:
    def echo(request: Request, sock: socket.socket) -> bool:
        return reply(200, request.query["n"])(request, sock)

    loopback.on(READ, echo)
    _, session = guarded(loopback.url)
    answers: dict[int, str] = {}

    def read(number: int) -> None:
        answers[number] = session.get(f"{loopback.url}{READ}?n={number}").text

    threads = [threading.Thread(target=read, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: str(number) for number in range(24)}


def test_a_drop_on_a_read_is_retryable_and_reconnects(loopback: Loopback) -> None:
    loopback.on(READ, drop, reply(200, "{}"))
    _, session = guarded(loopback.url)
    with pytest.raises(ConnectionLost) as caught:
        session.get(loopback.url + READ)
    assert caught.value.retryable
    assert session.get(loopback.url + READ).status_code == 200


def test_the_socket_wrapper_only_reads_binary(loopback: Loopback) -> None:
    with socket.create_connection(("127.0.0.1", loopback.port)) as plain:
        wrapped = transport._DeadlineSocket(plain)
        with pytest.raises(ValueError, match="rb"):
            wrapped.makefile("w")
        with pytest.raises(RuntimeError, match="outside"):
            wrapped.recv_into(bytearray(1))
        wrapped.shutdown(socket.SHUT_RDWR)
