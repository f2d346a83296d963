"""OKX's error codes as data: what each says of the outcome.

Source: OKX V5 documentation, page "Error Code" (as of 2026-07). A code that is not here is unknown: nothing may be
concluded from it. `VenueFaulted` marks codes after which the venue may or may not have acted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brokers.errors import (
    AnswerUnreadable,
    AuthenticationRefused,
    BrokerError,
    ClockSkewed,
    DuplicateClientOrderId,
    EnvironmentMismatch,
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

OK = "0"
SOME_FAILED = frozenset({"1", "2"})  # all, or a part: what was refused stands in each item's own code
ORDER_NOT_FOUND = "51603"
PARAMETER_WRONG = "51000"
# Of a cancellation: that it timed out, or that the conditional order has triggered; the documents say both.
PERHAPS_TRIGGERED = "51412"
WRONG_ENVIRONMENT = "50101"
RATE_LIMIT_S = 2.0  # the window of nearly every limit; OKX tells no time to wait
TEXT_MAX = 300

_BY_ERROR: dict[type[BrokerError], tuple[int, ...]] = {
    AuthenticationRefused: (
        50008, 50010, 50101, 50103, 50104, 50105, 50106, 50107, 50108, 50109, 50111, 50113, 50114, 50119,
    ),
    PermissionRefused: (
        50007, 50009, 50012, 50027, 50028, 50029, 50030, 50032, 50033, 50035, 50038, 50041, 50051, 50052, 50053,
        50059, 50060, 50067, 50075, 50100, 50110, 50120, 50121,
        51009, 51010, 51024, 51035, 51070, 51072, 51073, 51074, 51128, 51155, 51156, 51159, 51166, 51179,
        54000, 54001, 54005, 54024, 54025, 54028, 54035, 54072, 54075, 54092, 59113, 59114, 59550,
    ),
    InsufficientFunds: (
        51004, 51008, 51017, 51037, 51038, 51119, 51127, 51129, 51131, 51132, 51143, 51502,
        51209, 51210, 51211, 51212, 51213, 51214, 54006, 54018, 54019, 54030, 54031,
        59103, 59108, 59109, 59200, 59201, 59303,
    ),
    OrderInvalid: (
        50000, 50002, 50006, 50014, 50015, 50016, 50024, 50025, 50039, 50072, 50076, 50077, 50115, 50122,
        51000, 51002, 51003, 51005, 51006, 51007, 51020, 51023, 51025, 51026, 51031, 51032, 51033, 51039, 51041,
        51043, 51066, 51071, 51100, 51101, 51102, 51103, 51105, 51108, 51110, 51111, 51112, 51116, 51117, 51120,
        51121, 51122, 51123, 51124, 51125, 51126, 51130, 51133, 51134, 51135, 51136, 51137, 51138, 51139, 51140,
        51142, 51144, 51148, 51150, 51162, 51163, 51167, 51168, 51169, 51170, 51171, 51174, 51175, 51176, 51180,
        51181, 51185, 51186, 51196, 51197, 51201, 51202, 51203, 51204, 51205, 51206, 51207, 51250, 51252, 51286,
        51058, 51088, 51257, 51258, 51259, 51260, 51261, 51275, 51276, 51277, 51278, 51279, 51280, 51281, 51298, 51300,
        51302, 51303, 51304, 51305, 51306, 51307, 51308, 51317, 51330, 51415,
        51403, 51404, 51406, 51407, 51408, 51409, 51413, 51500, 51501, 51506, 51507, 51508, 51511, 51514,
        51600, 51601, 51602, 54004, 54009, 54011, 54036, 54079, 54084, 54085,
        59000, 59001, 59002, 59101, 59102, 59104, 59105, 59106, 59107, 59110, 59111, 59112, 59118, 59125, 59132,
        59668, 59669,
    ),
    InstrumentUnknown: (51001, 51012, 51014, 51015, 51021, 51022, 51027, 51028, 51087, 54007, 54029, 59402),
    OrderNotFound: (51063, 51400, 51405, 51503, 51603),
    OrderAlreadyDone: (51401, 51402, 51410, 51416, 51509, 51510),
    DuplicateClientOrderId: (50071, 51016, 51065, 51068),
    RateLimited: (50011, 50013, 50040, 50061, 51113, 51115),
    ClockSkewed: (50036, 50037, 50102, 50112),
    VenueUnavailable: (
        50001, 50005, 50017, 50018, 50019, 50020, 50021, 50022, 50023, 50046, 50062, 50064,
        51029, 51030, 51109, 51290, 54070, 54073, 54094,
    ),
    VenueFaulted: (50004, 50026, 50042, 51011, 51054, 51149, 51412, 51820),
}  # fmt: skip
CODES: Mapping[str, type[BrokerError]] = {str(code): error for error, codes in _BY_ERROR.items() for code in codes}

# Of an order these prove nothing: the documents call the system busy or away and say no word of what it did.
UNPROVED_ON_ORDERS = frozenset({"50001", "50005", "50013"})

_HINTS: Mapping[str, str] = {
    "50036": "the deadline of the request was over when it arrived",
    "50037": "the deadline of the request was over when it arrived",
    "50101": "demo trading and production have separate keys: use one that was made for this environment",
    "50105": "the passphrase is the one that was chosen when this key was made",
    "50110": "the key is bound to other IP addresses",
    "50119": "keys belong to one site of OKX (global, us, eea, tr): name its host",
    "51000": "in some regions OKX asks for tradeQuoteCcy; otherwise the text names the parameter",
    "51010": "the account mode does not allow it: change it on OKX's site, or leave the product out",
    "51016": "an open order with this client order id exists: look it up",
    "59000": "close positions and orders first",
}


def code_error(
    code: str, text: str, *, sub_code: str = "", is_order: bool = False, is_read: bool = False
) -> BrokerError:
    """The typed error of a code of OKX; AnswerUnreadable when it is not documented. A sub-code is kept as a detail.

    A read with a key of the other environment is EnvironmentMismatch; a write that got so far was refused by the venue.
    """
    plain = code.partition("_")[0]  # a documented form: 51008_1001 is a case of 51008
    details = {"sub_code": sub_code} if sub_code else {}
    error = CODES.get(plain)
    if error is None:
        return AnswerUnreadable(f"OKX answered the unknown code {code}: {text}", code=code, text=text, details=details)
    if is_order and plain in UNPROVED_ON_ORDERS:
        error = VenueFaulted
    if is_read and plain == WRONG_ENVIRONMENT:
        error = EnvironmentMismatch
    hint = _HINTS.get(plain, "")
    message = f"OKX answered {code}: {text}" + (f" ({hint})" if hint else "")
    retry_after_s = RATE_LIMIT_S if error is RateLimited else None
    return error(message, code=code, text=text, retry_after_s=retry_after_s, details=details)


def status_error(status: int, body: bytes, *, is_order: bool = False, is_read: bool = False) -> BrokerError:
    """The typed error of an HTTP status other than 200: OKX's own code where the body holds one.

    Without it a gateway on the way may have spoken after an order was passed on, and a fault of the server may have
    come after what was asked for was done: of an order the one, of any write the other proves nothing.
    """
    own = own_code(body)
    if own is not None and (is_read or status < 500):
        return code_error(*own, is_order=is_order, is_read=is_read)
    text = body[:200].decode("utf-8", "replace")
    error: type[BrokerError] = VenueFaulted if status >= 400 else AnswerUnreadable
    if not is_order:
        error = _STATUSES.get(status, error)
    retry_after_s = RATE_LIMIT_S if error is RateLimited else None
    return error(f"OKX answered HTTP {status}", code=str(status), text=text, retry_after_s=retry_after_s)


_STATUSES: Mapping[int, type[BrokerError]] = {
    400: OrderInvalid,
    401: AuthenticationRefused,
    403: PermissionRefused,
    404: OrderInvalid,
    429: RateLimited,
}


def own_code(body: bytes) -> tuple[str, str] | None:
    """Code and text of OKX's envelope when it refuses; None when the body is anything else."""
    try:
        envelope = decode(body)
    except ValueError:
        return None
    code = envelope.get("code") if isinstance(envelope, dict) else None
    if not isinstance(code, str) or not code or code == OK or code in SOME_FAILED:
        return None
    return code, said(envelope, "msg")


def said(row: Mapping[str, Any], name: str) -> str:
    """The venue's words, bounded."""
    return str(row.get(name) or "")[:TEXT_MAX]
