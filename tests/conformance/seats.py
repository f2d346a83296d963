"""What is played: every card of every product of every venue, and every recorded body."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from tests.conformance.card import Card, deck
from tests.conformance.playing import Proof, is_listed, product_of
from tests.conformance.recorded import recordings
from tests.conformance.venue import VenueUnderTest, venues
from tests.proof.wire_venues import Product

ENVIRONMENTS = ("simulated", "testnet")


def environment_of(environ: Mapping[str, str]) -> str:
    """The environment that a run asks for; ValueError for any but simulated and testnet, production above all."""
    name = environ.get("ENVIRONMENT") or "simulated"
    if name not in ENVIRONMENTS:
        raise ValueError(f"conformance runs in {' or '.join(ENVIRONMENTS)} and never in production, was {name!r}")
    return name


ENVIRONMENT = environment_of(os.environ)
CHOSEN = os.environ.get("VENUE", "")
IS_SIMULATED = ENVIRONMENT == "simulated"


@dataclass(frozen=True)
class Seat:
    """One card of one product of one venue."""

    venue: VenueUnderTest
    product: Product
    card: Card

    @property
    def name(self) -> str:
        return f"{self.venue.name}-{self.product.name}-{self.card.id}"

    @property
    def key(self) -> tuple[str, str, str]:
        """What the outcome is filed under."""
        proof = self.card.proof or (Proof.SIMULATOR if IS_SIMULATED else Proof.TESTNET)
        return self.card.id, product_of(self.card, self.product), proof


def chosen() -> tuple[VenueUnderTest, ...]:
    """The venues of this run."""
    return tuple(venue for venue in venues() if CHOSEN in ("", venue.name))


def seats(venue: VenueUnderTest) -> list[Seat]:
    return [Seat(venue, product, one) for product in venue.products for one in deck() if is_listed(one, venue, product)]


def keys(venue: VenueUnderTest) -> set[tuple[str, str, str]]:
    """Every key that a whole run of the venue files in this environment."""
    found = {seat.key for seat in seats(venue)}
    if IS_SIMULATED:
        found |= {(one.id, "", Proof.RECORDED) for one in recordings(venue.name)}
        found |= {(one, "", Proof.CLIENT) for one in venue.client.comparisons} if venue.client else set()
    return found
