"""/stream: the web socket that tells of an account's orders as they change. It has no past: who is late asks REST."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from simulators.alpaca.book import REPLACING, Book, Sight
from simulators.alpaca.context import Row
from simulators.alpaca.ids import random_uuid
from simulators.alpaca.moments import moment
from simulators.alpaca.render import order_row, text
from simulators.core.accounts import Account
from simulators.core.money import ZERO
from simulators.core.types import Order, PositionSide
from simulators.core.venue import Venue
from simulators.core.wire import dump

STREAM_PATH = "/stream"
EVENTS_KEPT_MAX = 10_000
TRADE_UPDATES = "trade_updates"
_FILLS = frozenset({"partially_filled", "filled"})
Login = Callable[[str, str], Account | None]


@dataclass(frozen=True, slots=True)
class Update:
    """One event of one order."""

    number: int
    account: str
    row: Row


class Updates:
    """The events of one venue's orders, fed by the core's own changes."""

    def __init__(self, venue: Venue, book: Book) -> None:
        self._venue = venue
        self._book = book
        self._told: dict[str, tuple[str, Decimal]] = {}
        self._updates: list[Update] = []
        self.count = 0
        self.sockets: set[UpdateSocket] = set()

    def watch(self, account: Account) -> None:
        """Hear of every change of an account's orders."""
        account.on_order.append(lambda order: self._changed(account, order))

    def since(self, number: int, account: str) -> list[Row]:
        """Return an account's events after a number."""
        start = max(len(self._updates) - (self.count - number), 0)
        return [update.row for update in self._updates[start:] if update.account == account]

    def _changed(self, account: Account, order: Order) -> None:
        sight = self._book.sight(order)
        if sight.ticket.replaced_by == REPLACING:
            return
        status, filled = self._told.get(order.order_id, ("", ZERO))
        self._told[order.order_id] = (sight.status, order.filled_qty)
        if order.filled_qty > filled:
            self._tell(account, sight, "fill" if sight.status == "filled" else "partial_fill")
        elif sight.status != status and sight.status not in _FILLS:
            self._tell(account, sight, sight.status)

    def _tell(self, account: Account, sight: Sight, event: str) -> None:
        self.count += 1
        order = sight.order
        row: Row = {
            "event": event,
            "execution_id": random_uuid(self._venue.rng),
            "timestamp": moment(order.updated_ms * 1000),
            "order": order_row(replace(sight, ticket=replace(sight.ticket))),
        }
        if event in ("fill", "partial_fill"):
            last = account.executions[-1]
            held = account.position(order.request.symbol, PositionSide.BOTH).signed_qty
            if sight.ticket.asset.is_crypto:
                held = account.wallet(sight.ticket.asset.base)
            row |= {"execution_id": last.execution_id, "price": text(last.price), "qty": text(last.qty)}
            row["position_qty"] = text(held)
        self._updates.append(Update(self.count, account.name, row))
        if len(self._updates) > 2 * EVENTS_KEPT_MAX:
            del self._updates[:EVENTS_KEPT_MAX]


class UpdateSocket:
    """One client: it authenticates, says what it listens to, and is told."""

    def __init__(self, updates: Updates, login: Login) -> None:
        self._updates = updates
        self._login = login
        self._account: Account | None = None
        self._listens = False
        self._next = updates.count
        self._due: list[Row] = []
        self.ended = False
        updates.sockets.add(self)

    @property
    def seen(self) -> Row:
        """Return what there is to say of the client."""
        return {"account": self._account.name if self._account is not None else None, "listens": self._listens}

    def receive(self, data: bytes) -> None:
        """Take a frame: an action with its data."""
        try:
            said = json.loads(data)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            self._say("error", {"error": "invalid syntax"})
            return
        given = said.get("data")
        fields = given if isinstance(given, dict) else said
        action = said.get("action")
        if action in ("authenticate", "auth"):
            self._authenticate(fields)
        elif action == "listen":
            self._listen(fields)
        else:
            self._say("error", {"error": f"unknown action {action}"})

    def _authenticate(self, fields: Row) -> None:
        key = fields.get("key_id") or fields.get("key") or ""
        secret = fields.get("secret_key") or fields.get("secret") or ""
        self._account = self._login(str(key), str(secret))
        status = "authorized" if self._account is not None else "unauthorized"
        self._say("authorization", {"status": status, "action": "authenticate"})

    def _listen(self, fields: Row) -> None:
        if self._account is None:
            self._say("authorization", {"status": "unauthorized", "action": "listen"})
            return
        streams = fields.get("streams")
        known = [TRADE_UPDATES] if isinstance(streams, list) and TRADE_UPDATES in streams else []
        self._listens = bool(known)
        self._next = self._updates.count
        self._say("listening", {"streams": known})

    def _say(self, stream: str, data: Row) -> None:
        self._due.append({"stream": stream, "data": data})

    def poll(self) -> list[bytes]:
        """Return what is due."""
        if self._listens and self._account is not None:
            for row in self._updates.since(self._next, self._account.name):
                self._say(TRADE_UPDATES, row)
        self._next = self._updates.count
        due, self._due = self._due, []
        return [dump(row) for row in due]

    def close(self) -> None:
        """Forget the client."""
        self._updates.sockets.discard(self)
