"""Free loopback ports, the same ones as last time where they are still free."""

from __future__ import annotations

import socket


def is_free(port: int) -> bool:
    """Whether a server could listen on the loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


def pick(count: int, *, preferred: tuple[int, ...] = ()) -> tuple[int, ...]:
    """`count` different free ports; each keeps its preferred number where it can."""
    wanted = (*preferred, *([0] * count))[:count]
    held = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for probe, port in zip(held, wanted, strict=True):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port if 1024 <= port <= 65535 and is_free(port) else 0))
        return tuple(int(probe.getsockname()[1]) for probe in held)
    finally:
        for probe in held:
            probe.close()
