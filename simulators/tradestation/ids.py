"""Identifiers in TradeStation's forms: numbers for orders and positions, unpadded base64 for confirmations."""

import base64
import random

from simulators.core.types import MarketKind

FIRST_ORDER = 948_600_000


class TradeStationIds:
    """Reproducible from the generator it is given."""

    def __init__(self) -> None:
        self._counter = 0

    def order_id(self, kind: MarketKind, now_ms: int, rng: random.Random) -> str:
        """Return the next order number; gaps between them are other customers' orders."""
        self._counter += rng.randrange(1, 40)
        return str(FIRST_ORDER + self._counter)

    def client_id(self, kind: MarketKind, now_ms: int, rng: random.Random) -> str:
        """Return nothing: the venue invents no client order ids."""
        return ""

    def execution_id(self, kind: MarketKind, now_ms: int, rng: random.Random) -> str:
        """Return the core's own number of an execution; the wire knows none."""
        return f"x{rng.getrandbits(60)}"

    def entry_id(self, symbol: str, now_ms: int, rng: random.Random) -> str:
        """Return the core's own number of a cash entry; the wire knows none."""
        return f"e{rng.getrandbits(60)}"


def confirm_id(rng: random.Random) -> str:
    """Return a 22-character OrderConfirmID."""
    return base64.b64encode(rng.getrandbits(128).to_bytes(16, "big")).decode().rstrip("=")
