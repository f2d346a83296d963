"""Portfolios and subscriptions: YAML and block say the same, refuse the same, and name field, value and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.config import ConfigRefused, load, parse
from tasks.portfolio_blocks import ConversionRow, PortfolioBlock, SubscribedRow, SubscriptionBlock, TargetWeight
from trading.rebalancing.explaining import explain
from trading.rebalancing.portfolio import Portfolio
from trading.rebalancing.subscription import Subscription

ROOT = Path(__file__).resolve().parents[2]
EVERYTHING: dict[str, Any] = {
    "name": "full",
    "quote_currency": "USD",
    "targets": {"AAPL": "1.1", "BTC/USDT:USDT": "-0.4"},
    "cash_buffer": "0.01",
    "drift": {"absolute": "0.02", "relative": "0.1", "rule": "all", "trade_to": "band_edge"},
    "scope": "breaching_lines",
    "minimum_trade_notional": "25",
    "whole_lots": True,
    "tolerance": "0.004",
    "order_style": "limit_then_market",
    "reprice_steps": 5,
    "reprice_wait_s": 7,
    "slices": 9,
    "slice_interval_s": 11,
    "collar": "0.02",
    "price_move_max": "0.04",
    "cost_rate": "0.0007",
    "gross_max": "1.5",
    "unmanaged": "close",
    "rounds_max": 4,
    "plan_age_s_max": 700,
    "cooldown_s": 3600,
    "calendar": {"sessions": "NYSE", "every": "month"},
    "cost_max": "0.001",
    "slippage_max": "0.002",
    "quote_age_s_max": 120,
    "targets_at": "2026-03-02T12:00:00Z",
    "target_age_s_max": 86_400,
    "targets_valid_until": "2026-04-01T00:00:00.5Z",
    "gross_limit": "1.4",
}
SUBSCRIBED: dict[str, Any] = {
    "name": "joint",
    "portfolio": "full",
    "split": "by_instrument",
    "base_currency": "USD",
    "accounts": [
        {"account": "bybit-simulated-main", "quote_currency": "USDT", "instruments": ["A", "B"], "gross_max": "2"},
        {"account": "tradestation-simulated-main", "sessions": "NYSE"},
    ],
    "conversions": {
        "USDT": {"instrument": "USDT/USD", "account": "bybit-simulated-main", "quote_age_s_max": 30},
        "EUR": {"rate": "1.08"},
    },
    "approval": "always",
    "approval_timeout_s": 600,
    "approval_price_move_max": "0.02",
    "approval_position_move_max": "0.003",
    "on_refusal": "stop",
}


def test_every_rule_of_a_portfolio_survives_its_block() -> None:
    assert set(EVERYTHING) == set(Portfolio.model_fields)
    portfolio = Portfolio.model_validate(EVERYTHING)
    defaults = Portfolio.model_validate(
        {name: EVERYTHING[name] for name in ("name", "quote_currency")} | {"targets": {"A": "1"}}
    )
    changed = {name for name in Portfolio.model_fields if getattr(portfolio, name) != getattr(defaults, name)}
    assert changed == set(EVERYTHING) - {"name", "quote_currency"}, "each rule must differ from its default here"
    assert PortfolioBlock.from_portfolio(portfolio).to_portfolio() == portfolio
    assert PortfolioBlock.from_portfolio(defaults).to_portfolio() == defaults


def test_every_rule_of_a_subscription_survives_its_block() -> None:
    assert set(SUBSCRIBED) == set(Subscription.model_fields)
    subscription = Subscription.model_validate(SUBSCRIBED)
    assert SubscriptionBlock.from_subscription(subscription).to_subscription() == subscription
    shares = {
        "split": "shares",
        "accounts": [{"account": "bybit-testnet-a", "share": "0.4"}, {"account": "bybit-testnet-b", "share": "0.6"}],
    }
    subscription = Subscription.model_validate({**SUBSCRIBED, "conversions": {}, **shares})
    assert SubscriptionBlock.from_subscription(subscription).to_subscription() == subscription


@pytest.mark.parametrize("file", sorted(ROOT.glob("examples/*.yaml")), ids=lambda file: file.stem)
def test_every_shipped_example_fits_together_and_survives_its_blocks(file: Path) -> None:
    if file.stem == "alert-routes":
        return
    configuration = load(file)
    for portfolio in configuration.portfolios:
        assert PortfolioBlock.from_portfolio(portfolio).to_portfolio() == portfolio
    for subscription in configuration.subscriptions:
        assert SubscriptionBlock.from_subscription(subscription).to_subscription() == subscription
        assert configuration.portfolio(subscription.portfolio)
        assert [configuration.account(name) for name in subscription.account_names]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"cash_buffer": "1.5"}, "cash_buffer must be at most 1, was '1.5'; give a number in that range"),
        ({"collar": "0"}, "collar must be above 0, was '0'; give a number in that range"),
        ({"cost_max": "much"}, "cost_max: value must be a decimal number, was 'much'"),
        (
            {"quote_currency": "usd"},
            "quote_currency must have the form ^[A-Z0-9]{2,12}$, was 'usd'; correct its spelling",
        ),
        ({"calendar": {"sessions": "MOON"}}, "there is no calendar 'MOON'; some of those there are: NYSE"),
        ({"targets_at": "noon"}, "targets_at: must be a time such as '2026-03-02T12:00:00Z', was 'noon'"),
        ({"gross_max": "1"}, "absolute weights sum to 1.5, above gross_max 1; lower the weights or raise gross_max"),
    ],
)
def test_yaml_and_block_refuse_alike_with_field_value_and_remedy(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigRefused) as in_yaml:
        parse(str({"portfolios": [{**EVERYTHING, **changes}]}))
    block = PortfolioBlock.from_portfolio(Portfolio.model_validate(EVERYTHING))
    flat = {"calendar_sessions" if name == "calendar" else name: value for name, value in changes.items()}
    flat = {name: value["sessions"] if isinstance(value, dict) else value for name, value in flat.items()}
    with pytest.raises(ValidationError) as in_block:
        block.model_copy(update=flat).to_portfolio()
    assert complaint in str(in_yaml.value)
    assert complaint in explain(in_block.value, Portfolio)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "portfolios: [{name: p, quote_currency: USDT, targets: {A: '1'}, colar: '0.1'}]",
            r"portfolios\.0\.colar is not known; did you mean collar\?",
        ),
        (
            "portfolios: [{name: p, quote_currency: USDT, targets: {A: '1'}, scope: all}]",
            "must be one of whole_book, breaching_lines, was 'all'",
        ),
        (
            "portfolios: [{name: p, quote_currency: USDT, targets: {A: '1'}, drift: {absolut: '1'}}]",
            r"drift\.absolut is not known; did you mean absolute\?",
        ),
        (
            "subscriptions: [{name: s, portfolio: p, base_currency: USD, accounts: []}]",
            "accounts must have at least 1 entries, was 0",
        ),
        (
            "subscriptions: [{name: s, portfolio: p, accounts: [{account: bybit-testnet-a}]}]",
            "base_currency is missing; give it a value",
        ),
        (
            "portfolios: [{name: p, quote_currency: USDT, targets: {A: '1'}}]\n"
            "subscriptions: [{name: s, portfolio: p, base_currency: USD, accounts: [{account: bybit-testnet-a}]}]",
            "conversions must say what USDT is worth in USD",
        ),
    ],
)
def test_what_yaml_refuses_names_its_place(text: str, complaint: str) -> None:
    with pytest.raises(ConfigRefused, match=complaint):
        parse(text)


def test_a_mistake_in_an_account_beside_it_keeps_its_values_to_itself() -> None:
    keys = "{api_key: canary, api_secret: canary}"
    text = f"accounts: [{{venue: bybit, environment: simulated, name: M, credentials: {keys}}}]\n"
    with pytest.raises(ConfigRefused) as refused:
        parse(text + "portfolios: [{name: p, quote_currency: USDT, targets: {A: '1'}, rounds_max: 11}]")
    assert "rounds_max must be at most 10, was 11" in str(refused.value)
    assert "accounts.0" in str(refused.value)
    assert "canary" not in str(refused.value)


def test_rows_that_repeat_are_refused() -> None:
    rows = [ConversionRow(currency="USDT", rate="1"), ConversionRow(currency="USDT", rate="2")]
    block = SubscriptionBlock(
        subscription_name="s", portfolio="p", accounts=[SubscribedRow(account="bybit-testnet-a")], conversions=rows
    )
    with pytest.raises(ConfigRefused, match="converts a currency twice"):
        block.to_subscription()
    lines = [TargetWeight(instrument="BTC/USDT", weight="0.1"), TargetWeight(instrument="BTC/USDT", weight="0.2")]
    with pytest.raises(ConfigRefused, match="names an instrument twice"):
        PortfolioBlock(portfolio_name="p", targets=lines).to_portfolio()
