"""The gateway: routes, signatures, clock window, permissions, limits, envelopes (venues/bybit.md §2, §5, §6)."""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from simulators.bybit import account, market, position, private, trade
from simulators.bybit.errors import BybitError, bad_request, translate
from simulators.bybit.limits import RequestLimits
from simulators.bybit.params import Context, Params
from simulators.bybit.render import Row
from simulators.core.accounts import Account
from simulators.core.types import ApiKey, MarketKind, Refusal
from simulators.core.venue import Venue
from simulators.core.wire import Answer, Call, Handling, Socket, Stream, dump

Handler = Callable[[Context], Row]
AHEAD_MS = 1000
RECV_WINDOW_MS = 5000
BUSY = "The trading service is experiencing a high server load. Please retry if you encounter this issue."


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint. `permission` is what a key needs; None is public; "any" is any valid key."""

    handler: Handler
    permission: str | None = "any"
    ok: str = "OK"


ROUTES: Mapping[tuple[str, str], Route] = {
    ("GET", "/v5/market/time"): Route(market.server_time, None),
    ("GET", "/v5/market/instruments-info"): Route(market.instruments_info, None),
    ("GET", "/v5/market/tickers"): Route(market.tickers, None),
    ("GET", "/v5/market/orderbook"): Route(market.orderbook, None),
    ("GET", "/v5/user/query-api"): Route(account.query_api, ok=""),
    ("GET", "/v5/account/info"): Route(account.account_info),
    ("GET", "/v5/account/wallet-balance"): Route(account.wallet_balance),
    ("GET", "/v5/account/transaction-log"): Route(account.transaction_log),
    ("GET", "/v5/account/fee-rate"): Route(account.fee_rate),
    ("GET", "/v5/asset/coin/query-info"): Route(account.coin_info, ok=""),
    ("POST", "/v5/order/create"): Route(trade.create, "trade"),
    ("POST", "/v5/order/amend"): Route(trade.amend, "trade"),
    ("POST", "/v5/order/cancel"): Route(trade.cancel, "trade"),
    ("POST", "/v5/order/cancel-all"): Route(trade.cancel_all, "trade"),
    ("GET", "/v5/order/realtime"): Route(trade.realtime),
    ("GET", "/v5/order/history"): Route(trade.history),
    ("GET", "/v5/execution/list"): Route(trade.executions),
    ("GET", "/v5/position/list"): Route(position.positions),
    ("POST", "/v5/position/set-leverage"): Route(position.set_leverage, "derivatives"),
    ("POST", "/v5/position/switch-mode"): Route(position.switch_mode, "derivatives"),
    ("GET", "/v5/position/closed-pnl"): Route(position.closed_pnl),
}


class BybitFront:
    """Answers one venue's requests; see simulators.core.wire.Front."""

    name = "bybit"
    broken_json = b'{"retCode":0,"retMsg":"OK","result":{"ord'

    def __init__(self, venue: Venue, limits: RequestLimits, *, dcp_accounts: frozenset[str] = frozenset()) -> None:
        self.venue = venue
        self.limits = limits
        self.protection = private.Protection(venue, dcp_accounts)
        self._sockets_opened = 0
        self._routes = {
            **ROUTES,
            ("POST", "/v5/order/disconnected-cancel-all"): Route(self.protection.set_window, ok="success"),
            ("GET", "/v5/account/query-dcp-info"): Route(self.protection.info, ok="success"),
        }
        self._paths = frozenset(path for _, path in self._routes)

    def set_rate_limits(self, *, enabled: bool) -> None:
        """Switch request limits on or off."""
        self.limits.enabled = enabled

    def open_stream(self, call: Call, handling: Handling) -> Stream | Answer | None:
        """Open nothing: Bybit streams over web sockets."""
        return None

    def open_socket(self, call: Call) -> Socket | None:
        """Open the private web socket; the public ones are not simulated."""
        if call.path != private.PATH:
            return None
        self._sockets_opened += 1
        return private.PrivateSocket(
            self.venue,
            self.protection,
            self._key,
            active_s=private.active_s(call),
            number=self._sockets_opened,
        )

    def logged_body(self, call: Call) -> str:
        """Return the body as it came: Bybit's carries no secret."""
        return call.body.decode("utf-8", "replace")

    def account_of(self, call: Call) -> Account | None:
        """Return whose key the request names."""
        found = self._key(call.headers.get("x-bapi-api-key", ""))
        return found[0] if found else None

    def _key(self, key: str) -> tuple[Account, ApiKey] | None:
        for one in self.venue.accounts.values():
            for candidate in one.keys:
                if candidate.key == key:
                    return one, candidate
        return None

    def overloaded(self, status: int) -> Answer:
        """Return what Bybit's edge says under load: retCode 429 with that status, plain text for 5xx."""
        if status == 429:
            return self._envelope(429, BUSY, {}, status=429)
        return Answer(status=status, body=b"<html><body>Service Unavailable</body></html>", content_type="text/html")

    def coded(self, code: int, message: str) -> Answer:
        """Return an envelope with a code of the caller's choice, as a fault wants it."""
        return self._envelope(code, message or "Server error.", {})

    def handle(self, call: Call, handling: Handling) -> Answer:
        """Answer one request."""
        self.venue.settle()
        now = self.venue.clock.gateway_ms()
        if not self.limits.ip_allows(call.remote, now):
            return Answer(status=403, body=b"access too frequent", content_type="text/plain", code="403")
        route = self._routes.get((call.method, call.path))
        if route is None:
            status = 400 if call.path in self._paths else 404
            return Answer(status=status, body=b"", content_type="text/plain", code=str(status))
        headers: dict[str, str] = {}
        kind = MarketKind.LINEAR
        try:
            who, key = (None, None) if route.permission is None else self._authenticate(call, now)
            params = _parse(call)
            category = str(params.values.get("category", ""))
            kind = MarketKind.SPOT if category == "spot" else MarketKind.LINEAR
            if who is not None and key is not None:
                allowed, headers = self.limits.take(who.uid, call.path, category, now)
                if not allowed:
                    raise BybitError(10006, "Too many visits. Exceeded the API Rate Limit.")
                _permit(route, key, kind)
            result = route.handler(Context(self.venue, who, key, params, handling))
            rows = result.get("list")
            if handling.rows is not None and isinstance(rows, list):
                result = result | {"list": handling.rows.apply(rows)}
        except BybitError as error:
            return self._envelope(error.code, error.message, {}, headers=headers)
        except Refusal as refusal:
            code, message = translate(refusal, kind)
            return self._envelope(code, message, {}, headers=headers)
        return self._envelope(0, route.ok, result, headers=headers)

    def _envelope(
        self, code: int, message: str, result: Row, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> Answer:
        body = {
            "retCode": code,
            "retMsg": message,
            "result": result,
            "retExtInfo": {},
            "time": self.venue.clock.gateway_ms(),
        }
        return Answer(status=status, body=dump(body), headers=headers or {}, executed=code == 0, code=str(code))

    # authentication
    def _authenticate(self, call: Call, now: int) -> tuple[Account, ApiKey]:
        headers = call.headers
        found = self._key(headers.get("x-bapi-api-key", ""))
        stamp = headers.get("x-bapi-timestamp", "")
        window = headers.get("x-bapi-recv-window", str(RECV_WINDOW_MS))
        if found is None:
            raise BybitError(10003, "API key is invalid.")
        if not stamp.isdigit() or not window.isdigit():
            raise bad_request("params error: X-BAPI-TIMESTAMP or X-BAPI-RECV-WINDOW invalid")
        self._check_clock(int(stamp), int(window), now)
        account_found, key = found
        _check_signature(call, key, stamp, headers.get("x-bapi-recv-window", ""))
        if key.expires_ms is not None and key.expires_ms <= now:
            raise BybitError(33004, "Your api key has expired.")
        if key.ips and call.remote not in key.ips:
            raise BybitError(10010, "Unmatched IP, please check your API key's bound IP addresses.")
        return account_found, key

    @staticmethod
    def _check_clock(stamp: int, window: int, now: int) -> None:
        """server_time - recv_window <= timestamp < server_time + 1000."""
        if now - window <= stamp < now + AHEAD_MS:
            return
        text = "invalid request, please check your server timestamp or recv_window param. "
        text += f"req_timestamp[{stamp}],server_timestamp[{now}],recv_window[{window}]"
        raise BybitError(10002, text)


def _check_signature(call: Call, key: ApiKey, stamp: str, window: str) -> None:
    payload = call.body.decode("utf-8", "replace") if call.method == "POST" else call.raw_query
    origin = f"{stamp}{key.key}{window}{payload}"
    expected = hmac.new(key.secret.encode(), origin.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, call.headers.get("x-bapi-sign", "").lower()):
        raise BybitError(10004, f"error sign! origin_string[{origin}]")


def _parse(call: Call) -> Params:
    if call.method == "GET":
        return Params(dict(parse_qsl(call.raw_query, keep_blank_values=True)))
    try:
        body = json.loads(call.body or b"{}")
    except ValueError:
        raise bad_request("Request parameter error.") from None
    if not isinstance(body, dict):
        raise bad_request("Request parameter error.")
    return Params(body)


def _permit(route: Route, key: ApiKey, kind: MarketKind) -> None:
    if route.permission in (None, "any"):
        return
    needed = route.permission
    if needed == "trade":
        needed = "spot" if kind is MarketKind.SPOT else "derivatives"
    if key.read_only or needed not in key.permissions:
        raise BybitError(10005, "Permission denied, please check your API key permissions.")
