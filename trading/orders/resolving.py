"""Ending an unknown outcome: by a trace (from any look-up), by the same id again, or by proof of absence.

A failed read proves nothing and starts the count of clean look-ups again. Each step takes a lease, so that one
resolver at a time speaks for an intent, and holds one conversation with the venue.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from brokers.ids import VenueOrderId
from ledger.reading import read_columns
from ledger.records import upsert_orders
from ledger.states import IntentState, ObservationSource
from ledger.tables import Observation, OrderIntent
from trading.orders import store
from trading.orders.answers import apply_answers, retry_changes
from trading.orders.context import DeskContext
from trading.orders.gates import may_go
from trading.orders.looking import Look, Trace, complete_look, quick_look
from trading.orders.moves import Who
from trading.orders.protocol import (
    Action,
    IntentSnapshot,
    Looks,
    Outcome,
    Step,
    absence_provable_at,
    next_step,
)
from trading.orders.reasons import OrderReason
from trading.orders.sending import resend

S = IntentState
_LOOKS = select(col(Observation.outcome), col(Observation.observed_at)).where(
    Observation.client_order_id == bindparam("client_order_id"),
    Observation.intent_id == bindparam("intent_id"),
    col(Observation.observed_at) > bindparam("since"),
    col(Observation.outcome).in_([trace.value for trace in Trace]),
    col(Observation.source).in_([ObservationSource.FIND_ORDER.value, ObservationSource.LADDER.value]),
)


# -- what is known ----------------------------------------------------------------------------------------------
def snapshot(ctx: DeskContext, session: Session, row: OrderIntent, *, may_send: bool) -> IntentSnapshot:
    """Everything that the next step depends on, with the look-ups that may count for an unknown outcome."""
    intent = store.snapshot(session, row, may_send=may_send)
    if intent.state is not S.UNKNOWN:
        return intent
    since = absence_provable_at(intent, ctx.identity(row.instrument_id), ctx.limits)
    return intent._replace(looks=_looks(session, row, since), venue_now=ctx.venue_now())


def _looks(session: Session, row: OrderIntent, since: datetime) -> Looks:
    if row.client_order_id is None:
        return Looks(0, None, None)
    rows = read_columns(session, _LOOKS, client_order_id=row.client_order_id, intent_id=row.intent_id, since=since)
    times = [at for _, at in rows]
    absent = [at for outcome, at in rows if outcome == Trace.ABSENT.value]
    return Looks(len(rows), min(times, default=None), max(absent, default=None))


# -- moves without the venue ------------------------------------------------------------------------------------
def take_over(ctx: DeskContext, row: OrderIntent, step: Step) -> None:
    """A send whose lease is over: what became of it is unknown."""
    _move(ctx, row, S.UNKNOWN, Who.SWEEPER, step.reason, f"lease of {row.lease_owner} was over")


def release(ctx: DeskContext, row: OrderIntent, step: Step) -> None:
    """A claim whose lease is over: nothing was sent."""
    _move(ctx, row, S.READY, Who.SWEEPER, step.reason, f"lease of {row.lease_owner} was over")


def apply_answer(ctx: DeskContext, row: OrderIntent, step: Step) -> None:
    """Observations already prove the outcome (from the spool, from a slow worker, from before a crash)."""
    apply_answers(ctx, row, who=Who.RESOLVER)


def confirm_absent(ctx: DeskContext, row: OrderIntent, step: Step) -> None:
    """Absence is proved, also by the venue's clock as it is now. After a refusal of the same id the refusal stands;
    otherwise it may be tried again."""
    problem = ctx.measure_clock()
    if problem is not None:
        _count_again(ctx, row, problem)
        return
    if not _is_still(ctx, row, Action.CONFIRM_ABSENT):
        return
    with ctx.ledger.write() as session:
        sends = store.sends_of(session, row.client_order_id)
        answers = store.answers_to(session, row.intent_id, sends)
        refusals = [seen for seen in answers.values() if seen.outcome == Outcome.DEFINITE_NO.value]
        to_state = S.REFUSED if refusals else S.NOT_PLACED
        reason = refusals[-1].text.partition(" | ")[0] if refusals else OrderReason.ABSENCE_PROVED
        store.move(
            session,
            row,
            to_state,
            who=Who.RESOLVER,
            worker=ctx.worker,
            reason=reason,
            detail=f"{row.clean_ladders} complete look-ups without a trace",
            now=ctx.ledger.now(session),
        )
    ctx.crash("C22")


def retry(ctx: DeskContext, row: OrderIntent, step: Step) -> None:
    """Proved not placed and still wanted: ready again."""
    _move(ctx, row, S.READY, Who.RESOLVER, step.reason, f"after attempt {row.attempt_count}", **retry_changes(ctx, row))


def give_to_person(ctx: DeskContext, row: OrderIntent, step: Step) -> None:
    _move(ctx, row, S.NEEDS_HUMAN, Who.RESOLVER, step.reason, row.state_detail)


def _move(
    ctx: DeskContext,
    row: OrderIntent,
    to_state: IntentState,
    who: Who,
    reason: OrderReason | None,
    detail: str,
    **changes: Any,
) -> None:
    assert reason is not None
    with ctx.ledger.write() as session:
        now = ctx.ledger.now(session)
        store.move(session, row, to_state, who=who, worker=ctx.worker, reason=reason, detail=detail, now=now, **changes)


# -- conversations ----------------------------------------------------------------------------------------------
def send_again(ctx: DeskContext, row: OrderIntent, step: Step) -> None:
    """The same id and bytes, where the venue keeps ids for ever: created, returned and duplicate all mean one order."""
    problem = ctx.measure_clock()
    if problem is not None:
        with ctx.ledger.read() as session:
            again_at = ctx.ledger.now(session) + timedelta(seconds=ctx.limits.wait_s)
        query(ctx, row, Step(Action.QUERY, at=again_at))
    elif _is_still(ctx, row, Action.RESEND):
        resend(ctx, _lease(ctx, row))


def query(ctx: DeskContext, row: OrderIntent, step: Step) -> None:
    """Look for a trace. Absence proves nothing yet."""
    leased = _lease(ctx, row)
    look = quick_look(ctx, leased)
    if look.trace is Trace.FOUND or look.trace is Trace.AMBIGUOUS:
        _found(ctx, leased, look, ObservationSource.FIND_ORDER)
        return
    with ctx.ledger.write() as session:
        now = ctx.ledger.now(session)
        _observe(session, leased, look, ObservationSource.FIND_ORDER, now)
        again_at = max(step.at or now, now + timedelta(seconds=ctx.limits.query_every_s / 2))
        store.touch(session, leased, **_released(again_at))


def ladder(ctx: DeskContext, row: OrderIntent, step: Step) -> None:
    """One complete look-up: by id, open orders, history, fills, position. Only a clean one counts, and only by the
    venue's clock, measured just before: a step of ours must not shorten the horizon or the gap."""
    problem = ctx.measure_clock()
    if problem is None and not _is_still(ctx, row, Action.LADDER):
        return
    started_at = ctx.measured_venue_time if problem is None else None
    leased = _lease(ctx, row)
    look = complete_look(ctx, leased)
    if look.trace in (Trace.FOUND, Trace.AMBIGUOUS):
        _found(ctx, leased, look, ObservationSource.LADDER)
        return
    ctx.crash("C21")
    if problem is not None:
        look = Look(Trace.READ_FAILED, detail=f"{problem[0].value}: {problem[1]}")
    is_clean = look.trace is Trace.ABSENT
    with ctx.ledger.write() as session:
        now = ctx.ledger.now(session)
        _observe(session, leased, look, ObservationSource.LADDER, now)
        before = leased.clean_ladders if _counts(ctx, leased.last_ladder_at, started_at) else 0
        wait_s = ctx.limits.ladder_gap_s if before + is_clean < ctx.limits.ladders_min else 0.0
        store.touch(
            session,
            leased,
            clean_ladders=before + 1 if is_clean else 0,
            last_ladder_at=started_at,
            **_released(now + timedelta(seconds=wait_s)),
        )


