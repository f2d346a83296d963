"""ccxt's reading and ours of the same simulator: equal field by field, or different for a reason that is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.conformance.card import Proof
from tests.conformance.conftest import Fields, Record
from tests.conformance.differential import Readings, differing, set_the_scene
from tests.conformance.playing import Ended, Outcome
from tests.conformance.seats import ENVIRONMENT, IS_SIMULATED, chosen
from tests.conformance.venue import VenueUnderTest

CLIENTS = [venue for venue in chosen() if venue.client is not None and IS_SIMULATED]


@pytest.fixture(
    scope="module",
    params=[pytest.param(v, marks=pytest.mark.xdist_group(f"conformance-{v.name}"), id=v.name) for v in CLIENTS],
)
def sides(request: pytest.FixtureRequest, field_of: Fields) -> Iterator[tuple[VenueUnderTest, list[Any]]]:
    """One state of the venue per product, with the client and our adapter both on it."""
    venue: VenueUnderTest = request.param
    with ExitStack() as stack:
        field = field_of(venue, ENVIRONMENT)
        scenes = stack.enter_context(field.scenes([p for p in venue.products if venue.client.covers(p)]))
        for scene in scenes:
            set_the_scene(scene)
        yield venue, [(scene, stack.enter_context(venue.client.opened(scene))) for scene in scenes]


def test_what_differs_is_explained_and_what_is_explained_differs(
    sides: tuple[VenueUnderTest, list[Any]], record: Record
) -> None:
    venue, pairs = sides
    found: dict[str, str] = {}
    for comparison in venue.client.comparisons:
        rows = 0
        for scene, exchange in pairs:
            readings = venue.client.readings(scene, exchange, comparison)
            rows += len(readings.ours)
            found |= {f"{scene.product.name}/{comparison}.{n}": words for n, words in differing(readings).items()}
        assert rows, f"{comparison} compared nothing"
    explained = venue.client.differences
    unexplained = {name: words for name, words in found.items() if not {name, name.split("/")[1]} & set(explained)}
    assert not unexplained, "\n".join(f"{name}: {words}" for name, words in unexplained.items())
    seen = {part for name in found for part in (name, name.split("/")[1])}
    assert set(explained) <= seen, f"explained, but equal: {sorted(set(explained) - seen)}"
    for comparison in venue.client.comparisons:
        capability = venue.client.capability(comparison)
        record(venue.name, ENVIRONMENT, Outcome(comparison, capability, Proof.CLIENT, Ended.PASSED))


def test_a_difference_is_seen() -> None:
    same = {"a": {"x": 1, "y": None}}
    assert differing(Readings(same, {"a": {"x": 1, "y": None}})) == {}
    assert differing(Readings(same, {"a": {"x": 2, "y": None}})) == {"x": "a: theirs 1, ours 2"}
    assert set(differing(Readings(same, {}))) == {"row"} == set(differing(Readings({}, same)))
