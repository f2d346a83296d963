"""The modelled venue with everything else that goes wrong: outages of its reads, resting orders that fill later, fills
shown late, twice or out of order, cancels lost either way, requests delivered twice by the wire.

It keeps two records that no look-up shows: what arrived (told by the transport at the first byte) and which request
made which order. The oracle judges by them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from brokers.errors import AnswerTimedOut, ConnectFailed, InsufficientFunds, RateLimited
from brokers.ids import ClientOrderId, InstrumentId, VenueOrderId
from brokers.types import ClockReading, Fill, OrderAck, OrderType, PreparedOrder
from brokers.wire import SendTicket, WireRecord
from tests.trading.orders.modelled import CLASSES, WEIGHTS, Fault, Late, ModelVenue, Truth

CANCEL_FAULTS = {"none": 60, "lost": 15, "answer_lost": 15, "busy": 10}
FILL_LAG_S_MAX = 20.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """One order request whose first byte left, and whether its SENDING step was durable at that moment."""

    send_id: str
    client_order_id: str
    sha256: str
    at: datetime
    was_committed: bool


@dataclass(frozen=True, slots=True)
class Posting:
    """What one execution moved of one thing that the account holds: contracts of an instrument, or a currency."""

    venue_order_id: str
    what: str
    amount: Decimal


class HistoryVenue(ModelVenue):
    """One account of a hostile venue."""

    fee_rate = Decimal("0.00055")

    def __init__(self, clock: Any, *, kind: str, seed: int, name: str, weights: dict[Fault, int] = WEIGHTS) -> None:
        super().__init__(
            clock,
            order_identity=CLASSES[kind],
            seed=seed,
            name=name,
            weights=weights,
            stale_s_max=30.0,
            read_fails=0.05,
        )
        self.arrivals: list[Arrival] = []
        self.origins: dict[str, str] = {}  # venue order id → client order id of the request, even where none is kept
        self.postings: list[Posting] = []  # by the engine, whatever its feeds show
        self.doubled: list[str] = []  # venue order ids that only exist because the wire delivered a request twice
        self.outages: list[tuple[datetime, datetime]] = []
        self.faults: Counter[str] = Counter()
        self.is_calm = False  # nothing goes wrong any more
        self.is_committed: Callable[[str], bool] = lambda send_id: True
        self.wall: Callable[[], datetime] = self.clock.now  # of the machine that asks
        self.offset = timedelta(seconds=self.rng.uniform(-0.4, 0.4))
        self._due_fills: list[tuple[datetime, Truth, Decimal]] = []
        self._shown_at: dict[str, datetime] = {}
        self.on_first_byte = self._arrived

    # -- the transport ------------------------------------------------------------------------------------------
    def _arrived(self, prepared: PreparedOrder, ticket: SendTicket) -> None:
        self.arrivals.append(
            Arrival(
                send_id=ticket.send_id,
                client_order_id=str(prepared.client_order_id),
                sha256=prepared.sha256,
                at=self.clock.now(),
                was_committed=self.is_committed(ticket.send_id),
            )
        )

    def _draw(self) -> Fault:
        fault = Fault.NONE if self.is_calm else super()._draw()
        if fault is not Fault.NONE:
            self.faults[fault.value] += 1
        return fault

    def _transport(self, prepared: PreparedOrder, ticket: SendTicket, fault: Fault) -> OrderAck:
        if fault is Fault.DUPLICATED:
            again_at = self.now() + timedelta(seconds=self.rng.uniform(0, 3))
            self.late.append(Late(again_at, prepared, ticket.not_after))
            fault = Fault.NONE
        return super()._transport(prepared, ticket, fault)

    # -- the engine ---------------------------------------------------------------------------------------------
    def settle(self) -> None:
        super().settle()
        due = sorted((item for item in self._due_fills if item[0] <= self.now()), key=lambda item: item[0])
        self._due_fills = [item for item in self._due_fills if item[0] > self.now()]
        for at, order, quantity in due:
            if order.status.is_open:
                self.fill(order, quantity, at=at)

    def _executed(self, prepared: PreparedOrder, ticket: SendTicket, fault: Fault) -> OrderAck:
        if not self._may_reduce(prepared):
            raise InsufficientFunds("reduce-only order would not reduce", code="110017", text="reduce-only")
        return super()._executed(prepared, ticket, fault)

    def _accept(self, prepared: PreparedOrder, not_after: datetime, *, at: datetime) -> Truth | None:
        if not self._may_reduce(prepared):
            return None
        client_order_id = str(prepared.client_order_id)
        made = sum(origin == client_order_id for origin in self.origins.values())
        sent = sum(arrival.client_order_id == client_order_id for arrival in self.arrivals)
        order = super()._accept(prepared, not_after, at=at)
        if order is None:
            return None
        self.origins[order.venue_order_id] = client_order_id
        if made >= sent:  # more orders than requests that left: the wire made this one
            self.doubled.append(order.venue_order_id)
        if order.request.order_type is OrderType.LIMIT:
            self._plan_fills(order, at)
        return order

    def _rejected(self, prepared: PreparedOrder) -> Truth:
        order = super()._rejected(prepared)
        self.origins[order.venue_order_id] = str(prepared.client_order_id)
        return order

    def _may_reduce(self, prepared: PreparedOrder) -> bool:
        request = prepared.request
        if not request.reduce_only:
            return True
        held = sum((fill.side.sign * fill.quantity for order in self.orders for fill in order.fills), Decimal(0))
        return held * request.side.sign < 0 and abs(held) >= request.quantity

    def _plan_fills(self, order: Truth, at: datetime) -> None:
        """None, one, or several parts, some time later; the last part may never come."""
        parts = self.rng.choice([0, 1, 1, 2, 3])
        step, left = Decimal("0.001"), order.request.quantity
        for number in range(parts):
            at += timedelta(seconds=self.rng.uniform(0, 25))
            is_last = number == parts - 1
            part = left if is_last and self.rng.random() < 0.7 else step * self.rng.randint(1, 4)
            if part <= 0 or part > left:
                return
            left -= part
            self._due_fills.append((at, order, part))

    def fill(self, order: Truth, quantity: Decimal, *, at: datetime | None = None) -> Fill:
        made = super().fill(order, quantity, at=at)
        request = order.request
        paid = quantity * self.quote_price
        for what, amount in (
            (str(request.instrument_id), request.side.sign * quantity),
            ("USDT", -request.side.sign * paid),
            ("USDT", -paid * self.fee_rate),
        ):
            self.postings.append(Posting(order.venue_order_id, what, amount))
        lag_s = 0.0 if self.rng.random() < 0.7 else self.rng.uniform(0, FILL_LAG_S_MAX)
        self._shown_at[str(made.trade_id)] = made.time + timedelta(seconds=lag_s)
        return made

    # -- cancelling ---------------------------------------------------------------------------------------------
    def cancel(
        self,
        *,
        instrument_id: InstrumentId,
        client_order_id: ClientOrderId | None = None,
        venue_order_id: VenueOrderId | None = None,
    ) -> WireRecord:
        fault = "none" if self.is_calm else self.rng.choices([*CANCEL_FAULTS], weights=[*CANCEL_FAULTS.values()])[0]
        if fault != "none":
            self.faults[f"cancel {fault}"] += 1
        if fault == "busy":
            raise RateLimited("slow down", code="10006", retry_after_s=1.0)
        if fault == "lost":
            self.clock.wait(10.0)
            raise AnswerTimedOut("no answer")
        record = super().cancel(
            instrument_id=instrument_id, client_order_id=client_order_id, venue_order_id=venue_order_id
        )
        if fault == "answer_lost":
            self.clock.wait(10.0)
            raise AnswerTimedOut("no answer")
        return record

    # -- reads --------------------------------------------------------------------------------------------------
    def _read(self, name: str) -> None:
        if any(start <= self.clock.now() < end for start, end in self.outages):
            self.faults["read in an outage"] += 1
            raise ConnectFailed(f"{name}: no route to the venue")
        try:
            super()._read(name)
        except AnswerTimedOut:
            self.faults["read failed"] += 1
            raise

    def fills(self, *, since: datetime, until: datetime, instrument_id: InstrumentId | None = None) -> tuple[Fill, ...]:
        """Some are shown late, some twice, in any order."""
        now = self.now()
        found = super().fills(since=since, until=until, instrument_id=instrument_id)
        shown = [fill for fill in found if self.is_calm or self._shown_at.get(str(fill.trade_id), now) <= now]
        if len(shown) > 1 or (shown and self.rng.random() < 0.2):
            shown += self.rng.sample(shown, 1)
            self.rng.shuffle(shown)
        return tuple(shown)

    def clock_reading(self) -> ClockReading:
        self.on_call("clock_reading")
        if any(start <= self.clock.now() < end for start, end in self.outages):
            raise ConnectFailed("clock: no route to the venue")
        return ClockReading(self.now(), self.now() - self.wall(), timedelta(milliseconds=20))
