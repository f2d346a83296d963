"""The gateway: routes, signatures, clock window, environment, permissions, limits, envelopes."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import parse_qsl

from simulators.core.accounts import Account
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.types import ApiKey, MarketKind, Refusal
from simulators.core.venue import Venue
from simulators.core.wire import Answer, Call, Handling, Stream, dump
from simulators.okx import account, algos, bills, market, orders, position, trade
from simulators.okx.desk import Desk
from simulators.okx.errors import OKXError, refused, text_of, translate, wrong
from simulators.okx.limits import RequestLimits
from simulators.okx.params import WHOLE, Context, Params
from simulators.okx.render import Row
from simulators.okx.texts import STATUSES
from simulators.okx.trade import ALL_FAILED, Outcome

Handler = Callable[[Context], "list[Row] | Outcome"]
WINDOW_MS = 30_000
STAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
KEY = re.compile(r"[A-Za-z0-9_-]+")
NOT_FOUND = {
    "code": 404,
    "data": {},
    "detailMsg": "",
    "error_code": "404",
    "error_message": "Not Found",
    "msg": "Not Found",
}
OF_REQUESTS = frozenset({51054, 51149, 51113, 51115, 51023, 51603})
"""Codes of the trade class that speak of a whole request and not of an item."""


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint. `right` is what a key needs, None is public; `expires`: takes expTime; `by`: what limits count."""

    handler: Handler
    right: str | None = "read_only"
    expires: bool = False
    by: str = ""


ROUTES: Mapping[tuple[str, str], Route] = {
    ("GET", "/api/v5/public/time"): Route(market.server_time, None),
    ("GET", "/api/v5/public/instruments"): Route(market.instruments, None, by="instType"),
    ("GET", "/api/v5/public/mark-price"): Route(market.mark_prices, None, by="instId"),
    ("GET", "/api/v5/public/price-limit"): Route(market.price_limit, None),
    ("GET", "/api/v5/public/funding-rate"): Route(market.funding_rate, None, by="instId"),
    ("GET", "/api/v5/market/ticker"): Route(market.ticker, None),
    ("GET", "/api/v5/market/tickers"): Route(market.tickers, None),
    ("GET", "/api/v5/market/books"): Route(market.books, None),
    ("GET", "/api/v5/system/status"): Route(market.status, None),
    ("GET", "/api/v5/account/config"): Route(account.config),
    ("GET", "/api/v5/account/balance"): Route(account.balance),
    ("GET", "/api/v5/account/positions"): Route(position.positions),
    ("GET", "/api/v5/account/positions-history"): Route(position.positions_history),
    ("GET", "/api/v5/account/instruments"): Route(market.instruments, by="instType"),
    ("GET", "/api/v5/account/leverage-info"): Route(position.leverage_info),
    ("GET", "/api/v5/account/trade-fee"): Route(account.trade_fee),
    ("GET", "/api/v5/account/bills"): Route(bills.bills),
    ("GET", "/api/v5/account/bills-archive"): Route(bills.bills_archive),
    ("POST", "/api/v5/account/set-leverage"): Route(position.set_leverage, "trade"),
    ("POST", "/api/v5/account/set-position-mode"): Route(position.set_position_mode, "trade"),
    ("GET", "/api/v5/asset/balances"): Route(account.funding_balances),
    ("GET", "/api/v5/asset/currencies"): Route(account.currencies),
    ("GET", "/api/v5/trade/order"): Route(orders.details, by="instId"),
    ("GET", "/api/v5/trade/orders-pending"): Route(orders.pending),
    ("GET", "/api/v5/trade/orders-history"): Route(orders.history),
    ("GET", "/api/v5/trade/orders-history-archive"): Route(orders.archive),
    ("GET", "/api/v5/trade/order-algo"): Route(algos.details),
    ("GET", "/api/v5/trade/orders-algo-pending"): Route(algos.pending),
    ("GET", "/api/v5/trade/orders-algo-history"): Route(algos.history),
    ("GET", "/api/v5/trade/fills"): Route(bills.fills),
    ("GET", "/api/v5/trade/fills-history"): Route(bills.fills_history),
    ("POST", "/api/v5/trade/order"): Route(trade.place, "trade", expires=True, by="instId"),
    ("POST", "/api/v5/trade/batch-orders"): Route(trade.place_many, "trade", expires=True, by="instId"),
    ("POST", "/api/v5/trade/cancel-order"): Route(trade.cancel, "trade", by="instId"),
    ("POST", "/api/v5/trade/cancel-batch-orders"): Route(trade.cancel_many, "trade", by="instId"),
    ("POST", "/api/v5/trade/amend-order"): Route(trade.amend, "trade", expires=True, by="instId"),
    ("POST", "/api/v5/trade/amend-batch-orders"): Route(trade.amend_many, "trade", expires=True, by="instId"),
    ("POST", "/api/v5/trade/order-algo"): Route(algos.place, "trade", by="instId"),
    ("POST", "/api/v5/trade/cancel-algos"): Route(algos.cancel, "trade", by="instId"),
    ("POST", "/api/v5/trade/close-position"): Route(trade.close_position, "trade", by="instId"),
    ("POST", "/api/v5/trade/cancel-all-after"): Route(trade.cancel_all_after, "trade"),
}
PATHS = frozenset(path for _, path in ROUTES)


