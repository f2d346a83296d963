"""What others do with an unanswered order, on the same venue and the same faults, without crashes.

Rules only: no private stream, no later reconciliation. Each rule says what it calls the order in the end.
"""

from __future__ import annotations

from collections.abc import Callable

from brokers.capabilities import OrderIdentity
from tests.proof.model_answers import TIMEOUTS
from tests.proof.model_venue import EXECUTED, FOREVER_S, MAYBE_EXECUTED, Draws, Time, Venue

_DEFINITE = frozenset({"refused", "rate limited", "not connected", "duplicate"})
_ANSWER_S = 10.0
_ARRIVES_S = 1_100.0


class Client:
    """A client that asks the venue and draws its own conclusions; it gives no deadline with a request."""

    def __init__(self, identity: OrderIdentity, seed: int) -> None:
        rng = Draws(seed)
        self.random = rng.random
        self.time = Time(rng)
        self.venue = Venue(identity, rng, self.time)

    def place(self, order_id: int) -> str:
        """Send once; the answer, or what was raised."""
        venue, time = self.venue, self.time
        venue.settle()
        fault = venue.draw()
        if fault == "late":
            venue.under_way.append((time.true_s + 1 + self.random() * 59, order_id, FOREVER_S))
        if fault in TIMEOUTS:
            time.wait(_ANSWER_S)
        if fault == "rejected later":
            venue.reject(order_id)
            return "answered"
        if fault in EXECUTED or (fault in MAYBE_EXECUTED and self.random() < 0.5):
            result = venue.receive(order_id, FOREVER_S, at_s=time.true_s)
            if isinstance(result, str) and fault == "answered":
                return result
        return fault

    def sees(self, order_id: int) -> bool:
        """Whether a look-up by id shows the order; one that fails shows nothing."""
        self.venue.begin_quick_look()
        return self.venue.reads() and self.venue.shown("by_id", order_id) is not None


Rule = Callable[[Client], bool]  # True: the order is taken for placed


def retry_with_fresh_id(client: Client) -> bool:
    """A retried task: three tries, two seconds apart, a new id each."""
    return _retry(client, lambda attempt: attempt)


def retry_with_same_id(client: Client) -> bool:
    """A retried task with one persistent id; a duplicate id means that it is there."""
    return _retry(client, lambda attempt: 1)


def _retry(client: Client, order_id: Callable[[int], int]) -> bool:
    for attempt in (1, 2, 3):
        if client.place(order_id(attempt)) in ("answered", "duplicate"):
            return True
        client.time.wait(2)
    return False


def fail_on_exception(client: Client) -> bool:
    """Hummingbot's rule: any exception fails it; so does the fourth look-up that fails or shows nothing."""
    if client.place(1) != "answered":
        return False
    for _ in range(4):
        client.time.wait(10)
        if client.sees(1):
            return True
    return False


def query_then_reject(client: Client) -> bool:
    """NautilusTrader's rule: asked for from 5 s on, every 2 s; after five vain queries it is rejected."""
    answer = client.place(1)
    if answer == "answered":
        return True
    if answer in _DEFINITE:
        return False
    client.time.wait(3)
    for _ in range(5):
        client.time.wait(2)
        if client.sees(1):
            return True
    return False


RULES: dict[str, Rule] = {
    "retry x3, fresh id": retry_with_fresh_id,
    "retry x3, one id": retry_with_same_id,
    "any exception fails (Hummingbot)": fail_on_exception,
    "5 queries, then rejected (NautilusTrader)": query_then_reject,
}


def run_rule(rule: Rule, identity: OrderIdentity, seed: int) -> tuple[int, bool, int]:
    """Orders at the venue in the end, whether one of them is called dead, and the faults."""
    client = Client(identity, seed)
    is_placed = rule(client)
    client.time.wait(_ARRIVES_S)
    client.venue.settle()
    placed = sum(not order.is_rejected for order in client.venue.orders)
    return placed, placed > 0 and not is_placed, client.venue.faults
