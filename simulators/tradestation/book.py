"""What TradeStation knows of an order beyond the core: action, duration, group, and the status that it prints.

Every change of an order becomes one row or several in `events`, in the order in which the order stream tells them.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from enum import Enum

from simulators.core.accounts import Account
from simulators.core.types import Order, OrderSide, OrderStatus, OrderType, PositionSide, Reason
from simulators.core.venue import Venue
from simulators.tradestation.config import QuirksConfig, TradeStationSymbol
from simulators.tradestation.sessions import AssetType, Hours

EVENTS_KEPT_MAX = 20_000


class TradeAction(Enum):
    BUY = "BUY"
    SELL = "SELL"
    BUYTOCOVER = "BUYTOCOVER"
    SELLSHORT = "SELLSHORT"

    @property
    def side(self) -> OrderSide:
        return OrderSide.BUY if self in (TradeAction.BUY, TradeAction.BUYTOCOVER) else OrderSide.SELL


class Duration(Enum):
    DAY = "DAY"
    DAY_PLUS = "DYP"
    GTC = "GTC"
    GTC_PLUS = "GCP"
    GTD = "GTD"
    GTD_PLUS = "GDP"
    OPENING = "OPG"
    CLOSING = "CLO"
    IOC = "IOC"
    FOK = "FOK"
    MINUTE_1 = "1"
    MINUTES_3 = "3"
    MINUTES_5 = "5"

    @property
    def extended(self) -> bool:
        return self in (Duration.DAY_PLUS, Duration.GTC_PLUS, Duration.GTD_PLUS)


@dataclass(slots=True)
class Ticket:
    """The venue's own facts of one order. `shown` is a status that is printed until `shown_until_ms`."""

    action: TradeAction
    duration: Duration
    asset: AssetType
    closes: bool
    route: str = "Intelligent"
    good_till: date | None = None
    held: bool = False
    cancel_asked: bool = False
    shown: str = ""
    shown_until_ms: int = 0
    group: str = ""
    links: list[tuple[str, str]] = field(default_factory=list)
    last: Order | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """One order as it looks at one moment: what a row is printed from. `closed` decides about ClosedDateTime."""

    order: Order
    ticket: Ticket
    code: str
    closed: bool


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """One row of the order stream."""

    number: int
    account: str
    order_id: str
    sight: Sight


ENDED = frozenset({"FLL", "FLP", "OUT", "EXP", "REJ", "UCH"})
_FILLS = frozenset({OrderStatus.FILLED, OrderStatus.PARTIALLY_FILLED})
_WAITING = frozenset({Duration.OPENING, Duration.CLOSING})


