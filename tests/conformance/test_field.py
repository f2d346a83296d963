"""A run against a real venue: whom it refuses, what it reads from the environment, and that it tidies up.

The venue is a simulator that is played without its levers, as a testnet is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.clock import ManualClock
from brokers.errors import BrokerError, OutcomeUnknown
from brokers.ids import AccountId, Environment, Venue
from tests.conformance.card import Where, deck
from tests.conformance.field import START, NoCredentials, NotFlat, TestnetField, config_of_testnet
from tests.conformance.playing import play
from tests.conformance.scene import LeftBehind
from tests.conformance.seats import Seat, seats
from tests.conformance.venue import VenueUnderTest, venues
from tests.trading.simulated import VenueClock

BYBIT = next(venue for venue in venues() if venue.name == "bybit")
LINEAR, SPOT = BYBIT.products


@contextmanager
def without_levers(venue: VenueUnderTest) -> Iterator[tuple[TestnetField, Any]]:
    """The field of a testnet, on a simulator."""
    with venue.wire.start(START) as sim:
        clock = VenueClock(START)
        clock.sim = sim
        yield TestnetField(venue, venue.wire.configure(sim.url, 4.0), clock=clock), sim.control


@pytest.fixture(scope="module")
def plain() -> Iterator[tuple[TestnetField, Any]]:
    with without_levers(BYBIT) as found:
        yield found


def left_behind(control: Any, dust: Decimal = Decimal(0)) -> list[str]:
    """What is open or held: orders, positions, and more of the base currency than the dust of one lot."""
    found = [f"order {order.order_id}" for order in control.orders("main", open_only=True)]
    found += [f"position {position.symbol}" for position in control.positions("main")]
    more = control.wallets("main").get("ETH", Decimal(0)) - dust
    return found + ([f"{more} ETH"] if more >= Decimal("0.00001") else [])


def dust_of(control: Any) -> Decimal:
    """What cards before this one left of the base currency, because fees are taken in it."""
    return Decimal(control.wallets("main").get("ETH", 0))


PLAIN = [seat for seat in seats(BYBIT) if not seat.card.levers]


@pytest.mark.parametrize("seat", PLAIN, ids=lambda seat: seat.name)
def test_a_card_of_a_testnet_leaves_nothing_behind(seat: Seat, plain: tuple[TestnetField, Any]) -> None:
    field, control = plain
    dust = dust_of(control)
    with field.scene(seat.product) as scene:
        assert scene.sim is None
        outcome = play(seat.card, scene, field.proof)
    assert outcome.proof == "testnet" and left_behind(control, dust) == []


@pytest.mark.parametrize("product", BYBIT.products, ids=lambda product: product.name)
def test_a_card_that_fails_leaves_nothing_behind(product: Any, plain: tuple[TestnetField, Any]) -> None:
    field, control = plain
    dust = dust_of(control)
    with pytest.raises(AssertionError, match="the card failed"), field.scene(product) as scene:
        scene.buy(parts=3)
        scene.working(scene.rest())
        assert left_behind(control, dust) != []
        raise AssertionError("the card failed")
    assert left_behind(control, dust) == []


def test_an_order_whose_answer_was_lost_is_taken_back(plain: tuple[TestnetField, Any]) -> None:
    field, control = plain
    for product, path in ((LINEAR, "/v5/order/create"), (SPOT, "/v5/order/create")):
        dust = dust_of(control)
        with pytest.raises(OutcomeUnknown), field.scene(product) as scene:
            request = scene.request(limit_price=scene.resting())
            control.fault("execute_then_drop", path=path)
            scene.send(scene.broker.prepare_order(request, scene.new_id()))
        assert left_behind(control, dust) == []


def test_what_cannot_be_undone_is_named(plain: tuple[TestnetField, Any]) -> None:
    field, control = plain
    with pytest.raises(LeftBehind, match="orders are open still"), field.scene(LINEAR) as scene:
        scene.working(scene.rest())
        control.fault("status", path="/v5/order/cancel", status=503, times=None)
    control.clear_faults()
    for order in control.orders("main", open_only=True):
        control.cancel_order("main", order.order_id)


def test_what_somebody_else_holds_is_not_touched() -> None:
    with without_levers(BYBIT) as (field, control):
        spot = {"account": "main", "symbol": SPOT.symbol, "kind": "spot", "side": "buy"}
        resting = control.place_order(**spot, qty="1", price="2000")
        control.place_order(account="main", symbol=LINEAR.symbol, side="buy", qty="0.5")
        with pytest.raises(NotFlat, match="account of its own"), field.scene(LINEAR):
            pass
        control.place_order(**spot, qty="0.5")
        with field.scene(SPOT) as scene:
            scene.buy()
        assert [order.order_id for order in control.orders("main", open_only=True)] == [resting.order_id]
        held = {position.symbol: position.qty for position in control.positions("main")}
        assert held == {LINEAR.symbol: Decimal("0.5")}
        assert 0 <= dust_of(control) - Decimal("0.4995") < Decimal("0.00001")


def test_orders_have_the_least_size_that_the_venue_takes(plain: tuple[TestnetField, Any]) -> None:
    field, _ = plain
    for product, notional in ((LINEAR, 100), (SPOT, 10)):
        with field.scene(product) as scene:
            placed = scene.rest()
            assert placed.request.quantity * (placed.request.limit_price or 0) < notional


def test_a_run_against_a_testnet_plays_most_cards() -> None:
    cards = {card.id for card in deck() if not card.levers}
    assert len(cards) >= 70 and {card.capability for card in deck() if not card.levers} > {"cancel", "fills", "quotes"}
    assert all(card.where is not None for card in deck() if card.where is not Where.ANY)


@pytest.mark.parametrize("venue", venues(), ids=lambda venue: venue.name)
def test_production_is_refused(venue: VenueUnderTest) -> None:
    own = venue.wire.configure("http://127.0.0.1:1", 4.0)
    account = AccountId(Venue(venue.name), Environment.PRODUCTION, "main")
    with pytest.raises(ValueError, match="never runs in production"):
        TestnetField(venue, replace(own, account_id=account, base_url=""))


@pytest.mark.parametrize("venue", venues(), ids=lambda venue: venue.name)
def test_credentials_come_from_named_variables(venue: VenueUnderTest, tmp_path: Path) -> None:
    with pytest.raises(NoCredentials) as caught:
        config_of_testnet(venue, {})
    names = [name.strip(",") for name in str(caught.value).split() if name.startswith("CONFORMANCE_")]
    given = dict.fromkeys(names, "SIM123456M") | {f"CONFORMANCE_{venue.name.upper()}_SECRETS_FOLDER": str(tmp_path)}
    config = config_of_testnet(venue, given)
    assert config.account_id.environment is Environment.TESTNET and config.base_url == ""
    with pytest.raises(NoCredentials, match="API_KEY"):
        config_of_testnet(venue, {**given, f"CONFORMANCE_{venue.name.upper()}_API_KEY": ""})
    with pytest.raises(BrokerError):
        field = TestnetField(venue, replace(config, host="no-such-host"), clock=ManualClock(START))
        field.scene(venue.products[0]).__enter__()
