from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import ValidationError

from brokers.ids import InstrumentId
from tests.trading.rebalancing.building import make_portfolio
from trading.rebalancing import BandRule, DriftRule, LineReason, Portfolio


def test_reads_decimal_text_and_survives_json() -> None:
    portfolio = make_portfolio({"ETH/USDT": "0.4", "BTC/USDT": "0.5"}, drift={"absolute": "0.02", "rule": "all"})
    assert list(portfolio.targets) == [InstrumentId("BTC/USDT"), InstrumentId("ETH/USDT")]
    assert portfolio.drift.rule is BandRule.ALL
    assert Portfolio.model_validate_json(portfolio.model_dump_json()) == portfolio


def test_refuses_a_binary_float_with_the_remedy() -> None:
    with pytest.raises(ValidationError, match=r"in quotes.*binary float 0\.3"):
        Portfolio(name="core", quote_currency="USDT", targets={"BTC/USDT": 0.3})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"targets": {}}, "no targets"),
        ({"targets": {"A/USDT": "0.8", "B/USDT:USDT": "-0.4"}}, "sum to 1.2, above gross_max 1"),
        ({"cash_buffer": "1.5"}, "less than or equal to 1"),
        ({"collar": "0"}, "greater than 0"),
        ({"rounds_max": 0}, "greater than or equal to 1"),
        ({"surprise": "x"}, "Extra inputs"),
        ({"scope": "everything"}, "everything"),
        ({"quote_currency": "usdt"}, "pattern"),
        ({"targets": {"A/USDT": "NaN"}}, "decimal number"),
    ],
)
def test_refuses_what_makes_no_sense(changes: dict[str, object], complaint: str) -> None:
    fields = {"targets": {"A/USDT": "0.5"}, **changes}
    targets = fields.pop("targets")
    with pytest.raises(ValidationError, match=complaint):
        make_portfolio(targets, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "current", "is_breached"),
    [
        ({}, "0.5", False),
        ({}, "0.5001", True),
        ({"absolute": "0.02"}, "0.52", False),
        ({"absolute": "0.02"}, "0.5201", True),
        ({"relative": "0.1"}, "0.45", False),
        ({"relative": "0.1"}, "0.449", True),
        ({"absolute": "0.02", "relative": "0.1"}, "0.53", True),
        ({"absolute": "0.02", "relative": "0.1", "rule": "all"}, "0.53", False),
        ({"absolute": "0.02", "relative": "0.1", "rule": "all"}, "0.56", True),
    ],
)
def test_bands(rule: dict[str, str], current: str, is_breached: bool) -> None:
    drift = DriftRule.model_validate(rule)
    assert drift.is_breached(current=Decimal(current), target=Decimal("0.5")) is is_breached


def test_every_reason_says_what_it_means_and_what_to_do() -> None:
    for reason in LineReason:
        assert reason.value == reason.name
        assert reason.meaning.endswith(".")
        assert reason.remedy.endswith(".")
