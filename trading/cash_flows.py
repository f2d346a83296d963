"""The ledger's wallet changes since the opening, by currency and kind, read in one pass; the venue's news go on them.

Rows are streamed in the feed's order, so that memory does not grow with their number, and each one's running balance
is tied to the one before (trading.reconciliation.equation).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from sqlmodel import Session, select

from brokers.ids import AccountId
from brokers.types import ZERO, CashEvent, CashEventKind, Fill
from ledger.snapshots import baseline, holds_position
from ledger.tables import CashEventRow, FillRow
from trading.reconciliation.equation import CashFlows, Chain, Flow

ROWS_AT_ONCE = 2_000


def cash_flows(
    session: Session,
    account_id: AccountId,
    *,
    until: datetime,
    news: Iterable[CashEvent] = (),
    new_fills: Iterable[Fill] = (),
) -> CashFlows:
    """Flows from the baseline to `until`, with `news` and `new_fills`: what the ledger has not imported yet.

    News later than `until` are kept apart: what came while the balances were read may be in them or not.
    """
    opening = baseline(session, account_id)
    flows = {currency: Flow(total) for currency, total in opening.totals.items()}
    late: dict[str, Flow] = {}
    chain = Chain()
    for row in _events(session, account_id, since=opening.taken_at, until=until):
        flow = flows.setdefault(row.currency, Flow(ZERO))
        flow.add(CashEventKind(row.kind), row.amount, row.venue_kind, is_spot=is_spot(row.instrument_id))
        chain.add(row.currency, row.event_id, row.time, row.amount, row.balance_after)
    stored = {currency: flow.total() for currency, flow in flows.items()}
    for event in news:
        if event.time > opening.taken_at:
            into = flows if event.time <= until else late
            flow = into.setdefault(event.currency, Flow(ZERO))
            flow.add(event.kind, event.amount, event.venue_kind, is_spot=is_spot(event.instrument_id))
            chain.add(event.currency, event.event_id, event.time, event.amount, event.balance_after)
    chain.close()
    _add_fees(session, account_id, flows, since=opening.taken_at, until=until, new_fills=new_fills)
    return CashFlows(opening.taken_at, until, flows, stored, late, tuple(chain.gaps), chain.rows)


def _events(session: Session, account_id: AccountId, *, since: datetime, until: datetime) -> Iterator[Any]:
    table = CashEventRow.__table__  # type: ignore[attr-defined]
    names = ("event_id", "kind", "venue_kind", "currency", "amount", "balance_after", "instrument_id", "time")
    query = (
        table.select()
        .with_only_columns(*(table.c[name] for name in names))
        .where(table.c.account_id == str(account_id), table.c.time > since, table.c.time <= until)
        .order_by(table.c.time)
    )
    yield from session.connection().execute(query.execution_options(yield_per=ROWS_AT_ONCE))


def _add_fees(
    session: Session,
    account_id: AccountId,
    flows: dict[str, Flow],
    *,
    since: datetime,
    until: datetime,
    new_fills: Iterable[Fill],
) -> None:
    """What fills paid in fees, by currency: a venue that posts trades net of fees tells them on the fill alone."""
    table = FillRow.__table__  # type: ignore[attr-defined]
    where = (table.c.account_id == str(account_id), table.c.time > since, table.c.time <= until)
    query = select(table.c.fee_currency, table.c.fee, table.c.instrument_id).where(*where)
    rows = session.connection().execute(query.execution_options(yield_per=ROWS_AT_ONCE))
    for currency, fee, instrument_id in rows:
        flows.setdefault(currency, Flow(ZERO)).add_fee(fee, is_spot=is_spot(instrument_id))
    for fill in new_fills:
        if since < fill.time <= until:
            flows.setdefault(fill.fee_currency, Flow(ZERO)).add_fee(fill.fee, is_spot=is_spot(fill.instrument_id))


def is_spot(instrument_id: object | None) -> bool:
    """Whether an instrument is held as a balance."""
    return instrument_id is not None and not holds_position(str(instrument_id))
