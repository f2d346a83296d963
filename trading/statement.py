"""Make the statement of one account's UTC day from the ledger's evidence, streamed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any

from sqlmodel import Session, col, select

from brokers.errors import InstrumentUnknown
from brokers.ids import AccountId, InstrumentId
from brokers.reasons import Reason
from brokers.strictjson import encode
from brokers.types import ZERO, Instrument, ProductKind
from ledger.records import Feed, cursor
from ledger.snapshots import Snapshot, baseline, holds_position, ledger_balances, load_snapshot
from ledger.tables import AccountSnapshot, FillRow, ReconciliationRun
from trading.first_run import latest_full_run
from trading.pnl import CostBook
from trading.reconciliation.equation import Flow, Term, TermSum
from trading.reconciliation.exact import EXACT, exact_sum
from trading.runtime import Runtime
from trading.statement_breaks import breaks_of_day
from trading.statement_day import Day, Traded, gather
from trading.statement_model import CurrencyLine, InstrumentLine, Mark, Statement, unrealised_of
from trading.steps import Step, StepKind, call_directly

MARK_AGE_MAX = timedelta(hours=2)  # an older mark is named
DAY = timedelta(days=1)


class StatementReason(Reason):
    """Why there is no statement of a day."""

    STATEMENT_DAY_AHEAD = (
        "STATEMENT_DAY_AHEAD",
        "The day has not begun yet (days are UTC).",
        "Ask for today, which is provisional, or for a day that is over.",
    )
    STATEMENT_BEFORE_OPENING = (
        "STATEMENT_BEFORE_OPENING",
        "The day was over before the ledger's opening figures of the account.",
        "Ask for the day of the account's first sync, or a later one.",
    )


class StatementRefused(Exception):
    """There is no such statement."""

    def __init__(self, reason: StatementReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def make_statement(runtime: Runtime, day: date, *, step: Step = call_directly) -> Statement:
    """The statement of a UTC day; of today until now. Reads the ledger, and of the venue contract sizes only.

    Raises StatementRefused, NoBaseline before the first sync, BrokerError.
    """
    account = runtime.account_id
    opens_at, closes_at = _bounds(runtime, day)
    with runtime.ledger.read() as session:
        ids = _instruments_of(session, account, closes_at)
    instruments = step("read instruments", StepKind.READ, lambda: _instruments(runtime, ids))
    return step(
        f"make the statement of {day.isoformat()}",
        StepKind.READ,
        lambda: _made(runtime, day, opens_at, closes_at, instruments),
    )


def day_to_state(runtime: Runtime) -> date:
    """The day that nobody named: yesterday, or the day of the account's opening figures where that is later.

    Raises NoBaseline before the first sync.
    """
    with runtime.ledger.read() as session:
        opened_on = baseline(session, runtime.account_id).taken_at.date()
    return max(runtime.clock.now().date() - timedelta(days=1), opened_on)


def _bounds(runtime: Runtime, day: date) -> tuple[datetime, datetime]:
    begins = datetime.combine(day, time(), UTC)
    now = runtime.clock.now()
    if begins >= now:
        raise StatementRefused(StatementReason.STATEMENT_DAY_AHEAD, f"day {day} has not begun at {now.isoformat()}")
    with runtime.ledger.read() as session:
        opened_at = baseline(session, runtime.account_id).taken_at
    if begins + DAY <= opened_at:
        raise StatementRefused(
            StatementReason.STATEMENT_BEFORE_OPENING,
            f"day {day} was over before the opening figures of {runtime.account_id}, taken {opened_at.isoformat()}",
        )
    return max(begins, opened_at), min(begins + DAY, now)


def _instruments_of(session: Session, account_id: AccountId, until: datetime) -> list[InstrumentId]:
    query = select(FillRow.instrument_id).where(FillRow.account_id == str(account_id), col(FillRow.time) <= until)
    traded = set(session.exec(query.distinct()))
    return sorted(InstrumentId(key) for key in traded | set(baseline(session, account_id).net_positions))


def _instruments(runtime: Runtime, ids: Iterable[InstrumentId]) -> dict[InstrumentId, Instrument]:
    """Those that the venue still lists."""
    wanted = list(ids)
    if not wanted:
        return {}
    try:
        return {item.instrument_id: item for item in runtime.broker.instruments(wanted)}
    except InstrumentUnknown:
        pass
    found: dict[InstrumentId, Instrument] = {}
    for key in wanted:
        try:
            found |= {item.instrument_id: item for item in runtime.broker.instruments([key])}
        except InstrumentUnknown:
            continue
    return found


def _made(
    runtime: Runtime,
    day: date,
    opens_at: datetime,
    closes_at: datetime,
    instruments: Mapping[InstrumentId, Instrument],
) -> Statement:
    account = runtime.account_id
    has_feed = runtime.broker.capabilities.explains_balances
    with runtime.ledger.read() as session:
        gathered = gather(session, account, Day(opens_at, closes_at), instruments)
        marks = (_marks(session, account, opens_at), _marks(session, account, closes_at))
        lines = tuple(
            _line(key, item, instruments.get(key), (marks[0].get(key), marks[1].get(key)))
            for key, item in sorted(gathered.traded.items())
            if item.fills or item.opening[0] or item.book.quantity or item.funding
        )
        currencies = (
            _currencies(session, account, gathered, lines)
            if has_feed
            else _from_snapshots(session, account, opens_at, closes_at, instruments)
        )
        read_until = [cursor(session, account, feed) for feed in Feed if has_feed or feed is not Feed.CASH_EVENTS]
        runs = _runs(session, account, opens_at, closes_at)
        last = latest_full_run(session, account)
        is_over = closes_at == datetime.combine(day, time(), UTC) + DAY
        found_breaks = breaks_of_day(session, account, closes_at if is_over else None, runtime.ledger.now(session))
    is_read = all(at is not None and at >= closes_at for at in read_until)
    statement = Statement(
        account_id=account,
        day=day,
        opens_at=opens_at,
        closes_at=closes_at,
        is_final=is_read and is_over,
        currencies=currencies,
        instruments=lines,
        fills=gathered.fills,
        runs=runs,
        last_run=(last.run_id or 0, last.outcome, last.ended_at) if last is not None else None,
        breaks=found_breaks,
        notes=tuple(_notes(lines, closes_at, has_feed=has_feed, is_read=is_read, is_over=is_over)),
    )
    return replace(statement, sha256=_hash(statement))


# -- lines ------------------------------------------------------------------------------------------------------
def _line(
    key: InstrumentId, item: Traded, listed: Instrument | None, marks: tuple[Mark | None, Mark | None]
) -> InstrumentLine:
    currency = _settles_in(key, listed)
    is_position = holds_position(str(key))
    before, after = marks[0] or item.fill_before, marks[1] or item.last_fill
    opened = CostBook(item.book.contract_size, *item.opening)
    is_share = listed is not None and listed.product is ProductKind.EQUITY
    booked = None if is_share else item.booked  # of shares the venue posts what they cost and bring, not a profit
    if booked is not None:  # as the venue posts it, net of the fee that is in this currency
        booked = EXACT.add(booked, item.fees.get(currency, ZERO))
    return InstrumentLine(
        instrument_id=key,
        currency=currency,
        opening_quantity=item.opening[0],
        bought=item.bought,
        sold=item.sold,
        closing_quantity=item.book.quantity,
        fills=item.fills,
        average_price=item.book.average_price if item.is_known else None,
        mark=after if item.book.quantity else None,
        realised=item.realised if item.is_known else None,
        booked=booked,
        funding=item.funding,
        fees=tuple(sorted(item.fees.items())),
        unrealised_opening=_unrealised(opened, before, is_known=item.is_known),
        unrealised_closing=_unrealised(item.book, after, is_known=item.is_known),
        in_equity=is_position,
        is_paid_in_full=is_share,
        worth_opening=_worth(opened, before) if is_share else None,
        worth_closing=_worth(item.book, after) if is_share else None,
    )


def _worth(book: CostBook, mark: Mark | None) -> Decimal | None:
    """The value of what is held; None without a mark."""
    if not book.quantity:
        return ZERO
    return None if mark is None else EXACT.multiply(EXACT.multiply(book.quantity, mark.price), book.contract_size)


def _unrealised(book: CostBook, mark: Mark | None, *, is_known: bool) -> Decimal | None:
    if not book.quantity:
        return ZERO
    return None if mark is None or not is_known else book.unrealised(mark.price)


def _settles_in(key: InstrumentId, listed: Instrument | None) -> str:
    if listed is not None:
        return listed.settle_currency
    name = str(key)
    return name.rsplit(":", 1)[-1] if ":" in name else name.rsplit("/", 1)[-1] if "/" in name else "USD"


def _marks(session: Session, account_id: AccountId, at: datetime) -> dict[InstrumentId, Mark]:
    """The venue's marks by the newest reading at or before a moment."""
    found = _reading_before(session, account_id, at)
    if found is None:
        return {}
    return {
        InstrumentId(row.instrument_id): Mark(row.mark_price, found.taken_at)
        for row in found.positions
        if row.mark_price is not None
    }


