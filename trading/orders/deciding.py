"""What no machine can prove, a person decides: recorded with names and a reason, never leading to another send."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlmodel import Session, select

from brokers.ids import Environment
from brokers.types import OrderStatus
from ledger.controlling import different_people
from ledger.records import fills_of_intent
from ledger.states import IntentState, ObservationSource
from ledger.tables import OrderIntent, OrderRow
from trading.orders import store
from trading.orders.context import DeskContext
from trading.orders.moves import Who
from trading.orders.reasons import OrderReason


class Verdict(StrEnum):
    PLACED = "placed"  # the order is at the venue: follow it
    NOT_PLACED = "not_placed"  # the order was never placed: the intent is over
    CLOSED = "closed"  # the order is over at the venue: the intent ends with the fills on record


def decide(ctx: DeskContext, intent_id: str, *, verdict: Verdict, people: tuple[str, ...], reason: str) -> None:
    """Move an intent out of NEEDS_HUMAN; ValueError when names or reason are missing or the state is another."""
    needed = 2 if ctx.environment is Environment.PRODUCTION else 1
    if len(different_people(people)) < needed:
        raise ValueError(f"people must name at least {needed} different people, was {people!r}")
    if not reason.strip():
        raise ValueError("reason must say how it was found out")
    with ctx.ledger.write() as session:
        row = store.load(session, intent_id)
        if row.state != IntentState.NEEDS_HUMAN.value:
            raise ValueError(f"intent {intent_id} must be needs_human to be decided, was {row.state}")
        now = ctx.ledger.now(session)
        names = sorted({name.strip() for name in people} - {""})
        text = f"{verdict} by {', '.join(names)}: {reason}"
        observation_id = store.observe(
            session, row, source=ObservationSource.HUMAN, outcome=verdict.value, now=now, text=text
        )
        state, changes = _end(session, row, verdict)
        store.move(
            session,
            row,
            state,
            who=Who.PERSON,
            worker=ctx.worker,
            reason=OrderReason.DECIDED_BY_PERSON,
            detail=text,
            now=now,
            observation_id=observation_id,
            new_epoch=True,
            **changes,
        )


def _end(session: Session, row: OrderIntent, verdict: Verdict) -> tuple[IntentState, dict[str, Any]]:
    """Where a verdict leads; ValueError when the record contradicts it."""
    if verdict is Verdict.PLACED:
        return IntentState.ACKED, {}
    query = select(OrderRow).where(OrderRow.account_id == row.account_id, OrderRow.intent_id == row.intent_id)
    orders = list(session.exec(query))
    fills = fills_of_intent(session, row.intent_id)
    if verdict is Verdict.NOT_PLACED:
        if orders or fills or row.filled_quantity > 0:
            raise ValueError(
                f"verdict must not be not_placed: the ledger has {len(orders)} venue orders and {row.filled_quantity} "
                f"filled for intent {row.intent_id}; once it is over at the venue, record closed"
            )
        return IntentState.EXPIRED, {}
    if not orders and not fills:
        raise ValueError(f"verdict must not be closed: the ledger has no venue order for intent {row.intent_id}")
    is_open = any(OrderStatus(order.status).is_open for order in orders)
    if is_open and row.state_reason != OrderReason.ACKED_NOT_VISIBLE:
        raise ValueError("verdict must not be closed while the venue's order is open: cancel it there and run a sync")
    filled = sum((fill.quantity for fill in fills), Decimal(0))
    is_filled = filled >= row.quantity or any(order.status == OrderStatus.FILLED.value for order in orders)
    return (IntentState.FILLED if is_filled else IntentState.CANCELLED), {"filled_quantity": filled}
