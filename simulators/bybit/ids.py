"""Identifiers in Bybit's forms: UUIDs on derivatives, 19-digit numbers on spot, invented spot orderLinkIds."""

import random
import uuid

from simulators.core.types import MarketKind


class BybitIds:
    """Reproducible from the generator it is given."""

    def __init__(self) -> None:
        self._counter = 0

    def _number(self, now_ms: int) -> str:
        self._counter += 1
        return str(now_ms * 1_000_000 + self._counter % 1_000_000)

    @staticmethod
    def _uuid(rng: random.Random) -> str:
        return str(uuid.UUID(int=rng.getrandbits(128), version=4))

    def order_id(self, kind: MarketKind, now_ms: int, rng: random.Random) -> str:
        """Return a UUID for derivatives, a number for spot."""
        return self._number(now_ms) if kind is MarketKind.SPOT else self._uuid(rng)

    def client_id(self, kind: MarketKind, now_ms: int, rng: random.Random) -> str:
        """Return the orderLinkId that the venue invents: on spot only."""
        return self._number(now_ms) if kind is MarketKind.SPOT else ""

    def execution_id(self, kind: MarketKind, now_ms: int, rng: random.Random) -> str:
        """Return a trade id."""
        return f"2100{self._number(now_ms)[-15:]}" if kind is MarketKind.SPOT else self._uuid(rng)

    def entry_id(self, symbol: str, now_ms: int, rng: random.Random) -> str:
        """Return a transaction log id."""
        self._counter += 1
        return f"{self._counter}_{symbol}_{rng.getrandbits(40)}"
