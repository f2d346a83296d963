"""Neither account nor pool loosens the other; what cannot be read stops."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from ledger.controls import current_control, effective_control, pool_scope, scope_control, set_control
from ledger.engine import Ledger
from ledger.states import ControlState
from ledger.tables import Control


def test_nothing_set_means_run(ledger: Ledger, samples: Any) -> None:
    with ledger.read() as session:
        assert effective_control(session, samples.account_id, "simulated") is ControlState.RUN
        assert current_control(session, samples.account_id) is None


# What each state lets out, written down a second time: (any order, a reduce-only order).
LETS_OUT = {
    ControlState.RUN: (True, True),
    ControlState.PAUSE: (False, False),
    ControlState.REDUCE_ONLY: (False, True),
    ControlState.HALT: (False, False),
    ControlState.KILL: (False, False),
}


def test_both_scopes_must_agree_and_the_newest_counts(ledger: Ledger, samples: Any) -> None:
    with ledger.write() as session:
        for account, pool in product(ControlState, ControlState):
            for scope, state in ((samples.account_id, account), (pool_scope("p"), pool)):
                set_control(session, scope, state, reason="test", set_by="me", at=samples.start)
            found = effective_control(session, samples.account_id, "p")
            assert found in (account, pool)
            both = tuple(one and other for one, other in zip(LETS_OUT[account], LETS_OUT[pool], strict=True))
            assert LETS_OUT[found] == both, f"account {account}, pool {pool}"
            assert (found.strictness >= ControlState.HALT.strictness) == any(
                state.strictness >= ControlState.HALT.strictness for state in (account, pool)
            )
            assert scope_control(session, pool_scope("p")) is pool
            assert effective_control(session, samples.account_id, "") is account
            assert effective_control(session, "bybit.simulated.other", "other") is ControlState.RUN


def test_an_unknown_state_halts(ledger: Ledger, samples: Any) -> None:
    with ledger.write() as session:
        session.add(
            Control(
                scope=str(samples.account_id), state="from-the-future", reason="r", set_by="me", set_at=samples.start
            )
        )
        session.flush()
        assert effective_control(session, samples.account_id, "p") is ControlState.HALT


@pytest.mark.parametrize("empty", ["scope", "reason", "set_by"])
def test_who_and_why_must_be_said(ledger: Ledger, samples: Any, empty: str) -> None:
    said = {"scope": "pool:p", "reason": "drill", "set_by": "me"} | {empty: " "}
    with pytest.raises(ValueError, match=f"a control needs {empty}"), ledger.write() as session:
        set_control(
            session,
            said["scope"],
            ControlState.HALT,
            reason=said["reason"],
            set_by=said["set_by"],
            at=samples.start,
        )
