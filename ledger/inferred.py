"""Fills that an order's cumulative quantity proves and the venue's feed does not show.

They are no executions and never stand among them: they count in positions only, and only as far as the order's real
fills do not reach. So a real fill that appears takes the place of the inferred one by itself, in part or whole, and
nothing is ever counted twice.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlmodel import Session, col, select

from brokers.ids import AccountId
from brokers.types import Order, OrderSide
from ledger.break_tables import InferredFill
from ledger.columns import derived
from ledger.tables import FillRow

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class StandingInference:
    """What is still inferred of one order."""

    venue_order_id: str
    instrument_id: str
    side: str
    quantity: Decimal

    @property
    def signed(self) -> Decimal:
        return self.quantity if self.side == OrderSide.BUY.value else -self.quantity


def inferred_id(account_id: AccountId | str, venue_order_id: str, start: Decimal, end: Decimal) -> str:
    """The same quantities of the same order have the same id for ever."""
    text = "\x1f".join((str(account_id), venue_order_id, f"{start.normalize():f}", f"{end.normalize():f}"))
    return f"inferred-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def store_inferred(session: Session, order: Order, *, filled_on_record: Decimal, at: datetime) -> bool:
    """Keep what `order` has filled beyond its fills on record; False where that is known already."""
    identity = inferred_id(order.account_id, str(order.venue_order_id), filled_on_record, order.filled_quantity)
    if order.filled_quantity <= filled_on_record or session.get(InferredFill, identity) is not None:
        return False
    session.add(
        InferredFill(
            inferred_id=identity,
            account_id=str(order.account_id),
            venue_order_id=str(order.venue_order_id),
            client_order_id=None if order.client_order_id is None else str(order.client_order_id),
            instrument_id=str(order.instrument_id),
            side=order.side.value,
            quantity=order.filled_quantity - filled_on_record,
            price=derived(order.average_price),
            cumulative_from=filled_on_record,
            cumulative_to=order.filled_quantity,
            time=order.updated_at,
            recorded_at=at,
        )
    )
    session.flush()
    return True


def standing_inferences(
    session: Session, account_id: AccountId | str, *, after: datetime, until: datetime | None = None
) -> Mapping[str, StandingInference]:
    """What is still inferred, by venue order id: what orders have filled in all, less their real fills."""
    query = select(InferredFill).where(InferredFill.account_id == str(account_id), col(InferredFill.time) > after)
    if until is not None:
        query = query.where(col(InferredFill.time) <= until)
    highest: dict[str, InferredFill] = {}
    for row in session.exec(query):
        known = highest.get(row.venue_order_id)
        if known is None or known.cumulative_to < row.cumulative_to:
            highest[row.venue_order_id] = row
    if not highest:
        return {}
    real = _filled(session, account_id, highest)
    return {
        identity: StandingInference(identity, row.instrument_id, row.side, row.cumulative_to - real[identity])
        for identity, row in highest.items()
        if row.cumulative_to > real[identity]
    }


def _filled(session: Session, account_id: AccountId | str, orders: Mapping[str, InferredFill]) -> dict[str, Decimal]:
    query = select(col(FillRow.venue_order_id), col(FillRow.quantity)).where(
        FillRow.account_id == str(account_id), col(FillRow.venue_order_id).in_(list(orders))
    )
    found: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for venue_order_id, quantity in session.exec(query):
        found[venue_order_id] += quantity
    return found
