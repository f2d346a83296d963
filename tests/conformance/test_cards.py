"""Every card at every venue: on its simulator always, on its testnet where `ENVIRONMENT=testnet` asks for it."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest

from tests.conformance.card import Card, deck
from tests.conformance.conftest import Fields, Record
from tests.conformance.playing import is_listed, not_run, play
from tests.conformance.venue import VenueUnderTest, venues
from tests.proof.wire_venues import Product

ENVIRONMENT = os.environ.get("ENVIRONMENT", "simulated")
CHOSEN = os.environ.get("VENUE", "")


@dataclass(frozen=True)
class Seat:
    """One card of one product of one venue."""

    venue: VenueUnderTest
    product: Product
    card: Card

    @property
    def name(self) -> str:
        return f"{self.venue.name}-{self.product.name}-{self.card.id}"


SEATS = [
    Seat(venue, product, card)
    for venue in venues()
    for product in venue.products
    for card in deck()
    if (not CHOSEN or venue.name == CHOSEN) and is_listed(card, venue, product)
]


def test_the_environment_is_one_that_conformance_runs_in() -> None:
    assert ENVIRONMENT in ("simulated", "testnet"), f"conformance never runs in {ENVIRONMENT}"


@pytest.mark.parametrize(
    "seat", [pytest.param(s, marks=pytest.mark.xdist_group(f"conformance-{s.venue.name}"), id=s.name) for s in SEATS]
)
def test_card(seat: Seat, field_of: Fields, record: Record) -> None:
    field = field_of(seat.venue, ENVIRONMENT)
    if seat.card.levers and not field.has_levers:
        record(
            seat.venue.name,
            ENVIRONMENT,
            not_run(seat.card, seat.product, field.proof, "needs the simulator's control API"),
        )
        return
    with field.scene(seat.product) as scene:
        outcome = play(seat.card, scene, field.proof)
    record(seat.venue.name, ENVIRONMENT, outcome)
