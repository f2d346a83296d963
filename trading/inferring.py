"""Keep what an order must have filled and the venue's feed does not show, once a second run has seen the same."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlmodel import Session

from brokers.ids import AccountId
from brokers.types import ZERO, Order
from ledger.breaks import BreakChanges
from ledger.inferred import store_inferred
from trading.reconciliation import BreakKind, Findings


def store_inferences(
    session: Session,
    account_id: AccountId,
    findings: Findings,
    changes: BreakChanges,
    orders: Iterable[Order],
    *,
    at: datetime,
) -> int:
    """Store the inferred fills of breaks that this run saw again; how many are new. The same ones change nothing."""
    sure = set(changes.seen_again)
    wanted = {
        item.subject: item.ledger_amount or ZERO
        for item in findings.breaks
        if item.kind is BreakKind.FILL_INFERRED and item.id_for(account_id) in sure
    }
    shown = [order for order in orders if f"order {order.venue_order_id}" in wanted] if wanted else []
    return sum(
        store_inferred(session, order, filled_on_record=wanted[f"order {order.venue_order_id}"], at=at)
        for order in shown
    )
