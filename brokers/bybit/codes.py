"""Bybit's error codes as data: what each says of the outcome.

Source: Bybit V5 documentation, page "Error Codes" (as of 2026-07). A code that is not here is unknown: nothing may be
concluded from it. `VenueFaulted` marks codes after which the venue may or may not have acted.
"""

from __future__ import annotations

from collections.abc import Mapping

from brokers.answers import HttpRow, asked_to_wait_s
from brokers.errors import (
    AnswerUnreadable,
    AuthenticationRefused,
    BrokerError,
    ClockSkewed,
    DuplicateClientOrderId,
    InstrumentUnknown,
    InsufficientFunds,
    NotModified,
    OrderAlreadyDone,
    OrderInvalid,
    OrderNotFound,
    PermissionRefused,
    RateLimited,
    VenueFaulted,
    VenueUnavailable,
)
from brokers.strictjson import decode

IP_BAN_S = 600.0  # "access too frequent": stop everything for at least ten minutes
RETRY_AFTER_S_MAX = 600.0

_BY_ERROR: dict[type[BrokerError], tuple[int, ...]] = {
    AuthenticationRefused: (10003, 10004, 10007, 33004, -2015),
    PermissionRefused: (
        10005, 10008, 10009, 10010, 10024, 10027, 10028, 10029, 100028,
        110066, 110067, 110068, 110069, 110070, 110088, 110123, 110124, 110125, 110132, 170209, 170219, 170241,
    ),
    InsufficientFunds: (
        110004, 110006, 110007, 110012, 110014, 110044, 110045, 110051, 110052, 110053,
        170033, 170131, 176015,
    ),
    OrderInvalid: (
        10001, 12137, 30208, 30209, 30228,
        110003, 110009, 110011, 110013, 110017, 110020, 110021, 110022, 110023, 110024, 110028, 110029, 110032,
        110036, 110038, 110039, 110040, 110042, 110046, 110085, 110086, 110087, 110089, 110090, 110092, 110093,
        110094, 110103, 110118, 110120, 110121,
        170115, 170116, 170117, 170124, 170130, 170132, 170133, 170134, 170135, 170136, 170137, 170140, 170148,
        170159, 170192, 170193, 170194, 170201, 170203, 170204, 170210, 170217, 170218, 170341, 170371, 170372,
        170381, 170382, 170810,
    ),
    InstrumentUnknown: (110074, 170121, 170151, 170157),
    OrderNotFound: (20001, 110001, 170213),
    OrderAlreadyDone: (110008, 110010, 170139, 170142, 170143, 170190),
    DuplicateClientOrderId: (10014, 12141, 110072, 170141),
    RateLimited: (10006, 10018, 170005, 170222),
    ClockSkewed: (10002, -1),
    VenueUnavailable: (110063, 170031, 170144, 170191, 170212),
    VenueFaulted: (
        429, 5004, 10000, 10016, 30034, 30035, 110079, 130035, 130150, 3400214,
        170001, 170007, 170032, 170035, 170146, 170147, 170149, 170150, 170234,
    ),
    NotModified: (34040, 110025, 110026, 110027, 110043),
}  # fmt: skip
CODES: Mapping[int, type[BrokerError]] = {code: error for error, codes in _BY_ERROR.items() for code in codes}

_HINTS: Mapping[int, str] = {
    10003: "the key does not belong to this host: production, testnet and demo each have their own keys",
    10010: "the key is bound to other IP addresses",
    10028: "this adapter needs a unified trading account",
    110072: "an order with this client order id exists: look it up",
    170141: "an order with this client order id exists: look it up",
}


HTTP_STATUSES: Mapping[int, HttpRow] = {
    400: HttpRow(VenueFaulted, OrderInvalid),  # no documented word on an order: a gateway may have forwarded it
    401: HttpRow(AuthenticationRefused, AuthenticationRefused),
    403: HttpRow(PermissionRefused, PermissionRefused),
    404: HttpRow(VenueFaulted, OrderInvalid),
    429: HttpRow(VenueFaulted, RateLimited),  # "system level frequency protection": no word that nothing was done
}


def code_error(code: int, text: str, *, headers: Mapping[str, str], venue_time_ms: int | None) -> BrokerError:
    """The typed error of a non-zero retCode; AnswerUnreadable when the code is not documented."""
    error = CODES.get(code)
    if error is None:
        return AnswerUnreadable(f"Bybit answered the unknown code {code}: {text}", code=str(code), text=text)
    if code == 10001 and _says_unknown_symbol(text):
        error = InstrumentUnknown
    hint = _HINTS.get(code, "")
    message = f"Bybit answered {code}: {text}" + (f" ({hint})" if hint else "")
    retry_after_s = _reset_after_s(headers, venue_time_ms) if error is RateLimited else None
    return error(message, code=str(code), text=text, retry_after_s=retry_after_s)


def status_error(status: int, body: bytes, *, headers: Mapping[str, str], is_order: bool) -> BrokerError:
    """The typed error of an HTTP status other than 200; on an order, Bybit's own code in a 400 or 404 counts more."""
    text = body[:200].decode("utf-8", "replace")
    row = HTTP_STATUSES.get(status)
    if is_order and status in (400, 404):
        own = _own_code(body)
        if own is not None:
            return code_error(own[0], own[1], headers=headers, venue_time_ms=None)
    if status == 403 and "too frequent" in text.lower():
        return RateLimited(
            f"Bybit banned this IP address for too many requests (HTTP 403); wait {IP_BAN_S:.0f} s",
            code="403",
            text=text,
            retry_after_s=IP_BAN_S,
        )
    if row is None:
        error: type[BrokerError] = VenueFaulted if status >= 500 or 400 <= status < 500 else AnswerUnreadable
    else:
        error = row.on_order if is_order else row.otherwise
    retry_after_s = asked_to_wait_s(headers, most_s=RETRY_AFTER_S_MAX) if error in (RateLimited, VenueFaulted) else None
    return error(f"Bybit answered HTTP {status}", code=str(status), text=text, retry_after_s=retry_after_s)


def _own_code(body: bytes) -> tuple[int, str] | None:
    """Code and text of Bybit's envelope when it refuses; None when the body is anything else."""
    try:
        envelope = decode(body)
    except ValueError:
        return None
    code = envelope.get("retCode") if isinstance(envelope, dict) else None
    if not isinstance(code, int) or isinstance(code, bool) or code == 0:
        return None
    return code, str(envelope.get("retMsg", ""))[:300]


def _says_unknown_symbol(text: str) -> bool:
    lower = text.lower()
    return "symbol" in lower and ("invalid" in lower or "not supported" in lower or "not exist" in lower)


def _reset_after_s(headers: Mapping[str, str], venue_time_ms: int | None) -> float | None:
    """Seconds until `X-Bapi-Limit-Reset-Timestamp`, never negative, at most ten minutes; None where it says nothing."""
    reset = headers.get("x-bapi-limit-reset-timestamp", "")
    if not reset.isascii() or not reset.isdigit() or len(reset) > 15 or venue_time_ms is None:
        return asked_to_wait_s(headers, most_s=RETRY_AFTER_S_MAX)
    return min(max((int(reset) - venue_time_ms) / 1000, 0.0), RETRY_AFTER_S_MAX)
