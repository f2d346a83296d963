"""OKX's request limits: rolling two seconds per user (orders: and instrument) or per address; no header tells them."""

from collections import deque
from collections.abc import Mapping

WINDOW_MS = 2_000
WINDOWS_MS: Mapping[str, int] = {"/api/v5/system/status": 5_000}
PER_WINDOW: Mapping[str, int] = {
    "/api/v5/trade/order": 60,
    "/api/v5/trade/batch-orders": 300,
    "/api/v5/trade/cancel-order": 60,
    "/api/v5/trade/cancel-batch-orders": 300,
    "/api/v5/trade/amend-order": 60,
    "/api/v5/trade/amend-batch-orders": 300,
    "/api/v5/trade/close-position": 20,
    "/api/v5/trade/cancel-all-after": 2,
    "/api/v5/trade/orders-pending": 60,
    "/api/v5/trade/orders-history": 40,
    "/api/v5/trade/orders-history-archive": 20,
    "/api/v5/trade/order-algo": 20,
    "/api/v5/trade/cancel-algos": 20,
    "/api/v5/trade/orders-algo-pending": 20,
    "/api/v5/trade/orders-algo-history": 20,
    "/api/v5/trade/fills": 60,
    "/api/v5/trade/fills-history": 10,
    "/api/v5/account/balance": 10,
    "/api/v5/account/positions": 10,
    "/api/v5/account/positions-history": 10,
    "/api/v5/account/config": 5,
    "/api/v5/account/bills": 10,
    "/api/v5/account/bills-archive": 10,
    "/api/v5/account/instruments": 20,
    "/api/v5/account/leverage-info": 20,
    "/api/v5/account/set-leverage": 20,
    "/api/v5/account/set-position-mode": 5,
    "/api/v5/account/trade-fee": 5,
    "/api/v5/asset/balances": 12,
    "/api/v5/asset/currencies": 12,
    "/api/v5/public/instruments": 20,
    "/api/v5/public/time": 10,
    "/api/v5/public/mark-price": 10,
    "/api/v5/public/price-limit": 20,
    "/api/v5/public/funding-rate": 10,
    "/api/v5/market/ticker": 20,
    "/api/v5/market/tickers": 20,
    "/api/v5/market/books": 40,
    "/api/v5/system/status": 1,
}
"""Requests in two seconds by path; a batch counts its orders, and a batch of one as a single order."""
SINGLES: Mapping[str, str] = {
    "/api/v5/trade/batch-orders": "/api/v5/trade/order",
    "/api/v5/trade/cancel-batch-orders": "/api/v5/trade/cancel-order",
    "/api/v5/trade/amend-batch-orders": "/api/v5/trade/amend-order",
}
COUNTED = frozenset(
    {
        "/api/v5/trade/order",
        "/api/v5/trade/batch-orders",
        "/api/v5/trade/amend-order",
        "/api/v5/trade/amend-batch-orders",
    }
)
"""What the limit of the whole account counts: new and amended orders."""


class RollingLimit:
    """At most so many events within a rolling window."""

    def __init__(self, maximum: int, window_ms: int) -> None:
        self.maximum = maximum
        self._window_ms = window_ms
        self._times: deque[int] = deque()

    def take(self, now_ms: int, count: int = 1) -> bool:
        """Count some events, all or none; tell whether they are allowed."""
        while self._times and self._times[0] <= now_ms - self._window_ms:
            self._times.popleft()
        if len(self._times) + count > self.maximum:
            return False
        self._times.extend([now_ms] * count)
        return True


class RequestLimits:
    """The limits of one venue; counts only while enabled."""

    def __init__(self, *, enabled: bool, overrides: Mapping[str, int], account_max: int) -> None:
        self.enabled = enabled
        self._overrides = overrides
        self._account_max = account_max
        self._limits: dict[tuple[str, ...], RollingLimit] = {}

    def take(self, *, method: str, path: str, who: str, what: tuple[str, ...], now_ms: int) -> bool:
        """Count a request of a user or an address for some instruments (or types); tell whether it is allowed."""
        if not self.enabled:
            return True
        named = SINGLES[path] if path in SINGLES and len(what) == 1 else path
        maximum = self._overrides.get(named, PER_WINDOW.get(named, 20))
        window = WINDOWS_MS.get(named, WINDOW_MS)
        return all(self._of((who, method, named, one), maximum, window).take(now_ms) for one in what or ("",))

    def take_account(self, *, path: str, who: str, count: int, now_ms: int) -> bool:
        """Count new and amended orders of a whole account; tell whether they are allowed."""
        if not self.enabled or path not in COUNTED:
            return True
        return self._of((who, "account"), self._account_max, WINDOW_MS).take(now_ms, count)

    def _of(self, key: tuple[str, ...], maximum: int, window_ms: int) -> RollingLimit:
        if key not in self._limits:
            self._limits[key] = RollingLimit(maximum, window_ms)
        return self._limits[key]
