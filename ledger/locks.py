"""What critical breaks keep from being sent: locks of an instrument on an account, or of the account as a whole.

A lock belongs to one break. It stands from the run that made the break sure until two runs in a row that could judge
the break did not see it, whatever a person decided meanwhile; an override lets orders out until a time, and takes
nothing away. The sender reads locks in the transaction that commits a send, under the account's lock, which also
whoever sets or lifts one must hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from brokers.ids import AccountId
from ledger.break_tables import InstrumentLock
from ledger.reading import read_columns
from ledger.tables import ReconciliationBreak

CLEAN_RUNS_TO_UNLOCK = 2
EVERYTHING = "*"


@dataclass(frozen=True, slots=True)
class StandingLock:
    """A lock that holds an order back now."""

    lock_id: int
    instrument_id: str
    break_id: str
    kind: str
    lets_reductions_out: bool

    def __str__(self) -> str:
        what = "the account" if self.instrument_id == EVERYTHING else self.instrument_id
        return f"{what} is locked by break {self.break_id[:8]} ({self.kind})"


_columns = InstrumentLock.__table__.c  # type: ignore[attr-defined]
_STANDING = (
    select(  # type: ignore[call-overload]
        _columns.lock_id,
        _columns.instrument_id,
        _columns.break_id,
        _columns.kind,
        _columns.lets_reductions_out,
        _columns.overridden_until,
    )
    .where(
        _columns.account_id == bindparam("account_id"),
        _columns.unlocked_at.is_(None),
        _columns.instrument_id.in_((bindparam("instrument_id"), EVERYTHING)),
    )
    .order_by(_columns.lock_id)
)


def standing_lock(
    session: Session, account_id: AccountId | str, instrument_id: str, *, now: datetime, reduces: bool
) -> StandingLock | None:
    """The first lock that keeps an order in this instrument here now; None lets it out."""
    rows = read_columns(session, _STANDING, account_id=str(account_id), instrument_id=instrument_id)
    for lock_id, locked, identity, kind, lets_reductions_out, overridden_until in rows:
        if overridden_until is not None and overridden_until > now:
            continue
        if not (reduces and lets_reductions_out):
            return StandingLock(lock_id, locked, identity, kind, lets_reductions_out)
    return None


def locks_of(session: Session, account_id: AccountId | str | None = None) -> tuple[InstrumentLock, ...]:
    """Locks that were not lifted by two clean runs, overridden ones too, oldest first."""
    query = select(InstrumentLock).where(col(InstrumentLock.unlocked_at).is_(None))
    if account_id is not None:
        query = query.where(InstrumentLock.account_id == str(account_id))
    return tuple(session.exec(query.order_by(col(InstrumentLock.lock_id))))


def lock_of_break(session: Session, identity: str) -> InstrumentLock | None:
    """The lock that this break keeps now."""
    query = select(InstrumentLock).where(InstrumentLock.break_id == identity, col(InstrumentLock.unlocked_at).is_(None))
    return session.exec(query).first()


def hold_lock(
    session: Session, row: ReconciliationBreak, *, instrument_id: str, lets_reductions_out: bool, at: datetime
) -> InstrumentLock | None:
    """Keep the break's lock, whose count of clean runs begins anew; the new lock where there was none, else None."""
    session.flush()
    standing = lock_of_break(session, row.break_id)
    if standing is not None:
        standing.clean_runs = 0
        return None
    lock = InstrumentLock(
        account_id=row.account_id,
        instrument_id=instrument_id,
        break_id=row.break_id,
        kind=row.kind,
        lets_reductions_out=lets_reductions_out,
        locked_at=at,
    )
    session.add(lock)
    session.flush()
    return lock


def count_clean_runs(
    session: Session, account_id: str, *, judged: Callable[[str, str], bool], at: datetime
) -> Iterator[tuple[ReconciliationBreak, InstrumentLock]]:
    """Count this run for the locks of cleared breaks that it could judge; yield those that it unlocks."""
    for lock in locks_of(session, account_id):
        row = session.get(ReconciliationBreak, lock.break_id)
        if row is None or row.cleared_at is None or not judged(row.kind, row.subject):
            continue
        lock.clean_runs += 1
        if lock.clean_runs >= CLEAN_RUNS_TO_UNLOCK:
            lock.unlocked_at = at
            yield row, lock
