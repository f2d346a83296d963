"""Reading conditional orders at OKX with what they became: details, lists, and whose order a fill is of.

Reads only. What is remembered are facts that never change: whether an order was placed by a conditional order that is
followed (`brokers.okx.algos`), and by which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from brokers.errors import AnswerUnreadable, OrderInvalid, OrderNotFound
from brokers.fields import Row, moment, required, text
from brokers.ids import ClientOrderId, VenueOrderId
from brokers.okx import algos, codes
from brokers.okx.client import OKXClient
from brokers.okx.instruments import INST_TYPE, Market
from brokers.types import Order

# Orders cancelled unfilled are shown for two hours: one that was placed before and is not shown was one of them.
_HIDDEN_AFTER = timedelta(hours=2, minutes=5)
_EARLIER = timedelta(minutes=1)  # lists go by number, histories by time of creation: how far the two may differ
_REMEMBERED_MAX = 50_000


@dataclass(frozen=True, slots=True)
class Owner:
    """The conditional order that an order belongs to."""

    venue_order_id: VenueOrderId
    client_order_id: ClientOrderId


class Stops:
    """The conditional orders of one account."""

    def __init__(
        self,
        client: OKXClient,
        *,
        alone: Callable[[Row], Order],
        plain: Callable[[Row], Order],
        find_plain: Callable[[Market, str, str], Row | None],
    ) -> None:
        """`alone` and `plain` read a row of an algo order and of an ordinary one, `find_plain` finds one of those."""
        self._client = client
        self._alone = alone
        self._plain = plain
        self._find_plain = find_plain
        self._owners: dict[str, Owner | None] = {}

    # -- one order ----------------------------------------------------------------------------------------------
    def row(self, market: Market, name: str, value: str) -> Row | None:
        """A conditional order by `algoId` or `algoClOrdId`; None when neither its details nor any list shows it.

        What the page of details answers of an order that is none is not documented, so the lists decide.
        """
        try:
            found = self._client.get("trade/order-algo", **{name: value})
        except OrderNotFound as error:
            if error.code != codes.ORDER_NOT_FOUND:
                raise
            found = []
        if len(found) > 1 or any(text(row, name) != value or text(row, "instId") != market.symbol for row in found):
            raise AnswerUnreadable(f"asked for the conditional order {name} {value}, the venue showed others")
        return found[0] if found else self._listed(market, name, value)

    def find(self, market: Market, name: str, value: str) -> Order | None:
        row = self.row(market, name, value)
        return None if row is None else self.of(market, row)

    def _listed(self, market: Market, name: str, value: str) -> Row | None:
        where = {"instType": INST_TYPE[market.product]} if market.product is not None else {}
        where |= {"instId": market.symbol} if market.is_listed else {}
        for query in self._lists_of(name, value):
            path = "trade/orders-algo-history" if {"state", "algoId"} & set(query) else "trade/orders-algo-pending"
            for row in self._pages(path, **where, **query):
                if text(row, name) == value:
                    return row
        return None

    @staticmethod
    def _lists_of(name: str, value: str) -> Iterator[dict[str, str]]:
        """One with a client id is followed, or not looked for by it; of another only the number is known."""
        if name == "algoId":
            yield from ({"ordType": kind, "algoId": value} for kind in algos.LISTS)
            return
        yield {"ordType": algos.FOLLOWED}
        yield from ({"ordType": algos.FOLLOWED, "state": state} for state in algos.ENDS)

    def of(self, market: Market, row: Row) -> Order:
        """An algo order, with what it became where it is followed."""
        own = self._alone(row)
        if not algos.is_followed(row):
            return own
        numbers = algos.children_of(row)
        if not numbers and not algos.has_triggered(row):
            return own
        owner = _owner(row)
        children = []
        for number in numbers:
            self._remember(number, owner)
            child = self._find_plain(market, "ordId", number)
            if child is not None:
                children.append(self._plain(child))
        triggered_at = moment(row, "triggerTime") if text(row, "triggerTime") else own.updated_at
        is_old = self._client.venue_now() - triggered_at > _HIDDEN_AFTER
        if not numbers and is_old:
            raise AnswerUnreadable(
                f"conditional order {own.venue_order_id} triggered and names no order that it placed"
            )
        return algos.followed(own, children, is_whole=is_old or len(children) == len(numbers) > 0)

    def open_children(self, market: Market, row: Row) -> list[str]:
        """The numbers of the orders that a followed conditional order placed and that are open."""
        if not algos.is_followed(row):
            return []
        found = [(number, self._find_plain(market, "ordId", number)) for number in algos.children_of(row)]
        return [number for number, child in found if child is not None and self._plain(child).status.is_open]

    # -- lists --------------------------------------------------------------------------------------------------
    def waiting(self) -> Iterator[Row]:
        """Every conditional order of the account that waits or works, whoever placed it."""
        for kind in algos.LISTS:
            yield from self._pages("trade/orders-algo-pending", ordType=kind)

    def _pages(self, path: str, **query: str) -> Iterator[Row]:
        """A list of one type, under its older name where OKX does not know the newer one: no type is left out."""
        try:
            yield from self._client.pages(path, "algoId", **query)
        except OrderInvalid as error:
            older = algos.OLDER_NAMES.get(query["ordType"])
            if older is None or error.code != codes.PARAMETER_WRONG:
                raise
            yield from self._client.pages(path, "algoId", **{**query, "ordType": older})

    def ended(self, since: datetime) -> Iterator[Row]:
        """The followed ones that are over as what they were, created at `since` or later."""
        for state in algos.ENDS:
            found = self._client.pages("trade/orders-algo-history", "algoId", ordType=algos.FOLLOWED, state=state)
            for row in found:
                if moment(row, "cTime") < since - _EARLIER:
                    break
                if algos.is_followed(row):
                    yield row

    # -- whose order --------------------------------------------------------------------------------------------
    def note(self, row: Row) -> Owner | None:
        """The conditional order that placed an ordinary one, by the row of the latter; remembered."""
        number = required(row, "ordId")
        if number not in self._owners:
            self._remember(number, _owner(row) if algos.parent_of(row) else None)
        return self._owners.get(number)

    def knows(self, number: str) -> bool:
        return number in self._owners

    def owner_of(self, market: Market, number: str) -> Owner | None:
        """The same by the number of an ordinary order, looked up where it is not known; None where it is not shown."""
        if number in self._owners:
            return self._owners.get(number)
        row = self._find_plain(market, "ordId", number)
        return None if row is None else self.note(row)

    def _remember(self, number: str, owner: Owner | None) -> None:
        if len(self._owners) >= _REMEMBERED_MAX:
            self._owners.clear()
        self._owners[number] = owner


def _owner(row: Row) -> Owner:
    """By a row of the conditional order, or of an order that it placed: both name it."""
    return Owner(algos.venue_order_id(required(row, "algoId")), ClientOrderId(required(row, "algoClOrdId")))
