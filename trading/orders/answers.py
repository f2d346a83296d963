"""From the answers on record to the state that they prove: the one place that ends a send."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from brokers.capabilities import IdScope
from brokers.errors import BrokerError
from brokers.ids import ClientOrderId, InstrumentId
from ledger.states import IntentState
from ledger.tables import Observation, OrderIntent
from trading.orders import store
from trading.orders.adopting import adopt_attempt, never_lived
from trading.orders.context import DeskContext
from trading.orders.moves import Who
from trading.orders.protocol import Outcome, SendOutcome, judge
from trading.orders.reasons import OrderReason

S = IntentState
_BACKOFF_S_MAX = 30.0


def apply_answers(ctx: DeskContext, row: OrderIntent, *, who: Who, outcome: SendOutcome | None = None) -> None:
    """Move SENDING, UNKNOWN or NEEDS_HUMAN by what all answers to the current attempt prove together.

    `outcome` is the answer that was just read, if any: its waiting time counts. A worker that lost its intent meanwhile
    (a zombie) moves nothing; if its answer proves an order that was called not placed, the order is adopted.
    """
    try:
        with ctx.ledger.write() as session:
            _apply(ctx, session, row, who, outcome)
    except store.LostRace:
        if outcome is not None and outcome.kind.proves_existence and row.client_order_id is not None:
            if outcome.kind is Outcome.EXISTS and _was_rejected_by_the_engine(ctx, row):
                raise
            adopt_attempt(ctx, row.client_order_id, venue_order_id=outcome.venue_order_id)
        raise


def _was_rejected_by_the_engine(ctx: DeskContext, row: OrderIntent) -> bool:
    """Whether what the venue calls a duplicate of our id is a record of an order that never lived.

    Only a look-up that shows just that says so; one that fails leaves the worse assumption.
    """
    if not ctx.identity(row.instrument_id).lookup_by_client_id:
        return False
    try:
        found = ctx.broker.find_order(
            instrument_id=InstrumentId(row.instrument_id), client_order_id=ClientOrderId(str(row.client_order_id))
        )
    except BrokerError:
        return False
    return found is not None and never_lived(found)


def _apply(ctx: DeskContext, session: Session, row: OrderIntent, who: Who, outcome: SendOutcome | None) -> None:
    now = ctx.ledger.now(session)
    sends = store.sends_of(session, row.client_order_id)
    answers = store.answers_to(session, row.intent_id, sends)
    kinds = [Outcome(answers[s.send_id].outcome) if s.send_id in answers else None for s in sends]
    to_state = judge(kinds)
    if to_state.value == row.state:
        return
    counting = _counting(list(answers.values()))
    reason, text = _reason(counting)
    store.move(
        session,
        row,
        to_state,
        who=who,
        worker=ctx.worker,
        reason=reason,
        detail=text,
        now=now,
        observation_id=counting.observation_id if counting else None,
        **_changes(ctx, row, to_state, kinds, outcome, counting, now),
    )


def _counting(answers: list[Observation]) -> Observation | None:
    """The answer that explains the state: proof of existence first, then the latest."""
    proving = [seen for seen in answers if Outcome(seen.outcome).proves_existence]
    latest = sorted(answers, key=lambda seen: seen.observation_id or 0)
    return proving[-1] if proving else latest[-1] if latest else None


def _reason(seen: Observation | None) -> tuple[str, str]:
    """The stable reason and the venue's own words of a stored answer."""
    if seen is None:
        return OrderReason.ANSWER_MISSING.value, ""
    reason, _, text = seen.text.partition(" | ")
    return reason, " ".join(part for part in (seen.code, text) if part)


def _changes(
    ctx: DeskContext,
    row: OrderIntent,
    to_state: IntentState,
    kinds: list[Outcome | None],
    outcome: SendOutcome | None,
    counting: Observation | None,
    now: datetime,
) -> dict[str, Any]:
    limits = ctx.limits
    wait_s = outcome.retry_after_s if outcome is not None and outcome.retry_after_s else None
    if to_state is S.ACKED:
        found = _reason(counting)[1] if counting and counting.outcome == Outcome.DEFINITE_YES.value else ""
        return {"venue_order_id": found or row.venue_order_id}
    if to_state is S.UNKNOWN:
        return {"next_check_at": now + timedelta(seconds=wait_s or 0.0)}
    if to_state is S.NOT_PLACED:
        return {"next_check_at": now + timedelta(seconds=wait_s or limits.wait_s)}
    if to_state is S.READY:
        backoff_s = min(limits.wait_s * 2 ** (len(kinds) - 1), _BACKOFF_S_MAX)
        return {"next_check_at": now + timedelta(seconds=backoff_s)}
    return {}


def retry_changes(ctx: DeskContext, row: OrderIntent) -> dict[str, Any]:
    """What NOT_PLACED → READY changes: where ids are permanent the same id goes out again, elsewhere a new one."""
    if ctx.identity(row.instrument_id).id_scope is IdScope.PERMANENT:
        return {}
    return {"client_order_id": None, "venue_order_id": None, "clean_ladders": 0, "last_ladder_at": None}
