"""The ledger's side of a reconciliation: its orders, facts, sums and open ends, as the pure comparison takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from sqlmodel import Session, col, func, select

from brokers.ids import AccountId, InstrumentId, VenueOrderId
from brokers.types import Order, OrderStatus
from ledger.adjustments import standing_corrections
from ledger.breaks import claimed_subjects
from ledger.inferred import standing_inferences
from ledger.records import Feed, cursor
from ledger.snapshots import baseline, ledger_balances, ledger_positions
from ledger.states import TERMINAL_STATES, IntentState
from ledger.tables import CashEventRow, FillRow, LedgerMeta, OrderIntent, OrderRow, Transition
from trading.fact_rows import CASH_EVENTS, FILLS, ORDERS, TIME, Layout, Row
from trading.orders.identity import is_ours
from trading.reconciliation import LedgerView, Ownership, UnresolvedOrder

ROWS_AT_ONCE = 2_000
T = TypeVar("T")
OPEN_STATUSES = tuple(status.value for status in OrderStatus if status.is_open)
_OVER = tuple(state.value for state in TERMINAL_STATES)
_UNRESOLVED = tuple(
    state.value
    for state in (IntentState.SENDING, IntentState.UNKNOWN, IntentState.NEEDS_HUMAN, IntentState.ADOPTED_LATE)
)


def ledger_view(
    session: Session,
    account_id: AccountId,
    *,
    since: datetime,
    until: datetime,
    orders: Sequence[Order] | None = None,
    positions: Mapping[InstrumentId, Decimal] | None = None,
    balances: Mapping[str, Decimal] | None = None,
) -> LedgerView:
    """The ledger's side; facts are streamed while they are compared, so the session must stay open meanwhile.

    `orders`: those that the caller has already, or sees to. `positions` and `balances`: sums that it has; both are over
    all evidence since the opening.
    """
    opening = baseline(session, account_id)
    known = {feed: cursor(session, account_id, feed) or opening.taken_at for feed in Feed}
    return LedgerView(
        account_id=account_id,
        orders=list(_facts(session, ORDERS, OrderRow, account_id, since)) if orders is None else orders,
        fills=_facts(session, FILLS, FillRow, account_id, since),
        cash_events=_facts(session, CASH_EVENTS, CashEventRow, account_id, since),
        positions=position_sums(session, account_id, until=until) if positions is None else positions,
        balances=ledger_balances(session, account_id, until=until) if balances is None else balances,
        unresolved=_unresolved(session, account_id),
        orders_known_until=known[Feed.ORDERS],
        fills_known_until=known[Feed.FILLS],
        cash_events_known_until=known[Feed.CASH_EVENTS],
        has_traded=_has_traded(session, account_id, since=opening.taken_at),
        corrections=standing_corrections(session, account_id),
        inferred=_inferred(session, account_id, since=opening.taken_at, until=until),
        ownership=_ownership(session, account_id, since=since),
    )


def _inferred(
    session: Session, account_id: AccountId, *, since: datetime, until: datetime
) -> dict[VenueOrderId, Decimal]:
    found = standing_inferences(session, account_id, after=since, until=until)
    return {VenueOrderId(identity): item.quantity for identity, item in found.items()}


def _ownership(session: Session, account_id: AccountId, *, since: datetime) -> Ownership:
    """Ours is what carries this installation's tag, and what the ledger placed where the venue shows no ids."""
    stamp = session.get(LedgerMeta, "installation_tag")
    assert stamp is not None, "every ledger is stamped when it is made"
    tag = int(stamp.value)
    placed = select(OrderIntent.venue_order_id).where(
        OrderIntent.account_id == str(account_id),
        col(OrderIntent.venue_order_id).is_not(None),
        (col(OrderIntent.updated_at) > since) | col(OrderIntent.state).not_in(_OVER),
    )
    return Ownership(
        is_ours=lambda client_order_id: is_ours(client_order_id, tag),
        placed=frozenset(VenueOrderId(identity) for identity in session.exec(placed) if identity),
        claimed=claimed_subjects(session, account_id),
    )


def position_sums(session: Session, account_id: AccountId, *, until: datetime) -> dict[InstrumentId, Decimal]:
    """What the ledger itself says is held, by instrument."""
    return {InstrumentId(key): quantity for key, quantity in ledger_positions(session, account_id, until=until).items()}


def _has_traded(session: Session, account_id: AccountId, *, since: datetime) -> bool:
    query = select(FillRow.trade_id).where(FillRow.account_id == str(account_id), col(FillRow.time) > since)
    return session.exec(query.limit(1)).first() is not None


def rows_query(layout: Layout[Any], table: type[Any], account_id: AccountId, since: datetime) -> Any:
    """The rows of a view: facts after its beginning, and orders that are open or moved after it."""
    columns = table.__table__.c
    query = table.__table__.select().with_only_columns(*(columns[name] for name in layout.columns))
    of_account = columns.account_id == str(account_id)
    if table is OrderRow:
        return query.where(of_account, (columns.updated_at > since) | columns.status.in_(OPEN_STATUSES))
    return query.where(of_account, columns.time > since)


def stream(session: Session, query: Any, layout: Layout[Any]) -> Iterator[Row]:
    """Plain rows by time, a part of them in memory: an account may have had a million, and none is written here."""
    by_time = query.order_by(query.selected_columns[layout.columns[TIME]])
    rows = session.connection().execute(by_time.execution_options(yield_per=ROWS_AT_ONCE))
    return (tuple(row) for row in rows)


def _facts(
    session: Session, layout: Layout[T], table: type[Any], account_id: AccountId, since: datetime
) -> Iterator[T]:
    for row in stream(session, rows_query(layout, table, account_id, since), layout):
        yield layout.fact_of(row, account_id)


def _unresolved(session: Session, account_id: AccountId) -> list[UnresolvedOrder]:
    query = select(OrderIntent).where(
        OrderIntent.account_id == str(account_id), col(OrderIntent.state).in_(_UNRESOLVED)
    )
    return [
        UnresolvedOrder(
            subject=row.intent_id,
            instrument_id=InstrumentId(row.instrument_id),
            is_adopted_late=row.state == IntentState.ADOPTED_LATE.value,
            state=row.state,
            quantity=row.quantity,
            since=_unresolved_since(session, row),
        )
        for row in session.exec(query)
    ]


def _unresolved_since(session: Session, row: OrderIntent) -> datetime:
    """When the outcome became open: each later look touches the row, and must not make it young again."""
    query = select(func.max(Transition.at)).where(
        Transition.intent_id == row.intent_id,
        col(Transition.to_state).in_(_UNRESOLVED),
        col(Transition.from_state).not_in(_UNRESOLVED),
    )
    return session.exec(query).one() or row.created_at
