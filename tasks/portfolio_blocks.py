"""Prefect blocks of rebalancing: portfolios and subscriptions, with the same fields and the same checks as in YAML."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from brokers.rounding import decimal_text
from tasks.block_schema import JobBlock
from tasks.config import ConfigRefused
from trading.rebalancing.portfolio import (
    BandRule,
    CalendarRule,
    OrderStyle,
    Portfolio,
    Scope,
    TradeTo,
    Unmanaged,
)
from trading.rebalancing.subscription import ApprovalRule, Conversion, OnRefusal, Split, SubscribedAccount, Subscription

NUMBER = r"^-?\d{1,12}(\.\d{1,12})?$"


class TargetWeight(BaseModel):
    """One line of a portfolio."""

    model_config = ConfigDict(extra="forbid")

    instrument: str = Field(
        title="Instrument",
        description="Unified symbol: BTC/USDT is spot, BTC/USDT:USDT the linear perpetual, AAPL a share.",
        min_length=1,
        max_length=64,
        json_schema_extra={"position": 0},
    )
    weight: str = Field(
        title="Weight",
        description="Fraction of the equity, for instance 0.25; negative is short.",
        pattern=NUMBER,
        json_schema_extra={"position": 1},
    )


class PortfolioBlock(JobBlock):
    """A named set of target weights and the rules of getting there."""

    _block_type_name = "Portfolio"
    _block_type_slug = "portfolio"
    _description = (
        "Target weights and the rules of getting there: drift bands, cash buffer, smallest trade. Save it under its "
        "own name: jobs ask for it. Fractions are written as text, for instance 0.02 for two percent."
    )
    _PLAIN: ClassVar[tuple[str, ...]] = (
        "quote_currency",
        "cash_buffer",
        "scope",
        "minimum_trade_notional",
        "tolerance",
        "order_style",
        "reprice_steps",
        "reprice_wait_s",
        "slices",
        "slice_interval_s",
        "collar",
        "price_move_max",
        "whole_lots",
        "cost_rate",
        "gross_max",
        "unmanaged",
        "rounds_max",
        "plan_age_s_max",
        "cooldown_s",
    )
    # Empty text, or 0 for a number of seconds, says that there is no such limit.
    _OPTIONAL: ClassVar[tuple[str, ...]] = (
        "cost_max",
        "slippage_max",
        "quote_age_s_max",
        "targets_at",
        "target_age_s_max",
        "targets_valid_until",
        "gross_limit",
    )

    portfolio_name: str = Field(default=..., title="Portfolio name", description="The same as the block's name.")
    quote_currency: str = Field(
        default="USDT",
        title="Quote currency",
        description="What the weights are of, for instance USDT at Bybit, USD at Alpaca.",
        pattern=r"^[A-Z0-9]{2,12}$",
    )
    targets: list[TargetWeight] = Field(
        default=..., title="Target weights", description="Each line once; what is left over stays cash."
    )
    drift_absolute: str = Field(
        default="", title="Absolute drift band", description="In weight: 0.02 is two points. Empty: no such band."
    )
    drift_relative: str = Field(
        default="", title="Relative drift band", description="Of the target: 0.1 is a tenth of it. Empty: no such band."
    )
    drift_rule: BandRule = Field(
        default=BandRule.ANY, title="Bands to leave", description="Trade when any band is left, or only when all are."
    )
    drift_trade_to: TradeTo = Field(
        default=TradeTo.TARGET, title="Trade to", description="The target, or the nearest edge of the band."
    )
    cash_buffer: str = Field(default="0.0025", title="Cash buffer", description="Fraction never invested, 0 to 1.")
    scope: Scope = Field(
        default=Scope.WHOLE_BOOK, title="Scope", description="What is traded once a line has left its band."
    )
    minimum_trade_notional: str = Field(default="0", title="Smallest trade", description="In quote currency.")
    tolerance: str = Field(
        default="0.005", title="Tolerance", description="Distance that counts as reached, of equity."
    )
    order_style: OrderStyle = Field(
        default=OrderStyle.LIMIT,
        title="Order style",
        description="limit is immediate-or-cancel at a protected price; limit_then_market rests and is repriced first; "
        "sliced spreads a leg over time.",
    )
    reprice_steps: int = Field(default=3, title="Repricing steps", ge=0, le=20, description="For limit_then_market.")
    reprice_wait_s: int = Field(
        default=5, title="Seconds between repricing", ge=1, le=600, description="For limit_then_market."
    )
    slices: int = Field(default=4, title="Slices", ge=2, le=50, description="For sliced.")
    slice_interval_s: int = Field(default=60, title="Seconds between slices", ge=0, le=3600, description="For sliced.")
    collar: str = Field(default="0.01", title="Price collar", description="Furthest price from the quote, a fraction.")
    price_move_max: str = Field(default="0.03", title="Largest price move", description="Since the plan, a fraction.")
    cost_rate: str = Field(default="0.0005", title="Assumed cost", description="Beyond the fee, of notional.")
    cost_max: str = Field(
        default="", title="Largest cost", description="Of a whole plan, as a fraction of equity. Empty: no limit."
    )
    slippage_max: str = Field(
        default="", title="Largest half spread", description="Of the mid price, a fraction. Empty: no limit."
    )
    gross_max: str = Field(default="1", title="Largest gross weight", description="Sum of absolute weights.")
    gross_limit: str = Field(
        default="", title="Gross limit", description="Increases are made smaller above it. Empty: none."
    )
    unmanaged: Unmanaged = Field(
        default=Unmanaged.LEAVE, title="Other holdings", description="What becomes of holdings that are not named."
    )
    whole_lots: bool = Field(
        default=False, title="Whole shares only", description="Leave parts of a share alone where they can be had."
    )
    rounds_max: int = Field(default=3, title="Orders per line", ge=1, le=10)
    plan_age_s_max: int = Field(default=900, title="Plan is stale after (seconds)", ge=1, le=86_400)
    quote_age_s_max: int = Field(
        default=0, title="Quote is stale after (seconds)", ge=0, le=604_800, description="0: at no age."
    )
    cooldown_s: int = Field(
        default=0, title="Cooldown (seconds)", ge=0, le=31_622_400, description="Since the last rebalance that traded."
    )
    calendar_sessions: str = Field(
        default="", title="Market hours", description="Trade in the sessions of this calendar only, for instance NYSE."
    )
    calendar_every: Literal["", "day", "week", "month", "quarter", "year"] = Field(
        default="", title="At most once a", description="Periods begin at midnight UTC. Empty: as often as it runs."
    )
    targets_at: str = Field(
        default="", title="Weights made at", description="For instance 2026-03-02T12:00:00Z. Empty: not stated."
    )
    target_age_s_max: int = Field(
        default=0, title="Weights are stale after (seconds)", ge=0, le=31_622_400, description="0: at no age."
    )
    targets_valid_until: str = Field(
        default="", title="Weights valid until", description="For instance 2026-03-09T12:00:00Z. Empty: for ever."
    )

    def to_portfolio(self) -> Portfolio:
        """The portfolio; ValueError names the field that is wrong."""
        targets = {row.instrument: row.weight for row in self.targets}
        if len(targets) != len(self.targets):
            raise ConfigRefused(f"portfolio {self.portfolio_name} names an instrument twice")
        return Portfolio.model_validate(
            {
                "name": self.portfolio_name,
                "targets": targets,
                "drift": {
                    "absolute": self.drift_absolute or None,
                    "relative": self.drift_relative or None,
                    "rule": self.drift_rule,
                    "trade_to": self.drift_trade_to,
                },
                "calendar": CalendarRule.model_validate(
                    {"sessions": self.calendar_sessions, "every": self.calendar_every or None}
                ),
                **{name: getattr(self, name) for name in self._PLAIN},
                **{name: getattr(self, name) or None for name in self._OPTIONAL},
            }
        )

    @classmethod
    def from_portfolio(cls, portfolio: Portfolio) -> Self:
        """The block that says the same."""
        given = {name: getattr(portfolio, name) for name in (*cls._PLAIN, *cls._OPTIONAL)}
        return cls(
            portfolio_name=portfolio.name,
            targets=[
                TargetWeight(instrument=str(instrument), weight=decimal_text(weight))
                for instrument, weight in portfolio.targets.items()
            ],
            drift_absolute=_text(portfolio.drift.absolute),
            drift_relative=_text(portfolio.drift.relative),
            drift_rule=portfolio.drift.rule,
            drift_trade_to=portfolio.drift.trade_to,
            calendar_sessions=portfolio.calendar.sessions,
            calendar_every=portfolio.calendar.every.value if portfolio.calendar.every else "",
            **{name: _formed(cls, name, value) for name, value in given.items()},
        )


class SubscribedRow(BaseModel):
    """One account of a subscription."""

    model_config = ConfigDict(extra="forbid")

    account: str = Field(
        title="Account",
        description="Name of the account's block, for instance bybit-testnet-main.",
        min_length=1,
        max_length=100,
        json_schema_extra={"position": 0},
    )
    share: str = Field(
        default="",
        title="Share",
        description="Of the joint equity, for instance 0.6. With split shares only.",
        json_schema_extra={"position": 1},
    )
    instruments: str = Field(
        default="",
        title="Instruments",
        description="Those that this account holds, separated by blanks. Empty: what its venue lists.",
        json_schema_extra={"position": 2},
    )
    quote_currency: str = Field(
        default="",
        title="Quote currency",
        description="Of the account, where it differs from the portfolio's.",
        json_schema_extra={"position": 3},
    )
    gross_max: str = Field(
        default="",
        title="Largest gross weight",
        description="On the account's own equity. Empty: the portfolio's.",
        json_schema_extra={"position": 4},
    )
    sessions: str = Field(
        default="",
        title="Market hours",
        description="Calendar of this account, for instance NYSE. Empty: the portfolio's.",
        json_schema_extra={"position": 5},
    )

    def plain(self) -> dict[str, Any]:
        """The same as in YAML: what is empty is not given."""
        given = {name: value for name, value in self.model_dump().items() if value}
        return {**given, "instruments": self.instruments.split()}


class ConversionRow(BaseModel):
    """What one currency is worth in the base currency."""

    model_config = ConfigDict(extra="forbid")

    currency: str = Field(title="Currency", pattern=r"^[A-Z0-9]{2,12}$", json_schema_extra={"position": 0})
    rate: str = Field(
        default="",
        title="Fixed rate",
        description="One unit in base currency, for instance 0.9995. Empty where an instrument says it.",
        json_schema_extra={"position": 1},
    )
    instrument: str = Field(
        default="",
        title="Instrument",
        description="Whose mid quote is taken, for instance USDC/USDT. Empty where the rate is fixed.",
        json_schema_extra={"position": 2},
    )
    account: str = Field(
        default="",
        title="Read at account",
        description="Empty: the first one that lists the instrument.",
        json_schema_extra={"position": 3},
    )
    quote_age_s_max: int = Field(
        default=60, title="Quote is stale after (seconds)", ge=1, le=604_800, json_schema_extra={"position": 4}
    )

    def plain(self) -> dict[str, Any]:
        """The same as in YAML: what is empty is not given."""
        return {name: value for name, value in self.model_dump(exclude={"currency"}).items() if value != ""}


class SubscriptionBlock(JobBlock):
    """A portfolio bound to one or several accounts."""

    _block_type_name = "Subscription"
    _block_type_slug = "subscription"
    _description = (
        "Which accounts follow a portfolio, how it is shared out among them, what other currencies are worth, and who "
        "must approve a run. Save it under its own name: jobs ask for it."
    )
    _PLAIN: ClassVar[tuple[str, ...]] = (
        "portfolio",
        "base_currency",
        "split",
        "approval",
        "approval_timeout_s",
        "approval_price_move_max",
        "approval_position_move_max",
        "on_refusal",
    )

    subscription_name: str = Field(default=..., title="Subscription name", description="The same as the block's name.")
    portfolio: str = Field(default=..., title="Portfolio", description="Name of the portfolio's block.")
    base_currency: str = Field(
        default="USDT", title="Base currency", pattern=r"^[A-Z0-9]{2,12}$", description="What totals are counted in."
    )
    split: Split = Field(
        default=Split.OWN_EQUITY,
        title="Split",
        description="own_equity: each account on its own equity. shares: parts of the joint equity. by_instrument: the "
        "joint equity, each line where it is listed.",
    )
    accounts: list[SubscribedRow] = Field(default=..., title="Accounts")
    conversions: list[ConversionRow] = Field(default=[], title="Conversions")
    approval: ApprovalRule = Field(
        default=ApprovalRule.PRODUCTION, title="Approval", description="When a person must approve a run's plan."
    )
    approval_timeout_s: int = Field(default=3600, title="Approval waits (seconds)", ge=60, le=604_800)
    approval_price_move_max: str = Field(
        default="0.01", title="Price move before a new plan", description="While it waits; a fraction."
    )
    approval_position_move_max: str = Field(
        default="0.005", title="Position move before a new plan", description="While it waits; of the account's equity."
    )
    on_refusal: OnRefusal = Field(
        default=OnRefusal.CONTINUE, title="After a refused order", description="Go on with the others, or stop."
    )

    def to_subscription(self) -> Subscription:
        """The subscription; ValueError names the field that is wrong."""
        conversions = {row.currency: row.plain() for row in self.conversions}
        if len(conversions) != len(self.conversions):
            raise ConfigRefused(f"subscription {self.subscription_name} converts a currency twice")
        return Subscription.model_validate(
            {
                "name": self.subscription_name,
                "accounts": [row.plain() for row in self.accounts],
                "conversions": conversions,
                **{name: getattr(self, name) for name in self._PLAIN},
            }
        )

    @classmethod
    def from_subscription(cls, subscription: Subscription) -> Self:
        """The block that says the same."""
        return cls(
            subscription_name=subscription.name,
            accounts=[_account_row(item) for item in subscription.accounts],
            conversions=[_conversion_row(currency, item) for currency, item in subscription.conversions.items()],
            **{name: _formed(cls, name, getattr(subscription, name)) for name in cls._PLAIN},
        )


def _account_row(item: SubscribedAccount) -> SubscribedRow:
    return SubscribedRow(
        account=item.account,
        share=_text(item.share),
        instruments=" ".join(map(str, item.instruments)),
        quote_currency=item.quote_currency or "",
        gross_max=_text(item.gross_max),
        sessions=item.sessions or "",
    )


def _conversion_row(currency: str, item: Conversion) -> ConversionRow:
    return ConversionRow(
        currency=currency,
        rate=_text(item.rate),
        instrument=str(item.instrument) if item.instrument else "",
        account=item.account,
        quote_age_s_max=item.quote_age_s_max,
    )


def _formed(block: type[JobBlock], name: str, value: Any) -> Any:
    """A value as the form holds it: numbers as text, nothing as empty text or 0."""
    if value is None:
        return block.model_fields[name].default
    if isinstance(value, Decimal):
        return decimal_text(value)
    return value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else value


def _text(value: Decimal | None) -> str:
    return "" if value is None else decimal_text(value)
