"""An account of the venue: wallets, orders, positions, executions, transaction log, and lagged views of them."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Generic, Protocol, TypeVar

from simulators.core.money import ZERO
from simulators.core.types import (
    ApiKey,
    ClosedTrade,
    Entry,
    Execution,
    Instrument,
    MarketKind,
    Order,
    Position,
    PositionMode,
    PositionSide,
)

KEEP_REVISIONS = 64


class Numbered(Protocol):
    """A record that carries the venue-wide event number."""

    @property
    def sequence(self) -> int: ...


T = TypeVar("T")
N = TypeVar("N", bound=Numbered)


def newest_first(rows: Sequence[N], before: int | None = None) -> Iterator[N]:
    """Yield records, which are kept in order of their number, from the newest below `before` back."""
    end = len(rows) if before is None else bisect_left(rows, before, key=lambda row: row.sequence)
    for index in range(end - 1, -1, -1):
        yield rows[index]


class Revisions(Generic[T]):
    """The last values of one fact with the moments they took effect, so that a stale read can be answered."""

    __slots__ = ("_times", "_values")

    def __init__(self, at_ms: int, value: T) -> None:
        self._times = [at_ms]
        self._values = [value]

    @property
    def now(self) -> T:
        return self._values[-1]

    def put(self, at_ms: int, value: T) -> None:
        """Add a newer value."""
        self._times.append(max(at_ms, self._times[-1]))
        self._values.append(value)
        if len(self._values) > 2 * KEEP_REVISIONS:
            del self._times[:KEEP_REVISIONS]
            del self._values[:KEEP_REVISIONS]

    def first(self, wanted: Callable[[T], bool]) -> T | None:
        """Return the oldest value that is remembered and wanted."""
        return next((value for value in self._values if wanted(value)), None)

    def at(self, view_ms: int | None) -> T | None:
        """Return the value as it was at `view_ms` (None: now), or None if it did not exist yet."""
        if view_ms is None:
            return self._values[-1]
        index = bisect_right(self._times, view_ms)
        return self._values[index - 1] if index else None


class Account:
    """All that the venue knows of one customer."""

    def __init__(self, *, name: str, uid: int, keys: list[ApiKey], mode: PositionMode) -> None:
        self.name = name
        self.uid = uid
        self.keys = keys
        self.default_mode = mode
        self.modes_by_coin: dict[str, PositionMode] = {}
        self.modes_by_symbol: dict[str, PositionMode] = {}
        self.leverages: dict[str, Decimal] = {}
        self.orders: dict[str, Revisions[Order]] = {}
        self.open_ids: dict[str, None] = {}
        self.placed: list[Order] = []
        self.ids_by_client: dict[tuple[MarketKind, str], list[str]] = {}
        self.executions: list[Execution] = []
        self.entries: list[Entry] = []
        self.closed: list[ClosedTrade] = []
        self.realised: dict[str, Decimal] = defaultdict(Decimal)
        self.on_order: list[Callable[[Order], None]] = []
        self._wallets: dict[str, Revisions[Decimal]] = {}
        self._positions: dict[tuple[str, PositionSide], Revisions[Position]] = {}

    # wallets
    def wallet(self, coin: str, view_ms: int | None = None) -> Decimal:
        """Return the coin's wallet balance."""
        revisions = self._wallets.get(coin)
        return (revisions.at(view_ms) if revisions else None) or ZERO

    def wallets(self, view_ms: int | None = None) -> dict[str, Decimal]:
        """Return every wallet that ever held something."""
        return {coin: self.wallet(coin, view_ms) for coin in self._wallets}

    def put_wallet(self, coin: str, balance: Decimal, at_ms: int) -> None:
        """Record a wallet's new balance; only the settlement calls this, together with an entry."""
        revisions = self._wallets.get(coin)
        if revisions is None:
            self._wallets[coin] = revisions = Revisions(0, ZERO)
        revisions.put(at_ms, balance)

    # orders
    def put_order(self, order: Order, at_ms: int) -> None:
        """Record an order's new state."""
        revisions = self.orders.get(order.order_id)
        if revisions is None:
            self.orders[order.order_id] = Revisions(at_ms, order)
            self.placed.append(order)
            if order.client_id:
                key = (order.request.kind, order.client_id)
                self.ids_by_client.setdefault(key, []).append(order.order_id)
        else:
            revisions.put(at_ms, order)
        if order.is_open:
            self.open_ids[order.order_id] = None
        else:
            self.open_ids.pop(order.order_id, None)
        for listener in self.on_order:
            listener(order)

    def order(self, order_id: str, view_ms: int | None = None) -> Order | None:
        """Return an order by the venue's id."""
        revisions = self.orders.get(order_id)
        return revisions.at(view_ms) if revisions else None

    def orders_by_client(self, kind: MarketKind, client_id: str, view_ms: int | None = None) -> list[Order]:
        """Return the orders with a client order id, newest first."""
        ids = self.ids_by_client.get((kind, client_id), [])
        found = (self.order(order_id, view_ms) for order_id in reversed(ids))
        return [order for order in found if order is not None]

    def open_orders(self) -> list[Order]:
        """Return the open orders, oldest first, as they are now."""
        return [self.orders[order_id].now for order_id in self.open_ids]

    def orders_newest_first(self, view_ms: int | None = None, *, before: int | None = None) -> Iterator[Order]:
        """Yield every visible order, newest first, from the number `before` back."""
        for placed in newest_first(self.placed, before):
            order = self.orders[placed.order_id].at(view_ms)
            if order is not None:
                yield order

    def orders_after(self, order: Order) -> int:
        """Return how many orders were placed later than this one."""
        return len(self.placed) - bisect_right(self.placed, order.sequence, key=lambda placed: placed.sequence)

    # positions
    def position(self, symbol: str, side: PositionSide, view_ms: int | None = None) -> Position:
        """Return a position; a flat one if there is none."""
        revisions = self._positions.get((symbol, side))
        found = revisions.at(view_ms) if revisions else None
        return found or Position(symbol, side)

    def positions(self, view_ms: int | None = None) -> list[Position]:
        """Return all positions that are not flat, in the order they were first opened."""
        found = (revisions.at(view_ms) for revisions in self._positions.values())
        return [position for position in found if position is not None and position.qty]

    def put_position(self, position: Position, at_ms: int) -> None:
        """Record a position's new state."""
        key = (position.symbol, position.position_side)
        revisions = self._positions.get(key)
        if revisions is None:
            self._positions[key] = Revisions(at_ms, position)
        else:
            revisions.put(at_ms, position)

    # settings
    def mode(self, instrument: Instrument) -> PositionMode:
        """Return the position mode in force: symbol before coin before default."""
        by_coin = self.modes_by_coin.get(instrument.settle, self.default_mode)
        return self.modes_by_symbol.get(instrument.symbol, by_coin)
