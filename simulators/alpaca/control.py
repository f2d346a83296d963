"""The control API's further levers on an Alpaca: assets, account settings, fees, statuses, quotes."""

from typing import Any

from simulators.alpaca.config import AlpacaAccount
from simulators.alpaca.front import AlpacaFront
from simulators.core.control import Control, ControlError, exposed


class AlpacaControl(Control):
    """Thread-safe access to one simulated Alpaca."""

    @property
    def _front(self) -> AlpacaFront:
        front = self._simulator.front
        assert isinstance(front, AlpacaFront), f"the front is Alpaca's, was {front.name}"
        return front

    def _known(self, symbol: str) -> str:
        found = self._front.house.find(symbol)
        if found is None:
            raise ControlError(f"unknown symbol {symbol!r}; listed are {sorted(self._front.house.assets)}")
        return found.symbol

    @exposed("POST")
    def set_asset(self, symbol: str, **changes: Any) -> None:
        """Change flags of an asset: active, trading, marginable, shortable, easy_to_borrow, fractionable."""
        allowed = {"active", "trading", "marginable", "shortable", "easy_to_borrow", "fractionable"}
        unknown = sorted(set(changes) - allowed)
        if unknown:
            raise ControlError(f"unknown flags {unknown}; there are {sorted(allowed)}")
        with self._simulator.lock:
            assets, name = self._front.house.assets, self._known(symbol)
            assets[name] = assets[name].model_copy(update=changes)

    @exposed("POST")
    def set_account(self, account: str, **changes: Any) -> None:
        """Change an account's settings: fields of AlpacaAccount, e.g. trading_blocked, status, multiplier."""
        with self._simulator.lock:
            self._account(account)
            self._front.house.change(account, **changes)

    @exposed("POST")
    def halt(self, symbol: str, halted: bool = True) -> None:
        """Stop trading in an asset, or let it go on: orders are taken, and rest."""
        with self._simulator.lock:
            name, house = self._known(symbol), self._front.house
            (house.book.halted.add if halted else house.book.halted.discard)(name)
            if not halted:
                for one in self._simulator.venue.accounts.values():
                    self._simulator.venue.matching.on_price(one, {name})

    @exposed("POST")
    def one_sided(self, symbol: str, no_bid: bool = False, no_ask: bool = False) -> None:
        """Let quotes of an asset lack a side, which market data prints as zeros."""
        with self._simulator.lock:
            self._front.house.one_sided[self._known(symbol)] = (no_bid, no_ask)

    @exposed("POST")
    def post_fees(self) -> int:
        """Post all fees that are owed, as if the day were over; return how many activities that made."""
        with self._simulator.lock:
            self._present()
            return self._front.house.fees.post_all()

    @exposed("POST")
    def show_status(self, account: str, order_id: str, status: str = "") -> None:
        """Print a status of one's choice for an order, e.g. `activated`; without one what it really has."""
        with self._simulator.lock:
            if self._account(account).order(order_id) is None:
                raise ControlError(f"account {account!r} has no order {order_id!r}")
            self._front.house.book.tickets[order_id].shown = status

    @exposed("GET")
    def sockets(self) -> list[dict[str, object]]:
        """List the open web sockets: whose they are, and whether they listen."""
        with self._simulator.lock:
            return [socket.seen for socket in self._front.updates.sockets]

    @exposed("POST")
    def end_sockets(self) -> int:
        """Close every open web socket; return how many there were."""
        with self._simulator.lock:
            found = list(self._front.updates.sockets)
            for socket in found:
                socket.ended = True
            return len(found)

    @exposed("POST")
    def reset(self) -> None:
        """Go back to the configuration; sockets of what was before end."""
        self.end_sockets()
        super().reset()

    @exposed("POST")
    def create_account(self, **fields: Any) -> dict[str, object]:
        """Open an account from the fields of AlpacaAccount and fund it."""
        config = AlpacaAccount.model_validate(fields)
        with self._simulator.lock:
            venue = self._simulator.venue
            if config.name in venue.accounts:
                raise ControlError(f"account {config.name!r} exists already")
            account = config.build(len(venue.accounts) + 1)
            self._front.adopt(account, config)
            for coin, amount in config.balances.items():
                venue.deposit(account, coin, amount)
            return {"name": account.name, "uid": account.uid, "api_key": account.keys[0].key}
