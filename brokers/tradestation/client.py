"""TradeStation's API over HTTP: tokens, paths, exact JSON, typed errors, and what the answers say beside their bodies.

One request per call. A token that was refused is replaced once and the request repeated, for reads and cancels only: a
placement is never sent twice, whatever the answer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from brokers.clock import Clock
from brokers.errors import AnswerUnreadable
from brokers.fields import Row, listed, rows, text
from brokers.guard import SendGuard, Verb
from brokers.strictjson import decode
from brokers.tradestation import codes
from brokers.tradestation.oauth import AccessTokens
from brokers.tradestation.profile import API_PREFIX, PAGE_SIZE
from brokers.tradestation.venue_time import VenueTime
from brokers.transport_httpx import GuardedTransport

ORDER_PATH = f"{API_PREFIX}/orderexecution/orders"
_READ_PATHS = (
    f"{API_PREFIX}/brokerage/accounts",
    f"{API_PREFIX}/marketdata/symbols/",
    f"{API_PREFIX}/marketdata/quotes/",
)
PAGES_MAX = 1_000


def classify(method: str, path: str) -> Verb:
    """What a request to the API does; every path that this adapter does not need is forbidden.

    TradeStation's API cannot withdraw or transfer at all; changing an order (PUT) is not in the port.
    """
    if method == "GET" and path.startswith(_READ_PATHS):
        return Verb.READ
    if (method, path) == ("POST", ORDER_PATH):
        return Verb.ORDER
    return Verb.WRITE if method == "DELETE" and path.startswith(f"{ORDER_PATH}/") else Verb.FORBIDDEN


class TradeStationClient:
    """One account's way to the API; share it between threads."""

    def __init__(self, *, api_base: str, guard: SendGuard, tokens: AccessTokens, clock: Clock) -> None:
        self._api = f"{api_base}{API_PREFIX}"
        self._guard = guard
        self._tokens = tokens
        self._clock = clock
        self._client = GuardedTransport(guard).client()
        self._budgets: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()
        self.venue_time = VenueTime(clock)

    def __repr__(self) -> str:
        return f"TradeStationClient({self._api!r})"

    def close(self) -> None:
        self._client.close()

    # -- requests -----------------------------------------------------------------------------------------------
    def get(self, *segments: str, resource: str, **query: str) -> dict[str, Any]:
        """Read one answer; `resource` names the venue's budget that it counts against."""
        url = self._url(*segments) + (f"?{urlencode(query)}" if query else "")
        return self._object(self._repeatable("GET", url, resource=resource))

    def pages(self, *segments: str, resource: str, name: str, **query: str) -> Iterator[Row]:
        """Every row `name` of every page."""
        token = ""
        for _ in range(PAGES_MAX):
            more = {"nextToken": token} if token else {}
            answer = self.get(*segments, resource=resource, pageSize=str(PAGE_SIZE), **query, **more)
            self.refuse_errors(answer, what="/".join(segments))
            yield from listed(answer, name)
            following = text(answer, "NextToken")
            if not following or following == token:
                return
            token = following
        raise AnswerUnreadable(f"the venue gave more than {PAGES_MAX} pages; ask for a shorter window")

    def place_order(self, body: str, *, token: str) -> dict[str, Any]:
        """Send an order once; the caller holds the ticket and gives a token that is ready: nothing else leaves here."""
        response = self._send("POST", f"{self._api}/orderexecution/orders", token=token, body=body.encode())
        return self._object(response, is_order=True)

    def cancel(self, order_id: str) -> dict[str, Any]:
        """Ask for a cancellation; it may be repeated."""
        url = self._url("orderexecution", "orders", order_id)
        return self._object(self._repeatable("DELETE", url, resource="cancel"), is_cancel=True)

    def ready(self) -> str:
        """A token that is good for minutes, refreshed beforehand where it was not."""
        token = self._tokens.current()
        self._guard.add_secret(token)
        return token

    def spacing_s(self, resource: str) -> float:
        """Seconds between requests with which what is left of a budget lasts to the end of its window; 0: no word."""
        with self._lock:
            remaining, ends_at_s = self._budgets.get(resource, (0, 0.0))
        left_s = ends_at_s - self._clock.monotonic()
        return left_s / max(remaining, 1) if left_s > 0 else 0.0

    # -- inside -------------------------------------------------------------------------------------------------
    def _repeatable(self, method: str, url: str, *, resource: str) -> httpx.Response:
        token = self.ready()
        response = self._send(method, url, token=token, resource=resource)
        if response.status_code != 401:
            return response
        token = self._tokens.after_refusal(token)
        self._guard.add_secret(token)
        return self._send(method, url, token=token, resource=resource)

    def _send(
        self, method: str, url: str, *, token: str, body: bytes | None = None, resource: str = "place"
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        sent_at = self._clock.now()
        response = self._client.request(method, url, headers=headers, content=body)
        received_at = self._clock.now()
        self.venue_time.observe(response.headers.get("date", ""), sent_at=sent_at, received_at=received_at)
        self._note_budget(resource, response.headers)
        return response

    def _note_budget(self, resource: str, headers: Mapping[str, str]) -> None:
        remaining, reset = headers.get("x-ratelimit-remaining", ""), headers.get("x-ratelimit-reset", "")
        if all(word.isascii() and word.isdigit() and len(word) < 8 for word in (remaining, reset)):
            with self._lock:
                self._budgets[resource] = (int(remaining), self._clock.monotonic() + int(reset))

    def _object(self, response: httpx.Response, *, is_order: bool = False, is_cancel: bool = False) -> dict[str, Any]:
        body = response.content
        if response.status_code != 200:
            raise codes.status_error(
                response.status_code, body, headers=response.headers, is_order=is_order, is_cancel=is_cancel
            )
        try:
            answer = decode(body)
        except ValueError as error:
            raise AnswerUnreadable(f"answer is not the documented JSON: {error}", text=_start(body)) from error
        if not isinstance(answer, dict):
            raise AnswerUnreadable("answer must be a JSON object", text=_start(body))
        return answer

    def refuse_errors(self, answer: Row, *, what: str) -> None:
        """TradeStation answers 200 also where a part of the question was refused."""
        for row in rows(answer, "Errors"):
            raise codes.item_error(row, what=what)
        if "Error" in answer:
            raise codes.item_error(answer, what=what)

    def _url(self, *segments: str) -> str:
        return "/".join((self._api, *(quote(segment, safe=",") for segment in segments)))


def _start(body: bytes) -> str:
    return body[:200].decode("utf-8", "replace")
