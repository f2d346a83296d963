"""Everything that can still stop an order, checked in the transaction that would commit it to be sent.

Each gate is a function of (context, session, row, …) that returns an obstacle or None. The claim asks the first of
them, the commit all; a gate reads what other processes wrote because the account is locked. None of them speaks to a
venue: what they need from there was read before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session

from brokers.capabilities import OrderIdentity
from brokers.types import Instrument, OrderRequest, PreparedOrder, Quote
from ledger.controls import hold_controls, strategy_scope
from ledger.locks import standing_lock
from ledger.states import CancelState, ControlState, IntentState
from ledger.tables import OrderIntent
from trading.orders import armed, store
from trading.orders.context import AccountReading, DeskContext
from trading.orders.counting import surplus
from trading.orders.exposure import exposure_for
from trading.orders.kill_orders import closes_for_kill
from trading.orders.past import strategy_of
from trading.orders.protocol import needs_own_lane
from trading.orders.reasons import OrderReason
from trading.orders.stops import Stop, stop_for
from trading.risk import assess

S = IntentState


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why an order does not leave now; `to_state` says where that puts it."""

    to_state: IntentState
    reason: str
    detail: str = ""
    wait_s: float = 0.0
    stop: Stop | None = None  # what it stops besides this order, once the transaction is over


@dataclass(frozen=True, slots=True)
class OutgoingOrder:
    """What is about to be sent, with everything that was read for the last check."""

    request: OrderRequest
    prepared: PreparedOrder
    attempt_number: int
    is_new_attempt: bool
    identity: OrderIdentity
    instrument: Instrument | None
    quote: Quote | None
    reading: AccountReading


def before_claim(ctx: DeskContext, session: Session, row: OrderIntent) -> Obstacle | None:
    """What keeps a READY intent from being claimed; the first obstacle found."""
    state, of_strategy = _held_controls(ctx, session, row)
    return (
        _control(ctx, session, row, state)
        or _arming(ctx, session, row)
        or _strategy(ctx, row, of_strategy)
        or _lane(ctx, session, row)
    )


def before_send(
    ctx: DeskContext, session: Session, row: OrderIntent, order: OutgoingOrder, now: datetime
) -> Obstacle | None:
    """Everything that can still stop the order, as of this transaction; the first obstacle found."""
    if row.cancel_state != CancelState.NONE.value:
        return Obstacle(S.WITHDRAWN, OrderReason.WITHDRAWN_UNSENT, row.cancel_reason)
    if now >= row.expires_at:
        return Obstacle(S.EXPIRED, OrderReason.TTL_OVER, f"expired at {row.expires_at.isoformat()}")
    state, of_strategy = _held_controls(ctx, session, row)
    return (
        _control(ctx, session, row, state)
        or _arming(ctx, session, row, order, now)
        or _strategy(ctx, row, of_strategy)
        or _lock(session, row, now)
        or _counts(ctx, session, row, now)
        or _rate(ctx, session, order, now)
        or (None if row.state == S.UNKNOWN.value else _risk(ctx, session, row, order))
    )


# -- who may send -----------------------------------------------------------------------------------------------
def _held_controls(ctx: DeskContext, session: Session, row: OrderIntent) -> tuple[ControlState, ControlState]:
    """The control states of account and pool, and of the strategy; nobody changes one before this transaction ends."""
    hold_controls(session)
    return _controls(ctx, session, row)


def _controls(ctx: DeskContext, session: Session, row: OrderIntent) -> tuple[ControlState, ControlState]:
    return ctx.controls(session, strategy_scope(strategy_of(row), row.account_id))


def _control(ctx: DeskContext, session: Session, row: OrderIntent, state: ControlState) -> Obstacle | None:
    """Whether account and pool let it out."""
    if lets_out(state, session, row):
        return None
    return Obstacle(S.READY, OrderReason.CONTROL_STOPS, f"control state is {state}", ctx.limits.wait_s)


def lets_out(state: ControlState, session: Session, row: OrderIntent) -> bool:
    """Whether the state lets this order out; KILL lets out what the kill itself closes positions with, nothing else."""
    if may_send(state, is_reduce_only=row.reduce_only):
        return True
    return state is ControlState.KILL and closes_for_kill(session, row)


def may_send(state: ControlState, *, is_reduce_only: bool) -> bool:
    """Whether a control state lets an order out."""
    return state is ControlState.RUN or (state is ControlState.REDUCE_ONLY and is_reduce_only)


def may_go(ctx: DeskContext, session: Session, row: OrderIntent) -> bool:
    """Whether an order of unknown outcome may be sent again now, whatever its notional; else it is only looked for."""
    if ctx.dry_run:
        return False
    state, of_strategy = _controls(ctx, session, row)
    if not lets_out(state, session, row) or _arming(ctx, session, row) is not None:
        return False
    return _strategy(ctx, row, of_strategy) is None and _lock(session, row, ctx.ledger.now(session)) is None


