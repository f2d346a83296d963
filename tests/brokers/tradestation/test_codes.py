"""The error table, written down a second time by meaning."""

from __future__ import annotations

import json
from typing import Any

import pytest

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
from brokers.ids import ClientOrderId
from brokers.tradestation import codes, orders
from tests.brokers.loopback import NOW

OUR_ID = ClientOrderId("0aB1cD2eF3gH4iJ5kL6mN7")


def words(title: str, message: str = "some words") -> bytes:
    return json.dumps({"Error": title, "Message": message}).encode()


STATUSES = [
    (400, "BadRequest", OrderInvalid, OrderInvalid),
    (401, "Unauthorized", AuthenticationRefused, AuthenticationRefused),
    (403, "Forbidden", PermissionRefused, PermissionRefused),
    (404, "Not Found", OrderInvalid, OrderNotFound),
    (404, "NotFound", OrderInvalid, OrderNotFound),
    (429, "TooManyRequests", RateLimited, RateLimited),
    (500, "InternalServerError", VenueFaulted, VenueFaulted),
    (501, "NotImplemented", PermissionRefused, PermissionRefused),
    (502, "BadGateway", VenueFaulted, VenueFaulted),
    (503, "ServiceUnavailable", VenueFaulted, VenueFaulted),
    (504, "GatewayTimeout", VenueFaulted, VenueFaulted),
]


@pytest.mark.parametrize(("status", "title", "on_order", "otherwise"), STATUSES)
def test_each_status_with_its_documented_body(
    status: int, title: str, on_order: type[BrokerError], otherwise: type[BrokerError]
) -> None:
    for is_order, wanted in ((True, on_order), (False, otherwise)):
        found = codes.status_error(status, words(title), headers={}, is_order=is_order)
        assert type(found) is wanted and found.code == str(status) and "some words" in found.text


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503, 504, 418])
@pytest.mark.parametrize("body", [b"", b"<html>bad gateway</html>", b'{"message":"Forbidden"}', words("Elsewhere")])
def test_without_its_own_words_a_status_proves_nothing_of_an_order(status: int, body: bytes) -> None:
    if body == words("Elsewhere") and status not in codes._TITLES:
        return  # an undocumented status has no title of its own
    assert type(codes.status_error(status, body, headers={}, is_order=True)) is VenueFaulted


def test_a_2xx_that_is_not_200_is_unreadable() -> None:
    assert type(codes.status_error(202, b"{}", headers={}, is_order=True)) is AnswerUnreadable


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset": "17"}, 17.0),
        ({"retry-after": "5"}, 5.0),
        ({"x-ratelimit-reset": "9999"}, 300.0),
        ({}, None),
    ],
)
def test_a_rate_limit_says_when(headers: dict[str, str], seconds: float | None) -> None:
    found = codes.status_error(429, words("TooManyRequests"), headers=headers, is_order=False)
    assert found.retry_after_s == seconds


def test_the_old_quota_answer_is_a_rate_limit() -> None:
    found = codes.status_error(403, words("Forbidden", "Quota Exceeded"), headers={}, is_order=False)
    assert type(found) is RateLimited


REASONS = [
    ("Order failed. Reason: [EC601]: You are long 100 shares of MSFT", OrderInvalid),
    ("Order failed. Reason: [EC602]: You are short 100 shares", OrderInvalid),
    ("Order failed. Reason: [EC701]: closed out", OrderInvalid),
    ("Order failed. Reason: [EC702]: You are short 5 shares", OrderInvalid),
    ("Order failed. Reason: Type = LMT has invalid Price greater than absolute maximum", OrderInvalid),
    ("Order failed. Reason: No OPG Orders after 9:29AM Eastern Time", VenueUnavailable),
    ("Order failed. Reason: The market is closed", VenueUnavailable),
    ("Order failed. Reason: outside of trading hours", VenueUnavailable),
    ("Order failed. Reason: Invalid symbol", InstrumentUnknown),
    ("Order failed. Reason: not enough buying power", InsufficientFunds),
    ("Order failed. Reason: Insufficient funds", InsufficientFunds),
    ("Order failed. Reason: margin requirement", InsufficientFunds),
    ("Request not supported for account type.", PermissionRefused),
    ("Invalid Account ID.", PermissionRefused),
    ("Order failed. Reason: account is not authorized to trade futures", PermissionRefused),
    ("Order failed. Reason: shares are hard to borrow", OrderInvalid),
    ("Order failed. Reason: Duplicate OrderConfirmID", DuplicateClientOrderId),
    ("Order failed. Reason: request timed out", VenueFaulted),
    ("Order failed. Reason: Internal server error", VenueFaulted),
    ("Order failed. Reason: words that nobody documents", OrderInvalid),
]