def _reading_before(session: Session, account_id: AccountId, at: datetime) -> Snapshot | None:
    query = select(AccountSnapshot.snapshot_id).where(
        AccountSnapshot.account_id == str(account_id), col(AccountSnapshot.taken_at) <= at
    )
    newest = query.order_by(col(AccountSnapshot.taken_at).desc(), col(AccountSnapshot.snapshot_id).desc())
    found = session.exec(newest.limit(1)).first()
    return None if found is None else load_snapshot(session, found)


def _currencies(
    session: Session, account_id: AccountId, day: Day, lines: tuple[InstrumentLine, ...]
) -> tuple[CurrencyLine, ...]:
    opening = ledger_balances(session, account_id, until=day.opens_at)
    closing = ledger_balances(session, account_id, until=day.closes_at)
    found = []
    for currency in sorted(opening.keys() | closing.keys() | day.flows.keys()):
        before, after = opening.get(currency, ZERO), closing.get(currency, ZERO)
        flow = day.flows.get(currency) or Flow(ZERO)
        adjusted = exact_sum((after, -before, -flow.total()))
        terms = flow.terms(adjustments=adjusted)
        if not (before or after or terms):
            continue
        found.append(
            CurrencyLine(
                currency=currency,
                opening=before,
                terms=terms,
                closing=after,
                unrealised_opening=unrealised_of(lines, currency, closing=False),
                unrealised_closing=unrealised_of(lines, currency, closing=True),
                is_explained=not any(part.term is Term.UNKNOWN for part in terms),
            )
        )
    return tuple(found)


