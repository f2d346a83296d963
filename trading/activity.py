"""What this ledger itself has just done on an account: differences there may be on their way, and are not judged yet.

An order of ours that was filled a moment ago moves the venue's position before its fill is in any list, and no fact
of that difference is known to be young. So what differs in an instrument on which we acted within the guard is
pending, and the next look judges it. Looking at a resting order again is no act. The full run needs no such guard: it
reads the histories after the figures, and a kind that may be timing waits for a second run.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from brokers.ids import AccountId
from ledger.tables import OrderIntent, Transition
from trading.reconciliation import BreakKind, Findings

HELD_BACK = frozenset(
    {
        BreakKind.POSITION_DIFFERS,
        BreakKind.POSITION_VANISHED,
        BreakKind.POSITION_UNKNOWN,
        BreakKind.ORDER_MISSING_AT_VENUE,
        BreakKind.ORDER_UNKNOWN_TO_LEDGER,
        BreakKind.ORDER_STATUS_DIFFERS,
        BreakKind.ORDER_FILLED_QUANTITY_DIFFERS,
        BreakKind.ORDER_FILLS_DIFFER,
    }
)


def acted_on(session: Session, account_id: AccountId, *, within: timedelta, at: datetime) -> frozenset[str]:
    """Instruments with an intent that moved within that time, by the ledger's clock."""
    if not within:
        return frozenset()
    since = at - within
    query = (
        select(col(OrderIntent.instrument_id))
        .join(Transition, col(Transition.intent_id) == col(OrderIntent.intent_id))
        .where(
            OrderIntent.account_id == str(account_id),
            col(OrderIntent.updated_at) >= since,
            col(Transition.at) >= since,
        )
        .distinct()
    )
    return frozenset(session.exec(query))


def held_back(findings: Findings, active: frozenset[str]) -> Findings:
    """The findings, with what differs in active instruments pending instead of broken. Pure."""
    waits = [item for item in findings.breaks if item.kind in HELD_BACK and str(item.instrument_id) in active]
    if not waits:
        return findings
    kept = tuple(item for item in findings.breaks if item not in waits)
    return replace(findings, breaks=kept, pending=tuple(sorted({*findings.pending, *(item.subject for item in waits)})))
