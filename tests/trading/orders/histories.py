"""Common rules for placing orders, on the modelled venue with the faults of the histories: what they lose and double.

The histories of the real desk are in tests/proof/histories.py.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from brokers.clock import ManualClock
from brokers.errors import BrokerError, OutcomeUnknown
from brokers.ids import AccountId, ClientOrderId, Environment, Venue
from brokers.types import OrderRequest, OrderSide, OrderStatus, OrderType
from brokers.wire import SendTicket
from ledger.states import IntentState
from tests.proof.histories import NOT_PLACED, Result, Tally, run_history
from tests.trading.orders.modelled import BTC, CLASSES, WEIGHTS, ModelVenue

__all__ = ["NOT_PLACED", "Policy", "Result", "Tally", "run_baseline", "run_history"]

MARKET = OrderRequest(instrument_id=BTC, side=OrderSide.BUY, order_type=OrderType.MARKET, quantity=Decimal("0.01"))


def hostile_venue(clock: ManualClock, *, kind: str, seed: int, name: str) -> ModelVenue:
    return ModelVenue(
        clock,
        order_identity=CLASSES[kind],
        seed=seed,
        name=name,
        weights=WEIGHTS,
        stale_s_max=30.0,
        read_fails=0.05,
    )


# -- what others do, on the same venue --------------------------------------------------------------------------
Policy = Callable[[ModelVenue, ManualClock], IntentState]


def run_baseline(clock: ManualClock, policy: Policy, *, kind: str, seed: int) -> tuple[IntentState, int]:
    """The same venue and faults under a common rule; the local state and the orders at the venue in the end."""
    venue = hostile_venue(clock, kind=kind, seed=seed, name="baseline")
    venue.account_id = AccountId(Venue.BYBIT, Environment.SIMULATED, "baseline")
    state = policy(venue, clock)
    clock.wait(200)
    venue.settle()
    return state, sum(order.status is not OrderStatus.REJECTED for order in venue.orders)


def _place(venue: ModelVenue, clock: ManualClock, client_order_id: str) -> None:
    prepared = venue.prepare_order(MARKET, ClientOrderId(client_order_id))
    ticket = SendTicket("baseline", venue.now().replace(year=2100), clock.monotonic() + 1, 10.0)
    venue.place(prepared, ticket)


def retry_with_fresh_id(venue: ModelVenue, clock: ManualClock) -> IntentState:
    """A retried task: three tries, a new id each."""
    return _retry(venue, clock, lambda attempt: f"id-{attempt}")


def retry_with_same_id(venue: ModelVenue, clock: ManualClock) -> IntentState:
    """A retried task with one persistent id."""
    return _retry(venue, clock, lambda attempt: "id")


def _retry(venue: ModelVenue, clock: ManualClock, make_id: Callable[[int], str]) -> IntentState:
    for attempt in range(3):
        try:
            _place(venue, clock, make_id(attempt))
        except (BrokerError, KeyError):
            clock.wait(2)
        else:
            return IntentState.FILLED
    return IntentState.REFUSED


def fail_on_exception(venue: ModelVenue, clock: ManualClock) -> IntentState:
    """Any exception means: it failed."""
    try:
        _place(venue, clock, "id")
    except (BrokerError, KeyError):
        return IntentState.REFUSED
    return IntentState.FILLED


def query_then_reject(venue: ModelVenue, clock: ManualClock) -> IntentState:
    """An unanswered order is looked for five times, two seconds apart, then called rejected."""
    try:
        _place(venue, clock, "id")
    except (OutcomeUnknown, KeyError):
        for _ in range(5):
            clock.wait(2)
            try:
                if venue.find_order(instrument_id=BTC, client_order_id=ClientOrderId("id")) is not None:
                    return IntentState.FILLED
            except BrokerError:
                continue
        return IntentState.REFUSED
    except BrokerError:
        return IntentState.REFUSED
    return IntentState.FILLED
