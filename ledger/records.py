"""Evidence from the venue, stored once: accounts, orders, fills, cash events, feed cursors.

Every function takes the session of a `ledger.write()` or `ledger.read()` block. Storing the same thing again changes
nothing; storing the same id with other content raises ConflictingEvidence and stores nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, bindparam, text
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlmodel import Session, SQLModel, col, select

from brokers.ids import AccountId
from brokers.types import AccountProof, CashEvent, Fill, Order
from ledger.adjustments import is_corrected
from ledger.columns import derived
from ledger.errors import ConflictingEvidence
from ledger.reading import read_columns
from ledger.tables import AccountRow, CashEventRow, FeedCursor, FillRow, OrderAttempt, OrderIntent, OrderRow

CHUNK = 500  # rows in one statement, far below either database's limit of bound values
Row = TypeVar("Row", bound=SQLModel)
Fields = dict[str, Any]  # one row of evidence, by column name


class Feed(StrEnum):
    """The feeds of an account that are read with a cursor."""

    ORDERS = "orders"
    FILLS = "fills"
    CASH_EVENTS = "cash_events"


@dataclass(frozen=True, slots=True)
class Imported:
    """How many rows a batch added, changed and found as they were."""

    new: int = 0
    changed: int = 0
    known: int = 0

    def __add__(self, other: Imported) -> Imported:
        return Imported(self.new + other.new, self.changed + other.changed, self.known + other.known)


def lock_account(session: Session, account_id: AccountId | str) -> None:
    """Hold off other writers of this account's current-state rows until the transaction ends.

    On SQLite `ledger.write()` holds off every writer already.
    """
    hold(session.connection(), str(account_id))


def hold(connection: Connection, name: str) -> None:
    """Take a lock by name until the transaction ends; an account's before a pool's, so that no two wait in a ring."""
    if connection.dialect.name == "postgresql":
        key = int.from_bytes(hashlib.sha256(f"ledger account {name}".encode()).digest()[:8], signed=True)
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


# -- accounts ---------------------------------------------------------------------------------------------------
def record_account(session: Session, account_id: AccountId, *, at: datetime, proof: AccountProof | None = None) -> None:
    """Note that an account exists and, with `proof`, what the connection test proved."""
    lock_account(session, account_id)
    row = session.get(AccountRow, str(account_id))
    if row is None:
        row = AccountRow(
            account_id=str(account_id),
            venue=account_id.venue.value,
            environment=account_id.environment.value,
            name=account_id.name,
            first_seen_at=at,
        )
    if proof is not None:
        _require_same_account(row, proof)
        row.venue_account = proof.venue_account
        row.key_fingerprint = proof.key_fingerprint
        row.last_proved_at = at
    session.add(row)
    session.flush()


def _require_same_account(row: AccountRow, proof: AccountProof) -> None:
    if row.venue_account not in ("", proof.venue_account):
        raise ConflictingEvidence(
            f"account {row.account_id}",
            stored={"venue_account": row.venue_account},
            received={"venue_account": proof.venue_account},
        )


# -- orders -----------------------------------------------------------------------------------------------------
def upsert_orders(session: Session, orders: Iterable[Order], *, at: datetime) -> Imported:
    """Store orders as the venue reports them now, linked to our intents by client order id.

    A report older than the stored one only moves `last_seen_at`. Another instrument, side or client order id under a
    known venue order id is ConflictingEvidence.
    """
    total = Imported()
    for chunk in _chunks(orders):
        lock_account(session, chunk[0].account_id)
        known = _by_key(
            session, OrderRow, "venue_order_id", chunk[0].account_id, [str(o.venue_order_id) for o in chunk]
        )
        intents = intents_by_client_order_id(session, [str(o.client_order_id) for o in chunk if o.client_order_id])
        for order in chunk:
            received = _order_row(order, intents, at)
            stored = known.get(received.venue_order_id)
            if stored is None:
                session.add(received)
                known[received.venue_order_id] = received
                total += Imported(new=1)
            else:
                total += _update_order(stored, received, at)
        session.flush()
    return total


def _order_row(order: Order, intents: dict[str, str], at: datetime) -> OrderRow:
    client_order_id = _text(order.client_order_id)
    return OrderRow(
        account_id=str(order.account_id),
        venue_order_id=str(order.venue_order_id),
        client_order_id=client_order_id,
        intent_id=intents.get(client_order_id or ""),
        instrument_id=str(order.instrument_id),
        side=order.side.value,
        order_type=order.order_type.value,
        time_in_force=order.time_in_force.value if order.time_in_force else None,
        quantity=order.quantity,
        filled_quantity=order.filled_quantity,
        average_price=derived(order.average_price),
        limit_price=order.limit_price,
        trigger_price=order.trigger_price,
        status=order.status.value,
        status_text=order.status_text,
        reject_code=order.reject_code,
        reduce_only=order.reduce_only,
        created_at=order.created_at,
        updated_at=order.updated_at,
        first_seen_at=at,
        last_seen_at=at,
    )


_ORDER_STATE = (
    "order_type",
    "time_in_force",
    "quantity",
    "filled_quantity",
    "average_price",
    "limit_price",
    "trigger_price",
    "status",
    "status_text",
    "reject_code",
    "reduce_only",
    "updated_at",
)


def _update_order(stored: OrderRow, received: OrderRow, at: datetime) -> Imported:
    before, after = _order_fields(stored), _order_fields(received)
    both_known = stored.client_order_id and received.client_order_id
    fixed = ("instrument_id", "side", *(("client_order_id",) if both_known else ()))
    _require_equal(f"order {stored.venue_order_id} of {stored.account_id}", before, after, fixed)
    stored.last_seen_at = max(at, stored.last_seen_at)
    stored.client_order_id = stored.client_order_id or received.client_order_id
    stored.intent_id = stored.intent_id or received.intent_id
    if _age(received) < _age(stored) or not _differences(before, after, _ORDER_STATE):
        return Imported(known=1)
    for name in _ORDER_STATE:
        setattr(stored, name, getattr(received, name))
    return Imported(changed=1)


def _order_fields(row: OrderRow) -> Fields:
    return {name: getattr(row, name) for name in (*_ORDER_STATE, "instrument_id", "side", "client_order_id")}


def _age(row: OrderRow) -> tuple[datetime, Any, bool]:
    """Sorts two reports of one order: by the venue's time, then by what was filled, then open before closed."""
    return row.updated_at, row.filled_quantity, row.status not in ("accepted", "working", "partially_filled")


