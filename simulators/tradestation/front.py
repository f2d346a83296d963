"""The gateway: sign-in, bearer tokens, scopes, quotas, routes, and the two forms of refusal."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar
from urllib.parse import parse_qsl, unquote

from simulators.core.accounts import Account
from simulators.core.tape import Tape
from simulators.core.types import MarketKind
from simulators.core.venue import Venue
from simulators.core.wire import Answer, Call, Handling, Stream, dump
from simulators.tradestation import account, execution, market, reading, trade
from simulators.tradestation.book import Book
from simulators.tradestation.config import AccountType, TradeStationAccount, TradeStationConfig
from simulators.tradestation.context import Context, Flags, House, Row
from simulators.tradestation.errors import TEXTS, TITLES, ApiError
from simulators.tradestation.groups import Siblings, confirm_group, place_group
from simulators.tradestation.limits import RequestQuotas
from simulators.tradestation.oauth import TOKEN_PATHS, Bearer, OAuth
from simulators.tradestation.streams import (
    OrderStream,
    PositionStream,
    QuoteStream,
    TradeStationStream,
    check_room,
)

Handler = Callable[[Context], Row]


@dataclass(frozen=True, slots=True)
class Place:
    """A method and path, which scope they need and which quota they count against."""

    method: str
    path: str
    scope: str
    resource: str

    def match(self, method: str, parts: list[str]) -> dict[str, str] | None:
        """Return the path's variables, or None when it is another endpoint."""
        mine = self.path.split("/")
        if method != self.method or len(mine) != len(parts):
            return None
        pairs = list(zip(mine, parts, strict=True))
        if any(name != part for name, part in pairs if not name.startswith("{")):
            return None
        return {name[1:-1]: part for name, part in pairs if name.startswith("{")}


@dataclass(frozen=True, slots=True)
class Route(Place):
    """One endpoint that answers at once."""

    handler: Handler


@dataclass(frozen=True, slots=True)
class StreamRoute(Place):
    """One endpoint that streams."""

    stream: type[TradeStationStream]


P = TypeVar("P", bound=Place)
_ACCOUNTS = "/v3/brokerage/accounts"
_STREAMS = "/v3/brokerage/stream/accounts"
_HISTORY = f"{_ACCOUNTS}/{{accounts}}/historicalorders"
_ORDERS = "/v3/orderexecution/orders"
ROUTES = (
    Route("GET", _ACCOUNTS, "ReadAccount", "accounts", account.accounts),
    Route("GET", f"{_ACCOUNTS}/{{accounts}}/balances", "ReadAccount", "balances", account.balances),
    Route("GET", f"{_ACCOUNTS}/{{accounts}}/bodbalances", "ReadAccount", "balances", account.bod_balances),
    Route("GET", f"{_ACCOUNTS}/{{accounts}}/positions", "ReadAccount", "positions", account.positions),
    Route("GET", f"{_ACCOUNTS}/{{accounts}}/orders", "ReadAccount", "orders", reading.orders),
    Route("GET", f"{_ACCOUNTS}/{{accounts}}/orders/{{orderIds}}", "ReadAccount", "orders", reading.orders_by_id),
    Route("GET", _HISTORY, "ReadAccount", "orders", reading.historical_orders),
    Route("GET", f"{_HISTORY}/{{orderIds}}", "ReadAccount", "orders", reading.historical_orders_by_id),
    Route("GET", "/v3/marketdata/symbols/{symbols}", "MarketData", "symbols", market.symbols),
    Route("GET", "/v3/marketdata/quotes/{symbols}", "MarketData", "quotes", market.quotes),
    Route("POST", _ORDERS, "Trade", "order", trade.place),
    Route("PUT", f"{_ORDERS}/{{orderID}}", "Trade", "order", trade.replace_order),
    Route("DELETE", f"{_ORDERS}/{{orderID}}", "Trade", "order", trade.cancel),
    Route("POST", "/v3/orderexecution/orderconfirm", "Trade", "order", execution.confirm),
    Route("POST", "/v3/orderexecution/ordergroups", "Trade", "order", place_group),
    Route("POST", "/v3/orderexecution/ordergroupconfirm", "Trade", "order", confirm_group),
    Route("GET", "/v3/orderexecution/routes", "Trade", "order", execution.routes),
    Route("GET", "/v3/orderexecution/activationtriggers", "Trade", "order", execution.triggers),
)
STREAMS = (
    StreamRoute("GET", f"{_STREAMS}/{{accounts}}/orders", "ReadAccount", "streams", OrderStream),
    StreamRoute("GET", f"{_STREAMS}/{{accounts}}/orders/{{orderIds}}", "ReadAccount", "streams", OrderStream),
    StreamRoute("GET", f"{_STREAMS}/{{accounts}}/positions", "ReadAccount", "streams", PositionStream),
    StreamRoute("GET", "/v3/marketdata/stream/quotes/{symbols}", "MarketData", "streams", QuoteStream),
)


