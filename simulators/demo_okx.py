"""The demonstration venue of OKX: BTC and ETH, spot and swaps, with the venue's published grids and contract sizes."""

from datetime import datetime
from decimal import Decimal

from simulators.core.clock import ClockMode
from simulators.core.config import (
    AccountConfig,
    ClockConfig,
    InstrumentConfig,
    LagsConfig,
    PricesConfig,
    WalkConfig,
    named_keys,
)
from simulators.core.types import MarketKind
from simulators.demo import DEMO_START
from simulators.okx.simulator import OKXConfig, OKXLimitConfig

PRICES = {"BTC": Decimal(60_000), "ETH": Decimal(3_000)}


def okx_swap(base: str, *, size: str, tick: str, market_max: str, quote: str = "USDT") -> InstrumentConfig:
    """Return a perpetual contract of `size` coins, tradable in hundredths of a contract."""
    return InstrumentConfig(
        symbol=f"{base}-{quote}-SWAP",
        kind=MarketKind.LINEAR,
        base=base,
        quote=quote,
        settle=quote,
        multiplier=Decimal(size),
        tick=Decimal(tick),
        step=Decimal("0.01"),
        qty_min=Decimal("0.01"),
        qty_max=Decimal(100_000_000),
        qty_max_market=Decimal(market_max),
        notional_min=Decimal(0),
        notional_max=Decimal(20_000_000),
        maker_rate=Decimal("0.0002"),
        taker_rate=Decimal("0.0005"),
        leverage_max=Decimal(100),
        maintenance_rate=Decimal("0.004"),
    )


def okx_spot(base: str, *, tick: str, step: str, low: str, quote: str = "USDT") -> InstrumentConfig:
    """Return a spot pair, of which a market order is worth at most a million."""
    return InstrumentConfig(
        symbol=f"{base}-{quote}",
        kind=MarketKind.SPOT,
        base=base,
        quote=quote,
        settle=quote,
        tick=Decimal(tick),
        step=Decimal(step),
        qty_min=Decimal(low),
        qty_max=Decimal(9_999_999_999),
        qty_max_market=Decimal(9_999_999_999),
        notional_min=Decimal(0),
        notional_max=Decimal(1_000_000),
        maker_rate=Decimal("0.0008"),
        taker_rate=Decimal("0.001"),
        leverage_max=Decimal(1),
    )


def okx_coins() -> tuple[InstrumentConfig, ...]:
    """Return BTC and ETH, swaps and spot."""
    return (
        okx_swap("BTC", size="0.01", tick="0.1", market_max="12000"),
        okx_swap("ETH", size="0.1", tick="0.01", market_max="20000"),
        okx_spot("BTC", tick="0.1", step="0.00000001", low="0.00001"),
        okx_spot("ETH", tick="0.01", step="0.000001", low="0.0001"),
    )


def okx_prices(**prices: Decimal) -> dict[str, Decimal]:
    """Return first prices of coins for their pairs and their contracts alike."""
    return {f"{base}-USDT{end}": price for base, price in prices.items() for end in ("", "-SWAP")}


def okx_demo_config(
    *,
    seed: int = 7,
    market_start: datetime = DEMO_START,
    usdt: Decimal = Decimal(100_000),
    clock_mode: ClockMode = ClockMode.WALL,
    rate_limits: bool = True,
    funding_rate: Decimal = Decimal("0.0001"),
    lags: LagsConfig | None = None,
) -> OKXConfig:
    """Return the demonstration venue; the market waits at `market_start` until it is advanced."""
    manual = clock_mode is ClockMode.MANUAL
    return OKXConfig(
        seed=seed,
        accounts=(
            AccountConfig(name="main", balances={"USDT": usdt}, keys=named_keys("main", "okx-main")),
            AccountConfig(name="second", balances={"USDT": usdt}),
        ),
        instruments=okx_coins(),
        prices=PricesConfig(
            start=okx_prices(**PRICES),
            walks=(WalkConfig(symbols=("BTC-USDT", "ETH-USDT"), interval_s=86_400, volatility_bps=Decimal(250)),),
        ),
        clock=ClockConfig(
            mode=clock_mode,
            start=market_start if manual else None,
            market_start=None if manual else market_start,
        ),
        funding_rate=funding_rate,
        lags=lags or LagsConfig(),
        rate_limits=OKXLimitConfig(enabled=rate_limits),
        price_band=Decimal("0.05"),
    )
