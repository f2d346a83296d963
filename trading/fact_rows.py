"""Facts as plain rows: one order of columns for the ledger's and the venue's, and a file that holds the venue's.

An account may have had a million fills. As rows of plain values two equal facts are found equal without building
either, and what the venue has shown waits in an unnamed temporary file, so that memory holds a chunk of it.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from os import SEEK_END
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Generic, TypeVar
from weakref import finalize

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
    PositionSide,
    TimeInForce,
)

Row = tuple[Any, ...]
T = TypeVar("T")
FACTS_AT_ONCE = 2_000
IN_MEMORY_BYTES_MAX = 4 * 1024 * 1024  # of one spool; what is more goes to disk
LENGTH_BYTES = 8
ID, TIME = 0, 1  # the places that every row begins with


@dataclass(frozen=True)
class Layout(Generic[T]):
    """How one sort of fact is a row. `columns`: the ledger's, in the row's order; a venue's row may have more after."""

    columns: tuple[str, ...]
    decimals: tuple[int, ...]
    times: tuple[int, ...]
    row_of: Callable[[T], Row]
    fact_of: Callable[[Row, AccountId], T]


@dataclass
class Spool(Generic[T]):
    """Facts in the order they were added, to be read any number of times; oldest first where they come so."""

    layout: Layout[T]
    count: int = 0
    _file: IO[bytes] | None = None

    def add(self, facts: Iterable[T]) -> None:
        if self._file is None:
            self._file = SpooledTemporaryFile(max_size=IN_MEMORY_BYTES_MAX)  # noqa: SIM115 - it ends with this spool
            finalize(self, self._file.close)
        self._file.seek(0, SEEK_END)
        rows = map(self.layout.row_of, facts)
        while chunk := [self._packed(row) for row in islice(rows, FACTS_AT_ONCE)]:
            packed = marshal.dumps(chunk)
            self._file.write(len(packed).to_bytes(LENGTH_BYTES, "big") + packed)
            self.count += len(chunk)

    def rows(self) -> Iterator[Row]:
        """Every row, decoded as it is reached."""
        if self._file is None:
            return
        place = 0
        while True:
            self._file.seek(place)  # another reading of the same spool may have moved it
            head = self._file.read(LENGTH_BYTES)
            if not head:
                return
            chunk = self._file.read(int.from_bytes(head, "big"))
            place = self._file.tell()
            for packed in marshal.loads(chunk):  # noqa: S302 - our own file of this process
                yield self._unpacked(packed)

    def _packed(self, row: Row) -> list[Any]:
        found = list(row)
        for place in self.layout.decimals:
            if found[place] is not None:
                found[place] = str(found[place])
        for place in self.layout.times:
            found[place] = found[place].isoformat()
        return found

    def _unpacked(self, packed: list[Any]) -> Row:
        for place in self.layout.decimals:
            if packed[place] is not None:
                packed[place] = Decimal(packed[place])
        for place in self.layout.times:
            packed[place] = datetime.fromisoformat(packed[place])
        return tuple(packed)


def _text(value: object | None) -> str | None:
    return None if value is None else str(value)


# -- fills ------------------------------------------------------------------------------------------------------
def _fill_row(fill: Fill) -> Row:
    return (
        fill.trade_id.value,
        fill.time,
        fill.venue_order_id.value,
        None if fill.client_order_id is None else fill.client_order_id.value,
        str(fill.instrument_id),
        fill.side.value,
        fill.quantity,
        fill.price,
        fill.fee,
        fill.fee_currency,
        fill.liquidity.value,
        fill.kind,
    )


def _fill_of(row: Row, account_id: AccountId) -> Fill:
    return Fill(
        account_id=account_id,
        trade_id=TradeId(row[0]),
        venue_order_id=VenueOrderId(row[2]),
        client_order_id=ClientOrderId(row[3]) if row[3] else None,
        instrument_id=InstrumentId(row[4]),
        side=OrderSide(row[5]),
        quantity=row[6],
        price=row[7],
        fee=row[8],
        fee_currency=row[9],
        liquidity=LiquiditySide(row[10]),
        time=row[1],
        kind=row[11],
    )


