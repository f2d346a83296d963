"""Three times of a venue: the gateway's (signatures), the engine's (stamps) and the market's (prices, funding).

`wall`: stamps follow the machine's clock plus a skew; the market moves only when advanced (or follows, if asked).
`manual`: stamps and market are one clock that only `advance` moves, so a run is deterministic; signatures are still
checked against the machine's clock, because unmodified clients sign with it, unless `gateway` says `engine`.
"""

import time
from collections.abc import Callable
from enum import Enum


class ClockMode(Enum):
    WALL = "wall"
    MANUAL = "manual"


class GatewayClock(Enum):
    WALL = "wall"
    ENGINE = "engine"


def wall_ns() -> int:
    """Return the machine's UTC clock in nanoseconds."""
    return time.time_ns()


class Clock:
    """The venue's clocks. Times are integer milliseconds since the epoch unless the name says ns."""

    def __init__(
        self,
        *,
        mode: ClockMode,
        start_ms: int | None = None,
        skew_ms: int = 0,
        gateway: GatewayClock = GatewayClock.WALL,
        market_start_ms: int | None = None,
        market_follows: bool = False,
        source_ns: Callable[[], int] = wall_ns,
    ) -> None:
        if mode is ClockMode.MANUAL and start_ms is None:
            raise ValueError("clock.start is needed when clock.mode is manual")
        self.mode = mode
        self.skew_ms = skew_ms
        self.gateway = gateway
        self.market_follows = market_follows
        self._source_ns = source_ns
        self._manual_ms = start_ms or 0
        self._origin_ms = source_ns() // 1_000_000
        first = start_ms if start_ms is not None else self._origin_ms
        self._market_ms = market_start_ms if market_start_ms is not None else first

    def _wall_ms(self) -> int:
        return self._source_ns() // 1_000_000 + self.skew_ms

    def now_ms(self) -> int:
        """Return the engine's time: what orders, fills and entries are stamped with."""
        return self._manual_ms if self.mode is ClockMode.MANUAL else self._wall_ms()

    def gateway_ns(self) -> int:
        """Return the time that signatures are checked against and that the venue tells its clients."""
        if self.mode is ClockMode.MANUAL and self.gateway is GatewayClock.ENGINE:
            return (self._manual_ms + self.skew_ms) * 1_000_000
        return self._source_ns() + self.skew_ms * 1_000_000

    def gateway_ms(self) -> int:
        """Return `gateway_ns` in milliseconds."""
        return self.gateway_ns() // 1_000_000

    def market_ms(self) -> int:
        """Return the market's time: the last moment to which prices and funding have been brought."""
        return self._market_ms

    def market_due_ms(self) -> int:
        """Return the time to which the market should be brought now, without an explicit advance."""
        if self.mode is ClockMode.WALL and self.market_follows:
            elapsed = self._source_ns() // 1_000_000 - self._origin_ms
            self._origin_ms += elapsed
            return self._market_ms + elapsed
        return self._market_ms

    def move_market(self, to_ms: int) -> None:
        """Bring the market (and, in manual mode, the engine) to a later moment."""
        if to_ms < self._market_ms:
            raise ValueError(f"the market's clock only moves forward, at {self._market_ms}, was asked {to_ms}")
        if self.mode is ClockMode.MANUAL:
            self._manual_ms += to_ms - self._market_ms
        self._market_ms = to_ms

    def place_market(self, at_ms: int) -> None:
        """Put the market's clock anywhere in history, without events in between; stamps move along in manual mode."""
        self._market_ms = at_ms
        if self.mode is ClockMode.MANUAL:
            self._manual_ms = at_ms
