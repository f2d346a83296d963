"""Following a live order to its end, and cancelling it: reads, recorded fills, and moves that never go backwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, NamedTuple

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from brokers.errors import BrokerError, NotSent, OrderAlreadyDone, OrderNotFound, Refused
from brokers.ids import ClientOrderId, InstrumentId, VenueOrderId
from brokers.types import Fill, Order
from ledger.errors import ConflictingEvidence
from ledger.reading import read_columns
from ledger.records import insert_fills, upsert_orders
from ledger.states import CancelState, IntentState, ObservationSource
from ledger.tables import Observation, OrderIntent, OrderRow
from trading.orders import store
from trading.orders.context import DeskContext
from trading.orders.intents import request_of
from trading.orders.looking import order_in_lists
from trading.orders.moves import Who
from trading.orders.progress import Known, Progress, progress
from trading.orders.protocol import Step

S = IntentState
_PRICE_STEP = Decimal("1e-12")
_BEFORE_S = 2.0
_DOUBT_EVERY_S = 5.0  # looks that do not fit are noted no more often
_OWNER = select(col(OrderRow.intent_id)).where(
    OrderRow.account_id == bindparam("account_id"), OrderRow.venue_order_id == bindparam("venue_order_id")
)
_LAST_SEEN = select(col(OrderRow.last_seen_at)).where(
    OrderRow.account_id == bindparam("account_id"), OrderRow.venue_order_id == bindparam("venue_order_id")
)
_DOUBTED = select(col(Observation.observed_at)).where(
    col(Observation.intent_id) == bindparam("intent_id"),
    col(Observation.client_order_id).is_not_distinct_from(bindparam("client_order_id")),
    Observation.source == ObservationSource.FIND_ORDER.value,
    Observation.outcome == bindparam("outcome"),
    col(Observation.observed_at) > bindparam("since"),
)
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_DOUBTS = {True: "not_shown", False: "fills_do_not_fit"}


# -- following --------------------------------------------------------------------------------------------------
def track(ctx: DeskContext, row: OrderIntent, step: Step) -> None:
    """One look at the order and, when it shows more filled than recorded, at its fills."""
    try:
        order = _find(ctx, row)
        fills = _missing_fills(ctx, row, order)
    except BrokerError as error:
        _look_later(ctx, row, error)
        return
    if fills:
        ctx.crash("C19")
    try:
        with ctx.ledger.write() as session:
            _record_look(ctx, session, row, order, fills)
    except ConflictingEvidence as error:
        _contradicted(ctx, row, error)


def _find(ctx: DeskContext, row: OrderIntent) -> Order | None:
    identity = ctx.identity(row.instrument_id)
    by_client_id = identity.lookup_by_client_id and row.client_order_id is not None
    if not by_client_id and row.venue_order_id is None:
        return order_in_lists(ctx, row)
    return ctx.broker.find_order(
        instrument_id=InstrumentId(row.instrument_id),
        client_order_id=ClientOrderId(row.client_order_id) if by_client_id and row.client_order_id else None,
        venue_order_id=None if by_client_id or not row.venue_order_id else VenueOrderId(row.venue_order_id),
    )


def _missing_fills(ctx: DeskContext, row: OrderIntent, order: Order | None) -> tuple[Fill, ...]:
    if order is None or (order.status.is_open and ctx.broker.capabilities.fills_are_totals):
        return ()  # told when the order is over: asking for it now would only use up the venue's budget
    with ctx.ledger.read() as session:
        recorded, _ = store.fills_quantity(session, row.account_id, str(order.venue_order_id))
        if order.filled_quantity <= recorded:
            return ()
        sends = store.sends_of(session, row.client_order_id)
    started_at = sends[0].committed_at + ctx.offset if sends else order.created_at
    since = min(started_at, order.created_at) - timedelta(seconds=_BEFORE_S)
    until = max(ctx.venue_now(), order.updated_at) + timedelta(seconds=_BEFORE_S)
    fills = ctx.broker.fills(since=since, until=until, instrument_id=InstrumentId(row.instrument_id))
    return tuple(fill for fill in fills if fill.venue_order_id == order.venue_order_id)


def _record_look(
    ctx: DeskContext, session: Session, row: OrderIntent, order: Order | None, fills: tuple[Fill, ...]
) -> None:
    now = ctx.ledger.now(session)
    last_seen_at, value = row.updated_at, Decimal(0)
    quantity = Decimal(0)
    if order is not None:
        upsert_orders(session, [order], at=now)
        _own(session, row, order)
        insert_fills(session, fills, at=now)
        quantity, value = store.fills_quantity(session, row.account_id, str(order.venue_order_id))
    elif row.venue_order_id is not None:
        seen = read_columns(session, _LAST_SEEN, account_id=row.account_id, venue_order_id=row.venue_order_id)
        last_seen_at = max([last_seen_at, *(at for (at,) in seen)])
        quantity, value = store.fills_quantity(session, row.account_id, row.venue_order_id)
    result = progress(
        Known(
            S(row.state),
            request_of(row),
            row.filled_quantity,
            last_seen_at,
            *_doubt(session, row, order, last_seen_at, quantity, now),
        ),
        order,
        quantity,
        identity=ctx.identity(row.instrument_id),
        now=min(now, ctx.venue_now()),
        limits=ctx.limits,
    )
    _apply(ctx, session, row, order, result, _average(order, quantity, value), now)


def _doubt(
    session: Session, row: OrderIntent, order: Order | None, seen_at: datetime, fills: Decimal, now: datetime
) -> tuple[datetime, int]:
    """Note a look that does not fit what is known; since when and how often there were such looks."""
    fits = order is not None and (order.status.is_open or fills == order.filled_quantity >= row.filled_quantity)
    if fits:
        return now, 0
    outcome = _DOUBTS[order is None]
    found = read_columns(
        session,
        _DOUBTED,
        intent_id=row.intent_id,
        client_order_id=row.client_order_id,
        outcome=outcome,
        since=seen_at if order is None else _EVER,
    )
    times = sorted(at for (at,) in found)
    if not times or (now - times[-1]).total_seconds() >= _DOUBT_EVERY_S:
        store.observe(session, row, source=ObservationSource.FIND_ORDER, outcome=outcome, now=now)
        times.append(now)
    return times[0], len(times)


def _own(session: Session, row: OrderIntent, order: Order) -> None:
    """Link the venue's order to the intent also where the venue does not carry our id."""
    key = (row.account_id, str(order.venue_order_id))
    owner = read_columns(session, _OWNER, account_id=key[0], venue_order_id=key[1])
    stored = session.get(OrderRow, key) if owner == [(None,)] else None
    if stored is not None and stored.intent_id is None:
        stored.intent_id = row.intent_id
        session.flush()


