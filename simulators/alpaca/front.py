"""The gateway: keys, request limits, routes of the trading API and of market data, and the forms of refusal."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

from simulators.alpaca import account, market, reading, trade
from simulators.alpaca.activities import activities
from simulators.alpaca.book import Book
from simulators.alpaca.config import AlpacaAccount, AlpacaConfig
from simulators.alpaca.context import Context, House, Row
from simulators.alpaca.costs import CostBook
from simulators.alpaca.errors import INTERNAL, NOT_AUTHORIZED, TOO_MANY, ApiError, edge, explain, refused, status_of
from simulators.alpaca.fees import FeeBook
from simulators.alpaca.fills import FillBook
from simulators.alpaca.groups import Groups
from simulators.alpaca.limits import RequestLimits
from simulators.alpaca.limits import headers as limit_headers
from simulators.alpaca.money import funds
from simulators.alpaca.trails import Trails
from simulators.alpaca.updates import STREAM_PATH, Updates, UpdateSocket
from simulators.core.accounts import Account
from simulators.core.tape import Tape
from simulators.core.types import Refusal
from simulators.core.venue import Venue
from simulators.core.wire import Answer, Call, Handling, Socket, Stream, dump

Handler = Callable[[Context], "Row | list[Row] | None"]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint: its service's limit counts its requests. `open` ones need no key, but check one that is given."""

    method: str
    path: str
    handler: Handler
    service: str = "trading"
    open: bool = False
    status: int = 200

    def match(self, method: str, parts: list[str]) -> dict[str, str] | None:
        """Return the path's variables, or None when it is another endpoint."""
        mine = self.path.split("/")
        if method != self.method or len(mine) != len(parts):
            return None
        pairs = list(zip(mine, parts, strict=True))
        if any(name != part for name, part in pairs if not name.startswith("{")):
            return None
        return {name[1:-1]: part for name, part in pairs if name.startswith("{")}


_STOCKS, _CRYPTO = "/v2/stocks", "/v1beta3/crypto/{loc}"
ROUTES = (
    Route("GET", "/v2/account", account.account),
    Route("GET", "/v2/account/configurations", account.configurations),
    Route("PATCH", "/v2/account/configurations", account.change_configurations),
    Route("GET", "/v2/account/activities", activities),
    Route("GET", "/v2/account/activities/{activity_type}", activities),
    Route("GET", "/v2/positions", account.positions),
    Route("GET", "/v2/positions/{symbol_or_asset_id}", account.position),
    Route("DELETE", "/v2/positions", trade.close_all, status=207),
    Route("DELETE", "/v2/positions/{symbol_or_asset_id}", trade.close_position),
    Route("GET", "/v2/assets", account.assets),
    Route("GET", "/v2/assets/{symbol_or_asset_id}", account.asset),
    Route("GET", "/v2/clock", account.clock),
    Route("GET", "/v2/calendar", account.calendar),
    Route("POST", "/v2/orders", trade.place),
    Route("GET", "/v2/orders", reading.orders),
    Route("DELETE", "/v2/orders", trade.cancel_all, status=207),
    Route("GET", "/v2/orders:by_client_order_id", reading.order_by_client_id),
    Route("GET", "/v2/orders/{order_id}", reading.order_by_id),
    Route("PATCH", "/v2/orders/{order_id}", trade.replace_order),
    Route("DELETE", "/v2/orders/{order_id}", trade.cancel, status=204),
    Route("GET", f"{_STOCKS}/quotes/latest", market.stock_quotes, "data"),
    Route("GET", f"{_STOCKS}/trades/latest", market.stock_trades, "data"),
    Route("GET", f"{_STOCKS}/snapshots", market.stock_snapshots, "data"),
    Route("GET", f"{_STOCKS}/{{symbol}}/quotes/latest", market.stock_quote, "data"),
    Route("GET", f"{_STOCKS}/{{symbol}}/trades/latest", market.stock_trade, "data"),
    Route("GET", f"{_STOCKS}/{{symbol}}/snapshot", market.stock_snapshot, "data"),
    Route("GET", f"{_CRYPTO}/latest/quotes", market.crypto_quotes, "data", open=True),
    Route("GET", f"{_CRYPTO}/latest/trades", market.crypto_trades, "data", open=True),
    Route("GET", f"{_CRYPTO}/latest/orderbooks", market.crypto_orderbooks, "data", open=True),
    Route("GET", f"{_CRYPTO}/snapshots", market.crypto_snapshots, "data", open=True),
)


