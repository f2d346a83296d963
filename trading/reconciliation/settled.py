"""Facts that both sides hold alike, taken out before the comparison, so that it sees only what is left. Pure.

Invariants (tests/trading/test_settling.py)
1. The comparison of what is left, with the count of what was taken, finds what the comparison of everything finds.
2. A fact is taken only where the comparison would have noted nothing but its count: never one that is late or young,
   of a kind that nobody knows, listed twice, or of an order that anything left speaks of.
3. Rows may come in any order; where both sides come by time, memory holds what lies between two equal ones.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from brokers.types import ZERO

Row = tuple[Any, ...]  # begins with the fact's id and its time
Same = Callable[[Row, Row], bool]


@dataclass(slots=True)
class Settled:
    """What was taken out. `filled_by_order`: by the id of orders that are left, the sum of their fills that were."""

    fills: int = 0
    cash_events: int = 0
    orders: int = 0
    instruments: set[str] = field(default_factory=set)
    currencies: set[str] = field(default_factory=set)
    filled_by_order: dict[str, Decimal] = field(default_factory=dict)

    def take_fill(self, order_id: str, instrument_id: str, quantity: Decimal) -> None:
        self.fills += 1
        self.instruments.add(instrument_id)
        self.filled_by_order[order_id] = self.filled_by_order.get(order_id, ZERO) + quantity

    def give_back_fill(self, order_id: str, quantity: Decimal) -> None:
        """It goes to the comparison after all."""
        self.fills -= 1
        left = self.filled_by_order[order_id] - quantity
        if left:
            self.filled_by_order[order_id] = left
        else:
            del self.filled_by_order[order_id]


@dataclass(slots=True)
class Left:
    """What is left of each side, in the order it came."""

    ours: list[Row]
    theirs: list[Row]


def settle(
    ours: Iterable[Row],
    theirs: Iterable[Row],
    *,
    is_same: Same,
    keep: Callable[[Row], bool],
    take: Callable[[Row], None],
    replaces: bool = False,
) -> Left:
    """Hand each pair that is the same on both sides to `take`, but for those of which `keep` says that they stay.

    `replaces`: of two with one id at the venue the later counts; without it both are left.
    """
    waiting: dict[str, Row] = {}
    shown: dict[str, Row] = {}
    again: list[Row] = []

    def show(their: Row) -> None:
        our = waiting.get(their[0])
        if their[0] in shown and not replaces:
            again.append(their)
        elif our is not None and is_same(our, their) and not keep(their):
            del waiting[their[0]]
            shown.pop(their[0], None)
            take(their)
        else:
            shown[their[0]] = their

    ahead = _up_to(theirs, show)
    next(ahead)
    for our in ours:
        ahead.send(our[1])
        their = shown.get(our[0])
        if their is not None and is_same(our, their) and not keep(their):
            del shown[our[0]]
            take(their)
        else:
            waiting[our[0]] = our
    ahead.send(None)
    return Left(list(waiting.values()), [*shown.values(), *again])


def _up_to(rows: Iterable[Row], show: Callable[[Row], None]) -> Generator[None, datetime | None, None]:
    """Show rows while they are not later than the time that is sent; all of them for None."""
    until = yield
    for row in rows:
        while until is not None and row[1] > until:
            until = yield
        show(row)
    while True:
        yield
