"""Trailing stops: a stop price that follows the best price since the order came, and never goes back."""

from dataclasses import replace
from decimal import Decimal

from simulators.alpaca.book import Book, Kind, Ticket
from simulators.core.accounts import Account
from simulators.core.money import nearest
from simulators.core.types import Order, OrderSide, OrderStatus
from simulators.core.venue import Venue


def stop_of(ticket: Ticket, side: OrderSide, water: Decimal) -> Decimal:
    """Return the stop price under, or for a purchase over, the best price so far."""
    percent = ticket.trail_percent
    trail = ticket.trail_price if percent is None else water * percent / 100
    assert trail is not None, "a trailing stop has one of two trails"
    return nearest(water + side.sign * trail, ticket.asset.tick)


class Trails:
    """Moves the stops of one venue's trailing orders before their orders meet the new price."""

    def __init__(self, venue: Venue, book: Book) -> None:
        self._venue = venue
        self._book = book
        venue.on_moved.append(self._moved)

    def _moved(self, moved: set[str]) -> None:
        for account in self._venue.accounts.values():
            for order in account.open_orders():
                waits = order.status is OrderStatus.UNTRIGGERED and order.request.symbol in moved
                if waits and self._book.ticket(order).kind is Kind.TRAILING_STOP and self._book.trades_now(order):
                    self._follow(account, order)

    def _follow(self, account: Account, order: Order) -> None:
        ticket, side = self._book.ticket(order), order.request.side
        instrument = self._venue.instrument(order.request.kind, order.request.symbol)
        last = self._venue.board.last(instrument)
        assert ticket.high_water is not None, "a trailing stop begins at the price of its submission"
        if (last - ticket.high_water) * side.sign >= 0:
            return
        ticket.high_water = last
        ticket.stop = stop_of(ticket, side, last)
        request = replace(order.request, trigger_price=ticket.stop)
        account.put_order(replace(order, request=request), self._venue.now_ms())
