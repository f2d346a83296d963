"""/v5/private: the private web socket, its heartbeat, and what happens when the last one that listens to dcp is gone.

Sources: V5 "Connect" (auth, ping, max_active_time), "Dcp", "Set Disconnect Cancel All", "Get DCP Info". Not published,
and decided here: code 10005 for setting the time without the right, and that untriggered conditional orders stay.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from urllib.parse import parse_qs

from simulators.bybit.errors import BybitError, bad_request
from simulators.bybit.params import Context
from simulators.bybit.render import Row
from simulators.core.accounts import Account
from simulators.core.types import ApiKey, MarketKind, OrderStatus, Reason
from simulators.core.venue import Venue
from simulators.core.wire import Call, dump

PATH = "/v5/private"
WINDOW_S = range(3, 301)
WINDOW_S_DEFAULT = 10
ACTIVE_S = range(30, 601)
ACTIVE_S_DEFAULT = 600
PRODUCTS = {"DERIVATIVES": MarketKind.LINEAR, "SPOT": MarketKind.SPOT}
TOPICS = {"dcp.future": MarketKind.LINEAR, "dcp.spot": MarketKind.SPOT}
_OTHER_TOPICS = frozenset({"order", "execution", "position", "wallet", "dcp.option"})
_ACTIVE = re.compile(r"([0-9]{1,3})([sm])")
_Key = tuple[str, MarketKind]
Login = Callable[[str], tuple[Account, ApiKey] | None]


class Protection:
    """Disconnection protection: which accounts have it, its time per product, and the sockets that hold it off."""

    def __init__(self, venue: Venue, allowed: frozenset[str]) -> None:
        self._venue = venue
        self._allowed = allowed
        self._windows_s: dict[_Key, int] = {}
        self._numbers: dict[_Key, int] = {}
        self.sockets: list[PrivateSocket] = []

    def window_s(self, account: str, kind: MarketKind) -> int:
        """Return after how many seconds without a socket orders are cancelled."""
        return self._windows_s.get((account, kind), WINDOW_S_DEFAULT)

    def listening(self, account: str, kind: MarketKind) -> int:
        """Return how many sockets listen to a product's dcp topic."""
        return sum(socket.holds(account, kind) for socket in self.sockets)

    # REST
    def set_window(self, context: Context) -> Row:
        """POST /v5/order/disconnected-cancel-all."""
        product = context.params.text("product") or "OPTIONS"
        seconds = context.params.integer("timeWindow")
        if product not in (*PRODUCTS, "OPTIONS") or seconds is None or seconds not in WINDOW_S:
            raise bad_request("params error: product or timeWindow invalid")
        assert context.key is not None
        if context.key.read_only or context.me.name not in self._allowed:
            raise BybitError(10005, "Permission denied, please check your API key permissions.")
        if product in PRODUCTS:
            self._windows_s[(context.me.name, PRODUCTS[product])] = seconds
        return {}

    def info(self, context: Context) -> Row:
        """GET /v5/account/query-dcp-info: empty for an account that Bybit has not switched it on for."""
        if context.me.name not in self._allowed:
            return {"dcpInfos": []}
        rows = [
            {"product": product, "dcpStatus": "ON", "timeWindow": str(self.window_s(context.me.name, kind))}
            for product, kind in PRODUCTS.items()
        ]
        return {"dcpInfos": rows}

    # sockets
    def held(self, account: Account, kind: MarketKind) -> None:
        """A socket listens: what had begun to count is void."""
        self._count(account, kind)

    def released(self, account: Account, kind: MarketKind) -> None:
        """A socket that listened is gone: the time begins with the last of them."""
        if account.name not in self._allowed or self.listening(account.name, kind):
            return
        number = self._count(account, kind)
        delay_ms = self.window_s(account.name, kind) * 1000
        self._venue.later(delay_ms, lambda: self._act(account, kind, number))

    def _count(self, account: Account, kind: MarketKind) -> int:
        key = (account.name, kind)
        self._numbers[key] = self._numbers.get(key, 0) + 1
        return self._numbers[key]

    def _act(self, account: Account, kind: MarketKind, number: int) -> None:
        if self._numbers[(account.name, kind)] != number:
            return
        for order in account.open_orders():
            if order.request.kind is kind and order.status is not OrderStatus.UNTRIGGERED:
                self._venue.cancel_now(account, order.order_id, Reason.CANCELLED_BY_DISCONNECTION)


