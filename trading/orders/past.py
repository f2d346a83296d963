"""What the ledger knows of an order's past: its strategy's orders, resting orders, the last good price."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from operator import itemgetter

from sqlalchemy import bindparam
from sqlmodel import Session, col, func, select

from brokers.ids import InstrumentId
from brokers.types import IMMEDIATE, OrderSide, OrderStatus
from ledger.controls import current_control, strategy_scope
from ledger.reading import read_columns
from ledger.states import ControlState, IntentState
from ledger.tables import Control, OrderAttempt, OrderIntent, OrderRow, OrderSend
from trading.orders.context import DeskContext
from trading.orders.reserved import Counted
from trading.risk import Conduct, GoodQuote, Resting

_OPEN = [status.value for status in OrderStatus if status.is_open]
_SENT = select(func.count(func.distinct(OrderIntent.intent_id))).where(
    OrderSend.client_order_id == OrderAttempt.client_order_id,
    OrderAttempt.intent_id == OrderIntent.intent_id,
    OrderSend.account_id == bindparam("account_id"),
    col(OrderSend.committed_at) > bindparam("since"),
    OrderIntent.intent_id != bindparam("own_intent_id"),
    OrderIntent.instrument_id == bindparam("instrument_id"),
    OrderIntent.side == bindparam("side"),
    func.coalesce(OrderIntent.strategy, OrderIntent.source) == bindparam("strategy"),
    col(OrderIntent.reduce_only).is_(False),
    col(OrderIntent.state).not_in([IntentState.READY.value, IntentState.CLAIMED.value]),
)
_FOREIGN = select(col(OrderRow.side), col(OrderRow.limit_price), col(OrderRow.venue_order_id)).where(
    col(OrderRow.intent_id).is_(None),
    OrderRow.account_id == bindparam("account_id"),
    OrderRow.instrument_id == bindparam("instrument_id"),
    OrderRow.side != bindparam("side"),
    col(OrderRow.status).in_(_OPEN),
    col(OrderRow.limit_price).is_not(None),
    col(OrderRow.trigger_price).is_(None),
)


def strategy_of(row: OrderIntent) -> str:
    """What decided the order: the source where no strategy is named."""
    return row.strategy or row.source


def read_conduct(
    session: Session, ctx: DeskContext, own: OrderIntent, same: Sequence[Counted], now: datetime
) -> Conduct:
    """The past of `own` as of this transaction; `same` are the counting intents in its instrument without it."""
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
    good = [(time, price) for time, price in found if time is not None and price is not None and price > 0]
    time, price = max(good, key=itemgetter(0), default=(None, None))
    return None if time is None or price is None else GoodQuote(price, time)


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
    ((sent,),) = read_columns(
        session,
        _SENT,
        account_id=own.account_id,
        since=since,
        own_intent_id=own.intent_id,
        instrument_id=own.instrument_id,
        side=own.side,
        strategy=strategy,
    )
    side, comes_first = own.side, _before(own)
    waiting = sum(
        row.created_at > since and comes_first(row)
        for row in same
        if row.is_unsent and not row.reduce_only and row.side == side and row.decided_by == strategy
    )
    return int(sent) + waiting


def _before(own: OrderIntent) -> Callable[[Counted], bool]:
    """Which orders come first. At intake everything that was let through before; later only what was asked for
    earlier, so that of two orders that see each other one goes."""
    if own.state == IntentState.RECEIVED.value:
        return lambda row: True
    place = (own.created_at, own.intent_id)
    return lambda row: (row.created_at, row.intent_id) < place


def _duplicates(ctx: DeskContext, own: OrderIntent, same: Sequence[Counted]) -> tuple[str, ...]:
    """Orders asked for before this one, not long before, with its terms; rounds of one plan are no duplicates."""
    window = timedelta(seconds=float(ctx.policy.duplicate_window(InstrumentId(own.instrument_id))))
    side, quantity, plan_id, created_at, comes_first = own.side, own.quantity, own.plan_id, own.created_at, _before(own)
    return tuple(
        row.business_key
        for row in same
        if row.side == side
        and row.quantity == quantity
        and row.has_effect
        and not row.reduce_only
        and (row.plan_id is None or row.plan_id != plan_id)
        and comes_first(row)
        and abs(created_at - row.created_at) <= window
    )


def _resting(own: OrderIntent, same: Sequence[Counted]) -> list[Resting]:
    """Our own limit orders that stand in the book, or are on their way there."""
    side = own.side
    return [
        Resting(OrderSide(row.side), row.limit_price, row.business_key)
        for row in same
        if row.is_open
        and row.side != side
        and row.limit_price is not None
        and row.trigger_price is None
        and row.time_in_force not in IMMEDIATE
    ]


def _foreign(session: Session, own: OrderIntent) -> list[Resting]:
    """Open orders of the account that somebody else placed, as they were last seen."""
    found = read_columns(session, _FOREIGN, account_id=own.account_id, instrument_id=own.instrument_id, side=own.side)
    return [
        Resting(OrderSide(side), limit_price, f"venue order {venue_order_id}")
        for side, limit_price, venue_order_id in found
        if limit_price is not None
    ]