def _arming(
    ctx: DeskContext,
    session: Session,
    row: OrderIntent,
    order: OutgoingOrder | None = None,
    now: datetime | None = None,
) -> Obstacle | None:
    """Whether an arming lets it out, and with `order` whether its notional fits; until its time is over it waits."""
    if not armed.needs_arming(ctx, session, row):
        return None
    at = now or ctx.ledger.now(session)
    problem = (
        armed.why_not(ctx, session, row, at)
        if order is None
        else armed.why_not_send(ctx, session, row, order.request, order.instrument, order.quote, at)
    )
    return None if problem is None else Obstacle(S.READY, problem[0], problem[1], ctx.limits.wait_s)


def _strategy(ctx: DeskContext, row: OrderIntent, state: ControlState) -> Obstacle | None:
    """A strategy that was disabled sends nothing more, but for reductions, until a person enables it."""
    if row.reduce_only or state is ControlState.RUN:
        return None
    detail = f"strategy {strategy_of(row)} is {state}"
    return Obstacle(S.READY, OrderReason.STRATEGY_STOPPED, detail, ctx.limits.wait_s)


def _lock(session: Session, row: OrderIntent, now: datetime) -> Obstacle | None:
    """A critical break of this instrument or account: the order was decided on books that are wrong, so it is over.

    What a kill closes positions with goes out all the same: it is sized by the venue's own reading.
    """
    lock = standing_lock(session, row.account_id, row.instrument_id, now=now, reduces=row.reduce_only)
    if lock is None or closes_for_kill(session, row):
        return None
    return Obstacle(S.DENIED, OrderReason.LOCKED_BY_BREAK, str(lock))


def _counts(ctx: DeskContext, session: Session, row: OrderIntent, now: datetime) -> Obstacle | None:
    """More sends than were decided: the whole pool stops."""
    stop = surplus(ctx, session, row, now)
    if stop is None:
        return None
    return Obstacle(S.READY, OrderReason.SENDS_UNACCOUNTED, stop.detail, ctx.limits.wait_s, stop)


def _lane(ctx: DeskContext, session: Session, row: OrderIntent) -> Obstacle | None:
    """Where two unresolved orders could not be told apart, one goes at a time.

    So do reductions there until the one before is filled: such a venue need not hold them to the position by itself
    (TradeStation's futures), and both were decided on all of it.
    """
    if not needs_own_lane(ctx.identity(row.instrument_id)):
        return None
    is_reducing = row.reduce_only and store.has_reduction_under_way(session, row)
    if is_reducing or store.has_unresolved_neighbour(session, row):
        return Obstacle(S.READY, OrderReason.LANE_BUSY, wait_s=ctx.limits.wait_s)
    return None


# -- how often --------------------------------------------------------------------------------------------------
def _rate(ctx: DeskContext, session: Session, order: OutgoingOrder, now: datetime) -> Obstacle | None:
    """Count the account's committed sends in each window: exact, and shared by all processes through the ledger."""
    for limit, window_s in _budgets(ctx, order):
        window = timedelta(seconds=window_s)
        count, oldest = store.recent_sends(session, ctx.account_id, since=now - window)
        if count >= limit and oldest is not None:
            wait_s = max((oldest + window - now).total_seconds(), 0.001)
            return Obstacle(S.READY, OrderReason.ORDER_RATE_WAITS, f"{count} in {window_s} s of {limit}", wait_s)
    return _message_rate(ctx, session, now)


def _message_rate(ctx: DeskContext, session: Session, now: datetime) -> Obstacle | None:
    """Orders and cancels together. Cancels are counted and never held back: they take risk away."""
    limit, window_s = ctx.policy.message_rate_max, float(ctx.policy.message_rate_window_s)
    times = store.recent_messages(session, ctx.account_id, since=now - timedelta(seconds=window_s))
    if len(times) < limit:
        return None
    wait_s = max((times[-limit] + timedelta(seconds=window_s) - now).total_seconds(), 0.001)
    detail = f"{len(times)} messages in {window_s} s of {limit}"
    return Obstacle(S.READY, OrderReason.MESSAGE_RATE_WAITS, detail, wait_s)


def _budgets(ctx: DeskContext, order: OutgoingOrder) -> list[tuple[int, float]]:
    policy = ctx.policy
    budgets = [(policy.order_rate_max, float(policy.order_rate_window_s))]
    product = order.instrument.product.value if order.instrument else ""
    for budget in ctx.broker.capabilities.budgets:
        if budget.name in ("place", f"place_{product}"):
            budgets.append((max(int(budget.limit * policy.venue_rate_share), 1), budget.window_s))
    return budgets


# -- how much ---------------------------------------------------------------------------------------------------
def _risk(ctx: DeskContext, session: Session, row: OrderIntent, order: OutgoingOrder) -> Obstacle | None:
    exposure = exposure_for(session, ctx, row, order.request, order.instrument, order.reading)
    refusals = assess(order.request, order.instrument, order.quote, exposure, ctx.policy, ctx.venue_now())
    if not refusals:
        return None
    first = next((refusal for refusal in refusals if not refusal.reason.passes), refusals[0])
    detail = "; ".join(f"{refusal.reason}: {refusal.detail}" for refusal in refusals)
    state = S.READY if first.reason.passes else S.DENIED
    return Obstacle(state, first.reason, detail, ctx.limits.wait_s, stop_for(refusals, row))