_INTENTS_OF = select(col(OrderAttempt.client_order_id), col(OrderAttempt.intent_id)).where(
    col(OrderAttempt.client_order_id).in_(bindparam("client_order_ids", expanding=True))
)


def intents_by_client_order_id(session: Session, client_order_ids: Collection[str]) -> dict[str, str]:
    """Which of these client order ids are ours: client order id to intent id."""
    found: dict[str, str] = {}
    for chunk in _chunks(client_order_ids):
        for client_order_id, intent_id in read_columns(session, _INTENTS_OF, client_order_ids=chunk):
            found[client_order_id] = intent_id
    return found


def orders_of(
    session: Session, account_id: AccountId | str, *, since: datetime | None = None, ours: bool | None = None
) -> tuple[OrderRow, ...]:
    """Orders updated at or after `since`, oldest first; `ours` keeps those with (or without) an intent."""
    query = select(OrderRow).where(OrderRow.account_id == str(account_id))
    if since is not None:
        query = query.where(col(OrderRow.updated_at) >= since)
    if ours is not None:
        query = query.where(col(OrderRow.intent_id).is_not(None) if ours else col(OrderRow.intent_id).is_(None))
    return tuple(session.exec(query.order_by(col(OrderRow.created_at), OrderRow.venue_order_id)))


def orders_with_status(
    session: Session, account_id: AccountId | str, statuses: Collection[str]
) -> tuple[OrderRow, ...]:
    """Orders whose last report has one of these statuses, oldest first."""
    query = select(OrderRow).where(OrderRow.account_id == str(account_id), col(OrderRow.status).in_(statuses))
    return tuple(session.exec(query.order_by(col(OrderRow.created_at), OrderRow.venue_order_id)))


# -- fills and cash events --------------------------------------------------------------------------------------
def insert_fills(session: Session, fills: Iterable[Fill], *, at: datetime) -> Imported:
    """Store each fill once, by account and trade id."""
    total = Imported()
    for chunk in _chunks(fills):
        account_id = str(chunk[0].account_id)
        missing = {str(fill.venue_order_id) for fill in chunk if fill.client_order_id is None}
        orders = _by_key(session, OrderRow, "venue_order_id", account_id, missing)
        rows = [_fill_row(fill, orders, at) for fill in chunk]
        total += _insert_once(session, FillRow, rows, may_be_unknown=("client_order_id",))
    return total


