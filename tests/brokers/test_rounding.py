"""Exact numbers: properties over many values, and the texts that must be refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.rounding import MONEY, decimal_text, is_multiple, parse_decimal, quantise_price, quantise_quantity
from brokers.strictjson import decode, encode
from brokers.types import OrderSide

NUMBERS = st.decimals(
    allow_nan=False, allow_infinity=False, min_value=Decimal("-1e18"), max_value=Decimal("1e18"), places=18
)
POSITIVE = st.decimals(
    allow_nan=False, allow_infinity=False, min_value=Decimal("1e-9"), max_value=Decimal("1e12"), places=9
)
STEPS = st.sampled_from(
    [Decimal(text) for text in ("0.000001", "0.001", "0.05", "0.1", "0.25", "1", "3", "10", "1E+2")]
)


@given(quantity=NUMBERS, lot=STEPS)
def test_quantity_goes_toward_zero_on_the_grid(quantity: Decimal, lot: Decimal) -> None:
    rounded = quantise_quantity(quantity, lot=lot)
    magnitude, kept = quantity.copy_abs(), rounded.copy_abs()  # abs() would round to the default 28 digits
    assert kept <= magnitude and MONEY.subtract(magnitude, kept) < lot
    assert is_multiple(rounded, step=lot) and (rounded == 0 or (rounded > 0) == (quantity > 0))


@given(price=POSITIVE, tick=STEPS)
def test_price_is_never_more_aggressive(price: Decimal, tick: Decimal) -> None:
    buy, sell = (quantise_price(price, tick=tick, side=side) for side in (OrderSide.BUY, OrderSide.SELL))
    assert buy <= price <= sell
    assert MONEY.subtract(price, buy) < tick and MONEY.subtract(sell, price) < tick
    assert is_multiple(buy, step=tick) and is_multiple(sell, step=tick)


@given(value=NUMBERS)
def test_text_round_trips_without_exponent(value: Decimal) -> None:
    text = decimal_text(value)
    assert "e" not in text.lower() and parse_decimal(text) == value
    assert decimal_text(parse_decimal(text)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("1E-7", "0.0000001"), ("1E+3", "1000"), ("-0.00", "0"), ("0.10", "0.1"), ("100", "100"), ("-1.50", "-1.5")],
)
def test_canonical_text(value: str, text: str) -> None:
    assert decimal_text(Decimal(value)) == text


@pytest.mark.parametrize(
    "value",
    [
        *("", " 1", "1 ", "1,5", "0x10", "1_000", "NaN", "sNaN", "Infinity", "-inf", "1e400", "1E-19", "٣", "1.2.3"),
        *(
            "1" * 39,
            "9" * 30 + "." + "9" * 9,
            "1" * 90,
            0.1,
            None,
            True,
            b"1",
            Decimal("NaN"),
            Decimal("1E+19"),
            10**38,
        ),
    ],
)
def test_refused_numbers(value: object) -> None:
    with pytest.raises(ValueError, match="price must"):
        parse_decimal(value, field="price")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("0.1", "0.1"),
        ("-12", "-12"),
        ("+5", "5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1e-18", "1e-18"),
        ("1E+18", "1e18"),
        ("0.00000000000000000000", "0"),
        (7, "7"),
        (Decimal("2.50"), "2.5"),
        ("12345678.123456789012345678", "12345678.123456789012345678"),
    ],
)
def test_accepted_numbers(value: object, number: str) -> None:
    assert parse_decimal(value) == Decimal(number)


@pytest.mark.parametrize("step", ["0", "-1", "NaN"])
def test_steps_must_be_positive(step: str) -> None:
    with pytest.raises(ValueError, match="lot must be above 0"):
        quantise_quantity(Decimal(1), lot=Decimal(step))
    with pytest.raises(ValueError, match="tick must be above 0"):
        quantise_price(Decimal(1), tick=Decimal(step), side=OrderSide.BUY)


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), 1.5])
def test_only_finite_decimals_have_a_text(value: Decimal) -> None:
    with pytest.raises(ValueError, match="finite Decimal"):
        decimal_text(value)


@pytest.mark.parametrize(
    "text",
    [
        '{"qty":1,"qty":1000000}',
        '{"a":{"b":1,"b":1}}',
        '{"a":NaN}',
        '{"a":Infinity}',
        '{"a":1e400}',
        '{"a":1.5e-30}',
        "[" + "1" * 60 + "]",
        "{",
        "",
        b"\xff\xfe",
        "[" * 200_000,
    ],
)
def test_json_that_could_change_an_amount_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        decode(text)


def test_json_fractions_stay_exact() -> None:
    found = decode('{"a":0.100000000000000001,"b":12}')
    assert found == {"a": Decimal("0.100000000000000001"), "b": 12} and isinstance(found["a"], Decimal)


def test_encoding_is_canonical_and_refuses_floats() -> None:
    assert encode({"b": "1", "a": [1, True, None]}) == '{"a":[1,true,null],"b":"1"}'
    with pytest.raises(TypeError, match="Decimal"):
        encode({"a": Decimal(1)})
    with pytest.raises(ValueError, match="JSON compliant"):
        encode({"a": float("nan")})
