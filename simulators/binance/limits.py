"""Binance's limits (venues/binance.md §6): request weight per address and minute, orders per account, bans.

Windows are those of the clock, as the venue's are: a minute's weight is gone when the next minute begins. Spot and
futures count apart. Whoever goes on after 429 is banned (418), for twice as long each time, up to three days.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from simulators.binance.errors import BinanceError
from simulators.core.types import MarketKind

MINUTE_MS = 60_000
BAN_S_MAX = 3 * 86_400


@dataclass(frozen=True, slots=True)
class Interval:
    """One window of the clock, as exchangeInfo and the headers name it."""

    name: str
    number: int
    letter: str
    length_ms: int

    @property
    def suffix(self) -> str:
        """Return the end of the header's name, e.g. 10S."""
        return f"{self.number}{self.letter}"


MINUTE = Interval("MINUTE", 1, "M", MINUTE_MS)
TEN_SECONDS = Interval("SECOND", 10, "S", 10_000)
DAY = Interval("DAY", 1, "D", 86_400_000)


@dataclass(frozen=True, slots=True)
class ProductLimits:
    """The limits of one product: weight a minute and address, orders an interval and account."""

    weight_max: int
    orders: tuple[tuple[Interval, int], ...]

    def rows(self) -> list[dict[str, object]]:
        """Return exchangeInfo's rateLimits."""
        weight = _row("REQUEST_WEIGHT", MINUTE, self.weight_max)
        return [weight, *(_row("ORDERS", interval, maximum) for interval, maximum in self.orders)]


def _row(kind: str, interval: Interval, maximum: int) -> dict[str, object]:
    return {"rateLimitType": kind, "interval": interval.name, "intervalNum": interval.number, "limit": maximum}


@dataclass(slots=True)
class _Address:
    """One address at one product: when it was last told to stop, how often since, and its bans."""

    refused: int = 0
    refused_window: int = -1
    banned_until_ms: int = 0
    bans: int = 0


class _Window:
    """Counts of one window of the clock; an older window's are forgotten."""

    def __init__(self, length_ms: int) -> None:
        self._length_ms = length_ms
        self._number = -1
        self._counts: Counter[object] = Counter()

    def counts(self, now_ms: int) -> Counter[object]:
        """Return the counts of the present window."""
        number = now_ms // self._length_ms
        if number != self._number:
            self._number, self._counts = number, Counter()
        return self._counts


@dataclass(slots=True)
class RequestLimits:
    """The limits of one venue; they are counted always and kept while enabled."""

    enabled: bool
    products: dict[MarketKind, ProductLimits]
    ban_after: int
    ban_s: int
    _weights: dict[MarketKind, _Window] = field(default_factory=lambda: defaultdict(lambda: _Window(MINUTE_MS)))
    _orders: dict[tuple[MarketKind, Interval], _Window] = field(default_factory=dict)
    _addresses: dict[tuple[MarketKind, str], _Address] = field(default_factory=lambda: defaultdict(_Address))

    def charge(self, kind: MarketKind, remote: str, weight: int, now_ms: int) -> None:
        """Count a request's weight, or raise: -1003 with 429, with 418 once the address is banned."""
        address = self._addresses[(kind, remote)]
        if self.enabled and now_ms < address.banned_until_ms:
            raise self._banned(address, now_ms)
        counts = self._weights[kind].counts(now_ms)
        counts[remote] += weight
        if not self.enabled or counts[remote] <= self.products[kind].weight_max:
            return
        window = now_ms // MINUTE_MS
        if window != address.refused_window:
            address.refused, address.refused_window = 0, window
        address.refused += 1
        if address.refused > self.ban_after:
            length_s = min(self.ban_s << address.bans, BAN_S_MAX)
            address.bans, address.refused = address.bans + 1, 0
            address.banned_until_ms = now_ms + length_s * 1000
            raise self._banned(address, now_ms)
        text = f"Too much request weight used; current limit is {self.products[kind].weight_max} request weight per 1 MINUTE. "
        text += "Please use WebSocket Streams for live updates to avoid polling the API."
        raise BinanceError(-1003, text, headers={"Retry-After": str(_seconds((window + 1) * MINUTE_MS - now_ms))})

    @staticmethod
    def _banned(address: _Address, now_ms: int) -> BinanceError:
        text = f"Way too much request weight used; IP banned until {address.banned_until_ms}. "
        text += "Please use WebSocket Streams for live updates to avoid bans."
        left = _seconds(address.banned_until_ms - now_ms)
        return BinanceError(-1003, text, status=418, headers={"Retry-After": str(left)})

    def give_back(self, kind: MarketKind, remote: str, weight: int, now_ms: int) -> None:
        """Take back the weight of a request that costs nothing because it succeeded."""
        self._weights[kind].counts(now_ms)[remote] -= weight

    def used_headers(self, kind: MarketKind, remote: str, now_ms: int) -> dict[str, str]:
        """Return how much weight an address has used."""
        used = str(self._weights[kind].counts(now_ms)[remote])
        return (
            {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}
            if kind is MarketKind.SPOT
            else {"X-MBX-USED-WEIGHT-1M": used}
        )

    # orders
    def _order_counts(self, kind: MarketKind, interval: Interval, now_ms: int) -> Counter[object]:
        window = self._orders.setdefault((kind, interval), _Window(interval.length_ms))
        return window.counts(now_ms)

    def check_orders(self, kind: MarketKind, account: str, now_ms: int) -> None:
        """Refuse a further order of an account that has placed too many: -1015."""
        if not self.enabled:
            return
        for interval, maximum in self.products[kind].orders:
            if self._order_counts(kind, interval, now_ms)[account] >= maximum:
                text = f"Too many new orders; current limit is {maximum} orders per {interval.number} {interval.name}."
                left = _seconds(interval.length_ms - now_ms % interval.length_ms)
                raise BinanceError(-1015, text, headers={"Retry-After": str(left)})

    def count_order(self, kind: MarketKind, account: str, now_ms: int, by: int = 1) -> None:
        """Count an order that was placed, or (-1) a spot order that has got its first fill."""
        for interval, _ in self.products[kind].orders:
            counts = self._order_counts(kind, interval, now_ms)
            counts[account] = max(counts[account] + by, 0)

    def order_headers(self, kind: MarketKind, account: str, now_ms: int) -> dict[str, str]:
        """Return how many orders an account has placed."""
        return {
            f"X-MBX-ORDER-COUNT-{interval.suffix}": str(self._order_counts(kind, interval, now_ms)[account])
            for interval, _ in self.products[kind].orders
        }

    def order_rows(self, kind: MarketKind, account: str, now_ms: int) -> list[dict[str, object]]:
        """Return rateLimit/order's rows."""
        return [
            _row("ORDERS", interval, maximum) | {"count": self._order_counts(kind, interval, now_ms)[account]}
            for interval, maximum in self.products[kind].orders
        ]


def _seconds(span_ms: int) -> int:
    """Return whole seconds, never less than what is left."""
    return -(-span_ms // 1000)