def _counts(ctx: DeskContext, last_at: datetime | None, started_at: datetime | None) -> bool:
    """Whether an earlier look-up still counts beside one that started now, both in the venue's time."""
    if last_at is None or started_at is None:
        return False
    return ctx.limits.ladder_gap_s <= (started_at - last_at).total_seconds() <= ctx.limits.ladder_age_s_max


def _is_still(ctx: DeskContext, row: OrderIntent, action: Action) -> bool:
    """Whether the step stands by the database's clock and the venue's, which was measured just now."""
    with ctx.ledger.read() as session:
        intent = snapshot(ctx, session, row, may_send=may_go(ctx, session, row))
        now = min(ctx.ledger.now(session), ctx.measured_venue_time)
    return next_step(intent, ctx.identity(row.instrument_id), now, ctx.limits).action is action


def _count_again(ctx: DeskContext, row: OrderIntent, problem: tuple[OrderReason, str]) -> None:
    """The venue's clock could not be measured: like a failed read, that starts the count again."""
    look = Look(Trace.READ_FAILED, detail=f"{problem[0].value}: {problem[1]}")
    with ctx.ledger.write() as session:
        now = ctx.ledger.now(session)
        _observe(session, row, look, ObservationSource.LADDER, now)
        again_at = now + timedelta(seconds=ctx.limits.ladder_gap_s)
        store.touch(session, row, clean_ladders=0, last_ladder_at=None, next_check_at=again_at)


