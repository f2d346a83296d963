"""What a person accepted of a break: the difference as it was then, how far it may move, and until when.

An acceptance is a step of the break, and stands until its time is over, a run sees another difference, a person takes
it back, or the break is gone. It lifts no lock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from brokers.rounding import MONEY, decimal_text
from ledger.audit import PERSON
from ledger.break_tables import BreakEvent
from ledger.states import BreakStep

_ENDS = frozenset(
    {
        BreakStep.SUSPECTED.value,  # it begins anew, without what was decided of it before
        BreakStep.OPENED.value,
        BreakStep.ACCEPTANCE_ENDED.value,
        BreakStep.UNACCEPTED.value,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """`amount`: of a sum, the difference that nothing explained. `content`: of anything else, all that made it up.

    `within`: how far the amount may move before it is no longer what was accepted.
    """

    amount: Decimal | None
    content: str
    within: Decimal
    reason: str
    accepted_by: str
    accepted_at: datetime
    expires_at: datetime

    @property
    def difference(self) -> Decimal | None:
        """By how much the venue's amount was beyond the ledger's when it was accepted; None of what differs otherwise,
        and where one of the two had none."""
        if self.amount is not None:
            return self.amount
        said = json.loads(self.content)
        if not (said["ledger"] and said["venue"]):
            return None
        return MONEY.subtract(Decimal(said["venue"]), Decimal(said["ledger"])) or None

    def detail(self) -> dict[str, object]:
        """As the step keeps it."""
        amount = None if self.amount is None else decimal_text(self.amount)
        return {"amount": amount, "content": self.content, "within": decimal_text(self.within)}


def standing_acceptance(events: Iterable[BreakEvent]) -> Acceptance | None:
    """What stands after the steps of one break, oldest first, whether or not its time is over.

    One from before acceptances had bounds does not count (`unbounded_acceptance`).
    """
    found = _newest(events)
    if found is None or found.expires_at is None:
        return None
    said = json.loads(found.detail)
    return Acceptance(
        amount=None if said["amount"] is None else Decimal(said["amount"]),
        content=said["content"],
        within=Decimal(said["within"]),
        reason=found.reason,
        accepted_by=found.who.removeprefix(PERSON),
        accepted_at=found.at,
        expires_at=found.expires_at,
    )


def unbounded_acceptance(events: Iterable[BreakEvent]) -> BreakEvent | None:
    """The step by which a break was accepted before acceptances had a bound and an end, where nothing came after it.

    It does not count: the break is as open as any until a person accepts it again.
    """
    found = _newest(events)
    return found if found is not None and found.expires_at is None else None


def _newest(events: Iterable[BreakEvent]) -> BreakEvent | None:
    found: BreakEvent | None = None
    for event in events:
        if event.step == BreakStep.ACCEPTED.value:
            found = event
        elif event.step in _ENDS:
            found = None
    return found
