"""Clearing an account: its intents that are not over, and cancels of whatever the venue shows.

Used by the kill switch. A cancel is harmless to repeat and is passed by every control state, so it needs no gate; what
became of it is learnt by reading the venue only.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta

from sqlmodel import Session, col, func, select

from brokers.errors import BrokerError, OrderAlreadyDone, OrderNotFound
from brokers.types import Order
from ledger.control_file import ControlFile
from ledger.states import TERMINAL_STATES, CancelState, ControlState, IntentState
from ledger.tables import OrderIntent, OrderRow, OrderSend
from trading.orders import store
from trading.orders.context import DeskContext
from trading.orders.identity import is_ours
from trading.orders.intents import IntentView, view_of
from trading.orders.tracking import Asked, ask, note_cancel


class Clearing:
    """One account's open ends."""

    def __init__(self, ctx: DeskContext) -> None:
        self._ctx = ctx

    @property
    def pool(self) -> str:
        return self._ctx.pool

    @property
    def control_file(self) -> ControlFile | None:
        return self._ctx.control_file

    def crash(self, name: str) -> None:
        """Pass a crash point."""
        self._ctx.crash(name)

    def control(self, session: Session) -> ControlState:
        """What account and pool let out."""
        return self._ctx.control(session)

    def unfinished(self) -> tuple[IntentView, ...]:
        """Every intent of the account that is not over, oldest first."""
        with self._ctx.ledger.read() as session:
            query = select(OrderIntent).where(
                OrderIntent.account_id == self._ctx.account_id,
                col(OrderIntent.state).not_in([state.value for state in TERMINAL_STATES]),
            )
            return tuple(view_of(row) for row in session.exec(query.order_by(col(OrderIntent.created_at))))

    def source_of(self, intent_ids: Iterable[str]) -> dict[str, str]:
        """Who wanted each intent."""
        wanted = list(intent_ids)
        with self._ctx.ledger.read() as session:
            query = select(OrderIntent.intent_id, OrderIntent.source).where(col(OrderIntent.intent_id).in_(wanted))
            return dict(session.exec(query).all())

    def take_back(self, views: Iterable[IntentView], reason: str) -> tuple[OrderIntent, ...]:
        """Note for all in one transaction that they are to be cancelled; the rows that may be asked about at the venue.

        What is noted survives a crash: whoever comes next asks again.
        """
        taken: list[OrderIntent] = []
        with self._ctx.ledger.write() as session:
            for view in views:
                row = store.load(session, str(view.intent_id))
                if row.cancel_state != CancelState.NONE.value or not IntentState(row.state).is_live_at_venue:
                    continue  # somebody else took it back, or it ended
                changes = {"cancel_state": CancelState.SENDING.value, "cancel_reason": reason[:500]}
                until = self._ctx.ledger.now(session) + timedelta(seconds=self._ctx.limits.answer_timeout_s)
                with suppress(store.LostRace):
                    taken.append(store.touch(session, row, next_check_at=until, **changes))
        return tuple(taken)

    def ask(self, row: OrderIntent) -> Asked:
        """Send one cancel; nothing is written."""
        return ask(self._ctx, row)

    def note_answers(self, answers: Iterable[tuple[OrderIntent, Asked]]) -> None:
        """Keep what the venue answered, in one transaction; a row that moved meanwhile has been looked at since."""
        with self._ctx.ledger.write() as session:
            now = self._ctx.ledger.now(session)
            for row, asked in answers:
                with suppress(store.LostRace):
                    note_cancel(session, store.load(session, row.intent_id), asked, now=now)

    def cancelled_for(self, reason: str) -> tuple[IntentView, ...]:
        """Intents that were taken back for this reason, by whichever process."""
        with self._ctx.ledger.read() as session:
            query = select(OrderIntent).where(
                OrderIntent.account_id == self._ctx.account_id, OrderIntent.cancel_reason == reason
            )
            return tuple(view_of(row) for row in session.exec(query.order_by(col(OrderIntent.created_at))))

    def all_visible_at(self) -> datetime | None:
        """When, on the ledger's clock, the venue shows everything that was sent; None where nothing ever was.

        The last committed send, the longest time in which the venue may still take it, and the venue's visibility
        horizon.
        """
        ctx = self._ctx
        with ctx.ledger.read() as session:
            query = select(func.max(OrderSend.committed_at)).where(OrderSend.account_id == ctx.account_id)
            last: datetime | None = session.exec(query).one()
        horizons = [ctx.limits.horizon(identity) for identity in ctx.broker.capabilities.identity.values()]
        wait_s = ctx.limits.validity_s + ctx.limits.skew_s + max(horizons, default=0.0)
        return None if last is None else last + timedelta(seconds=wait_s)

    def split(self, orders: Iterable[Order]) -> tuple[tuple[Order, ...], tuple[Order, ...]]:
        """Ours, by mark or by an intent on record, and other people's."""
        tag = self._ctx.ledger.installation_tag
        found = tuple(orders)
        with self._ctx.ledger.read() as session:
            ours = {
                order.venue_order_id
                for order in found
                if is_ours(order.client_order_id, tag) or self._is_on_record(session, order)
            }
        return (
            tuple(order for order in found if order.venue_order_id in ours),
            tuple(order for order in found if order.venue_order_id not in ours),
        )

    def _is_on_record(self, session: Session, order: Order) -> bool:
        row = session.get(OrderRow, (self._ctx.account_id, str(order.venue_order_id)))
        return row is not None and row.intent_id is not None

    def cancel_at_venue(self, order: Order) -> str:
        """Ask for the end of an order that the venue shows; why that failed, or "". Only reading tells the outcome."""
        try:
            self._ctx.broker.cancel(instrument_id=order.instrument_id, venue_order_id=order.venue_order_id)
        except (OrderAlreadyDone, OrderNotFound):
            return ""
        except BrokerError as error:
            return f"{error.reason}: {error.message}"
        return ""
