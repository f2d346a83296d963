"""Playing one card: passed, or Unsupported in the typed way where the venue has not what the card is about."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import pytest

from brokers.errors import Unsupported
from tests.conformance.card import Card, Proof, Where
from tests.conformance.scene import Scene
from tests.conformance.venue import VenueUnderTest
from tests.proof.wire_venues import Product


class Ended(StrEnum):
    PASSED = "passed"
    UNSUPPORTED = "unsupported"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Outcome:
    """One line of the result file: nothing in it may change from run to run."""

    card: str
    capability: str
    proof: str
    outcome: str
    product: str = ""
    reason: str = ""
    count: int | None = None  # requests, rows or cases: what the card is about

    @property
    def key(self) -> tuple[str, str, str]:
        return self.card, self.product, self.proof

    def as_row(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value not in ("", None)}


def play(card: Card, scene: Scene, proof: Proof) -> Outcome:
    """Play the card; an AssertionError or any error that it does not expect is a failure of the venue's adapter."""
    product, proof = product_of(card, scene.product), card.proof or proof
    lacking = scene.lacking(card)
    if lacking is None:
        card.play(scene)
        return Outcome(card.id, card.capability, proof, Ended.PASSED, product, count=scene.notes.get("count"))
    sent = scene.broker.order_requests_sent
    with pytest.raises(Unsupported) as caught:
        (card.refused or card.play)(scene)
    if card.refused is not None:
        assert scene.broker.order_requests_sent == sent, f"an order left although {lacking} is not supported"
    assert str(caught.value).strip(), "Unsupported must say what is not supported"
    return Outcome(card.id, card.capability, proof, Ended.UNSUPPORTED, product, reason=str(caught.value))


def not_run(card: Card, product: Product, proof: Proof, reason: str) -> Outcome:
    own = card.proof or proof
    return Outcome(card.id, card.capability, own, Ended.NOT_RUN, product_of(card, product), reason=reason)


def product_of(card: Card, product: Product) -> str:
    """The product that an outcome is filed under: none where the card speaks of the account."""
    return "" if card.where is Where.ACCOUNT else product.name


def is_listed(card: Card, venue: VenueUnderTest, product: Product) -> bool:
    """Whether the venue has such a card: by what its products are, and by what its row has to offer."""
    if card.key is not None and card.key not in venue.keys:
        return False
    if card.row and not getattr(venue, card.row):
        return False
    if card.where is Where.ACCOUNT:
        return product is venue.products[0]
    return card.where is Where.ANY or venue.is_position(product) is (card.where is Where.POSITION)