@pytest.mark.parametrize(("reason", "wanted"), REASONS)
@pytest.mark.parametrize("shape", ["in Orders", "in Errors", "in both"])
def test_a_refusal_within_an_answer_of_200(reason: str, wanted: type[BrokerError], shape: str) -> None:
    row = {"Error": "FAILED", "Message": reason, "OrderID": "286179829"}
    answer: dict[str, Any] = {
        "in Orders": {"Orders": [row]},
        "in Errors": {"Orders": [], "Errors": [row]},
        "in both": {"Orders": [row], "Errors": [row]},
    }[shape]
    with pytest.raises(BrokerError) as caught:
        orders.ack(answer, OUR_ID, time=NOW)
    assert type(caught.value) is wanted
    assert reason in caught.value.text and caught.value.code == "FAILED", "the venue's own words stay"


def test_a_side_conflict_names_the_remedy() -> None:
    assert "second" in codes.order_error(REASONS[0][0]).message


def test_one_accepted_order_is_an_acknowledgement() -> None:
    answer = {"Orders": [{"Message": "Sent order: Buy 10 MSFT @ 210.00 Limit", "OrderID": "286-179829"}], "Errors": []}
    found = orders.ack(answer, OUR_ID, time=NOW)
    assert (found.client_order_id, found.venue_order_id.value, found.is_final) == (OUR_ID, "286179829", False)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"Orders": []},
        {"Orders": [], "Errors": []},
        {"Orders": [{"Message": "Sent"}]},
        {"Orders": [{"OrderID": "1"}, {"OrderID": "2"}]},
        {"Orders": [{"OrderID": "1"}], "Errors": [{"Error": "FAILED", "Message": "Order failed."}]},
        {"Orders": "1"},
        {"Orders": [1]},
    ],
)
def test_what_is_neither_proves_nothing(answer: dict[str, Any]) -> None:
    with pytest.raises(AnswerUnreadable):
        orders.ack(answer, OUR_ID, time=NOW)


CANCELS = [
    ("Not an open order.", OrderAlreadyDone),
    ("Failed to Cancel/Replace order: Not an open order.", OrderAlreadyDone),
    ("Cancel/Replace not allowed after cancel has been attempted", OrderAlreadyDone),
    ("Invalid order ID.", OrderNotFound),
    ("words that nobody documents", OrderInvalid),
]


@pytest.mark.parametrize(("reason", "wanted"), CANCELS)
def test_a_refused_cancel(reason: str, wanted: type[BrokerError]) -> None:
    with pytest.raises(BrokerError) as caught:
        orders.require_cancelled({"OrderID": "1", "Error": "FAILED", "Message": reason})
    assert type(caught.value) is wanted
    for status in (400, 404):
        found = codes.status_error(
            status, words(codes._TITLES[status].title(), reason), headers={}, is_order=False, is_cancel=True
        )
        assert type(found) is wanted


def test_a_taken_cancel() -> None:
    orders.require_cancelled({"Message": "Cancel request sent", "OrderID": "286179829"})
    with pytest.raises(AnswerUnreadable):
        orders.require_cancelled({"Message": "Cancel request sent"})


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"Symbol": "BAD", "Error": "FAILED, INVALID SYMBOL"}, InstrumentUnknown),
        (
            {"AccountID": "1C", "Error": "Forbidden", "Message": "Request not supported for account type."},
            PermissionRefused,
        ),
        ({"AccountID": "1C", "Error": "Forbidden", "Message": "Invalid Account ID."}, PermissionRefused),
        ({"Error": "Unauthorized", "Message": "x"}, AuthenticationRefused),
        ({"Error": "TooManyRequests", "Message": "x"}, RateLimited),
        ({"Error": "InternalServerError", "Message": "x"}, VenueFaulted),
        ({"Error": "Not Found", "Message": "Invalid order ID."}, OrderNotFound),
        ({"Error": "DualLogon", "Message": "x"}, AuthenticationRefused),
        ({}, AnswerUnreadable),
    ],
)
def test_entries_of_the_errors_of_a_read(row: dict[str, str], wanted: type[BrokerError]) -> None:
    assert type(codes.item_error(row, what="a read")) is wanted