def _apply(
    ctx: DeskContext,
    session: Session,
    row: OrderIntent,
    order: Order | None,
    result: Progress,
    average: Decimal | None,
    now: datetime,
) -> None:
    changes: dict[str, Any] = {
        "filled_quantity": result.filled_quantity,
        "average_price": average or row.average_price,
        "venue_order_id": str(order.venue_order_id) if order is not None else row.venue_order_id,
        "next_check_at": now + timedelta(seconds=_pause_s(ctx, row, now)),
    }
    is_moved = result.state.value != row.state
    if is_moved or result.filled_quantity != row.filled_quantity:
        ctx.reading = None  # the position has changed, or may have
    if order is not None and order.status.is_open and row.cancel_state == CancelState.DONE.value:
        changes["cancel_state"] = CancelState.UNKNOWN.value  # still open after a cancel: ask again
        changes["next_check_at"] = now + timedelta(seconds=ctx.limits.cancel_again_s)
    if not is_moved:
        if result.filled_quantity != row.filled_quantity:
            changes["updated_at"] = now
        store.touch(session, row, **changes)
        return
    assert result.reason is not None
    observation_id = store.observe(
        session,
        row,
        source=ObservationSource.FIND_ORDER,
        outcome="found" if order is not None else "absent",
        now=now,
        code=order.status.value if order else "",
        text=result.detail,
        raw=repr(order) if order else "",
    )
    if result.state.is_terminal or result.state is S.NEEDS_HUMAN:
        changes["next_check_at"] = None
    store.move(
        session,
        row,
        result.state,
        who=Who.TRACKER,
        worker=ctx.worker,
        reason=result.reason,
        detail=result.detail,
        now=now,
        observation_id=observation_id,
        **changes,
    )