@dataclass(frozen=True, slots=True)
class Gateway:
    """What of the gateway is configured: keys of one environment only, and the HTTP status of a limit."""

    environments: Mapping[str, str]
    limited_status: int


class OKXFront:
    """Answers one venue's requests; see simulators.core.wire.Front."""

    name = "okx"
    broken_json = b'{"code":"0","data":[{"clOrdId":"","ordId":"28'

    def __init__(self, venue: Venue, desk: Desk, limits: RequestLimits, gateway: Gateway) -> None:
        self.venue = venue
        self.desk = desk
        self.limits = limits
        self.gateway = gateway

    def set_rate_limits(self, *, enabled: bool) -> None:
        """Switch request limits on or off."""
        self.limits.enabled = enabled

    def open_stream(self, call: Call, handling: Handling) -> Stream | Answer | None:
        """Open nothing: OKX streams over web sockets, which are not simulated."""
        return None

    def logged_body(self, call: Call) -> str:
        """Return the body as it came: OKX's carries no secret."""
        return call.body.decode("utf-8", "replace")

    def account_of(self, call: Call) -> Account | None:
        """Return whose key the request names."""
        found = self._key(call.headers.get("ok-access-key", ""))
        return found[0] if found else None

    def _key(self, key: str) -> tuple[Account, ApiKey] | None:
        for one in self.venue.accounts.values():
            for candidate in one.keys:
                if candidate.key == key:
                    return one, candidate
        return None

    def overloaded(self, status: int) -> Answer:
        """Return what OKX says under load: its own body for the statuses that have one, its edge's page otherwise."""
        code = {429: 50011, 500: 50026, 503: 50001}.get(status)
        if code is None:
            body = b"<html><head><title>Bad gateway</title></head><body>cloudflare</body></html>"
            return Answer(status=status, body=body, content_type="text/html", code=str(status))
        return self._envelope(code, text_of(code), [])

    def coded(self, code: int, message: str) -> Answer:
        """Return a code of the caller's choice, as a fault wants it: an item's within an item."""
        text = message or text_of(code)
        if 51000 <= code < 55000 and code not in OF_REQUESTS:
            stamp = str(self.venue.now_ms())
            item = {"clOrdId": "", "ordId": "", "sCode": str(code), "sMsg": text, "subCode": "", "tag": "", "ts": stamp}
            return self._envelope(1, ALL_FAILED, [item], times=True)
        return self._envelope(code, text, [])

    def handle(self, call: Call, handling: Handling) -> Answer:
        """Answer one request."""
        self.venue.settle()
        now = self.venue.clock.gateway_ms()
        route = ROUTES.get((call.method, call.path))
        if route is None:
            return self._unrouted(call)
        try:
            who, key = (None, None) if route.right is None else self._authenticate(call, now)
        except OKXError as error:
            body = {"msg": error.message, "code": str(error.code)}
            return Answer(status=error.status, body=dump(body), code=str(error.code))
        try:
            params = _parse(call)
            context = Context(self.venue, self.desk, who, key, params, handling)
            self._admit(call, route, context, now)
            result = route.handler(context)
        except OKXError as error:
            return self._envelope(error.code, error.message, [], status=self._status(error.code))
        except Refusal as refusal:
            told = translate(refusal, MarketKind.LINEAR)
            return self._envelope(told.code, told.message, [], status=told.status)
        if isinstance(result, Outcome):
            return self._envelope(result.code, result.message, result.rows, times=True)
        rows: list[object] = list(result)
        return self._envelope(0, "", handling.rows.apply(rows) if handling.rows is not None else rows)

    def _unrouted(self, call: Call) -> Answer:
        if call.path in PATHS:
            error = refused(50115)
            return self._envelope(error.code, error.message, [], status=error.status)
        return Answer(status=404, body=dump(NOT_FOUND), code="404")

    def _status(self, code: int) -> int:
        return self.gateway.limited_status if code == 50011 else STATUSES.get(code, 200)

    def _envelope(
        self, code: int, message: str, data: object, *, status: int | None = None, times: bool = False
    ) -> Answer:
        body: Row = {"code": str(code), "data": data}
        if times:
            body |= {"inTime": self._micros(), "msg": message, "outTime": self._micros()}
        else:
            body |= {"msg": message}
        done = code in (0, 2)
        return Answer(
            status=status or STATUSES.get(code, 200), body=dump(body), executed=done, code=_logged(code, data)
        )

    def _micros(self) -> str:
        return str(self.venue.clock.gateway_ns() // 1000)

    # admission
    def _authenticate(self, call: Call, now: int) -> tuple[Account, ApiKey]:
        headers = call.headers
        for code, name in ((50103, "key"), (50104, "passphrase"), (50106, "sign"), (50107, "timestamp")):
            if not headers.get(f"ok-access-{name}"):
                raise refused(code)
        stamp = headers["ok-access-timestamp"]
        if abs(_moment(stamp) - now) > WINDOW_MS:
            raise refused(50102)
        if not KEY.fullmatch(headers["ok-access-key"]):
            raise refused(50111)
        found = self._key(headers["ok-access-key"])
        if found is None or (found[1].expires_ms is not None and found[1].expires_ms <= now):
            raise refused(50119)
        who, key = found
        demo = headers.get("x-simulated-trading", "0") == "1"
        if self.gateway.environments.get(key.key, "demo" if demo else "live") != ("demo" if demo else "live"):
            raise refused(50101)
        if not hmac.compare_digest(key.passphrase.encode(), headers["ok-access-passphrase"].encode()):
            raise refused(50105)
        _check_signature(call, key, stamp)
        if key.ips and call.remote not in key.ips:
            raise refused(50110, ip=call.remote)
        return who, key

    def _admit(self, call: Call, route: Route, context: Context, now: int) -> None:
        """Check limits, rights and the deadline, in this order."""
        who = f"uid:{context.me.uid}" if context.account is not None else f"ip:{call.remote}"
        items = context.params.values.get("items")
        bodies = items if isinstance(items, list) else [context.params.values]
        what = tuple(str(body.get(route.by) or "") for body in bodies if isinstance(body, dict)) if route.by else ()
        if not self.limits.take(method=call.method, path=call.path, who=who, what=what, now_ms=now):
            raise refused(50011)
        if call.method == "POST" and not self.limits.take_account(
            path=call.path, who=who, count=len(bodies), now_ms=now
        ):
            raise refused(50061)
        if route.right is not None and context.key is not None and route.right not in account.rights(context.key):
            raise refused(50120)
        if route.expires:
            self._check_deadline(call, now)

    def _check_deadline(self, call: Call, now: int) -> None:
        """Refuse an order after its expTime: 50036 if it came too late, 50037 if it became so on its way in."""
        text = call.headers.get("exptime", "")
        if not text:
            return
        if not WHOLE.fullmatch(text):
            raise wrong("expTime")
        if int(text) < now:
            raise refused(50036 if int(text) < self._arrival_ms(call, now) else 50037)

    def _arrival_ms(self, call: Call, now: int) -> int:
        """Return when a request reached the gateway; a clock that is moved by hand knows only its own stamp."""
        clock = self.venue.clock
        if clock.mode is ClockMode.MANUAL and clock.gateway is GatewayClock.ENGINE:
            return min(now, _moment(call.headers["ok-access-timestamp"]))
        return call.received_ms + clock.skew_ms


def _logged(code: int, data: object) -> str:
    """Return the code for the request log: an item's own where all of a single request failed."""
    first = data[0] if isinstance(data, list) and data else None
    return str(first["sCode"]) if code == 1 and isinstance(first, dict) else str(code)


def _moment(stamp: str) -> int:
    """Return the milliseconds of a timestamp header."""
    if not STAMP.fullmatch(stamp):
        raise refused(50112)
    try:
        found = datetime.fromisoformat(stamp.removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError:
        raise refused(50112) from None
    return round(found.timestamp() * 1000)


def _check_signature(call: Call, key: ApiKey, stamp: str) -> None:
    target = f"{call.path}?{call.raw_query}" if call.raw_query else call.path
    origin = f"{stamp}{call.method}{target}".encode() + call.body
    expected = base64.b64encode(hmac.new(key.secret.encode(), origin, hashlib.sha256).digest())
    if not hmac.compare_digest(expected, call.headers["ok-access-sign"].encode()):
        raise refused(50113)


def _parse(call: Call) -> Params:
    """Read the query or the JSON body; a list of orders becomes `items`. Numbers stay exact."""
    if call.method == "GET":
        return Params(dict(parse_qsl(call.raw_query, keep_blank_values=True)))
    if not call.body:
        raise refused(50000)
    if not call.headers.get("content-type", "").lower().startswith("application/json"):
        raise refused(50006)
    try:
        body = json.loads(call.body, parse_float=Decimal)
    except ValueError:
        raise refused(50002) from None
    if isinstance(body, list):
        return Params({"items": body})
    if not isinstance(body, dict):
        raise refused(50002)
    return Params(body)
