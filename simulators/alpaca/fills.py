"""Every account's fills as they happen, with what their activities say beyond the core."""

from dataclasses import dataclass
from decimal import Decimal

from simulators.alpaca.moments import activity_time
from simulators.core.money import ZERO
from simulators.core.types import Execution, ExecutionKind
from simulators.core.venue import Venue


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution with the moment in its activity's id, and how much of its order was filled with it."""

    execution: Execution
    stamp: str
    filled: Decimal


class FillBook:
    """Hears of every execution of a venue."""

    def __init__(self, venue: Venue) -> None:
        self._fills: dict[str, list[Fill]] = {}
        self._filled: dict[str, Decimal] = {}
        venue.settlement.on_execution.append(self._executed)

    def of(self, account: str) -> list[Fill]:
        """Return an account's fills, oldest first."""
        return self._fills.get(account, [])

    def _executed(self, execution: Execution) -> None:
        if execution.kind is ExecutionKind.FUNDING:
            return
        self._filled[execution.order_id] = filled = self._filled.get(execution.order_id, ZERO) + execution.qty
        fill = Fill(execution, activity_time(execution.time_ms), filled)
        self._fills.setdefault(execution.account, []).append(fill)