def _average(order: Order | None, quantity: Decimal, value: Decimal) -> Decimal | None:
    """From the recorded fills; the venue's own figure while they are not complete."""
    if quantity > 0:
        return (value / quantity).quantize(_PRICE_STEP, rounding=ROUND_HALF_EVEN)
    return order.average_price if order is not None and order.filled_quantity > 0 else None


def _pause_s(ctx: DeskContext, row: OrderIntent, now: datetime) -> float:
    """Look often at a young order and seldom at an old one."""
    age_s = (now - row.updated_at).total_seconds()
    return min(max(age_s / 4, ctx.limits.track_s_min), ctx.limits.track_s_max)


def _look_later(ctx: DeskContext, row: OrderIntent, error: BrokerError) -> None:
    with ctx.ledger.write() as session:
        now = ctx.ledger.now(session)
        wait_s = error.retry_after_s or max(_pause_s(ctx, row, now), ctx.limits.query_every_s)
        store.observe(
            session,
            row,
            source=ObservationSource.FIND_ORDER,
            outcome="read_failed",
            now=now,
            code=error.code,
            text=f"{error.reason} | {error.message}",
        )
        store.touch(session, row, next_check_at=now + timedelta(seconds=wait_s))


def _contradicted(ctx: DeskContext, row: OrderIntent, error: ConflictingEvidence) -> None:
    with ctx.ledger.write() as session:
        store.move(
            session,
            row,
            S.NEEDS_HUMAN,
            who=Who.TRACKER,
            worker=ctx.worker,
            reason=error.reason,
            detail=str(error),
            now=ctx.ledger.now(session),
        )


# -- cancelling -------------------------------------------------------------------------------------------------
def cancel(ctx: DeskContext, row: OrderIntent, step: Step) -> None:
    """Ask the venue to cancel; repeating it is harmless, only reading the order tells what became of it."""
    limits = ctx.limits
    with ctx.ledger.write() as session:
        now = ctx.ledger.now(session)
        row = store.touch(
            session,
            row,
            cancel_state=CancelState.SENDING.value,
            next_check_at=now + timedelta(seconds=limits.answer_timeout_s),
        )
    asked = ask(ctx, row)
    ctx.crash("C24")
    with ctx.ledger.write() as session:
        note_cancel(session, row, asked, now=ctx.ledger.now(session))


def note_cancel(session: Session, row: OrderIntent, asked: Asked, *, now: datetime) -> None:
    """Keep the answer to a cancel."""
    store.observe(
        session,
        row,
        source=ObservationSource.CANCEL_ANSWER,
        outcome=asked.state.value,
        now=now,
        code=asked.code,
        text=asked.text,
    )
    store.touch(session, row, cancel_state=asked.state.value, next_check_at=now + timedelta(seconds=asked.wait_s))


class Asked(NamedTuple):
    """What a cancel leaves, how long to wait before the next look, and the venue's words."""

    state: CancelState
    wait_s: float
    code: str
    text: str


def ask(ctx: DeskContext, row: OrderIntent) -> Asked:
    """Send the cancel."""
    limits = ctx.limits
    try:
        ctx.broker.cancel(
            instrument_id=InstrumentId(row.instrument_id),
            client_order_id=ClientOrderId(row.client_order_id) if row.client_order_id else None,
            venue_order_id=VenueOrderId(row.venue_order_id) if row.venue_order_id else None,
        )
    except (OrderAlreadyDone, OrderNotFound) as error:
        return Asked(CancelState.DONE, limits.track_s_min, error.code, error.reason)
    except (NotSent, Refused) as error:
        return Asked(CancelState.READY, error.retry_after_s or limits.cancel_again_s, error.code, str(error))
    except BrokerError as error:
        return Asked(CancelState.UNKNOWN, limits.cancel_again_s, error.code, str(error))
    return Asked(CancelState.DONE, limits.track_s_min, "", "accepted")
