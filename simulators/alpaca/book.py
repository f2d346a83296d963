"""What Alpaca knows of an order beyond the core: type, time in force, session, group, and the status that it prints."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from simulators.alpaca.config import AlpacaAsset
from simulators.alpaca.ids import Moments
from simulators.core.accounts import Account
from simulators.core.sessions import AssetType, Hours
from simulators.core.types import Order, OrderStatus, OrderType, PositionSide, Reason, TimeInForce
from simulators.core.venue import Venue

REPLACING = "replacing"
"""Stands for the id of an order that is about to take the place of another."""


class Kind(StrEnum):
    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"


class Force(StrEnum):
    DAY = "day"
    GTC = "gtc"
    OPG = "opg"
    CLS = "cls"
    IOC = "ioc"
    FOK = "fok"


@dataclass(slots=True)
class Ticket:
    """The venue's own facts of one order. `shown` is a status that the control API wants printed instead."""

    asset: AlpacaAsset
    kind: Kind
    force: Force
    closes: bool
    limit: Decimal | None = None
    stop: Decimal | None = None
    notional: Decimal | None = None
    extended: bool = False
    submitted_us: int = 0
    queued: bool = False
    expires_ms: int | None = None
    cancel_asked: bool = False
    replaces: str = ""
    replaced_by: str = ""
    shown: str = ""
    order_class: str = ""
    parent: str = ""
    legs: list[str] = field(default_factory=list)
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    high_water: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """One order as it looks at one moment: what a row is printed from."""

    order: Order
    ticket: Ticket
    status: str


class Book:
    """The tickets of one venue's orders, fed by the core's own changes."""

    def __init__(self, venue: Venue, assets: dict[str, AlpacaAsset], hours: Hours) -> None:
        self.venue = venue
        self.assets = assets
        self.hours = hours
        self.tickets: dict[str, Ticket] = {}
        self.halted: set[str] = set()
        self._moments = Moments()
        self._coming: Ticket | None = None

    def watch(self, account: Account) -> None:
        """Hear of every change of an account's orders."""
        account.on_order.append(lambda order: self._changed(account, order))

    def expect(self, ticket: Ticket | None) -> None:
        """Say what the next new order is; None: it comes from elsewhere."""
        self._coming = ticket

    def ticket(self, order: Order) -> Ticket:
        """Return an order's ticket."""
        return self.tickets[order.order_id]

    def _changed(self, account: Account, order: Order) -> None:
        if order.order_id in self.tickets:
            return
        ticket = self._coming or self._foreign(account, order)
        self._coming = None
        self.adopt(order, ticket)

    def adopt(self, order: Order, ticket: Ticket) -> None:
        """Take in an order under its ticket, and give it the moment of its submission."""
        ticket.submitted_us = self._moments.next_us(order.created_ms)
        self.tickets[order.order_id] = ticket

    def _foreign(self, account: Account, order: Order) -> Ticket:
        """Return the ticket of an order that came through the venue's own screens."""
        asset = self.assets[order.request.symbol]
        held = account.position(order.request.symbol, PositionSide.BOTH).signed_qty
        closes = not asset.is_crypto and held * order.request.side.sign < 0
        kind = Kind.MARKET if order.request.order_type is OrderType.MARKET else Kind.LIMIT
        fast = order.request.time_in_force in (TimeInForce.IOC, TimeInForce.FOK) and kind is Kind.LIMIT
        force = Force.IOC if fast else Force.GTC if asset.is_crypto or kind is Kind.LIMIT else Force.DAY
        return Ticket(asset=asset, kind=kind, force=force, closes=closes, limit=order.request.price)

    # sessions
    def is_open(self, ticket: Ticket, at_ms: int) -> bool:
        """Tell whether orders of a kind trade at a moment."""
        return ticket.asset.is_crypto or self.hours.is_open(AssetType.STOCK, at_ms, extended=ticket.extended)

    def trades_now(self, order: Order) -> bool:
        """Tell whether an order's session is on and its asset not halted."""
        ticket = self.tickets.get(order.order_id)
        if ticket is None:
            return True
        return order.request.symbol not in self.halted and self.is_open(ticket, self.venue.now_ms())

    # status
    def sight(self, order: Order) -> Sight:
        """Return how an order looks now."""
        ticket = self.ticket(order)
        return Sight(order, ticket, ticket.shown or self._status(order, ticket))

    def _status(self, order: Order, ticket: Ticket) -> str:
        if not order.is_open:
            return _ended(order, ticket)
        if ticket.cancel_asked:
            return "pending_cancel"
        if order.status is OrderStatus.PENDING:
            return "held" if ticket.parent else "accepted" if ticket.queued else "pending_new"
        if order.status is OrderStatus.UNTRIGGERED and ticket.parent and ticket.order_class != "oto":
            return "held"
        if not self.is_open(ticket, self.venue.now_ms()):
            return "done_for_day"
        return "partially_filled" if order.status is OrderStatus.PARTIALLY_FILLED else "new"


def _ended(order: Order, ticket: Ticket) -> str:
    if order.status is OrderStatus.FILLED:
        return "filled"
    if order.status is OrderStatus.REJECTED:
        return "rejected"
    if ticket.replaced_by:
        return "replaced"
    return "expired" if order.reason is Reason.EXPIRED else "canceled"
