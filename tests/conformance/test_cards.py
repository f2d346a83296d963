"""Every card at every venue: on its simulator always, on its testnet where `ENVIRONMENT=testnet` asks for it."""

from __future__ import annotations

import pytest

from tests.conformance import results
from tests.conformance.card import deck
from tests.conformance.conftest import WRITES, Fields, Record
from tests.conformance.playing import not_run, play
from tests.conformance.seats import ENVIRONMENT, IS_SIMULATED, Seat, chosen, environment_of, keys, seats
from tests.conformance.venue import VenueUnderTest, venues

SEATS = [
    pytest.param(seat, marks=pytest.mark.xdist_group(f"conformance-{venue.name}"), id=seat.name)
    for venue in chosen()
    for seat in seats(venue)
]
NEEDS_LEVERS = "needs the simulator's control API"


@pytest.mark.parametrize("seat", SEATS)
def test_card(seat: Seat, field_of: Fields, record: Record) -> None:
    field = field_of(seat.venue, ENVIRONMENT)
    if seat.card.levers and not field.has_levers:
        record(seat.venue.name, ENVIRONMENT, not_run(seat.card, seat.product, field.proof, NEEDS_LEVERS))
        return
    with field.scene(seat.product) as scene:
        outcome = play(seat.card, scene, field.proof)
    record(seat.venue.name, ENVIRONMENT, outcome)


def test_the_environment_is_one_that_conformance_runs_in() -> None:
    assert environment_of({}) == "simulated" and environment_of({"ENVIRONMENT": "testnet"}) == "testnet"
    for name in ("production", "live", "Testnet"):
        with pytest.raises(ValueError, match="never in production"):
            environment_of({"ENVIRONMENT": name})


@pytest.mark.skipif(WRITES or not IS_SIMULATED, reason="compares what is committed")
@pytest.mark.parametrize("venue", venues(), ids=lambda venue: venue.name)
def test_the_committed_file_holds_what_is_played_and_nothing_else(venue: VenueUnderTest) -> None:
    assert set(results.read(venue.name, ENVIRONMENT)) == keys(venue), f"run: make conformance VENUE={venue.name}"


@pytest.mark.skipif(WRITES, reason="compares what is committed")
def test_the_cards_words_are_those_that_are_shown() -> None:
    assert results.CARDS.read_text() == results.words(deck()), "run: make conformance"


def test_cards_are_many_and_each_says_what_it_is() -> None:
    cards = deck()
    assert len(cards) >= 100
    for card in cards:
        assert card.precondition.strip() and card.action.strip() and card.expected.strip(), card.id
        assert card.id.isupper() and card.id[-2:].isdigit(), card.id
