"""What a sender is answered, and what then stands in the ledger."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from ledger.alert_tables import InboxRow
from ledger.errors import CommitUnknown, DiskLow, LedgerUnavailable, QueueFull
from ledger.inbox_tokens import AlertTokens
from tests.conftest import Eventually
from tests.webhooks.client import Wire, ask, head
from tests.webhooks.conftest import NEXT_TOKEN, PATH, SOURCE, TOKEN, Serve, Served, add_token, stored
from webhooks.reasons import ReceiverReason
from webhooks.settings import TRADINGVIEW_ADDRESSES, Limits

R = ReceiverReason
HERE = f"{PATH}/{TOKEN}"


def test_an_alert_is_stored_byte_by_byte_and_answered_with_its_number(served: Served) -> None:
    body = b'\xef\xbb\xbf{"ticker": "AAPL", "price": NaN}\r\n\x00\xff'
    answer = served.post(body, headers={"Content-Type": "text/plain; charset=utf-8"})
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert served.stored() == {answer.json["id"]: body}


@pytest.mark.parametrize(
    "path, headers",
    [
        (HERE, {}),
        (f"/webhook/{TOKEN}", {}),
        (PATH, {"Authorization": f"Bearer {TOKEN}"}),
        ("/webhook", {"Authorization": f"bearer {TOKEN}"}),
    ],
)
def test_every_door_takes_the_token(shared: Served, path: str, headers: dict[str, str]) -> None:
    assert shared.post(b"buy", path=path, headers=headers).status == 200


def test_a_repeated_delivery_gets_the_same_number(served: Served) -> None:
    first, second, other = served.post(b"buy AAPL"), served.post(b"buy AAPL"), served.post(b"sell AAPL")
    assert (first.status, second.status, other.status) == (200, 200, 200)
    assert first.json == second.json != other.json
    assert len(served.stored()) == 2


@pytest.mark.parametrize("body", [b"", b"\x00", b"{", b"[" * 60_000, b"NaN", b'{"a": 1, "a": 2}', b"\xff\xfe", b" "])
def test_what_cannot_be_parsed_is_stored_all_the_same(shared: Served, body: bytes) -> None:
    answer = shared.post(body)
    assert answer.status == 200, "a 4xx would lose it for ever"
    assert stored(shared.ledger)[answer.json["id"]] == body


@pytest.mark.parametrize(
    "path, headers",
    [
        (f"{PATH}/{TOKEN[:-1]}", {}),
        (f"{PATH}/{TOKEN}x", {}),
        (f"{PATH}/{TOKEN.lower()}", {}),
        (f"{PATH}/%00%ff", {}),
        (f"{PATH}/{TOKEN}/", {}),
        (f"{PATH}/", {}),
        (PATH, {}),
        (PATH, {"Authorization": "Bearer wrong"}),
        (PATH, {"Authorization": "Bearer"}),
        (PATH, {"Authorization": f"Basic {TOKEN}"}),
        (f"{PATH}/wrong", {"Authorization": f"Bearer {TOKEN}"}),
        (f"/webhook/{'0' * 64}", {}),
        ("/nowhere", {}),
    ],
)
def test_a_wrong_token_looks_like_a_page_that_is_not_there(shared: Served, path: str, headers: dict[str, str]) -> None:
    answer = shared.post(b"secret body", path=path, headers=headers)
    assert (answer.status, answer.body) == (404, b'{"error": "RECEIVER_NOT_FOUND"}'), "and nothing of the request"
    assert shared.stored() == {}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_alerts_are_sent_with_post(shared: Served, method: str) -> None:
    for path in (HERE, PATH, f"{PATH}/wrong", "/webhook/wrong"):
        answer = ask(shared.url, path, method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "POST"), "the same for right and wrong tokens"
    assert shared.stored() == {}


def test_a_body_at_the_limit_is_taken_and_one_byte_more_is_not(shared: Served) -> None:
    most = Limits().body_bytes_max
    assert shared.post(b"x" * most).status == 200
    refused = shared.post(b"x" * (most + 1))
    assert (refused.status, refused.error) == (413, R.BODY_TOO_LARGE)
    assert shared.post(b"x" * (most + 1), path=f"{PATH}/wrong").status == 413, "before the token is looked at"


def test_an_announced_body_is_refused_before_it_is_sent(shared: Served) -> None:
    for length in (200_000_000, 10**19):
        with Wire(shared.url) as wire:
            wire.send(head(HERE, length=length))
            assert wire.answer().status == 413


def test_a_chunked_body_is_counted_while_it_is_read(shared: Served) -> None:
    chunked = {"Transfer-Encoding": "chunked"}
    with Wire(shared.url) as wire:
        wire.send(head(HERE, length=None, headers=chunked) + b"3\r\nbuy\r\n9\r\n in parts\r\n0\r\n\r\n")
        answer = wire.answer()
    assert shared.stored() == {answer.json["id"]: b"buy in parts"}
    with Wire(shared.url) as wire:
        wire.send(head(HERE, length=None, headers=chunked))
        wire.send((b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 3)  # 96 KiB, and no end
        assert wire.answer().status == 413


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity, gzip", "x"])
def test_an_encoded_body_is_refused(shared: Served, encoding: str) -> None:
    refused = shared.post(b"\x1f\x8b", headers={"Content-Encoding": encoding})
    assert (refused.status, refused.error) == (415, R.BODY_ENCODED)
    assert shared.post(b"plain", headers={"Content-Encoding": "Identity"}).status == 200
    wrong = shared.post(b"", path=f"{PATH}/wrong", headers={"Content-Encoding": encoding})
    assert wrong.status == 404, "nothing is told to a stranger"


@pytest.mark.parametrize(
    "headers",
    [{f"X-{n}": "v" for n in range(70)}, {"X-Long": "v" * 15_900}, {f"X-{n}": "v" * 400 for n in range(40)}],
)
def test_a_head_beyond_its_limits_is_refused(shared: Served, headers: dict[str, str]) -> None:
    with Wire(shared.url) as wire:
        wire.send(head(f"{HERE}?{'q' * 500}", headers=headers))
        refused = wire.answer()
    assert (refused.status, refused.error) == (431, R.HEAD_TOO_LARGE)
    assert shared.stored() == {}


def test_a_head_that_never_ends_is_refused_at_its_limit(shared: Served) -> None:
    with Wire(shared.url) as wire:
        wire.send(b"POST /" + b"x" * 20_000)
        assert wire.answer().status == 400


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nA\x00B: c\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n",  # no Host
    ],
)
def test_what_is_no_http_ends_the_connection(shared: Served, request_: bytes) -> None:
    with Wire(shared.url) as wire:
        wire.send(request_)
        assert 400 <= wire.answer().status < 500
        assert wire.ended_after_s() < 20


# -- who may send -----------------------------------------------------------------------------------------------
def test_an_address_that_is_not_on_the_list_is_refused_before_its_token(serve: Serve, sqlite_url: str) -> None:
    served = serve(sqlite_url, senders={"allowed": ("tradingview",)})
    for path in (HERE, f"{PATH}/wrong"):
        refused = served.post(path=path)
        assert (refused.status, refused.error) == (403, R.ADDRESS_REFUSED)
    forged = served.post(headers={"X-Forwarded-For": TRADINGVIEW_ADDRESSES[0]})
    assert forged.status == 403, "no proxy is named, so nobody may speak for somebody else"


def test_behind_a_proxy_the_last_hop_that_it_saw_counts(serve: Serve, sqlite_url: str) -> None:
    served = serve(sqlite_url, senders={"proxies": ("127.0.0.1",)})
    real, stranger = TRADINGVIEW_ADDRESSES[2], "203.0.113.9"
    assert served.post(b"1", headers={"X-Forwarded-For": real}).status == 200
    assert served.post(b"2", headers={"X-Forwarded-For": f"{stranger}, {real}"}).status == 200
    assert served.post(b"3", headers={"X-Forwarded-For": f"{real}, {stranger}"}).status == 403
    assert served.post(b"4", headers={"X-Forwarded-For": "unknown"}).status == 403
    assert served.post(b"5").status == 403, "the proxy itself sends no alerts"
    assert sorted(served.stored().values()) == [b"1", b"2"]


# -- tokens -----------------------------------------------------------------------------------------------------
def test_a_new_token_is_taken_within_the_stated_interval(serve: Serve, ledger_url: str, eventually: Eventually) -> None:
    served = serve(ledger_url, limits=Limits(refresh_s=0.05))
    new = f"{PATH}/{NEXT_TOKEN}"
    assert served.post(path=new).status == 404
    add_token(served.ledger, SOURCE, NEXT_TOKEN)
    eventually(lambda: served.post(path=new).status == 200)
    assert served.post().status == 200, "two are active while a source changes from one to the other"
    old = hashlib.sha256(TOKEN.encode()).hexdigest()
    AlertTokens(served.ledger).retire_token(SOURCE, old, by="tester", reason="changed")
    eventually(lambda: served.post().status == 404)
    assert served.post(path=new).status == 200


def test_a_wrong_token_costs_the_same_work_as_a_right_one(shared: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bool] = []
    compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(compare(a, b)) or compared[-1])
    tokens = shared.receiver.watch.tokens
    assert (tokens.matches(TOKEN), tokens.matches("x"), tokens.matches("")) == (SOURCE, None, None)
    assert len(compared) == 3 * len(tokens.sources)


# -- full -------------------------------------------------------------------------------------------------------
def test_a_full_backlog_is_answered_503_and_told_when_to_come_again(serve: Serve, sqlite_url: str) -> None:
    served = serve(sqlite_url)
    took = served.receiver.writer._receive
    for error, reason in (
        (QueueFull("full"), R.BACKLOG_FULL),
        (DiskLow("low"), R.DISK_LOW),
        (LedgerUnavailable("down"), R.LEDGER_UNAVAILABLE),
        (CommitUnknown("lost"), R.COMMIT_UNKNOWN),
        (ArithmeticError("a defect"), R.LEDGER_UNAVAILABLE),
    ):

        def fails(deliveries: object, error: Exception = error) -> tuple[()]:
            raise error

        served.receiver.writer._receive = fails
        refused = served.post()
        assert (refused.status, refused.error, refused.headers["retry-after"]) == (503, reason, "5")
    served.receiver.writer._receive = took
    assert served.post().status == 200, "and goes on afterwards"


def test_the_sources_name_and_address_are_stored(shared: Served) -> None:
    answer = shared.post(b"sent once, by this test", headers={"Content-Type": "application/json"})
    with shared.ledger.read() as session:
        row = session.get_one(InboxRow, answer.json["id"])
    assert (row.source, row.source_ip, row.content_type) == (SOURCE, "127.0.0.1", "application/json")
    assert row.body_sha256 == hashlib.sha256(b"sent once, by this test").hexdigest()
