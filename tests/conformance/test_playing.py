"""The suite itself can fail: an adapter that breaks a card, or calls unsupported what it has, or has what it denies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from brokers.errors import InvalidOrder, Unsupported
from tests.conformance.capability import Capability as C
from tests.conformance.card import Card, Proof, deck
from tests.conformance.conftest import Fields
from tests.conformance.playing import Ended, not_run, play
from tests.conformance.scene import Scene
from tests.conformance.venue import VenueUnderTest, venues

BYBIT = next(venue for venue in venues() if venue.name == "bybit")
LINEAR, SPOT = BYBIT.products


def a_card(play_it: Callable[[Scene], Any], **changes: Any) -> Card:
    return replace(Card("A-01", C.LEVERAGE, "given", "does", "expects", play_it), **changes)


def raising(error: BaseException) -> Callable[[Scene], Any]:
    def run(_: Scene) -> None:
        raise error

    return run


def test_a_card_passes_or_fails_by_what_its_play_says(field_of: Fields) -> None:
    with field_of(BYBIT, "simulated").scene(LINEAR) as scene:
        assert play(a_card(lambda _: None), scene, Proof.SIMULATOR).outcome == Ended.PASSED
        for error in (AssertionError("wrong"), InvalidOrder("terms"), Unsupported("says that it has none")):
            with pytest.raises(type(error)):
                play(a_card(raising(error)), scene, Proof.SIMULATOR)


def test_what_is_lacking_must_say_so_in_the_typed_way(field_of: Fields) -> None:
    with field_of(BYBIT, "simulated").scene(SPOT) as scene:
        outcome = play(a_card(raising(Unsupported("no leverage here"))), scene, Proof.SIMULATOR)
        assert (outcome.outcome, outcome.reason, outcome.product) == (Ended.UNSUPPORTED, "no leverage here", "spot")
        with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
            play(a_card(lambda _: None), scene, Proof.SIMULATOR)
        with pytest.raises(InvalidOrder):
            play(a_card(raising(InvalidOrder("terms"))), scene, Proof.SIMULATOR)
        with pytest.raises(AssertionError, match="must say what"):
            play(a_card(raising(Unsupported(" "))), scene, Proof.SIMULATOR)


def test_what_is_lacking_sends_no_order_first(field_of: Fields) -> None:
    def sends_and_refuses(scene: Scene) -> None:
        scene.rest()
        raise Unsupported("too late")

    with field_of(BYBIT, "simulated").scene(SPOT) as scene, pytest.raises(AssertionError, match="an order left"):
        play(a_card(raising(AssertionError()), refused=sends_and_refuses), scene, Proof.SIMULATOR)


def test_an_adapter_that_sends_twice_fails_its_card(field_of: Fields, monkeypatch: pytest.MonkeyPatch) -> None:
    card = next(card for card in deck() if card.id == "SEND-ONE-01")
    with field_of(BYBIT, "simulated").scene(LINEAR) as scene:
        place = scene.broker.place

        def twice(prepared: Any, ticket: Any) -> Any:
            scene.human("buy", prepared.request.quantity, price=prepared.request.limit_price)
            return place(prepared, ticket)

        monkeypatch.setattr(scene.broker, "place", twice)
        with pytest.raises(AssertionError):
            play(card, scene, Proof.SIMULATOR)


def test_an_adapter_that_makes_up_a_balance_fails_its_card(field_of: Fields, monkeypatch: pytest.MonkeyPatch) -> None:
    card = next(card for card in deck() if card.id == "BAL-TRUTH-01")
    with field_of(BYBIT, "simulated").scene(LINEAR) as scene:
        monkeypatch.setattr(scene.broker, "balances", lambda: ())
        with pytest.raises(AssertionError):
            play(card, scene, Proof.SIMULATOR)


def test_a_card_that_was_not_run_says_why() -> None:
    outcome = not_run(a_card(lambda _: None), LINEAR, Proof.TESTNET, "needs levers")
    assert outcome.as_row() == {
        "card": "A-01",
        "capability": "leverage",
        "proof": "testnet",
        "outcome": "not run",
        "product": "linear",
        "reason": "needs levers",
    }


@pytest.mark.parametrize("venue", venues(), ids=lambda venue: venue.name)
def test_a_row_is_whole(venue: VenueUnderTest) -> None:
    """What a row may leave out while it is written is there in the end."""
    assert venue.errors is not None and venue.many is not None and venue.serve is not None
    assert venue.shapes and venue.client is not None and len(venue.keys) >= 2
