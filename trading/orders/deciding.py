"""What no machine can prove, a person decides: recorded with names and a reason, never leading to another send."""

from __future__ import annotations

from enum import StrEnum

from brokers.ids import Environment
from ledger.states import IntentState, ObservationSource
from trading.orders import store
from trading.orders.context import DeskContext
from trading.orders.moves import Who
from trading.orders.reasons import OrderReason


class Verdict(StrEnum):
    PLACED = "placed"  # the order is at the venue: follow it
    NOT_PLACED = "not_placed"  # the order was never placed: the intent is over


_STATE_OF = {Verdict.PLACED: IntentState.ACKED, Verdict.NOT_PLACED: IntentState.EXPIRED}


def decide(ctx: DeskContext, intent_id: str, *, verdict: Verdict, people: tuple[str, ...], reason: str) -> None:
    """Move an intent out of NEEDS_HUMAN; ValueError when names or reason are missing or the state is another."""
    needed = 2 if ctx.environment is Environment.PRODUCTION else 1
    names = {name.strip() for name in people if name.strip()}
    if len(names) < needed:
        raise ValueError(f"people must name at least {needed} different people, was {people!r}")
    if not reason.strip():
        raise ValueError("reason must say how it was found out")
    with ctx.ledger.write() as session:
        row = store.load(session, intent_id)
        if row.state != IntentState.NEEDS_HUMAN.value:
            raise ValueError(f"intent {intent_id} must be needs_human to be decided, was {row.state}")
        now = ctx.ledger.now(session)
        text = f"{verdict} by {', '.join(sorted(names))}: {reason}"
        observation_id = store.observe(
            session, row, source=ObservationSource.HUMAN, outcome=verdict.value, now=now, text=text
        )
        store.move(
            session,
            row,
            _STATE_OF[verdict],
            who=Who.PERSON,
            worker=ctx.worker,
            reason=OrderReason.DECIDED_BY_PERSON,
            detail=text,
            now=now,
            observation_id=observation_id,
            new_epoch=True,
        )
