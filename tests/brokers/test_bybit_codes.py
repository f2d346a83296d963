"""Every row of Bybit's error table, by what it says of the outcome, through the adapter's own classification."""

from __future__ import annotations

import pytest

from brokers.bybit.adapter import BybitBroker
from brokers.bybit.client import read_envelope
from brokers.bybit.codes import CODES, code_error, status_error
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
from tests.brokers.loopback import Loopback, envelope, refuse, reply

# The table as documented, written down a second time and by meaning: a slip in the adapter's data shows here.
TABLE: dict[type[BrokerError], list[int]] = {
    AuthenticationRefused: [10003, 10004, 10007, 33004, -2015],
    PermissionRefused: [
        *(10005, 10008, 10009, 10010, 10024, 10027, 10028, 10029, 100028, 110066, 110132, 170209, 170241),
        *range(110123, 110126),
    ],
    InsufficientFunds: [
        *(110004, 110006, 110007, 110012, 110014, 110044, 110045, 170131, 170033, 176015),
        *range(110051, 110054),
    ],
    OrderInvalid: [
        *(
            10001,
            110003,
            110009,
            110013,
            110017,
            110020,
            110036,
            110038,
            110086,
            110087,
            110090,
            110094,
            110120,
            110121,
        ),
        *range(110021, 110024),
        *(110024, 110028, 110029, 110092, 110093),
        *(12137, 30208, 30209),
        *range(170115, 170118),
        *(170124, 170130, 170140, 170148, 170217, 170218, 170371, 170372, 170381, 170382, 170810),
        *range(170132, 170138),
        *range(170192, 170195),
    ],
    InstrumentUnknown: [170121, 110074, 170151, 170157],
    OrderNotFound: [110001, 170213, 20001],
    OrderAlreadyDone: [110008, 110010, 170139, 170142, 170143, 170190],
    DuplicateClientOrderId: [110072, 170141, 12141, 10014],
    RateLimited: [10006, 170222, 170005, 10018],
    ClockSkewed: [10002, -1],
    VenueUnavailable: [110063],
    VenueFaulted: [
        *(10000, 10016, 5004, 170007, 170146, 170147, 170032, 170035, 429, 30034, 30035, 130035, 130150),
        110079,  # "processing, cannot be operated": an order that is being processed may be ours
    ],
    NotModified: [110043, 110025, 110026, 110027, 34040],
}
ROWS = [(code, error) for error, codes in TABLE.items() for code in codes]


@pytest.mark.parametrize(("code", "error"), ROWS)
def test_every_documented_code_is_classified(code: int, error: type[BrokerError]) -> None:
    found = code_error(code, "the venue's text", headers={}, venue_time_ms=1)
    assert type(found) is error
    assert (found.code, found.text) == (str(code), "the venue's text") and str(code) in str(found)
    assert not isinstance(found, NotSent)


def test_the_table_is_unambiguous() -> None:
    assert len(dict(ROWS)) == len(ROWS)
    assert set(dict(ROWS)) <= set(CODES)
    assert all(issubclass(error, (Refused, VenueFaulted)) for error in CODES.values())


@pytest.mark.parametrize("code", [1, 110031, 170999, 999_999_999, -7])
def test_an_unknown_code_proves_nothing(code: int) -> None:
    found = code_error(code, "brand new", headers={}, venue_time_ms=None)
    assert type(found) is AnswerUnreadable and isinstance(found, OutcomeUnknown)
    assert (found.code, found.text) == (str(code), "brand new")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Not supported symbols", InstrumentUnknown),
        ("params error: symbol invalid", InstrumentUnknown),
        ("position idx not match position mode", OrderInvalid),
        ("Qty invalid", OrderInvalid),
    ],
)
def test_code_10001_is_told_apart_by_its_text(text: str, error: type[BrokerError]) -> None:
    assert type(code_error(10001, text, headers={}, venue_time_ms=None)) is error


def test_a_wrong_key_is_explained() -> None:
    assert "does not belong to this host" in str(code_error(10003, "API key is invalid.", headers={}, venue_time_ms=1))


