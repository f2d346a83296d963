"""The desk's writes and reads of the ledger: every move is compare-and-set and leaves a transition.

Every function takes the session of a `ledger.write()` or `ledger.read()` block; nothing here talks to a venue.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from sqlalchemy import Executable, bindparam, func, insert, union_all, update
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from brokers.types import IMMEDIATE, OrderType, PreparedOrder
from brokers.wire import WireRecord
from ledger.audit import has_link
from ledger.reading import read_columns, read_rows, table_of
from ledger.states import LIVE_STATES, TERMINAL_STATES, CancelState, IntentState, ObservationSource
from ledger.tables import FillRow, Observation, OrderAttempt, OrderIntent, OrderSend, Transition
from trading.orders.intents import UnknownIntent
from trading.orders.moves import Who, require_legal
from trading.orders.protocol import IntentSnapshot, Outcome, SendOutcome
from trading.orders.spool import Spooled

RAW_MAX = 20_000
TEXT_MAX = 2_000
POSITION_BEFORE = "position_before"
_OPEN = [state.value for state in IntentState if not state.is_terminal]
_UNRESOLVED = [
    state.value for state in (IntentState.CLAIMED, IntentState.SENDING, IntentState.UNKNOWN, IntentState.NEEDS_HUMAN)
]
_AT_ONCE = sorted(item.value for item in IMMEDIATE)
_SEND_OUTCOMES = tuple(outcome.value for outcome in Outcome)

_intents, _sends, _seen = table_of(OrderIntent), table_of(OrderSend), table_of(Observation)
_INTENT = select_columns(_intents).where(_intents.c.intent_id == bindparam("intent_id"))
_MOVE = (
    update(_intents)
    .where(
        _intents.c.intent_id == bindparam("of_intent_id"),
        _intents.c.state == bindparam("from_state"),
        _intents.c.epoch == bindparam("from_epoch"),
    )
    .returning(*_intents.c)
)
_attempts = table_of(OrderAttempt)
_NEW_ATTEMPT = insert(_attempts)
_ATTEMPT = select_columns(_attempts).where(_attempts.c.client_order_id == bindparam("client_order_id"))
_TRANSITION, _OBSERVATION = insert(table_of(Transition)), insert(_seen).returning(_seen.c.observation_id)
_SENDS = (
    select_columns(_sends).where(_sends.c.client_order_id == bindparam("client_order_id")).order_by(_sends.c.ordinal)
)
_ANSWERS = (
    select_columns(_seen)
    .where(
        _seen.c.intent_id == bindparam("intent_id"),  # here and below: that is what observations are indexed by
        _seen.c.send_id.in_(bindparam("send_ids", expanding=True)),
        _seen.c.outcome.in_(_SEND_OUTCOMES),
    )
    .order_by(_seen.c.observation_id)
)
_POSITION_BEFORE = (
    select_columns(_seen)
    .where(
        _seen.c.intent_id == bindparam("intent_id"),
        _seen.c.client_order_id == bindparam("client_order_id"),
        _seen.c.outcome == POSITION_BEFORE,
    )
    .order_by(_seen.c.observation_id)
    .limit(1)
)
_RECENT_SENDS = select(func.count(), func.min(OrderSend.committed_at)).where(
    OrderSend.account_id == bindparam("account_id"), col(OrderSend.committed_at) > bindparam("since")
)
# Cancels are known by their answers.
_RECENT_MESSAGES = union_all(
    select(col(OrderSend.committed_at)).where(
        OrderSend.account_id == bindparam("account_id"), col(OrderSend.committed_at) > bindparam("since")
    ),
    select(col(Observation.observed_at)).where(
        Observation.account_id == bindparam("account_id"),
        Observation.source == ObservationSource.CANCEL_ANSWER.value,
        col(Observation.observed_at) > bindparam("since"),
    ),
)
_ANSWERED_SENDS = (
    select(col(OrderSend.send_id), col(OrderSend.not_after), col(Observation.outcome))
    .join(
        Observation,
        (col(Observation.intent_id) == bindparam("intent_id"))
        & (col(Observation.send_id) == col(OrderSend.send_id))
        & col(Observation.outcome).in_(_SEND_OUTCOMES),
        isouter=True,
    )
    .where(OrderSend.client_order_id == bindparam("client_order_id"))
    .order_by(col(OrderSend.ordinal), col(Observation.observation_id))
)
_FILLS = select(col(FillRow.quantity), col(FillRow.price)).where(
    FillRow.account_id == bindparam("account_id"), FillRow.venue_order_id == bindparam("venue_order_id")
)
_NEIGHBOUR = (
    select(OrderIntent.intent_id)
    .where(
        OrderIntent.account_id == bindparam("account_id"),
        OrderIntent.instrument_id == bindparam("instrument_id"),
        OrderIntent.intent_id != bindparam("intent_id"),
        col(OrderIntent.state).in_(_UNRESOLVED),
    )
    .limit(1)
)
_REDUCING = (
    select(OrderIntent.intent_id)
    .where(
        OrderIntent.account_id == bindparam("account_id"),
        OrderIntent.instrument_id == bindparam("instrument_id"),
        OrderIntent.intent_id != bindparam("intent_id"),
        OrderIntent.side == bindparam("side"),
        col(OrderIntent.reduce_only).is_(True),
        col(OrderIntent.state).in_([state.value for state in LIVE_STATES]),
        (col(OrderIntent.order_type) == OrderType.MARKET.value) | col(OrderIntent.time_in_force).in_(_AT_ONCE),
    )
    .limit(1)
)
_DUE = (
    select(OrderIntent.intent_id)
    .where(
        OrderIntent.account_id == bindparam("account_id"),
        col(OrderIntent.state).in_(_OPEN),
        col(OrderIntent.next_check_at).is_(None) | (col(OrderIntent.next_check_at) <= bindparam("now")),
        col(OrderIntent.lease_until).is_(None) | (col(OrderIntent.lease_until) <= bindparam("now")),
    )
    .order_by(col(OrderIntent.created_at), OrderIntent.intent_id)
)


class LostRace(Exception):
    """Someone else moved first: the intent is no longer in the state and epoch that this move started from."""


# -- intents ----------------------------------------------------------------------------------------------------
def find(session: Session, intent_id: str) -> OrderIntent | None:
    """The current row, or None when there is none."""
    rows = read_rows(session, OrderIntent, _INTENT, intent_id=str(intent_id))
    return rows[0] if rows else None


def load(session: Session, intent_id: str) -> OrderIntent:
    """The current row; UnknownIntent when there is none."""
    row = find(session, intent_id)
    if row is None:
        raise UnknownIntent(f"the ledger has no intent {intent_id}")
    return row


def receive(session: Session, row: OrderIntent, *, worker: str) -> None:
    """Store a new intent and its first transition."""
    session.add(row)
    session.flush()
    _record(session, row, "", IntentState.RECEIVED, Who.INTAKE, worker, row.state_reason, "", row.created_at, None)


def move(
    session: Session,
    row: OrderIntent,
    to_state: IntentState,
    *,
    who: Who,
    worker: str,
    reason: str,
    now: datetime,
    detail: str = "",
    observation_id: int | None = None,
    new_epoch: bool = False,
    **changes: Any,
) -> OrderIntent:
    """Move from the row's state and epoch, or raise LostRace; the lease ends unless `changes` renews it."""
    from_state = IntentState(row.state)
    require_legal(from_state, to_state, who)
    values: dict[str, Any] = {
        "state": to_state.value,
        "state_reason": str(reason),
        "state_detail": _storable(detail, TEXT_MAX),
        "epoch": row.epoch + 1 if new_epoch else row.epoch,
        "lease_owner": None,
        "lease_until": None,
        "next_check_at": None,
        "updated_at": now,
    }
    if to_state in TERMINAL_STATES:
        values["reserved_notional"] = Decimal(0)
    values |= changes
    moved = _compare_and_set(session, row, values)
    _record(session, moved, from_state.value, to_state, who, worker, str(reason), detail, now, observation_id)
    return moved


