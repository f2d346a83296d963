"""Both sides of an account as they were compared: equations, positions and open orders side by side."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from sqlmodel import Session, select

from brokers.ids import AccountId, InstrumentId, VenueOrderId
from brokers.rounding import decimal_text
from brokers.types import ZERO, CashEvent, Fill, Order
from ledger.acceptances import Acceptance
from ledger.breaks import BreakChanges, accepted_now, is_accepted_unbounded, open_breaks
from ledger.snapshots import holds_position
from ledger.states import ReconciliationOutcome
from ledger.tables import CashEventRow, FillRow
from trading.reconciliation import Findings, LedgerView
from trading.reconciliation.equation import CashFlows, Equation, accept
from trading.reconciliation.exact import EXACT
from trading.venue_reading import VenueReading


@dataclass(frozen=True, slots=True)
class News:
    """What the venue shows since the last import and the ledger does not have yet."""

    fills: tuple[Fill, ...]
    cash_events: tuple[CashEvent, ...]


@dataclass(frozen=True, slots=True)
class PositionPair:
    """A position on both sides; `news` is what fills that are not imported yet add to the ledger's."""

    instrument_id: InstrumentId
    ledger: Decimal
    news: Decimal
    venue: Decimal

    @property
    def difference(self) -> Decimal:
        return EXACT.subtract(self.venue, EXACT.add(self.ledger, self.news))


