"""Who may trade now: control states by account and by pool.

The newest row of a scope counts; of several scopes the one that lets less out wins.
"""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session, col, select

from brokers.ids import AccountId
from ledger.states import ControlState
from ledger.tables import Control


def pool_scope(pool: str) -> str:
    """The scope text of a work pool."""
    return f"pool:{pool}"


def set_control(
    session: Session, scope: AccountId | str, state: ControlState, *, reason: str, set_by: str, at: datetime
) -> None:
    """Append a control state for an account id or `pool_scope(name)`; `reason` and `set_by` may not be empty."""
    for name, value in (("scope", str(scope)), ("reason", reason), ("set_by", set_by)):
        if not value.strip():
            raise ValueError(f"a control needs {name}, was {value!r}: say who sets it and why")
    session.add(Control(scope=str(scope), state=state.value, reason=reason, set_by=set_by, set_at=at))
    session.flush()


def current_control(session: Session, scope: AccountId | str) -> Control | None:
    """The row that counts for one scope, or None when it was never set."""
    query = select(Control).where(Control.scope == str(scope)).order_by(col(Control.control_id).desc())
    return session.exec(query.limit(1)).first()


def effective_control(session: Session, account_id: AccountId | str, pool: str) -> ControlState:
    """What account and pool let out together; RUN when neither was set, HALT when one cannot be read."""
    scopes = [str(account_id), *([pool_scope(pool)] if pool else [])]
    return max((scope_control(session, scope) for scope in scopes), key=_LETS_LESS_OUT.index)


# PAUSE lets nothing out, REDUCE_ONLY reductions: together nothing, although REDUCE_ONLY is the graver state.
_LETS_LESS_OUT = (
    ControlState.RUN,
    ControlState.REDUCE_ONLY,
    ControlState.PAUSE,
    ControlState.HALT,
    ControlState.KILL,
)


def scope_control(session: Session, scope: AccountId | str) -> ControlState:
    """The state of one scope alone; RUN when it was never set, HALT when it cannot be read."""
    row = current_control(session, scope)
    if row is None:
        return ControlState.RUN
    try:
        return ControlState(row.state)
    except ValueError:
        return ControlState.HALT  # written by a version that knows more states than this one
