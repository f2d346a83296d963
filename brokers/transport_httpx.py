"""The guarded transport for adapters on `httpx`: the only way out of the client that it makes.

The same guard and the same promises as `brokers.transport` (pinned origins, no proxies, netrc or redirects, TLS always
verified, one total deadline over name resolution, connect, handshake, send and the whole body, one order request per
ticket, nothing ever sent again). httpcore asks our network backend for every socket operation, so the deadline and the
first byte are known where they happen.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Iterable
from functools import cache
from typing import Any

import httpcore
import httpx

from brokers.clock import SystemClock
from brokers.errors import BrokerError, NotSent
from brokers.guard import GuardedCall, SendGuard
from brokers.sockets import connect as _connect

CONNECTIONS_MAX = 16
IDLE_S_MAX = 10.0  # an older idle connection is reopened: a stale one would turn a send into an unknown outcome
_CHUNK_BYTES = 65_536
# The body is given unpacked and whole, and no answer may leave a cookie for the next request.
_DROPPED = frozenset({"content-encoding", "content-length", "transfer-encoding", "set-cookie"})

_IO_CLOCK = SystemClock()
_current = threading.local()


@cache
def verifying_context() -> ssl.SSLContext:
    """The one context of this process, always verifying: reading the authorities again for each broker takes 20 ms."""
    return httpx.create_ssl_context(verify=True, trust_env=False)


def _call() -> GuardedCall:
    call: GuardedCall | None = getattr(_current, "call", None)
    if call is None:
        raise RuntimeError("the guarded connection was used outside of the guarded transport")
    return call


class GuardedTransport(httpx.BaseTransport):
    """An httpx transport that lets through only what its guard allows."""

    def __init__(self, guard: SendGuard) -> None:
        self._guard = guard
        self._pool = httpcore.ConnectionPool(
            ssl_context=verifying_context(),
            max_connections=CONNECTIONS_MAX,
            max_keepalive_connections=CONNECTIONS_MAX,
            keepalive_expiry=IDLE_S_MAX,
            http1=True,
            http2=False,
            retries=0,
            network_backend=_Backend(),
        )

    def client(self) -> httpx.Client:
        """A client whose only way out is this transport, with what httpx does by itself switched off."""
        # The socket keeps the total deadline: a time-out of httpx's would be one for each operation.
        return _Client(transport=self, trust_env=False, follow_redirects=False, timeout=None)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send once. BrokerError only; the complete body is read before this returns."""
        body = request.read()
        call = self._guard.begin(method=request.method, url=str(request.url), body=body)
        _current.call = call
        try:
            answer = self._pool.handle_request(_core_request(request, body))
            try:
                return self._read(call, request, answer)
            finally:
                answer.close()  # a half-read connection never goes back to the pool
        except BrokerError as error:
            raise call.failure(error) from error.__cause__
        except (httpx.HTTPError, httpx.StreamError, *_CORE_ERRORS, OSError, ValueError) as error:
            raise call.failure(error) from error
        finally:
            _current.call = None

    def _read(self, call: GuardedCall, request: httpx.Request, answer: httpcore.Response) -> httpx.Response:
        assert isinstance(answer.stream, Iterable)
        raw = httpx.Response(answer.status, headers=answer.headers, stream=_Stream(answer.stream), request=request)
        parts: list[bytes] = []
        size = 0
        for part in raw.iter_bytes(_CHUNK_BYTES):  # unpacked: a small answer may hide a large one
            size += len(part)
            if size > call.answer_bytes_max:
                raise call.too_large()
            parts.append(part)
        call.answered(status=answer.status, headers=raw.headers, body=b"".join(parts))
        kept = [(name, value) for name, value in raw.headers.multi_items() if name.lower() not in _DROPPED]
        return httpx.Response(answer.status, headers=kept, content=call.record.response_body, request=request)

    def close(self) -> None:
        """Refuse everything from now on and release the sockets."""
        self._guard.close()
        self._pool.close()


_CORE_ERRORS = (
    httpcore.ConnectionNotAvailable,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)


def _core_request(request: httpx.Request, body: bytes) -> httpcore.Request:
    url = request.url
    return httpcore.Request(
        method=request.method,
        url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=body,
    )


class _Client(httpx.Client):
    """httpx's client, which says after its end what the guard would say, not an error of its own."""

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        if self.is_closed:
            raise NotSent("this connection was closed; open the broker again")
        return super().send(request, **options)


class _Stream(httpx.SyncByteStream):
    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = parts

    def __iter__(self) -> Any:
        return iter(self._parts)


class _Backend(httpcore.NetworkBackend):
    """Opens sockets for the call that is under way, and for nothing else."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        call = _call()
        call.connecting(host, port)
        return _DeadlineStream(_connect(host, port, call))

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        raise OSError(f"a connection to {path!r} was stopped: only pinned network addresses are reached")

    def sleep(self, seconds: float) -> None:
        raise OSError("a pause before another try was stopped: nothing is sent twice")


class _DeadlineStream(httpcore.NetworkStream):
    """A connected socket whose every operation ends with the current call's deadline."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._sock.settimeout(_call().remaining_s())
        return self._sock.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        call = _call()
        call.remaining_s()
        call.first_byte()
        view = memoryview(buffer)
        while view:
            self._sock.settimeout(call.remaining_s())
            view = view[self._sock.send(view) :]

    def close(self) -> None:
        self._sock.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        self._sock.settimeout(_call().remaining_s())
        try:
            return _DeadlineStream(ssl_context.wrap_socket(self._sock, server_hostname=server_hostname))
        except BaseException:
            self._sock.close()
            raise

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # an idle connection that has something to say was closed by the other side
            return _is_readable(self._sock)
        found = {"socket": self._sock, "ssl_object": self._sock if isinstance(self._sock, ssl.SSLSocket) else None}
        return found.get(info)


def _is_readable(sock: socket.socket) -> bool:
    """Whether there is something to read, the end included; a socket that cannot be asked is as good as closed."""
    poll = select.poll()
    try:
        poll.register(sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return True
