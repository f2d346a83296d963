"""alpaca-py, held to our rules: our transport, canonical bytes, exact JSON, one request per call, typed errors.

The SDK repeats a request by itself on 429 and 504, orders included; that is off here, and the guard would stop it. It
has no time-outs, reads money as floats and refuses whole lists over one unknown word; so answers are decoded here and
read by `mapping`, `orders` and `activities`. The overridden method belongs to alpaca-py 0.44.0 and a test guards it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from alpaca.trading.client import TradingClient

from brokers.alpaca import codes
from brokers.errors import AnswerUnreadable
from brokers.fields import Row
from brokers.guard import SendGuard, Verb
from brokers.strictjson import decode, encode
from brokers.transport import GuardedAdapter

ORDERS_PATH = "/v2/orders"
_READ_PATHS = (
    "/v2/account",
    "/v2/assets",
    "/v2/calendar",
    "/v2/clock",
    "/v2/positions",
    "/v2/stocks/",
    "/v1beta3/crypto/us/",
    "/v2/wallets/whitelists",
    ORDERS_PATH,
)
_ONE_ORDER = re.compile(r"/v2/orders/[0-9a-fA-F-]{1,64}", re.ASCII)


def classify(method: str, path: str) -> Verb:
    """What a request to Alpaca does; every path that this adapter does not need is forbidden.

    Forbidden are also those that would open or change orders without an id of ours: closing positions (DELETE on
    positions), cancelling or replacing in bulk, and transfers out of crypto wallets.
    """
    if method == "GET" and path.startswith(_READ_PATHS):
        return Verb.READ
    if (method, path) == ("POST", ORDERS_PATH):
        return Verb.ORDER
    return Verb.WRITE if method == "DELETE" and _ONE_ORDER.fullmatch(path) else Verb.FORBIDDEN


class AlpacaClient(TradingClient):
    """One account's way to the trading host and to the data host, mounted on one guard; share it between threads."""

    def __init__(self, *, base_url: str, data_url: str, api_key: str, api_secret: str, guard: SendGuard) -> None:
        super().__init__(api_key=api_key, secret_key=api_secret, raw_data=True, url_override=base_url, paper=False)
        self._data_url = data_url
        self._guard = guard
        self._retry = 0  # the constructor takes no 0
        self._retry_codes = []
        GuardedAdapter(guard).mount(self._session)

    def __repr__(self) -> str:
        return f"AlpacaClient({self._base_url!r})"

    def close(self) -> None:
        self._guard.close()
        self._session.close()

    # -- requests -----------------------------------------------------------------------------------------------
    def read(self, path: str, **query: str) -> Any:
        """One answer of the trading host, decoded."""
        return self.get(path, query or None)

    def read_data(self, path: str, *, version: str, **query: str) -> Row:
        """One answer of the data host; always an object."""
        return as_object(self.get(path, query or None, base_url=self._data_url, api_version=version))

    def place_order(self, fields: Mapping[str, Any]) -> Row:
        """Send an order once; the caller holds the ticket."""
        return as_object(self.post("/orders", dict(fields)))

    def cancel_order(self, order_id: str) -> None:
        """Ask for a cancellation; it may be repeated. A success has no body and says nothing but that it was taken."""
        self.delete(f"/orders/{order_id}")

    # -- overridden alpaca-py method ----------------------------------------------------------------------------
    def _one_request(self, method: str, url: str, opts: dict[str, Any], retry: int) -> Any:
        """One request, whatever the answer. Bodies are canonical JSON: what is sent equals what was committed."""
        fields = opts.pop("json", None)
        if fields is not None:
            opts["data"] = encode(fields).encode()
            opts["headers"] = {**opts["headers"], "Content-Type": "application/json"}
        response = self._session.request(method, url, **opts)
        if not 200 <= response.status_code < 300:
            is_order = method == "POST"
            raise codes.answer_error(
                response.status_code,
                response.content,
                headers=response.headers,
                is_order=is_order,
                is_cancel=method == "DELETE",
            )
        return _decoded(response.status_code, response.content, is_empty=method == "DELETE")


def _decoded(status: int, body: bytes, *, is_empty: bool) -> Any:
    if is_empty and status == 204:
        return None
    if status != 200:
        raise AnswerUnreadable(f"answer must have the status 200, was {status}", code=str(status), text=_start(body))
    if is_empty and not body.strip():
        return None
    try:
        return decode(body, keeps_odd_fractions=True)  # bars carry averages of seventeen digits
    except ValueError as error:
        raise AnswerUnreadable(f"answer is not the documented JSON: {error}", text=_start(body)) from error


def as_object(answer: Any) -> Row:
    """An answer that must be a JSON object."""
    if not isinstance(answer, dict):
        raise AnswerUnreadable(f"answer must be a JSON object, was {type(answer).__name__}")
    return answer


def as_rows(answer: Any) -> list[Row]:
    """An answer that must be a list of objects."""
    if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
        raise AnswerUnreadable(f"answer must be a list of objects, was {type(answer).__name__}")
    return answer


def _start(body: bytes) -> str:
    return body[:200].decode("utf-8", "replace")
