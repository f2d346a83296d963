"""Every recorded body through its adapter, against values worked out by hand."""

from __future__ import annotations

import pytest

from tests.conformance.capability import Capability
from tests.conformance.card import Proof
from tests.conformance.conftest import Record
from tests.conformance.playing import Ended, Outcome
from tests.conformance.recorded import Recording, agrees, recording, recordings, replayed
from tests.conformance.seats import ENVIRONMENT, IS_SIMULATED, chosen
from tests.conformance.venue import VenueUnderTest

PLAYED = [
    pytest.param(venue, one, id=f"{venue.name}-{one.id}")
    for venue in chosen()
    for one in recordings(venue.name)
    if IS_SIMULATED
]


@pytest.mark.parametrize(("venue", "recorded"), PLAYED)
def test_a_recorded_body_reads_as_worked_out_by_hand(
    venue: VenueUnderTest, recorded: Recording, record: Record
) -> None:
    assert recorded.source.strip() and recorded.expected not in (None, {}), "a recording names its source"
    found = replayed(venue, recorded)
    assert agrees(found, recorded.expected), f"expected {recorded.expected}, found {found}"
    capability = Capability(recorded.capability)
    record(venue.name, ENVIRONMENT, Outcome(recorded.id, capability, Proof.RECORDED, Ended.PASSED))


def test_a_body_that_a_card_needs_and_nobody_wrote_is_named_with_its_place() -> None:
    with pytest.raises(LookupError, match=r"write tests/conformance/recorded/kraken/REC-OPEN-OVER-01\.json"):
        recording("kraken", "REC-OPEN-OVER-01")


def test_comparing_sees_what_differs() -> None:
    assert agrees({"a": "1", "b": [{"c": None}]}, {"b": [{"c": None}]})
    for wrong in ({"a": "2"}, {"b": [{"c": "0"}]}, {"b": []}, {"d": None}):
        assert not agrees({"a": "1", "b": [{"c": None}]}, wrong)
