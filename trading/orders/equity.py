"""The account's equity over the days: what its opening and its highest were, money paid in and out left aside.

A day is one of UTC and opens with the first reading before an order. Deposits, withdrawals and transfers in dollars
or dollar coins that the ledger knows by the time of the reading move opening and highest along. A deposit that is
learnt of later raises the opening (it cannot hide a loss); a withdrawal that is learnt of later counts as a loss.
Other currencies are not converted: a withdrawal of them counts as a loss, a deposit of them as a gain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

from sqlalchemy import bindparam, or_
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from brokers.types import ZERO, CashEventKind
from ledger.reading import read_columns, read_rows, table_of
from ledger.states import ControlState
from ledger.tables import CashEventRow, Control, EquityMark
from trading.risk import RiskReason

_LOSSES = tuple(reason.value for reason in RiskReason if reason.is_loss)
_FLOWS = [kind.value for kind in (CashEventKind.DEPOSIT, CashEventKind.WITHDRAWAL, CashEventKind.TRANSFER)]
_SAME_READING = timedelta(seconds=1)  # its time is a difference of clocks and trembles a little
_DOLLARS = ["USD", "USDT", "USDC"]
_LAST_STOP = (
    select(Control.control_id)
    .where(
        Control.scope == bindparam("account_id"),
        or_(*(col(Control.reason).startswith(code, autoescape=True) for code in _LOSSES)),
    )
    .order_by(col(Control.control_id).desc())
    .limit(1)
)
_marks = table_of(EquityMark)
_MARK = select_columns(_marks).where(_marks.c.account_id == bindparam("account_id"), _marks.c.day == bindparam("day"))
_EARLIER = select(col(EquityMark.highest), col(EquityMark.updated_at)).where(
    EquityMark.account_id == bindparam("account_id"),
    EquityMark.day < bindparam("day"),
    col(EquityMark.updated_at) > bindparam("since"),
)


@dataclass(frozen=True, slots=True)
class EquityPast:
    """What an equity of now is compared with."""

    opening: Decimal
    highest: Decimal


def mark_equity(session: Session, account_id: str, *, equity: Decimal, read_at: datetime) -> EquityPast:
    """Note a reading of the equity and tell what it is compared with. `read_at` is on the ledger's clock."""
    since = _measured_since(session, account_id)
    day = read_at.astimezone(UTC).date()
    found = read_rows(session, EquityMark, _MARK, account_id=account_id, day=day.isoformat())
    mark = found[0] if found else None
    if mark is None or mark.updated_at <= since:
        mark = _begin(session, mark and _held(session, mark), account_id, day.isoformat(), equity, read_at)
    elif read_at > mark.updated_at and (equity != mark.latest or read_at - mark.updated_at > _SAME_READING):
        mark = _held(session, mark)
        _move_on(session, mark, equity, read_at)
    return EquityPast(mark.opening, max(mark.highest, *_earlier(session, mark, since, read_at), equity))


def _held(session: Session, mark: EquityMark) -> EquityMark:
    """The same mark as a row of the session, which writes what changes."""
    return session.get_one(EquityMark, (mark.account_id, mark.day))


def _begin(
    session: Session, mark: EquityMark | None, account_id: str, day: str, equity: Decimal, read_at: datetime
) -> EquityMark:
    """A new day, or one that is measured anew because a person accepted what was lost."""
    if mark is None:
        mark = EquityMark(
            account_id=account_id,
            day=day,
            opening=equity,
            highest=equity,
            lowest=equity,
            latest=equity,
            updated_at=read_at,
        )
        session.add(mark)
    else:
        mark.opening = mark.highest = mark.lowest = mark.latest = equity
        mark.updated_at = read_at
    session.flush()
    return mark


def _move_on(session: Session, mark: EquityMark, equity: Decimal, read_at: datetime) -> None:
    paid, late = _paid_since(session, mark, read_at)
    mark.opening += paid + late
    mark.highest = max(mark.highest + paid, equity)
    mark.lowest = min(mark.lowest + paid, equity)
    mark.latest = equity
    mark.updated_at = read_at
    session.flush()


def _paid_since(session: Session, mark: EquityMark, read_at: datetime) -> tuple[Decimal, Decimal]:
    """Money in or out between the mark and the reading, and deposits of the day that were learnt of only now."""
    began = datetime.combine(datetime.fromisoformat(mark.day).date(), time(), UTC)
    query = select(CashEventRow).where(
        CashEventRow.account_id == mark.account_id,
        col(CashEventRow.time) > began,
        col(CashEventRow.time) <= read_at,
        col(CashEventRow.kind).in_(_FLOWS),
        col(CashEventRow.currency).in_(_DOLLARS),
        (col(CashEventRow.time) > mark.updated_at) | (col(CashEventRow.recorded_at) > mark.updated_at),
    )
    rows = list(session.exec(query))
    paid = sum((row.amount for row in rows if row.time > mark.updated_at), ZERO)
    late = sum((row.amount for row in rows if row.time <= mark.updated_at and row.amount > 0), ZERO)
    return paid, late


def _earlier(session: Session, today: EquityMark, since: datetime, read_at: datetime) -> Iterator[Decimal]:
    """The highest of each earlier day, moved by what was paid in and out since."""
    marks = read_columns(session, _EARLIER, account_id=today.account_id, day=today.day, since=since)
    if not marks:
        return
    flows = select(CashEventRow).where(
        CashEventRow.account_id == today.account_id,
        col(CashEventRow.time) > min(at for _, at in marks),
        col(CashEventRow.time) <= read_at,
        col(CashEventRow.kind).in_(_FLOWS),
        col(CashEventRow.currency).in_(_DOLLARS),
    )
    paid = list(session.exec(flows))
    for highest, at in marks:
        yield highest + sum((row.amount for row in paid if row.time > at), ZERO)


def _measured_since(session: Session, account_id: str) -> datetime:
    """When a person let the account run again after its last stop for a loss; from the beginning where none was."""
    found = read_columns(session, _LAST_STOP, account_id=account_id)
    if not found:
        return datetime.min.replace(tzinfo=UTC) + timedelta(days=1)
    rows = select(Control).where(Control.scope == account_id)
    later = rows.where(col(Control.control_id) > found[0][0], Control.state == ControlState.RUN.value)
    lowered = session.exec(later.order_by(col(Control.control_id)).limit(1)).first()
    return lowered.set_at if lowered is not None else datetime.min.replace(tzinfo=UTC) + timedelta(days=1)
