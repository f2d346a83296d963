"""The intents that count as exposure: everything ready, open or in flight, and what moved since a reading.

One query per account, and only the columns that are counted: it is asked before every order.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import bindparam, union_all
from sqlmodel import Session, col, select

from brokers.types import ZERO
from ledger.reading import read_columns
from ledger.states import TERMINAL_STATES, IntentState
from ledger.tables import OrderIntent

_TERMINAL = frozenset(state.value for state in TERMINAL_STATES)
_NOT_COUNTED = frozenset({IntentState.RECEIVED.value, IntentState.DENIED.value})
_COUNTED_OPEN = sorted({state.value for state in IntentState} - _TERMINAL - _NOT_COUNTED)
_COUNTED_ENDED = sorted(_TERMINAL - _NOT_COUNTED)
_UNSENT = frozenset({IntentState.READY.value, IntentState.CLAIMED.value})
_COLUMNS = (
    col(OrderIntent.intent_id),
    col(OrderIntent.instrument_id),
    col(OrderIntent.side),
    col(OrderIntent.state),
    col(OrderIntent.quantity),
    col(OrderIntent.filled_quantity),
    col(OrderIntent.reserved_notional),
    col(OrderIntent.average_price),
    col(OrderIntent.limit_price),
    col(OrderIntent.trigger_price),
    col(OrderIntent.reference_price),
    col(OrderIntent.reference_time),
    col(OrderIntent.time_in_force),
    col(OrderIntent.reduce_only),
    col(OrderIntent.source),
    col(OrderIntent.strategy),
    col(OrderIntent.plan_id),
    col(OrderIntent.business_key),
    col(OrderIntent.created_at),
    col(OrderIntent.updated_at),
)
_OF_OTHERS = select(*_COLUMNS).where(  # type: ignore[call-overload]  # more columns than the stubs have overloads
    OrderIntent.account_id == bindparam("account_id"),
    OrderIntent.intent_id != bindparam("own_intent_id"),
)
# Two parts, each with an index of its own: an account ends far more intents in its life than it has open.
_COUNTING = union_all(
    _OF_OTHERS.where(col(OrderIntent.state).in_(_COUNTED_OPEN)),
    _OF_OTHERS.where(col(OrderIntent.state).in_(_COUNTED_ENDED), col(OrderIntent.updated_at) >= bindparam("since")),
).order_by("created_at", "intent_id")


class Counted(NamedTuple):
    """One intent that counts, in the order of the columns that are read."""

    intent_id: str
    instrument_id: str
    side: str
    state: str
    quantity: Decimal
    filled_quantity: Decimal
    reserved_notional: Decimal
    average_price: Decimal | None
    limit_price: Decimal | None
    trigger_price: Decimal | None
    reference_price: Decimal | None
    reference_time: datetime | None
    time_in_force: str
    reduce_only: bool
    source: str
    strategy: str | None
    plan_id: str | None
    business_key: str
    created_at: datetime
    updated_at: datetime

    @property
    def is_open(self) -> bool:
        """It may still fill."""
        return self.state not in _TERMINAL

    @property
    def is_unsent(self) -> bool:
        return self.state in _UNSENT

    @property
    def decided_by(self) -> str:
        """The strategy; the source where nothing is named."""
        return self.strategy or self.source

    @property
    def has_effect(self) -> bool:
        """It is, or may come to be, an order at the venue: one that ended without a fill had none."""
        return self.is_open or self.filled_quantity > 0


def read_counting(
    session: Session, account_id: str, *, since: datetime, own_intent_id: str = ""
) -> tuple[Counted, ...]:
    """The account's intents that are open, or ended at `since` or later; denied ones never count."""
    found = read_columns(session, _COUNTING, account_id=account_id, own_intent_id=own_intent_id, since=since)
    return tuple(map(Counted._make, found))


class Pending(NamedTuple):
    """What an intent may still fill, or may have filled since a reading.

    `notional` is what that may add to the gross exposure, `move` what it may move the net exposure by (an order that
    reduces a position moves it, too); both in quote currency.
    """

    quantity: Decimal
    notional: Decimal
    move: Decimal


def pending(row: Counted, since: datetime, contract_size: Decimal) -> Pending:
    """What is pending of an intent as of a reading at `since`."""
    quantity, filled, average = row.quantity, row.filled_quantity, row.average_price
    is_open, moved_since = row.is_open, row.updated_at >= since
    if not is_open:
        quantity = filled if moved_since else ZERO
    elif filled and not moved_since:
        quantity = max(quantity - filled, ZERO)
    if row.reserved_notional:
        share = _share(row, quantity)
        return Pending(quantity, ZERO if row.reduce_only else share, share)
    price = average or row.limit_price or row.trigger_price or row.reference_price
    move = ZERO if price is None else quantity * price * contract_size
    is_added = not row.reduce_only and not is_open and average is not None
    return Pending(quantity, move if is_added and average else ZERO, move)


def _share(row: Counted, quantity: Decimal) -> Decimal:
    """The part of the reservation that belongs to the quantity."""
    return row.reserved_notional if quantity == row.quantity else row.reserved_notional * quantity / row.quantity
