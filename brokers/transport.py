"""The guarded transport for SDKs on `requests`: mounted into their session, it is the only way out.

- pinned origins, no proxies, no netrc, no redirects, TLS always verified;
- no re-send of any kind: urllib3 retries are off, and a connection that broke after the first byte is never reopened;
- one total deadline over name resolution, connect, handshake, send and the whole body, byte trickle included;
- an order leaves once per ticket (`brokers.guard`).

The deadline is kept by the socket itself: every send and receive gets the time that is left of the call.
"""

from __future__ import annotations

import http.client
import io
import socket
import threading
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from brokers.clock import SystemClock
from brokers.errors import BrokerError, NotSent
from brokers.guard import GuardedCall, SendGuard
from brokers.sockets import connect as _connect

POOL_CONNECTIONS_MAX = 16
IDLE_S_MAX = 10.0  # an older idle connection is reopened: a stale one would turn a send into an unknown outcome
_CHUNK_BYTES = 65_536

_IO_CLOCK = SystemClock()
_current = threading.local()


def _call() -> GuardedCall:
    call: GuardedCall | None = getattr(_current, "call", None)
    if call is None:
        raise RuntimeError("the guarded connection was used outside of the guarded adapter")
    return call


class GuardedAdapter(HTTPAdapter):
    """A requests adapter that lets through only what its guard allows."""

    def __init__(self, guard: SendGuard) -> None:
        self._guard = guard
        super().__init__(max_retries=Retry(0, read=False), pool_maxsize=POOL_CONNECTIONS_MAX)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block=block, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _GuardedHttpPool, "https": _GuardedHttpsPool}

    def mount(self, session: requests.Session) -> None:
        """Make this the session's only way out and switch off what requests does by itself."""
        session.trust_env = False
        session.max_redirects = 0
        session.proxies.clear()
        for prefix in list(session.adapters):
            session.adapters.pop(prefix).close()
        session.mount("https://", self)
        session.mount("http://", self)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send once. BrokerError only; the complete body is read before this returns."""
        call = self._guard.begin(method=request.method or "", url=request.url or "", body=_body_bytes(request.body))
        _current.call = call
        try:
            # timeout only bounds what is not a socket operation of ours; the socket keeps the total deadline.
            response = super().send(request, stream=True, timeout=call.timeout_s, verify=True, cert=None, proxies=None)
            self._read(call, response)
        except BrokerError as error:
            raise call.failure(error) from error.__cause__
        except (RequestException, HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            raise call.failure(error) from error
        finally:
            _current.call = None
        return response

    def _read(self, call: GuardedCall, response: requests.Response) -> None:
        parts: list[bytes] = []
        size = 0
        try:
            for part in response.iter_content(_CHUNK_BYTES):
                size += len(part)
                if size > call.answer_bytes_max:
                    raise call.too_large()
                parts.append(part)
            call.answered(status=response.status_code, headers=response.raw.headers, body=b"".join(parts))
        except BaseException:
            response.raw.close()  # never return a half-read connection to the pool
            raise
        response._content = call.record.response_body


def _body_bytes(body: Any) -> bytes:
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes):
        return body
    raise NotSent(f"request body must be text or bytes, was {type(body).__name__}")


class _DeadlineSocket:
    """A connected socket whose every operation ends with the current call's deadline."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._readers = 0
        self._closed = False

    def sendall(self, data: Any) -> None:
        call = _call()
        call.remaining_s()
        call.first_byte()
        view = memoryview(data).cast("B")
        while view:
            self._sock.settimeout(call.remaining_s())
            view = view[self._sock.send(view) :]

    def recv_into(self, buffer: Any) -> int:
        self._sock.settimeout(_call().remaining_s())
        return int(self._sock.recv_into(buffer))

    def makefile(self, mode: str, *_: Any, **__: Any) -> io.BufferedReader:
        if mode != "rb":
            raise ValueError(f"mode must be 'rb', was {mode!r}")
        self._readers += 1
        return io.BufferedReader(_DeadlineReader(self))

    def settimeout(self, _: float | None) -> None:
        """Ignored: the call's deadline rules."""

    def fileno(self) -> int:
        return int(self._sock.fileno())

    def shutdown(self, how: int) -> None:
        self._sock.shutdown(how)

    def release_reader(self) -> None:
        self._readers -= 1
        self._close_when_unused()

    def close(self) -> None:
        self._closed = True
        self._close_when_unused()

    def _close_when_unused(self) -> None:
        # http.client closes the socket of a closing answer while its body is still being read.
        if self._closed and self._readers <= 0:
            self._sock.close()


class _DeadlineReader(io.RawIOBase):
    def __init__(self, owner: _DeadlineSocket) -> None:
        self._owner = owner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._owner.recv_into(buffer)

    def close(self) -> None:
        if not self.closed:
            self._owner.release_reader()
        super().close()


class _Guarded:
    """What both kinds of connection share."""

    sock: Any
    host: str
    port: int
    _dns_host: str
    _idle_since: float | None = None

    def _new_conn(self) -> socket.socket:
        call = _call()
        call.connecting(self._dns_host, self.port)
        return _connect(self._dns_host, self.port, call)

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.sock = _DeadlineSocket(self.sock)

    @property
    def is_connected(self) -> bool:
        idle_since = self._idle_since
        if idle_since is not None and _IO_CLOCK.monotonic() - idle_since > IDLE_S_MAX:
            return False
        return bool(super().is_connected)  # type: ignore[misc]

    def getresponse(self) -> Any:
        response = super().getresponse()  # type: ignore[misc]
        self._idle_since = _IO_CLOCK.monotonic()
        return response


class _GuardedHttp(_Guarded, HTTPConnection):
    pass


class _GuardedHttps(_Guarded, HTTPSConnection):
    pass


class _GuardedHttpPool(HTTPConnectionPool):
    ConnectionCls = _GuardedHttp


class _GuardedHttpsPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedHttps
