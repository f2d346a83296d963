"""What a simulated Alpaca is made of, beside what every venue is: environment, assets, sessions, fees, quirks."""

from decimal import Decimal
from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from simulators.core.config import AccountConfig, InstrumentConfig, Positive, Strict, VenueConfig
from simulators.core.money import Money
from simulators.core.sessions import SessionConfig
from simulators.core.types import MarketKind

USD = "USD"
STEP = Decimal("0.000000001")
NO_LIMIT = Decimal(10) ** 12
SHORT_EQUITY_MIN = Decimal(2_000)


class Environment(StrEnum):
    """Which of Alpaca's two trading hosts this is; each has account numbers, and keys, of its own."""

    PAPER = "paper"
    LIVE = "live"


class AssetClass(StrEnum):
    EQUITY = "us_equity"
    CRYPTO = "crypto"


class CryptoFees(StrEnum):
    """When a crypto fee leaves the account: with the activity that tells of it, as documented, or with the fill."""

    WHEN_POSTED = "when_posted"
    AT_FILL = "at_fill"


class WashTrade(StrEnum):
    """How an order against one's own is refused: HTTP 403, or 422 as seen in January 2024."""

    FORBIDDEN = "forbidden"
    UNPROCESSABLE = "unprocessable"


class AlpacaAccount(AccountConfig):
    """One account. `multiplier` is what its equity buys: 1 (cash), 2 or 4 times; shorts need more than 1."""

    multiplier: int = Field(default=4, ge=1, le=4)
    status: str = "ACTIVE"
    trading_blocked: bool = False
    account_blocked: bool = False
    no_shorting: bool = False
    fractional_trading: bool = True
    suspend_trade: bool = False


class AlpacaAsset(InstrumentConfig):
    """One asset: a stock, or (with `kind` spot) a crypto pair, whose symbol has a slash.

    The fees are those of crypto; stocks are free of commission.
    """

    kind: MarketKind = MarketKind.LINEAR
    name: str = ""
    exchange: str = "NASDAQ"
    quote: str = USD
    settle: str = USD
    tick: Positive = Decimal("0.01")
    step: Positive = STEP
    qty_min: Positive = STEP
    qty_max: Positive = NO_LIMIT
    qty_max_market: Positive = NO_LIMIT
    notional_min: Money = Decimal(0)
    notional_max: Money = NO_LIMIT
    maker_rate: Money = Decimal(0)
    taker_rate: Money = Decimal(0)
    leverage_max: Money = Decimal(4)
    maintenance_rate: Money = Decimal("0.3")
    fee_maker: Money = Decimal("0.0015")
    fee_taker: Money = Decimal("0.0025")
    cost_min: Money = Decimal(1)
    active: bool = True
    marginable: bool = True
    shortable: bool = True
    easy_to_borrow: bool = True
    fractionable: bool = True

    @property
    def asset_class(self) -> AssetClass:
        return AssetClass.CRYPTO if self.kind is MarketKind.SPOT else AssetClass.EQUITY

    @property
    def is_crypto(self) -> bool:
        return self.kind is MarketKind.SPOT

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.is_crypto != ("/" in self.symbol):
            raise ValueError(f"crypto pairs (kind spot), and only they, have a slash, was {self.symbol!r}")
        if self.maker_rate or self.taker_rate or self.fee_flat or self.fee_unit:
            raise ValueError("no fee is taken from a fill at Alpaca; give fee_maker and fee_taker of a crypto pair")
        return self


class QuotaConfig(Strict):
    """Requests that a key may make in a minute, of the trading API and of market data."""

    enabled: bool = True
    trading: int = Field(default=200, gt=0)
    data: int = Field(default=200, gt=0)


class FeesConfig(Strict):
    """Regulatory fees on sales of stock: a fraction of the proceeds (SEC), and dollars a share (FINRA's TAF)."""

    regulatory: bool = True
    sec_rate: Money = Decimal("0.0000278")
    taf_share: Money = Decimal("0.000166")
    taf_max: Money = Decimal("8.30")
    crypto: CryptoFees = CryptoFees.WHEN_POSTED
    crypto_usd_type: str = Field(default="CFEE", pattern="^(CFEE|FEE)$")


class QuirksConfig(Strict):
    """Behaviour that was seen or is unproved, each with a switch.

    `sip` says whether the account pays for SIP data. `cash_less_crypto_holds`: `cash` is less what open purchases of
    crypto bind, as ccxt's authors saw it; Alpaca documents equity as cash and market values.
    """

    wash_trade: WashTrade = WashTrade.FORBIDDEN
    client_id_max: int = Field(default=128, gt=0)
    sip: bool = False
    cash_less_crypto_holds: bool = False


class AlpacaConfig(VenueConfig):
    """An Alpaca venue."""

    environment: Environment = Environment.PAPER
    accounts: tuple[AlpacaAccount, ...] = ()
    instruments: tuple[AlpacaAsset, ...] = ()
    rate_limits: QuotaConfig = QuotaConfig()
    session: SessionConfig = SessionConfig()
    fees: FeesConfig = FeesConfig()
    quirks: QuirksConfig = QuirksConfig()
    liquidation: bool = False
    open_orders_max: int = 10_000
    conditional_orders_max: int = 10_000