class TradeStationFront:
    """Answers one venue's requests; see simulators.core.wire.Front."""

    name = "tradestation"
    broken_json = b'{"Orders":[{"Message":"Sent order: Bu'

    def __init__(self, venue: Venue, config: TradeStationConfig, *, seed: int) -> None:
        self.venue = venue
        self.quotas = RequestQuotas(enabled=config.rate_limits.enabled, overrides=config.rate_limits.per_window)
        self.oauth = OAuth(config.clients, seed=seed, now_ms=venue.clock.gateway_ms)
        hours = config.session.build()
        symbols = {symbol.symbol: symbol for symbol in config.instruments}
        book = Book(venue, symbols, hours, config.quirks)
        self.house = House(
            venue=venue,
            config=config,
            book=book,
            tape=Tape(venue),
            hours=hours,
            accounts={one.name: one for one in config.accounts},
            symbols=symbols,
            confirm_ids=set(),
            streams=set(),
            flags=dict.fromkeys(symbols, Flags()),
        )
        self._siblings = Siblings(self.house)
        venue.matching.trades_now = book.trades_now
        for one in config.accounts:
            self.adopt(venue.accounts[one.name], one)
        self._open_later()

    def adopt(self, opened: Account, config: TradeStationAccount) -> None:
        """Take in an account, and give a cash account no margin."""
        self.venue.accounts[config.name] = opened
        self.house.accounts[config.name] = config
        self.house.book.watch(opened)
        if config.account_type is AccountType.CASH:
            opened.leverages.update(dict.fromkeys(self.house.symbols, Decimal(1)))

    def _open_later(self) -> None:
        """Let orders that rest meet the prices that moved while their session was closed, once it opens."""
        now = self.venue.now_ms()
        due = self.house.hours.next_boundary_ms(now)
        if due is not None:
            self.venue.later(due - now, self._opened)

    def _opened(self) -> None:
        for one in self.venue.accounts.values():
            self.venue.matching.on_price(one, set(self.house.symbols))
        self._open_later()

    # what the core asks
    def set_rate_limits(self, *, enabled: bool) -> None:
        """Switch request quotas on or off."""
        self.quotas.enabled = enabled

    def logged_body(self, call: Call) -> str:
        """Return the body, except where it carries secrets."""
        return "***" if call.path in TOKEN_PATHS else call.body.decode("utf-8", "replace")

    def account_of(self, call: Call) -> Account | None:
        """Return the account that a request is about: in its path, its body, or through the order it names."""
        parts = [unquote(part) for part in call.path.split("/")]
        if "accounts" in parts[:-1]:
            return self.venue.accounts.get(parts[parts.index("accounts") + 1].split(",")[0])
        if call.path.startswith(f"{_ORDERS}/"):
            return next((one for one in self.venue.accounts.values() if one.order(parts[-1]) is not None), None)
        if call.method == "POST" and call.path.startswith("/v3/orderexecution/"):
            return self.venue.accounts.get(trade.account_named(call.body))
        return None

    def overloaded(self, status: int) -> Answer:
        """Return what the gateway says under load, or when what is behind it does not answer in time."""
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"} if status == 429 else {}
        return _refused(ApiError(status, TEXTS.get(status, "Service unavailable.")), headers)

    def coded(self, code: int, message: str) -> Answer:
        """Return HTTP `code` with its title, as a fault wants it; 200 is an order that FAILED."""
        if code != 200:
            return _refused(ApiError(code, message or TITLES.get(code, "Error")), {})
        number = self.venue.ids.order_id(MarketKind.LINEAR, self.venue.now_ms(), self.venue.rng)
        failed = {"Error": "FAILED", "Message": message or "Order failed.", "OrderID": number}
        return Answer(status=200, body=dump({"Orders": [failed], "Errors": []}), code="FAILED")

    def open_stream(self, call: Call, handling: Handling) -> Stream | Answer | None:
        """Open a stream where a request asks for one, or say why it may not."""
        self.venue.settle()
        headers: dict[str, str] = {}
        try:
            found = _find(STREAMS, call)
            if found is None:
                return None
            route, path = found
            bearer = self._admit(call, route, headers)
            context = self._context(call, bearer, path, handling)
            check_room(context, route.stream.kind)
            ends_ms = bearer.ends_ms if self.house.config.streams.end_with_token else None
            stream = route.stream(context, ends_ms=ends_ms)
        except ApiError as error:
            return _refused(error, headers)
        self.house.streams.add(stream)
        return stream

    def handle(self, call: Call, handling: Handling) -> Answer:
        """Answer one request."""
        self.venue.settle()
        signing_in = self.oauth.handle(call)
        if signing_in is not None:
            return signing_in
        headers: dict[str, str] = {}
        try:
            found = _find(ROUTES, call)
            if found is None:
                raise ApiError(404, f"No resource {call.method} {call.path}")
            route, path = found
            bearer = self._admit(call, route, headers)
            body = route.handler(self._context(call, bearer, path, handling))
        except ApiError as error:
            return _refused(error, headers)
        _spoil(body, handling)
        failed = "Error" in body or any("Error" in row for row in _rows(body, "Orders"))
        accepted = not failed and (route.scope != "Trade" or not _rows(body, "Errors"))
        code = "200" if accepted else "FAILED"
        return Answer(status=200, body=dump(body), headers=headers, executed=accepted, code=code)

    def _admit(self, call: Call, route: Place, headers: dict[str, str]) -> Bearer:
        """Check token, scope and quota; put the quota's headers into `headers`."""
        bearer = self.oauth.bearer(call)
        if bearer is None:
            raise ApiError(401, "The access token is missing, invalid or expired.")
        if route.scope not in bearer.scopes:
            raise ApiError(403, f"The access token lacks the scope {route.scope}.")
        now = self.venue.clock.gateway_ms()
        allowed, found = self.quotas.take(bearer.client.client_id, route.resource, now)
        headers.update(found)
        if not allowed:
            raise ApiError(429, TEXTS[429])
        return bearer

    def _context(self, call: Call, bearer: Bearer, path: Mapping[str, str], handling: Handling) -> Context:
        query = dict(parse_qsl(call.raw_query, keep_blank_values=True))
        return Context(self.house, bearer.client, path, query, call.body, handling)


def _find(routes: Iterable[P], call: Call) -> tuple[P, dict[str, str]] | None:
    parts = [unquote(part) for part in call.path.split("/")]
    for route in routes:
        found = route.match(call.method, parts)
        if found is not None:
            return route, found
    return None


def _rows(body: Row, name: str) -> list[Row]:
    rows = body.get(name)
    return rows if isinstance(rows, list) else []


def _spoil(body: Row, handling: Handling) -> None:
    """Spoil the answer's main list, as a fault wants it."""
    if handling.rows is None:
        return
    for name, rows in body.items():
        if name != "Errors" and isinstance(rows, list):
            body[name] = handling.rows.apply(rows)


def _refused(error: ApiError, headers: Mapping[str, str]) -> Answer:
    return Answer(status=error.status, body=dump(error.body), headers=headers, code=str(error.status))
