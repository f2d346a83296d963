"""A private websocket of Bybit, kept for one reason: that the venue notices when we are gone.

Source: V5 "Connect". The socket is opened by our own guard, to one pinned host, without a proxy; the library speaks the
protocol on it (`websockets`, which logs what is sent at level DEBUG: here it has no logger, for the login is in it).
A connection over which nothing goes for `ALIVE_S` is ended by Bybit (which looks every 30 s): so it notices a machine
without power too, and a process that hangs.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import socket
import ssl
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from brokers import sockets
from brokers.clock import Clock, epoch_ms
from brokers.errors import (
    AnswerTimedOut,
    AnswerUnreadable,
    AuthenticationRefused,
    BrokerError,
    ConnectionLost,
    PermissionRefused,
)
from brokers.guard import GuardedCall, Origin, SendGuard, Verb
from brokers.strictjson import decode, encode

PATH = "/v5/private"
ALIVE_S = 30  # the shortest that Bybit takes
PING_EVERY_S = 10.0  # of our clock: two may be missed
TIMEOUT_S = 5.0  # of connecting and logging in, and of each answer: the watch waits for it
LOGIN_VALID_S = 10.0
MESSAGE_BYTES_MAX = 1_000_000
_SILENT = logging.Logger("brokers.bybit.stream")
_SILENT.disabled = True


def classify(method: str, path: str) -> Verb:
    """The one thing that is opened there."""
    return Verb.READ if (method, path) == ("GET", PATH) else Verb.FORBIDDEN


class PrivateStream:
    """One account's private websocket. Not for several threads at once; every method raises only BrokerError."""

    def __init__(self, *, url: str, api_key: str, api_secret: str, topics: tuple[str, ...], clock: Clock) -> None:
        """`url` is the origin that the stream is served at, as http or https."""
        self._url = url
        self._api_key = api_key
        self._secret = api_secret.encode()
        self._topics = topics
        self._clock = clock
        self._guard = SendGuard(
            origins=frozenset({Origin.of(url)}),
            classify=classify,
            clock=clock,
            timeout_s=TIMEOUT_S,
            secrets=(api_key, api_secret),
        )
        self._connection: ClientConnection | None = None
        self._heard_at_s = float("-inf")

    def keep(self, *, offset: timedelta) -> None:
        """Have it open, logged in and subscribed when this returns. `offset` is the venue's time minus ours."""
        if self._connection is not None and self._is_alive(self._connection):
            return
        self.close()
        connection = self._opened()
        try:
            self._log_in(connection, offset)
            self._ask(connection, {"op": "subscribe", "args": list(self._topics)})
        except BaseException:
            _end(connection)
            raise
        self._connection = connection
        self._heard_at_s = self._clock.monotonic()

    def close(self) -> None:
        """End the connection; Bybit begins to count when it was the last."""
        if self._connection is not None:
            _end(self._connection)
            self._connection = None

    def shut(self) -> None:
        """Close for good."""
        self.close()
        self._guard.close()

    def _is_alive(self, connection: ClientConnection) -> bool:
        """Whether nothing has ended it; when it is time, by asking the venue."""
        try:
            while True:
                connection.recv(timeout=0)  # what is told to subscribers; nothing of it is needed
        except TimeoutError:
            pass
        except (WebSocketException, OSError):
            return False
        if self._clock.monotonic() - self._heard_at_s < PING_EVERY_S:
            return True
        try:
            self._ask(connection, {"op": "ping"})
        except BrokerError:
            return False
        self._heard_at_s = self._clock.monotonic()
        return True

    # -- connecting ---------------------------------------------------------------------------------------------
    def _opened(self) -> ClientConnection:
        target = f"{self._url}{PATH}?max_active_time={ALIVE_S}s"
        call = self._guard.begin(method="GET", url=target, body=b"")
        parts = urlsplit(self._url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        raw = sockets.connect(host, port, call)
        try:
            return self._shaken(raw, target, call)
        except (WebSocketException, OSError) as error:
            raw.close()
            raise call.failure(error) from error

    def _shaken(self, raw: socket.socket, target: str, call: GuardedCall) -> ClientConnection:
        raw.settimeout(None)  # the library keeps the time from here on
        call.first_byte()
        return connect(
            target.replace("http", "ws", 1),  # https becomes wss
            sock=raw,
            ssl=ssl.create_default_context() if target.startswith("https:") else None,
            proxy=None,
            compression=None,
            user_agent_header=None,
            open_timeout=call.remaining_s(),
            ping_interval=None,  # Bybit goes by its own heartbeat
            close_timeout=1.0,
            max_size=MESSAGE_BYTES_MAX,
            logger=_SILENT,
        )

    def _log_in(self, connection: ClientConnection, offset: timedelta) -> None:
        expires = epoch_ms(self._clock.now() + offset) + round(LOGIN_VALID_S * 1000)
        signature = hmac.new(self._secret, f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
        self._ask(connection, {"op": "auth", "args": [self._api_key, expires, signature]})

    # -- asking -------------------------------------------------------------------------------------------------
    def _ask(self, connection: ClientConnection, message: Mapping[str, Any]) -> None:
        """Say something and wait until Bybit has said yes to it."""
        operation = str(message["op"])
        deadline_s = self._guard.io_clock.monotonic() + TIMEOUT_S
        try:
            connection.send(encode(dict(message)))
            while True:
                answer = _read(connection.recv(timeout=max(deadline_s - self._guard.io_clock.monotonic(), 0)))
                if answer.get("op") in (operation, "pong" if operation == "ping" else operation):
                    break
        except TimeoutError as error:
            raise AnswerTimedOut(f"{PATH} {operation}: no answer within {TIMEOUT_S} s") from error
        except (WebSocketException, OSError) as error:
            raise ConnectionLost(f"{PATH} {operation}: the connection broke: {type(error).__name__}") from error
        if operation == "ping" or answer.get("success") is True:
            return
        if answer.get("success") is False:
            kind = AuthenticationRefused if operation == "auth" else PermissionRefused
            said = self._guard.without_secrets(str(answer.get("ret_msg", "")))[:300]
            raise kind(f"Bybit refused to {operation} at {PATH}: {said}", text=said)
        raise AnswerUnreadable(f"{PATH} {operation}: the answer says neither that it was done nor that it was refused")


def _read(message: str | bytes) -> Mapping[str, Any]:
    try:
        found = decode(message if isinstance(message, bytes) else message.encode())
    except ValueError as error:
        raise AnswerUnreadable(f"{PATH} said what is not the documented JSON: {error}") from error
    if not isinstance(found, dict):
        raise AnswerUnreadable(f"{PATH} must say objects, said {type(found).__name__}")
    return found


def _end(connection: ClientConnection) -> None:
    """Close within a second, whatever the other side does; a connection that is gone already is closed as well."""
    try:
        connection.close()
    except (WebSocketException, OSError):
        connection.close_socket()
