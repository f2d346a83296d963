"""Bybit's request limits (venues/bybit.md §6): rolling second per uid and endpoint, five seconds per address."""

from collections import defaultdict, deque
from collections.abc import Mapping

PER_SECOND: Mapping[tuple[str, str], int] = {
    ("/v5/order/create", "linear"): 10,
    ("/v5/order/amend", "linear"): 10,
    ("/v5/order/cancel", "linear"): 10,
    ("/v5/order/cancel-all", "linear"): 10,
    ("/v5/order/create", "spot"): 20,
    ("/v5/order/amend", "spot"): 10,
    ("/v5/order/cancel", "spot"): 20,
    ("/v5/order/cancel-all", "spot"): 20,
    ("/v5/order/realtime", ""): 50,
    ("/v5/order/history", ""): 50,
    ("/v5/execution/list", ""): 50,
    ("/v5/position/list", ""): 50,
    ("/v5/position/closed-pnl", ""): 50,
    ("/v5/position/set-leverage", ""): 10,
    ("/v5/position/switch-mode", ""): 10,
    ("/v5/account/wallet-balance", ""): 50,
    ("/v5/account/info", ""): 50,
    ("/v5/account/transaction-log", ""): 25,
    ("/v5/account/fee-rate", ""): 5,
    ("/v5/user/query-api", ""): 10,
    ("/v5/asset/coin/query-info", ""): 5,
    ("/v5/order/disconnected-cancel-all", ""): 5,
    ("/v5/account/query-dcp-info", ""): 5,
}


class RollingLimit:
    """At most so many events within a rolling window."""

    def __init__(self, maximum: int, window_ms: int) -> None:
        self.maximum = maximum
        self._window_ms = window_ms
        self._times: deque[int] = deque()

    def take(self, now_ms: int) -> tuple[bool, int, int]:
        """Count one event; return whether it is allowed, how many remain, and when the next is free."""
        while self._times and self._times[0] <= now_ms - self._window_ms:
            self._times.popleft()
        if len(self._times) >= self.maximum:
            return False, 0, self._times[0] + self._window_ms
        self._times.append(now_ms)
        return True, self.maximum - len(self._times), now_ms


class RequestLimits:
    """The limits of one venue; counts only while enabled."""

    def __init__(
        self,
        *,
        enabled: bool,
        overrides: Mapping[str, int],
        ip_max: int,
        ip_window_ms: int,
        ip_ban_ms: int,
    ) -> None:
        self.enabled = enabled
        self._overrides = overrides
        self._ip_max = ip_max
        self._ip_window_ms = ip_window_ms
        self._ip_ban_ms = ip_ban_ms
        self._by_endpoint: dict[tuple[int, str, str], RollingLimit] = {}
        self._by_ip: dict[str, RollingLimit] = defaultdict(lambda: RollingLimit(ip_max, ip_window_ms))
        self._banned_until: dict[str, int] = {}

    def ip_allows(self, remote: str, now_ms: int) -> bool:
        """Count a request of an address; false while it is banned."""
        if not self.enabled:
            return True
        if now_ms < self._banned_until.get(remote, 0):
            return False
        allowed, _, _ = self._by_ip[remote].take(now_ms)
        if not allowed:
            self._banned_until[remote] = now_ms + self._ip_ban_ms
        return allowed

    def take(self, uid: int, path: str, category: str, now_ms: int) -> tuple[bool, dict[str, str]]:
        """Count a signed request; return whether it is allowed and the headers that say so."""
        bucket = category if (path, category) in PER_SECOND else ""
        maximum = self._overrides.get(path, PER_SECOND.get((path, bucket), 50))
        if not self.enabled:
            return True, _headers(maximum, maximum - 1, now_ms)
        limit = self._by_endpoint.setdefault((uid, path, bucket), RollingLimit(maximum, 1000))
        allowed, left, reset_ms = limit.take(now_ms)
        return allowed, _headers(maximum, left, reset_ms)


def _headers(maximum: int, left: int, reset_ms: int) -> dict[str, str]:
    return {
        "X-Bapi-Limit": str(maximum),
        "X-Bapi-Limit-Status": str(left),
        "X-Bapi-Limit-Reset-Timestamp": str(reset_ms),
    }
