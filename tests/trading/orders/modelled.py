"""A venue in virtual time that implements the Broker port: every identity class, every fault of the send path.

Truth is in `orders`; what reads show may lag. Faults are drawn from a seed or scripted.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from brokers.capabilities import Capabilities, IdScope, OrderIdentity
from brokers.clock import ManualClock
from brokers.errors import (
    AnswerTimedOut,
    BrokerError,
    ConnectFailed,
    ConnectionLost,
    DeadlinePassed,
    DuplicateClientOrderId,
    InstrumentUnknown,
    InsufficientFunds,
    InvalidOrder,
    OrderAlreadyDone,
    OrderNotFound,
    RateLimited,
    SecondSendRefused,
    Unsupported,
    VenueFaulted,
)
from brokers.ids import AccountId, ClientOrderId, Environment, InstrumentId, TradeId, Venue, VenueOrderId
from brokers.port import Broker
from brokers.types import (
    AccountProof,
    Balance,
    CashEvent,
    ClockReading,
    Fill,
    Instrument,
    LeverageInfo,
    LiquiditySide,
    MarginHealth,
    Order,
    OrderAck,
    OrderRequest,
    OrderStatus,
    OrderType,
    Position,
    PositionMode,
    PositionSide,
    PreparedOrder,
    ProductKind,
    ProfitAndLoss,
    Quote,
)
from brokers.wire import SendTicket, WirePhase, WireRecord

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BTC = InstrumentId("BTC/USDT:USDT")
PRICE = Decimal(50_000)
INSTRUMENT = Instrument(
    instrument_id=BTC,
    venue_symbol="BTCUSDT",
    product=ProductKind.LINEAR,
    base_currency="BTC",
    quote_currency="USDT",
    settle_currency="USDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
    quantity_min=Decimal("0.001"),
    notional_min=Decimal(5),
)


def identity(
    scope: IdScope = IdScope.PERMANENT, *, deadline_s: int = 5, lookup: bool = True, id_length: int = 36
) -> OrderIdentity:
    return OrderIdentity(
        id_scope=scope,
        deadline_s_max=deadline_s,
        visibility_horizon_s=60,
        lookup_by_client_id=lookup,
        fills_carry_client_id=lookup,
        acknowledges_asynchronously=False,
        client_id_length_max=id_length,
        client_id_alphabet="[A-Za-z0-9_-]",
        lookup_window_unfilled_s=86_400,
        lookup_window_filled_s=86_400,
        proof="model",
    )


CLASSES = {
    "permanent": identity(IdScope.PERMANENT, deadline_s=5),
    "permanent, no deadline": identity(IdScope.PERMANENT, deadline_s=0),
    "open only, deadline": identity(IdScope.OPEN_ONLY, deadline_s=5),
    "open only, no deadline": identity(IdScope.OPEN_ONLY, deadline_s=0),
    "no id": identity(IdScope.NONE, deadline_s=0, lookup=False, id_length=0),
}


class Fault(StrEnum):
    NONE = "none"
    NOT_CONNECTED = "not_connected"
    LOST = "lost"  # the request never arrives
    LATE = "late"  # it arrives 10-60 s later
    ANSWER_LOST = "answer_lost"  # executed, the answer never arrives
    EXECUTED_5XX = "executed_5xx"
    REFUSED_5XX = "refused_5xx"
    RATE_LIMITED = "rate_limited"
    UNREADABLE = "unreadable"  # executed, an exception in the SDK
    REFUSED = "refused"
    REJECTED_LATER = "rejected_later"  # acknowledged, then rejected by the engine
    DUPLICATED = "duplicated"  # the wire delivers the request twice


WEIGHTS = {
    Fault.NONE: 42,
    Fault.NOT_CONNECTED: 4,
    Fault.LOST: 12,
    Fault.LATE: 10,
    Fault.ANSWER_LOST: 14,
    Fault.EXECUTED_5XX: 6,
    Fault.REFUSED_5XX: 2,
    Fault.RATE_LIMITED: 4,
    Fault.UNREADABLE: 2,
    Fault.REFUSED: 2,
    Fault.REJECTED_LATER: 2,
}


@dataclass
class Truth:
    """One order as it is, whatever reads show."""

    venue_order_id: str
    client_order_id: str | None
    request: OrderRequest
    created_at: datetime
    visible_at: datetime
    status: OrderStatus
    filled: Decimal = Decimal(0)
    updated_at: datetime = START
    fills: list[Fill] = field(default_factory=list)
    reject_code: str = ""


@dataclass
class Late:
    due_at: datetime
    prepared: PreparedOrder
    not_after: datetime


class ModelVenue(Broker):
    """One account of a venue that exists only in virtual time."""

    fee_rate = Decimal(0)

    def __init__(
        self,
        clock: ManualClock,
        *,
        order_identity: OrderIdentity = CLASSES["permanent"],
        seed: int = 0,
        name: str = "main",
        environment: Environment = Environment.SIMULATED,
        weights: dict[Fault, int] | None = None,
        stale_s_max: float = 0.0,
        read_fails: float = 0.0,
        rests: bool = False,
    ) -> None:
        self.account_id = AccountId(Venue.BYBIT, environment, name)
        self.capabilities = Capabilities(
            venue=Venue.BYBIT,
            products=frozenset({ProductKind.LINEAR}),
            order_types=frozenset(OrderType),
            time_in_force=frozenset(),
            post_only=True,
            reduce_only=True,
            position_modes=frozenset(PositionMode),
            margin_modes=frozenset(),
            sets_leverage=False,
            cash_events=False,
            identity={ProductKind.LINEAR: order_identity},
            budgets=(),
            hosts=(),
            fee_rate_taker="0",
        )
        self.clock = clock
        self.order_identity = order_identity
        self.rng = random.Random(seed)
        self.weights = {Fault.NONE: 1} if weights is None else weights
        self.script: list[Fault] = []
        self.stale_s_max = stale_s_max
        self.read_fails = read_fails
        self.rests = rests
        self.orders: list[Truth] = []
        self.late: list[Late] = []
        self.sends = 0
        self.reads = 0
        self.cancels = 0
        self.offset = timedelta(0)
        self.instrument = INSTRUMENT
        self.quote_price = PRICE
        self.equity: Decimal | None = Decimal(1_000_000)
        self.read_error: BrokerError | None = None
        self.cancel_error: BrokerError | None = None
        self.at_point: Callable[[str], None] = lambda name: None
        self.on_call: Callable[[str], None] = lambda name: None
        self.on_first_byte: Callable[[PreparedOrder, SendTicket], None] = lambda prepared, ticket: None

    # -- engine -------------------------------------------------------------------------------------------------
    def now(self) -> datetime:
        return self.clock.now() + self.offset

    def settle(self) -> None:
        """Execute every late request that is due."""
        due = [late for late in self.late if late.due_at <= self.now()]
        self.late = [late for late in self.late if late.due_at > self.now()]
        for late in sorted(due, key=lambda item: item.due_at):
            self._accept(late.prepared, late.not_after, at=late.due_at)

    def _accept(self, prepared: PreparedOrder, not_after: datetime, *, at: datetime) -> Truth | None:
        """The venue's own checks: deadline, duplicate id, then execution. None: refused silently."""
        if self.order_identity.deadline_s_max and at > not_after:
            return None
        client_order_id = str(prepared.client_order_id)
        if self._is_duplicate(client_order_id):
            return None
        carries_id = self.order_identity.client_id_length_max > 0
        order = Truth(
            venue_order_id=f"v{self.account_id.name}-{len(self.orders) + 1}",
            client_order_id=client_order_id if carries_id else None,
            request=prepared.request,
            created_at=at,
            visible_at=at + timedelta(seconds=self.rng.uniform(0, self.stale_s_max)),
            status=OrderStatus.WORKING,
            updated_at=at,
        )
        self.orders.append(order)
        if prepared.request.order_type is OrderType.MARKET and not self.rests:
            self.fill(order, order.request.quantity, at=at)
        return order

    def _is_duplicate(self, client_order_id: str) -> bool:
        scope = self.order_identity.id_scope
        same = [order for order in self.orders if order.client_order_id == client_order_id]
        if scope is IdScope.PERMANENT:
            return bool(same)
        return scope is IdScope.OPEN_ONLY and any(order.status.is_open for order in same)

    def fill(self, order: Truth, quantity: Decimal, *, at: datetime | None = None) -> Fill:
        at = at or self.now()
        made = Fill(
            account_id=self.account_id,
            trade_id=TradeId(f"{order.venue_order_id}-t{len(order.fills) + 1}"),
            venue_order_id=VenueOrderId(order.venue_order_id),
            client_order_id=ClientOrderId(order.client_order_id) if order.client_order_id else None,
            instrument_id=order.request.instrument_id,
            side=order.request.side,
            quantity=quantity,
            price=self.quote_price,
            fee=quantity * self.quote_price * self.fee_rate,
            fee_currency="USDT",
            liquidity=LiquiditySide.TAKER,
            time=at,
        )
        order.fills.append(made)
        order.filled += quantity
        is_full = order.filled == order.request.quantity
        order.status = OrderStatus.FILLED if is_full else OrderStatus.PARTIALLY_FILLED
        order.updated_at = at
        return made

    # -- placing ------------------------------------------------------------------------------------------------
    def identity(self, instrument_id: InstrumentId) -> OrderIdentity:
        return self.order_identity

    def prepare_order(self, request: OrderRequest, client_order_id: ClientOrderId) -> PreparedOrder:
        if request.quantity == Decimal("0.666"):
            raise InvalidOrder("quantity must not be 0.666")
        payload = json.dumps({"id": str(client_order_id), "qty": str(request.quantity), "side": request.side.value})
        return PreparedOrder(client_order_id, request, payload, hashlib.sha256(payload.encode()).hexdigest())

    def place(self, prepared: PreparedOrder, ticket: SendTicket) -> OrderAck:
        self.on_call("place")
        record = ticket.record
        if record.sends:
            raise SecondSendRefused("the ticket was used")
        fault = self.script.pop(0) if self.script else self._draw()
        if fault is Fault.NOT_CONNECTED:
            raise ConnectFailed("connection refused")
        record.phase = WirePhase.CONNECTING
        self.at_point("C10")
        if self.clock.monotonic() > ticket.send_by_monotonic_s:
            raise DeadlinePassed("send_by is over")
        self.at_point("paused")
        self.settle()
        record.sends += 1
        record.phase = WirePhase.SENDING
        self.sends += 1
        self.on_first_byte(prepared, ticket)
        self.at_point("C12")
        return self._transport(prepared, ticket, fault)

    def _draw(self) -> Fault:
        return self.rng.choices(list(self.weights), weights=list(self.weights.values()))[0]

    def _transport(self, prepared: PreparedOrder, ticket: SendTicket, fault: Fault) -> OrderAck:
        if fault is Fault.LOST:
            self.clock.wait(ticket.timeout_s)
            raise AnswerTimedOut("no answer")
        if fault is Fault.LATE:
            delay = timedelta(seconds=self.rng.uniform(10, 60))
            self.late.append(Late(self.now() + delay, prepared, ticket.not_after))
            self.clock.wait(ticket.timeout_s)
            raise AnswerTimedOut("no answer")
        if fault is Fault.REFUSED_5XX:
            raise VenueFaulted("503")
        if fault is Fault.RATE_LIMITED:
            raise RateLimited("slow down", code="10006", retry_after_s=1.0)
        if fault is Fault.REFUSED:
            raise InsufficientFunds("not enough", code="110007", text="ab not enough for new order")
        return self._executed(prepared, ticket, fault)

    def _executed(self, prepared: PreparedOrder, ticket: SendTicket, fault: Fault) -> OrderAck:
        if self.order_identity.deadline_s_max and self.now() > ticket.not_after:
            raise RateLimited("outside the window", code="10002")
        if self._is_duplicate(str(prepared.client_order_id)):
            raise DuplicateClientOrderId("duplicate", code="110072")
        if fault is Fault.REJECTED_LATER:
            order = self._rejected(prepared)
        else:
            accepted = self._accept(prepared, ticket.not_after, at=self.now())
            assert accepted is not None
            order = accepted
        self.at_point("C13")
        if fault is Fault.ANSWER_LOST:
            self.clock.wait(ticket.timeout_s)
            raise AnswerTimedOut("no answer")
        if fault is Fault.EXECUTED_5XX:
            raise VenueFaulted("502")
        self.at_point("C14")
        ticket.record.phase = WirePhase.ANSWERED
        ticket.record.status = 200
        if fault is Fault.UNREADABLE:
            raise KeyError("orderId")
        return OrderAck(prepared.client_order_id, VenueOrderId(order.venue_order_id), self.now(), is_final=True)

    def _rejected(self, prepared: PreparedOrder) -> Truth:
        order = Truth(
            venue_order_id=f"v{self.account_id.name}-{len(self.orders) + 1}",
            client_order_id=str(prepared.client_order_id) if self.order_identity.client_id_length_max else None,
            request=prepared.request,
            created_at=self.now(),
            visible_at=self.now(),
            status=OrderStatus.REJECTED,
            updated_at=self.now(),
            reject_code="EC_Others",
        )
        self.orders.append(order)
        return order

    def cancel(
        self,
        *,
        instrument_id: InstrumentId,
        client_order_id: ClientOrderId | None = None,
        venue_order_id: VenueOrderId | None = None,
    ) -> WireRecord:
        self.on_call("cancel")
        self.settle()
        self.cancels += 1
        error, self.cancel_error = self.cancel_error, None
        order = self._find(client_order_id, venue_order_id, visible_only=False)
        if order is None:
            raise OrderNotFound("no such order", code="110001")
        if not order.status.is_open:
            raise OrderAlreadyDone("done", code="110010")
        if error is not None and not isinstance(error, ConnectionLost):
            raise error
        order.status = OrderStatus.CANCELLED
        order.updated_at = self.now()
        if error is not None:
            raise error
        return WireRecord()

    # -- reads --------------------------------------------------------------------------------------------------
    def _read(self, name: str) -> None:
        self.on_call(name)
        self.reads += 1
        self.settle()
        if self.read_error is not None:
            raise self.read_error
        if self.read_fails and self.rng.random() < self.read_fails:
            raise AnswerTimedOut(f"{name} failed")

    def _visible(self) -> list[Truth]:
        return [order for order in self.orders if order.visible_at <= self.now()]

    def _find(
        self, client_order_id: ClientOrderId | None, venue_order_id: VenueOrderId | None, *, visible_only: bool
    ) -> Truth | None:
        for order in self._visible() if visible_only else self.orders:
            if venue_order_id is not None and order.venue_order_id == str(venue_order_id):
                return order
            if client_order_id is not None and order.client_order_id == str(client_order_id):
                return order
        return None

    def find_order(
        self,
        *,
        instrument_id: InstrumentId,
        client_order_id: ClientOrderId | None = None,
        venue_order_id: VenueOrderId | None = None,
    ) -> Order | None:
        self._read("find_order")
        if client_order_id is not None and not self.order_identity.lookup_by_client_id:
            raise Unsupported("no look-up by client order id")
        found = self._find(client_order_id, venue_order_id, visible_only=True)
        return None if found is None else self.order_of(found)

    def order_of(self, order: Truth) -> Order:
        return Order(
            account_id=self.account_id,
            venue_order_id=VenueOrderId(order.venue_order_id),
            client_order_id=ClientOrderId(order.client_order_id) if order.client_order_id else None,
            instrument_id=order.request.instrument_id,
            side=order.request.side,
            order_type=order.request.order_type,
            time_in_force=order.request.time_in_force,
            quantity=order.request.quantity,
            filled_quantity=order.filled,
            average_price=self.quote_price if order.filled else None,
            limit_price=order.request.limit_price,
            trigger_price=order.request.trigger_price,
            status=order.status,
            reduce_only=order.request.reduce_only,
            created_at=order.created_at,
            updated_at=order.updated_at,
            reject_code=order.reject_code,
        )

    def open_orders(self) -> tuple[Order, ...]:
        self._read("open_orders")
        return tuple(self.order_of(order) for order in self._visible() if order.status.is_open)

    def order_history(self, *, since: datetime, until: datetime) -> tuple[Order, ...]:
        self._read("order_history")
        done = [order for order in self._visible() if not order.status.is_open]
        return tuple(self.order_of(order) for order in done if since <= order.created_at <= until)

    def fills(self, *, since: datetime, until: datetime, instrument_id: InstrumentId | None = None) -> tuple[Fill, ...]:
        self._read("fills")
        carries = self.order_identity.fills_carry_client_id
        found = [fill for order in self._visible() for fill in order.fills if since <= fill.time <= until]
        return tuple(fill if carries else replace(fill, client_order_id=None) for fill in found)

    def positions(self) -> tuple[Position, ...]:
        self._read("positions")
        quantity = sum((f.side.sign * f.quantity for order in self._visible() for f in order.fills), Decimal(0))
        if not quantity:
            return ()
        return (
            Position(
                account_id=self.account_id,
                instrument_id=BTC,
                side=PositionSide.LONG if quantity > 0 else PositionSide.SHORT,
                quantity=quantity,
                average_price=self.quote_price,
                mark_price=self.quote_price,
                unrealised_pnl=None,
                realised_pnl=None,
                leverage=Decimal(1),
                mode=PositionMode.ONE_WAY,
                time=self.now(),
            ),
        )

    def margin_health(self) -> MarginHealth:
        self._read("margin_health")
        if self.equity is None:
            raise AnswerTimedOut("no equity")
        return MarginHealth(self.account_id, "USD", self.equity, None, None, None, None, self.now())

    def balances(self) -> tuple[Balance, ...]:
        self._read("balances")
        return (Balance(self.account_id, "USDT", Decimal(1_000_000), None, Decimal(0), self.now()),)

    def instruments(self, ids: Iterable[InstrumentId] | None = None) -> tuple[Instrument, ...]:
        self.on_call("instruments")
        for instrument_id in ids or ():
            if instrument_id != self.instrument.instrument_id:
                raise InstrumentUnknown(f"{instrument_id} is not listed")
        return (self.instrument,)

    def quotes(self, ids: Sequence[InstrumentId]) -> tuple[Quote, ...]:
        self.on_call("quotes")
        return tuple(quote(self, instrument_id) for instrument_id in ids)

    def clock_reading(self) -> ClockReading:
        self.on_call("clock_reading")
        return ClockReading(self.now(), self.offset, timedelta(milliseconds=20))

    # -- not modelled -------------------------------------------------------------------------------------------
    def connect(self) -> AccountProof:
        raise NotImplementedError

    def close(self) -> None:
        return None

    def profit_and_loss(self) -> tuple[ProfitAndLoss, ...]:
        raise NotImplementedError

    def leverage(self, instrument_id: InstrumentId) -> LeverageInfo:
        raise NotImplementedError

    def set_leverage(self, instrument_id: InstrumentId, leverage: Decimal) -> LeverageInfo:
        raise NotImplementedError

    def set_position_mode(self, instrument_id: InstrumentId, mode: PositionMode) -> LeverageInfo:
        raise NotImplementedError

    def cash_events(self, *, since: datetime, until: datetime) -> tuple[CashEvent, ...]:
        raise NotImplementedError


def quote(venue: ModelVenue, instrument_id: InstrumentId = BTC) -> Quote:
    half = Decimal("0.1")
    return Quote(instrument_id, venue.quote_price - half, venue.quote_price + half, venue.quote_price, venue.now())
