"""What the ledger knows of an order's past: its strategy's orders, resting orders, the last good price."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlmodel import Session, col, func, select

from brokers.ids import InstrumentId
from brokers.types import OrderSide, OrderStatus, TimeInForce
from ledger.controls import current_control, strategy_scope
from ledger.states import ControlState, IntentState
from ledger.tables import Control, OrderAttempt, OrderIntent, OrderRow, OrderSend
from trading.orders.context import DeskContext
from trading.orders.reserved import Counted
from trading.risk import Conduct, GoodQuote, Resting

_TAKES_AT_ONCE = (TimeInForce.IOC.value, TimeInForce.FOK.value)
_OPEN = [status.value for status in OrderStatus if status.is_open]


def strategy_of(row: OrderIntent) -> str:
    """What decided the order: the source where no strategy is named."""
    return row.strategy or row.source


def read_conduct(
    session: Session, ctx: DeskContext, own: OrderIntent, others: Sequence[Counted], now: datetime
) -> Conduct:
    """The past of `own` as of this transaction; `others` are the account's counting intents without it."""
    same = [row for row in others if row.instrument_id == own.instrument_id]
    control = current_control(session, strategy_scope(strategy_of(own), own.account_id))
    return Conduct(
        last_quote=_last_quote(own, same),
        repeats=_repeats(session, ctx, own, same, control, now),
        duplicates=_duplicates(ctx, own, same),
        resting=(*_resting(own, same), *_foreign(session, own)),
        is_strategy_disabled=control is not None and control.state != ControlState.RUN.value,
    )


def _last_quote(own: OrderIntent, same: Sequence[Counted]) -> GoodQuote | None:
    """The youngest price that an order was decided on; its own once intake has judged it."""
    found = [(row.reference_time, row.reference_price) for row in same]
    if own.state != IntentState.RECEIVED.value:
        found.append((own.reference_time, own.reference_price))
    good = [GoodQuote(price, time) for time, price in found if time is not None and price is not None and price > 0]
    return max(good, key=lambda quote: quote.time, default=None)


def _repeats(
    session: Session,
    ctx: DeskContext,
    own: OrderIntent,
    same: Sequence[Counted],
    control: Control | None,
    now: datetime,
) -> int:
    """Orders of this strategy, instrument and side that were sent in the window, or are about to be.

    A person who enables the strategy again starts the count anew.
    """
    since = now - timedelta(seconds=float(ctx.policy.repeat_window_s))
    if control is not None:
        since = max(since, control.set_at)
    strategy = strategy_of(own)
    sent = select(func.count(func.distinct(OrderIntent.intent_id))).where(
        OrderSend.client_order_id == OrderAttempt.client_order_id,
        OrderAttempt.intent_id == OrderIntent.intent_id,
        OrderSend.account_id == own.account_id,
        col(OrderSend.committed_at) > since,
        OrderIntent.intent_id != own.intent_id,
        OrderIntent.instrument_id == own.instrument_id,
        OrderIntent.side == own.side,
        func.coalesce(OrderIntent.strategy, OrderIntent.source) == strategy,
        col(OrderIntent.reduce_only).is_(False),
        col(OrderIntent.state).not_in([IntentState.READY.value, IntentState.CLAIMED.value]),
    )
    waiting = sum(
        row.is_unsent and not row.reduce_only and row.side == own.side and row.decided_by == strategy
        for row in same
        if row.created_at > since and _comes_first(row, own)
    )
    return session.exec(sent).one() + waiting


def _comes_first(row: Counted, own: OrderIntent) -> bool:
    """At intake everything that was let through before; later only what was asked for earlier, so that of two orders
    that see each other one goes."""
    is_intake = own.state == IntentState.RECEIVED.value
    return is_intake or (row.created_at, row.intent_id) < (own.created_at, own.intent_id)


def _duplicates(ctx: DeskContext, own: OrderIntent, same: Sequence[Counted]) -> tuple[str, ...]:
    """Orders asked for before this one, not long before, with its terms; rounds of one plan are no duplicates."""
    window = timedelta(seconds=float(ctx.policy.duplicate_window(InstrumentId(own.instrument_id))))
    return tuple(
        row.business_key
        for row in same
        if (row.side, row.quantity) == (own.side, own.quantity)
        and row.has_effect
        and not row.reduce_only
        and (row.plan_id is None or row.plan_id != own.plan_id)
        and _comes_first(row, own)
        and abs(own.created_at - row.created_at) <= window
    )


def _resting(own: OrderIntent, same: Sequence[Counted]) -> list[Resting]:
    """Our own limit orders that stand in the book, or are on their way there."""
    return [
        Resting(OrderSide(row.side), row.limit_price, row.business_key)
        for row in same
        if row.is_open
        and row.side != own.side
        and row.limit_price is not None
        and row.trigger_price is None
        and row.time_in_force not in _TAKES_AT_ONCE
    ]


def _foreign(session: Session, own: OrderIntent) -> list[Resting]:
    """Open orders of the account that somebody else placed, as they were last seen."""
    query = select(OrderRow).where(
        col(OrderRow.intent_id).is_(None),
        OrderRow.account_id == own.account_id,
        OrderRow.instrument_id == own.instrument_id,
        OrderRow.side != own.side,
        col(OrderRow.status).in_(_OPEN),
        col(OrderRow.limit_price).is_not(None),
        col(OrderRow.trigger_price).is_(None),
    )
    return [
        Resting(OrderSide(row.side), row.limit_price, f"venue order {row.venue_order_id}")
        for row in session.exec(query)
        if row.limit_price is not None
    ]
