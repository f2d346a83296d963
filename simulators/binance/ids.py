"""Identifiers in Binance's forms: numbers that grow, 22 letters and digits for client ids nobody gave."""

import random
import string
from collections import Counter

from simulators.core.types import Instrument, InstrumentKey, MarketKind

ORDERS_FROM = {MarketKind.SPOT: 9_780_331_416, MarketKind.LINEAR: 4_087_922_043}
TRADES_FROM = 309_520_009
CLIENT_ID_LENGTH = 22
ALPHABET = string.ascii_letters + string.digits


class BinanceIds:
    """Reproducible from the generator it is given."""

    def __init__(self) -> None:
        self._orders: Counter[MarketKind] = Counter()
        self._trades: Counter[InstrumentKey] = Counter()
        self._entries = 0

    def order_id(self, kind: MarketKind, now_ms: int, rng: random.Random) -> str:
        """Return the next number of a product."""
        self._orders[kind] += 1
        return str(ORDERS_FROM[kind] + self._orders[kind])

    def client_id(self, kind: MarketKind, now_ms: int, rng: random.Random) -> str:
        """Return a client order id that the venue invents."""
        return "".join(rng.choices(ALPHABET, k=CLIENT_ID_LENGTH))

    def execution_id(self, kind: MarketKind, now_ms: int, rng: random.Random) -> str:
        """Return a number of no symbol; trades take theirs from `trade_id`."""
        return str(rng.getrandbits(40))

    def trade_id(self, instrument: Instrument, now_ms: int) -> str:
        """Return the next number of a symbol: trades of two symbols may bear the same one."""
        self._trades[instrument.key] += 1
        return str(TRADES_FROM + self._trades[instrument.key])

    def entry_id(self, symbol: str, now_ms: int, rng: random.Random) -> str:
        """Return a transaction id."""
        self._entries += 1
        return str(9_689_322_391 + self._entries)
