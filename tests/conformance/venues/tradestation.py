"""TradeStation under test: shares of a margin account."""

from __future__ import annotations

from tests.conformance.capability import Capability
from tests.conformance.venue import EVERY_PRODUCT, VenueUnderTest, wire_row

VENUE = VenueUnderTest(
    wire=wire_row("tradestation"),
    lacks={EVERY_PRODUCT: frozenset({Capability.INSTRUMENT_LIST, Capability.PROFIT_AND_LOSS})},
)