def touch(session: Session, row: OrderIntent, **changes: Any) -> OrderIntent:
    """Change fields without a move, from the row's state and epoch, or raise LostRace."""
    assert "state" not in changes and "epoch" not in changes
    return _compare_and_set(session, row, changes)


def take_lease(session: Session, row: OrderIntent, *, worker: str, now: datetime, lease_s: float) -> OrderIntent:
    """Take an intent for one venue conversation: epoch + 1. A lease that another left behind starts look-ups anew."""
    if row.lease_until is not None and row.lease_until > now:
        raise LostRace(f"intent {row.intent_id} is leased to {row.lease_owner} until {row.lease_until}")
    values: dict[str, Any] = {
        "epoch": row.epoch + 1,
        "lease_owner": worker,
        "lease_until": now + timedelta(seconds=lease_s),
    }
    if row.lease_owner is not None:
        values["clean_ladders"] = 0
    return _compare_and_set(session, row, values)


def _compare_and_set(session: Session, row: OrderIntent, values: dict[str, Any]) -> OrderIntent:
    """Set and give the row as it is now, or raise LostRace when it is no longer in the state and epoch of `row`."""
    started_from = {"of_intent_id": row.intent_id, "from_state": row.state, "from_epoch": row.epoch}
    changed = {f"new_{name}": value for name, value in values.items()}
    moved = read_rows(session, OrderIntent, _move_of(tuple(values)), **started_from, **changed)
    if len(moved) != 1:
        raise LostRace(f"intent {row.intent_id} is no longer {row.state} at epoch {row.epoch}")
    return moved[0]


