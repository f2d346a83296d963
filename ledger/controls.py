"""Who may trade now: control states by account, by pool and by strategy, from the database and from a file.

The newest row of a scope counts; of several scopes, and of database and file, the one that lets less out wins. What
cannot be read is HALT. People change a state through `ledger.controlling`, which judges who may.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy import bindparam, text
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, func, select

from brokers.ids import AccountId
from ledger.reading import read_columns, read_rows, table_of
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


_controls = table_of(Control)
_CURRENT = (
    select_columns(_controls)
    .where(_controls.c.scope == bindparam("scope"))
    .order_by(_controls.c.control_id.desc())
    .limit(1)
)
_NEWEST = select(func.max(Control.control_id)).where(col(Control.scope).in_(bindparam("scopes", expanding=True)))
_STATES = select(col(Control.scope), col(Control.state)).where(
    col(Control.control_id).in_(_NEWEST.group_by(Control.scope))
)


def current_control(session: Session, scope: AccountId | str) -> Control | None:
    """The row that counts for one scope, or None when it was never set."""
    found = read_rows(session, Control, _CURRENT, scope=str(scope))
    return found[0] if found else None


def effective_control(
    session: Session, account_id: AccountId | str, pool: str, *, file: ReadsStates | None = None
) -> ControlState:
    """What account and pool let out together; RUN when nothing was set, HALT when something cannot be read."""
    return states_of(session, [scopes_of(account_id, pool)], file=file)[0]


def scopes_of(account_id: AccountId | str, pool: str) -> list[str]:
    """The scopes that an account's orders stand under, whatever their strategy."""
    return [str(account_id), *([pool_scope(pool)] if pool else [])]


def state_of(session: Session, scope: AccountId | str, *, file: ReadsStates | None = None) -> ControlState:
    """What counts for one scope: the stricter of database and file."""
    return states_of(session, [[str(scope)]], file=file)[0]


def states_of(
    session: Session, groups: Sequence[Sequence[str]], *, file: ReadsStates | None = None
) -> list[ControlState]:
    """What counts for each group of scopes: the strictest of database and file, the database asked once."""
    said = [file.states(group) if file is not None else [] for group in groups]
    found = read_columns(session, _STATES, scopes=[scope for group in groups for scope in group])
    stored = {scope: _state(text) for scope, text in found}
    return [
        strictest([*of_file, *(stored[scope] for scope in group if scope in stored)])
        for group, of_file in zip(groups, said, strict=True)
    ]


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
    return states_of(session, [[str(scope)]])[0]


def _state(text: str) -> ControlState:
    try:
        return ControlState(text)
    except ValueError:
        return ControlState.HALT  # written by a version that knows more states than this one
