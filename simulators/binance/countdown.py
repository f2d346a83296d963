"""A countdown of a futures symbol: its open orders are cancelled when nobody starts it again in time."""

from simulators.core.accounts import Account
from simulators.core.types import MarketKind, OrderStatus, Reason
from simulators.core.venue import Venue

Key = tuple[str, str]


class Countdowns:
    """One countdown an account and symbol, by the engine's clock."""

    def __init__(self) -> None:
        self._numbers: dict[Key, int] = {}
        self._due_ms: dict[Key, int] = {}
        self._number = 0

    def due_ms(self, account: str, symbol: str) -> int | None:
        """Return when a symbol's orders are to be cancelled, or None where nothing counts down."""
        return self._due_ms.get((account, symbol))

    def start(self, venue: Venue, account: Account, symbol: str, delay_ms: int) -> None:
        """Start it, again or anew; 0 stops it."""
        key = (account.name, symbol)
        self._number += 1
        number = self._numbers[key] = self._number
        self._due_ms.pop(key, None)
        if delay_ms:
            self._due_ms[key] = venue.now_ms() + delay_ms
            venue.later(delay_ms, lambda: self._end(venue, account, symbol, number))

    def _end(self, venue: Venue, account: Account, symbol: str, number: int) -> None:
        """Cancel what is in the engine; what waits in the algo service stays."""
        key = (account.name, symbol)
        if self._numbers[key] != number:
            return
        del self._due_ms[key]
        for order in account.open_orders():
            is_of_symbol = order.request.kind is MarketKind.LINEAR and order.request.symbol == symbol
            if is_of_symbol and order.status is not OrderStatus.UNTRIGGERED:
                venue.cancel_now(account, order.order_id, Reason.CANCELLED_BY_USER)