@lru_cache(maxsize=256)
def _move_of(names: tuple[str, ...]) -> Executable:
    """The statement that sets these columns; there are few such sets."""
    return _MOVE.values({name: bindparam(f"new_{name}") for name in names})


def _record(
    session: Session,
    row: OrderIntent,
    from_state: str,
    to_state: IntentState,
    who: Who,
    worker: str,
    reason: str,
    detail: str,
    at: datetime,
    observation_id: int | None,
) -> None:
    moved: dict[str, Any] = {
        "intent_id": row.intent_id,
        "from_state": from_state,
        "to_state": to_state.value,
        "epoch": row.epoch,
        "who": f"{who}:{worker}",
        "reason": str(reason),
        "detail": _storable(detail, TEXT_MAX),
        "observation_id": observation_id,
        "at": at,
    }
    if has_link(who=moved["who"], to_state=to_state):
        session.add(Transition(**moved))  # the mapper writes its link of the audit with it
        session.flush()
    else:
        read_columns(session, _TRANSITION, **moved)


# -- attempts and sends -----------------------------------------------------------------------------------------
def sends_of(session: Session, client_order_id: str | None) -> tuple[OrderSend, ...]:
    """The sends of one attempt, in order."""
    if client_order_id is None:
        return ()
    return tuple(read_rows(session, OrderSend, _SENDS, client_order_id=client_order_id))


def add_attempt(session: Session, row: OrderIntent, prepared: PreparedOrder, number: int, now: datetime) -> None:
    """Store the frozen payload of a new client order id."""
    read_columns(
        session,
        _NEW_ATTEMPT,
        client_order_id=str(prepared.client_order_id),
        intent_id=row.intent_id,
        attempt_number=number,
        payload=prepared.payload,
        payload_sha256=prepared.sha256,
        created_at=now,
    )


def load_attempt(session: Session, client_order_id: str) -> OrderAttempt:
    """The attempt of a client order id, which the ledger has."""
    (attempt,) = read_rows(session, OrderAttempt, _ATTEMPT, client_order_id=client_order_id)
    return attempt


def add_send(
    session: Session,
    row: OrderIntent,
    client_order_id: str,
    *,
    ordinal: int,
    epoch: int,
    worker: str,
    not_after: datetime,
    offset: timedelta,
    now: datetime,
    reserved: tuple[int | None, Decimal | None] = (None, None),
) -> OrderSend:
    """Store one SENDING step; it is committed before the first byte leaves. `reserved`: arming and notional."""
    send = OrderSend(
        send_id=f"{client_order_id}-{ordinal}",
        client_order_id=client_order_id,
        account_id=row.account_id,
        ordinal=ordinal,
        epoch=epoch,
        worker=worker,
        not_after=not_after,
        venue_offset_us=round(offset.total_seconds() * 1_000_000),
        committed_at=now,
        arming_id=reserved[0],
        notional=reserved[1],
    )
    session.add(send)
    session.flush()
    return send


