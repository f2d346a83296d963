"""Every row of Binance's error table, by what it says of the outcome, through the adapter's own classification."""

from __future__ import annotations

import json

import pytest

from brokers.binance.client import read_answer
from brokers.binance.codes import CODES, code_error, status_error
from brokers.errors import (
    AnswerUnreadable,
    AuthenticationRefused,
    BrokerError,
    ClockSkewed,
    DuplicateClientOrderId,
    InstrumentUnknown,
    InsufficientFunds,
    NotModified,
    NotSent,
    OrderAlreadyDone,
    OrderInvalid,
    OrderNotFound,
    OutcomeUnknown,
    PermissionRefused,
    RateLimited,
    Refused,
    VenueFaulted,
    VenueUnavailable,
)

# The table as documented, written down a second time and by meaning: a slip in the adapter's data shows here.
TABLE: dict[type[BrokerError], list[int]] = {
    AuthenticationRefused: [-2014, -2015, -1022, -1002, -2017, -2008],
    PermissionRefused: [-4087, -4088, -4192, -4400, -4401, -4402, *range(-4203, -4201), -4205, -4206, -4208, -4209],
    InsufficientFunds: [-2018, -2019, -4050, -4051, -2027, -2028],
    OrderInvalid: [
        *(-1013, -1111, *range(-1106, -1099), *range(-1117, -1113), -1118, -1130, -2010),
        *(*range(-4005, -4002), -4013, -4014, -4015, -4023, -4164, -4016, -4024, -4131),
        *(*range(-2022, -2019), -2025, -4060, -4061, -4062, -5021, -5022, -4120, -4115),
        *(-4028, -4161, -4067, -4068, -4047, -4048, -2039),
    ],
    InstrumentUnknown: [-1121, -4141, -1122, -4140],
    OrderNotFound: [-2013, -2011, -1099],
    DuplicateClientOrderId: [-4116],
    RateLimited: [-1003, -1015, -1008],
    ClockSkewed: [-1021, -5028],
    VenueUnavailable: [-1016, -4531],
    VenueFaulted: [-1000, -1001, -1006, -1007],  # what may have been executed, by the worse reading of each
    NotModified: [-4046, -4059, -4171, -4052, -5027],
}
ROWS = [(code, error) for error, codes in TABLE.items() for code in codes]


@pytest.mark.parametrize(("code", "error"), ROWS)
def test_every_documented_code_is_classified(code: int, error: type[BrokerError]) -> None:
    found = code_error(code, "the venue's text", headers={})
    assert type(found) is error
    assert (found.code, found.text) == (str(code), "the venue's text") and str(code) in str(found)
    assert not isinstance(found, NotSent)


def test_the_table_is_unambiguous() -> None:
    assert len(dict(ROWS)) == len(ROWS)
    assert set(dict(ROWS)) <= set(CODES)
    assert all(issubclass(error, (Refused, VenueFaulted)) for error in CODES.values())


@pytest.mark.parametrize(
    ("code", "text", "error"),
    [
        (-2010, "Duplicate order sent.", DuplicateClientOrderId),
        (-2010, "Account has insufficient balance for requested action.", InsufficientFunds),
        (-2010, "Order would immediately match and take.", OrderInvalid),
        (-2010, "Stop price would trigger immediately.", OrderInvalid),
        (-2010, "Market orders are not supported for this symbol.", OrderInvalid),
        (-2010, "Market is closed.", VenueUnavailable),
        (-2010, "This action is disabled on this account.", PermissionRefused),
        (-2010, "This symbol is not permitted for this account.", PermissionRefused),
        (-2010, "Something that was never documented.", OrderInvalid),  # the code itself says: not accepted
        (-2011, "Unknown order sent.", OrderNotFound),
        (-2011, "This action is disabled on this account.", PermissionRefused),
        (-2011, "Order was not canceled due to cancel restrictions.", OrderAlreadyDone),
        (-1013, "Filter failure: LOT_SIZE", OrderInvalid),
        (-1013, "Filter failure: MAX_NUM_ORDERS", OrderInvalid),
        (-1013, "Market is closed.", VenueUnavailable),
        (-2015, "Invalid API-key, IP, or permissions for action.", AuthenticationRefused),
        (-2015, "This action is disabled on this account.", PermissionRefused),
        (
            -2026,
            "Order was canceled or expired with no executed qty over 90 days ago and has been archived.",
            OrderNotFound,
        ),
        (-2026, "This OrderType is not supported when reduceOnly.", OrderInvalid),
        (-1010, "Account has insufficient balance for requested action.", InsufficientFunds),
        (-1010, "ERROR_MSG_RECEIVED.", VenueFaulted),
    ],
)
def test_one_code_says_different_things_in_different_words(code: int, text: str, error: type[BrokerError]) -> None:
    found = code_error(code, text, headers={})
    assert type(found) is error and found.text == text
    assert ("look it up" in str(found)) == (error is DuplicateClientOrderId)


@pytest.mark.parametrize("code", [-1, -1999, -4999, -9999, -111111])
def test_an_unknown_code_proves_nothing(code: int) -> None:
    for found in (
        code_error(code, "brand new", headers={}),
        status_error(400, json.dumps({"code": code, "msg": "brand new"}).encode(), headers={}, is_order=True),
    ):
        assert type(found) is AnswerUnreadable and isinstance(found, OutcomeUnknown)
        assert (found.code, found.text) == (str(code), "brand new")