@pytest.mark.parametrize(
    ("status", "on_order", "otherwise"),
    [
        (400, VenueFaulted, OrderInvalid),
        (401, AuthenticationRefused, AuthenticationRefused),
        (403, PermissionRefused, PermissionRefused),
        (404, VenueFaulted, OrderInvalid),
        (408, VenueFaulted, VenueFaulted),
        (409, VenueFaulted, VenueFaulted),
        (418, VenueFaulted, VenueFaulted),
        (425, VenueFaulted, VenueFaulted),
        (429, VenueFaulted, RateLimited),
        (500, VenueFaulted, VenueFaulted),
        (502, VenueFaulted, VenueFaulted),
        (503, VenueFaulted, VenueFaulted),
        (504, VenueFaulted, VenueFaulted),
        (201, AnswerUnreadable, AnswerUnreadable),
        (204, AnswerUnreadable, AnswerUnreadable),
    ],
)
def test_http_statuses(status: int, on_order: type[BrokerError], otherwise: type[BrokerError]) -> None:
    assert type(status_error(status, b"body", headers={}, is_order=True)) is on_order
    found = status_error(status, b"body", headers={}, is_order=False)
    assert type(found) is otherwise and found.code == str(status) and found.text == "body"


@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"retCode":110007,"retMsg":"ab not enough"}', InsufficientFunds),
        (b'{"retCode":110072,"retMsg":"OrderLinkedID is duplicate"}', DuplicateClientOrderId),
        (b'{"retCode":999999,"retMsg":"brand new"}', AnswerUnreadable),
        (b'{"retCode":0,"retMsg":"OK"}', VenueFaulted),
        (b'{"retCode":"110007"}', VenueFaulted),
        (b'{"retCode":true}', VenueFaulted),
        (b"[110007]", VenueFaulted),
        (b"<html>Bad Request</html>", VenueFaulted),
        (b"", VenueFaulted),
    ],
)
def test_a_bad_request_refuses_an_order_only_with_the_venues_own_code(
    status: int, body: bytes, error: type[BrokerError]
) -> None:
    found = status_error(status, body, headers={}, is_order=True)
    assert type(found) is error
    assert isinstance(found, OutcomeUnknown) == (error in (VenueFaulted, AnswerUnreadable))


@pytest.mark.parametrize("is_order", [True, False])
def test_an_ip_ban_says_how_long(is_order: bool) -> None:
    found = status_error(403, b"Access too frequent", headers={}, is_order=is_order)
    assert type(found) is RateLimited and found.retry_after_s == 600


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-bapi-limit-reset-timestamp": "1700000001500"}, 1.5),
        ({"x-bapi-limit-reset-timestamp": "1600000000000"}, 0.0),
        ({"x-bapi-limit-reset-timestamp": "1900000000000"}, 600.0),
        ({"x-bapi-limit-reset-timestamp": "soon", "retry-after": "3"}, 3.0),
        ({"x-bapi-limit-reset-timestamp": "-5"}, None),
        ({"retry-after": "99999"}, 600.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_never_negative_and_bounded(headers: dict[str, str], seconds: float | None) -> None:
    assert code_error(10006, "", headers=headers, venue_time_ms=1_700_000_000_000).retry_after_s == seconds


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b'{"retCode":"0","result":{}}',
        b'{"retCode":true,"result":{}}',
        b'{"retCode":0.0,"result":{}}',
        b'{"retCode":0,"result":[]}',
        b'{"retCode":0}',
    ],
)
def test_an_undocumented_shape_is_unreadable(body: bytes) -> None:
    with pytest.raises(AnswerUnreadable):
        read_envelope(body, headers={})


@pytest.mark.parametrize("message", ["OK", "success", "SUCCESS", ""])
def test_success_has_many_messages(message: str) -> None:
    assert read_envelope(envelope({"a": "1"}, message=message).encode(), headers={})["result"] == {"a": "1"}


@pytest.mark.parametrize(("code", "error"), ROWS)
def test_codes_reach_the_caller_of_a_read_with_one_request(
    broker: BybitBroker, loopback: Loopback, code: int, error: type[BrokerError]
) -> None:
    loopback.on("/v5/account/wallet-balance", refuse(code, "no"))
    loopback.on("/v5/account/info", reply(200, envelope({"marginMode": "REGULAR_MARGIN"})))
    with pytest.raises(error) as caught:
        broker.balances()
    assert caught.value.code == str(code) and len(loopback.to("/v5/account/wallet-balance")) == 1
