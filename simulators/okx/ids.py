"""Identifiers in OKX's forms: rising 19-digit numbers for orders and bills, short ones for trades."""

import random

from simulators.core.types import MarketKind

EPOCH_MS = 1_400_000_000_000
FIRST_TRADE = 1_000_000


class OKXIds:
    """Reproducible: a function of the clock and of what was made before.

    A trade's number is unique only within its market: the first of spot and the first of swaps are the same, as
    OKX's are unique only within an instrument.
    """

    def __init__(self) -> None:
        self._last = 0
        self._trades = dict.fromkeys(MarketKind, FIRST_TRADE)

    def number(self, now_ms: int) -> str:
        """Return a number above all earlier ones."""
        self._last = max(self._last + 1, max(now_ms - EPOCH_MS, 0) << 22)
        return str(self._last)

    def order_id(self, kind: MarketKind, now_ms: int, rng: random.Random) -> str:
        """Return an ordId."""
        return self.number(now_ms)

    def client_id(self, kind: MarketKind, now_ms: int, rng: random.Random) -> str:
        """Return the clOrdId that the venue invents: none."""
        return ""

    def execution_id(self, kind: MarketKind, now_ms: int, rng: random.Random) -> str:
        """Return a tradeId."""
        self._trades[kind] += 1
        return str(self._trades[kind])

    def entry_id(self, symbol: str, now_ms: int, rng: random.Random) -> str:
        """Return a billId."""
        return self.number(now_ms)
