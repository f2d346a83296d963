"""A scripted loopback server on raw sockets, and builders for what talks to it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr

from brokers.config import AccountConfig
from brokers.ids import AccountId
from brokers.wire import SendTicket
from tests.canaries import LOOPBACK_SECRET

API_KEY = "loopback-key-000"
API_SECRET = LOOPBACK_SECRET
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PATIENCE_S = 30.0  # for what comes at once: a busy machine is not a venue that hangs


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.split("?")[0]

    @property
    def query(self) -> dict[str, str]:
        _, _, text = self.target.partition("?")
        return dict(pair.split("=", 1) for pair in text.split("&") if pair)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Responder = Callable[[Request, socket.socket], bool]


def reply(status: int = 200, body: bytes | str = b"", **headers: str) -> Responder:
    """Answer completely and keep the connection."""
    data = body.encode() if isinstance(body, str) else body

    def send(_: Request, sock: socket.socket) -> bool:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        return True

    return send


def envelope(result: Any, *, code: int = 0, message: str = "OK", time_ms: int | None = None) -> str:
    """A Bybit envelope."""
    moment = time_ms if time_ms is not None else int(time.time() * 1000)
    return json.dumps({"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": moment})


def ok(result: Any, **headers: str) -> Responder:
    return reply(200, envelope(result), **headers)


def refuse(code: int, message: str = "refused", **headers: str) -> Responder:
    return reply(200, envelope({}, code=code, message=message), **headers)


def drop(_: Request, sock: socket.socket) -> bool:
    return False


@dataclass
class Loopback:
    """Answers by path; `requests` are the complete requests that arrived, in order; `closed` counts closed sockets."""

    port: int
    stop: threading.Event
    requests: list[Request] = field(default_factory=list)
    routes: dict[str, Responder | list[Responder]] = field(default_factory=dict)
    connections: int = 0
    closed: int = 0
    default: Responder | None = None
    counting: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def on(self, path: str, *responders: Responder) -> None:
        """Answer a path with these in turn; the last one repeats."""
        self.routes[path] = list(responders)

    def orders(self) -> list[Request]:
        return [request for request in self.requests if request.path == "/v5/order/create"]

    def to(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]

    def answer(self, request: Request, sock: socket.socket) -> bool:
        self.requests.append(request)
        route = self.routes.get(request.path)
        if route is None:
            return (self.default or reply(404, "no route"))(request, sock)
        if callable(route):
            return route(request, sock)
        responder = route.pop(0) if len(route) > 1 else route[0]
        return responder(request, sock)


def _read_request(sock: socket.socket, buffer: bytearray) -> Request | None:
    while b"\r\n\r\n" not in buffer:
        data = sock.recv(65536)
        if not data:
            return None
        buffer += data
    head, _, rest = bytes(buffer).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    method, target, _ = lines[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    size = int(headers.get("content-length", "0"))
    while len(rest) < size:
        data = sock.recv(65536)
        if not data:
            return None
        rest += data
    buffer[:] = rest[size:]
    return Request(method, target, headers, rest[:size])


def _serve(listener: socket.socket, server: Loopback) -> None:
    def talk(sock: socket.socket) -> None:
        buffer = bytearray()
        try:
            while True:
                request = _read_request(sock, buffer)
                if request is None or not server.answer(request, sock):
                    return
        except OSError:
            return
        finally:
            sock.close()
            with server.counting:
                server.closed += 1

    while not server.stop.is_set():
        try:
            sock, _ = listener.accept()
        except TimeoutError:
            continue
        except OSError:
            return
        server.connections += 1
        sock.settimeout(10)
        threading.Thread(target=talk, args=(sock,), daemon=True).start()


def start_loopback() -> tuple[Loopback, socket.socket]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.2)
    server = Loopback(port=listener.getsockname()[1], stop=threading.Event())
    threading.Thread(target=_serve, args=(listener, server), daemon=True).start()
    return server, listener


def eventually(check: Callable[[], Any], *, timeout_s: float = PATIENCE_S) -> Any:
    """Poll until the check gives something true; fail with its last value."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < deadline, f"did not become true within {timeout_s} s, was {value!r}"
        threading.Event().wait(0.01)


def account_config(base_url: str, **changes: Any) -> AccountConfig:
    values: dict[str, Any] = {
        "account_id": AccountId.parse("bybit.simulated.main"),
        "api_key": SecretStr(API_KEY),
        "api_secret": SecretStr(API_SECRET),
        "base_url": base_url,
    }
    return AccountConfig(**{**values, **changes})


LINEAR_ROW = {
    "symbol": "BTCUSDT",
    "contractType": "LinearPerpetual",
    "status": "Trading",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "settleCoin": "USDT",
    "deliveryTime": "0",
    "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
    "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
    "lotSizeFilter": {
        "maxOrderQty": "1190.000",
        "minOrderQty": "0.001",
        "qtyStep": "0.001",
        "maxMktOrderQty": "500.000",
        "minNotionalValue": "5",
    },
}
SPOT_ROW = {
    "symbol": "BTCUSDT",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "status": "Trading",
    "lotSizeFilter": {
        "basePrecision": "0.000001",
        "quotePrecision": "0.0000001",
        "minOrderQty": "0.000011",
        "maxOrderQty": "83",
        "minOrderAmt": "5",
        "maxLimitOrderQty": "83",
        "maxMarketOrderQty": "41.5",
    },
    "priceFilter": {"tickSize": "0.01"},
}


def instruments_route(request: Request, sock: socket.socket) -> bool:
    row = LINEAR_ROW if request.query["category"] == "linear" else SPOT_ROW
    wanted = request.query.get("symbol", row["symbol"])
    found = [row] if row["symbol"] == wanted else []
    return ok({"category": request.query["category"], "list": found, "nextPageCursor": ""})(request, sock)


def server_time(request: Request, sock: socket.socket) -> bool:
    nano = time.time_ns()
    return ok({"timeSecond": str(nano // 10**9), "timeNano": str(nano)})(request, sock)


def ticket(*, timeout_s: float = PATIENCE_S, send_by_s: float = PATIENCE_S, valid_s: float = PATIENCE_S) -> SendTicket:
    return SendTicket(
        send_id="send-1",
        not_after=datetime.now(UTC) + timedelta(seconds=valid_s),
        send_by_monotonic_s=time.monotonic() + send_by_s,
        timeout_s=timeout_s,
    )
