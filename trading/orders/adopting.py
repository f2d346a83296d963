"""Orders that carry our mark must map to an attempt that we believe exists; where they do not, everything stops.

Covers a proof that was wrong, an answer that came after its intent was given up, and a ledger restored from an old
backup. What is found is adopted or reported and the pool is halted; a person lifts the halt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import bindparam, select
from sqlmodel import Session, col

from brokers.ids import Environment
from brokers.types import ZERO, Order, OrderStatus
from ledger.reading import read_columns
from ledger.records import lock_account, upsert_orders
from ledger.states import ControlState, IntentState, ObservationSource
from ledger.tables import OrderAttempt, OrderIntent
from trading.orders import store
from trading.orders.context import DeskContext
from trading.orders.identity import is_of_production, is_ours
from trading.orders.moves import NOT_PLACED_STATES, Who
from trading.orders.reasons import OrderReason
from trading.orders.stops import Stop, halt_scope, set_stop_in

S = IntentState
_CHUNK = 500
_KNOWN = select(
    col(OrderAttempt.client_order_id),
    col(OrderIntent.state),
    col(OrderIntent.client_order_id),
    col(OrderIntent.venue_order_id),
).where(
    col(OrderAttempt.intent_id) == col(OrderIntent.intent_id),
    col(OrderAttempt.client_order_id).in_(bindparam("identities", expanding=True)),
)


@dataclass(frozen=True, slots=True)
class Sightings:
    """Client order ids seen at the venue that should not be there."""

    adopted: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    misplaced: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.adopted, *self.duplicates, *self.untracked, *self.misplaced)

    def __bool__(self) -> bool:
        return bool(self.all)


def check_orders(ctx: DeskContext, orders: Iterable[Order]) -> Sightings:
    """Compare orders seen at the venue with the attempts on record; adopt, report and halt where they disagree."""
    found: dict[OrderReason, list[str]] = {r: [] for r in _ALARMS}
    shown: dict[str, str] = {}  # venue order id of each client order id: one id must name one order
    ours = [o for o in orders if is_ours(o.client_order_id, ctx.ledger.installation_tag) and not never_lived(o)]
    known = _known(ctx, {str(order.client_order_id) for order in ours})
    for order in ours:
        client_order_id = str(order.client_order_id)
        is_second = shown.setdefault(client_order_id, str(order.venue_order_id)) != str(order.venue_order_id)
        if not is_second and _is_explained(ctx, order, known.get(client_order_id)):
            continue
        reason = _check(ctx, order, is_second=is_second)
        if reason is not None and client_order_id not in found[reason]:
            found[reason].append(client_order_id)
    return Sightings(*(tuple(found[reason]) for reason in _ALARMS))


_ALARMS = (
    OrderReason.SEEN_LATE,
    OrderReason.DUPLICATE_ORDER,
    OrderReason.UNTRACKED_ORDER,
    OrderReason.OTHER_ENVIRONMENT_ORDER,
)


def adopt_attempt(ctx: DeskContext, client_order_id: str, *, venue_order_id: str) -> OrderReason | None:
    """An order of this attempt is proved to exist: adopt it if it was called not placed, and halt."""
    with ctx.ledger.write() as session:
        lock_account(session, ctx.account_id)
        return _adopt(ctx, session, client_order_id, venue_order_id)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is on record of the attempt of a client order id."""

    state: str
    client_order_id: str | None  # of the intent's newest attempt
    venue_order_id: str | None


def _known(ctx: DeskContext, client_order_ids: Collection[str]) -> dict[str, _Known]:
    """Read in a few statements: a day has thousands of orders, and nearly all of them are explained."""
    wanted = sorted(client_order_ids)
    found: dict[str, _Known] = {}
    with ctx.ledger.read() as session:
        for start in range(0, len(wanted), _CHUNK):
            rows = read_columns(session, _KNOWN, identities=wanted[start : start + _CHUNK])
            found |= {identity: _Known(*values) for identity, *values in rows}
    return found