def _from_snapshots(
    session: Session,
    account_id: AccountId,
    opens_at: datetime,
    closes_at: datetime,
    instruments: Mapping[InstrumentId, Instrument],
) -> tuple[CurrencyLine, ...]:
    """Where the venue has no feed: what it showed at each end, and no word on why it changed."""
    readings = [_reading_before(session, account_id, at) for at in (opens_at, closes_at)]
    before, after = (reading.totals if reading is not None else {} for reading in readings)
    return tuple(
        CurrencyLine(
            currency=currency,
            opening=before.get(currency, ZERO),
            terms=(),
            closing=after.get(currency, ZERO),
            unrealised_opening=_value_shown(readings[0], currency, instruments),
            unrealised_closing=_value_shown(readings[1], currency, instruments),
            is_explained=False,
        )
        for currency in sorted(before.keys() | after.keys())
    )


def _value_shown(
    reading: Snapshot | None, currency: str, instruments: Mapping[InstrumentId, Instrument]
) -> Decimal | None:
    """What the positions of one reading count for by the venue's own marks: shares their value, others their profit."""
    parts: list[Decimal] = []
    for row in reading.positions if reading is not None else ():
        listed = instruments.get(InstrumentId(row.instrument_id))
        if _settles_in(InstrumentId(row.instrument_id), listed) != currency:
            continue
        shown = row.unrealised_pnl
        if listed is not None and listed.product is ProductKind.EQUITY:
            shown = None if row.mark_price is None else EXACT.multiply(row.quantity, row.mark_price)
        if listed is None or shown is None:
            return None
        parts.append(shown)
    return exact_sum(parts) if reading is not None else None


def _runs(
    session: Session, account_id: AccountId, opens_at: datetime, closes_at: datetime
) -> tuple[tuple[str, int], ...]:
    query = select(ReconciliationRun.outcome).where(
        ReconciliationRun.account_id == str(account_id),
        col(ReconciliationRun.ended_at) > opens_at,
        col(ReconciliationRun.ended_at) <= closes_at,
    )
    return tuple(sorted(Counter(session.exec(query)).items()))


def _notes(
    lines: Iterable[InstrumentLine], closes_at: datetime, *, has_feed: bool, is_read: bool, is_over: bool
) -> Iterator[str]:
    if not is_over:
        yield "The day is not over: figures are until now."
    elif not is_read:
        yield "Provisional: the ledger has not read every feed to the end of the day. Sync, and make it again."
    if not has_feed:
        yield (
            "The venue tells no wallet changes: balances and equity are as it showed them at each end, nothing "
            "explains their change, and fees are those of fills only."
        )
    for line in lines:
        if line.realised is None:
            yield f"{line.instrument_id}: its cost or contract size is not known, so no profit is stated."
        if line.closing_quantity and line.mark is None:
            yield f"{line.instrument_id}: no price is on record at the end of the day, so it is not valued."
        elif line.mark is not None and line.mark.is_fill:
            yield f"{line.instrument_id}: valued at its last fill; no reading of the venue's mark is on record."
        elif line.mark is not None and closes_at - line.mark.time > MARK_AGE_MAX:
            yield f"{line.instrument_id}: the newest mark is of {line.mark.time.isoformat(timespec='minutes')}."
        if line.unbooked and line.in_equity:
            yield f"{line.instrument_id}: the venue booked {line.unbooked:+f} {line.currency} beside average cost."


def _hash(statement: Statement) -> str:
    """What a signature may name: equal figures give equal hashes."""
    return sha256(encode(_figures(statement)).encode()).hexdigest()


def _figures(statement: Statement) -> dict[str, Any]:
    return {
        "account": str(statement.account_id),
        "day": statement.day.isoformat(),
        "is_final": statement.is_final,
        "currencies": [
            [
                item.currency,
                f"{item.opening:f}",
                *(_term(part) for part in item.terms),
                f"{item.closing:f}",
                *([] if item.is_explained else [str(item.equity_opening), str(item.equity_closing)]),
            ]
            for item in statement.currencies
        ],
        "instruments": [
            [
                str(line.instrument_id),
                *(f"{amount:f}" for amount in (line.opening_quantity, line.bought, line.sold, line.closing_quantity)),
                *(str(amount) for amount in (line.realised, line.booked, line.funding, line.unrealised_closing)),
                *(f"{currency} {amount:f}" for currency, amount in line.fees),
            ]
            for line in statement.instruments
        ],
    }


def _term(part: TermSum) -> list[str]:
    return [part.term.value, f"{part.amount:f}", str(part.count)]
