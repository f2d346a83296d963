"""The demonstration Binance: BTC and ETH, spot and perpetual, at about the other venues' prices."""

from datetime import datetime
from decimal import Decimal

from simulators.binance.house import futures_wallet
from simulators.binance.simulator import BinanceConfig, RateLimitConfig
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


def binance_coins() -> tuple[InstrumentConfig, ...]:
    """Return BTCUSDT and ETHUSDT, spot and perpetual, with grids like those that the venue lists."""
    spot, linear = MarketKind.SPOT, MarketKind.LINEAR
    return (
        _coin("BTC", spot, tick="0.01", step="0.00001", largest="9000", market="120", notional="5"),
        _coin("ETH", spot, tick="0.01", step="0.0001", largest="9000", market="2400", notional="5"),
        _coin("BTC", linear, tick="0.10", step="0.001", largest="1000", market="120", notional="100", leverage="125"),
        _coin("ETH", linear, tick="0.01", step="0.001", largest="10000", market="2000", notional="20", leverage="100"),
    )


def _coin(
    base: str,
    kind: MarketKind,
    *,
    tick: str,
    step: str,
    largest: str,
    market: str,
    notional: str,
    leverage: str = "1",
) -> InstrumentConfig:
    spot = kind is MarketKind.SPOT
    return InstrumentConfig(
        symbol=f"{base}USDT",
        kind=kind,
        base=base,
        tick=Decimal(tick),
        step=Decimal(step),
        qty_min=Decimal(step),
        qty_max=Decimal(largest),
        qty_max_market=Decimal(market),
        notional_min=Decimal(notional),
        notional_max=Decimal(9_000_000 if spot else 50_000_000),
        price_max=Decimal(1_000_000),
        leverage_max=Decimal(leverage),
        maintenance_rate=Decimal("0.004"),
        maker_rate=Decimal("0.001" if spot else "0.0002"),
        taker_rate=Decimal("0.001" if spot else "0.0005"),
    )


def both_wallets(amount: Decimal) -> dict[str, Decimal]:
    """Return the same amount of USDT in the spot wallet and in the futures wallet."""
    return {"USDT": amount, futures_wallet("USDT"): amount}


def binance_demo_config(
    *,
    seed: int = 7,
    market_start: datetime = DEMO_START,
    usdt: Decimal = Decimal(100_000),
    clock_mode: ClockMode = ClockMode.WALL,
    rate_limits: bool = True,
    funding_rate: Decimal = Decimal("0.0001"),
    lags: LagsConfig | None = None,
) -> BinanceConfig:
    """Return the demonstration venue; the market waits at `market_start` until it is advanced."""
    manual = clock_mode is ClockMode.MANUAL
    return BinanceConfig(
        seed=seed,
        accounts=(
            AccountConfig(name="main", balances=both_wallets(usdt), keys=named_keys("main", "binance-main")),
            AccountConfig(name="second", balances=both_wallets(usdt)),
        ),
        instruments=binance_coins(),
        prices=PricesConfig(
            start={"BTCUSDT": Decimal(60_000), "ETHUSDT": Decimal(3_000)},
            walks=(WalkConfig(symbols=("BTCUSDT", "ETHUSDT"), interval_s=86_400, volatility_bps=Decimal(250)),),
        ),
        clock=ClockConfig(
            mode=clock_mode,
            start=market_start if manual else None,
            market_start=None if manual else market_start,
        ),
        funding_rate=funding_rate,
        lags=lags or LagsConfig(),
        rate_limits=RateLimitConfig(enabled=rate_limits),
        price_band=Decimal("0.05"),
    )
