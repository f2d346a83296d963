"""Free loopback ports, the same ones as last time where they are still free.

A port is free when it is chosen, and its server listens seconds later. Meanwhile the system hands out ports of its own
range to everybody who asks for any, so ours lie below that range.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from pathlib import Path

LOWEST = 20_000
TRIES_MAX = 200
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


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
            _bind(probe, port)
        return tuple(int(probe.getsockname()[1]) for probe in held)
    finally:
        for probe in held:
            probe.close()


def _bind(probe: socket.socket, port: int) -> None:
    candidates = [port] if 1024 <= port <= 65535 and is_free(port) else []
    for candidate in (*candidates, *_quiet_ports()):
        try:
            probe.bind(("127.0.0.1", candidate))
        except OSError:
            continue
        return
    probe.bind(("127.0.0.1", 0))


def _quiet_ports() -> Iterator[int]:
    """Ports in no order that the system gives to nobody by itself; none where its range begins too low."""
    try:
        end = int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):  # not Linux
        end = 32_768
    if end > LOWEST:
        for _ in range(TRIES_MAX):
            yield random.randrange(LOWEST, end)  # noqa: S311 - a port, no secret
