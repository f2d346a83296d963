"""Bybit under test: linear perpetuals and spot of one unified account."""

from __future__ import annotations

from tests.conformance.capability import Capability
from tests.conformance.venue import VenueUnderTest, wire_row

_SPOT_LACKS = frozenset(
    {
        Capability.REDUCE_ONLY,
        Capability.HEDGE,
        Capability.POSITION_MODE,
        Capability.LEVERAGE,
    }
)
VENUE = VenueUnderTest(wire=wire_row("bybit"), lacks={"spot": _SPOT_LACKS})
