"""TradeStation's request quotas: a rolling window per resource, user and API key (developer pages, older edition)."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

WINDOW_S = 300
QUOTAS: Mapping[str, tuple[int, int]] = {
    "accounts": (250, WINDOW_S),
    "balances": (250, WINDOW_S),
    "positions": (250, WINDOW_S),
    "orders": (250, WINDOW_S),
    "order": (320, WINDOW_S),
    "symbols": (320, WINDOW_S),
    "quotes": (30, 60),
    "streams": (500, WINDOW_S),
}
"""At most so many requests in so many seconds. `order` and `symbols` are unpublished: QuantConnect's client's own."""


@dataclass(slots=True)
class _Window:
    maximum: int
    window_ms: int
    times: deque[int]

    def take(self, now_ms: int) -> tuple[bool, int, int]:
        """Count one request; return whether it is allowed, how many are left, seconds until the next is free."""
        while self.times and self.times[0] <= now_ms - self.window_ms:
            self.times.popleft()
        allowed = len(self.times) < self.maximum
        if allowed:
            self.times.append(now_ms)
        reset_ms = self.times[0] + self.window_ms - now_ms if self.times else 0
        return allowed, self.maximum - len(self.times), -(-reset_ms // 1000)


class RequestQuotas:
    """The quotas of one venue; they count only while enabled."""

    def __init__(self, *, enabled: bool, overrides: Mapping[str, int]) -> None:
        unknown = sorted(set(overrides) - set(QUOTAS))
        if unknown:
            raise ValueError(f"rate_limits.per_window names unknown resources {unknown}; there are {sorted(QUOTAS)}")
        self.enabled = enabled
        self._overrides = overrides
        self._windows: dict[tuple[str, str], _Window] = {}

    def take(self, client_id: str, resource: str, now_ms: int) -> tuple[bool, dict[str, str]]:
        """Count a request of a client; return whether it is allowed and the headers that say so."""
        maximum, window_s = QUOTAS[resource]
        maximum = self._overrides.get(resource, maximum)
        if not self.enabled:
            return True, _headers(maximum, maximum - 1, window_s)
        window = self._windows.setdefault((client_id, resource), _Window(maximum, window_s * 1000, deque()))
        allowed, left, reset_s = window.take(now_ms)
        return allowed, _headers(maximum, left, reset_s)


def _headers(maximum: int, left: int, reset_s: int) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(maximum),
        "X-RateLimit-Remaining": str(left),
        "X-RateLimit-Reset": str(reset_s),
    }
