"""Alpaca's request limits: so many requests a minute and key, trading and market data apart."""

from simulators.alpaca.config import QuotaConfig

WINDOW_S = 60


class RequestLimits:
    """Counts requests in minutes of the gateway's clock; only while enabled."""

    def __init__(self, config: QuotaConfig) -> None:
        self.enabled = config.enabled
        self._maximum = {"trading": config.trading, "data": config.data}
        self._counts: dict[tuple[str, str], tuple[int, int]] = {}

    def maximum(self, service: str) -> int:
        """Return how many requests of a service a minute allows."""
        return self._maximum[service]

    def take(self, key: str, service: str, now_ms: int) -> tuple[bool, dict[str, str]]:
        """Count a request; return whether it is allowed and the headers that say so."""
        maximum = self._maximum[service]
        minute = now_ms // 1000 // WINDOW_S
        reset_s = (minute + 1) * WINDOW_S
        if not self.enabled:
            return True, headers(maximum, maximum - 1, reset_s)
        before, count = self._counts.get((key, service), (minute, 0))
        count = count + 1 if before == minute else 1
        self._counts[(key, service)] = (minute, count)
        return count <= maximum, headers(maximum, max(maximum - count, 0), reset_s)


def headers(maximum: int, left: int, reset_s: int) -> dict[str, str]:
    """Return the three headers of each answer; the reset is a moment in seconds."""
    return {
        "X-RateLimit-Limit": str(maximum),
        "X-RateLimit-Remaining": str(left),
        "X-RateLimit-Reset": str(reset_s),
    }
