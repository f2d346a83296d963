"""python-binance, held to our rules: our clock, our transport, exact JSON, one request per call, typed errors.

The client's one method that makes requests, `_request`, is overridden, and its constructor is not called: that would
ping the venue, make an event loop and prepare two websockets. Both belong to python-binance 1.0.37; a test calls every
method of the SDK, so that an upgrade which moves them fails. Nothing is patched globally.

What is sent: parameters sorted by name and percent-encoded before they are signed (Binance refuses anything else since
2026-01-15), then recvWindow, timestamp and signature. In an order's body all before recvWindow is what was committed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import warnings
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import requests

from brokers.binance import codes
from brokers.binance.fields import form
from brokers.binance.profile import RECV_WINDOW_MS_MAX
from brokers.clock import Clock, epoch_ms
from brokers.errors import AnswerUnreadable, DeadlinePassed, InvalidOrder
from brokers.guard import SendGuard, Verb
from brokers.strictjson import decode
from brokers.transport import GuardedAdapter

with warnings.catch_warnings():  # the SDK imports websockets by names that are on their way out; we open none
    warnings.simplefilter("ignore", DeprecationWarning)
    from binance.client import Client

SPOT_ORDER = "/api/v3/order"
FUTURES_ORDER = "/fapi/v1/order"
ALGO_ORDER = "/fapi/v1/algoOrder"
ORDER_PATHS = frozenset({SPOT_ORDER, FUTURES_ORDER, ALGO_ORDER})
WRITES = frozenset(
    {
        ("DELETE", SPOT_ORDER),
        ("DELETE", FUTURES_ORDER),
        ("DELETE", ALGO_ORDER),
        ("POST", "/fapi/v1/leverage"),
        ("POST", "/fapi/v1/marginType"),
        ("POST", "/fapi/v1/positionSide/dual"),
    }
)
_READS = re.compile(r"/(?:api/v3|fapi/v[123])/[A-Za-z0-9]+(?:/[A-Za-z0-9]+)*", re.ASCII)
_SIGNED_FORM = re.compile(
    rb"(?P<committed>.+)&recvWindow=[0-9]{1,5}&timestamp=[0-9]{13}&signature=[0-9a-f]{64}", re.ASCII | re.DOTALL
)


KEY_RIGHTS = "/sapi/v1/account/apiRestrictions"
DEPOSITS = "/sapi/v1/capital/deposit/hisrec"
WITHDRAWALS = "/sapi/v1/capital/withdraw/history"
WALLET_READS = frozenset({KEY_RIGHTS, DEPOSITS, WITHDRAWALS})
COUNTDOWN = "/fapi/v1/countdownCancelAll"


def classify(method: str, path: str) -> Verb:
    """What a Binance request does; every path that this adapter does not need is forbidden.

    All of /sapi is forbidden where the environment has none (the test networks): see `classify_with_wallet`.
    """
    if method == "GET" and _READS.fullmatch(path):
        return Verb.READ
    if method == "POST" and path in ORDER_PATHS:
        return Verb.ORDER
    return Verb.WRITE if (method, path) in WRITES else Verb.FORBIDDEN


def classify_with_wallet(method: str, path: str) -> Verb:
    """The same where the environment serves the wallet: a few of its reads are let through, and nothing else of it."""
    if method == "GET" and path in WALLET_READS:
        return Verb.READ
    return classify(method, path)


def classify_for(*, serves_wallet: bool, winds_countdown: bool) -> Callable[[str, str], Verb]:
    """What may leave for one account: its countdown only where its owner lets it cancel every order of a symbol."""
    usual = classify_with_wallet if serves_wallet else classify
    if not winds_countdown:
        return usual
    return lambda method, path: Verb.WRITE if (method, path) == ("POST", COUNTDOWN) else usual(method, path)


def committed_part(body: bytes) -> bytes:
    """What of an order's body was committed: all before recvWindow; ValueError when the rest is anything else."""
    found = _SIGNED_FORM.fullmatch(body)
    if found is None:
        raise ValueError("recvWindow, timestamp and signature must follow the committed parameters and end it")
    return found["committed"]


