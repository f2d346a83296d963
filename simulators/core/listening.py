"""The listener below HTTP: connections that are reset while a request is still arriving."""

import socket
import struct
from asyncio import BaseTransport, Transport
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from simulators.core.clock import wall_ns
from simulators.core.wire import Call

Decide = Callable[[Call], int | None]


class CuttingServer(web.Server):
    """A server that asks `decide` at each request line after how many bytes the connection is reset (None: not)."""

    def __init__(self, handler: Any, *, decide: Decide, **options: Any) -> None:
        super().__init__(handler, **options)
        self._decide = decide

    def __call__(self) -> RequestHandler:
        return _Connection(self, decide=self._decide, loop=self._loop, **self._kwargs)

    def reset_all(self) -> None:
        """Reset every open connection."""
        for transport in list(self._connections.values()):
            reset(transport)


class _Connection(RequestHandler):
    def __init__(self, manager: Any, *, decide: Decide, **options: Any) -> None:
        super().__init__(manager, **options)
        self._decide = decide
        self._left: int | None = None

    def data_received(self, data: bytes) -> None:
        if self._left is None:
            call = _request_line(data)
            self._left = self._decide(call) if call is not None else None
            if self._left is None:
                super().data_received(data)
                return
        self._left -= len(data)
        if self._left <= 0 and self.transport is not None:
            reset(self.transport)


def _request_line(data: bytes) -> Call | None:
    """The first line as a call without headers and body; None in the middle of a request."""
    words = data.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/"):
        return None
    path, _, query = words[1].partition("?")
    return Call(words[0], path, query, b"", {}, "", wall_ns() // 1_000_000)


def reset(transport: BaseTransport) -> None:
    """End a connection with a reset (RST) instead of an ordinary close."""
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert isinstance(transport, Transport)
    transport.abort()
