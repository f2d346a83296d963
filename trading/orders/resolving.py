"""Ending an unknown outcome: by a trace (from any look-up), by the same id again, or by proof of absence.

A failed read proves nothing and starts the count of clean look-ups again. Each step takes a lease, so that one
resolver at a time speaks for an intent, and holds one conversation with the venue.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from brokers.capabilities import OrderIdentity
from brokers.errors import BrokerError
from brokers.ids import ClientOrderId, InstrumentId, VenueOrderId
from brokers.types import Fill, Order, ProductKind
from ledger.records import upsert_orders
from ledger.states import IntentState, ObservationSource
from ledger.tables import OrderIntent, OrderRow
from trading.orders import store
from trading.orders.answers import apply_answers, retry_changes
from trading.orders.context import AccountReading, DeskContext
from trading.orders.exposure import position_of
from trading.orders.intents import request_of
from trading.orders.moves import Who
from trading.orders.progress import terms_difference
from trading.orders.protocol import Outcome, Step
from trading.orders.reasons import OrderReason
from trading.orders.sending import resend

S = IntentState
_BEFORE_S = 2.0  # how far before the send a look-up begins: clocks differ
_LATE_S = 120.0  # how long after its deadline an order without an id may still be taken for ours


class Trace(StrEnum):
    FOUND = "found"
    ABSENT = "absent"
    READ_FAILED = "read_failed"
    UNEXPLAINED = "unexplained"  # no order, but the position moved by more than the known fills
    AMBIGUOUS = "ambiguous"  # several orders without an id fit


@dataclass(frozen=True, slots=True)
class Look:
    """What one look-up showed."""

    trace: Trace
    order: Order | None = None
    fill: Fill | None = None
    detail: str = ""


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
    """Absence is proved. After a refusal of the same id the refusal stands; otherwise it may be tried again."""
    with ctx.ledger.write() as session:
        answers = store.answers_to(session, store.sends_of(session, row.client_order_id))
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
    resend(ctx, _lease(ctx, row))


def query(ctx: DeskContext, row: OrderIntent, step: Step) -> None:
    """Look for a trace. Absence proves nothing yet."""
    leased = _lease(ctx, row)
    look = _quick_look(ctx, leased)
    if look.trace is Trace.FOUND or look.trace is Trace.AMBIGUOUS:
        _found(ctx, leased, look, ObservationSource.FIND_ORDER)
        return
    with ctx.ledger.write() as session:
        now = ctx.ledger.now(session)
        _observe(session, leased, look, ObservationSource.FIND_ORDER, now)
        again_at = max(step.at or now, now + timedelta(seconds=ctx.limits.query_every_s / 2))
        store.touch(session, leased, **_released(again_at))


def ladder(ctx: DeskContext, row: OrderIntent, step: Step) -> None:
    """One complete look-up: by id, open orders, history, fills, position. Only a clean one counts."""
    leased = _lease(ctx, row)
    with ctx.ledger.read() as session:
        started_at = ctx.ledger.now(session)
    look = complete_look(ctx, leased)
    if look.trace in (Trace.FOUND, Trace.AMBIGUOUS):
        _found(ctx, leased, look, ObservationSource.LADDER)
        return
    ctx.crash("C21")
    is_clean = look.trace is Trace.ABSENT
    with ctx.ledger.write() as session:
        now = ctx.ledger.now(session)
        _observe(session, leased, look, ObservationSource.LADDER, now)
        wait_s = ctx.limits.ladder_gap_s if leased.clean_ladders + is_clean < ctx.limits.ladders_min else 0.0
        is_fresh = leased.last_ladder_at is not None and (started_at - leased.last_ladder_at) <= timedelta(
            seconds=ctx.limits.ladder_age_s_max
        )
        before = leased.clean_ladders if is_fresh else 0
        store.touch(
            session,
            leased,
            clean_ladders=before + 1 if is_clean else 0,
            last_ladder_at=started_at,
            **_released(now + timedelta(seconds=wait_s)),
        )


def watch(ctx: DeskContext, row: OrderIntent, step: Step) -> None:
    """A person decides, but a trace may still turn up."""
    look = _quick_look(ctx, row)
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


# -- looking ----------------------------------------------------------------------------------------------------
def _quick_look(ctx: DeskContext, row: OrderIntent) -> Look:
    """The cheapest look-up that can show the order."""
    identity = ctx.identity(row.instrument_id)
    try:
        if identity.lookup_by_client_id and row.client_order_id is not None:
            return _look_of(ctx.broker.find_order(**_by_client_id(row)))
        return _by_mark_or_fingerprint(ctx, row, (*ctx.broker.open_orders(), *_history(ctx, row)))
    except BrokerError as error:
        return Look(Trace.READ_FAILED, detail=f"{error.reason}: {error.message}")


def complete_look(ctx: DeskContext, row: OrderIntent) -> Look:
    """Every source, each read to its end, and the position explained by the fills (proof rules P2 and P3)."""
    identity = ctx.identity(row.instrument_id)
    try:
        if identity.lookup_by_client_id and row.client_order_id is not None:
            look = _look_of(ctx.broker.find_order(**_by_client_id(row)))
            if look.trace is Trace.FOUND:
                return look
        look = _by_mark_or_fingerprint(ctx, row, (*ctx.broker.open_orders(), *_history(ctx, row)))
        if look.trace is not Trace.ABSENT:
            return look
        fills = ctx.broker.fills(
            since=_since(ctx, row), until=_until(ctx), instrument_id=InstrumentId(row.instrument_id)
        )
        mine = [fill for fill in fills if fill.client_order_id == ClientOrderId(row.client_order_id or "-")]
        if mine:
            return Look(Trace.FOUND, fill=mine[0])
        reading = ctx.account(instrument_id=InstrumentId(row.instrument_id), fresh=True)
    except BrokerError as error:
        return Look(Trace.READ_FAILED, detail=f"{error.reason}: {error.message}")
    return _position_look(ctx, row, reading, fills)


def _by_client_id(row: OrderIntent) -> dict[str, Any]:
    return {
        "instrument_id": InstrumentId(row.instrument_id),
        "client_order_id": ClientOrderId(row.client_order_id or "-"),
    }


def _look_of(order: Order | None) -> Look:
    return Look(Trace.ABSENT) if order is None else Look(Trace.FOUND, order=order)


def _history(ctx: DeskContext, row: OrderIntent) -> tuple[Order, ...]:
    return ctx.broker.order_history(since=_since(ctx, row), until=_until(ctx))


def _since(ctx: DeskContext, row: OrderIntent) -> datetime:
    """A little before the first send of the attempt (and before the position that was read for it)."""
    with ctx.ledger.read() as session:
        sends = store.sends_of(session, row.client_order_id)
        before = store.position_before(session, row.client_order_id or "")
    times = [sends[0].committed_at] if sends else [row.updated_at]
    if before is not None:
        times.append(datetime.fromisoformat(before.text))
    return min(times) + ctx.offset - timedelta(seconds=_BEFORE_S)


def _until(ctx: DeskContext) -> datetime:
    return ctx.venue_now() + timedelta(seconds=_BEFORE_S)


def _by_mark_or_fingerprint(ctx: DeskContext, row: OrderIntent, orders: tuple[Order, ...]) -> Look:
    """By our id where orders carry one; otherwise the one order that fits and belongs to nobody."""
    identity = ctx.identity(row.instrument_id)
    unique = {order.venue_order_id: order for order in orders}.values()
    marked = [order for order in unique if order.client_order_id == ClientOrderId(row.client_order_id or "-")]
    if marked:
        return Look(Trace.FOUND, order=marked[0])
    if identity.client_id_length_max > 0 or identity.lookup_by_client_id:
        return Look(Trace.ABSENT)
    fitting = [order for order in unique if _fits(ctx, row, identity, order)]
    if len(fitting) > 1:
        ids = ", ".join(str(order.venue_order_id) for order in fitting)
        return Look(Trace.AMBIGUOUS, order=fitting[0], detail=f"fitting orders: {ids}")
    return _look_of(fitting[0] if fitting else None)


def _fits(ctx: DeskContext, row: OrderIntent, identity: OrderIdentity, order: Order) -> bool:
    with ctx.ledger.read() as session:
        sends = store.sends_of(session, row.client_order_id)
        owner = session.get(OrderRow, (row.account_id, str(order.venue_order_id)))
        is_known = store.is_order_of_another(session, row, str(order.venue_order_id))
    if not sends or is_known or (owner is not None and owner.intent_id not in (None, row.intent_id)):
        return False
    first = sends[0].committed_at + ctx.offset - timedelta(seconds=_BEFORE_S)
    last = sends[-1].not_after + timedelta(seconds=_LATE_S)
    is_ours_by_terms = not terms_difference(request_of(row), order)
    return order.client_order_id is None and is_ours_by_terms and first <= order.created_at <= last


def _position_look(ctx: DeskContext, row: OrderIntent, reading: AccountReading, fills: tuple[Fill, ...]) -> Look:
    """Absent only if the position moved by exactly the fills since it was read before the send."""
    request = request_of(row)
    instrument = ctx.instrument(request.instrument_id)
    now_quantity = position_of(reading, request, instrument)
    with ctx.ledger.read() as session:
        before = store.position_before(session, row.client_order_id or "")
    if before is None or not before.code or now_quantity is None or instrument is None:
        return Look(Trace.READ_FAILED, detail="the position before the send or now is not known")
    base = instrument.base_currency if instrument.product is ProductKind.SPOT else ""
    taken_at = datetime.fromisoformat(before.text) + ctx.offset
    moved = now_quantity - Decimal(before.code)
    if moved in _possible_moves(fills, taken_at, base):
        return Look(Trace.ABSENT)
    return Look(Trace.UNEXPLAINED, detail=f"the position moved by {moved} since {before.text}, fills do not explain it")


def _possible_moves(fills: tuple[Fill, ...], taken_at: datetime, base_currency: str) -> set[Decimal]:
    """Sums of the fills later than the reading; clocks differ, so fills close to it may be in or out."""
    margin = timedelta(seconds=_BEFORE_S)
    ordered = sorted(fills, key=lambda fill: fill.time, reverse=True)
    total = Decimal(0)
    sums = {total} if not ordered or ordered[0].time <= taken_at + margin else set()
    for index, fill in enumerate(ordered):
        total += fill.side.sign * fill.quantity
        if base_currency and fill.fee_currency == base_currency:
            total -= fill.fee
        following = ordered[index + 1].time if index + 1 < len(ordered) else None
        if following is None or following <= taken_at + margin:
            sums.add(total)
        if following is not None and following < taken_at - margin:
            break
    return sums


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
