"""A venue whose clock stands: no second, minute or day of a limit ends between two requests of a test."""

from __future__ import annotations

import time
from typing import Any

from simulators import Running


def stand_still(sim: Running[Any], *, later_s: float = 0) -> int:
    """Stop the venue's clock at the machine's time of now, or later; return that in milliseconds."""
    stands_ns = time.time_ns() + round(later_s * 1_000_000_000)
    sim.simulator.venue.clock._source_ns = lambda: stands_ns
    return stands_ns // 1_000_000
