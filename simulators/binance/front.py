"""The gateway: routes, signatures, clock window, permissions, limits, errors (venues/binance.md §2, §5, §6)."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from decimal import Decimal

from simulators.binance.errors import AHEAD, BAD_KEY, OUT_OF_WINDOW, BinanceError, illegal, translate
from simulators.binance.house import House
from simulators.binance.params import Context, Params, check_known, parse
from simulators.binance.routes import ROUTES, Route
from simulators.core.accounts import Account
from simulators.core.types import ApiKey, Execution, ExecutionKind, MarketKind, Refusal
from simulators.core.venue import Venue
from simulators.core.wire import Answer, Call, Handling, Stream, dump

AHEAD_MS = 1000
RECV_WINDOW_MS = Decimal(5000)
RECV_WINDOW_MS_MAX = 60_000
MICROSECONDS_FROM = 10**15
_WINDOW = re.compile(r"[0-9]{1,8}(\.[0-9]{1,3})?")
UNKNOWN_STATE = "Unknown error, please check your request or try again later."
BANNED = (
    "Way too much request weight used; IP banned until {until}. "
    "Please use WebSocket Streams for live updates to avoid bans."
)
RESTRICTED = (
    "Service unavailable from a restricted location according to 'b. Eligibility' in https://www.binance.com/en/terms. "
    "Please contact customer service if you believe you received this message in error."
)


class BinanceFront:
    """Answers one venue's requests; see simulators.core.wire.Front."""

    name = "binance"
    broken_json = b'{"symbol":"BTCUSDT","orderId":97803'

    def __init__(self, venue: Venue, house: House) -> None:
        self.venue = venue
        self.house = house
        venue.settlement.on_execution.append(self._on_execution)

    def _on_execution(self, execution: Execution) -> None:
        """Count a spot order no longer once it has got its first fill."""
        if execution.market is not MarketKind.SPOT or execution.kind is not ExecutionKind.TRADE:
            return
        order = self.venue.accounts[execution.account].order(execution.order_id)
        if order is not None and order.filled_qty == execution.qty:
            self.house.limits.count_order(MarketKind.SPOT, execution.account, self.venue.clock.gateway_ms(), by=-1)

    def set_rate_limits(self, *, enabled: bool) -> None:
        """Switch request limits on or off."""
        self.house.limits.enabled = enabled

    def open_stream(self, call: Call, handling: Handling) -> Stream | Answer | None:
        """Open nothing: Binance streams over web sockets, which are not simulated."""
        return None

    def logged_body(self, call: Call) -> str:
        """Return the body without its signature."""
        return _unsigned(call.body.decode("utf-8", "replace"))

    def account_of(self, call: Call) -> Account | None:
        """Return whose key the request names."""
        found = self._key(call.headers.get("x-mbx-apikey", ""))
        return found[0] if found else None

    def _key(self, key: str) -> tuple[Account, ApiKey] | None:
        for account in self.venue.accounts.values():
            for candidate in account.keys:
                if candidate.key == key:
                    return account, candidate
        return None

    # faults
    def overloaded(self, status: int) -> Answer:
        """Return what Binance's edge and gateway say: JSON from the gateway, HTML from the edge."""
        now = self.venue.clock.gateway_ms()
        codes = {429: -1003, 408: -1007, 500: -1000}
        if status in codes:
            error = BinanceError(codes[status], status=status)
            return _json(status, {"code": error.code, "msg": error.message}, code=str(error.code))
        if status == 418:
            return _json(418, {"code": -1003, "msg": BANNED.format(until=now + 120_000)}, code="-1003")
        if status == 451:
            return _json(451, {"code": 0, "msg": RESTRICTED}, code="0")
        if status == 503:  # seen without a code
            return _json(503, {"timestamp": now, "path": "", "msg": UNKNOWN_STATE})
        return _html(status)

    def coded(self, code: int, message: str) -> Answer:
        """Return an error with a code of the caller's choice and the HTTP status that belongs to it."""
        error = BinanceError(code, message or None, status=503 if code == 0 else None)
        return self._refused(error, {})

    # requests
    def handle(self, call: Call, handling: Handling) -> Answer:
        """Answer one request."""
        self.venue.settle()
        route = ROUTES.get((call.method, call.path))
        if route is None:
            return _html(404)
        kind = MarketKind.LINEAR if call.path.startswith("/fapi/") else MarketKind.SPOT
        now = self.venue.clock.gateway_ms()
        headers: dict[str, str] = {}
        try:
            result = self._handle(call, handling, route, kind, headers)
        except BinanceError as error:
            return self._refused(error, {**self.house.limits.used_headers(kind, call.remote, now), **headers})
        except Refusal as refusal:
            used = self.house.limits.used_headers(kind, call.remote, now)
            return self._refused(translate(refusal, kind), {**used, **headers})
        headers |= self.house.limits.used_headers(kind, call.remote, now)
        return _json(200, result, headers=headers, executed=True, code="0")

    def _handle(
        self, call: Call, handling: Handling, route: Route, kind: MarketKind, headers: dict[str, str]
    ) -> dict[str, object] | list[object]:
        """Run a request through the gateway; `headers` collects what even a refusal tells."""
        limits, now = self.house.limits, self.venue.clock.gateway_ms()
        params = parse(call)
        weight = route.weighs(params)
        limits.charge(kind, call.remote, weight, now)
        account, key = (None, None) if route.permission is None else self._authenticate(call, params, now)
        if account is not None and key is not None:
            _permit(route, key, kind)
        check_known(params, route.accepts)
        if account is not None and route.places:
            limits.check_orders(kind, account.name, now)
        context = Context(self.venue, self.house, kind, account, key, params, handling)
        if account is not None and route.places:
            result = self._counted(context, route)
            headers |= limits.order_headers(kind, account.name, now)
        else:
            result = route.handler(context)
        if route.weight_done is not None:
            limits.give_back(kind, call.remote, weight - route.weight_done, now)
        if handling.rows is not None and isinstance(result, list):
            return handling.rows.apply(result)
        return result

    def _counted(self, context: Context, route: Route) -> dict[str, object] | list[object]:
        """Run a request that places an order, counted beforehand so that its first fill can be taken off again."""
        limits, now, name = self.house.limits, self.venue.clock.gateway_ms(), context.me.name
        limits.count_order(context.kind, name, now)
        try:
            return route.handler(context)
        except (BinanceError, Refusal):
            limits.count_order(context.kind, name, now, by=-1)
            raise

    @staticmethod
    def _refused(error: BinanceError, headers: Mapping[str, str]) -> Answer:
        body: dict[str, object] = {"code": error.code, "msg": error.message}
        return _json(error.status, body, headers={**headers, **error.headers}, code=str(error.code))

    # authentication
    def _authenticate(self, call: Call, params: Params, now: int) -> tuple[Account, ApiKey]:
        name = call.headers.get("x-mbx-apikey", "")
        if not name:
            raise BinanceError(-2014)
        found = self._key(name)
        if found is None:
            raise BinanceError(-2015)
        account, key = found
        if (key.expires_ms is not None and key.expires_ms <= now) or (key.ips and call.remote not in key.ips):
            raise BinanceError(-2015, f"{BAD_KEY[:-1]}, request ip: {call.remote}")
        for field in ("timestamp", "signature"):
            params.text(field, required=True)
        _check_clock(params, now)
        _check_signature(call, key)
        return account, key