class BinanceClient(Client):  # type: ignore[misc]  # python-binance carries no types
    """One python-binance client for one account, mounted on one guard; share it between threads."""

    def __init__(
        self, *, spot_url: str, futures_url: str, api_key: str, api_secret: str, guard: SendGuard, clock: Clock
    ) -> None:
        self._clock = clock
        self._guard = guard
        self._secret = api_secret.encode()
        self.offset = timedelta(0)  # venue time minus ours, as last measured
        self.tld, self.testnet, self.demo = "com", False, False  # the SDK would choose other addresses by these
        self.API_URL = f"{spot_url}/api"
        self.MARGIN_API_URL = f"{spot_url}/sapi"  # never the production host that the SDK has here for everybody
        self.FUTURES_URL = f"{futures_url}/fapi"
        self.session = requests.Session()
        self.session.headers.clear()
        self.session.headers.update(
            {"Accept": "application/json", "Accept-Encoding": "gzip, deflate", "X-MBX-APIKEY": api_key}
        )
        GuardedAdapter(guard).mount(self.session)

    def __repr__(self) -> str:
        return f"BinanceClient({self.API_URL!r}, {self.FUTURES_URL!r})"

    def __del__(self) -> None:
        """Nothing to stop: no event loop and no websocket was made."""

    def close(self) -> None:
        self._guard.close()
        self.session.close()

    def venue_now(self) -> datetime:
        """Our clock plus the measured offset."""
        return self._clock.now() + self.offset

    def exchange_info(self, symbol: str = "") -> Any:
        """Spot's filters, of one symbol or all; the SDK's own method cannot name one."""
        only = {"symbol": symbol} if symbol else {"showPermissionSets": "false"}
        return self._get("exchangeInfo", data=only)

    # -- overridden python-binance method -----------------------------------------------------------------------
    def _request(self, method: str, uri: str, signed: bool, force_params: bool = False, **kwargs: Any) -> Any:
        """Make one request and read its answer; typed errors only."""
        given = kwargs.get("data") or {}
        parameters = {name: _text(name, value) for name, value in given.items() if value is not None}
        sent = self._signed(form(parameters)) if signed else form(parameters)
        in_query = method == "get" or force_params or not sent
        response = self.session.request(
            method.upper(),
            f"{uri}?{sent}" if in_query and sent else uri,
            data=None if in_query else sent.encode(),
            headers={} if in_query else {"Content-Type": "application/x-www-form-urlencoded"},
            allow_redirects=False,
        )
        path = uri.partition("//")[2].partition("/")[2]
        is_order = method == "post" and f"/{path}" in ORDER_PATHS
        return read_answer(response.status_code, response.content, headers=response.headers, is_order=is_order)

    def _signed(self, text: str) -> str:
        timestamp = epoch_ms(self.venue_now())
        timed = f"{text}{'&' if text else ''}recvWindow={self._window_ms(timestamp)}&timestamp={timestamp}"
        signature = hmac.new(self._secret, timed.encode(), hashlib.sha256).hexdigest()
        return f"{timed}&signature={signature}"

    def _window_ms(self, timestamp: int) -> int:
        """Under a ticket the venue itself must refuse the request after `not_after`."""
        ticket = self._guard.ticket
        if ticket is None:
            return RECV_WINDOW_MS_MAX
        window = epoch_ms(ticket.not_after) - timestamp
        if window < 1:
            raise DeadlinePassed(f"not_after of {ticket.send_id} passed {-window} ms ago in venue time; not sent")
        return min(window, RECV_WINDOW_MS_MAX)


def _text(name: str, value: object) -> str:
    """A parameter as text. The SDK writes `True` and `1e-05`, which Binance does not read: fixed-point text only."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int)):
        return str(value)
    raise InvalidOrder(f"parameter {name} must be text, an integer or a boolean, was {type(value).__name__}")


def read_answer(status: int, body: bytes, *, headers: Mapping[str, str], is_order: bool) -> Any:
    """The decoded answer of a success, an object or a list of objects; the typed error of any other."""
    if status != 200:
        raise codes.status_error(status, body, headers=headers, is_order=is_order)
    try:
        answer = decode(body)
    except ValueError as error:
        raise AnswerUnreadable(f"answer is not the documented JSON: {error}", text=_start(body)) from error
    if isinstance(answer, list) and all(isinstance(row, dict) for row in answer):
        return answer
    if not isinstance(answer, dict):
        raise AnswerUnreadable("answer is neither an object nor a list of objects", text=_start(body))
    refusal = codes.own_code(answer)
    if refusal is not None:
        raise codes.code_error(*refusal, headers=headers, is_order=is_order)
    return answer


def _start(body: bytes) -> str:
    return body[:200].decode("utf-8", "replace")
