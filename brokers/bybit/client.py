"""pybit, held to our rules: our clock, our transport, exact JSON, one request per call, typed errors.

pybit has no hook for any of these, so its client is subclassed; the overridden methods belong to pybit 5.17.0 and a
test guards their existence. Nothing is patched globally.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pybit.unified_trading import HTTP

from brokers.bybit import codes
from brokers.bybit.profile import RECV_WINDOW_MS_MAX
from brokers.clock import Clock, epoch_ms
from brokers.errors import AnswerUnreadable, DeadlinePassed
from brokers.guard import SendGuard, Verb
from brokers.strictjson import decode, encode
from brokers.transport import GuardedAdapter

ORDER_PATHS = frozenset({"/v5/order/create"})
WRITE_PATHS = frozenset({"/v5/order/cancel", "/v5/position/set-leverage", "/v5/position/switch-mode"})
SET_PROTECTION = "/v5/order/disconnected-cancel-all"
_PYBIT_LOGGER = "pybit._http_manager"
_construction = threading.Lock()


def classify(method: str, path: str) -> Verb:
    """What a Bybit request does; every path that this adapter does not need is forbidden."""
    if method == "GET" and path.startswith("/v5/"):
        return Verb.READ
    if method == "POST" and path in ORDER_PATHS:
        return Verb.ORDER
    return Verb.WRITE if method == "POST" and path in WRITE_PATHS else Verb.FORBIDDEN


def classify_for(*, sets_protection: bool) -> Callable[[str, str], Verb]:
    """What may leave for one account: the time of disconnection protection only where its owner lets it cancel all."""
    if not sets_protection:
        return classify
    return lambda method, path: Verb.WRITE if (method, path) == ("POST", SET_PROTECTION) else classify(method, path)


class BybitClient(HTTP):  # type: ignore[misc]  # pybit carries no types
    """One pybit client for one account, mounted on one guard; share it between threads."""

    def __init__(self, *, base_url: str, api_key: str, api_secret: str, guard: SendGuard, clock: Clock) -> None:
        self._clock = clock
        self._guard = guard
        self.offset = timedelta(0)  # venue time minus ours, as last measured
        with _construction:
            logger = logging.getLogger(_PYBIT_LOGGER)
            handlers = list(logger.handlers)
            super().__init__(
                api_key=api_key,
                api_secret=api_secret,
                retry_codes={-1},  # an impossible code: pybit's own list would send again; an empty set is ignored
                max_retries=1,
                recv_window=RECV_WINDOW_MS_MAX,
                timeout=guard.timeout_s,
            )
            logger.handlers[:] = handlers  # pybit adds a handler to the process for every client
        self.endpoint = base_url
        GuardedAdapter(guard).mount(self.client)

    def __repr__(self) -> str:
        return f"BybitClient({self.endpoint!r})"  # pybit's own would print the secret

    def close(self) -> None:
        self._guard.close()
        self.client.close()

    def venue_now(self) -> datetime:
        """Our clock plus the measured offset."""
        return self._clock.now() + self.offset

    # -- overridden pybit methods -------------------------------------------------------------------------------
    @staticmethod
    def prepare_payload(method: str, parameters: dict[str, Any]) -> str:
        """Bodies are canonical JSON, so that what is sent equals what was committed."""
        if method == "GET":
            return "&".join(f"{key}={value}" for key, value in sorted(parameters.items()))
        return encode(parameters)

    def _prepare_headers(
        self, payload: Any, recv_window: int, content_type: str = "application/json"
    ) -> dict[str, str]:
        timestamp = epoch_ms(self.venue_now())
        window = self._window_ms(timestamp)
        return {
            "Content-Type": content_type,
            "X-BAPI-API-KEY": self.api_key,
            "X-BAPI-SIGN": self._auth(payload, window, timestamp),
            "X-BAPI-SIGN-TYPE": "2",
            "X-BAPI-TIMESTAMP": str(timestamp),
            "X-BAPI-RECV-WINDOW": str(window),
        }

    def _window_ms(self, timestamp: int) -> int:
        """Under a ticket the venue itself must refuse the request after `not_after`."""
        ticket = self._guard.ticket
        if ticket is None:
            return RECV_WINDOW_MS_MAX
        window = epoch_ms(ticket.not_after) - timestamp
        if window < 1:
            raise DeadlinePassed(f"not_after of {ticket.send_id} passed {-window} ms ago in venue time; not sent")
        return min(window, RECV_WINDOW_MS_MAX)

    def _check_status_code(self, response: Any, method: str, path: str, params: Any) -> None:
        """Left to `_handle_response`, which classifies the status by verb."""

    def _handle_response(
        self, response: Any, method: str, path: str, params: Any, recv_window: int, retries_attempted: int
    ) -> dict[str, Any]:
        if response.status_code != 200:
            is_order = method == "POST" and path.removeprefix(self.endpoint) in ORDER_PATHS
            raise codes.status_error(
                response.status_code, response.content, headers=response.headers, is_order=is_order
            )
        return read_envelope(response.content, headers=response.headers)


def read_envelope(body: bytes, *, headers: Mapping[str, str]) -> dict[str, Any]:
    """The decoded envelope of a successful answer; the typed error of any other."""
    try:
        envelope = decode(body)
    except ValueError as error:
        raise AnswerUnreadable(f"answer is not the documented JSON: {error}", text=_start(body)) from error
    code = envelope.get("retCode") if isinstance(envelope, dict) else None
    if not isinstance(code, int) or isinstance(code, bool):
        raise AnswerUnreadable("answer has no integer retCode", text=_start(body))
    if code != 0:
        time = envelope.get("time")
        raise codes.code_error(
            code,
            str(envelope.get("retMsg", ""))[:300],
            headers=headers,
            venue_time_ms=time if isinstance(time, int) else None,
        )
    if not isinstance(envelope.get("result"), dict):
        raise AnswerUnreadable("answer with retCode 0 has no result object", text=_start(body))
    found: dict[str, Any] = envelope
    return found


def _start(body: bytes) -> str:
    return body[:200].decode("utf-8", "replace")