def _is_explained(ctx: DeskContext, order: Order, known: _Known | None) -> bool:
    """Whether the order is the one that its attempt is believed to be: nothing is to be done, so nothing is locked."""
    client_order_id = str(order.client_order_id)
    return (
        known is not None
        and is_of_production(client_order_id) is (ctx.environment is Environment.PRODUCTION)
        and IntentState(known.state) not in NOT_PLACED_STATES
        and known.client_order_id == client_order_id
        and not _is_second(known, str(order.venue_order_id))
    )


def _check(ctx: DeskContext, order: Order, *, is_second: bool) -> OrderReason | None:
    client_order_id = str(order.client_order_id)
    with ctx.ledger.write() as session:
        lock_account(session, ctx.account_id)  # before any row, as the sender does: otherwise the two may deadlock
        if is_of_production(client_order_id) is not (ctx.environment is Environment.PRODUCTION):
            return _halt(ctx, session, OrderReason.OTHER_ENVIRONMENT_ORDER, client_order_id)
        reason = _adopt(ctx, session, client_order_id, str(order.venue_order_id))
        if reason is None and is_second:
            reason = _halt(ctx, session, OrderReason.DUPLICATE_ORDER, client_order_id)
        if reason is not None:
            upsert_orders(session, [order], at=ctx.ledger.now(session))
        return reason


def _adopt(ctx: DeskContext, session: Session, client_order_id: str, venue_order_id: str) -> OrderReason | None:
    attempt = session.get(OrderAttempt, client_order_id)
    if attempt is None:
        return _halt(ctx, session, OrderReason.UNTRACKED_ORDER, client_order_id)
    row = store.load(session, attempt.intent_id)
    state = IntentState(row.state)
    if state in NOT_PLACED_STATES:
        _adopt_late(ctx, session, row, client_order_id, venue_order_id)
        return _halt(ctx, session, OrderReason.SEEN_LATE, client_order_id)
    if row.client_order_id == client_order_id and not _is_second(row, venue_order_id):
        return None
    return _halt(ctx, session, OrderReason.DUPLICATE_ORDER, client_order_id)


def _adopt_late(
    ctx: DeskContext, session: Session, row: OrderIntent, client_order_id: str, venue_order_id: str
) -> None:
    now = ctx.ledger.now(session)
    observation_id = store.observe(
        session,
        row,
        source=ObservationSource.OPEN_ORDERS,
        outcome="found",
        now=now,
        client_order_id=client_order_id,
        text=f"was {row.state}, venue order {venue_order_id}",
    )
    store.move(
        session,
        row,
        S.ADOPTED_LATE,
        who=Who.RESOLVER,
        worker=ctx.worker,
        reason=OrderReason.SEEN_LATE,
        detail=f"was {row.state}: {row.state_reason}",
        now=now,
        observation_id=observation_id,
        new_epoch=True,
        client_order_id=client_order_id,
        venue_order_id=venue_order_id or None,
        reserved_notional=row.reserved_notional or _open_risk(ctx, session, row),
    )


def _is_second(row: OrderIntent | _Known, venue_order_id: str) -> bool:
    """Another order under a known one's id: the wire or the venue doubled it. A stop has one number, here, for good."""
    return bool(venue_order_id and row.venue_order_id and venue_order_id != row.venue_order_id)


def _open_risk(ctx: DeskContext, session: Session, row: OrderIntent) -> Decimal:
    """What an order reserves again that was released as not placed: it counts until it is over."""
    price = row.limit_price or row.trigger_price or row.reference_price
    if row.reduce_only or price is None:
        return ZERO
    size = ctx.contract_sizes(session, [row.instrument_id]).get(row.instrument_id, Decimal(1))
    return (row.quantity * price * size).quantize(Decimal("1e-12"))


def _halt(ctx: DeskContext, session: Session, reason: OrderReason, client_order_id: str) -> OrderReason:
    """Stop the pool (or the account where there is no pool) unless it is stopped already."""
    set_stop_in(ctx, session, Stop(halt_scope(ctx), ControlState.HALT, reason, client_order_id))
    return reason


def never_lived(order: Order) -> bool:
    """Rejected by the engine without a fill: it exists as a record only."""
    return order.status is OrderStatus.REJECTED and order.filled_quantity == 0
