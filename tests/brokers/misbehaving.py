"""Answers that no venue should give, and how long a client may wait for them.

What goes on for ever ends only when the client leaves: that a call came back at all shows that its deadline held. What
is answered at once is given much time instead, so that a busy machine is not taken for a venue that hangs.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable

from brokers.errors import AnswerTimedOut, BrokerError
from brokers.wire import SendTicket
from tests.brokers.loopback import PATIENCE_S, Request, reply, ticket

SHORT_S = 0.6


def patience_s(expected: type[BrokerError]) -> float:
    """The time in which an answer must be there: short only where none comes."""
    return SHORT_S if expected is AnswerTimedOut else PATIENCE_S


def patient_ticket(expected: type[BrokerError]) -> SendTicket:
    return ticket(timeout_s=patience_s(expected))


def redirect(status: int) -> Callable[[Request, socket.socket], bool]:
    """To the same path at `redirect.target`."""

    def send(request: Request, sock: socket.socket) -> bool:
        return reply(status, "moved", Location=f"{redirect.target}{request.path}")(request, sock)  # type: ignore[attr-defined]

    send.__name__ = f"http {status}"
    return send


redirect.target = ""  # type: ignore[attr-defined]


def reset(_: Request, sock: socket.socket) -> bool:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def hang(_: Request, sock: socket.socket) -> bool:
    """Nothing, until the client has left."""
    sock.settimeout(None)
    return bool(sock.recv(1)) and False


def trickle_head(_: Request, sock: socket.socket) -> bool:
    sock.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    return _trickle(sock, b"a")


def trickle_body(_: Request, sock: socket.socket) -> bool:
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{")
    return _trickle(sock, b" ")


def _trickle(sock: socket.socket, byte: bytes) -> bool:
    """A byte at a time, until the client has left."""
    while True:
        sock.sendall(byte)
        threading.Event().wait(0.02)


def half_body(_: Request, sock: socket.socket) -> bool:
    sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{"retCode":0')
    return False


def endless(_: Request, sock: socket.socket) -> bool:
    """A body without an end, until the client has left."""
    sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        sock.sendall(b" " * 65536)
