"""The rows of production arming: what was asked for, approved and taken back, and what was sent under it.

Append-only. Of a pool the newest row that is no request counts. `lock_pool` comes after the account's lock, never
before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import Table, func
from sqlalchemy import select as sa_select
from sqlmodel import Session, col, select

from ledger import audit
from ledger.controls import pool_scope
from ledger.records import hold
from ledger.states import ControlState
from ledger.tables import ArmingRow, AuditRow, Control, OrderSend

_LETS_OUT = (ControlState.RUN.value, ControlState.PAUSE.value, ControlState.REDUCE_ONLY.value)


class ArmingState(StrEnum):
    REQUESTED = "requested"
    ARMED = "armed"
    DISARMED = "disarmed"


def lock_pool(session: Session, pool: str) -> None:
    """Hold off other writers of this pool's arming, and other sends under it, until the transaction ends."""
    hold(session.connection(), pool_scope(pool))


def newest_step(session: Session, pool: str) -> ArmingRow | None:
    """The row that counts: the newest that is no request."""
    query = select(ArmingRow).where(ArmingRow.pool == pool, ArmingRow.state != ArmingState.REQUESTED.value)
    return session.exec(query.order_by(col(ArmingRow.arming_id).desc()).limit(1)).first()


def newest_row(session: Session, pool: str) -> ArmingRow | None:
    query = select(ArmingRow).where(ArmingRow.pool == pool).order_by(col(ArmingRow.arming_id).desc())
    return session.exec(query.limit(1)).first()


def rows_of_record(session: Session, pool: str, record_sha256: str) -> tuple[ArmingRow, ...]:
    """The request and the approvals of one record, oldest first."""
    query = select(ArmingRow).where(ArmingRow.pool == pool, ArmingRow.record_sha256 == record_sha256)
    return tuple(session.exec(query.order_by(col(ArmingRow.arming_id))))


def rows_after(session: Session, pool: str, arming_id: int) -> tuple[ArmingRow, ...]:
    query = select(ArmingRow).where(ArmingRow.pool == pool, col(ArmingRow.arming_id) > arming_id)
    return tuple(session.exec(query.order_by(col(ArmingRow.arming_id))))


def add_step(session: Session, row: ArmingRow) -> ArmingRow:
    session.add(row)
    session.flush()
    return row


def disarm_pool(session: Session, pool: str, *, by: str, reason: str, at: datetime) -> ArmingRow | None:
    """Take back what is armed or asked for; None where there is nothing to take back."""
    for name, value in (("pool", pool), ("by", by), ("reason", reason)):
        if not value.strip():
            raise ValueError(f"disarming needs {name}, was {value!r}: say who disarms and why")
    lock_pool(session, pool)
    newest = newest_row(session, pool)
    if newest is None or newest.state == ArmingState.DISARMED.value:
        return None
    row = ArmingRow(
        pool=pool, state=ArmingState.DISARMED.value, requested_by=by.strip(), reason=reason.strip(), recorded_at=at
    )
    return add_step(session, row)


def newest_stop(session: Session, scopes: Sequence[str]) -> datetime | None:
    """When one of these scopes was last halted or killed; a state that is not known counts as that."""
    query = select(func.max(Control.set_at)).where(col(Control.scope).in_(scopes), col(Control.state).not_in(_LETS_OUT))
    return session.exec(query).one()


def notional_sent(session: Session, row: ArmingRow) -> Decimal:
    """Sum of what was sent under an arming, exact; only sends since then can be meant."""
    sends: Table = OrderSend.__table__  # type: ignore[attr-defined]
    query = sa_select(sends.c.notional).where(
        sends.c.committed_at >= row.recorded_at, sends.c.arming_id == row.arming_id
    )
    found = session.connection().execute(query).scalars()
    return sum((notional for notional in found if notional is not None), Decimal(0))


def is_audited(session: Session, row: ArmingRow) -> bool:
    """Whether the pool's chain knows as many arming steps as there are rows, and its last one is `row`, unaltered."""
    links = (AuditRow.chain == pool_scope(row.pool), AuditRow.kind == audit.AuditKind.ARMING.value)
    query = select(AuditRow).where(*links).order_by(col(AuditRow.ordinal).desc())
    last = session.exec(query.limit(1)).first()
    if (
        last is None
        or last.subject != f"arming:{row.arming_id}"
        or last.detail != audit.canonical_json(row.model_dump())
    ):
        return False
    rows = session.exec(select(func.count()).select_from(ArmingRow).where(ArmingRow.pool == row.pool)).one()
    return session.exec(select(func.count()).select_from(AuditRow).where(*links)).one() == rows