FILLS: Layout[Fill] = Layout(
    columns=(
        *("trade_id", "time", "venue_order_id", "client_order_id", "instrument_id", "side", "quantity", "price"),
        *("fee", "fee_currency", "liquidity", "kind"),
    ),
    decimals=(6, 7, 8),
    times=(TIME,),
    row_of=_fill_row,
    fact_of=_fill_of,
)


# -- wallet changes ---------------------------------------------------------------------------------------------
def _event_row(event: CashEvent) -> Row:
    return (
        event.event_id,
        event.time,
        event.kind.value,
        event.currency,
        event.amount,
        _text(event.instrument_id),
        _text(event.trade_id),
        _text(event.venue_order_id),
        event.balance_after,
        event.venue_kind,
    )


def _event_of(row: Row, account_id: AccountId) -> CashEvent:
    return CashEvent(
        account_id=account_id,
        event_id=row[0],
        kind=CashEventKind(row[2]),
        currency=row[3],
        amount=row[4],
        time=row[1],
        instrument_id=InstrumentId(row[5]) if row[5] else None,
        trade_id=TradeId(row[6]) if row[6] else None,
        venue_order_id=VenueOrderId(row[7]) if row[7] else None,
        balance_after=row[8],
        venue_kind=row[9],
    )


CASH_EVENTS: Layout[CashEvent] = Layout(
    columns=(
        *("event_id", "time", "kind", "currency", "amount", "instrument_id", "trade_id", "venue_order_id"),
        *("balance_after", "venue_kind"),
    ),
    decimals=(4, 8),
    times=(TIME,),
    row_of=_event_row,
    fact_of=_event_of,
)


# -- orders -----------------------------------------------------------------------------------------------------
def _order_row(order: Order) -> Row:
    return (
        order.venue_order_id.value,
        order.created_at,
        None if order.client_order_id is None else order.client_order_id.value,
        str(order.instrument_id),
        order.side.value,
        order.order_type.value,
        order.quantity,
        order.limit_price,
        order.trigger_price,
        order.reduce_only,
        order.filled_quantity,
        order.status.value,
        None if order.time_in_force is None else order.time_in_force.value,
        order.average_price,
        order.updated_at,
        order.status_text,
        order.reject_code,
        None if order.position_side is None else order.position_side.value,
        tuple((currency, str(fee)) for currency, fee in order.fees.items()),
    )


def _order_of(row: Row, account_id: AccountId) -> Order:
    beyond: dict[str, Any] = {}
    if len(row) > len(ORDERS.columns):  # the venue's
        beyond["position_side"] = PositionSide(row[17]) if row[17] else None
        beyond["fees"] = {currency: Decimal(fee) for currency, fee in row[18]}
    return Order(
        account_id=account_id,
        venue_order_id=VenueOrderId(row[0]),
        client_order_id=ClientOrderId(row[2]) if row[2] else None,
        instrument_id=InstrumentId(row[3]),
        side=OrderSide(row[4]),
        order_type=OrderType(row[5]),
        time_in_force=TimeInForce(row[12]) if row[12] else None,
        quantity=row[6],
        filled_quantity=row[10],
        average_price=row[13],
        limit_price=row[7],
        trigger_price=row[8],
        status=OrderStatus(row[11]),
        reduce_only=row[9],
        created_at=row[1],
        updated_at=row[14],
        status_text=row[15],
        reject_code=row[16],
        **beyond,
    )


ORDERS: Layout[Order] = Layout(
    columns=(
        *("venue_order_id", "created_at", "client_order_id", "instrument_id", "side", "order_type", "quantity"),
        *("limit_price", "trigger_price", "reduce_only", "filled_quantity", "status", "time_in_force"),
        *("average_price", "updated_at", "status_text", "reject_code"),
    ),
    decimals=(6, 7, 8, 10, 13),
    times=(TIME, 14),
    row_of=_order_row,
    fact_of=_order_of,
)