def recent_sends(session: Session, account_id: str, *, since: datetime) -> tuple[int, datetime | None]:
    """How many order requests the account committed after `since`, and when the oldest of them was."""
    ((count, oldest),) = read_columns(session, _RECENT_SENDS, account_id=account_id, since=since)
    return count, oldest


def recent_messages(session: Session, account_id: str, *, since: datetime) -> list[datetime]:
    """When the account's orders and cancels after `since` went out, oldest first."""
    return sorted(at for (at,) in read_columns(session, _RECENT_MESSAGES, account_id=account_id, since=since))


# -- observations -----------------------------------------------------------------------------------------------
def observe(
    session: Session,
    row: OrderIntent,
    *,
    source: ObservationSource,
    outcome: str,
    now: datetime,
    client_order_id: str | None = None,
    send_id: str | None = None,
    code: str = "",
    text: str = "",
    raw: str = "",
) -> int:
    """Append what was seen."""
    return _add_observation(
        session,
        account_id=row.account_id,
        intent_id=row.intent_id,
        client_order_id=client_order_id or row.client_order_id,
        send_id=send_id,
        source=source.value,
        outcome=outcome,
        status=None,
        code=_storable(code, TEXT_MAX),
        text=_storable(text, TEXT_MAX),
        raw=_storable(raw, RAW_MAX),
        observed_at=now,
    )


def _add_observation(session: Session, **values: Any) -> int:
    ((number,),) = read_columns(session, _OBSERVATION, raw_sha256="", **values)
    assert isinstance(number, int)
    return number


def spooled_answer(
    row: OrderIntent, send: OrderSend, outcome: SendOutcome, record: WireRecord, now: datetime
) -> Spooled:
    """An answer in the one form that both the ledger and the spool take."""
    text = outcome.venue_order_id if outcome.kind is Outcome.DEFINITE_YES else outcome.text
    return Spooled(
        account_id=row.account_id,
        intent_id=row.intent_id,
        client_order_id=send.client_order_id,
        send_id=send.send_id,
        outcome=outcome.kind.value,
        status=record.status,
        code=_storable(outcome.code, TEXT_MAX),
        text=_storable(f"{outcome.reason} | {text}", TEXT_MAX),
        raw=_storable(record.response_body.decode("utf-8", "replace"), RAW_MAX),
        observed_at=now,
    )


def observe_answer(session: Session, answer: Spooled, *, source: ObservationSource) -> int:
    """Append the answer to one send."""
    return _add_observation(
        session,
        account_id=answer.account_id,
        intent_id=answer.intent_id,
        client_order_id=answer.client_order_id,
        send_id=answer.send_id,
        source=source.value,
        outcome=answer.outcome,
        status=answer.status,
        code=answer.code,
        text=answer.text,
        raw=answer.raw,
        observed_at=answer.observed_at,
    )


def has_answer(session: Session, answer: Spooled) -> bool:
    """Whether an answer of this kind to the same send is on record."""
    query = select(Observation).where(
        Observation.intent_id == answer.intent_id,
        Observation.send_id == answer.send_id,
        Observation.outcome == answer.outcome,
        col(Observation.source) != "ladder",
    )
    return session.exec(query.limit(1)).first() is not None


def answers_to(session: Session, intent_id: str, sends: Sequence[OrderSend]) -> dict[str, Observation]:
    """The answer that counts for each send: proof of existence before anything else, then the latest."""
    if not sends:
        return {}
    counting: dict[str, Observation] = {}
    send_ids = [send.send_id for send in sends]
    for seen in read_rows(session, Observation, _ANSWERS, intent_id=intent_id, send_ids=send_ids):
        assert seen.send_id is not None
        before = counting.get(seen.send_id)
        if before is None or not Outcome(before.outcome).proves_existence:
            counting[seen.send_id] = seen
    return counting


