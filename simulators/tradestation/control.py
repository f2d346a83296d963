"""The control API's further levers on a TradeStation: sign-ins, tokens, streams."""

from typing import Any

from simulators.core.control import Control, ControlError, exposed
from simulators.tradestation.config import ClientConfig, TradeStationAccount
from simulators.tradestation.context import Flags
from simulators.tradestation.front import TradeStationFront
from simulators.tradestation.streams import TradeStationStream


class TradeStationControl(Control):
    """Thread-safe access to one simulated TradeStation."""

    @property
    def _front(self) -> TradeStationFront:
        front = self._simulator.front
        assert isinstance(front, TradeStationFront), f"the front is TradeStation's, was {front.name}"
        return front

    def _client(self, client_id: str) -> ClientConfig:
        found = self._front.oauth.clients.get(client_id)
        if found is None:
            raise ControlError(f"unknown client {client_id!r}; there are {sorted(self._front.oauth.clients)}")
        return found

    @exposed("POST")
    def sign_in(self, client_id: str) -> str:
        """Return a new refresh token, as if the user had signed in with a browser."""
        with self._simulator.lock:
            return self._front.oauth.add_refresh(self._client(client_id))

    @exposed("POST")
    def expire_access_tokens(self) -> int:
        """End every access token; return how many there were."""
        with self._simulator.lock:
            return self._front.oauth.expire_access()

    @exposed("POST")
    def revoke_refresh_tokens(self, client_id: str) -> int:
        """End every refresh token of a key, as its user would; return how many there were."""
        with self._simulator.lock:
            return self._front.oauth.revoke(self._client(client_id).client_id)

    @exposed("POST")
    def set_flags(self, symbol: str, halted: bool = False, delayed: bool = False, hard_to_borrow: bool = False) -> None:
        """Say what the market says of a symbol; a halted one rejects new orders and fills none."""
        with self._simulator.lock:
            house = self._front.house
            if symbol not in house.flags:
                raise ControlError(f"unknown symbol {symbol!r}; listed are {sorted(house.flags)}")
            house.flags[symbol] = Flags(halted, delayed, hard_to_borrow)
            (house.book.halted.add if halted else house.book.halted.discard)(symbol)
            if not halted:
                for account in self._simulator.venue.accounts.values():
                    self._simulator.venue.matching.on_price(account, {symbol})

    @exposed("GET")
    def streams(self) -> list[dict[str, object]]:
        """List the open streams."""
        with self._simulator.lock:
            found = self._front.house.streams
            return [{"kind": one.kind, "client_id": one.context.client.client_id, **one.context.path} for one in found]

    def _each(self, kind: str) -> list[TradeStationStream]:
        return [stream for stream in self._front.house.streams if kind in ("", stream.kind)]

    @exposed("POST")
    def go_away(self, kind: str = "") -> int:
        """End streams of a kind, or all, as a server does that shuts down; return how many."""
        with self._simulator.lock:
            chosen = self._each(kind)
            for stream in chosen:
                stream.goodbye()
            return len(chosen)

    @exposed("POST")
    def end_streams(self, kind: str = "") -> int:
        """End streams of a kind, or all, without a word; return how many."""
        with self._simulator.lock:
            chosen = self._each(kind)
            for stream in chosen:
                stream.levers.ended = True
            return len(chosen)

    @exposed("POST")
    def mute_streams(self, muted: bool = True, kind: str = "") -> int:
        """Keep open streams silent, heartbeats included, or let them speak again; return how many."""
        with self._simulator.lock:
            chosen = self._each(kind)
            for stream in chosen:
                stream.levers.muted = muted
            return len(chosen)

    @exposed("POST")
    def stream_error(self, error: str, message: str = "", kind: str = "") -> int:
        """Put an error, e.g. DualLogon, into streams of a kind, or all, and end them; return how many."""
        with self._simulator.lock:
            chosen = self._each(kind)
            for stream in chosen:
                stream.say({"Error": error, "Message": message or error})
                stream.levers.ended = True
            return len(chosen)

    @exposed("POST")
    def create_account(self, **fields: Any) -> dict[str, object]:
        """Open an account from the fields of TradeStationAccount and fund it."""
        config = TradeStationAccount.model_validate(fields)
        with self._simulator.lock:
            venue = self._simulator.venue
            if config.name in venue.accounts:
                raise ControlError(f"account {config.name!r} exists already")
            account = config.build(len(venue.accounts) + 1)
            self._front.adopt(account, config)
            for coin, amount in config.balances.items():
                venue.deposit(account, coin, amount)
            return {"name": account.name, "uid": account.uid}
