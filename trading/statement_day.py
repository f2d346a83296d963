"""What the ledger holds of one account's day: every fill since the opening goes through its instrument's cost book."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlmodel import Session

from brokers.ids import AccountId, InstrumentId
from brokers.types import ZERO, CashEventKind, Instrument, OrderSide
from ledger.snapshots import baseline, holds_position
from ledger.tables import CashEventRow, FillRow
from trading.cash_flows import is_spot
from trading.pnl import CostBook
from trading.reconciliation.equation import Flow
from trading.reconciliation.exact import EXACT
from trading.statement_model import Mark

ROWS_AT_ONCE = 2_000


@dataclass(slots=True)
class Traded:
    """One instrument while its fills go by; figures of the day begin at the opening."""

    book: CostBook
    is_known: bool = True  # whether the cost of what was held at first is
    opening: tuple[Decimal, Decimal] = (ZERO, ZERO)  # quantity and cost when the day opened
    bought: Decimal = ZERO
    sold: Decimal = ZERO
    realised: Decimal = ZERO
    fills: int = 0
    fees: dict[str, Decimal] = field(default_factory=dict)
    last_fill: Mark | None = None
    fill_before: Mark | None = None
    booked: Decimal | None = None
    funding: Decimal = ZERO


@dataclass(slots=True)
class Day:
    """What the ledger holds of the day."""

    opens_at: datetime
    closes_at: datetime
    traded: dict[InstrumentId, Traded] = field(default_factory=dict)
    flows: dict[str, Flow] = field(default_factory=dict)
    fills: int = 0


def gather(session: Session, account_id: AccountId, day: Day, instruments: Mapping[InstrumentId, Instrument]) -> Day:
    opening = baseline(session, account_id)
    for row in opening.positions:
        item = _traded(day, InstrumentId(row.instrument_id), instruments)
        item.is_known = item.is_known and row.average_price is not None
        item.book.fill(row.quantity, row.average_price or ZERO)
    for row in _rows(session, FillRow, account_id, opening.taken_at, day.closes_at):
        _take_fill(day, row, instruments)
    for item in day.traded.values():
        if not item.fills:
            item.opening = (item.book.quantity, item.book.cost)
    for row in _rows(session, CashEventRow, account_id, day.opens_at, day.closes_at):
        _take_event(day, row, instruments)
    return day


def _rows(session: Session, model: type[Any], account_id: AccountId, since: datetime, until: datetime) -> Iterator[Any]:
    table = model.__table__
    query = table.select().where(table.c.account_id == str(account_id), table.c.time > since, table.c.time <= until)
    ordered = query.order_by(table.c.time, *table.primary_key)  # of one moment: the same, whichever came first
    yield from session.connection().execute(ordered.execution_options(yield_per=ROWS_AT_ONCE))


def _traded(day: Day, key: InstrumentId, instruments: Mapping[InstrumentId, Instrument]) -> Traded:
    found = day.traded.get(key)
    if found is None:
        listed = instruments.get(key)
        size = listed.contract_size if listed is not None else Decimal(1)
        is_sized = listed is not None or "/" in str(key)
        found = day.traded[key] = Traded(CostBook(contract_size=size), is_known=is_sized)
    return found


def _take_fill(day: Day, row: Any, instruments: Mapping[InstrumentId, Instrument]) -> None:
    item = _traded(day, InstrumentId(row.instrument_id), instruments)
    mark = Mark(row.price, row.time, is_fill=True)
    signed = row.quantity if row.side == OrderSide.BUY.value else -row.quantity
    if row.time <= day.opens_at:
        item.book.fill(signed, row.price)
        item.last_fill = item.fill_before = mark
        return
    if not item.fills:
        item.opening = (item.book.quantity, item.book.cost)
    if not holds_position(row.instrument_id) and signed < 0 and -signed > item.book.quantity:
        item.is_known = False  # a coin that came from elsewhere: what it cost is not in this ledger
    item.realised = EXACT.add(item.realised, item.book.fill(signed, row.price))
    item.last_fill = mark
    item.fills += 1
    day.fills += 1
    if signed > 0:
        item.bought = EXACT.add(item.bought, signed)
    else:
        item.sold = EXACT.subtract(item.sold, signed)
    if row.fee:
        item.fees[row.fee_currency] = EXACT.add(item.fees.get(row.fee_currency, ZERO), row.fee)
        day.flows.setdefault(row.fee_currency, Flow(ZERO)).add_fee(row.fee, is_spot=is_spot(row.instrument_id))


def _take_event(day: Day, row: Any, instruments: Mapping[InstrumentId, Instrument]) -> None:
    kind = CashEventKind(row.kind)
    flow = day.flows.setdefault(row.currency, Flow(ZERO))
    flow.add(kind, row.amount, row.venue_kind, is_spot=is_spot(row.instrument_id))
    if not row.instrument_id or not holds_position(row.instrument_id):
        return
    item = _traded(day, InstrumentId(row.instrument_id), instruments)
    if kind is CashEventKind.TRADE:
        item.booked = EXACT.add(item.booked or ZERO, row.amount)
    elif kind is CashEventKind.FUNDING:
        item.funding = EXACT.add(item.funding, row.amount)
