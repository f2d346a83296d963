"""Stops that the desk sets by itself: durably, with the reason's code, lifted by a person only.

A stop is set in a transaction of its own, after the one that found its cause: setting a control waits for senders, and
a sender that waits for itself would never end. If the process dies in between, the next order finds the same cause.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session

from brokers.reasons import Reason
from ledger.controls import pool_scope, scope_control, set_control, strategy_scope
from ledger.states import ControlState
from ledger.tables import OrderIntent
from trading.orders.context import DeskContext
from trading.orders.past import strategy_of
from trading.risk import Refusal, RiskReason


@dataclass(frozen=True, slots=True)
class Stop:
    """A control state to be set for a scope, with its cause."""

    scope: str
    state: ControlState
    reason: Reason
    detail: str


def stop_for(refusals: tuple[Refusal, ...], row: OrderIntent) -> Stop | None:
    """What a refusal stops besides the order: its account after a loss, its strategy after too much of the same."""
    for refusal in refusals:
        if refusal.reason.is_loss:
            return Stop(row.account_id, ControlState.REDUCE_ONLY, refusal.reason, refusal.detail)
    for refusal in refusals:
        if refusal.reason is RiskReason.REPEATED_EXECUTION:
            scope = strategy_scope(strategy_of(row), row.account_id)
            return Stop(scope, ControlState.HALT, refusal.reason, refusal.detail)
    return None


def halt_scope(ctx: DeskContext) -> str:
    """The pool, or the account where there is no pool: the other accounts there run with the same ledger."""
    return pool_scope(ctx.pool) if ctx.pool else ctx.account_id


def set_stop(ctx: DeskContext, stop: Stop) -> None:
    """Set it unless the scope is stopped already; whoever stopped it first gave the reason that counts."""
    with ctx.ledger.write() as session:
        set_stop_in(ctx, session, stop)


def set_stop_in(ctx: DeskContext, session: Session, stop: Stop) -> None:
    """The same within a transaction that has not read control states under a lock."""
    now_set = scope_control(session, stop.scope)
    # PAUSE lets nothing out and REDUCE_ONLY something: only what stops more may replace it.
    is_weaker = now_set is ControlState.RUN or (
        stop.state is ControlState.HALT and now_set.strictness < ControlState.HALT.strictness
    )
    if is_weaker:
        set_control(
            session,
            stop.scope,
            stop.state,
            reason=f"{stop.reason.value}: {stop.detail}",
            set_by=f"orders:{ctx.worker}",
            at=ctx.ledger.now(session),
        )