def _answered_sends(session: Session, row: OrderIntent) -> tuple[tuple[datetime, Outcome | None], ...]:
    """Deadline and counting answer of each send of an attempt, in order: what `sends_of` and `answers_to` tell."""
    if row.client_order_id is None:
        return ()
    counting: dict[str, tuple[datetime, Outcome | None]] = {}
    asked = {"intent_id": row.intent_id, "client_order_id": row.client_order_id}
    for send_id, not_after, answer in read_columns(session, _ANSWERED_SENDS, **asked):
        before = counting.get(send_id, (not_after, None))[1]
        if before is None or not before.proves_existence:
            counting[send_id] = (not_after, None if answer is None else Outcome(answer))
    return tuple(counting.values())


def snapshot(session: Session, row: OrderIntent, *, may_send: bool) -> IntentSnapshot:
    """Everything that the next step depends on, as of this transaction."""
    is_settled = IntentState(row.state).is_live_at_venue or IntentState(row.state).is_terminal
    sends = () if is_settled else _answered_sends(session, row)
    return IntentSnapshot(
        state=IntentState(row.state),
        state_since=row.updated_at,
        expires_at=row.expires_at,
        lease_until=row.lease_until,
        attempt_count=row.attempt_count,
        attempts_max=row.attempts_max,
        answers=tuple(answer for _, answer in sends),
        not_after=max((not_after for not_after, _ in sends), default=None),
        clean_ladders=row.clean_ladders,
        last_ladder_at=row.last_ladder_at,
        next_check_at=row.next_check_at,
        cancel_state=CancelState(row.cancel_state),
        may_send=may_send,
        reuses_attempt=row.client_order_id is not None,
        reason=row.state_reason,
    )


def position_before(session: Session, row: OrderIntent) -> Observation | None:
    """The position that was read before the first send of an intent's current attempt."""
    asked = {"intent_id": row.intent_id, "client_order_id": row.client_order_id}
    found = read_rows(session, Observation, _POSITION_BEFORE, **asked)
    return found[0] if found else None


def fills_quantity(session: Session, account_id: str, venue_order_id: str) -> tuple[Decimal, Decimal]:
    """Sum of the recorded fills of one order: quantity, and quantity times price."""
    quantity = value = Decimal(0)
    for filled, price in read_columns(session, _FILLS, account_id=account_id, venue_order_id=venue_order_id):
        quantity += filled
        value += filled * price
    return quantity, value


def has_unresolved_neighbour(session: Session, row: OrderIntent) -> bool:
    """Whether another intent in the same instrument is on its way or without a known outcome."""
    found = read_columns(
        session, _NEIGHBOUR, account_id=row.account_id, instrument_id=row.instrument_id, intent_id=row.intent_id
    )
    return bool(found)


def has_reduction_under_way(session: Session, row: OrderIntent) -> bool:
    """Whether another reduction of the same side is at the venue and about to be filled; one that rests is not."""
    asked = {"account_id": row.account_id, "instrument_id": row.instrument_id, "intent_id": row.intent_id}
    return bool(read_columns(session, _REDUCING, **asked, side=row.side))


def is_order_of_another(session: Session, row: OrderIntent, venue_order_id: str) -> bool:
    """Whether a venue order belongs to another intent already."""
    query = select(OrderIntent.intent_id).where(
        OrderIntent.account_id == row.account_id,
        OrderIntent.venue_order_id == venue_order_id,
        OrderIntent.intent_id != row.intent_id,
    )
    return session.exec(query.limit(1)).first() is not None


def due_intents(session: Session, account_id: str, *, now: datetime) -> tuple[str, ...]:
    """Intents of an account that may need a step now, oldest first."""
    return tuple(intent_id for (intent_id,) in read_columns(session, _DUE, account_id=account_id, now=now))


def _storable(text: str, length_max: int) -> str:
    """What a venue sent, as both databases take it: bounded, and without NUL, which PostgreSQL refuses."""
    return text[:length_max].replace("\x00", "\ufffd")
