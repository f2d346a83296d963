"""HTTP streams: orders and positions begin with a snapshot and EndSnapshot, quotes do not; then come changes.

The official document gives the quote stream neither EndSnapshot nor a StreamStatus: it says goodbye with an Error.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from simulators.core.accounts import Account
from simulators.core.types import Instrument
from simulators.core.wire import dump
from simulators.tradestation.account import position_rows
from simulators.tradestation.context import Context, Row
from simulators.tradestation.errors import INVALID_SYMBOL, ApiError
from simulators.tradestation.market import QUOTES_MAX, quote
from simulators.tradestation.reading import ORDER_IDS_MAX, current, row_of
from simulators.tradestation.sessions import iso

V3, V2 = "application/vnd.tradestation.streams.v3+json", "application/vnd.tradestation.streams.v2+json"
GOODBYE = "The server is about to shut down."


@dataclass(slots=True)
class Levers:
    """What the venue's staff does to a stream: end it, or keep it silent."""

    ended: bool = False
    muted: bool = False


class TradeStationStream(ABC):
    """One open stream; `simulators.core.wire.Stream` says what its methods mean."""

    content_type = V3
    kind = ""

    def __init__(self, context: Context, *, ends_ms: int | None) -> None:
        self.context = context
        self.levers = Levers()
        self._ends_ms = ends_ms
        self._out: list[Row] = []
        self._begun = False
        self._heartbeats = 0
        self._spoke_ms = context.venue.clock.gateway_ms()

    @property
    def ended(self) -> bool:
        return self.levers.ended and not self._out

    @property
    def piece_bytes(self) -> int | None:
        return self.context.house.config.streams.piece_bytes

    @abstractmethod
    def snapshot(self) -> list[Row]:
        """Return what the stream begins with."""

    @abstractmethod
    def changes(self) -> list[Row]:
        """Return what has changed since it was last asked."""

    def say(self, row: Row) -> None:
        """Put an object into the stream."""
        self._out.append(row)

    def goodbye(self) -> None:
        """Tell the client to connect again, and end."""
        self.say({"StreamStatus": "GoAway"})
        self.levers.ended = True

    def poll(self) -> list[bytes]:
        """Return what is due: the snapshot, changes, or a heartbeat after silence."""
        if self.levers.muted and not self.levers.ended:
            return []
        rows = self.changes() if self._begun else self.snapshot()
        self._begun = True
        rows += self._out
        self._out = []
        now = self.context.venue.clock.gateway_ms()
        if rows:
            self._spoke_ms = now
        elif now - self._spoke_ms >= self.context.house.config.streams.heartbeat_s * 1000:
            self._heartbeats += 1
            self._spoke_ms = now
            rows = [{"Heartbeat": self._heartbeats, "Timestamp": iso(now)}]
        if self._ends_ms is not None and now >= self._ends_ms:
            self.levers.ended = True
        return [dump(row) + b"\r\n" for row in rows]

    def close(self) -> None:
        """Forget the stream; the front that keeps the list overrides this."""
        self.context.house.streams.discard(self)


END_SNAPSHOT: Row = {"StreamStatus": "EndSnapshot"}


class OrderStream(TradeStationStream):
    """/v3/brokerage/stream/accounts/{accounts}/orders, and with /{orderIds}: whole orders, again at each change."""

    kind = "orders"

    def __init__(self, context: Context, *, ends_ms: int | None) -> None:
        super().__init__(context, ends_ms=ends_ms)
        self._accounts, self._errors = context.named()
        self._names = {account.name for account in self._accounts}
        self._ids = set(context.listed("orderIds", ORDER_IDS_MAX)) if "orderIds" in context.path else None
        self._seen = context.house.book.count

    def _wants(self, order_id: str) -> bool:
        return self._ids is None or order_id in self._ids

    def snapshot(self) -> list[Row]:
        sights = [s for s in current(self.context, self._accounts) if self._wants(s.order.order_id)]
        self._seen = self.context.house.book.count
        rows = [row_of(self.context.house, sight) for sight in reversed(sights)]
        return [*self._errors, *rows, END_SNAPSHOT]

    def changes(self) -> list[Row]:
        events = self.context.house.book.since(self._seen)
        self._seen = self.context.house.book.count
        mine = (event for event in events if event.account in self._names and self._wants(event.order_id))
        return [row_of(self.context.house, event.sight) for event in mine]


class PositionStream(TradeStationStream):
    """/v3/brokerage/stream/accounts/{accounts}/positions: whole positions, or with `changes` the changed fields."""

    kind = "positions"

    def __init__(self, context: Context, *, ends_ms: int | None) -> None:
        super().__init__(context, ends_ms=ends_ms)
        self._accounts, self._errors = context.named()
        self._changes = context.query.get("changes", "").lower() == "true"
        self._last: dict[str, Row] = {}

    def _now(self) -> dict[str, Row]:
        return {str(row["PositionID"]): row for row in _positions(self.context, self._accounts)}

    def snapshot(self) -> list[Row]:
        self._last = self._now()
        return [*self._errors, *self._last.values(), END_SNAPSHOT]

    def changes(self) -> list[Row]:
        now, before = self._now(), self._last
        self._last = now
        rows: list[Row] = []
        for number, row in now.items():
            changed = changed_fields(before.get(number, {}), row)
            if changed:
                rows.append({"PositionID": number, **changed} if self._changes and number in before else row)
        return rows + [{"PositionID": number, "Deleted": True} for number in before if number not in now]


def _positions(context: Context, accounts: Iterable[Account]) -> list[Row]:
    return [row for account in accounts for row in position_rows(context.house, account)]


def changed_fields(before: Mapping[str, object], after: Row) -> Row:
    """Return the fields whose values differ."""
    return {name: value for name, value in after.items() if before.get(name) != value}


class QuoteStream(TradeStationStream):
    """/v3/marketdata/stream/quotes/{symbols}: whole quotes first, changed fields later."""

    kind = "quotes"
    content_type = V2

    def __init__(self, context: Context, *, ends_ms: int | None) -> None:
        super().__init__(context, ends_ms=ends_ms)
        named = {name: context.house.instrument(name) for name in context.listed("symbols", QUOTES_MAX)}
        self._found: list[Instrument] = [one for one in named.values() if one is not None]
        self._errors: list[Row] = [{"Symbol": n, "Error": INVALID_SYMBOL} for n, one in named.items() if one is None]
        self._last: dict[str, Row] = {}

    def _now(self) -> dict[str, Row]:
        return {one.symbol: quote(self.context.house, one) for one in self._found}

    def snapshot(self) -> list[Row]:
        self._last = self._now()
        return [*self._errors, *self._last.values()]

    def changes(self) -> list[Row]:
        now, before = self._now(), self._last
        self._last = now
        changed = {symbol: changed_fields(before[symbol], row) for symbol, row in now.items()}
        return [{"Symbol": symbol, **fields} for symbol, fields in changed.items() if fields]

    def goodbye(self) -> None:
        self.say({"Error": "GoAway", "Message": GOODBYE})
        self.levers.ended = True


def check_room(context: Context, kind: str) -> None:
    """Refuse a stream beyond as many of a kind as one client may hold open."""
    limits = context.house.config.streams
    maximum = {"orders": limits.orders_max, "positions": limits.positions_max, "quotes": limits.quotes_max}[kind]
    mine = [s for s in context.house.streams if s.kind == kind and s.context.client is context.client]
    if len(mine) >= maximum:
        raise ApiError(429, f"No more than {maximum} concurrent {kind} streams are allowed.")
