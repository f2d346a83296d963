"""The count of orders that leave: by the transport, not by the caller, against what the ledger committed.

A send is committed before its first byte. So a process whose transport has let out more order requests than its desks
committed has sent something that nobody decided, and an intent with more sends than its attempts allow is a loop.
Either halts the pool at once. The process that broke the count sends nothing more, whatever the control says later.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from sqlalchemy import bindparam
from sqlmodel import Session, col, func, select

from brokers.port import Broker
from ledger.reading import read_columns
from ledger.states import ControlState
from ledger.tables import OrderAttempt, OrderIntent, OrderSend
from trading.orders.context import DeskContext
from trading.orders.reasons import OrderReason
from trading.orders.stops import Stop, halt_scope

WINDOW_S = 60.0
_SENDS_OF_INTENT = select(func.count()).where(
    OrderSend.client_order_id == OrderAttempt.client_order_id, OrderAttempt.intent_id == bindparam("intent_id")
)
_SENDS_OF_WINDOW = select(
    func.count(),
    func.count(func.distinct(OrderAttempt.intent_id)),
).where(
    OrderSend.client_order_id == OrderAttempt.client_order_id,
    col(OrderSend.committed_at) > bindparam("since"),
)


@dataclass
class _Count:
    began_at: int  # what the transport had let out when its first desk was opened
    committed: int = 0


_COUNTS: WeakKeyDictionary[Broker, _Count] = WeakKeyDictionary()
_LOCK = threading.Lock()


def begin_counting(broker: Broker) -> None:
    """Count from here on; desks that share a broker share its count."""
    with _LOCK:
        _count_of(broker)


def count_commit(broker: Broker) -> None:
    """One more send is committed; called before its first byte."""
    with _LOCK:
        _count_of(broker).committed += 1


def _count_of(broker: Broker) -> _Count:
    return _COUNTS.setdefault(broker, _Count(broker.order_requests_sent or 0))


def surplus(ctx: DeskContext, session: Session | None, row: OrderIntent, now: datetime | None = None) -> Stop | None:
    """The stop for more sends than were decided, or None. Without a session only this process is counted."""
    detail = _of_process(ctx.broker)
    if not detail and session is not None and now is not None:
        detail = _of_intent(ctx, session, row) or _of_window(ctx, session, now)
    if not detail:
        return None
    return Stop(halt_scope(ctx), ControlState.HALT, OrderReason.SENDS_UNACCOUNTED, detail)


def _of_process(broker: Broker) -> str:
    sent = broker.order_requests_sent  # before the commits: they only grow, so a race never shows too many sends
    with _LOCK:
        count = _count_of(broker)
        left = 0 if sent is None else sent - count.began_at
        committed = count.committed
    if left <= committed:
        return ""
    return f"the transport of this process let out {left} order requests, the ledger has {committed} sends of it"


def _of_intent(ctx: DeskContext, session: Session, row: OrderIntent) -> str:
    allowed = row.attempts_max * ctx.limits.sends_max
    ((sends,),) = read_columns(session, _SENDS_OF_INTENT, intent_id=row.intent_id)
    if sends < allowed:  # one more is about to be committed
        return ""
    return f"intent {row.intent_id} has {sends} sends of {allowed} allowed"


def _of_window(ctx: DeskContext, session: Session, now: datetime) -> str:
    """All accounts of the ledger, so that a process that runs wild is seen by every other."""
    ((sends, intents),) = read_columns(session, _SENDS_OF_WINDOW, since=now - timedelta(seconds=WINDOW_S))
    allowed = intents * ctx.policy.attempts_max * ctx.limits.sends_max
    if sends <= allowed:
        return ""
    return f"the pool committed {sends} sends of {intents} intents in {WINDOW_S:.0f} s, {allowed} allowed"
