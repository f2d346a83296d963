"""Take out of both sides of a reconciliation what they hold alike, in one read of the ledger beside the venue's spools.

What is taken must change nothing but counts (trading.reconciliation.settled), so everything that speaks of what is left
comes back: a fact that the venue lists again, an order that was taken once already, fills of no order that is known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

from sqlmodel import Session

from brokers.ids import ClientOrderId, VenueOrderId
from brokers.types import ZERO, CashEventKind, LiquiditySide, OrderStatus
from ledger.tables import CashEventRow, FillRow, OrderRow
from trading.fact_rows import CASH_EVENTS, FILLS, ID, ORDERS, TIME, Layout, Row
from trading.ledger_view import rows_query, stream
from trading.reconciliation import LedgerView
from trading.reconciliation.settled import Left, Settled, settle
from trading.venue_reading import VenueReading

IDS_AT_ONCE = 500  # in one statement
_ORDER_STATUS, _ORDER_FILLED, _FILL_ORDER = 11, 10, 2


def settled(
    session: Session, view: LedgerView, reading: VenueReading, *, since: datetime, keep_after: datetime
) -> tuple[LedgerView, VenueReading]:
    """The view and the reading with the facts that are left; `view` is without facts. Those after `keep_after` stay."""
    work = _Work(session, view, reading, since, keep_after, Settled())
    fills = work.fills()
    events = work.cash_events()
    orders = work.orders({row[_FILL_ORDER] for side in (fills.ours, fills.theirs) for row in side})
    work.bring_back_orphans(fills, orders)
    account = view.account_id
    ours = replace(
        view,
        fills=[FILLS.fact_of(row, account) for row in fills.ours],
        cash_events=[CASH_EVENTS.fact_of(row, account) for row in events.ours],
        orders=[ORDERS.fact_of(row, account) for row in orders.ours],
        settled=work.settled,
    )
    theirs = replace(
        reading,
        fills=tuple(FILLS.fact_of(row, account) for row in fills.theirs),
        cash_events=tuple(CASH_EVENTS.fact_of(row, account) for row in events.theirs),
        orders=tuple(ORDERS.fact_of(row, account) for row in orders.theirs),
    )
    return ours, theirs


@dataclass(slots=True)
class _Work:
    session: Session
    view: LedgerView
    reading: VenueReading
    since: datetime
    keep_after: datetime
    settled: Settled

    # -- fills and wallet changes -------------------------------------------------------------------------------
    def fills(self) -> Left:
        def take(row: Row) -> None:
            self.settled.take_fill(row[_FILL_ORDER], row[4], row[6])

        left = settle(
            self._ours(FILLS, FillRow),
            self.reading.fills_shown.rows(),
            is_same=_same_fill,
            keep=lambda row: not self.since < row[TIME] <= self.keep_after,
            take=take,
        )
        for row in self._taken_of(FILLS, FillRow, left):
            self.settled.give_back_fill(row[_FILL_ORDER], row[6])
            left.ours.append(row)
            left.theirs.append(row)
        return left

    def cash_events(self) -> Left:
        if not self.reading.has_cash_feed:
            return Left([], [])  # nothing is compared with them

        def take(row: Row) -> None:
            self.settled.cash_events += 1
            self.settled.currencies.add(row[3])

        left = settle(
            self._ours(CASH_EVENTS, CashEventRow),
            self.reading.cash_events_shown.rows(),
            is_same=lambda our, their: our[:8] == their[:8],
            keep=lambda row: not self.since < row[TIME] <= self.keep_after or row[2] == CashEventKind.UNMAPPED.value,
            take=take,
        )
        for row in self._taken_of(CASH_EVENTS, CashEventRow, left):
            self.settled.cash_events -= 1
            left.ours.append(row)
            left.theirs.append(row)
        return left

    # -- orders -------------------------------------------------------------------------------------------------
    def orders(self, touched: Collection[str]) -> Left:
        """After the fills: an order is taken only with all its fills, and where nothing left speaks of it."""
        own = self.view.ownership
        assert own is not None, "a full run knows whose orders are"
        placed = {str(identity) for identity in own.placed}
        inferred = {str(identity) for identity in self.view.inferred}

        def keep(row: Row) -> bool:
            identity = row[ID]
            if OrderStatus(row[_ORDER_STATUS]).is_open or row[TIME] <= self.since:
                return True
            if identity in touched or identity in inferred:
                return True
            if self.settled.filled_by_order.get(identity, ZERO) != row[_ORDER_FILLED]:
                return True
            is_ours = row[2] is not None and own.is_ours(ClientOrderId(row[2]))
            return not (is_ours or identity in placed or f"order {identity}" in own.claimed)

        def take(row: Row) -> None:
            self.settled.orders += 1
            self.settled.filled_by_order.pop(row[ID], None)

        left = settle(
            self._ours(ORDERS, OrderRow),
            self.reading.orders_shown.rows(),
            is_same=_same_order,
            keep=keep,
            take=take,
            replaces=True,
        )
        for row in self._taken_of(ORDERS, OrderRow, left):
            self.settled.orders -= 1
            if row[_ORDER_FILLED]:
                self.settled.filled_by_order[row[ID]] = row[_ORDER_FILLED]  # it was taken because they were equal
            left.ours.append(row)
        return left

    def bring_back_orphans(self, fills: Left, orders: Left) -> None:
        """Fills of orders that neither side shows: the comparison judges whose they are, one by one."""
        own = self.view.ownership
        assert own is not None, "a full run knows whose orders are"
        known = {row[ID] for side in (orders.ours, orders.theirs) for row in side}
        nameless = [key for key in self.settled.filled_by_order.keys() - known if VenueOrderId(key) not in own.placed]
        left = {row[ID] for row in fills.ours}
        for row in self._of(FILLS, FillRow, "venue_order_id", sorted(nameless)):
            if row[ID] not in left:
                self.settled.give_back_fill(row[_FILL_ORDER], row[6])
                fills.ours.append(row)
                fills.theirs.append(row)

    # -- the ledger's rows --------------------------------------------------------------------------------------
    def _ours(self, layout: Layout[Any], table: type[Any]) -> Iterator[Row]:
        return stream(self.session, rows_query(layout, table, self.view.account_id, self.since), layout)

    def _taken_of(self, layout: Layout[Any], table: type[Any], left: Left) -> list[Row]:
        """The ledger's rows of what only the venue has left: it was taken, and the venue lists it again."""
        only_theirs = {row[ID] for row in left.theirs} - {row[ID] for row in left.ours}
        return list(self._of(layout, table, layout.columns[ID], sorted(only_theirs)))

    def _of(self, layout: Layout[Any], table: type[Any], column: str, values: Iterable[str]) -> Iterator[Row]:
        rest = iter(values)
        while some := list(islice(rest, IDS_AT_ONCE)):
            query = rows_query(layout, table, self.view.account_id, self.since)
            rows = self.session.connection().execute(query.where(table.__table__.c[column].in_(some))).all()
            yield from (tuple(row) for row in rows)


def _same_fill(our: Row, their: Row) -> bool:
    """As the comparison has it: an id or a side of liquidity that one does not tell is no difference."""
    if our == their:
        return True
    if our[:3] != their[:3] or our[4:10] != their[4:10] or our[11] != their[11]:
        return False
    is_one_id = our[3] == their[3] or not (our[3] and their[3])
    return is_one_id and (our[10] == their[10] or LiquiditySide.UNKNOWN.value in (our[10], their[10]))


def _same_order(our: Row, their: Row) -> bool:
    return our[3:12] == their[3:12] and (our[2] == their[2] or not (our[2] and their[2]))
