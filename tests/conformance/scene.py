"""What a card plays on: one account, one instrument, its broker, and, on a simulator, the levers on the venue.

Prices come from the venue's own quotes and sizes from the instrument's own filters, so that a card plays on a simulator
and on a testnet alike: sizes are the smallest that the venue takes, resting prices three per cent away.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any, TypeVar

from brokers.capabilities import OrderIdentity
from brokers.clock import Clock
from brokers.config import AccountConfig
from brokers.errors import BrokerError, OrderAlreadyDone, OrderNotFound, RateLimited
from brokers.ids import ClientOrderId, InstrumentId, VenueOrderId
from brokers.port import Broker
from brokers.rounding import MONEY, quantise_price, quantise_quantity
from brokers.types import (
    ZERO,
    Fill,
    Instrument,
    Order,
    OrderRequest,
    OrderSide,
    OrderStatus,
    OrderType,
    Position,
    PreparedOrder,
    ProductKind,
    Quote,
    TimeInForce,
)
from brokers.wire import SendTicket
from tests.conformance.capability import Capability, states
from tests.conformance.card import Card
from tests.conformance.venue import KeyKind, VenueUnderTest
from tests.proof.wire_faults import Verb
from tests.proof.wire_venues import Product

BUY, SELL = OrderSide.BUY, OrderSide.SELL
AWAY, ACROSS = Decimal("0.03"), Decimal("0.02")  # of the price: where an order rests, how far a crossing one reaches
NOTIONAL_MARGIN = Decimal("1.2")  # so much above the venue's least notional, so that a resting price is enough, too
POLLS_MAX, POLL_S = 40, 0.5
QUOTE_AGE_S_MAX = 5.0
WAITS_MAX, WAIT_S_MAX = 5, 65.0
T = TypeVar("T")
DEADLINE_S = 5.0


class LeftBehind(AssertionError):
    """Something of a card is still at a real venue; the text says what a person has to undo."""


def patiently(read: Callable[[], T], clock: Clock) -> T:
    """A read that waits where the venue asks for it; only reads may be asked again."""
    for _ in range(WAITS_MAX):
        try:
            return read()
        except RateLimited as error:
            clock.wait(min(error.retry_after_s or POLL_S, WAIT_S_MAX))
    return read()


@dataclass(frozen=True)
class Placed:
    """An order that was acknowledged."""

    prepared: PreparedOrder
    client_order_id: ClientOrderId
    venue_order_id: VenueOrderId
    ticket: SendTicket

    @property
    def request(self) -> OrderRequest:
        return self.prepared.request


@dataclass
class Scene:
    """`sim` is the running simulator, None at a real venue; `tag` sets this run's client order ids apart."""

    venue: VenueUnderTest
    product: Product
    broker: Broker
    clock: Clock
    config: AccountConfig
    sim: Any = None
    tag: str = "sim"
    open_as: Callable[[KeyKind], Broker] | None = None
    open_many: Callable[[], AbstractContextManager[tuple[Any, Broker, Sequence[InstrumentId]]]] | None = None
    placed: list[Placed] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)  # what the result file keeps of this card, e.g. requests
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _instrument: Instrument | None = None
    _quoted: tuple[Quote, float] | None = None

    # -- the venue, the instrument -------------------------------------------------------------------------------
    @property
    def instrument_id(self) -> InstrumentId:
        return self.product.instrument_id

    @property
    def instrument(self) -> Instrument:
        if self._instrument is None:
            (self._instrument,) = self.broker.instruments([self.instrument_id])
        return self._instrument

    @property
    def identity(self) -> OrderIdentity:
        return self.broker.identity(self.instrument_id)

    def has(self, capability: Capability) -> bool:
        """Whether the venue has this, by its row of facts and by its row under test."""
        is_stated = states(capability, self.venue.capabilities, self.identity)
        return is_stated and not self.venue.is_lacking(capability, self.product)

    def lacking(self, card: Card) -> Capability | None:
        """The first thing that the card needs and the venue has not."""
        wanted = (card.capability, *sorted(card.needs))
        return next((capability for capability in wanted if not self.has(capability)), None)

    def quote(self) -> Quote:
        """The venue's quote, read now."""
        return patiently(lambda: self.broker.quotes([self.instrument_id])[0], self.clock)

    def reference(self) -> Quote:
        """The quote that terms are made from: read once until the market is moved, at a real venue every few seconds,
        because budgets of requests are small there."""
        now = self.clock.monotonic()
        is_old = self.sim is None and self._quoted is not None and now - self._quoted[1] > QUOTE_AGE_S_MAX
        if self._quoted is None or is_old:
            self._quoted = (self.quote(), now)
        return self._quoted[0]

    # -- the simulator's levers ----------------------------------------------------------------------------------
    @property
    def control(self) -> Any:
        assert self.sim is not None, "this card needs the simulator's levers: say levers=True"
        return self.sim.control

    @property
    def owner(self) -> str:
        """The simulator's name of the account."""
        return self.venue.wire.owner

    def truth(self, placed: Placed) -> Any:
        """The order as the simulator has it."""
        found = [o for o in self.control.orders(self.owner) if o.order_id == placed.venue_order_id.value]
        assert len(found) == 1, f"the simulator must have the order {placed.venue_order_id} once, has {len(found)}"
        return found[0]

    def executions(self) -> list[Any]:
        """The simulator's executions of this instrument, oldest first."""
        return [e for e in self.control.executions(self.owner) if e.symbol == self.product.symbol]

    def move_price(self, percent: str) -> None:
        """Move the market by so many per cent of its middle."""
        price = self.quote().mid * (1 + Decimal(percent) / 100)
        self.control.set_price(self.product.symbol, self.on_tick(price, BUY))
        self._quoted = None

    def charge_funding(self) -> None:
        """Let the venue charge whoever is long in a perpetual from now on."""
        if self.instrument.product is ProductKind.LINEAR:
            self.control.set_funding_rate("0.0005")

    def fault(self, kind: str, verb: str, *, times: int | None = 1, **fields: Any) -> list[str]:
        """Arm a fault on every path of a verb, or of a role of the wire proof."""
        return [self.control.fault(kind, **target, times=times, **fields) for target in self.venue.wire.targets(verb)]

    def requests_since(self, number: int, verb: str = "") -> list[Any]:
        """What reached the simulator after that many requests, of one verb or of all."""
        found = self.control.requests(since=number)
        return [r for r in found if not verb or self.venue.wire.covers(verb, r.path, r.method)]

    @property
    def request_count(self) -> int:
        return int(self.control.health()["requests"])

    def orders_sent_since(self, number: int) -> int:
        """Order requests that reached the simulator."""
        return sum(request.method == "POST" for request in self.requests_since(number, Verb.PLACE))

    @contextmanager
    def counted(self) -> Iterator[list[int]]:
        """Measure the requests of the block; the list holds their number afterwards."""
        before, found = self.request_count, [0]
        yield found
        found[0] = len(self.requests_since(before))

    def as_key(self, kind: KeyKind) -> Broker:
        """The same account through another key."""
        assert self.open_as is not None, "other keys exist at simulators only"
        return self.open_as(kind)

    def human(self, side: str, quantity: Decimal, *, price: Decimal | None = None, **more: Any) -> Any:
        """An order of the account's human, in the venue's own screens."""
        return self.control.place_order(
            account=self.owner,
            symbol=self.product.symbol,
            kind=self.product.kind,
            side=side,
            qty=quantity,
            price=price,
            **more,
        )

    # -- terms ---------------------------------------------------------------------------------------------------
    def size(self, parts: int = 1) -> Decimal:
        """`parts` times the least quantity that the venue takes at the present price."""
        instrument, price = self.instrument, self.reference().bid
        worth = MONEY.multiply(price, instrument.contract_size)
        least = max(instrument.quantity_min, MONEY.divide(instrument.notional_min * NOTIONAL_MARGIN, worth))
        steps = MONEY.divide(least, instrument.lot_size).to_integral_value(rounding=ROUND_CEILING)
        return MONEY.multiply(steps * parts, instrument.lot_size)

    def on_tick(self, price: Decimal, side: OrderSide) -> Decimal:
        return quantise_price(price, tick=self.instrument.tick_size, side=side)

    def resting(self, side: OrderSide = BUY) -> Decimal:
        """A price at which an order of this side waits."""
        quote = self.reference()
        return self.on_tick(quote.bid * (1 - AWAY) if side is BUY else quote.ask * (1 + AWAY), side)

    def crossing(self, side: OrderSide = BUY) -> Decimal:
        """A limit at which an order of this side fills at once."""
        quote = self.reference()
        return self.on_tick(quote.ask * (1 + ACROSS) if side is BUY else quote.bid * (1 - ACROSS), side)

    def request(self, side: OrderSide = BUY, *, parts: int = 1, **terms: Any) -> OrderRequest:
        """The terms of an order; without a price a market order in the shortest time in force that the venue has."""
        is_limit, is_stop = "limit_price" in terms, "trigger_price" in terms
        kind = {
            (False, False): OrderType.MARKET,
            (True, False): OrderType.LIMIT,
            (False, True): OrderType.STOP_MARKET,
            (True, True): OrderType.STOP_LIMIT,
        }[is_limit, is_stop]
        fields: dict[str, Any] = {
            "instrument_id": terms.pop("instrument_id", self.instrument_id),
            "side": side,
            "order_type": kind,
            "time_in_force": self.usual_time(kind),
        }
        if "quantity" not in terms:
            fields["quantity"] = self.size(parts)
        return OrderRequest(**{**fields, **terms})

    def usual_time(self, kind: OrderType) -> TimeInForce:
        """Gtc for what waits; for market orders ioc where the venue has it, else day, else gtc."""
        known = self.venue.capabilities.time_in_force
        wanted = (TimeInForce.GTC, TimeInForce.DAY)
        if kind is OrderType.MARKET:
            wanted = (TimeInForce.IOC, TimeInForce.DAY, TimeInForce.GTC)
            if self.venue.is_lacking(Capability.IOC, self.product):
                wanted = wanted[1:]
        return next(time for time in wanted if time in known)

    # -- orders --------------------------------------------------------------------------------------------------
    def new_id(self) -> ClientOrderId:
        """Letters and digits only, within the shortest length that any venue has."""
        return ClientOrderId(f"C{self.tag}{next(self._numbers):06d}")

    def ticket(self, *, timeout_s: float = DEADLINE_S) -> SendTicket:
        now = self.clock.now()
        return SendTicket(
            send_id=f"conformance-{next(self._numbers)}",
            not_after=now + timedelta(seconds=DEADLINE_S),
            send_by_monotonic_s=self.clock.monotonic() + DEADLINE_S,
            timeout_s=timeout_s,
        )

    def place(self, side: OrderSide = BUY, *, client_order_id: ClientOrderId | None = None, **terms: Any) -> Placed:
        """Prepare and send an order; the acknowledgement must be about it."""
        prepared = self.broker.prepare_order(self.request(side, **terms), client_order_id or self.new_id())
        return self.send(prepared)

    def send(self, prepared: PreparedOrder, ticket: SendTicket | None = None) -> Placed:
        used = ticket or self.ticket()
        ack = self.broker.place(prepared, used)
        assert ack.client_order_id == prepared.client_order_id
        self.placed.append(Placed(prepared, prepared.client_order_id, ack.venue_order_id, used))
        return self.placed[-1]

    def rest(self, side: OrderSide = BUY, **terms: Any) -> Placed:
        """Place a limit order that waits."""
        return self.place(side, limit_price=self.resting(side), **terms)

    def buy(self, **terms: Any) -> Placed:
        """Buy at the market and wait until it is filled."""
        placed = self.place(BUY, **terms)
        assert self.done(placed).status is OrderStatus.FILLED
        return placed

    def find(self, placed: Placed) -> Order | None:
        """Look the order up, by our id where the venue can be asked by it."""
        by_ours = self.identity.lookup_by_client_id
        ids = {"client_order_id": placed.client_order_id} if by_ours else {"venue_order_id": placed.venue_order_id}
        return self.broker.find_order(instrument_id=self.instrument_id, **ids)  # type: ignore[arg-type]

    def seen(self, placed: Placed, holds: Callable[[Order], bool], what: str) -> Order:
        """The order as soon as it is so; waiting moves the simulated venue's clock."""
        found: Order | None = None
        for _ in range(POLLS_MAX):
            found = self.find(placed)
            if found is not None and holds(found):
                return found
            self.clock.wait(POLL_S)
        raise AssertionError(f"the order must become {what}, was {found}")

    def done(self, placed: Placed) -> Order:
        return self.seen(placed, lambda order: not order.status.is_open, "done")

    def working(self, placed: Placed) -> Order:
        return self.seen(placed, lambda order: order.status is OrderStatus.WORKING, "working")

    def cancel(self, placed: Placed) -> None:
        """Ask for cancellation by the id that the venue knows for certain."""
        self.broker.cancel(instrument_id=self.instrument_id, venue_order_id=placed.venue_order_id)

    # -- what the account holds ----------------------------------------------------------------------------------
    def position(self) -> Position | None:
        own = [p for p in self.broker.positions() if p.instrument_id == self.instrument_id]
        assert len(own) <= 1, f"one-way mode has one position of an instrument, was {own}"
        return own[0] if own else None

    def total(self, currency: str) -> Decimal:
        """The balance of a currency; zero where it is not shown."""
        return next((b.total for b in self.broker.balances() if b.currency == currency), ZERO)

    def held(self) -> Decimal:
        """What is held of the instrument, signed: its position, or the balance of its base currency."""
        if not self.instrument.is_position:
            return self.total(self.instrument.base_currency)
        position = self.position()
        return position.quantity if position else ZERO

    def sellable(self) -> Decimal:
        """What of a balance may be sold: less than all of it where the venue still has a fee to take."""
        base = self.instrument.base_currency
        found = next((b for b in self.broker.balances() if b.currency == base), None)
        if found is None:
            return ZERO
        return found.total if found.available is None else found.available

    def step_of(self, currency: str) -> Decimal:
        """What the venue rounds a balance of the currency to; zero where it tells it exactly."""
        facts = self.venue.capabilities
        is_rounded = not facts.rounded_currencies or currency in facts.rounded_currencies
        return Decimal(facts.balance_step) if is_rounded else ZERO

    def window(self) -> dict[str, datetime]:
        now = self.clock.now()
        return {"since": now - timedelta(hours=6), "until": now + timedelta(minutes=1)}

    def fills(self, placed: Placed | None = None) -> list[Fill]:
        """The fills of the last hours in this instrument, of one order or of all."""
        found = self.broker.fills(**self.window(), instrument_id=self.instrument_id)
        return [fill for fill in found if placed is None or fill.venue_order_id == placed.venue_order_id]

    # -- tidying up ----------------------------------------------------------------------------------------------
    def open_now(self) -> dict[VenueOrderId, Order]:
        """The open orders of this instrument."""
        found = patiently(self.broker.open_orders, self.clock)
        return {order.venue_order_id: order for order in found if order.instrument_id == self.instrument_id}

    def tidy(self, held_before: Decimal, open_before: Collection[VenueOrderId]) -> None:
        """Cancel this scene's orders, also one whose acknowledgement was lost, and bring back what was held before.

        Each step is tried whatever became of the one before; LeftBehind names what could not be undone.
        """
        problems: list[str] = []
        for _ in range(POLLS_MAX):
            left = [order for key, order in self.open_now().items() if key not in open_before and self._is_ours(order)]
            if not left:
                break
            problems = [said for order in left if (said := self._taken_back(order))]
            self.clock.wait(POLL_S)
        else:
            problems.append(f"{len(left)} orders are open still")
        try:
            request = self.back(held_before)
            if request is not None:
                self.done(self.send(self.broker.prepare_order(request, self.new_id())))
        except (BrokerError, AssertionError) as error:
            problems.append(f"{self.held() - held_before} {self.instrument_id} is held more than before: {error}")
        if problems:
            raise LeftBehind(f"clean up at the venue: {'; '.join(problems)}")

    def _is_ours(self, order: Order) -> bool:
        """By our id; where a venue shows none, every new order of the instrument is taken for ours."""
        if not self.identity.orders_show_client_id:
            return True
        return order.client_order_id is not None and order.client_order_id.value.startswith(f"C{self.tag}")

    def _taken_back(self, order: Order) -> str:
        """Ask for cancellation; gives what stood in the way."""
        try:
            self.broker.cancel(instrument_id=self.instrument_id, venue_order_id=order.venue_order_id)
        except (OrderAlreadyDone, OrderNotFound):
            return ""
        except BrokerError as error:
            return f"order {order.venue_order_id}: {error}"
        return ""

    def back(self, held_before: Decimal) -> OrderRequest | None:
        """The market order that brings what is held back to what it was; None where less is left than may be sold."""
        surplus = quantise_quantity(self.held() - held_before, lot=self.instrument.lot_size)
        if surplus > 0 and not self.instrument.is_position:
            surplus = quantise_quantity(min(surplus, self.sellable()), lot=self.instrument.lot_size)
        if not surplus or (not self.instrument.is_position and abs(surplus) < self.instrument.quantity_min):
            return None
        reduces = self.instrument.is_position and self.has(Capability.REDUCE_ONLY)
        return self.request(SELL if surplus > 0 else BUY, quantity=abs(surplus), reduce_only=reduces)
