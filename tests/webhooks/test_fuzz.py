"""Bodies and requests that nobody would write: no server error, no growing memory, and what was authenticated is kept.

In full (`ALGOTRENDY_RECEIVER_FULL=1`) 20,000 of each against a process of its own, whose memory is measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.webhooks.client import Wire, head
from tests.webhooks.conftest import PATH, TOKEN, Launch, Served
from tests.webhooks.sizes import FULL, FUZZED

HERE = f"{PATH}/{TOKEN}"
RSS_BYTES_MAX = 300_000_000
_settings = settings(
    max_examples=FUZZED,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    database=None,
)
_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
bodies = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")),
    _json.map(lambda value: repr(value).encode("utf-8", "surrogatepass")),
    st.tuples(st.sampled_from([b"[", b'{"a":', b"\x00", b"\xff", b'"', b"9"]), st.integers(1, 9_000)).map(
        lambda pair: pair[0] * pair[1]
    ),
    st.sampled_from([b"", b"{}", b"null", b"NaN", b"1e999", b"{{ticker}}", b"\xef\xbb\xbf{}", b"x" * 65_536]),
)
_names = [b"a", b"Content-Length", b"Transfer-Encoding", b"Content-Encoding", b"Host", b"Expect", b"Authorization"]
_values = [
    b"chunked",
    b"gzip",
    b"100-continue",
    b"-1",
    b"9" * 5_000,
    b"0x10",
    b"1, 1",
    b"Bearer \xff",
    b"5",
    b"0",
    b"200",
]
_paths = [
    b"/webhook/%ff%00",
    b"*",
    b"http://x/webhook",
    b"/webhook/../..",
    b"/ready",
    b"/%2e",
    b"/metrics",
    b"/webhook",
]


def mostly(usual: list[bytes], *, size: int) -> st.SearchStrategy[bytes]:
    """One of the usual values, and once in a while any bytes: most requests must get past the parser."""
    return st.integers(0, 9).flatmap(lambda n: st.sampled_from(usual) if n else st.binary(max_size=size))


_heads = st.tuples(
    mostly([b"POST", b"POST", b"POST", b"GET", b"PUT", b"post", b"CONNECT", b"OPTIONS"], size=5),
    mostly([HERE.encode(), HERE.encode(), *_paths], size=40),
    mostly([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"], size=9),
    st.lists(st.tuples(mostly(_names, size=12), mostly(_values, size=40)), max_size=3),
    bodies,
)


@pytest.fixture
def target(request: pytest.FixtureRequest) -> tuple[str, Callable[[], int]]:
    """The address, and the resident bytes of the process behind it; 0 where it is the tests' own."""
    if not FULL:
        served: Served = request.getfixturevalue("shared")
        return served.url, lambda: 0
    launch: Launch = request.getfixturevalue("launch")
    process = launch(request.getfixturevalue("sqlite_url"), "--quiet")
    return process.url, lambda: int(psutil.Process(process.child.pid).memory_info().rss)


def test_every_body_of_a_source_is_taken(target: tuple[str, Callable[[], int]]) -> None:
    url, rss = target
    kept: dict[bytes, int] = {}
    before = rss()
    with Wire(url) as wire:

        @_settings
        @given(bodies)
        def deliver(body: bytes) -> None:
            wire.send(head(HERE, length=len(body)) + body)
            answer = wire.answer()
            assert answer.status == 200
            kept[hashlib.sha256(body).digest()] = answer.json["id"]

        deliver()
    after = rss()
    print(f"{FUZZED} bodies, {len(kept)} different; memory {before / 1e6:.0f} MB before, {after / 1e6:.0f} MB after")
    assert len(kept) > FUZZED // 10
    assert after <= RSS_BYTES_MAX


def test_no_request_is_a_server_error(target: tuple[str, Callable[[], int]]) -> None:
    url, rss = target
    seen: dict[int, int] = {}
    before = rss()

    @_settings
    @given(_heads)
    def send(parts: tuple[bytes, bytes, bytes, list[tuple[bytes, bytes]], bytes]) -> None:
        method, path, version, headers, body = parts
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        request = method + b" " + path + b" " + version + b"\r\nHost: x\r\n" + lines + b"\r\n" + body
        status = status_of(url, request)
        seen[status] = seen.get(status, 0) + 1
        # 503 alone is meant, for an alert whose body has not come when its sender ends.
        assert status < 500 or status == 503, request[:300]

    send()
    after = rss()
    print(f"{FUZZED} requests, answers {dict(sorted(seen.items()))}; memory {before / 1e6:.0f} to {after / 1e6:.0f} MB")
    assert after <= RSS_BYTES_MAX
    with Wire(url) as wire:
        wire.send(head(HERE, length=5) + b"still")
        assert wire.answer().status == 200


def status_of(url: str, request: bytes) -> int:
    """Send all of it and no more; the status of the first answer, 0 where the connection ends without one."""
    with Wire(url, timeout_s=10) as wire:
        try:
            wire.send(request)
            wire.socket.shutdown(1)
            return wire.answer().status
        except OSError:
            return 0
