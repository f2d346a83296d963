from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from brokers.ids import InstrumentId
from trading.rebalancing.subscription import ApprovalRule, OnRefusal, Split, Subscription

BYBIT, SHARES = "bybit-simulated-main", "tradestation-simulated-main"


def make(**changes: Any) -> Subscription:
    fields: dict[str, Any] = {
        "name": "world",
        "portfolio": "core",
        "base_currency": "USD",
        "accounts": [{"account": BYBIT, "quote_currency": "USDT"}, {"account": SHARES}],
        "split": "by_instrument",
        "conversions": {"USDT": {"rate": "0.9995"}},
    }
    return Subscription.model_validate({**fields, **changes})


def test_reads_text_and_survives_json() -> None:
    made = make(approval="always", on_refusal="stop")
    assert (made.split, made.approval, made.on_refusal) == (Split.BY_INSTRUMENT, ApprovalRule.ALWAYS, OnRefusal.STOP)
    assert made.account_names == (BYBIT, SHARES)
    assert made.account(SHARES).quote_currency is None
    assert Subscription.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"accounts": []}, "at least 1"),
        ({"accounts": [{"account": BYBIT}, {"account": BYBIT}]}, "named twice: bybit-simulated-main"),
        ({"accounts": [{"account": "bybit"}]}, "pattern"),
        ({"split": "evenly"}, "evenly"),
        ({"accounts": [{"account": BYBIT, "share": "0.5"}]}, "share of bybit-simulated-main has no meaning"),
        ({"split": "shares"}, "missing: bybit-simulated-main, tradestation-simulated-main"),
        (
            {"split": "shares", "accounts": [{"account": BYBIT, "share": "0.5"}, {"account": SHARES, "share": "0.4"}]},
            "sum to 1, sum to 0.9",
        ),
        (
            {"accounts": [{"account": BYBIT, "instruments": ["A"]}, {"account": SHARES, "instruments": ["A"]}]},
            "named twice: A",
        ),
        ({"conversions": {"USD": {"rate": "1"}}}, "leave out base_currency USD"),
        ({"conversions": {"USDT": {}}}, "rate or instrument, was neither"),
        ({"conversions": {"USDT": {"rate": "1", "instrument": "USDT/USD"}}}, "was both"),
        ({"conversions": {"USDT": {"rate": 0.9995}}}, "binary float"),
        ({"conversions": {"USDT": {"rate": "0"}}}, "greater than 0"),
        ({"conversions": {"USDT": {"rate": "1", "account": BYBIT}}}, "reads no fixed rate"),
        (
            {"conversions": {"USDT": {"instrument": "USDT/USD", "account": "okx-simulated-main"}}},
            "is not an account of the subscription; use one of: bybit-simulated-main",
        ),
        ({"conversions": {"USDT": {"instrument": "BTC/USDT"}}}, "does not join USDT and USD; use USDT/USD or USD/USDT"),
        ({"accounts": [{"account": BYBIT}, {"account": "bybit-testnet-main"}]}, "of simulated and testnet"),
        (
            {"split": "shares", "accounts": [{"account": BYBIT, "share": "1", "instruments": ["A"]}]},
            "instruments of bybit-simulated-main have no meaning in split shares",
        ),
        ({"accounts": [{"account": BYBIT, "sessions": "MOON"}]}, "there is no calendar 'MOON'"),
        ({"surprise": "x"}, "Extra inputs"),
        ({"name": "World"}, "pattern"),
        ({"approval_timeout_s": 1}, "greater than or equal to 60"),
    ],
)
def test_refuses_what_makes_no_sense(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        make(**changes)


def test_every_currency_of_the_portfolio_and_its_accounts_needs_a_conversion() -> None:
    lines = frozenset({InstrumentId("AAPL")})
    make().require_portfolio(quote_currency="USD", instruments=lines)
    with pytest.raises(ValueError, match=r"say what EUR is worth in USD; give a rate or an instrument"):
        make().require_portfolio(quote_currency="EUR", instruments=lines)


def test_an_instrument_that_no_target_names_is_refused() -> None:
    made = make(accounts=[{"account": BYBIT, "instruments": ["BTC/USDT"], "quote_currency": "USDT"}])
    with pytest.raises(ValueError, match=r"instruments BTC/USDT are no targets of portfolio core"):
        made.require_portfolio(quote_currency="USDT", instruments=frozenset({InstrumentId("AAPL")}))