@pytest.mark.parametrize(
    ("status", "on_order", "otherwise"),
    [
        (400, VenueFaulted, OrderInvalid),
        (401, AuthenticationRefused, AuthenticationRefused),
        (403, PermissionRefused, PermissionRefused),
        (404, VenueFaulted, OrderInvalid),
        (408, VenueFaulted, VenueFaulted),
        (409, VenueFaulted, VenueFaulted),
        (418, RateLimited, RateLimited),
        (429, RateLimited, RateLimited),
        (451, PermissionRefused, PermissionRefused),
        (500, VenueFaulted, VenueFaulted),
        (502, VenueFaulted, VenueFaulted),
        (503, VenueFaulted, VenueFaulted),
        (504, VenueFaulted, VenueFaulted),
        (201, AnswerUnreadable, AnswerUnreadable),
        (204, AnswerUnreadable, AnswerUnreadable),
    ],
)
def test_http_statuses(status: int, on_order: type[BrokerError], otherwise: type[BrokerError]) -> None:
    assert type(status_error(status, b"<html>", headers={}, is_order=True)) is on_order
    found = status_error(status, b"<html>", headers={}, is_order=False)
    assert type(found) is otherwise and found.code == str(status) and found.text == "<html>"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(
    ("body", "error", "text"),
    [
        (b'{"code":-1007,"msg":"Timeout waiting for response from backend server."}', VenueFaulted, "Timeout"),
        (b'{"code":-2010,"msg":"Account has insufficient balance."}', VenueFaulted, "insufficient"),
        (
            b'{"code":-1000,"msg":"Unknown error, please check your request or try again later."}',
            VenueFaulted,
            "Unknown",
        ),
        (b'{"code":-1001,"msg":"Internal error; unable to process your request."}', VenueFaulted, "Internal"),
        (b"Service Unavailable.", VenueFaulted, "Service"),
        (b'{"code":-1008,"msg":"Request throttled by system-level protection."}', RateLimited, "throttled"),
        # As live futures answered for an order that had been placed.
        (
            b'{"code":-1008,"msg":"Server is currently overloaded with other requests. Please try again in a few '
            b'minutes."}',
            VenueFaulted,
            "overloaded",
        ),
        (b'{"code":-1003,"msg":"Too many requests queued."}', VenueFaulted, "queued"),
    ],
)
def test_a_5xx_is_never_a_failure_of_the_order_but_where_its_code_says_so(
    status: int, body: bytes, error: type[BrokerError], text: str
) -> None:
    found = status_error(status, body, headers={}, is_order=True)
    assert type(found) is error and text in found.text


@pytest.mark.parametrize("status", [200, 429, 503])
def test_an_overload_is_a_limit_to_a_read_and_proves_nothing_of_an_order(status: int) -> None:
    body = b'{"code":-1008,"msg":"Server is currently overloaded with other requests."}'
    for is_order, error in ((True, VenueFaulted), (False, RateLimited)):
        with pytest.raises(error):
            read_answer(status, body, headers={}, is_order=is_order)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"code":-2019,"msg":"Margin is insufficient."}', InsufficientFunds),
        (b'{"code":-4116,"msg":"ClientOrderId is duplicated."}', DuplicateClientOrderId),
        (b'{"code":"-2019"}', VenueFaulted),
        (b'{"code":true}', VenueFaulted),
        (b'{"code":0,"msg":"?"}', VenueFaulted),
        (b"[-2019]", VenueFaulted),
        (b"[]", VenueFaulted),
        (b"<html>Bad Request</html>", VenueFaulted),
        (b"", VenueFaulted),
    ],
)
def test_a_bad_request_refuses_an_order_only_with_the_venues_own_code(body: bytes, error: type[BrokerError]) -> None:
    found = status_error(400, body, headers={}, is_order=True)
    assert type(found) is error and isinstance(found, OutcomeUnknown) == (error is VenueFaulted)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "259200"}, 259_200.0),
        ({"retry-after": "999999"}, 259_200.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("status", [418, 429])
def test_a_ban_says_how_long(status: int, headers: dict[str, str], seconds: float | None) -> None:
    body = b'{"code":-1003,"msg":"Way too many requests; IP banned until 1700000000000."}'
    for answer in (body, b"<html>"):
        found = status_error(status, answer, headers=headers, is_order=True)
        assert type(found) is RateLimited and found.retry_after_s == seconds


@pytest.mark.parametrize(("asked", "seconds"), [("3", 3.0), ("259200", 60.0)])
def test_a_fault_does_not_put_off_looking_for_the_order(asked: str, seconds: float) -> None:
    found = status_error(503, b"<html>", headers={"retry-after": asked}, is_order=True)
    assert type(found) is VenueFaulted and found.retry_after_s == seconds


@pytest.mark.parametrize(
    "body", [b"", b"null", b'"text"', b"[1]", b"[[]]", b"[null]", b"<html>", b'{"a":NaN}', b'{"a":1,"a":2}']
)
def test_an_undocumented_shape_is_unreadable(body: bytes) -> None:
    with pytest.raises(AnswerUnreadable):
        read_answer(200, body, headers={}, is_order=False)


def test_objects_and_lists_of_objects_are_answers() -> None:
    assert read_answer(200, b"{}", headers={}, is_order=False) == {}
    assert read_answer(200, b"[]", headers={}, is_order=False) == []
    assert read_answer(200, b'{"code":200,"msg":"success"}', headers={}, is_order=False)["code"] == 200


def test_a_refusal_with_status_200_is_one() -> None:
    with pytest.raises(InstrumentUnknown):
        read_answer(200, b'{"code":-1121,"msg":"Invalid symbol."}', headers={}, is_order=False)
