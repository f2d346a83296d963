"""Binance's error codes as data: what each says of the outcome.

Sources: Spot "Error codes" with its messages for -1010, -2010 and -2011; USDⓈ-M "Error Code"; the general information
pages on HTTP return codes (as of 2026-08). Four codes say different things in different words, so their text decides.
A code that is not here is unknown: nothing may be concluded from it. `VenueFaulted` marks what may have been executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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

RETRY_AFTER_S_MAX = 3 * 86_400.0  # the longest ban of an address
FAULT_WAIT_S_MAX = 60.0  # after a fault an order may live: it is not left unlooked for longer, whatever is asked

_BY_ERROR: dict[type[BrokerError], tuple[int, ...]] = {
    AuthenticationRefused: (-1002, -1022, -2008, -2014, -2015, -2017, -4056, -4057),
    PermissionRefused: (
        -4087, -4088, -4109, -4192, -4202, -4203, -4205, -4206, -4208, -4209, -4400, -4401, -4402, -4403,
    ),
    InsufficientFunds: (-2018, -2019, -2024, -2027, -2028, -4050, -4051),
    OrderInvalid: (
        -1013, -1014, -1020, -1023,
        -1100, -1101, -1102, -1103, -1104, -1105, -1106, -1108, -1109, -1110, -1111, -1112, -1113, -1114, -1115, -1116,
        -1117, -1118, -1119, -1120, -1125, -1126, -1127, -1128, -1130, -1131, -1134, -1135, -1136, -1139, -1145, -1151,
        -2010, -2012, -2020, -2021, -2022, -2023, -2025, -2026, -2038, -2039,
        -4000, -4001, -4002, -4003, -4004, -4005, -4006, -4007, -4008, -4009, -4010, -4011, -4012, -4013, -4014, -4015,
        -4016, -4017, -4018, -4019, -4020, -4021, -4023, -4024, -4025, -4026, -4027, -4028, -4029, -4030, -4031, -4032,
        -4044, -4045, -4047, -4048, -4049, -4054, -4055, -4058, -4060, -4061, -4062, -4067, -4068, -4082, -4083, -4084,
        -4086, -4104, -4114, -4115, -4117, -4118, -4120, -4131, -4135, -4137, -4138, -4139, -4142, -4161, -4164, -4165,
        -4167, -4168, -4169, -4170, -4183, -4184, -5021, -5022, -5024, -5025, -5026, -5029,
    ),
    InstrumentUnknown: (-1121, -1122, -4022, -4140, -4141, -4144),
    OrderNotFound: (-1099, -2011, -2013),
    DuplicateClientOrderId: (-4116,),
    RateLimited: (-1003, -1008, -1015),
    ClockSkewed: (-1021, -5028),
    VenueUnavailable: (-1016, -2016, -4531),
    VenueFaulted: (-1000, -1001, -1004, -1006, -1007, -1010),
    NotModified: (-4046, -4052, -4059, -4171, -5027),
}  # fmt: skip
CODES: Mapping[int, type[BrokerError]] = {code: error for error, codes in _BY_ERROR.items() for code in codes}

# Codes whose words decide, and what those say; matched in lower case, the first one counts. None of them fits: CODES.
_BY_TEXT = frozenset({-1010, -1013, -2010, -2011, -2015, -2026})
_TEXTS: tuple[tuple[str, type[BrokerError]], ...] = (
    ("duplicate order sent", DuplicateClientOrderId),
    ("unknown order sent", OrderNotFound),
    ("insufficient balance", InsufficientFunds),
    ("margin is insufficient", InsufficientFunds),
    ("market is closed", VenueUnavailable),
    ("trading is not enabled", VenueUnavailable),
    ("action is disabled on this account", PermissionRefused),
    ("may not place or cancel orders", PermissionRefused),
    ("symbol is not permitted", PermissionRefused),
    ("symbol is restricted", PermissionRefused),
    ("not canceled due to cancel restrictions", OrderAlreadyDone),
    ("cancel order is invalid", OrderNotFound),
    ("has been archived", OrderNotFound),
    ("filter failure", OrderInvalid),
    ("immediately match and take", OrderInvalid),
    ("would trigger immediately", OrderInvalid),
    ("not supported", OrderInvalid),
    ("not support for this symbol", OrderInvalid),
    ("zero or less", OrderInvalid),
    ("icebergqty exceeds", OrderInvalid),
    ("unsupported order combination", OrderInvalid),
    ("relationship of the prices", OrderInvalid),
    ("liquidity is less than", OrderInvalid),
)

_HINTS: Mapping[int, str] = {
    -1021: "the clocks differ, or the request was longer on its way than its recvWindow",
    -1022: "the secret does not belong to the key",
    -2010: "an order with this client order id is open: look it up",
    -2014: "the key is not one of Binance's: paste it again",
    -2015: "the key is unknown to this host, bound to other IP addresses, or lacks the right; production, demo and "
    "each test network have keys of their own",
    -4059: "it was so already",
    -4116: "an order with this client order id is open: look it up",
    -4120: "conditional futures orders are orders of the algo service",
}


HTTP_STATUSES: Mapping[int, HttpRow] = {
    400: HttpRow(VenueFaulted, OrderInvalid),  # no documented word on an order: a gateway may have forwarded it
    401: HttpRow(AuthenticationRefused, AuthenticationRefused),
    403: HttpRow(PermissionRefused, PermissionRefused),  # the firewall before the API: it was not let in
    404: HttpRow(VenueFaulted, OrderInvalid),
    408: HttpRow(VenueFaulted, VenueFaulted),  # "timeout waiting for response from the backend": status unknown
    418: HttpRow(RateLimited, RateLimited),  # banned for going on after 429: nothing is let in
    429: HttpRow(RateLimited, RateLimited),
    451: HttpRow(PermissionRefused, PermissionRefused),
}
_BUSY = (-1003, -1008)
# Of an overload one wording is documented as a refusal, at whatever status. The other one came from live futures for an
# order that had been placed, as its sender reported.
_OVERLOADED, _THROTTLED = -1008, "throttled by system-level protection"


def own_code(answer: Any) -> tuple[int, str] | None:
    """Code and words of one of Binance's refusals, whatever its HTTP status; `{"code": 200}` is none."""
    code = answer.get("code") if isinstance(answer, dict) else None
    if not isinstance(code, int) or isinstance(code, bool) or code >= 0:
        return None
    return code, str(answer.get("msg", ""))[:300]