def _fill_row(fill: Fill, orders: dict[str, OrderRow], at: datetime) -> Fields:
    order = orders.get(str(fill.venue_order_id))
    return {
        "account_id": str(fill.account_id),
        "trade_id": str(fill.trade_id),
        "venue_order_id": str(fill.venue_order_id),
        "client_order_id": _text(fill.client_order_id) or (order.client_order_id if order else None),
        "instrument_id": str(fill.instrument_id),
        "side": fill.side.value,
        "quantity": fill.quantity,
        "price": fill.price,
        "fee": fill.fee,
        "fee_currency": fill.fee_currency,
        "liquidity": fill.liquidity.value,
        "kind": fill.kind,
        "time": fill.time,
        "recorded_at": at,
    }


def insert_cash_events(session: Session, events: Iterable[CashEvent], *, at: datetime) -> Imported:
    """Store each wallet change once, by account and event id."""
    total = Imported()
    for chunk in _chunks(events):
        rows = [_cash_event_row(event, at) for event in chunk]
        total += _insert_once(session, CashEventRow, rows)
    return total


def _cash_event_row(event: CashEvent, at: datetime) -> Fields:
    return {
        "account_id": str(event.account_id),
        "event_id": event.event_id,
        "kind": event.kind.value,
        "venue_kind": event.venue_kind,
        "currency": event.currency,
        "amount": event.amount,
        "balance_after": event.balance_after,
        "instrument_id": _text(event.instrument_id),
        "trade_id": _text(event.trade_id),
        "venue_order_id": _text(event.venue_order_id),
        "time": event.time,
        "recorded_at": at,
    }


def fills_of(
    session: Session, account_id: AccountId | str, *, after: datetime | None = None, until: datetime | None = None
) -> tuple[FillRow, ...]:
    """Fills later than `after` and not later than `until`, oldest first."""
    return _in_window(session, FillRow, "trade_id", account_id, after, until)


def cash_events_of(
    session: Session, account_id: AccountId | str, *, after: datetime | None = None, until: datetime | None = None
) -> tuple[CashEventRow, ...]:
    """Wallet changes later than `after` and not later than `until`, oldest first."""
    return _in_window(session, CashEventRow, "event_id", account_id, after, until)


def fills_of_intent(session: Session, intent_id: str) -> tuple[FillRow, ...]:
    """Every fill of every attempt of an intent, oldest first, also those that came without our id."""
    intent = session.get(OrderIntent, intent_id)
    if intent is None:
        return ()
    attempts = select(OrderAttempt.client_order_id).where(OrderAttempt.intent_id == intent_id)
    orders = select(OrderRow.venue_order_id).where(
        OrderRow.account_id == intent.account_id, OrderRow.intent_id == intent_id
    )
    query = select(FillRow).where(
        FillRow.account_id == intent.account_id,
        col(FillRow.client_order_id).in_(attempts) | col(FillRow.venue_order_id).in_(orders),
    )
    return tuple(session.exec(query.order_by(col(FillRow.time), FillRow.trade_id)))


def fills_of_plan(session: Session, plan_id: str) -> dict[str, tuple[FillRow, ...]]:
    """As `fills_of_intent`, of all intents of a plan at once; intents without a fill are left out."""
    own = select(OrderIntent.intent_id).where(OrderIntent.plan_id == plan_id)
    accounts = set(session.exec(select(OrderIntent.account_id).where(OrderIntent.plan_id == plan_id)))
    by_attempt: dict[str | None, str] = dict(
        session.exec(
            select(OrderAttempt.client_order_id, OrderAttempt.intent_id).where(col(OrderAttempt.intent_id).in_(own))
        ).all()
    )
    of_plan = (col(OrderRow.account_id).in_(accounts), col(OrderRow.intent_id).in_(own))
    by_order = dict(session.exec(select(OrderRow.venue_order_id, OrderRow.intent_id).where(*of_plan)).all())
    query = select(FillRow).where(
        col(FillRow.account_id).in_(accounts),
        col(FillRow.client_order_id).in_(
            select(OrderAttempt.client_order_id).where(col(OrderAttempt.intent_id).in_(own))
        )
        | col(FillRow.venue_order_id).in_(select(OrderRow.venue_order_id).where(*of_plan)),
    )
    found: dict[str, list[FillRow]] = {}
    for row in session.exec(query.order_by(col(FillRow.time), FillRow.trade_id)):
        intent_id = by_attempt.get(row.client_order_id) or by_order[row.venue_order_id]
        assert intent_id is not None, f"fill {row.trade_id} was found by its intent"
        found.setdefault(intent_id, []).append(row)
    return {intent_id: tuple(rows) for intent_id, rows in found.items()}


# -- cursors ----------------------------------------------------------------------------------------------------
def cursor(session: Session, account_id: AccountId | str, feed: Feed) -> datetime | None:
    """How far the feed was read, in the venue's time."""
    row = session.get(FeedCursor, (str(account_id), feed.value))
    return None if row is None else row.read_until