class PrivateSocket:
    """One client of /v5/private: it authenticates, subscribes and sends its heartbeat."""

    def __init__(self, venue: Venue, protection: Protection, login: Login, *, active_s: int, number: int) -> None:
        self._venue = venue
        self._protection = protection
        self._login = login
        self._active_ms = active_s * 1000
        self._conn_id = f"sim-{number}"
        self._account: Account | None = None
        self._kinds: set[MarketKind] = set()
        self._due: list[Row] = []
        self._heard = 0
        self.ended = False
        protection.sockets.append(self)
        self._alive()

    def holds(self, account: str, kind: MarketKind) -> bool:
        """Tell whether this socket listens to an account's dcp topic."""
        return self._account is not None and self._account.name == account and kind in self._kinds

    def _alive(self) -> None:
        """Something was heard; without more, the venue cuts the connection off."""
        self._heard += 1
        heard = self._heard
        self._venue.later(self._active_ms, lambda: self._cut_off() if heard == self._heard else None)

    def _cut_off(self) -> None:
        self.ended = True
        self.close()

    def receive(self, data: bytes) -> None:
        """Take a frame: an operation with its arguments."""
        self._alive()
        try:
            said = json.loads(data)
        except ValueError:
            said = None
        operation = said.get("op") if isinstance(said, dict) else None
        if not isinstance(said, dict) or not isinstance(operation, str):
            self._say("", {}, success=False, text="Invalid request")
            return
        arguments = said.get("args") if isinstance(said.get("args"), list) else []
        assert isinstance(arguments, list)
        if operation == "ping":
            now = str(self._venue.clock.gateway_ms())
            self._due.append({"req_id": said.get("req_id", ""), "op": "pong", "args": [now], "conn_id": self._conn_id})
        elif operation == "auth":
            self._authenticate(said, arguments)
        elif operation == "subscribe":
            self._subscribe(said, arguments)
        else:
            self._say(operation, said, success=False, text=f"unknown op {operation}")

    def _authenticate(self, said: Row, arguments: list[object]) -> None:
        name, expires, signature = (str(item) for item in (*arguments, "", "", "")[:3])
        found = self._login(name)
        if found is None:
            self._say("auth", said, success=False, text="Params Error: api_key invalid")
            return
        account, key = found
        expected = hmac.new(key.secret.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
        now = self._venue.clock.gateway_ms()
        is_late = not expires.isdigit() or int(expires) <= now or (key.expires_ms is not None and key.expires_ms <= now)
        if is_late or not hmac.compare_digest(expected, signature):
            self._say("auth", said, success=False, text="Params Error: expires or signature invalid")
            return
        self._account = account
        self._say("auth", said)

    def _subscribe(self, said: Row, arguments: list[object]) -> None:
        if self._account is None:
            self._say("subscribe", said, success=False, text="Request not authorized")
            return
        unknown = [str(topic) for topic in arguments if topic not in TOPICS and topic not in _OTHER_TOPICS]
        if unknown or not arguments:
            self._say("subscribe", said, success=False, text=f"error:handler not found,topic:{','.join(unknown)}")
            return
        for topic in arguments:
            kind = TOPICS.get(str(topic))
            if kind is not None:
                self._kinds.add(kind)
                self._protection.held(self._account, kind)
        self._say("subscribe", said)

    def _say(self, operation: str, said: Row, *, success: bool = True, text: str = "") -> None:
        answer: Row = {"success": success, "ret_msg": text, "op": operation, "conn_id": self._conn_id}
        if "req_id" in said:
            answer["req_id"] = said["req_id"]
        self._due.append(answer)

    def poll(self) -> list[bytes]:
        """Return what is due."""
        due, self._due = self._due, []
        return [dump(row) for row in due]

    def close(self) -> None:
        """Forget the client: its topics are held no more."""
        if self not in self._protection.sockets:
            return
        self._protection.sockets.remove(self)
        if self._account is not None:
            for kind in self._kinds:
                self._protection.released(self._account, kind)


def active_s(call: Call) -> int:
    """Return for how long a connection may be silent: max_active_time in seconds or minutes, else ten minutes."""
    given = parse_qs(call.raw_query).get("max_active_time", [""])[0]
    found = _ACTIVE.fullmatch(given)
    seconds = int(found[1]) * (60 if found[2] == "m" else 1) if found else 0
    return seconds if seconds in ACTIVE_S else ACTIVE_S_DEFAULT
