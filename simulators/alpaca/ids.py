"""Identifiers in Alpaca's forms: UUIDs, and moments with finer digits than the engine's clock has."""

import random
import uuid

from simulators.core.types import MarketKind

_SPACE = uuid.UUID("6c8f4f5e-52c1-4b52-9f0d-7a0d7a3c1b11")


class AlpacaIds:
    """Reproducible from the generator it is given."""

    def order_id(self, kind: MarketKind, now_ms: int, rng: random.Random) -> str:
        """Return a new order's id."""
        return random_uuid(rng)

    def client_id(self, kind: MarketKind, now_ms: int, rng: random.Random) -> str:
        """Return the client id of an order that came without one."""
        return random_uuid(rng)

    def execution_id(self, kind: MarketKind, now_ms: int, rng: random.Random) -> str:
        """Return an execution's id."""
        return random_uuid(rng)

    def entry_id(self, symbol: str, now_ms: int, rng: random.Random) -> str:
        """Return a cash entry's id."""
        return random_uuid(rng)


def random_uuid(rng: random.Random) -> str:
    """Return a version 4 UUID."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def named_uuid(kind: str, name: str) -> str:
    """Return the UUID of an asset or an account, which is the same in every run."""
    return str(uuid.uuid5(_SPACE, f"{kind}:{name}"))


def is_uuid(text: str) -> bool:
    """Tell whether a text is a UUID."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


class Moments:
    """Gives each order a moment of its own, in microseconds: later than the one before by at least one."""

    def __init__(self) -> None:
        self._last_us = 0

    def next_us(self, now_ms: int) -> int:
        """Return the moment of something that happens now."""
        self._last_us = max(now_ms * 1000, self._last_us + 1)
        return self._last_us
