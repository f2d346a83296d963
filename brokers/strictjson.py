"""JSON for money: decimals stay exact, and what is ambiguous is refused.

`json` takes the last of two equal keys and reads NaN and binary floats; all three could change an amount unseen.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from brokers.rounding import parse_decimal


def decode(body: bytes | str, *, keeps_odd_fractions: bool = False) -> Any:
    """Parse with Decimal fractions; ValueError on NaN, Infinity, duplicate keys, oversized numbers or bad JSON.

    `keeps_odd_fractions` leaves a fraction that is too long as the text that it is, so that one figure which nobody
    asked for does not make an answer unreadable; whoever reads that figure is told.
    """
    try:
        decoder = _TOLERANT if keeps_odd_fractions else _DECODER
        return decoder.decode(body if isinstance(body, str) else body.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("json is nested too deeply") from error


def encode(value: Any) -> str:
    """Canonical text: sorted keys, no blanks, no floats. Equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_refuse)


def _refuse(value: Any) -> Any:
    raise TypeError(f"only text, integers, booleans and null may be encoded, was {type(value).__name__}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"json object has keys twice: {', '.join(twice)}")
    return found


def _constant(text: str) -> Any:
    raise ValueError(f"json number must be finite, was {text}")


def _fraction(text: str) -> Decimal:
    return parse_decimal(text)


def _fraction_or_text(text: str) -> Decimal | str:
    try:
        return _fraction(text)
    except ValueError:
        return text


def _integer(text: str) -> int:
    if len(text) > 39:
        raise ValueError(f"json integer must have at most 38 digits, was {len(text)} characters")
    return int(text)


def _decoder(parse_fraction: Callable[[str], Decimal | str]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_object, parse_constant=_constant, parse_float=parse_fraction, parse_int=_integer
    )


_DECODER, _TOLERANT = _decoder(_fraction), _decoder(_fraction_or_text)