@dataclass(frozen=True, slots=True)
class OrderPair:
    """An order that is open on one side at least; the side that does not have it is None."""

    venue_order_id: VenueOrderId
    ledger: Order | None
    venue: Order | None

    @property
    def either(self) -> Order:
        found = self.venue or self.ledger
        assert found is not None, "a pair has an order on one side at least"
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBreak:
    """A break that is open after a run, with its age; `difference` is venue minus ledger where both are amounts."""

    break_id: str
    kind: str
    severity: str
    subject: str
    difference: Decimal | None
    first_seen_at: datetime
    last_seen_at: datetime
    times_seen: int
    decision: str
    decided_by: str
    state: str = "open"
    owner: str = ""
    currency: str = ""
    accepted: Acceptance | None = None  # what a person lives with, where the run found it no different
    is_unbounded: bool = False  # accepted before acceptances had a bound and an end: it counts until accepted again

    @property
    def accepted_text(self) -> str:
        """An accepted one in words: what, by how much, who accepted it and until when."""
        assert self.accepted is not None, "it is accepted"
        return accepted_text(self.kind, self.subject, self.accepted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What a run compared. `chained_rows`: wallet changes whose running balances were tied to each other."""

    equations: tuple[Equation, ...]
    positions: tuple[PositionPair, ...]
    orders: tuple[OrderPair, ...]
    chained_rows: int


def accepted_text(kind: str, subject: str, accepted: Acceptance) -> str:
    """An acceptance in words: what, by how much, who accepted it and until when."""
    amount = accepted.difference
    by = "" if amount is None else f" {amount.normalize():+f}"
    return f"{kind} {subject}{by} (by {accepted.accepted_by} until {accepted.expires_at:%Y-%m-%d})"


def open_of(session: Session, account_id: AccountId, accepted: Collection[str] | None = None) -> tuple[OpenBreak, ...]:
    """Every open break of the account, oldest first. `accepted`: those that a run found to be as they were accepted;
    without it, those whose acceptance no run has ended."""
    return tuple(
        OpenBreak(
            break_id=row.break_id,
            kind=row.kind,
            severity=row.severity,
            subject=row.subject,
            difference=row.difference,
            first_seen_at=row.first_seen_at,
            last_seen_at=row.last_seen_at,
            times_seen=row.times_seen,
            decision=row.decision,
            decided_by=row.decided_by,
            state=row.state,
            owner=row.owner or "",
            currency=row.currency or "",
            accepted=accepted_now(session, row) if accepted is None or row.break_id in accepted else None,
            is_unbounded=is_accepted_unbounded(session, row),
        )
        for row in open_breaks(session, account_id)
    )


def outcome_of(standing: Iterable[OpenBreak], findings: Findings) -> ReconciliationOutcome:
    """What a run that compared came to: every open break counts, whether this run saw it or could not judge it."""
    are_accepted = [item.accepted is not None for item in standing]
    if not all(are_accepted):
        return ReconciliationOutcome.BREAKS
    if findings.pending:
        return ReconciliationOutcome.NOT_RECONCILED
    return ReconciliationOutcome.CLEAN_WITH_ACCEPTED if are_accepted else ReconciliationOutcome.CLEAN


def still_open(standing: Iterable[OpenBreak], changes: BreakChanges) -> tuple[str, ...]:
    """Kind and subject of breaks of former runs that this one could not judge and that nobody accepted."""
    touched = {*changes.opened, *changes.seen_again, *changes.reopened}
    return tuple(
        f"{item.kind} {item.subject}" for item in standing if item.break_id not in touched and item.accepted is None
    )


def with_accepted(books: Books, standing: Iterable[OpenBreak]) -> Books:
    """The books with each equation that differs by what was accepted, and by no more, called so."""
    amounts = {
        item.currency: item.accepted.amount
        for item in standing
        if item.accepted is not None and item.accepted.amount is not None and item.currency
    }
    return replace(books, equations=tuple(accept(item, amounts.get(item.currency)) for item in books.equations))


class Shown(Protocol):
    """Whatever the venue's histories were read into."""

    @property
    def fills(self) -> Iterable[Fill]: ...

    @property
    def cash_events(self) -> Iterable[CashEvent]: ...


def news_of(session: Session, view: LedgerView, reading: Shown) -> News:
    """Facts at or after each feed's cursor that the ledger does not hold."""
    fills = [fill for fill in reading.fills if fill.time >= view.fills_known_until]
    events = [event for event in reading.cash_events if event.time >= view.cash_events_known_until]
    known_fills = _known(session, FillRow, "trade_id", view, view.fills_known_until) if fills else frozenset()
    known_events = _known(session, CashEventRow, "event_id", view, view.cash_events_known_until) if events else ()
    return News(
        tuple(fill for fill in fills if fill.trade_id.value not in known_fills),
        tuple(event for event in events if event.event_id not in known_events),
    )


def _known(session: Session, table: type[Any], key: str, view: LedgerView, since: datetime) -> frozenset[str]:
    columns = table.__table__.c
    query = select(columns[key]).where(columns.account_id == str(view.account_id), columns.time >= since)
    return frozenset(session.connection().execute(query).scalars())


def books_of(
    view: LedgerView, reading: VenueReading, news: News, found: tuple[Equation, ...], cash: CashFlows
) -> Books:
    """Put both sides beside each other."""
    return Books(
        equations=found,
        positions=position_pairs(view, reading, news.fills),
        orders=order_pairs(view.orders, reading.orders),
        chained_rows=cash.chained_rows,
    )


def position_pairs(view: LedgerView, reading: VenueReading, new_fills: Iterable[Fill]) -> tuple[PositionPair, ...]:
    """Every instrument that either side holds, by name."""
    theirs: dict[InstrumentId, Decimal] = {}
    for position in reading.positions:
        theirs[position.instrument_id] = EXACT.add(theirs.get(position.instrument_id, ZERO), position.quantity)
    news: dict[InstrumentId, Decimal] = {}
    for fill in new_fills:
        if holds_position(str(fill.instrument_id)):
            signed = fill.side.sign * fill.quantity
            news[fill.instrument_id] = EXACT.add(news.get(fill.instrument_id, ZERO), signed)
    return tuple(
        PositionPair(key, view.positions.get(key, ZERO), news.get(key, ZERO), theirs.get(key, ZERO))
        for key in sorted(theirs.keys() | view.positions.keys() | news.keys())
    )


def order_pairs(ours: Iterable[Order], theirs: Iterable[Order]) -> tuple[OrderPair, ...]:
    """Every order that is open on either side, by the venue's id."""
    known = {order.venue_order_id: order for order in ours}
    shown = {order.venue_order_id: order for order in theirs}
    pairs = (OrderPair(key, known.get(key), shown.get(key)) for key in sorted(known.keys() | shown.keys()))
    return tuple(pair for pair in pairs if any(o is not None and o.status.is_open for o in (pair.ledger, pair.venue)))


def equation_summary(item: Equation) -> dict[str, Any]:
    """The equation as the run's row keeps it."""
    return {
        "currency": item.currency,
        "opening": decimal_text(item.opening),
        "terms": {part.term.value: decimal_text(part.amount) for part in item.terms},
        "expected": decimal_text(item.expected),
        "venue": decimal_text(item.venue),
        "difference": decimal_text(item.difference),
        "tolerance": decimal_text(item.tolerance),
        "roundings": item.roundings,
        "unposted": decimal_text(item.unposted),
        **({"accepted": decimal_text(item.accepted)} if item.accepted else {}),
        "state": item.state.value,
    }
