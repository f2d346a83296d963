"""What the other accounts of the ledger hold or may come to hold: one ledger serves the accounts of one pool.

Known are their last snapshots and their intents. An account without a snapshot that is young enough, or with a position
that cannot be valued, is named as unread; what its intents reserve counts all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from brokers.ids import AccountId, InstrumentId
from brokers.types import ZERO, Instrument
from ledger.contract_sizes import contract_sizes
from ledger.reading import read_columns
from ledger.records import lock_account
from ledger.tables import AccountRow, AccountSnapshot, PositionRow
from trading.orders.reserved import pending, read_counting

_MARGIN = timedelta(seconds=5)  # a snapshot's time is the venue's, an intent's the ledger's
ONE = Decimal(1)
_POOL_LOCK = "the pool"
_OTHERS = (
    select(AccountRow.account_id)
    .where(AccountRow.account_id != bindparam("account_id"))
    .order_by(AccountRow.account_id)
)


@dataclass(frozen=True, slots=True)
class PoolHoldings:
    """Gross notional of the other accounts, and those of them that could not be read."""

    notional: Decimal = ZERO
    unread: tuple[str, ...] = ()


def other_accounts(session: Session, account_id: str) -> tuple[str, ...]:
    """Every account that was ever proved against this ledger, but for this one."""
    return tuple(other for (other,) in read_columns(session, _OTHERS, account_id=account_id))


def held_instruments(session: Session, account_id: str) -> tuple[InstrumentId, ...]:
    """What other accounts of this venue held when last read: their contract sizes are needed to value them."""
    own = AccountId.parse(account_id).venue
    others = (other for other in other_accounts(session, account_id) if AccountId.parse(other).venue is own)
    found = {row.instrument_id for other in others for row in _positions(session, other)}
    return tuple(InstrumentId(name) for name in sorted(found))


def pool_holdings(
    session: Session,
    account_id: str,
    instruments: Mapping[InstrumentId, Instrument],
    *,
    age_s_max: Decimal,
    now: datetime,
) -> PoolHoldings:
    """Positions of the last snapshots plus everything open, in flight or filled since.

    Takes the pool's lock when there are other accounts, after the account's own: no two orders of one pool are checked
    at the same time.
    """
    others = other_accounts(session, account_id)
    if others:
        lock_account(session, _POOL_LOCK)
    own, total, unread = AccountId.parse(account_id).venue, ZERO, []
    for other in others:
        venue = AccountId.parse(other).venue
        sizes = contract_sizes(session, venue)
        if venue is own:
            sizes |= {str(key): instrument.contract_size for key, instrument in instruments.items()}
        held, since = _held(session, other, sizes, now - timedelta(seconds=float(age_s_max)))
        if held is None:
            unread.append(other)
        total += held or ZERO
        for row in read_counting(session, other, since=since):
            size = sizes.get(row.instrument_id, ONE)
            total += pending(row, since, size).notional
    return PoolHoldings(total, tuple(unread))


def _held(
    session: Session, account_id: str, sizes: Mapping[str, Decimal], oldest: datetime
) -> tuple[Decimal | None, datetime]:
    """The value of the last snapshot's positions and since when intents count; None when it is too old or unvalued."""
    snapshot = _last_snapshot(session, account_id)
    if snapshot is None or snapshot.taken_at < oldest:
        return None, oldest
    total = ZERO
    for row in _positions(session, account_id):
        price = row.mark_price or row.average_price
        size = sizes.get(row.instrument_id)
        if price is None or size is None:
            return None, snapshot.taken_at - _MARGIN
        total += abs(row.quantity) * price * size
    return total, snapshot.taken_at - _MARGIN


def _last_snapshot(session: Session, account_id: str) -> AccountSnapshot | None:
    query = select(AccountSnapshot).where(AccountSnapshot.account_id == account_id)
    return session.exec(query.order_by(col(AccountSnapshot.snapshot_id).desc()).limit(1)).first()


def _positions(session: Session, account_id: str) -> tuple[PositionRow, ...]:
    snapshot = _last_snapshot(session, account_id)
    if snapshot is None:
        return ()
    return tuple(session.exec(select(PositionRow).where(PositionRow.snapshot_id == snapshot.snapshot_id)))
