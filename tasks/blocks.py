"""Prefect blocks: accounts and alert routes. Those of credentials are in `tasks.credential_blocks`, those of portfolios
and subscriptions in `tasks.portfolio_blocks`; all are known from here.

Registered by the `prefect.collections` entry point and `prefect block register -m tasks.blocks`. An account *names* its
credentials and never nests them: the UI's edit form replaces a nested secret by asterisks.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Self, TypeVar, cast

from prefect.blocks.core import Block
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from brokers.config import AccountConfig
from brokers.errors import EnvironmentMismatch
from brokers.ids import AccountId, Environment, InstrumentId, Venue
from brokers.registry import capabilities, supported_venues
from brokers.rounding import decimal_text
from brokers.types import ProductKind
from tasks.block_schema import JobBlock
from tasks.config import Account, AccountSettings, ConfigRefused, block_name, require_environment, risk_policy
from tasks.credential_blocks import (
    CREDENTIALS,
    AlpacaCredentials,
    BinanceCredentials,
    BybitCredentials,
    OKXCredentials,
    TradeStationCredentials,
    VenueCredentials,
    passphrase_of,
    require_secret,
)
from tasks.portfolio_blocks import NUMBER, PortfolioBlock, SubscriptionBlock, TargetWeight
from trading.alerts.routing import AlertConfig
from trading.rebalancing.explaining import explain
from trading.rebalancing.portfolio import Portfolio
from trading.rebalancing.subscription import Subscription

__all__ = [
    "BLOCKS",
    "CREDENTIALS",
    "AlertRoutes",
    "AlpacaCredentials",
    "BinanceCredentials",
    "BybitCredentials",
    "LeverageTarget",
    "OKXCredentials",
    "PortfolioBlock",
    "SubscriptionBlock",
    "TargetWeight",
    "TradeStationCredentials",
    "TradingAccount",
    "VenueCredentials",
    "load_account",
    "load_portfolio",
    "load_routes",
    "load_subscription",
    "require_secret",
]

B = TypeVar("B", bound=Block)


class LeverageTarget(BaseModel):
    """The leverage wanted for one instrument."""

    model_config = ConfigDict(extra="forbid")

    instrument: str = Field(
        title="Instrument",
        description="Unified symbol, for instance BTC/USDT:USDT.",
        min_length=1,
        max_length=64,
        json_schema_extra={"position": 0},
    )
    leverage: str = Field(
        title="Leverage",
        description="A number of at least 1, for instance 3.",
        pattern=NUMBER,
        json_schema_extra={"position": 1},
    )


class TradingAccount(JobBlock):
    """One account at one venue in one environment."""

    _block_type_name = "Trading Account"
    _block_type_slug = "trading-account"
    _description = (
        "One account at one venue in one environment: its credentials by name, its risk limits, its leverage targets. "
        "Name the document **venue-environment-name**, for instance `bybit-testnet-main`: jobs ask for that name."
    )

    venue: Venue = Field(
        default=...,
        title="Venue",
        description=f"Those that can be used now: {', '.join(supported_venues())}.",
    )
    environment: Environment = Field(
        default=...,
        title="Environment",
        description="simulated, testnet or production. Only the pool of the same environment runs jobs on it.",
    )
    account_name: str = Field(
        default=..., title="Account name", description="Lowercase letters, digits and dashes, for instance main."
    )
    credentials_name: str = Field(
        default=...,
        title="Credentials (name)",
        description="Name of the venue's credential block. By name only: nested secrets would be lost when editing.",
    )
    host: str = Field(
        default="",
        title="Host (name)",
        description="One of the venue's hosts, as algotrendy venues lists them; empty takes the environment's first.",
    )
    base_url: str = Field(
        default="", title="Simulator address", description="For simulated accounts only: http://127.0.0.1:PORT."
    )
    venue_account: str = Field(
        default="",
        title="Account number at the venue",
        description="Where one key reaches several accounts (TradeStation): its number, for instance SIM1234567M.",
    )
    settle_currencies: list[str] = Field(
        default=[],
        title="Settle currencies",
        description="Empty: the venue's own, for instance USDT at Bybit, USD at Alpaca.",
    )
    products: list[ProductKind] = Field(default=[], title="Products", description="Empty: all that the venue offers.")
    instruments: list[str] = Field(
        default=[],
        title="Instruments",
        description="Where the venue shows orders and fills of one symbol at a time (Binance): all that the account "
        "trades, for instance BTC/USDT and BTC/USDT:USDT. Nothing else is sent. Empty elsewhere.",
    )
    key_cannot_withdraw: bool = Field(
        default=False,
        title="The key cannot withdraw",
        description="Your statement, where the venue does not show a key's rights (Binance): say yes only if you made "
        "the key without the right to withdraw.",
    )
    dead_man_may_cancel_all_orders: bool = Field(
        default=False,
        title="The dead-man switch may cancel all orders",
        description="Your word that Binance (in a contract with an order of ours) and Bybit (in the whole account) may "
        "cancel every open order, other people's and programs' too, when nobody watches any more. No: theirs is not "
        "armed. OKX's spares others and needs no word.",
    )
    leverage: list[LeverageTarget] = Field(
        default=[], title="Leverage targets", description="What set leverage sets, and reconcile compares."
    )
    risk_overrides: dict[str, Any] = Field(
        default={},
        title="Risk limits that differ",
        description="Fields of the risk policy that differ from the environment's defaults, for instance "
        '{"order_notional_max": "5000"}. Amounts in quotes.',
    )

    @property
    def account_id(self) -> AccountId:
        return AccountId(self.venue, self.environment, self.account_name)

    def require_name(self, document_name: str) -> None:
        """The document's name must be the account's: nobody can run testnet under a production name or the reverse."""
        if document_name != block_name(self.account_id):
            raise ConfigRefused(
                f"trading account block {document_name!r} describes {self.account_id}; "
                f"save it under the name {block_name(self.account_id)!r}"
            )

    def to_account(self, credentials: VenueCredentials) -> Account:
        """Join the account with its credentials; EnvironmentMismatch when they belong to different environments."""
        if credentials.environment != self.environment:
            raise EnvironmentMismatch(
                f"credentials {self.credentials_name!r} are for {Environment(credentials.environment).value}, account "
                f"{self.account_id} is {self.environment.value}; name credentials of the account's environment"
            )
        facts = capabilities(self.venue)
        return Account(
            connection=AccountConfig(
                account_id=self.account_id,
                api_key=credentials.api_key,
                api_secret=credentials.api_secret,
                api_passphrase=passphrase_of(credentials),
                host=self.host,
                base_url=self.base_url,
                settle_currencies=tuple(self.settle_currencies) or facts.settle_currencies,
                products=frozenset(self.products) or facts.products,
                venue_account=self.venue_account,
                instruments=tuple(InstrumentId(text) for text in self.instruments),
                key_cannot_withdraw=self.key_cannot_withdraw,
                dead_man_may_cancel_all_orders=self.dead_man_may_cancel_all_orders,
            ),
            policy=risk_policy(self.environment, self.risk_overrides),
            leverage={InstrumentId(row.instrument): Decimal(row.leverage) for row in self.leverage},
        )

    @classmethod
    def from_settings(cls, settings: AccountSettings) -> Self:
        """The block that says the same as an account in YAML; its credentials block has the same name."""
        return cls(
            venue=settings.venue,
            environment=settings.environment,
            account_name=settings.name,
            credentials_name=settings.block_name,
            host=settings.host,
            base_url=settings.base_url,
            settle_currencies=list(settings.settle_currencies),
            products=sorted(settings.products),
            venue_account=settings.venue_account,
            instruments=list(map(str, settings.instruments)),
            key_cannot_withdraw=settings.key_cannot_withdraw,
            dead_man_may_cancel_all_orders=settings.dead_man_may_cancel_all_orders,
            leverage=[
                LeverageTarget(instrument=str(instrument), leverage=decimal_text(value))
                for instrument, value in settings.leverage.items()
            ],
            risk_overrides=dict(settings.risk),
        )


class AlertRoutes(JobBlock):
    """Sources and routes of alerts, as YAML: which alert may trade what, where, how much and when."""

    _block_type_name = "Alert Routes"
    _block_type_slug = "alert-routes"
    _description = (
        "Which alert may trade what, where, how much and when, as YAML (docs/alerts.md, Routes). Saving neither checks "
        "it nor makes it count: run **apply routes** afterwards. It holds no secrets: tokens are made with "
        "`algotrendy sources add`."
    )

    routes: str = Field(
        default=...,
        title="Sources and routes",
        description="YAML with the keys sources and routes, the same text as in a file for `algotrendy routes apply`.",
    )

    def to_config(self, name: str) -> AlertConfig:
        """The sources and routes; RoutesRefused names the place and the remedy."""
        return AlertConfig.parse(self.routes, where=f"block {name}")


BLOCKS: tuple[type[Block], ...] = (
    *CREDENTIALS.values(),
    TradingAccount,
    PortfolioBlock,
    SubscriptionBlock,
    AlertRoutes,
)


def load_account(name: str, *, environment: Environment) -> Account:
    """The account block of that name joined with the credentials that it names.

    ConfigRefused when a block is missing or wrong, EnvironmentMismatch when environments differ; an account of another
    environment than the caller's is refused before its credentials are read.
    """
    block = _load(TradingAccount, name)
    block.require_name(name)
    require_environment(block.account_id, environment)
    kind = CREDENTIALS.get(block.venue)
    if kind is None:
        raise ConfigRefused(f"there is no credential block type for {block.venue.value} yet")
    credentials: Any = _load(kind, block.credentials_name)
    return block.to_account(credentials)


def load_portfolio(name: str) -> Portfolio:
    """The portfolio block of that name; ConfigRefused when it is missing or wrong."""
    block = _load(PortfolioBlock, name)
    if block.portfolio_name != name:
        raise ConfigRefused(f"portfolio block {name!r} describes {block.portfolio_name!r}; save it under that name")
    try:
        return block.to_portfolio()
    except ValidationError as error:
        raise ConfigRefused(f"portfolio block {name!r}: {explain(error, Portfolio)}") from None


def load_subscription(name: str) -> Subscription:
    """The subscription block of that name; ConfigRefused when it is missing or wrong."""
    block = _load(SubscriptionBlock, name)
    if block.subscription_name != name:
        raise ConfigRefused(
            f"subscription block {name!r} describes {block.subscription_name!r}; save it under that name"
        )
    try:
        return block.to_subscription()
    except ValidationError as error:
        raise ConfigRefused(f"subscription block {name!r}: {explain(error, Subscription)}") from None


def load_routes(name: str) -> AlertConfig:
    """The block's sources and routes; ConfigRefused when it is missing, RoutesRefused when it is wrong."""
    return _load(AlertRoutes, name).to_config(name)


def _load(kind: type[B], name: str) -> B:
    slug = kind.get_block_type_slug()
    try:
        return cast(B, kind.load(name))
    except ValueError as error:
        raise ConfigRefused(
            f"block {slug}/{name} is missing or not valid; create or correct it under Blocks in the UI, "
            f"or run: algotrendy accounts apply FILE ({_first_line(error)})"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]
