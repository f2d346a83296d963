"""The gate of production: no order without an arming that holds, as of the transaction that would send it.

Only a kill switch's own closing orders need none: reduce-only, made by it, while its kill with flatten is under way
(two people gave that command). Ordinary reductions need it like any order.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlmodel import Session

from brokers.ids import Environment
from brokers.types import Instrument, OrderRequest, Quote
from ledger import arming as rows
from ledger.controls import pool_scope
from ledger.tables import ArmingRow, OrderIntent
from trading.arming import ArmingGuard, judge
from trading.arming.judging import Evidence, Verdict, judge_notional
from trading.orders.context import DeskContext
from trading.orders.kill_orders import closes_for_kill
from trading.risk.checks import expected_price, order_notional

_NO_GUARD = ArmingGuard(key=None, code_sha256="")


def why_not(ctx: DeskContext, session: Session, row: OrderIntent, now: datetime) -> Verdict:
    """What keeps the intent from being claimed or sent; None where nothing does, or where no arming is needed."""
    if not needs_arming(ctx, session, row):
        return None
    pool = pool_of(ctx)
    step = rows.newest_step(session, pool)
    return judge(
        _evidence(ctx, session, pool, step),
        ctx.arming or _NO_GUARD,
        account_id=ctx.account_id,
        policy_sha256=ctx.policy_sha256,
        now=now,
    )


def why_not_send(
    ctx: DeskContext,
    session: Session,
    row: OrderIntent,
    request: OrderRequest,
    instrument: Instrument | None,
    quote: Quote | None,
    now: datetime,
) -> Verdict:
    """The same for the transaction that commits the send: the notional must fit, and other sends of the pool wait."""
    if not needs_arming(ctx, session, row):
        return None
    rows.lock_pool(session, pool_of(ctx))
    problem = why_not(ctx, session, row, now)
    if problem is not None:
        return problem
    step = rows.newest_step(session, pool_of(ctx))
    assert step is not None
    return judge_notional(step, rows.notional_sent(session, step), notional_of(request, instrument, quote))


def reservation(
    ctx: DeskContext,
    session: Session,
    row: OrderIntent,
    request: OrderRequest,
    instrument: Instrument | None,
    quote: Quote | None,
) -> tuple[int | None, Decimal | None]:
    """What the send's row notes: the arming that it leaves under, and the notional that it takes of it."""
    notional = notional_of(request, instrument, quote)
    if not needs_arming(ctx, session, row):
        return None, notional
    step = rows.newest_step(session, pool_of(ctx))
    assert step is not None, "the gate has passed in this transaction"
    return step.arming_id, notional


def notional_of(request: OrderRequest, instrument: Instrument | None, quote: Quote | None) -> Decimal:
    """What the order is worth. The same bytes sent again were counted before; without an instrument nothing is sent."""
    if instrument is None or quote is None:
        return Decimal(0)
    return order_notional(request, instrument, expected_price(request, quote)).quantize(Decimal("1e-12"))


def needs_arming(ctx: DeskContext, session: Session, row: OrderIntent) -> bool:
    """Production always, elsewhere where the policy says so; not the closing orders of a kill under way."""
    if ctx.environment is not Environment.PRODUCTION and not ctx.policy.arming_required:
        return False
    return not closes_for_kill(session, row)


def pool_of(ctx: DeskContext) -> str:
    """The pool that must be armed; a desk without one belongs to its environment's."""
    return ctx.pool or ctx.environment.value


def _evidence(ctx: DeskContext, session: Session, pool: str, step: ArmingRow | None) -> Evidence:
    if step is None or step.state != rows.ArmingState.ARMED.value:
        return Evidence(step)
    assert step.arming_id is not None
    later = rows.rows_after(session, pool, step.arming_id)
    return Evidence(
        step,
        same_record=rows.rows_of_record(session, pool, step.record_sha256),
        later=later,
        is_audited=rows.is_audited(session, later[-1] if later else step),
        stopped_at=rows.newest_stop(session, (ctx.account_id, pool_scope(pool))),
    )