class AlpacaFront:
    """Answers one venue's requests; see simulators.core.wire.Front."""

    name = "alpaca"
    broken_json = b'{"id":"61e69015-8549-4bfd-b9c3-01e75843f47d","client_ord'

    def __init__(self, venue: Venue, config: AlpacaConfig) -> None:
        self.venue = venue
        self.limits = RequestLimits(config.rate_limits)
        hours = config.session.build()
        assets = {asset.symbol: asset for asset in config.instruments}
        book = Book(venue, assets, hours)
        self.house = House(
            venue=venue,
            config=config,
            book=book,
            tape=Tape(venue),
            hours=hours,
            costs=CostBook(venue, assets),
            fees=FeeBook(venue, config, hours, assets),
            fills=FillBook(venue),
            groups=Groups(venue, book),
            assets=assets,
            accounts={},
            one_sided={},
            closing_equity={},
        )
        self.updates = Updates(venue, book)
        venue.matching.trades_now = book.trades_now
        self._trails = Trails(venue, book)
        for one in config.accounts:
            self.adopt(venue.accounts[one.name], one)
        self._open_later()
        self._end_day_later()

    def adopt(self, opened: Account, config: AlpacaAccount) -> None:
        """Take in an account."""
        self.venue.accounts[config.name] = opened
        self.house.accounts[config.name] = config
        self.house.book.watch(opened)
        self.house.groups.watch(opened)
        self.updates.watch(opened)
        self.house.change(config.name)

    def _open_later(self) -> None:
        """Let orders that rest meet the prices that moved while their session was closed, once it opens."""
        now = self.venue.now_ms()
        due = self.house.hours.next_boundary_ms(now)
        if due is not None:
            self.venue.later(due - now, self._opened)

    def _opened(self) -> None:
        for one in self.venue.accounts.values():
            self.venue.matching.on_price(one, set(self.house.assets))
        self._open_later()

    def _end_day_later(self) -> None:
        """Keep each account's equity at the end of New York's day."""
        now = self.venue.now_ms()
        self.venue.later(self.house.hours.day_end_ms(self.house.hours.day(now)) - now, self._day_ended)

    def _day_ended(self) -> None:
        for name, one in self.venue.accounts.items():
            self.house.closing_equity[name] = funds(self.house, one).equity
        self._end_day_later()

    # what the core asks
    def set_rate_limits(self, *, enabled: bool) -> None:
        """Switch request limits on or off."""
        self.limits.enabled = enabled

    def logged_body(self, call: Call) -> str:
        """Return the body as it came: Alpaca's carries no secret."""
        return call.body.decode("utf-8", "replace")

    def account_of(self, call: Call) -> Account | None:
        """Return whose key the request names."""
        name = call.headers.get("apca-api-key-id", "")
        for one in self.venue.accounts.values():
            if any(key.key == name for key in one.keys):
                return one
        return None

    def overloaded(self, status: int) -> Answer:
        """Return what is said under load: 429 and 500 in JSON, other errors in the edge's HTML."""
        if status == 429:
            reset_s = self.venue.clock.gateway_ms() // 1000 + 1
            error = refused(TOO_MANY, "rate limit exceeded")
            return _refused(error, limit_headers(self.limits.maximum("trading"), 0, reset_s))
        if status == 500:
            return _refused(refused(INTERNAL, "internal server error occurred"), {})
        body, content_type = edge(status)
        return Answer(status=status, body=body, content_type=content_type, code=str(status))

    def coded(self, code: int, message: str) -> Answer:
        """Return an error as a fault wants it: eight digits, or an HTTP status for a body without a code."""
        status = status_of(code)
        phrase = HTTPStatus(status).phrase.lower() if status in set(HTTPStatus) else "error"
        return _refused(ApiError(status, message or f"{phrase}.", code=code if code > 999 else None), {})

    def open_stream(self, call: Call, handling: Handling) -> Stream | Answer | None:
        """Open nothing: Alpaca streams over web sockets."""
        return None

    def open_socket(self, call: Call) -> Socket | None:
        """Open the web socket of trade updates."""
        return UpdateSocket(self.updates, self._login) if call.path == STREAM_PATH else None

    def _login(self, name: str, secret: str) -> Account | None:
        for one in self.venue.accounts.values():
            if any(key.key == name and key.secret == secret for key in one.keys):
                return one
        return None

    def handle(self, call: Call, handling: Handling) -> Answer:
        """Answer one request."""
        self.venue.settle()
        found: dict[str, str] = {}
        try:
            route, path = _find(call)
            owner = self._admit(call, route, found)
            query = dict(parse_qsl(call.raw_query, keep_blank_values=True))
            body = route.handler(Context(self.house, owner, path, query, call.body, handling))
        except ApiError as error:
            return _refused(error, found)
        except Refusal as refusal:
            return _refused(explain(refusal), found)
        if isinstance(body, list) and handling.rows is not None:
            body = [row for row in handling.rows.apply(list(body)) if isinstance(row, dict)]
        raw = b"" if body is None else dump(body)
        return Answer(status=route.status, body=raw, headers=found, executed=True, code=str(route.status))

    def _admit(self, call: Call, route: Route, found: dict[str, str]) -> Account | None:
        """Check key and limit; put the limit's headers into `found`."""
        name, secret = call.headers.get("apca-api-key-id", ""), call.headers.get("apca-api-secret-key", "")
        owner = self.account_of(call)
        if not name and not secret:
            if not route.open:
                raise ApiError(401, "unauthorized.")
        elif owner is None:
            raise ApiError(403, "forbidden.")
        elif not any(key.key == name and key.secret == secret for key in owner.keys):
            raise refused(NOT_AUTHORIZED, "request is not authorized")
        allowed, headers = self.limits.take(name or call.remote, route.service, self.venue.clock.gateway_ms())
        found.update(headers)
        if not allowed:
            raise refused(TOO_MANY, "rate limit exceeded")
        return owner


def _find(call: Call) -> tuple[Route, dict[str, str]]:
    parts = [unquote(part) for part in call.path.split("/")]
    for route in ROUTES:
        found = route.match(call.method, parts)
        if found is not None:
            return route, found
    known = any(route.match(route.method, parts) is not None for route in ROUTES)
    raise ApiError(405 if known else 404, "Method Not Allowed" if known else "endpoint not found.")


def _refused(error: ApiError, headers: Mapping[str, str]) -> Answer:
    code = str(error.code if error.code is not None else error.status)
    return Answer(status=error.status, body=dump(error.body), headers=headers, code=code)
