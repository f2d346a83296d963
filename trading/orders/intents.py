"""What a job asks the desk for, what it gets back, and how both stand in the ledger."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from brokers.ids import AccountId, ClientOrderId, InstrumentId, IntentId, VenueOrderId
from brokers.rounding import decimal_text
from brokers.types import OrderRequest, OrderSide, OrderType, PositionSide, Quote, TimeInForce
from ledger.states import CancelState, IntentState
from ledger.tables import OrderIntent
from trading.orders.identity import make_intent_id
from trading.orders.reasons import OrderReason


class TermsConflict(ValueError):
    """The same business key was used before for other terms; nothing was sent."""

    reason = OrderReason.TERMS_CONFLICT.value


class UnknownIntent(LookupError):
    """The ledger has no intent with this id."""

    reason = OrderReason.INTENT_UNKNOWN.value


@dataclass(frozen=True, slots=True)
class WantedOrder:
    """An order that a job wants, once, whatever happens: `business_key` is what makes it this one.

    `reference` is the quote that the decision was made on; `ttl_s` is how long the order may still be placed, and
    `not_after` an end of that time that whatever asked for the order has set. `strategy` names what decided it (a
    portfolio, an alert's strategy): the source where nothing is given.
    """

    account_id: AccountId
    business_key: str
    source: str
    request: OrderRequest
    reference: Quote | None
    ttl_s: float
    plan_id: str | None = None
    leg_number: int | None = None
    strategy: str = ""
    not_after: datetime | None = None

    def __post_init__(self) -> None:
        if not 0 < self.ttl_s <= 86_400:
            raise ValueError(f"ttl_s must be above 0 and at most 86400, was {self.ttl_s}")
        if not self.source.strip():
            raise ValueError("source must name the job that wants the order")
        if "@" in (self.strategy or self.source):
            raise ValueError(f"strategy must be a name without '@', was {self.strategy or self.source!r}")

    @property
    def intent_id(self) -> IntentId:
        return make_intent_id(self.account_id, self.business_key)


@dataclass(frozen=True, slots=True)
class IntentView:
    """Where an intent stands."""

    intent_id: IntentId
    state: IntentState
    reason: str
    detail: str
    request: OrderRequest
    filled_quantity: Decimal
    average_price: Decimal | None
    client_order_id: ClientOrderId | None
    venue_order_id: VenueOrderId | None
    plan_id: str | None
    leg_number: int | None
    business_key: str
    cancel_state: CancelState
    expires_at: datetime
    created_at: datetime

    @property
    def is_over(self) -> bool:
        """Nothing more will happen by itself: terminal, or waiting for a person."""
        return self.state.is_terminal or self.state is IntentState.NEEDS_HUMAN

    @property
    def remaining_quantity(self) -> Decimal:
        return self.request.quantity - self.filled_quantity


def request_of(row: OrderIntent) -> OrderRequest:
    """The terms of a stored intent."""
    return OrderRequest(
        instrument_id=InstrumentId(row.instrument_id),
        side=OrderSide(row.side),
        order_type=OrderType(row.order_type),
        quantity=row.quantity,
        time_in_force=TimeInForce(row.time_in_force),
        limit_price=row.limit_price,
        trigger_price=row.trigger_price,
        post_only=row.post_only,
        reduce_only=row.reduce_only,
        position_side=PositionSide(row.position_side) if row.position_side else None,
    )


def view_of(row: OrderIntent) -> IntentView:
    return IntentView(
        intent_id=IntentId(row.intent_id),
        state=IntentState(row.state),
        reason=row.state_reason,
        detail=row.state_detail,
        request=request_of(row),
        filled_quantity=row.filled_quantity,
        average_price=row.average_price,
        client_order_id=ClientOrderId(row.client_order_id) if row.client_order_id else None,
        venue_order_id=VenueOrderId(row.venue_order_id) if row.venue_order_id else None,
        plan_id=row.plan_id,
        leg_number=row.leg_number,
        business_key=row.business_key,
        cancel_state=CancelState(row.cancel_state),
        expires_at=row.expires_at,
        created_at=row.created_at,
    )


def row_of(wanted: WantedOrder, *, now: datetime, attempts_max: int) -> OrderIntent:
    """The row of a newly received intent."""
    request, reference = wanted.request, wanted.reference
    return OrderIntent(
        intent_id=str(wanted.intent_id),
        account_id=str(wanted.account_id),
        business_key=wanted.business_key,
        terms_sha256=terms_sha256(request),
        source=wanted.source,
        strategy=wanted.strategy or wanted.source,
        plan_id=wanted.plan_id,
        leg_number=wanted.leg_number,
        instrument_id=str(request.instrument_id),
        side=request.side.value,
        order_type=request.order_type.value,
        time_in_force=request.time_in_force.value,
        quantity=request.quantity,
        limit_price=request.limit_price,
        trigger_price=request.trigger_price,
        post_only=request.post_only,
        reduce_only=request.reduce_only,
        position_side=request.position_side.value if request.position_side else None,
        reference_price=reference.mid if reference else None,
        reference_time=reference.time if reference else None,
        state=IntentState.RECEIVED.value,
        state_reason=OrderReason.WANTED.value,
        attempts_max=attempts_max,
        created_at=now,
        updated_at=now,
        expires_at=_expires_at(wanted, now),
    )


def _expires_at(wanted: WantedOrder, now: datetime) -> datetime:
    end = now + timedelta(seconds=wanted.ttl_s)
    return end if wanted.not_after is None else min(end, wanted.not_after)


def terms_sha256(request: OrderRequest) -> str:
    """The hash of the terms: the same business key with other terms is a conflict."""
    terms = {
        "instrument_id": str(request.instrument_id),
        "side": request.side.value,
        "order_type": request.order_type.value,
        "quantity": decimal_text(request.quantity),
        "time_in_force": request.time_in_force.value,
        "limit_price": _text(request.limit_price),
        "trigger_price": _text(request.trigger_price),
        "post_only": request.post_only,
        "reduce_only": request.reduce_only,
        "position_side": request.position_side.value if request.position_side else None,
    }
    return hashlib.sha256(json.dumps(terms, sort_keys=True).encode()).hexdigest()


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)