def watch(ctx: DeskContext, row: OrderIntent, step: Step) -> None:
    """A person decides, but a trace may still turn up."""
    look = quick_look(ctx, row)
    if look.trace is Trace.FOUND:
        _found(ctx, row, look, ObservationSource.FIND_ORDER)
        return
    with ctx.ledger.write() as session:
        now = ctx.ledger.now(session)
        _observe(session, row, look, ObservationSource.FIND_ORDER, now)
        store.touch(session, row, next_check_at=now + timedelta(seconds=ctx.limits.watch_every_s))


def _lease(ctx: DeskContext, row: OrderIntent) -> OrderIntent:
    with ctx.ledger.write() as session:
        now = ctx.ledger.now(session)
        return store.take_lease(session, row, worker=ctx.worker, now=now, lease_s=ctx.limits.lease_s)


def _released(next_check_at: datetime) -> dict[str, Any]:
    return {"lease_owner": None, "lease_until": None, "next_check_at": next_check_at}


# -- what a look-up changes -------------------------------------------------------------------------------------
def _found(ctx: DeskContext, row: OrderIntent, look: Look, source: ObservationSource) -> None:
    """The order exists: ACKED with the evidence; to a person when it is not plainly ours."""
    order = look.order
    with ctx.ledger.write() as session:
        now = ctx.ledger.now(session)
        observation_id = _observe(session, row, look, source, now)
        if look.trace is Trace.AMBIGUOUS:
            to_state, reason, detail = S.NEEDS_HUMAN, OrderReason.FINGERPRINT_AMBIGUOUS, look.detail
        else:
            to_state, reason, detail = S.ACKED, OrderReason.FOUND_AT_VENUE, f"by {source}"
            if order is not None and order.client_order_id is not None:
                upsert_orders(session, [order], at=now)
        venue_order_id = order.venue_order_id if order else look.fill.venue_order_id if look.fill else None
        store.move(
            session,
            row,
            to_state,
            who=Who.RESOLVER,
            worker=ctx.worker,
            reason=reason,
            detail=detail,
            now=now,
            observation_id=observation_id,
            venue_order_id=_text(venue_order_id) if to_state is S.ACKED else row.venue_order_id,
        )


def _text(venue_order_id: VenueOrderId | None) -> str | None:
    return None if venue_order_id is None else str(venue_order_id)


def _observe(session: Any, row: OrderIntent, look: Look, source: ObservationSource, now: datetime) -> int:
    raw = repr(look.order or look.fill or "")
    return store.observe(
        session, row, source=source, outcome=look.trace.value, now=now, text=look.detail, raw=raw if look.order else ""
    )
