"""The algo service beside the engine: conditional futures orders of one account, each followed through its trigger.

Two books hold one order, first the one and then the other. The order of reading makes sure that none falls between
them: the algo service keeps what it handed over and names its number in the engine, so it is asked last where absence
is to be shown, and first where lists are joined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from brokers.binance import algos, orders
from brokers.binance.account import ask
from brokers.binance.client import BinanceClient
from brokers.binance.fields import row_of, rows_of
from brokers.binance.instruments import Market
from brokers.errors import AnswerUnreadable, OrderNotFound
from brokers.fields import Row, text
from brokers.ids import AccountId, ClientOrderId, VenueOrderId
from brokers.types import Order

ROWS_MAX = 100  # the smallest page that is documented anywhere for this list; a full one is halved
_REMEMBERED_MAX = 100_000
_SHOWN_AFTER = timedelta(seconds=60)  # the visibility horizon: an older order of a fill is shown, or is shown no more
_UNFILLED_KEPT = timedelta(days=3)  # how long an order that ended without a fill is shown
_NO_SUCH_ORDER = "-2013"


class Conditionals:
    """Conditional orders of one account, and which of the engine's orders they became."""

    def __init__(self, client: BinanceClient, *, account_id: AccountId) -> None:
        self._client = client
        self._account_id = account_id
        self._parents: dict[tuple[str, str], Row] = {}  # of the engine's order, by symbol and number
        self._ordinary: set[tuple[str, str]] = set()
        self._sent: set[str] = set()

    # -- one order ----------------------------------------------------------------------------------------------
    def note_sent(self, client_order_id: ClientOrderId) -> None:
        """Remember where an order of ours went: it is looked for there first."""
        if len(self._sent) >= _REMEMBERED_MAX:
            self._sent.clear()
        self._sent.add(client_order_id.value)

    def is_sent(self, client_order_id: ClientOrderId) -> bool:
        return client_order_id.value in self._sent

    def find(
        self,
        market: Market,
        *,
        client_order_id: ClientOrderId | None = None,
        venue_order_id: VenueOrderId | None = None,
    ) -> Order | None:
        """The order with what became of it; None by the algo service's own word."""
        wanted = _named(market, client_order_id, venue_order_id)
        row = found(self._client.futures_get_algo_order, **wanted)
        if row is None:
            return None
        shown = {name: text(row, name) for name in wanted}
        if text(row, "symbol") != market.symbol or shown != wanted:
            raise AnswerUnreadable(
                f"asked for the conditional order {wanted} of {market.symbol}, the venue showed another"
            )
        return self._whole(row, market)

    def cancel(
        self,
        market: Market,
        *,
        client_order_id: ClientOrderId | None = None,
        venue_order_id: VenueOrderId | None = None,
    ) -> None:
        """End it where it is: waiting, or in the engine. OrderNotFound where it is in neither any more."""
        wanted = _named(market, client_order_id, venue_order_id)
        try:
            ask(self._client.futures_cancel_algo_order, **wanted)
        except OrderNotFound as error:
            row = found(self._client.futures_get_algo_order, **wanted)
            number = algos.child_number(row) if row is not None and algos.is_ours(row) else ""
            if not number:
                raise error
            ask(self._client.futures_cancel_order, symbol=market.symbol, orderId=number)

    def _whole(self, row: Row, market: Market, children: Callable[[str], Row | None] | None = None) -> Order:
        """A row of the algo service with what the engine made of it, where it is one of ours."""
        parent: Order = self.mapped(algos.order, row, market)
        number = algos.child_number(row) if algos.is_ours(row) else ""
        if not number:
            if algos.is_ours(row) and algos.is_in_the_engine(row):
                raise AnswerUnreadable(
                    f"conditional order {parent.venue_order_id} triggered, and names no actualOrderId"
                )
            return parent
        self._remember_parent(row, market, number)
        child = children(number) if children is not None else None
        child = child or found(self._client.futures_get_order, symbol=market.symbol, orderId=number)
        if child is not None:
            if text(child, "orderId") != number or text(child, "symbol") != market.symbol:
                raise AnswerUnreadable(f"asked for order {number} of {market.symbol}, the venue showed another")
            return algos.joined(parent, self.mapped(orders.order, child, market))
        if not algos.is_in_the_engine(row):
            return parent
        if self._client.venue_now() - parent.updated_at > _UNFILLED_KEPT:
            return algos.gone(parent)
        raise AnswerUnreadable(
            f"conditional order {parent.venue_order_id} became order {number}, which the venue does not show yet"
        )

    # -- lists --------------------------------------------------------------------------------------------------
    def open_row(self, row: Row, market: Market) -> Order:
        """A row of the open conditional orders; one that is just triggering is looked at where it went."""
        if algos.is_ours(row) and algos.child_number(row):
            return self._whole(row, market)
        order: Order = self.mapped(algos.order, row, market)
        return order

    def engine_row(self, row: Row, market: Market) -> Order:
        """An order of the engine: by itself, or as the conditional one of ours that it was."""
        child: Order = self.mapped(orders.order, row, market)
        parent = self._parent_of(row, market)
        return child if parent is None else algos.joined(self.mapped(algos.order, parent, market), child)

    def history(self, algo_rows: Iterable[Row], engine_rows: Iterable[Row], market: Market) -> Iterator[Order]:
        """Both lists of a symbol as one: what the engine shows of a conditional order is told with that one."""
        shown = {text(row, "orderId"): row for row in engine_rows}
        for row in algo_rows:
            yield self._whole(row, market, shown.get)
        for row in shown.values():
            if self._parent_of(row, market) is None:
                yield self.mapped(orders.order, row, market)

    # -- fills --------------------------------------------------------------------------------------------------
    def unknown(self, market: Market, numbers: Iterable[str]) -> set[str]:
        """Which of the engine's orders it is not known of whether they were conditional ones of ours."""
        keys = {(market.symbol, number) for number in numbers}
        return {number for _, number in keys - self._ordinary - self._parents.keys()}

    def note(self, engine_rows: Iterable[Row], market: Market) -> None:
        """Learn whose the engine's orders are."""
        for row in engine_rows:
            self._parent_of(row, market)

    def owner(self, market: Market, number: str, filled_at: datetime) -> VenueOrderId:
        """The order that a fill of the engine's order belongs to."""
        key = (market.symbol, number)
        parent = self._parents.get(key)
        if parent is None and key not in self._ordinary:
            row = found(self._client.futures_get_order, symbol=market.symbol, orderId=number)
            if row is None and self._client.venue_now() - filled_at < _SHOWN_AFTER:
                raise AnswerUnreadable(f"order {number} of {market.symbol} has a fill, and is not shown yet")
            parent = self._parent_of(row, market) if row is not None else None
        return orders.venue_order_id(number, market) if parent is None else algos.venue_order_id(parent, market)

    # -- which is whose -----------------------------------------------------------------------------------------
    def _parent_of(self, row: Row, market: Market) -> Row | None:
        """The conditional order of ours that became this order of the engine."""
        number = text(row, "orderId")
        key = (market.symbol, number)
        if key in self._parents:
            return self._parents[key]
        if not algos.may_be_child(row):
            if len(self._ordinary) >= _REMEMBERED_MAX:
                self._ordinary.clear()
            self._ordinary.add(key)
            return None
        parent = found(self._client.futures_get_algo_order, clientAlgoId=text(row, "clientOrderId"))
        if parent is None or text(parent, "symbol") != market.symbol:
            return None  # another hand's id that begins as ours do
        named = algos.child_number(parent)
        if named == number:
            self._remember_parent(parent, market, number)
        return parent if named in (number, "") else None  # "": it is being handed over at this moment

    def _remember_parent(self, row: Row, market: Market, number: str) -> None:
        if len(self._parents) >= _REMEMBERED_MAX:
            self._parents.clear()
        self._parents[(market.symbol, number)] = row

    def mapped(self, make: Callable[..., Any], row: Row, market: Market) -> Any:
        """Build a value; its own validation failing means that the row was not what is documented."""
        try:
            return make(row, market, account_id=self._account_id)
        except ValueError as error:
            raise AnswerUnreadable(f"{make.__name__} row of {text(row, 'symbol')}: {error}") from error

    def open_rows(self) -> list[Row]:
        return rows_of(ask(self._client.futures_get_open_algo_orders), "openAlgoOrders")


def found(read: Callable[..., Any], **wanted: str) -> Row | None:
    """One order, or None by the venue's own word; that it was archived is no such word."""
    try:
        return row_of(ask(read, **wanted), "order")
    except OrderNotFound as error:
        if error.code == _NO_SUCH_ORDER:
            return None
        raise


def _named(
    market: Market, client_order_id: ClientOrderId | None, venue_order_id: VenueOrderId | None
) -> dict[str, str]:
    """Its own number where it is known: there is one order of each."""
    if venue_order_id is not None and algos.is_algo(venue_order_id):
        return {"algoId": algos.algo_id_of(venue_order_id, market)}
    assert client_order_id is not None, "one of both is given"
    return {"clientAlgoId": algos.marked(client_order_id)}
