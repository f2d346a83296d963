"""Opening a socket within the one total deadline of a guarded call: name resolution included, whatever library asks."""

from __future__ import annotations

import queue
import socket
import threading
from typing import Any

from brokers.guard import GuardedCall


def connect(host: str, port: int, call: GuardedCall) -> socket.socket:
    """Resolve and connect within the call's deadline, over all addresses together."""
    last: OSError | None = None
    for family, kind, protocol, _, address in _resolve(host, port, call.remaining_s()):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(call.remaining_s())
            sock.connect(address)
            sock.settimeout(call.remaining_s())  # the TLS handshake comes next and is bounded by it as a whole
        except OSError as error:
            sock.close()
            last = error
            if call.is_expired:
                break
        else:
            return sock
    raise call.failure(last or OSError(f"no address for {host}"))


def _resolve(host: str, port: int, timeout_s: float) -> list[Any]:
    """getaddrinfo with a deadline (the C library has none); numeric addresses need no thread."""
    try:
        return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass
    answer: queue.SimpleQueue[list[Any] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
        except OSError as error:
            answer.put(error)

    threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
    try:
        found = answer.get(timeout=timeout_s)
    except queue.Empty:
        raise OSError(f"no address for {host} within {timeout_s:.1f} s") from None
    if isinstance(found, OSError):
        raise found
    return found