def code_error(code: int, text: str, *, headers: Mapping[str, str], is_order: bool = False) -> BrokerError:
    """The typed error of a refusal; AnswerUnreadable when the code is not documented."""
    error = _error_of(code, text)
    if is_order and code == _OVERLOADED and not _is_throttled(code, text):
        error = VenueFaulted
    if error is None:
        return AnswerUnreadable(f"Binance answered the unknown code {code}: {text}", code=str(code), text=text)
    hint = "" if code == -2010 and error is not DuplicateClientOrderId else _HINTS.get(code, "")
    message = f"Binance answered {code}: {text}" + (f" ({hint})" if hint else "")
    retry_after_s = asked_to_wait_s(headers, most_s=RETRY_AFTER_S_MAX) if error is RateLimited else None
    return error(message, code=str(code), text=text, retry_after_s=retry_after_s)


def _is_throttled(code: int, text: str) -> bool:
    return code == _OVERLOADED and _THROTTLED in text.lower()


def _error_of(code: int, text: str) -> type[BrokerError] | None:
    if code in _BY_TEXT:
        lower = text.lower()
        found = next((error for words, error in _TEXTS if words in lower), None)
        if found is not None:
            return found
    return CODES.get(code)


def status_error(status: int, body: bytes, *, headers: Mapping[str, str], is_order: bool) -> BrokerError:
    """The typed error of an HTTP status other than 200. Below 500 Binance's own code counts; a 5XX is no failure of
    an order unless it is documented as one ("do not treat this as a failure operation")."""
    own = _own_code_of(body)
    if own is not None and (status < 500 or _is_throttled(*own) or (not is_order and own[0] in _BUSY)):
        return code_error(*own, headers=headers, is_order=is_order)
    text = own[1] if own is not None else body[:200].decode("utf-8", "replace")
    code = str(status) if own is None else f"{status} {own[0]}"
    row = HTTP_STATUSES.get(status)
    if row is None:
        error: type[BrokerError] = VenueFaulted if 400 <= status < 600 else AnswerUnreadable
    else:
        error = row.on_order if is_order else row.otherwise
    most_s = {RateLimited: RETRY_AFTER_S_MAX, VenueFaulted: FAULT_WAIT_S_MAX}.get(error)
    retry_after_s = None if most_s is None else asked_to_wait_s(headers, most_s=most_s)
    return error(f"Binance answered HTTP {status}", code=code, text=text, retry_after_s=retry_after_s)


def _own_code_of(body: bytes) -> tuple[int, str] | None:
    try:
        return own_code(decode(body))
    except ValueError:
        return None
