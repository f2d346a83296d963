"""One simulator per venue and process; outcomes are compared with the committed file, or written to it.

`CONFORMANCE_WRITE=1` (what `make conformance` sets) writes; `VENUE` and `ENVIRONMENT` choose what is played.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.conformance import results, seats
from tests.conformance.card import deck
from tests.conformance.field import NoCredentials, SimulatedField, TestnetField, config_of_testnet
from tests.conformance.playing import Outcome
from tests.conformance.venue import VenueUnderTest, venues

WRITES = os.environ.get("CONFORMANCE_WRITE") == "1"
Fields = Callable[[VenueUnderTest, str], SimulatedField | TestnetField]
Record = Callable[[str, str, Outcome], None]
_WRITTEN: dict[tuple[str, str], list[Outcome]] = {}


def _opened(venue: VenueUnderTest, environment: str, stack: ExitStack) -> SimulatedField | TestnetField:
    """A venue whose testnet nobody has keys of is not reachable: left out, unless the run is about that venue alone."""
    if environment == "simulated":
        return SimulatedField(venue, stack)
    try:
        return TestnetField(venue, config_of_testnet(venue))
    except NoCredentials as error:
        if seats.CHOSEN:
            pytest.exit(str(error), returncode=2)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def field_of() -> Iterator[Fields]:
    """The field of a venue and environment, opened when it is first asked for."""
    with ExitStack() as stack:
        opened: dict[tuple[str, str], SimulatedField | TestnetField] = {}

        def find(venue: VenueUnderTest, environment: str) -> SimulatedField | TestnetField:
            key = (venue.name, environment)
            if key not in opened:
                opened[key] = _opened(venue, environment, stack)
            return opened[key]

        yield find


@pytest.fixture(scope="session")
def record() -> Iterator[Record]:
    """Compare an outcome with the committed file, or keep it for the new one."""
    committed: dict[tuple[str, str], dict[tuple[str, str, str], Outcome]] = {}

    def keep(venue: str, environment: str, outcome: Outcome) -> None:
        if WRITES:
            _WRITTEN.setdefault((venue, environment), []).append(outcome)
            return
        if (venue, environment) not in committed:
            committed[venue, environment] = results.read(venue, environment)
        known = committed[venue, environment]
        assert known.get(outcome.key) == outcome, (
            f"cli/conformance/{venue}.{environment}.json has another outcome; run: make conformance VENUE={venue}"
        )

    yield keep
    if WRITES:
        results.CARDS.write_text(results.words(deck()))
    rows = {row.name: row for row in venues()}
    for (venue, environment), outcomes in _WRITTEN.items():
        results.write(venue, environment, outcomes, keys=seats.keys(rows[venue]))
