"""The error table, written down a second time by meaning; texts are those that Alpaca's API returns."""

from __future__ import annotations

from email.utils import format_datetime

import pytest

from brokers.alpaca import codes
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
    OutcomeUnknown,
    PermissionRefused,
    RateLimited,
    Refused,
    VenueFaulted,
)
from tests.brokers.alpaca.recorded import error
from tests.brokers.loopback import NOW

SAID = [
    (401, None, "unauthorized.", AuthenticationRefused),
    (401, 40110000, "request is not authorized", AuthenticationRefused),
    (401, 40110000, "access key verification failed : access key not found", AuthenticationRefused),
    (403, None, "forbidden.", AuthenticationRefused),
    (403, 40310000, "insufficient buying power", InsufficientFunds),
    (403, 40310000, "insufficient balance for USD (requested: 100, available: 50)", InsufficientFunds),
    (403, 40310000, "insufficient qty available for order (requested: 10, available: 5)", InsufficientFunds),
    (403, 40310000, "potential wash trade detected. use complex orders", OrderInvalid),
    (403, 40310000, "opposite side market/stop order exists", OrderInvalid),
    (403, 40310000, "cost basis must be >= minimal amount of order 10", OrderInvalid),
    (403, 40310000, "account is not allowed to short", PermissionRefused),
    (403, 40310000, 'asset "X" cannot be sold short', PermissionRefused),
    (403, 40310000, "account not eligible to trade uncovered option contracts", PermissionRefused),
    (403, 40310000, "new orders are rejected by user request", PermissionRefused),
    (403, 40310000, "account is restricted to liquidation only", PermissionRefused),
    (403, 40310000, "words that nobody published", PermissionRefused),
    (403, 40310100, "trade denied due to pattern day trading protection", PermissionRefused),
    (403, 42210000, "subscription does not permit querying recent SIP data", PermissionRefused),
    (404, 40410000, "order not found for 61e69015", OrderNotFound),
    (404, 40410000, "position does not exist", OrderNotFound),
    (404, None, "endpoint not found.", VenueFaulted),
    (404, 40410000, "asset not found for XYZ", InstrumentUnknown),
    (422, 42210000, 'could not find asset "XYZ"', InstrumentUnknown),
    (422, 42210000, 'asset "XYZ" is not active', InstrumentUnknown),
    (422, 42210000, 'asset "XYZ" is not tradable', InstrumentUnknown),
    (422, 42210000, 'asset "XYZ" is not fractionable', OrderInvalid),
    (422, 42210000, "invalid limit_price 1.001. sub-penny increment does not fulfill minimum pricing", OrderInvalid),
    (422, 42210000, "fractional orders must be DAY orders", OrderInvalid),
    (422, 42210000, "extended hours order must be DAY limit orders", OrderInvalid),
    (422, 42210000, "invalid crypto time_in_force", OrderInvalid),
    (422, 42210000, "stop price must be less than current price", OrderInvalid),
    (422, 42210000, "qty must be > 0", OrderInvalid),
    (422, 40010001, "symbol is required", OrderInvalid),
    (422, 40010001, "invalid order type", OrderInvalid),
    (422, 40010001, "client_order_id must be unique", DuplicateClientOrderId),
    (422, 40010001, "client order id must be unique", DuplicateClientOrderId),
    (403, 40310000, "client_order_id must be unique", DuplicateClientOrderId),
    (400, 40010000, "invalid request body format", OrderInvalid),
    (429, 42910000, "rate limit exceeded", RateLimited),
    (429, None, "too many requests.", RateLimited),
    (500, 50010000, "internal server error occurred", VenueFaulted),
    (504, 50410000, "request timeout", VenueFaulted),
    (422, 42299999, "a code that nobody documents", AnswerUnreadable),
    (418, None, "a status that nobody documents", VenueFaulted),
]


@pytest.mark.parametrize(("status", "code", "text", "wanted"), SAID)
def test_each_documented_answer(status: int, code: int | None, text: str, wanted: type[BrokerError]) -> None:
    for is_order in (True, False):
        found = codes.answer_error(status, error(code, text).encode(), headers={}, is_order=is_order)
        assert type(found) is wanted, found
        assert found.code == str(code or status) and found.text == text


def test_every_row_of_the_table_is_written_down_here() -> None:
    assert {code for _, code, _, _ in SAID if code is not None and code != 42299999} == set(codes.CODES)
    for pattern, wanted in codes.TEXTS:
        assert any(kind is wanted for _, _, _, kind in SAID), pattern


@pytest.mark.parametrize(
    ("status", "code", "text", "wanted"),
    [
        (422, 42210000, 'order is already in "filled" state', OrderAlreadyDone),
        (422, 42210000, "order is not cancelable", OrderAlreadyDone),
        (422, 42210000, "order pending cancel", OrderAlreadyDone),
        (404, 40410000, "order not found for 61e69015", OrderNotFound),
        (429, 42910000, "rate limit exceeded", RateLimited),
    ],
)
def test_a_refused_cancel(status: int, code: int, text: str, wanted: type[BrokerError]) -> None:
    found = codes.answer_error(status, error(code, text).encode(), headers={}, is_order=False, is_cancel=True)
    assert type(found) is wanted


@pytest.mark.parametrize("body", [b"", b"<html>Service Unavailable</html>", b'"text"', b'{"code":40310000}', b"[]"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 422, 429, 500, 502, 503, 504])
def test_without_alpacas_words_a_status_proves_nothing_of_an_order(status: int, body: bytes) -> None:
    assert type(codes.answer_error(status, body, headers={}, is_order=True)) is VenueFaulted
    read = codes.answer_error(status, body, headers={}, is_order=False)
    assert isinstance(read, Refused if status in (401, 403, 429) else OutcomeUnknown)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_fault_of_the_server_is_never_a_refusal_whatever_it_says(status: int) -> None:
    body = error(40310000, "insufficient buying power").encode()
    assert type(codes.answer_error(status, body, headers={}, is_order=True)) is VenueFaulted


def test_a_success_that_is_none_is_unreadable() -> None:
    assert type(codes.answer_error(304, b"", headers={}, is_order=False)) is AnswerUnreadable


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "5"}, 5.0),
        ({"retry-after": "99999"}, 120.0),
        ({"x-ratelimit-reset": str(int(NOW.timestamp()) + 17), "date": format_datetime(NOW, usegmt=True)}, 17.0),
        ({"x-ratelimit-reset": str(int(NOW.timestamp()) - 3), "date": format_datetime(NOW, usegmt=True)}, 0.0),
        ({"x-ratelimit-reset": "soon"}, None),
        ({"x-ratelimit-reset": "1772452817"}, None),  # against which clock?
        ({}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    body = error(42910000, "rate limit exceeded").encode()
    assert codes.answer_error(429, body, headers=headers, is_order=False).retry_after_s == seconds