def advance_cursor(
    session: Session, account_id: AccountId | str, feed: Feed, *, read_until: datetime, at: datetime
) -> None:
    """Move a cursor forward; one that stands further on stays."""
    lock_account(session, account_id)
    row = session.get(FeedCursor, (str(account_id), feed.value), populate_existing=True)
    if row is None:
        session.add(FeedCursor(account_id=str(account_id), feed=feed.value, read_until=read_until, updated_at=at))
    elif row.read_until < read_until:
        row.read_until = read_until
        row.updated_at = at
    session.flush()


# -- inside -----------------------------------------------------------------------------------------------------
def _text(value: object | None) -> str | None:
    return None if value is None else str(value)


Item = TypeVar("Item")


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _by_key(
    session: Session, model: type[Row], key: str, account_id: object, values: Collection[str]
) -> dict[str, Row]:
    if not values:
        return {}
    asked = {"account_id": str(account_id), "wanted": list(values)}
    return {getattr(row, key): row for row in session.execute(_by_keys(model, key), asked).scalars()}


@lru_cache(maxsize=16)
def _by_keys(model: type[SQLModel], key: str) -> Any:
    """The statement that finds rows of an account by a key of theirs, built once."""
    columns = model.__table__.c  # type: ignore[attr-defined]
    wanted = columns[key].in_(bindparam("wanted", expanding=True))
    return select(model).where(columns.account_id == bindparam("account_id"), wanted)


def _in_window(
    session: Session,
    model: type[Row],
    key: str,
    account_id: AccountId | str,
    after: datetime | None,
    until: datetime | None,
) -> tuple[Row, ...]:
    columns = model.__table__.c  # type: ignore[attr-defined]
    query = select(model).where(columns.account_id == str(account_id))
    if after is not None:
        query = query.where(columns.time > after)
    if until is not None:
        query = query.where(columns.time <= until)
    return tuple(session.exec(query.order_by(columns.time, columns[key])))


_SUBJECTS = {"fill": "trade", "cash_event": "cash event"}  # as breaks and correcting entries call them


def _insert_once(
    session: Session, model: type[SQLModel], rows: Sequence[Fields], *, may_be_unknown: Sequence[str] = ()
) -> Imported:
    """Insert the rows that are missing and compare the others.

    Inserting comes first: the database alone knows what is missing, also while other processes write. Other content
    than is stored is refused, but for a fact that a correcting entry speaks of: then both stay as they are.
    """
    table: Table = model.__table__  # type: ignore[attr-defined]
    account_id, key = rows[0]["account_id"], table.primary_key.columns[1].name
    wanted = {row[key]: row for row in rows}
    for row in rows:  # a page boundary may show one row twice, but only with one content
        assert row["account_id"] == account_id, "one batch holds one account's evidence"
        _require_same_evidence(table.name, key, wanted[row[key]], row, may_be_unknown)
    insert = sqlite_insert if session.get_bind().dialect.name == "sqlite" else postgresql_insert
    statement = insert(table).on_conflict_do_nothing().returning(table.c[key])
    new = set(session.connection().execute(statement, list(wanted.values())).scalars())
    known = [name for name in wanted if name not in new]
    query = table.select().where(table.c.account_id == account_id, table.c[key].in_(known))
    for stored in session.connection().execute(query).mappings() if known else ():
        try:
            _require_same_evidence(table.name, key, dict(stored), wanted[stored[key]], may_be_unknown)
        except ConflictingEvidence:  # a person has decided which content counts, or it is refused
            if not is_corrected(session, account_id, f"{_SUBJECTS[table.name]} {stored[key]}"):
                raise
    return Imported(new=len(new), known=len(known))


def _require_same_evidence(
    table: str, key: str, stored: Mapping[str, Any], received: Fields, may_be_unknown: Sequence[str]
) -> None:
    names = [name for name in received if name != "recorded_at"]
    names = [name for name in names if not (name in may_be_unknown and None in (stored[name], received[name]))]
    _require_equal(f"{table} {stored[key]} of {stored['account_id']}", stored, received, names)


def _require_equal(subject: str, stored: Mapping[str, Any], received: Mapping[str, Any], names: Iterable[str]) -> None:
    differing = _differences(stored, received, names)
    if differing:
        raise ConflictingEvidence(
            subject,
            stored={name: str(stored[name]) for name in differing},
            received={name: str(received[name]) for name in differing},
        )


def _differences(stored: Mapping[str, Any], received: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    return [name for name in names if stored[name] != received[name]]
