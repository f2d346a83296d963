"""The single send point: the only place that calls `Broker.place`.

Order of things, which nothing may change: claim, build and freeze the payload, measure the clock, then ONE transaction
that checks everything again and commits the attempt, then one write to the socket under a ticket, then the answer as
an observation, then the move. No database transaction is open while the venue is spoken to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from brokers.capabilities import OrderIdentity
from brokers.errors import BrokerError, DeadlinePassed, NotSent
from brokers.ids import ClientOrderId, Environment, IntentId
from brokers.types import OrderAck, OrderRequest, PreparedOrder
from brokers.wire import SendTicket
from ledger.errors import CommitUnknown, LedgerError
from ledger.records import lock_account
from ledger.states import IntentState, ObservationSource
from ledger.tables import OrderIntent, OrderSend
from trading.orders import armed, gates, store
from trading.orders.answers import apply_answers
from trading.orders.context import DeskContext
from trading.orders.counting import count_commit, surplus
from trading.orders.crash import wire_record
from trading.orders.exposure import position_of
from trading.orders.gates import Obstacle, OutgoingOrder, lets_out
from trading.orders.identity import make_client_order_id
from trading.orders.intents import request_of
from trading.orders.moves import Who
from trading.orders.protocol import classify, validity_s
from trading.orders.reasons import OrderReason
from trading.orders.stops import set_stop
from trading.orders.store import TEXT_MAX

S = IntentState
DRY_RUN = "dry_run"


@dataclass(frozen=True, slots=True)
class _Committed:
    row: OrderIntent
    send: OrderSend
    ticket: SendTicket


# -- first sends ------------------------------------------------------------------------------------------------
def send(ctx: DeskContext, intent_id: str) -> None:
    """Take a READY intent through claim, checks and one send. Raises store.LostRace when another worker has it."""
    row = _claim(ctx, intent_id)
    if row is None:
        return
    ctx.crash("C06")
    order = _prepare(ctx, row)
    if isinstance(order, Obstacle):
        _step_back(ctx, row, order)
        return
    ctx.crash("C07")
    problem = ctx.clock_problem()
    if problem is not None:
        _step_back(ctx, row, Obstacle(S.READY, problem[0], problem[1], ctx.limits.wait_s))
        return
    _commit_and_send(ctx, row, order)


def _claim(ctx: DeskContext, intent_id: str) -> OrderIntent | None:
    with ctx.ledger.write() as session:
        lock_account(session, ctx.account_id)
        now = ctx.ledger.now(session)
        row = store.load(session, intent_id)
        if row.state != S.READY.value:
            raise store.LostRace(f"intent {intent_id} is {row.state}, not ready")
        obstacle = gates.before_claim(ctx, session, row)
        if obstacle is not None:
            store.touch(
                session,
                row,
                state_reason=str(obstacle.reason),
                state_detail=obstacle.detail,
                next_check_at=now + timedelta(seconds=obstacle.wait_s),
            )
            return None
        return store.move(
            session,
            row,
            S.CLAIMED,
            who=Who.WORKER,
            worker=ctx.worker,
            reason=OrderReason.CLAIMED_TO_SEND,
            now=now,
            new_epoch=True,
            **_lease(ctx, now),
        )


def _prepare(ctx: DeskContext, row: OrderIntent) -> OutgoingOrder | Obstacle:
    """Freeze the payload and read what the last check needs. Nothing of it is committed yet."""
    request, identity = request_of(row), ctx.identity(row.instrument_id)
    try:
        prepared, number, is_new = _prepared(ctx, row, request, identity)
        instrument = ctx.instrument(request.instrument_id)
        quote = ctx.quotes.of(row.intent_id, request.instrument_id)
    except NotSent as error:
        state = S.READY if error.retryable else S.DENIED
        return Obstacle(state, error.reason, error.message, ctx.limits.wait_s)
    except BrokerError as error:
        return Obstacle(S.READY, OrderReason.QUOTE_UNREADABLE, f"{error.reason}: {error.message}", ctx.limits.wait_s)
    reading = ctx.account(instrument_id=request.instrument_id)
    return OutgoingOrder(request, prepared, number, is_new, identity, instrument, quote, reading)


def _prepared(
    ctx: DeskContext, row: OrderIntent, request: OrderRequest, identity: OrderIdentity
) -> tuple[PreparedOrder, int, bool]:
    if row.client_order_id is not None:
        return _stored_payload(ctx, row, request), row.attempt_count, False
    number = row.attempt_count + 1
    client_order_id = make_client_order_id(
        IntentId(row.intent_id),
        attempt=number,
        tag=ctx.ledger.installation_tag,
        is_production=ctx.environment is Environment.PRODUCTION,
        identity=identity,
    )
    return ctx.broker.prepare_order(request, client_order_id), number, True


def _stored_payload(ctx: DeskContext, row: OrderIntent, request: OrderRequest) -> PreparedOrder:
    """The payload as it was frozen: the same id always means the same bytes."""
    assert row.client_order_id is not None
    with ctx.ledger.read() as session:
        attempt = store.load_attempt(session, row.client_order_id)
    return PreparedOrder(
        ClientOrderId(attempt.client_order_id), request, payload=attempt.payload, sha256=attempt.payload_sha256
    )


# -- the same id again ------------------------------------------------------------------------------------------
def resend(ctx: DeskContext, row: OrderIntent) -> None:
    """Send the frozen payload once more under its permanent id; `row` is UNKNOWN and leased to this worker."""
    ctx.crash("C23")
    request, identity = request_of(row), ctx.identity(row.instrument_id)
    prepared = _stored_payload(ctx, row, request)
    problem = ctx.clock_problem()
    if problem is not None:
        _step_back(ctx, row, Obstacle(S.UNKNOWN, problem[0], problem[1], ctx.limits.wait_s))
        return
    instrument = ctx.instrument(request.instrument_id)
    reading = ctx.account(instrument_id=request.instrument_id)
    order = OutgoingOrder(request, prepared, row.attempt_count, False, identity, instrument, None, reading)
    _commit_and_send(ctx, row, order)


# -- the transaction and the send -------------------------------------------------------------------------------
def _commit_and_send(ctx: DeskContext, row: OrderIntent, order: OutgoingOrder) -> None:
    try:
        committed = _commit(ctx, row, order, is_final=False)
        if isinstance(committed, Obstacle) and committed.to_state is S.DENIED:
            # The figures may be some seconds old: read the account once more before refusing for good.
            reading = ctx.account(instrument_id=order.request.instrument_id, fresh=True)
            committed = _commit(ctx, row, replace(order, reading=reading), is_final=True)
    except CommitUnknown:
        return  # nothing is sent; when the lease is over the sweep finds CLAIMED or SENDING
    if isinstance(committed, Obstacle):
        if committed.stop is not None:
            set_stop(ctx, committed.stop)
        return
    count_commit(ctx.broker)
    ctx.crash("C09")
    answer = _stopped_meanwhile(ctx, committed.row) or _place(ctx, order.prepared, committed.ticket)
    try:
        _record_answer(ctx, committed, answer)
    finally:
        _compare_counts(ctx, committed.row)


def _compare_counts(ctx: DeskContext, row: OrderIntent) -> None:
    """Right after each send: has more left than was committed? The next send would be stopped too."""
    stop = surplus(ctx, None, row)
    if stop is not None:
        set_stop(ctx, stop)


def _commit(ctx: DeskContext, row: OrderIntent, order: OutgoingOrder, *, is_final: bool) -> _Committed | Obstacle:
    """The point of no return: check all again, write attempt and send, move to SENDING, in one transaction.

    A denial that a fresher reading may lift is returned without being recorded unless `is_final`.
    """
    with ctx.ledger.write() as session:
        lock_account(session, row.account_id)
        now, monotonic_s = ctx.ledger.now(session), ctx.clock.monotonic()
        current = store.load(session, row.intent_id)
        # What is left of the intent's time is a difference on the ledger's clock, so it holds on the venue's too.
        validity = min(timedelta(seconds=validity_s(order.identity, ctx.limits)), current.expires_at - now)
        not_after = ctx.venue_now() + validity
        if (current.state, current.epoch) != (row.state, row.epoch) or not _holds_lease(current, now):
            raise store.LostRace(f"intent {row.intent_id} was taken over before it was sent")
        obstacle = gates.before_send(ctx, session, current, order, now)
        if obstacle is not None:
            if is_final or obstacle.to_state is not S.DENIED:
                _back(ctx, session, current, obstacle, now)
            return obstacle
        if ctx.dry_run:
            return _end_dry_run(ctx, session, current, order, now)
        moved, send = _write_attempt(ctx, session, current, order, not_after=not_after, now=now)
        committed = _Committed(
            row=moved,
            send=send,
            ticket=SendTicket(
                send_id=send.send_id,
                not_after=not_after,
                send_by_monotonic_s=monotonic_s + ctx.limits.send_by_s,
                timeout_s=ctx.limits.answer_timeout_s,
                record=wire_record(ctx.environment),
            ),
        )
        ctx.crash("C08")
    return committed


def _end_dry_run(ctx: DeskContext, session: Session, row: OrderIntent, order: OutgoingOrder, now: datetime) -> Obstacle:
    """Everything but SENDING: the exact payload is on record, and the intent is over. An order that was sent before
    the pool ran dry is only looked for."""
    ended = Obstacle(S.WITHDRAWN, OrderReason.DRY_RUN, f"would have sent {order.prepared.payload}"[:TEXT_MAX])
    if row.state == S.UNKNOWN.value:
        ended = Obstacle(S.UNKNOWN, OrderReason.DRY_RUN, wait_s=ctx.limits.wait_s)
    else:
        if order.is_new_attempt:
            store.add_attempt(session, row, order.prepared, order.attempt_number, now)
        store.observe(
            session,
            row,
            source=ObservationSource.SEND_ANSWER,
            outcome=DRY_RUN,
            now=now,
            client_order_id=str(order.prepared.client_order_id),
            text=order.prepared.sha256,
            raw=order.prepared.payload,
        )
    _back(ctx, session, row, ended, now)
    return ended


def _write_attempt(
    ctx: DeskContext, session: Session, row: OrderIntent, order: OutgoingOrder, *, not_after: datetime, now: datetime
) -> tuple[OrderIntent, OrderSend]:
    """Attempt, move to SENDING and send; the moved row and the send."""
    prepared, client_order_id = order.prepared, str(order.prepared.client_order_id)
    if order.is_new_attempt:
        store.add_attempt(session, row, prepared, order.attempt_number, now)
        _note_position(session, row, order, client_order_id, now)
    ordinal = len(store.sends_of(session, client_order_id)) + 1
    moved = store.move(
        session,
        row,
        S.SENDING,
        who=Who.RESOLVER if row.state == S.UNKNOWN.value else Who.WORKER,
        worker=ctx.worker,
        reason=OrderReason.COMMITTED_TO_SEND,
        detail=f"attempt {order.attempt_number}, send {ordinal}",
        now=now,
        attempt_count=order.attempt_number,
        client_order_id=client_order_id,
        clean_ladders=0,
        last_ladder_at=None,
        **_lease(ctx, now),
    )
    send = store.add_send(
        session,
        moved,
        client_order_id,
        ordinal=ordinal,
        epoch=moved.epoch,
        worker=ctx.worker,
        not_after=not_after,
        offset=ctx.offset,
        now=now,
        reserved=armed.reservation(ctx, session, row, order.request, order.instrument, order.quote),
    )
    return moved, send


def _note_position(
    session: Session, row: OrderIntent, order: OutgoingOrder, client_order_id: str, now: datetime
) -> None:
    """Keep the position as it was before the first send: a look-up for absence compares with it (proof rule P3)."""
    quantity = position_of(order.reading, order.request, order.instrument)
    store.observe(
        session,
        row,
        source=ObservationSource.LADDER,
        outcome=store.POSITION_BEFORE,
        now=now,
        client_order_id=client_order_id,
        code="" if quantity is None else str(quantity),
        text=order.reading.taken_at.isoformat(),
    )


def _stopped_meanwhile(ctx: DeskContext, row: OrderIntent) -> NotSent | None:
    """A stop that was set after the commit still keeps the order here, and so does an arming that ended meanwhile."""
    try:
        with ctx.ledger.read() as session:
            control = ctx.control(session)
            is_let_out = lets_out(control, session, row)
            problem = armed.why_not(ctx, session, row, ctx.ledger.now(session))
    except (SQLAlchemyError, LedgerError) as error:
        return NotSent(f"the control state could not be read before the first byte ({type(error).__name__})")
    if not is_let_out:
        return NotSent(f"control state became {control} before the first byte")
    return None if problem is None else NotSent(f"{problem[0]} before the first byte: {problem[1]}")


def _place(ctx: DeskContext, prepared: PreparedOrder, ticket: SendTicket) -> OrderAck | Exception:
    """One write to the socket, or none. Whatever is raised is kept and classified, never passed on."""
    if ctx.dry_run:
        return NotSent("the pool runs dry; nothing was sent")
    late_s = ctx.clock.monotonic() - ticket.send_by_monotonic_s
    if late_s > 0:
        return DeadlinePassed(f"send_by of {ticket.send_id} passed {late_s:.3f} s ago; nothing was sent")
    try:
        return ctx.broker.place(prepared, ticket)
    except Exception as error:  # noqa: BLE001 - an unlisted exception means an unknown outcome, not a failed job
        return error


def _record_answer(ctx: DeskContext, committed: _Committed, answer: OrderAck | Exception) -> None:
    """Keep the answer durably (in the spool when the ledger cannot), then move by what all answers prove."""
    client_order_id = ClientOrderId(committed.send.client_order_id)
    record = committed.ticket.record
    outcome = classify(answer, record, client_order_id=client_order_id)
    ctx.crash("C16")
    kept = store.spooled_answer(committed.row, committed.send, outcome, record, ctx.clock.now())
    try:
        with ctx.ledger.write() as session:
            store.observe_answer(session, kept, source=ObservationSource.SEND_ANSWER)
    except (SQLAlchemyError, LedgerError):
        ctx.spool.append(kept)
        raise
    ctx.crash("C17")
    apply_answers(ctx, committed.row, who=Who.WORKER, outcome=outcome)
    ctx.crash("C18")


# -- obstacles --------------------------------------------------------------------------------------------------
def _step_back(ctx: DeskContext, row: OrderIntent, obstacle: Obstacle) -> None:
    with ctx.ledger.write() as session:
        _back(ctx, session, row, obstacle, ctx.ledger.now(session))


def _back(ctx: DeskContext, session: Session, row: OrderIntent, obstacle: Obstacle, now: datetime) -> None:
    """Leave the claim (nothing was sent), or, before sending the same id again, stay UNKNOWN."""
    next_check_at = now + timedelta(seconds=obstacle.wait_s) if obstacle.wait_s else None
    if row.state == S.UNKNOWN.value:
        store.touch(session, row, lease_owner=None, lease_until=None, next_check_at=next_check_at)
        return
    store.move(
        session,
        row,
        obstacle.to_state,
        who=Who.WORKER,
        worker=ctx.worker,
        reason=obstacle.reason,
        detail=obstacle.detail,
        now=now,
        next_check_at=next_check_at if obstacle.to_state is S.READY else None,
    )


def _lease(ctx: DeskContext, now: datetime) -> dict[str, Any]:
    return {"lease_owner": ctx.worker, "lease_until": now + timedelta(seconds=ctx.limits.lease_s)}


def _holds_lease(row: OrderIntent, now: datetime) -> bool:
    return row.lease_until is not None and row.lease_until > now