class Book:
    """The tickets of one venue's orders, fed by the core's own changes."""

    def __init__(
        self, venue: Venue, symbols: dict[str, TradeStationSymbol], hours: Hours, quirks: QuirksConfig
    ) -> None:
        self.venue = venue
        self.symbols = symbols
        self.hours = hours
        self.quirks = quirks
        self.tickets: dict[str, Ticket] = {}
        self.events: list[OrderEvent] = []
        self.count = 0
        self.halted: set[str] = set()
        self._coming: Ticket | None = None
        self._kept: list[tuple[str, Sight]] | None = None

    # tickets
    def watch(self, account: Account) -> None:
        """Hear of every change of an account's orders."""
        account.on_order.append(lambda order: self._changed(account, order))

    def expect(self, ticket: Ticket | None) -> None:
        """Say what the next new order is; None: it comes from elsewhere."""
        self._coming = ticket

    def ticket(self, order: Order) -> Ticket:
        """Return an order's ticket."""
        return self.tickets[order.order_id]

    def _foreign(self, account: Account, order: Order) -> Ticket:
        """Return the ticket of an order that came through the venue's own screens."""
        asset = self.symbols[order.request.symbol].asset_type
        held = account.position(order.request.symbol, PositionSide.BOTH).signed_qty
        buying = order.request.side is OrderSide.BUY
        closes = held < 0 if buying else held > 0
        if asset is AssetType.FUTURE or closes != buying:
            action = TradeAction.BUY if buying else TradeAction.SELL
        else:
            action = TradeAction.BUYTOCOVER if buying else TradeAction.SELLSHORT
        return Ticket(action=action, duration=Duration.DAY, asset=asset, closes=closes)

    # status
    def trades_now(self, order: Order) -> bool:
        """Tell whether an order's session is on."""
        ticket = self.tickets.get(order.order_id)
        if ticket is None:
            return True
        if order.request.symbol in self.halted:
            return False
        return self.hours.is_open(ticket.asset, self.venue.now_ms(), extended=ticket.duration.extended)

    def sight(self, order: Order, at_ms: int) -> Sight:
        """Return how an order looks at a moment."""
        ticket = self.ticket(order)
        if ticket.shown and at_ms < ticket.shown_until_ms and order.is_open:
            return Sight(order, ticket, ticket.shown, closed=False)
        if order.status in _FILLS and at_ms < order.updated_ms + self.quirks.ack_fill_ms:
            return Sight(order, ticket, "ACK", closed=False)
        code = self._code(order, ticket, at_ms)
        return Sight(order, ticket, code, closed=not order.is_open)

    def _code(self, order: Order, ticket: Ticket, at_ms: int) -> str:
        if not order.is_open:
            return _ended(order, ticket)
        if ticket.cancel_asked:
            return "UCN"
        if order.status is OrderStatus.PARTIALLY_FILLED:
            return "FPR"
        if ticket.held or not self.hours.is_open(ticket.asset, at_ms, extended=ticket.duration.extended):
            return "DON"
        waits = order.status in (OrderStatus.PENDING, OrderStatus.UNTRIGGERED)
        return "ACK" if waits or self.quirks.working_ack else "OPN"

    # events
    def tell(self, account: str, sight: Sight) -> None:
        """Add a row to the order stream, or keep it until `holding_back` ends."""
        frozen = replace(sight, ticket=replace(sight.ticket, links=list(sight.ticket.links)))
        if self._kept is not None:
            self._kept.append((account, frozen))
            return
        self.count += 1
        self.events.append(OrderEvent(self.count, account, sight.order.order_id, frozen))
        if len(self.events) > 2 * EVENTS_KEPT_MAX:
            del self.events[:EVENTS_KEPT_MAX]

    @contextmanager
    def holding_back(self) -> Iterator[list[tuple[str, Sight]]]:
        """Collect what would be told meanwhile; the caller tells it, if at all."""
        kept: list[tuple[str, Sight]] = []
        self._kept = kept
        try:
            yield kept
        finally:
            self._kept = None

    def tell_as(self, account: str, order: Order, codes: Iterable[str]) -> None:
        """Add rows that print an open order under passing statuses."""
        for code in codes:
            self.tell(account, Sight(order, self.ticket(order), code, closed=False))

    def since(self, number: int) -> list[OrderEvent]:
        """Return the events after a number."""
        start = max(len(self.events) - (self.count - number), 0)
        return self.events[start:]

    def _changed(self, account: Account, order: Order) -> None:
        ticket = self.tickets.get(order.order_id)
        if ticket is None:
            ticket = self._coming or self._foreign(account, order)
            self._coming = None
            self.tickets[order.order_id] = ticket
        before, ticket.last = ticket.last, order
        if order.triggered and before is not None and not before.triggered:
            self.tell(account.name, Sight(order, ticket, "STP", closed=True))
        at_ms = self.venue.now_ms()
        sight = self.sight(order, at_ms)
        if before is not None and _same(before, order) and self.sight(before, at_ms).code == sight.code:
            return
        if sight.code == "ACK" and order.filled_qty and self.quirks.ack_fill_ms:
            self.venue.later(self.quirks.ack_fill_ms, lambda: self._settled(account, order))
        if sight.closed and self.quirks.early_out and sight.code in ("FLL", "OUT"):
            self.tell(account.name, replace(sight, closed=False))
        self.tell(account.name, sight)

    def _settled(self, account: Account, order: Order) -> None:
        """Tell what a fill, shown as ACK so far, came to, unless more has happened since."""
        now = account.orders[order.order_id].now
        if now == order:
            self.tell(account.name, self.sight(now, self.venue.now_ms()))


def _same(before: Order, after: Order) -> bool:
    old, new = before.request, after.request
    same_terms = (before.qty, before.price, old.trigger_price) == (after.qty, after.price, new.trigger_price)
    return same_terms and before.filled_qty == after.filled_qty and before.status is after.status


def _ended(order: Order, ticket: Ticket) -> str:
    if order.status is OrderStatus.FILLED:
        return "FLL"
    if order.status is OrderStatus.REJECTED:
        return "REJ"
    if order.filled_qty:
        return "FLP"
    lapsed = order.reason is Reason.NO_LIQUIDITY and ticket.duration in _WAITING
    return "EXP" if lapsed or order.reason is Reason.EXPIRED else "OUT"


def type_of(order: Order) -> str:
    """Return an order's type in the venue's words."""
    stops = order.request.trigger_price is not None
    if order.request.order_type is OrderType.MARKET:
        return "StopMarket" if stops else "Market"
    return "StopLimit" if stops else "Limit"