def _check_clock(params: Params, now: int) -> None:
    """timestamp < server + 1 s, and server - timestamp <= recvWindow; microseconds are understood."""
    stamp = params.integer("timestamp", required=True)
    assert stamp is not None
    stamp = stamp // 1000 if stamp >= MICROSECONDS_FROM else stamp
    text = params.text("recvWindow")
    if text and not _WINDOW.fullmatch(text):
        raise illegal("recvWindow", r"^[0-9]{1,8}(\.[0-9]{1,3})?$")
    recv_window = Decimal(text) if text else RECV_WINDOW_MS
    if recv_window > RECV_WINDOW_MS_MAX:
        raise BinanceError(
            -1102, f"'recvWindow' contains unexpected value. Cannot be greater than {RECV_WINDOW_MS_MAX}."
        )
    if stamp >= now + AHEAD_MS:
        raise BinanceError(-1021, AHEAD)
    if now - stamp > recv_window:
        raise BinanceError(-1021, OUT_OF_WINDOW)


def _unsigned(text: str) -> str:
    """Return a query or form without its signature, exactly as it was sent."""
    return "&".join(pair for pair in text.split("&") if not pair.startswith("signature="))


def _check_signature(call: Call, key: ApiKey) -> None:
    """HMAC over query and body as they came, with nothing between them; the case of the hex digits does not matter."""
    body = "" if call.method == "GET" else call.body.decode("utf-8", "replace")
    given = [pair[10:] for text in (call.raw_query, body) for pair in text.split("&") if pair.startswith("signature=")]
    payload = _unsigned(call.raw_query) + _unsigned(body)
    expected = hmac.new(key.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, given[0].lower()):
        raise BinanceError(-1022)


def _permit(route: Route, key: ApiKey, kind: MarketKind) -> None:
    """Refuse what a key may not do: futures need their right even for reading."""
    needed = "derivatives" if kind is MarketKind.LINEAR else "spot"
    reads_only = route.permission == "read"
    if reads_only and kind is MarketKind.SPOT:
        return
    if needed not in key.permissions or (key.read_only and not reads_only):
        raise BinanceError(-2015)


def _json(
    status: int, body: object, *, headers: Mapping[str, str] | None = None, executed: bool = False, code: str = ""
) -> Answer:
    return Answer(
        status=status,
        body=dump(body),
        headers=headers or {},
        content_type="application/json;charset=UTF-8",
        executed=executed,
        code=code or str(status),
    )


def _html(status: int) -> Answer:
    body = f"<html>\r\n<head><title>{status}</title></head>\r\n<body><h1>{status}</h1></body>\r\n</html>"
    return Answer(status=status, body=body.encode(), content_type="text/html", code=str(status))
