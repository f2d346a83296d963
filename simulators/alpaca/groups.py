"""Orders that belong together: bracket, oto and oco. What happens to one of them ends, frees or shrinks the others.

The exits of a bracket or oto are held until its entry is filled whole, and end with an entry that ends otherwise. Of
two exits, whatever ends one ends the other, and a part filled takes as much from it. The stop of two stays `held`.
"""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from functools import partial

from simulators.alpaca.asking import Asked, Exit, Group
from simulators.alpaca.book import Book, Kind, Ticket
from simulators.alpaca.money import stop_limit_of
from simulators.core.accounts import Account
from simulators.core.types import (
    Order,
    OrderRequest,
    OrderSide,
    OrderStatus,
    OrderType,
    Reason,
    TriggerDirection,
)
from simulators.core.venue import Venue


class Groups:
    """The groups of one venue."""

    def __init__(self, venue: Venue, book: Book) -> None:
        self._venue = venue
        self._book = book

    def watch(self, account: Account) -> None:
        """Hear of every change of an account's orders."""
        account.on_order.append(lambda order: self._changed(account, order))

    def _changed(self, account: Account, order: Order) -> None:
        ticket = self._book.tickets.get(order.order_id)
        if ticket is not None and ticket.order_class:
            self._look_later(account, order.order_id)

    def _look_later(self, account: Account, order_id: str) -> None:
        """Look at an order once the change that is under way is through."""
        self._venue.later(0, partial(self._look, account, order_id))

    # making
    def add_exits(self, account: Account, head: Order, asked: Asked) -> None:
        """Make the exits of an order that was just taken, and hold them."""
        ticket = self._book.ticket(head)
        side = head.request.side.opposite
        if asked.group is Group.OCO:
            side = head.request.side
        for wanted in (asked.take_profit, asked.stop_loss):
            if wanted is None or (asked.group is Group.OCO and wanted.stop is None):
                continue
            leg = self._add_exit(account, head, ticket, side, wanted)
            ticket.legs.append(leg.order_id)
        if asked.group is Group.OCO:
            self._free(account, ticket)

    def _add_exit(self, account: Account, head: Order, ticket: Ticket, side: OrderSide, wanted: Exit) -> Order:
        kind = Kind.LIMIT if wanted.stop is None else Kind.STOP if wanted.limit is None else Kind.STOP_LIMIT
        limit = wanted.limit
        if kind is Kind.STOP and wanted.stop is not None and side is OrderSide.BUY:
            limit = stop_limit_of(wanted.stop, ticket.asset.tick)
        direction = TriggerDirection.RISE if side is OrderSide.BUY else TriggerDirection.FALL
        now, venue = self._venue.now_ms(), self._venue
        request = OrderRequest(
            kind=head.request.kind,
            symbol=head.request.symbol,
            side=side,
            order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
            qty=head.qty,
            price=limit,
            client_id=venue.ids.client_id(head.request.kind, now, venue.rng),
            reduce_only=True,
            trigger_price=wanted.stop,
            trigger_direction=direction if wanted.stop is not None else None,
        )
        order = Order(
            order_id=venue.ids.order_id(head.request.kind, now, venue.rng),
            account=account.name,
            request=request,
            qty=head.qty,
            price=limit if limit is not None else wanted.stop or Decimal(0),
            status=OrderStatus.PENDING,
            created_ms=now,
            updated_ms=now,
            sequence=venue.settlement.next_sequence(),
        )
        self._book.expect(
            Ticket(
                asset=ticket.asset,
                kind=kind,
                force=ticket.force,
                closes=True,
                limit=wanted.limit,
                stop=wanted.stop,
                order_class=ticket.order_class,
                parent=head.order_id,
            )
        )
        account.put_order(order, now)
        return order

    # following
    def _look(self, account: Account, order_id: str) -> None:
        order, ticket = account.orders[order_id].now, self._book.tickets[order_id]
        if ticket.replaced_by:
            return
        if not ticket.parent and ticket.order_class != Group.OCO.value:
            if order.status is OrderStatus.FILLED:
                self._free(account, ticket)
            elif not order.is_open:
                self._end(account, ticket.legs)
            return
        others = [one for one in self._exits(order_id, ticket) if one != order_id]
        if not order.is_open:
            self._end(account, others)
        elif order.filled_qty:
            self._shrink(account, others, order.remaining_qty)

    def _exits(self, order_id: str, ticket: Ticket) -> Iterator[str]:
        """Return all exits of an exit's group; the head of an oco is one of them."""
        head = ticket.parent or order_id
        if ticket.order_class == Group.OCO.value:
            yield head
        yield from self._book.tickets[head].legs

    def _free(self, account: Account, head: Ticket) -> None:
        for leg in head.legs:
            order = account.orders[leg].now
            if order.status is not OrderStatus.PENDING:
                continue
            self._venue.release(account, leg)
            if head.expires_ms is not None:
                wait_ms = head.expires_ms - self._venue.now_ms()
                self._book.tickets[leg].expires_ms = head.expires_ms
                self._venue.later(wait_ms, partial(self._venue.cancel_now, account, leg, Reason.EXPIRED))

    def _end(self, account: Account, ids: list[str]) -> None:
        for one in ids:
            if not self._book.tickets[one].replaced_by:
                self._venue.cancel_now(account, one, Reason.CANCELLED_BY_GROUP)

    def _shrink(self, account: Account, ids: list[str], left: Decimal) -> None:
        for one in ids:
            order = account.orders[one].now
            if order.is_open and order.remaining_qty > left:
                account.put_order(replace(order, qty=order.filled_qty + left), self._venue.now_ms())

    def take_over(self, account: Account, old: str, new: str) -> None:
        """Put an order in the place of one that it replaces."""
        before, after = self._book.tickets[old], self._book.tickets[new]
        after.order_class, after.parent, after.legs = before.order_class, before.parent, before.legs
        for leg in before.legs:
            self._book.tickets[leg].parent = new
        if before.parent:
            head = self._book.tickets[before.parent]
            head.legs = [new if one == old else one for one in head.legs]
        self._look_later(account, new)
