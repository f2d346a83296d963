"""Spec cards: id, precondition, action, expected, and the function that plays it.

A card speaks of the port alone and knows no venue. What a venue has not is said by its row of facts (`capability.py`)
or by its row under test; such a card must then end in the typed Unsupported, which is an outcome as well.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tests.conformance.capability import Capability
from tests.conformance.venue import KeyKind

if TYPE_CHECKING:
    from tests.conformance.scene import Scene

TOPICS = (
    "connection",
    "instruments",
    "account",
    "positions",
    "order_types",
    "sending",
    "cancelling",
    "look_up",
    "fills",
    "cash",
    "settings",
    "refusals",
    "faults",
    "odd_bodies",
    "requests",
)


class Proof(StrEnum):
    """What stands behind an outcome."""

    SIMULATOR = "simulator"
    CLIENT = "independent client"
    RECORDED = "recorded body"
    TESTNET = "testnet"
    WIRE = "wire layer"


class Where(StrEnum):
    """Which products of a venue a card speaks of; a product that it does not speak of has no such card."""

    ANY = "any"
    POSITION = "held as a position"
    BALANCE = "held as a balance"
    ACCOUNT = "the account: played once per venue, on its first product"


@dataclass(frozen=True)
class Card:
    """One thing that must hold at every venue.

    `needs` are further capabilities: where one is lacking, the card must end in Unsupported as well. `levers`: it needs
    the simulator's control API and so is not run at a real venue. `refused` is what to call where something is lacking;
    without it the play itself must end in Unsupported.
    """

    id: str
    capability: Capability
    precondition: str
    action: str
    expected: str
    play: Callable[[Scene], Any]
    needs: frozenset[Capability] = frozenset()
    where: Where = Where.ANY
    levers: bool = False
    key: KeyKind | None = None  # listed only where the venue's row knows such a key
    proof: Proof | None = None  # other than that of the environment
    row: str = ""  # listed only where this field of the venue's row is there
    refused: Callable[[Scene], Any] | None = None


_DECK: dict[str, Card] = {}


def card(
    name: str,
    capability: Capability,
    *,
    given: str,
    does: str,
    expects: str,
    needs: Collection[Capability] = (),
    where: Where = Where.ANY,
    levers: bool = False,
    key: KeyKind | None = None,
    proof: Proof | None = None,
    row: str = "",
    refused: Callable[[Scene], Any] | None = None,
) -> Callable[[Callable[[Scene], Any]], Callable[[Scene], Any]]:
    """Add the decorated function to the deck as the play of a card."""

    def add(play: Callable[[Scene], Any]) -> Callable[[Scene], Any]:
        if name in _DECK:
            raise ValueError(f"two cards are called {name}")
        _DECK[name] = Card(
            name, capability, given, does, expects, play, frozenset(needs), where, levers, key, proof, row, refused
        )
        return play

    return add


def deck() -> tuple[Card, ...]:
    """Every card, by topic and within it as written."""
    for topic in TOPICS:
        import_module(f"tests.conformance.cards.{topic}")
    return tuple(_DECK.values())
