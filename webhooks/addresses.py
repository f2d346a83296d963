"""Who sent a request: the peer, or behind a named proxy the last hop that the proxy itself saw.

X-Forwarded-For is written by whoever sends the request; only what a proxy of ours appended at its end is true. So it is
read from the right, past our own proxies, and only when the peer is one of them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

FORWARDED_HEADERS = frozenset({b"x-forwarded-for", b"forwarded", b"x-real-ip"})


def network(text: str) -> Network:
    """An address or a network; ValueError for anything else."""
    return ipaddress.ip_network(text.strip(), strict=False)


def address(text: str) -> Address | None:
    """The address, an IPv4 one also where it came in IPv6 clothes; None when it is none."""
    try:
        found = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderList:
    """`allowed` None takes alerts from every address."""

    allowed: tuple[Network, ...] | None
    proxies: tuple[Network, ...] = ()

    def sender(self, peer: str, forwarded_for: Iterable[str]) -> Address | None:
        """Whose request it is; None when the proxy did not say it readably."""
        found = address(peer)
        if found is None or not _stands_in(found, self.proxies):
            return found
        hops = [hop for line in forwarded_for for hop in line.split(",")]
        for hop in reversed(hops):
            found = address(hop)
            if found is None or not _stands_in(found, self.proxies):
                return found
        return found  # nobody but our own proxies: one of them asks

    def allows(self, sender: Address | None) -> bool:
        return self.allowed is None or (sender is not None and _stands_in(sender, self.allowed))


def is_local(peer: str, header_names: Iterable[bytes]) -> bool:
    """A program on this machine asks, and no proxy asks for somebody else."""
    found = address(peer)
    return found is not None and found.is_loopback and not FORWARDED_HEADERS.intersection(header_names)


def _stands_in(found: Address, networks: tuple[Network, ...]) -> bool:
    return any(found in each for each in networks)
