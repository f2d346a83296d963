"""Identifiers as types: an id of one kind can never stand where another is meant.

Every id is a frozen value with a checked text. `str(x)` gives the text; ids of different kinds never compare equal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Self

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class Venue(StrEnum):
    """The venues that AlgoTrendy speaks, or has a place for."""

    ALPACA = "alpaca"
    BINANCE = "binance"
    BYBIT = "bybit"
    COINBASE = "coinbase"
    CRYPTOCOM = "cryptocom"
    INTERACTIVE_BROKERS = "interactive_brokers"
    KRAKEN = "kraken"
    NINJATRADER = "ninjatrader"
    OKX = "okx"
    TRADESTATION = "tradestation"


class Environment(StrEnum):
    """Environment is identity: pool, credentials, hosts and ledger all belong to exactly one."""

    SIMULATED = "simulated"
    TESTNET = "testnet"
    PRODUCTION = "production"


@dataclass(frozen=True, slots=True, order=True)
class _TextId:
    value: str
    length_max: ClassVar[int] = 64

    def __post_init__(self) -> None:
        if not isinstance(self.value, str) or not self.value.strip():
            raise ValueError(f"{type(self).__name__} must be non-empty text, was {self.value!r}")
        if len(self.value) > self.length_max:
            raise ValueError(
                f"{type(self).__name__} must have at most {self.length_max} characters, was {self.value!r}"
            )

    def __str__(self) -> str:
        return self.value

    def __hash__(self) -> int:
        return hash(self.value)  # ids are keys everywhere: the text keeps its hash, a tuple of it would not


class ClientOrderId(_TextId):
    """The id that we make, store before sending, and that the venue carries for us."""


class VenueOrderId(_TextId):
    """The id that the venue gives an order."""


class TradeId(_TextId):
    """The venue's id of one fill."""

    length_max: ClassVar[int] = 96


class IntentId(_TextId):
    """The id of one intention to trade; deterministic from the business key that caused it."""


class InstrumentId(_TextId):
    """A unified symbol: `BTC/USDT` spot, `BTC/USDT:USDT` linear perpetual, `AAPL` equity, `MESZ6` future."""


@dataclass(frozen=True, slots=True, order=True)
class AccountId:
    """One account at one venue in one environment; its text form is `venue.environment.name`."""

    venue: Venue
    environment: Environment
    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                "AccountId name must be 1-63 lowercase letters, digits and inner dashes, "
                f"was {self.name!r}; rename the account, e.g. 'main' or 'desk-2'"
            )

    def __str__(self) -> str:
        return f"{self.venue.value}.{self.environment.value}.{self.name}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `venue.environment.name`; raise ValueError naming the part that is wrong."""
        parts = text.split(".")
        if len(parts) != 3:
            raise ValueError(f"account id must read venue.environment.name, was {text!r}")
        try:
            return cls(Venue(parts[0]), Environment(parts[1]), parts[2])
        except ValueError as error:
            raise ValueError(f"account id {text!r} is not valid: {error}") from error
