"""What earlier workers put on record of an alert: read from its events, so that a takeover goes on where they were."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from brokers.ids import IntentId
from ledger.inbox import InboxReason, StoredEvent
from trading.alerts.ends import AlertEnd
from trading.alerts.reasons import AlertReason
from trading.alerts.reviewing import Review
from trading.alerts.values import AlertPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """`round_number` counts how often a person put the alert back. A plan of an earlier round is not current."""

    plan: AlertPlan | None = None
    plan_is_current: bool = False
    cancelled: tuple[IntentId, ...] = ()
    was_asked: bool = False
    review: Review | None = None
    round_number: int = 0

    @classmethod
    def of(cls, events: Iterable[StoredEvent]) -> History:
        """From the events, oldest first."""
        found = cls()
        for event in events:
            found = found._after(event)
        return found

    def with_cancelled(self, intents: tuple[IntentId, ...]) -> History:
        return replace(self, cancelled=tuple(dict.fromkeys((*self.cancelled, *intents))))

    def _after(self, event: StoredEvent) -> History:
        if event.reason == InboxReason.ALERT_REVIVED.value:
            # A person puts it back: it is decided, and reviewed, anew.
            return History(plan=self.plan, round_number=self.round_number + 1)
        if event.from_state is not event.to_state:
            return self  # a move: what is kept stands in notes
        if event.reason == AlertReason.ORDERS_DECIDED.value:
            return replace(self, plan=AlertPlan.from_json(event.detail), plan_is_current=True)
        if event.reason == AlertReason.CANCELS_DECIDED.value:
            return self.with_cancelled(tuple(IntentId(part) for part in event.detail.split()))
        if event.reason == AlertEnd.ALERT_REVIEW_ASKED.value:
            return replace(self, was_asked=True)
        if event.reason == AlertEnd.ALERT_REVIEW_KEPT.value:
            return replace(self, review=Review.from_json(event.detail))
        return self
