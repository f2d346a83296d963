"""What a receiver is started with: limits with their units, the address, and who may send.

Every limit is checked while a request is read, never after: what is refused is not held in memory.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Final

from webhooks.addresses import Network, SenderList, network
from webhooks.reasons import ReceiverReason

# https://www.tradingview.com/support/solutions/43000529348 : where alerts come from. No IPv6.
TRADINGVIEW_ADDRESSES: Final = ("52.89.214.238", "34.212.75.30", "54.218.53.128", "52.32.178.7")
TRADINGVIEW: Final = "tradingview"
ANYONE: Final = "anyone"
RETRY_AFTER_S: Final = 5  # TradingView sends again after five seconds


class ReceiverRefused(ValueError):
    """The receiver does not start with these settings."""

    def __init__(self, message: str, *, field: str, value: str, reason: ReceiverReason) -> None:
        super().__init__(message)
        self.field = field
        self.value = value
        self.reason = reason

    @property
    def remedy(self) -> str:
        return self.reason.remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """TradingView gives up after 3 s and does not say that it repeats a request that timed out: an answer must leave
    before. The times of one request count from its first byte, of a connection's first request from the connect."""

    head_s_max: float = 2.0
    request_s_max: float = 2.5  # to receive all of it
    commit_s_max: float = 2.4  # to have it committed, so that the answer has left after 2.5 s
    connection_s_max: float = 4.5  # for a request, its answer and the rest of a refused body; then it is cut off
    idle_s_max: float = 4.0
    head_bytes_max: int = 16_384
    header_count_max: int = 64
    body_bytes_max: int = 65_536
    rest_bytes_max: int = 262_144  # of a refused body, read and dropped so that its sender can read the answer
    connections_max: int = 1_000
    queue_count_max: int = 2_000
    queue_bytes_max: int = 33_554_432
    group_count_max: int = 500
    disk_free_bytes_min: int = 500_000_000
    backlog_new_max: int = 50_000  # the ledger's own limit; above it `/ready` says no before it refuses
    refresh_s: float = 2.0  # tokens, backlog and disk are read again this often
    probe_s: float = 2.0  # an idle writer tries the ledger this often
    stale_s_max: float = 10.0  # older than this, what was read or written last no longer counts as ready

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value <= 0:
                raise ReceiverRefused(
                    f"the limit {name} must be above zero, was {value}",
                    field=name,
                    value=str(value),
                    reason=ReceiverReason.SETTING_REFUSED,
                )
        if not self.head_s_max <= self.request_s_max < self.connection_s_max or self.commit_s_max > self.request_s_max:
            raise ReceiverRefused(
                "the limits of time must rise: head_s_max, request_s_max (not below commit_s_max), connection_s_max",
                field="commit_s_max",
                value=str(self.commit_s_max),
                reason=ReceiverReason.SETTING_REFUSED,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where the receiver listens and whom it takes alerts from. Made by `listening`."""

    host: str
    port: int
    senders: SenderList
    is_loopback: bool
    limits: Limits = field(default_factory=Limits)


def listening(
    *, host: str, port: int, proxies: tuple[str, ...] = (), allowed: tuple[str, ...] = (), limits: Limits | None = None
) -> Listening:
    """Check the address and the senders; `allowed` are addresses, networks, or the words tradingview and anyone.

    Without `allowed`, plain loopback takes alerts from anyone on the machine, and everything else takes them from
    TradingView's addresses. Raises ReceiverRefused.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError as error:
        raise ReceiverRefused(
            f"--host must be an address such as 127.0.0.1 or 0.0.0.0, was {host!r}",
            field="--host",
            value=host,
            reason=ReceiverReason.SETTING_REFUSED,
        ) from error
    if not 0 <= port <= 65_535:
        raise ReceiverRefused(
            f"--port must be 0 to 65535, was {port}",
            field="--port",
            value=str(port),
            reason=ReceiverReason.SETTING_REFUSED,
        )
    if not address.is_loopback and not proxies and not allowed:
        raise ReceiverRefused(
            f"the receiver speaks plain HTTP and would listen on {host} for everyone",
            field="--host",
            value=host,
            reason=ReceiverReason.NOT_PROTECTED,
        )
    wanted = allowed or ((ANYONE,) if address.is_loopback and not proxies else (TRADINGVIEW,))
    senders = SenderList(
        allowed=None if ANYONE in wanted else tuple(n for text in wanted for n in _networks(text, "--allow")),
        proxies=tuple(n for text in proxies for n in _networks(text, "--behind-proxy")),
    )
    return Listening(host=host, port=port, senders=senders, is_loopback=address.is_loopback, limits=limits or Limits())


def _networks(text: str, option: str) -> tuple[Network, ...]:
    if text == TRADINGVIEW and option == "--allow":
        return tuple(network(address) for address in TRADINGVIEW_ADDRESSES)
    try:
        return (network(text),)
    except ValueError as error:
        raise ReceiverRefused(
            f"{option} must be an address or a network such as 10.0.0.0/8, was {text!r}",
            field=option,
            value=text,
            reason=ReceiverReason.SETTING_REFUSED,
        ) from error
