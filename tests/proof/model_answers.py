"""Answers and orders as production sees them, made once: the model's histories only choose among them."""

from __future__ import annotations

from decimal import Decimal

from brokers.errors import (
    AnswerTimedOut,
    BrokerError,
    ClockSkewed,
    ConnectFailed,
    ConnectionLost,
    DeadlinePassed,
    DuplicateClientOrderId,
    InsufficientFunds,
    NotSent,
    RateLimited,
    RedirectRefused,
    SecondSendRefused,
    VenueFaulted,
)
from brokers.ids import AccountId, ClientOrderId, Environment, Venue, VenueOrderId
from brokers.types import Order, OrderAck, OrderRequest, OrderSide, OrderStatus, OrderType
from tests.proof.model_venue import START
from tests.trading.orders.modelled import BTC, PRICE

QUANTITY = Decimal("0.01")
NOTHING = Decimal(0)
REQUEST = OrderRequest(instrument_id=BTC, side=OrderSide.BUY, order_type=OrderType.MARKET, quantity=QUANTITY)
IDS = tuple(ClientOrderId(f"{number:032x}") for number in range(40))  # one per attempt; more than any limit allows
ACKS = tuple(OrderAck(one, VenueOrderId(f"v{number}"), START, is_final=True) for number, one in enumerate(IDS))

ANSWERS: dict[str, BrokerError | KeyError] = {
    "not connected": ConnectFailed("connection refused"),
    "lost": AnswerTimedOut("no answer"),
    "late": AnswerTimedOut("no answer"),
    "answer lost": AnswerTimedOut("no answer"),
    "connection reset": ConnectionLost("reset while the answer was awaited"),
    "executed, 5xx": VenueFaulted("502"),
    "5xx": VenueFaulted("503"),
    "rate limited": RateLimited("slow down", code="10006", retry_after_s=1.0),
    "unreadable": KeyError("orderId"),
    "refused": InsufficientFunds("not enough", code="110007"),
    "redirected": RedirectRefused("307"),
    "sent twice": SecondSendRefused("the ticket was used"),
    "not sent, it says": ConnectFailed("reset"),  # although the wire record shows that a byte left
    "duplicate": DuplicateClientOrderId("duplicate", code="110072"),
    "too late": ClockSkewed("outside the window", code="10002"),
    "past send_by": DeadlinePassed("send_by is over"),
    "stopped": NotSent("control state became halt before the first byte"),
}
TIMEOUTS = frozenset({"lost", "late", "answer lost"})


def _order(status: OrderStatus, filled: Decimal) -> Order:
    return Order(
        account_id=AccountId(Venue.BYBIT, Environment.SIMULATED, "model"),
        venue_order_id=VenueOrderId("v1"),
        client_order_id=None,
        instrument_id=BTC,
        side=REQUEST.side,
        order_type=REQUEST.order_type,
        time_in_force=None,
        quantity=QUANTITY,
        filled_quantity=filled,
        average_price=PRICE if filled else None,
        limit_price=None,
        trigger_price=None,
        status=status,
        reduce_only=False,
        created_at=START,
        updated_at=START,
    )


REPORTS = {
    OrderStatus.WORKING: _order(OrderStatus.WORKING, NOTHING),
    OrderStatus.FILLED: _order(OrderStatus.FILLED, QUANTITY),
    OrderStatus.CANCELLED: _order(OrderStatus.CANCELLED, NOTHING),
    OrderStatus.REJECTED: _order(OrderStatus.REJECTED, NOTHING),
}
