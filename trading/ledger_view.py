"""The ledger's side of a reconciliation: its orders, facts, sums and open ends, as the pure comparison takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlmodel import Session, col, func, select

from brokers.ids import AccountId, ClientOrderId, InstrumentId, TradeId, VenueOrderId
from brokers.types import (
    CashEvent,
    CashEventKind,
    Fill,
    LiquiditySide,
    Order,
    OrderSide,
    OrderStatus,
    OrderType,
    TimeInForce,
)
from ledger.adjustments import standing_corrections
from ledger.breaks import claimed_subjects
from ledger.inferred import standing_inferences
from ledger.records import Feed, cursor
from ledger.snapshots import baseline, ledger_balances, ledger_positions
from ledger.states import TERMINAL_STATES, IntentState
from ledger.tables import CashEventRow, FillRow, LedgerMeta, OrderIntent, OrderRow, Transition
from trading.orders.identity import is_ours
from trading.reconciliation import LedgerView, Ownership, UnresolvedOrder

ROWS_AT_ONCE = 2_000
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
    positions: Mapping[InstrumentId, Decimal] | None = None,
    balances: Mapping[str, Decimal] | None = None,
) -> LedgerView:
    """The ledger's side; facts are streamed while they are compared, so the session must stay open meanwhile.

    `positions` and `balances`: sums that the caller has already; both are over all evidence since the opening.
    """
    opening = baseline(session, account_id)
    known = {feed: cursor(session, account_id, feed) or opening.taken_at for feed in Feed}
    return LedgerView(
        account_id=account_id,
        orders=_orders(session, account_id, since),
        fills=_fills(session, account_id, since),
        cash_events=_cash_events(session, account_id, since),
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


def _orders(session: Session, account_id: AccountId, since: datetime) -> list[Order]:
    """As plain rows: an account may have had half a million, and none of them is written here."""
    table = OrderRow.__table__  # type: ignore[attr-defined]
    query = table.select().where(
        table.c.account_id == str(account_id),
        (table.c.updated_at > since) | table.c.status.in_(OPEN_STATUSES),
    )
    rows = session.connection().execute(query.execution_options(yield_per=ROWS_AT_ONCE))
    return [_order(row, account_id) for row in rows]


def _order(row: Any, account_id: AccountId) -> Order:
    return Order(
        account_id=account_id,
        venue_order_id=VenueOrderId(row.venue_order_id),
        client_order_id=ClientOrderId(row.client_order_id) if row.client_order_id else None,
        instrument_id=InstrumentId(row.instrument_id),
        side=OrderSide(row.side),
        order_type=OrderType(row.order_type),
        time_in_force=TimeInForce(row.time_in_force) if row.time_in_force else None,
        quantity=row.quantity,
        filled_quantity=row.filled_quantity,
        average_price=row.average_price,
        limit_price=row.limit_price,
        trigger_price=row.trigger_price,
        status=OrderStatus(row.status),
        reduce_only=row.reduce_only,
        created_at=row.created_at,
        updated_at=row.updated_at,
        status_text=row.status_text,
        reject_code=row.reject_code,
    )


def _fills(session: Session, account_id: AccountId, since: datetime) -> Iterator[Fill]:
    table = FillRow.__table__  # type: ignore[attr-defined]
    query = select(table).where(table.c.account_id == str(account_id), table.c.time > since)
    ids: dict[str, InstrumentId] = {}
    for row in session.connection().execute(query.execution_options(yield_per=ROWS_AT_ONCE)):
        yield Fill(
            account_id=account_id,
            trade_id=TradeId(row.trade_id),
            venue_order_id=VenueOrderId(row.venue_order_id),
            client_order_id=ClientOrderId(row.client_order_id) if row.client_order_id else None,
            instrument_id=ids.setdefault(row.instrument_id, InstrumentId(row.instrument_id)),
            side=OrderSide(row.side),
            quantity=row.quantity,
            price=row.price,
            fee=row.fee,
            fee_currency=row.fee_currency,
            liquidity=LiquiditySide(row.liquidity),
            time=row.time,
            kind=row.kind,
        )


def _cash_events(session: Session, account_id: AccountId, since: datetime) -> Iterator[CashEvent]:
    table = CashEventRow.__table__  # type: ignore[attr-defined]
    query = select(table).where(table.c.account_id == str(account_id), table.c.time > since)
    for row in session.connection().execute(query.execution_options(yield_per=ROWS_AT_ONCE)):
        yield CashEvent(
            account_id=account_id,
            event_id=row.event_id,
            kind=CashEventKind(row.kind),
            currency=row.currency,
            amount=row.amount,
            time=row.time,
            instrument_id=InstrumentId(row.instrument_id) if row.instrument_id else None,
            trade_id=TradeId(row.trade_id) if row.trade_id else None,
            venue_order_id=VenueOrderId(row.venue_order_id) if row.venue_order_id else None,
            balance_after=row.balance_after,
            venue_kind=row.venue_kind,
        )


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
