"""Where cards are played: an environment of a venue, opened once and brought back to its beginning for each card."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from pydantic import SecretStr

from brokers.clock import Clock, SystemClock
from brokers.config import AccountConfig
from brokers.factory import open_broker
from brokers.ids import AccountId, Environment, InstrumentId, Venue
from brokers.port import Broker
from tests.conformance.card import Proof
from tests.conformance.scene import Scene
from tests.conformance.venue import KeyKind, VenueUnderTest
from tests.proof.wire_venues import Product
from tests.trading.simulated import VenueClock

START = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)  # a Monday, ten in New York
TIMEOUT_S = 4.0
CARDS_APART_S = 1.0  # at a real venue, whose budgets of requests others may share
TESTNET_PREFIX = "CONFORMANCE"


class NoCredentials(Exception):
    """The environment variables of a testnet run are not all there; the text names them."""


class NotFlat(Exception):
    """A card would trade where somebody else holds a position."""


class Field(Protocol):
    """One venue in one environment."""

    venue: VenueUnderTest
    proof: Proof
    has_levers: bool

    def scene(self, product: Product) -> AbstractContextManager[Scene]:
        """A fresh scene; at a real venue it is tidied up afterwards, also when the card fails."""
        ...


class SimulatedField:
    """The venue's simulator on a clock of its own: waiting moves it, so that protocol times pass at once."""

    proof = Proof.SIMULATOR
    has_levers = True

    def __init__(self, venue: VenueUnderTest, stack: ExitStack) -> None:
        self.venue = venue
        self._sim = stack.enter_context(venue.wire.start(START))

    @contextmanager
    def scene(self, product: Product) -> Iterator[Scene]:
        with self.scenes([product]) as (scene,):
            yield scene

    @contextmanager
    def scenes(self, products: Sequence[Product]) -> Iterator[list[Scene]]:
        """Several products of one fresh account, each with a scene of its own over the same broker."""
        self._sim.control.reset()
        clock = VenueClock(START)
        clock.sim = self._sim
        with ExitStack() as stack:

            def opened(config: AccountConfig) -> Broker:
                return stack.enter_context(open_broker(config, clock=clock))

            def open_as(kind: KeyKind) -> Broker:
                own = self.venue.wire.configure(self._sim.url, TIMEOUT_S)
                return opened(changed(self.venue, own, kind, self._sim.url))

            config = self.venue.wire.configure(self._sim.url, TIMEOUT_S)
            broker = opened(config)
            levers = {"sim": self._sim, "open_as": open_as, "open_many": self._open_many}
            yield [
                Scene(self.venue, product, broker, clock, config, tag=f"s{number}", **levers)
                for number, product in enumerate(products)
            ]

    @contextmanager
    def _open_many(self) -> Iterator[tuple[Any, Broker, Sequence[InstrumentId]]]:
        """Another simulator of the venue, with many instruments, and a broker on it."""
        assert self.venue.many is not None
        with self.venue.many(START) as (sim, ids):
            clock = VenueClock(START)
            clock.sim = sim
            with open_broker(self.venue.wire.configure(sim.url, TIMEOUT_S), clock=clock) as broker:
                yield sim, broker, ids


class TestnetField:
    """The venue's own testnet, demo or paper environment. Production cannot be reached from here."""

    __test__ = False
    proof = Proof.TESTNET
    has_levers = False

    def __init__(self, venue: VenueUnderTest, config: AccountConfig, *, clock: Clock | None = None) -> None:
        if config.account_id.environment is Environment.PRODUCTION:
            raise ValueError(f"conformance never runs in production, was asked for {config.account_id}")
        self.venue = venue
        self._config = config
        self._clock = clock or SystemClock()

    @contextmanager
    def scene(self, product: Product) -> Iterator[Scene]:
        self._clock.wait(CARDS_APART_S)
        with open_broker(self._config, clock=self._clock) as broker:
            broker.connect()
            tag = secrets.token_hex(4).upper()
            scene = Scene(self.venue, product, broker, self._clock, self._config, tag=tag)
            before, open_before = scene.held(), frozenset(scene.open_now())
            if scene.instrument.is_position and before:
                raise NotFlat(f"{product.instrument_id} is held already ({before}); use an account of its own")
            try:
                yield scene
            finally:
                scene.tidy(before, open_before)


def changed(venue: VenueUnderTest, config: AccountConfig, kind: KeyKind, url: str) -> AccountConfig:
    """The account's configuration with another key."""
    found = venue.keys[kind]
    return replace(config, **(found(url) if callable(found) else found))


def config_of_testnet(venue: VenueUnderTest, environ: Mapping[str, str] = os.environ) -> AccountConfig:
    """The account of a testnet run, from environment variables; NoCredentials names those that are missing.

    `CONFORMANCE_<VENUE>_API_KEY` and `_API_SECRET`; where the venue knows them `_API_PASSPHRASE`, `_VENUE_ACCOUNT`,
    `_SECRETS_FOLDER` (of a login); `_HOST` chooses among several testnet hosts.
    """
    access, start = venue.capabilities.access, f"{TESTNET_PREFIX}_{venue.name.upper()}"
    needed = ["API_KEY", *(["API_SECRET"] if access.needs_secret else [])]
    needed += ["VENUE_ACCOUNT"] if access.names_account else []
    needed += ["SECRETS_FOLDER"] if access.needs_login else []
    needed += ["API_PASSPHRASE"] if getattr(access, "needs_passphrase", False) else []
    missing = [f"{start}_{name}" for name in needed if not environ.get(f"{start}_{name}")]
    if missing:
        raise NoCredentials(f"set {', '.join(missing)} to run against the testnet of {venue.name}")

    def given(name: str) -> str:
        return environ.get(f"{start}_{name}", "")

    fields: dict[str, Any] = {
        "account_id": AccountId(Venue(venue.name), Environment.TESTNET, "conformance"),
        "api_key": SecretStr(given("API_KEY")),
        "api_secret": SecretStr(given("API_SECRET")),
        "host": given("HOST"),
        "venue_account": given("VENUE_ACCOUNT"),
        "secrets_folder": Path(given("SECRETS_FOLDER")) if given("SECRETS_FOLDER") else None,
        "settle_currencies": venue.capabilities.settle_currencies,
        "products": venue.capabilities.products,
    }
    if "API_PASSPHRASE" in needed:
        fields["api_passphrase"] = SecretStr(given("API_PASSPHRASE"))
    if getattr(venue.capabilities, "reads_by_instrument", False):
        fields["instruments"] = tuple(product.instrument_id for product in venue.products)
    return AccountConfig(**fields)
