"""Readings of an account, and what the ledger itself says the account must hold.

The newest BASELINE gives the opening figures and the instant from which evidence counts:

    ledger position = baseline quantity + Σ signed fills later than the baseline + Σ correcting entries + Σ inferred
    ledger balance  = baseline total    + Σ cash events  later than the baseline + Σ correcting entries

Both sums are exact whatever the decimal context. A position is counted for instruments that the venue reports as
positions; a spot trade moves two balances instead, so its fills are not added here. Positions are net of hedge legs:
a fill does not say which leg it moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from itertools import chain

from sqlmodel import Session, col, select

from brokers.ids import AccountId
from brokers.types import Balance, OrderSide, Position, PositionMode
from ledger.adjustments import counted_adjustments
from ledger.columns import canonical, derived
from ledger.errors import NoBaseline
from ledger.inferred import standing_inferences
from ledger.states import SnapshotPurpose
from ledger.tables import AccountSnapshot, BalanceRow, CashEventRow, FillRow, PositionRow

NET = "net"
ZERO = Decimal(0)
_EXACT = Context(prec=100, traps=[Inexact, InvalidOperation])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One stored reading of an account."""

    snapshot_id: int
    account_id: str
    purpose: SnapshotPurpose
    taken_at: datetime
    reference: str
    balances: tuple[BalanceRow, ...]
    positions: tuple[PositionRow, ...]

    @property
    def totals(self) -> dict[str, Decimal]:
        """Total by currency."""
        return {row.currency: row.total for row in self.balances}

    @property
    def net_positions(self) -> dict[str, Decimal]:
        """Signed quantity by instrument, hedge legs added up; no zeros."""
        return _sums((row.instrument_id, row.quantity) for row in self.positions)


def holds_position(instrument_id: str) -> bool:
    """False for spot pairs (`BTC/USDT`), whose trades move balances; true for all other unified symbols."""
    return "/" not in instrument_id or ":" in instrument_id


def store_snapshot(
    session: Session,
    account_id: AccountId | str,
    *,
    purpose: SnapshotPurpose,
    taken_at: datetime,
    balances: Iterable[Balance],
    positions: Iterable[Position],
    reference: str = "",
) -> int:
    """Store one reading (flat positions are left out) and return its number. `taken_at` is the venue's time."""
    head = AccountSnapshot(account_id=str(account_id), purpose=purpose.value, taken_at=taken_at, reference=reference)
    session.add(head)
    session.flush()
    assert head.snapshot_id is not None
    for balance in balances:
        session.add(
            BalanceRow(
                snapshot_id=head.snapshot_id,
                currency=balance.currency,
                total=balance.total,
                available=balance.available,
                held=balance.held,
            )
        )
    for position in positions:
        if position.quantity != 0:
            session.add(_position_row(head.snapshot_id, position))
    session.flush()
    return head.snapshot_id


def _position_row(snapshot_id: int, position: Position) -> PositionRow:
    return PositionRow(
        snapshot_id=snapshot_id,
        instrument_id=str(position.instrument_id),
        position_side=NET if position.mode is PositionMode.ONE_WAY else position.side.value,
        quantity=position.quantity,
        average_price=derived(position.average_price),
        mark_price=derived(position.mark_price),
        unrealised_pnl=derived(position.unrealised_pnl),
        leverage=derived(position.leverage),
    )


def load_snapshot(session: Session, snapshot_id: int) -> Snapshot:
    """Read a snapshot by its number; LookupError when there is none."""
    head = session.get(AccountSnapshot, snapshot_id)
    if head is None:
        raise LookupError(f"the ledger has no snapshot {snapshot_id}")
    balances = select(BalanceRow).where(BalanceRow.snapshot_id == snapshot_id).order_by(BalanceRow.currency)
    positions = (
        select(PositionRow)
        .where(PositionRow.snapshot_id == snapshot_id)
        .order_by(PositionRow.instrument_id, PositionRow.position_side)
    )
    return Snapshot(
        snapshot_id=snapshot_id,
        account_id=head.account_id,
        purpose=SnapshotPurpose(head.purpose),
        taken_at=head.taken_at,
        reference=head.reference,
        balances=tuple(session.exec(balances)),
        positions=tuple(session.exec(positions)),
    )


def latest_snapshot(
    session: Session, account_id: AccountId | str, *, purpose: SnapshotPurpose | None = None
) -> Snapshot | None:
    """The newest reading, of one purpose or of any."""
    query = select(AccountSnapshot.snapshot_id).where(AccountSnapshot.account_id == str(account_id))
    if purpose is not None:
        query = query.where(AccountSnapshot.purpose == purpose.value)
    found = session.exec(query.order_by(col(AccountSnapshot.snapshot_id).desc()).limit(1)).first()
    return None if found is None else load_snapshot(session, found)


def baseline(session: Session, account_id: AccountId | str) -> Snapshot:
    """The opening figures that count now; NoBaseline before the first sync."""
    found = latest_snapshot(session, account_id, purpose=SnapshotPurpose.BASELINE)
    if found is None:
        raise NoBaseline(f"account {account_id} has no baseline; sync it once before its figures are compared")
    return found


def ledger_positions(
    session: Session, account_id: AccountId | str, *, until: datetime | None = None
) -> dict[str, Decimal]:
    """Signed net quantity by instrument by the ledger's own evidence, up to `until`; no zeros."""
    opening = baseline(session, account_id)
    query = select(col(FillRow.instrument_id), col(FillRow.side), col(FillRow.quantity)).where(
        FillRow.account_id == str(account_id), col(FillRow.time) > opening.taken_at
    )
    if until is not None:
        query = query.where(col(FillRow.time) <= until)
    fills = (
        (instrument_id, quantity if side == OrderSide.BUY.value else -quantity)
        for instrument_id, side, quantity in session.exec(query)
    )
    entries = counted_adjustments(session, account_id, after=opening.taken_at, until=until)
    corrections = [(row.instrument_id, row.amount) for row in entries if row.instrument_id is not None]
    standing = standing_inferences(session, account_id, after=opening.taken_at, until=until)
    inferences = [(item.instrument_id, item.signed) for item in standing.values()]
    moves = (move for move in chain(fills, corrections, inferences) if holds_position(move[0]))
    return _sums(moves, opening=opening.net_positions)


def ledger_balances(
    session: Session, account_id: AccountId | str, *, until: datetime | None = None
) -> dict[str, Decimal]:
    """Total by currency by the ledger's own evidence, up to `until`; no zeros."""
    opening = baseline(session, account_id)
    query = select(col(CashEventRow.currency), col(CashEventRow.amount)).where(
        CashEventRow.account_id == str(account_id), col(CashEventRow.time) > opening.taken_at
    )
    if until is not None:
        query = query.where(col(CashEventRow.time) <= until)
    entries = counted_adjustments(session, account_id, after=opening.taken_at, until=until)
    corrections = ((row.currency, row.amount) for row in entries if row.currency is not None)
    return _sums(chain(session.exec(query), corrections), opening=opening.totals)


def _sums(moves: Iterable[tuple[str, Decimal]], *, opening: Mapping[str, Decimal] | None = None) -> dict[str, Decimal]:
    sums = dict(opening or {})
    for name, amount in moves:
        sums[name] = _EXACT.add(sums.get(name, ZERO), amount)
    return {name: canonical(amount) for name, amount in sorted(sums.items()) if amount != 0}
