"""OKX's API over HTTP: signatures, the header of the environment, deadlines, exact JSON, typed errors.

One request per call; nothing is sent again. Every request says by a header whether it is meant for demo trading or for
production: the client cannot be made without knowing which.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx

from brokers.clock import Clock, epoch_ms
from brokers.config import AccountConfig
from brokers.errors import AnswerUnreadable, DeadlinePassed, NotSent
from brokers.fields import Row, required, text
from brokers.guard import SendGuard, Verb
from brokers.okx import codes
from brokers.okx.profile import API_PREFIX, DEMO_FLAG, DEMO_HEADER, PAGE_SIZE
from brokers.strictjson import decode, encode
from brokers.transport_httpx import GuardedTransport
from brokers.wire import SendTicket

ORDER, STOP_ORDER = "trade/order", "trade/order-algo"
_ORDER_PATHS = frozenset(f"{API_PREFIX}/{path}" for path in (ORDER, STOP_ORDER))
# OKX refuses a request whose time is further from its own than this, before it or after (50102).
TIME_WINDOW = timedelta(seconds=30)
_READ_PATHS = frozenset(
    f"{API_PREFIX}/{path}"
    for path in (
        "public/time",
        "public/instruments",
        "market/ticker",
        "market/tickers",
        "account/config",
        "account/balance",
        "account/positions",
        "account/leverage-info",
        "account/bills",
        "account/bills-archive",
        "trade/order",
        "trade/orders-pending",
        "trade/orders-history",
        "trade/orders-history-archive",
        "trade/order-algo",
        "trade/orders-algo-pending",
        "trade/orders-algo-history",
        "trade/fills",
        "trade/fills-history",
    )
)
_WRITE_PATHS = frozenset(
    f"{API_PREFIX}/{path}"
    for path in (
        "trade/cancel-order",
        "trade/cancel-algos",
        "trade/cancel-all-after",
        "account/set-leverage",
        "account/set-position-mode",
    )
)
# Their rows carry a code of their own, always.
_ITEM_PATHS = frozenset({ORDER, STOP_ORDER, "trade/cancel-order", "trade/cancel-algos"})
PAGES_MAX = 10_000


def classify(method: str, path: str) -> Verb:
    """What a request does; every path that this adapter does not need is forbidden: funding, batches, amendments."""
    if method == "GET" and path in _READ_PATHS:
        return Verb.READ
    if method == "POST" and path in _ORDER_PATHS:
        return Verb.ORDER
    return Verb.WRITE if method == "POST" and path in _WRITE_PATHS else Verb.FORBIDDEN


class OKXClient:
    """One account's way to the API; share it between threads."""

    def __init__(self, config: AccountConfig, *, base_url: str, guard: SendGuard, clock: Clock) -> None:
        self._base_url = base_url
        self._api_key = config.api_key.get_secret_value()
        self._api_secret = config.api_secret.get_secret_value().encode()
        self._passphrase = config.api_passphrase.get_secret_value()
        self._demo = DEMO_FLAG[config.account_id.environment]
        self._clock = clock
        self._client = GuardedTransport(guard).client()
        self.offset = timedelta(0)  # venue time minus ours, as last measured

    def __repr__(self) -> str:
        return f"OKXClient({self._base_url!r})"

    def close(self) -> None:
        self._client.close()

    def venue_now(self) -> datetime:
        """Our clock plus the measured offset."""
        return self._clock.now() + self.offset

    # -- requests -----------------------------------------------------------------------------------------------
    def public(self, path: str, **query: str) -> list[Row]:
        """Read what needs no key; the rows of one answer."""
        return self._read(self._send("GET", path, query=query, is_signed=False))

    def get(self, path: str, **query: str) -> list[Row]:
        """Read the rows of one answer."""
        return self._read(self._send("GET", path, query=query))

    def pages(self, path: str, cursor: str, **query: str) -> Iterator[Row]:
        """Every row of every page, newest first; `cursor` names the id of a row that the next page is older than."""
        after: dict[str, str] = {}
        seen: set[str] = set()
        for _ in range(PAGES_MAX):
            found = self.get(path, limit=str(PAGE_SIZE), **query, **after)
            yield from found
            if len(found) < PAGE_SIZE:
                return
            last = required(found[-1], cursor)
            if last in seen:
                raise AnswerUnreadable(f"{path} showed the page before {cursor} {last} twice")
            seen.add(last)
            after = {"after": last}
        raise AnswerUnreadable(f"{path} gave more than {PAGES_MAX} pages; ask for a shorter window")

    def place_order(self, body: str, *, ticket: SendTicket, is_stop: bool = False) -> Row:
        """Send an order once; the caller holds the ticket. OKX refuses it itself after the ticket's `not_after`.

        A stop order has no header for that: it is dated so that the window in which OKX takes a request ends then.
        """
        late_ms = epoch_ms(self.venue_now()) - epoch_ms(ticket.not_after)
        if late_ms >= 0:
            raise DeadlinePassed(f"not_after of {ticket.send_id} passed {late_ms} ms ago in venue time; not sent")
        if is_stop:
            dated = min(ticket.not_after - TIME_WINDOW, self.venue_now())
            return self._item(self._send("POST", STOP_ORDER, body=body, dated=dated), path=STOP_ORDER, is_order=True)
        response = self._send("POST", ORDER, body=body, expires_ms=epoch_ms(ticket.not_after))
        return self._item(response, path=ORDER, is_order=True)

    def write(self, path: str, fields: Mapping[str, str] | list[Mapping[str, str]]) -> Row:
        """Make one write that may be repeated: a cancellation or a setting. The one row of its answer."""
        return self._item(self._send("POST", path, body=encode(fields)), path=path)

    # -- inside -------------------------------------------------------------------------------------------------
    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: str = "",
        is_signed: bool = True,
        expires_ms: int | None = None,
        dated: datetime | None = None,
    ) -> httpx.Response:
        if self._client.is_closed:
            raise NotSent("this connection was closed; open the broker again")
        target = f"{API_PREFIX}/{path}" + (f"?{urlencode(query, safe=',')}" if query else "")
        headers = {DEMO_HEADER: self._demo, "Accept": "application/json"}
        if body:
            headers["Content-Type"] = "application/json"
        if expires_ms is not None:
            headers["expTime"] = str(expires_ms)
        if is_signed:
            headers |= self._signature(method, target, body, dated or self.venue_now())
        return self._client.request(method, self._base_url + target, headers=headers, content=body or None)

    def _signature(self, method: str, target: str, body: str, dated: datetime) -> dict[str, str]:
        """The key's headers: HMAC-SHA256 over time, method, path with its query, and body."""
        moment = dated.astimezone(UTC)
        timestamp = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
        signed = hmac.new(self._api_secret, f"{timestamp}{method}{target}{body}".encode(), hashlib.sha256).digest()
        return {
            "OK-ACCESS-KEY": self._api_key,
            "OK-ACCESS-SIGN": base64.b64encode(signed).decode(),
            "OK-ACCESS-TIMESTAMP": timestamp,
            "OK-ACCESS-PASSPHRASE": self._passphrase,
        }

    def _read(self, response: httpx.Response) -> list[Row]:
        envelope = self._envelope(response, is_read=True)
        code = envelope["code"]
        if code != codes.OK:
            raise codes.code_error(code, codes.said(envelope, "msg"), is_read=True)
        return _rows(envelope)

    def _item(self, response: httpx.Response, *, path: str, is_order: bool = False) -> Row:
        """The one row of a write's answer; what OKX says of it in `sCode` counts, whatever the envelope says."""
        envelope = self._envelope(response, is_order=is_order)
        code = envelope["code"]
        if code != codes.OK and code not in codes.SOME_FAILED:
            raise codes.code_error(code, codes.said(envelope, "msg"), is_order=is_order)
        found = _rows(envelope)
        if len(found) != 1:
            raise AnswerUnreadable(f"answer {code} to one write must hold one row, held {len(found)}", code=code)
        own = required(found[0], "sCode") if path in _ITEM_PATHS else text(found[0], "sCode") or codes.OK
        if own != codes.OK:
            sub_code = text(found[0], "subCode")
            raise codes.code_error(own, codes.said(found[0], "sMsg"), sub_code=sub_code, is_order=is_order)
        if code != codes.OK:
            raise AnswerUnreadable(f"answer {code} says that something failed, and its row does not", code=code)
        return found[0]

    def _envelope(self, response: httpx.Response, *, is_order: bool = False, is_read: bool = False) -> dict[str, Any]:
        body = response.content
        if response.status_code != 200:
            raise codes.status_error(response.status_code, body, is_order=is_order, is_read=is_read)
        try:
            envelope = decode(body)
        except ValueError as error:
            raise AnswerUnreadable(f"answer is not the documented JSON: {error}", text=_start(body)) from error
        if not isinstance(envelope, dict) or not isinstance(envelope.get("code"), str) or not envelope["code"]:
            raise AnswerUnreadable("answer has no text code", text=_start(body))
        return envelope


def _rows(envelope: Mapping[str, Any]) -> list[Row]:
    found = envelope.get("data")
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise AnswerUnreadable(f"data must be a list of objects, was {type(found).__name__}")
    return found


def _start(body: bytes) -> str:
    return body[:200].decode("utf-8", "replace")
