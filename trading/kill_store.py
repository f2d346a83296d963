"""The row of a kill: begun once, moved by compare-and-set, continued by whoever comes next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlmodel import Session, col, select, update

from ledger.controls import hold_controls
from ledger.records import lock_account
from ledger.states import ControlState, KillState
from ledger.tables import KillRow
from trading.kill_model import KillReason, KillRefused, KillRequest
from trading.orders.clearing import Clearing
from trading.runtime import Runtime

S = KillState
_ORDER = (S.KILLED, S.CANCELLING, S.FLATTENING)


def begin(runtime: Runtime, clearing: Clearing, request: KillRequest) -> KillRow:
    """The account's kill that is not over, or that left something, else a new one. KillRefused unless KILL is set."""
    with runtime.ledger.write() as session:
        lock_account(session, runtime.account_id)
        hold_controls(session)
        _require_kill(clearing, session)
        now, row = runtime.ledger.now(session), latest(session, str(runtime.account_id))
        if row is None or not S(row.state).keeps_the_stop:
            row = KillRow(
                account_id=str(runtime.account_id),
                state=S.KILLED.value,
                flatten=request.flatten,
                requested_by=request.requested_by,
                reason=request.reason,
                started_at=now,
                updated_at=now,
            )
        elif row.state == S.LEFT.value:
            row.state, row.finished_at = S.CANCELLING.value, None
            facts = facts_of(row)
            facts["flatten_round"] = int(facts.get("flatten_round", 0)) + 1  # the orders of the last one are used up
            row.result = json.dumps(facts)
        row.flatten = row.flatten or request.flatten
        row.updated_at = now
        session.add(row)
        session.flush()
        return row


def _require_kill(clearing: Clearing, session: Session) -> None:
    state = clearing.control(session)
    if state is not ControlState.KILL:
        raise KillRefused(KillReason.KILL_NOT_SET, f"the control state is {state}, not kill")


def latest(session: Session, account_id: str) -> KillRow | None:
    """The newest kill of an account."""
    query = select(KillRow).where(KillRow.account_id == account_id).order_by(col(KillRow.kill_id).desc())
    return session.exec(query.limit(1).execution_options(populate_existing=True)).first()


def move(runtime: Runtime, clearing: Clearing, kill_id: int, to_state: KillState, **facts: Any) -> KillRow:
    """Go on to `to_state` from any running state, adding to the facts; another run may have gone there, or further.

    KillRefused when the control state was lowered meanwhile: the kill's own orders must not go out under it.
    """
    with runtime.ledger.write() as session:
        lock_account(session, runtime.account_id)
        hold_controls(session)
        state = clearing.control(session)
        row = session.get(KillRow, kill_id, populate_existing=True)
        assert row is not None, f"the ledger has no kill {kill_id}"
        now = runtime.ledger.now(session)
        if state is not ControlState.KILL and to_state.is_running:
            _write(session, row, S.LEFT, facts, now, finished_at=now)
            is_lowered = True
        else:
            is_lowered = False
            if _may_go(S(row.state), to_state):
                _write(session, row, to_state, facts, now, finished_at=None if to_state.is_running else now)
        session.refresh(row)
    if is_lowered:
        raise KillRefused(KillReason.KILL_LOWERED, f"the control state became {state} during kill {kill_id}")
    return row


def _may_go(state: KillState, to_state: KillState) -> bool:
    """Forward only: a second run never takes back how far the first has come, nor its proof."""
    if state is S.LEFT:
        return True
    return state.is_running and (not to_state.is_running or _ORDER.index(to_state) >= _ORDER.index(state))


def _write(session: Session, row: KillRow, state: KillState, facts: Mapping[str, Any], now: Any, **more: Any) -> None:
    merged = {**facts_of(row), **facts}
    session.exec(
        update(KillRow)
        .where(col(KillRow.kill_id) == row.kill_id)
        .values(state=state.value, result=json.dumps(merged, default=str), updated_at=now, **more)
    )


def facts_of(row: KillRow) -> dict[str, Any]:
    """What the row remembers from run to run."""
    found: dict[str, Any] = json.loads(row.result) if row.result else {}
    return found
