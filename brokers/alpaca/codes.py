"""Alpaca's errors as data: what a status, a code and a message say of the outcome.

A code has eight digits: the HTTP status and a number. A few codes serve for everything, so the message decides within
them; its published texts are matched first, and what has a known code but unknown words is what the code stands for. A
code that is not here proves nothing. Some refusals of the edge have a message without a code; what has no message in
JSON at all (HTML, an empty body) may be a gateway that spoke after the order was passed on.

Source: Alpaca documentation (pages "Placing Orders", "User Protection", "Usage Limits"), its OpenAPI description, and
the texts that its API returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from brokers.answers import asked_to_wait_s, by_text, whole_number
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
)
from brokers.strictjson import decode

RETRY_AFTER_S_MAX = 120.0  # twice the window of the limits
TEXT_MAX = 300
Texts = tuple[tuple[str, type[BrokerError]], ...]

# What a code stands for where its message says nothing more.
CODES: Mapping[int, type[BrokerError]] = {
    40010000: OrderInvalid,
    40010001: OrderInvalid,
    40110000: AuthenticationRefused,
    40310000: PermissionRefused,
    40310100: PermissionRefused,  # pattern day trading
    40410000: OrderNotFound,
    42210000: OrderInvalid,
    42910000: RateLimited,
    50010000: VenueFaulted,
    50410000: VenueFaulted,
}
# Messages without a code, by status: the edge's own words. Its 404 speaks of the path, and never of an order.
BARE: Mapping[int, type[BrokerError]] = {
    400: OrderInvalid,
    401: AuthenticationRefused,
    403: AuthenticationRefused,  # "forbidden.": a wrong key, or a key of the other environment
    422: OrderInvalid,
    429: RateLimited,
}
_WITHOUT_WORDS = (401, 403, 429)  # of reads: what a status says that carries no message
# In this order: the first that fits. Matched without regard to case, within the statuses 400 to 429 only.
TEXTS: Texts = (
    (r"client.?order.?id\b.*(unique|exist|duplicate)", DuplicateClientOrderId),
    (r"access key|not authorized|unauthorized|key verification", AuthenticationRefused),
    (r"rate limit|too many requests", RateLimited),
    (r"insufficient (buying power|balance|qty|funds|day ?trading)|not enough", InsufficientFunds),
    (r"subscription does not permit|suspend|new orders are rejected|restricted|liquidation only", PermissionRefused),
    (r"not allowed to|cannot be sold short|not eligible|pattern day trading|not enabled|blocked", PermissionRefused),
    (r"wash trade|opposite side|cost basis must be|minimal amount|sub-penny", OrderInvalid),
    (r"asset .*(not found|is not active|not tradable)|could not find asset|invalid symbol", InstrumentUnknown),
    (r"not fractionable|fractional|extended hours|time_in_force|stop price|limit.?price|qty must", OrderInvalid),
)
# Of a cancel, before the above.
CANCEL_TEXTS: Texts = (
    (r"already in|not cancelable|not cancellable|cannot be cancel|is already|pending.cancel", OrderAlreadyDone),
    (r"order not found|could not find order", OrderNotFound),
)
_HINTS: Mapping[type[BrokerError], str] = {
    AuthenticationRefused: "a key of the other environment is refused in the same way: paper and live have their own",
    DuplicateClientOrderId: "an order with this client order id exists: look it up",
}


@dataclass(frozen=True, slots=True)
class Said:
    """An error in Alpaca's own words; `code` is None where there is none."""

    code: int | None
    message: str


def answer_error(
    status: int, body: bytes, *, headers: Mapping[str, str], is_order: bool, is_cancel: bool = False
) -> BrokerError:
    """The typed error of an answer whose status is not 2xx.

    On an order only Alpaca's own words make a refusal of it, and no 5xx does.
    """
    said = words(body)
    start = body[:200].decode("utf-8", "replace")
    if said is None or status >= 500:
        kind = _without_words(status, is_order=is_order)
    else:
        kind = _by_words(status, said, is_cancel=is_cancel)
    code = str(said.code) if said is not None and said.code is not None else str(status)
    text = said.message if said is not None else start
    hint = _HINTS.get(kind, "")
    if kind is AnswerUnreadable:
        hint = "no documented answer, so that it proves nothing"
    retry_after_s = _retry_after_s(headers) if kind in (RateLimited, VenueFaulted) else None
    message = f"Alpaca answered HTTP {status} {code}: {text}" + (f" ({hint})" if hint else "")
    return kind(message, code=code, text=text, retry_after_s=retry_after_s)


def words(body: bytes) -> Said | None:
    """Alpaca's code and message; None when the body is anything else than a JSON object with a message."""
    try:
        row = decode(body)
    except ValueError:
        return None
    if not isinstance(row, dict) or not isinstance(row.get("message"), str) or not row["message"].strip():
        return None
    code = row.get("code")
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) <= 9:
        code = int(code)
    return Said(code if isinstance(code, int) and not isinstance(code, bool) else None, row["message"][:TEXT_MAX])


def _without_words(status: int, *, is_order: bool) -> type[BrokerError]:
    if status >= 500 or is_order:
        return VenueFaulted if status >= 400 else AnswerUnreadable
    return BARE[status] if status in _WITHOUT_WORDS else AnswerUnreadable


def _by_words(status: int, said: Said, *, is_cancel: bool) -> type[BrokerError]:
    known = BARE.get(status) if said.code is None else CODES.get(said.code)
    if known is None or known is VenueFaulted or not 400 <= status < 500:
        # A code that nobody documents, a success with an error in it: nothing may be concluded.
        return known or (VenueFaulted if said.code is None and status >= 400 else AnswerUnreadable)
    if known is RateLimited:
        return known
    tables = (*(CANCEL_TEXTS if is_cancel else ()), *TEXTS)
    return by_text(said.message, tables) or known


RESET = "x-ratelimit-reset"


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the venue asks to wait; its reset is a second since 1970, told against its own `Date`."""
    asked_s, reset = asked_to_wait_s(headers, most_s=RETRY_AFTER_S_MAX), whole_number(headers, RESET, digits_max=12)
    if asked_s is not None or reset is None:
        return asked_s
    try:
        now = datetime.strptime(headers.get("date", ""), "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return None
    return min(max(reset - now.timestamp(), 0.0), RETRY_AFTER_S_MAX)
