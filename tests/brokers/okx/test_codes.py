"""OKX's error table, written down a second time by meaning."""

from __future__ import annotations

import json

import pytest

from brokers.errors import (
    AnswerUnreadable,
    AuthenticationRefused,
    BrokerError,
    ClockSkewed,
    DuplicateClientOrderId,
    EnvironmentMismatch,
    InstrumentUnknown,
    InsufficientFunds,
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
from brokers.okx import codes

MEANINGS: dict[type[BrokerError], str] = {
    AuthenticationRefused: "50101 50103 50104 50105 50106 50107 50108 50109 50111 50113 50114 50119",
    PermissionRefused: (
        "50030 50120 50110 50121 50035 50100 50027 50028 50029 50007 50009 50012 50033 50051 50052 50038 50053 "
        "51010 51024 51155 54092 59113 59550"
    ),
    InsufficientFunds: "51008 51127 51131 51502 59200 51004 51037 51209 51210 51213 51214",
    OrderInvalid: (
        "51000 50014 50015 50016 50024 51005 51006 51007 51020 51023 51025 51031 51039 51101 51102 51112 51116 51117 "
        "51120 51121 51122 51137 51138 51148 51150 51169 51170 51174 51201 51202 51203 51205 51206 51403 51511 54004 "
        "54084 54085 59000 59101 59102 59104 59107 59112"
    ),
    InstrumentUnknown: "51001 51015 51021 51022 51027 51028",
    OrderNotFound: "51603 51400 51063 51405",
    OrderAlreadyDone: "51410 51416 51401 51402",
    DuplicateClientOrderId: "51016 50071 51065",
    RateLimited: "50011 50061 50040 50013 51113 51115",
    ClockSkewed: "50102 50112 50036 50037",
    VenueUnavailable: "50001 50005 51029 51030 50046 50062 51290",
    VenueFaulted: "50004 51149 51054 51412 50026 50042",
}


@pytest.mark.parametrize(
    ("code", "expected"), [(code, error) for error, text in MEANINGS.items() for code in text.split()]
)
def test_each_documented_code(code: str, expected: type[BrokerError]) -> None:
    found = codes.code_error(code, "some words")
    assert type(found) is expected and (found.code, found.text) == (code, "some words")
    assert code in found.message and "some words" in found.message


def test_no_code_has_two_meanings() -> None:
    every = [code for group in codes._BY_ERROR.values() for code in group]
    assert len(every) == len(set(every)) == len(codes.CODES) > 200
    assert all(issubclass(error, (Refused, VenueFaulted)) for error in codes.CODES.values())


@pytest.mark.parametrize("code", ["12345", "60000", "", "51009x"])
def test_an_unknown_code_proves_nothing(code: str) -> None:
    found = codes.code_error(code, "new")
    assert type(found) is AnswerUnreadable and isinstance(found, OutcomeUnknown) and found.code == code


def test_a_case_of_a_code_means_what_the_code_means() -> None:
    assert type(codes.code_error("51008_1001", "")) is InsufficientFunds


def test_a_key_of_the_other_environment() -> None:
    """A read shows it before anything was sent; an order that got so far was refused by the venue."""
    assert type(codes.code_error("50101", "", is_read=True)) is EnvironmentMismatch
    written = codes.code_error("50101", "APIKey does not match current environment.", is_order=True)
    assert type(written) is AuthenticationRefused and not isinstance(written, NotSent)
    assert "demo trading and production have separate keys" in written.message


@pytest.mark.parametrize("code", sorted(codes.UNPROVED_ON_ORDERS))
def test_a_busy_or_absent_system_proves_nothing_of_an_order(code: str) -> None:
    assert type(codes.code_error(code, "", is_order=True)) is VenueFaulted
    assert isinstance(codes.code_error(code, ""), Refused)


def test_a_rate_limit_says_when_to_ask_again() -> None:
    assert codes.code_error("50011", "").retry_after_s == codes.RATE_LIMIT_S
    assert codes.code_error("51008", "").retry_after_s is None


@pytest.mark.parametrize(
    ("status", "on_order", "otherwise"),
    [
        (400, VenueFaulted, OrderInvalid),
        (401, VenueFaulted, AuthenticationRefused),
        (403, VenueFaulted, PermissionRefused),
        (404, VenueFaulted, OrderInvalid),
        (418, VenueFaulted, VenueFaulted),
        (429, VenueFaulted, RateLimited),
        (500, VenueFaulted, VenueFaulted),
        (502, VenueFaulted, VenueFaulted),
        (201, AnswerUnreadable, AnswerUnreadable),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"code":0}', b'{"code":"0"}', b'{"code":""}'])
def test_statuses_without_a_word_of_okx(
    status: int, on_order: type[BrokerError], otherwise: type[BrokerError], body: bytes
) -> None:
    assert type(codes.status_error(status, body, is_order=True)) is on_order
    assert type(codes.status_error(status, body)) is otherwise


@pytest.mark.parametrize(
    ("status", "code", "on_order", "on_write", "on_read"),
    [
        (400, "50004", VenueFaulted, VenueFaulted, VenueFaulted),
        (400, "51000", OrderInvalid, OrderInvalid, OrderInvalid),
        (401, "50113", AuthenticationRefused, AuthenticationRefused, AuthenticationRefused),
        (401, "50102", ClockSkewed, ClockSkewed, ClockSkewed),
        (403, "50035", PermissionRefused, PermissionRefused, PermissionRefused),
        (410, "50005", VenueFaulted, VenueUnavailable, VenueUnavailable),
        (429, "50011", RateLimited, RateLimited, RateLimited),
        (429, "50013", VenueFaulted, RateLimited, RateLimited),
        (500, "51149", VenueFaulted, VenueFaulted, VenueFaulted),
        (500, "51008", VenueFaulted, VenueFaulted, InsufficientFunds),
        (503, "50001", VenueFaulted, VenueFaulted, VenueUnavailable),
        (400, "99999", AnswerUnreadable, AnswerUnreadable, AnswerUnreadable),
    ],
)
def test_statuses_with_a_code_of_okx(
    status: int, code: str, on_order: type[BrokerError], on_write: type[BrokerError], on_read: type[BrokerError]
) -> None:
    body = json.dumps({"code": code, "msg": "words", "data": []}).encode()
    assert type(codes.status_error(status, body, is_order=True)) is on_order
    assert type(codes.status_error(status, body)) is on_write
    found = codes.status_error(status, body, is_read=True)
    assert type(found) is on_read and found.code == code and found.text == "words"


def test_words_of_the_venue_are_bounded() -> None:
    assert len(codes.said({"msg": "x" * 1000}, "msg")) == codes.TEXT_MAX and codes.said({"msg": None}, "msg") == ""
