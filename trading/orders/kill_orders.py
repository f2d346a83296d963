"""The closing orders of a kill: what marks them, and when they may leave although everything is stopped."""

from __future__ import annotations

from sqlmodel import Session, select

from ledger.states import KILL_SOURCE, KillState
from ledger.tables import KillRow, OrderIntent


def closes_for_kill(session: Session, row: OrderIntent) -> bool:
    """A reduction that belongs to a kill of this account that is closing positions at this moment."""
    if not row.reduce_only or row.source != KILL_SOURCE:
        return False
    query = select(KillRow.kill_id).where(
        KillRow.account_id == row.account_id,
        KillRow.state == KillState.FLATTENING.value,
        KillRow.flatten,
    )
    return any(f":{kill_key(kill_id)}-" in row.business_key for kill_id in session.exec(query))


def kill_key(kill_id: int | None) -> str:
    """What the business keys of a kill's own orders hold."""
    return f"kill-{kill_id}"
