"""TradeStation's errors as data: what a status and a text say of the outcome.

TradeStation has few codes; most refusals are told by text within an answer of 200. Its published texts are matched
first, then words that can mean one thing only. What has a documented form but unknown words is a refusal of the order's
terms; what has no documented form proves nothing.

Source: TradeStation WebAPI v3, OpenAPI description (error examples of every route), and the order texts that
TradeStation's API returns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from brokers.answers import HttpRow, asked_to_wait_s, by_text
from brokers.errors import (
    AnswerUnreadable,
    AuthenticationRefused,
    BrokerError,
    DuplicateClientOrderId,
    InstrumentUnknown,
    InsufficientFunds,
    OrderAlreadyDone,
    OrderInvalid,
    OrderNotFound,
    PermissionRefused,
    RateLimited,
    VenueFaulted,
    VenueUnavailable,
)
from brokers.strictjson import decode

RETRY_AFTER_S_MAX = 300.0
TEXT_MAX = 300


HTTP_STATUSES: Mapping[int, HttpRow] = {
    400: HttpRow(OrderInvalid, OrderInvalid),
    401: HttpRow(AuthenticationRefused, AuthenticationRefused),
    403: HttpRow(PermissionRefused, PermissionRefused),
    404: HttpRow(OrderInvalid, OrderNotFound),
    429: HttpRow(RateLimited, RateLimited),
    501: HttpRow(PermissionRefused, PermissionRefused),
}
_TITLES = {
    400: "badrequest",
    401: "unauthorized",
    403: "forbidden",
    404: "notfound",
    429: "toomanyrequests",
    501: "notimplemented",
}

# Of an order, in this order: the first that fits. Words are matched whole and without regard to case.
_ORDER_TEXTS: tuple[tuple[str, type[BrokerError]], ...] = (
    (r"timed?[ -]?out|try again|internal (server )?error|unknown error|system error", VenueFaulted),
    (r"\[EC(601|602|701|702)\]|you are (long|short)", OrderInvalid),
    (r"duplicate|orderconfirmid|already (been )?(used|submitted)", DuplicateClientOrderId),
    (r"invalid symbol|symbol not found|unknown symbol", InstrumentUnknown),
    (r"no opg orders|market is closed|closed|outside .*hours|trading hours|session|halted", VenueUnavailable),
    (r"not supported for account|invalid account|not authorized|not approved|permission|restricted", PermissionRefused),
    (r"buying power|insufficient|margin|day ?trading", InsufficientFunds),
    (r"quota exceeded|too many requests", RateLimited),
)
_CANCEL_TEXTS: tuple[tuple[str, type[BrokerError]], ...] = (
    (r"not an open order|after cancel has been attempted|already|too late", OrderAlreadyDone),
    (r"invalid order id|not found", OrderNotFound),
)
_HINTS: Mapping[type[BrokerError], str] = {
    AuthenticationRefused: "log in again: algotrendy login tradestation",
    DuplicateClientOrderId: "an order with this OrderConfirmID was received: look it up",
}
_SIDE_HINT = "an order may not cross zero: close the position with one order and open the other side with a second"


def order_error(text: str, *, code: str = "") -> BrokerError:
    """The typed error of an order that the venue answered with `Error`; by its words, else a refusal of its terms."""
    found = by_text(text, _ORDER_TEXTS) or OrderInvalid
    hint = _SIDE_HINT if re.search(_ORDER_TEXTS[1][0], text, re.IGNORECASE) else _HINTS.get(found, "")
    return _error(found, text, code=code, hint=hint)


def cancel_error(text: str, *, code: str = "") -> BrokerError:
    """The typed error of a refused cancel. Unknown words are a refusal: the order is read again in any case."""
    return _error(by_text(text, _CANCEL_TEXTS) or by_text(text, _ORDER_TEXTS) or OrderInvalid, text, code=code)


def item_error(row: Mapping[str, Any], *, what: str) -> BrokerError:
    """The typed error of one entry of a read's `Errors`."""
    text = said(row)
    name = str(row.get("Error", ""))
    found: type[BrokerError] = AnswerUnreadable
    if "symbol" in text.lower():
        found = InstrumentUnknown
    elif re.search(r"invalid order id|not found", text, re.IGNORECASE):
        found = OrderNotFound
    elif name.lower() == "forbidden" or by_text(text, _ORDER_TEXTS) is PermissionRefused:
        found = PermissionRefused
    elif name.lower() in ("unauthorized", "duallogon"):  # DualLogon: another session of this login took over
        found = AuthenticationRefused
    elif name.lower() == "toomanyrequests":
        found = RateLimited
    elif name.lower() in ("internalservererror", "gatewaytimeout", "badgateway", "serviceunavailable"):
        found = VenueFaulted
    return found(f"TradeStation answered for {what}: {text}", code=name, text=text)


def status_error(
    status: int, body: bytes, *, headers: Mapping[str, str], is_order: bool, is_cancel: bool = False
) -> BrokerError:
    """The typed error of an HTTP status other than 200.

    On an order only TradeStation's own body makes a refusal of it: without one, a gateway on the way may have spoken
    after the order was passed on.
    """
    own, start = _own_words(status, body), body[:200].decode("utf-8", "replace")
    row = HTTP_STATUSES.get(status)
    if own is not None and is_cancel and status in (400, 403, 404):
        return cancel_error(own, code=str(status))
    if row is None or (is_order and own is None):
        error: type[BrokerError] = AnswerUnreadable if status < 400 else VenueFaulted
    else:
        error = row.on_order if is_order else row.otherwise
        if own is not None and status == 400:
            error = by_text(own, _ORDER_TEXTS) or error
        if own is not None and "quota exceeded" in own.lower():
            error = RateLimited
    retry_after_s = (
        asked_to_wait_s(headers, most_s=RETRY_AFTER_S_MAX, names=("x-ratelimit-reset", "retry-after"))
        if error in (RateLimited, VenueFaulted)
        else None
    )
    return _error(
        error, own or start, code=str(status), hint=_HINTS.get(error, ""), retry_after_s=retry_after_s, status=status
    )


def said(row: Mapping[str, Any]) -> str:
    """Title and message of an error as one text, bounded."""
    parts = [str(row[name]) for name in ("Error", "Message") if row.get(name)]
    return ": ".join(dict.fromkeys(parts))[:TEXT_MAX]


def _error(
    kind: type[BrokerError],
    text: str,
    *,
    code: str,
    hint: str = "",
    retry_after_s: float | None = None,
    status: int | None = None,
) -> BrokerError:
    where = "" if status is None else f" HTTP {status}"
    message = f"TradeStation answered{where}: {text}" + (f" ({hint})" if hint else "")
    return kind(message, code=code, text=text, retry_after_s=retry_after_s)


def _own_words(status: int, body: bytes) -> str | None:
    """TradeStation's title and message; None when the body is anything else than its documented error."""
    try:
        row = decode(body)
    except ValueError:
        return None
    if not isinstance(row, dict) or not isinstance(row.get("Error"), str) or not isinstance(row.get("Message"), str):
        return None
    title = row["Error"].replace(" ", "").lower()
    return said(row) if title == _TITLES.get(status, title) else None
