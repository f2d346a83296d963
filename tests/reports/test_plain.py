"""Values become text without losing a digit, a zone or a secret."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal, localcontext
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from brokers.errors import RateLimited
from brokers.ids import AccountId, InstrumentId
from flows.reports.plain import exact, iso, moment, number, percent, plain, seconds, to_json

D = Decimal


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Sample:
    amount: Decimal
    account_id: AccountId
    at: datetime
    colour: Colour
    key: SecretStr
    timeout_s: float


def test_a_dataclass_becomes_json_ready() -> None:
    sample = Sample(
        D("1.10"),
        AccountId.parse("bybit.simulated.main"),
        datetime(2026, 3, 2, 14, tzinfo=timezone(timedelta(hours=2))),
        Colour.RED,
        SecretStr("very secret"),
        1.5,
    )
    assert plain(sample) == {
        "amount": "1.1",
        "account_id": "bybit.simulated.main",
        "at": "2026-03-02T12:00:00Z",
        "colour": "red",
        "key": "**********",
        "timeout_s": 1.5,
    }
    assert "very secret" not in to_json(sample)


def test_mappings_and_sets_are_ordered_text() -> None:
    assert plain({InstrumentId("BTC/USDT"): {D("2"), D("1")}}) == {"BTC/USDT": ["1", "2"]}


def test_an_error_keeps_the_venues_words() -> None:
    assert plain(RateLimited("slow down", code="10006", text="Too many visits!")) == {
        "reason": "VENUE_RATE_LIMITED",
        "message": "slow down",
        "code": "10006",
        "text": "Too many visits!",
    }


@pytest.mark.parametrize("value", [{"amount": 0.1}, [0.1], 0.1, {"at": object()}])
def test_a_float_or_an_unknown_type_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="no plain form"):
        plain(value)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-(10**19), max_value=10**19))
def test_exact_text_reads_back_equal(value: Decimal) -> None:
    assert D(exact(value)) == value
    assert "E" not in exact(value)
    assert D(json.loads(to_json({"v": value}))["v"]) == value


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="aware UTC"):
        iso(datetime(2026, 3, 2))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("value", "options", "shown"),
    [
        (D("1234567.890"), {}, "1,234,567.89"),
        (D("-0"), {}, "0"),
        (D("0.005"), {"places": 2}, "0.00"),
        (D("-0.001"), {"places": 2}, "0.00"),
        (D("80.5700000000"), {"places_max": 8}, "80.57"),
        (D("0.123456789"), {"places_max": 8}, "0.12345679"),
        (D("5"), {"signed": True}, "+5"),
        (D("0"), {"signed": True}, "0"),
        (None, {}, "–"),
    ],
)
def test_numbers_for_people(value: Decimal | None, options: dict[str, object], shown: str) -> None:
    assert number(value, **options) == shown  # type: ignore[arg-type]


def test_other_texts_for_people() -> None:
    assert percent(D("0.0125")) == "1.25 %"
    assert seconds(timedelta(minutes=2, seconds=5)) == "2 min 05 s"
    assert seconds(Decimal("0.844")) == "0.84 s"
    assert moment(datetime(2026, 3, 2, 12, tzinfo=UTC)) == "2026-03-02 12:00:00 UTC"


def test_rounding_does_not_depend_on_the_process() -> None:
    """A library in the same process may have changed the decimal context; ccxt does when it is imported."""
    with localcontext(rounding=ROUND_HALF_UP):
        assert number(D("0.005"), places=2) == "0.00"
