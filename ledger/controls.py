"""Who may trade now: control states by account, by pool and by strategy, from the database and from a file.

The newest row of a scope counts; of several scopes, and of database and file, the one that lets less out wins. What
cannot be read is HALT. People change a state through `ledger.controlling`, which judges who may.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy import text
from sqlmodel import Session, col, select

from brokers.ids import AccountId
from ledger.states import ControlState
from ledger.tables import Control


def pool_scope(pool: str) -> str:
    """The scope text of a work pool."""
    return f"pool:{pool}"


def strategy_scope(strategy: str, account_id: AccountId | str) -> str:
    """The scope text of one strategy on one account."""
    if not strategy or "@" in strategy:
        raise ValueError(f"a strategy needs a name without '@', was {strategy!r}")
    return f"strategy:{strategy}@{account_id}"


class ReadsStates(Protocol):
    """What else sets control states: the control file."""

    def states(self, scopes: Sequence[str]) -> list[ControlState]:
        """What it says of these scopes, as of one reading; nothing where it names none, HALT where it is unreadable."""
        ...


def set_control(
    session: Session,
    scope: AccountId | str,
    state: ControlState,
    *,
    reason: str,
    set_by: str,
    at: datetime,
    approved_by: str = "",
    flatten: bool = False,
) -> None:
    """Append a control state for an account id, `pool_scope(name)` or `strategy_scope(name, account)`.

    The row alone: machines that tighten call this, people go through `ledger.controlling.change_control`. `reason` and
    `set_by` may not be empty. On PostgreSQL it waits for the transactions of senders that have read the states.
    """
    for name, value in (("scope", str(scope)), ("reason", reason), ("set_by", set_by)):
        if not value.strip():
            raise ValueError(f"a control needs {name}, was {value!r}: say who sets it and why")
    _lock(session, "pg_advisory_xact_lock")
    session.add(
        Control(
            scope=str(scope),
            state=state.value,
            reason=reason,
            set_by=set_by,
            approved_by=approved_by or None,
            flatten=flatten or None,
            set_at=at,
        )
    )
    session.flush()


def hold_controls(session: Session) -> None:
    """Let no control state change until this transaction ends: a sender reads them after this, and then commits.

    Without it a sender on PostgreSQL could read RUN, and commit after a HALT. Comes after `lock_account`. SQLite has
    one writer anyway.
    """
    _lock(session, "pg_advisory_xact_lock_shared")


def hold_controls_to_change(session: Session) -> None:
    """Let nobody send or change a control state until this transaction ends: judge, then set."""
    _lock(session, "pg_advisory_xact_lock")


_LOCK_KEY = int.from_bytes(hashlib.sha256(b"ledger control states").digest()[:8], signed=True)


def _lock(session: Session, function: str) -> None:
    if session.get_bind().dialect.name == "postgresql":
        session.connection().execute(text(f"SELECT {function}(:key)"), {"key": _LOCK_KEY})


def current_control(session: Session, scope: AccountId | str) -> Control | None:
    """The row that counts for one scope, or None when it was never set."""
    query = select(Control).where(Control.scope == str(scope)).order_by(col(Control.control_id).desc())
    return session.exec(query.limit(1)).first()


def effective_control(
    session: Session, account_id: AccountId | str, pool: str, *, file: ReadsStates | None = None
) -> ControlState:
    """What account and pool let out together; RUN when nothing was set, HALT when something cannot be read."""
    scopes = [str(account_id), *([pool_scope(pool)] if pool else [])]
    said = file.states(scopes) if file is not None else []
    return strictest([*said, *(scope_control(session, scope) for scope in scopes)])


def state_of(session: Session, scope: AccountId | str, *, file: ReadsStates | None = None) -> ControlState:
    """What counts for one scope: the stricter of database and file."""
    said = file.states([str(scope)]) if file is not None else []
    return strictest([*said, scope_control(session, scope)])


# PAUSE lets nothing out, REDUCE_ONLY reductions: together nothing, although REDUCE_ONLY is the graver state.
_LETS_LESS_OUT = (
    ControlState.RUN,
    ControlState.REDUCE_ONLY,
    ControlState.PAUSE,
    ControlState.HALT,
    ControlState.KILL,
)


def strictest(states: Iterable[ControlState]) -> ControlState:
    """The one that lets least out; RUN of none."""
    return max(states, key=_LETS_LESS_OUT.index, default=ControlState.RUN)


def lets_more_out(state: ControlState, than: ControlState) -> bool:
    """Whether going to `state` loosens; HALT to PAUSE does, although neither lets an order out."""
    return _LETS_LESS_OUT.index(state) < _LETS_LESS_OUT.index(than)


def scope_control(session: Session, scope: AccountId | str) -> ControlState:
    """What the database says of one scope alone; RUN when it was never set, HALT when it cannot be read."""
    row = current_control(session, scope)
    if row is None:
        return ControlState.RUN
    try:
        return ControlState(row.state)
    except ValueError:
        return ControlState.HALT  # written by a version that knows more states than this one
