"""The demonstration venue: twenty US stocks as linear perpetuals on real daily prices, BTC and ETH on a seeded walk.

The prices are those that skfolio ships (1990 to 2022); the package is never imported, only its data file is read.
"""

from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from simulators.bybit.simulator import BybitConfig, RateLimitConfig
from simulators.core.clock import ClockMode
from simulators.core.config import (
    AccountConfig,
    ClockConfig,
    InstrumentConfig,
    LagsConfig,
    PricesConfig,
    ReplayConfig,
    WalkConfig,
)
from simulators.core.types import MarketKind

STOCKS = (
    *("AAPL", "AMD", "BAC", "BBY", "CVX", "GE", "HD", "JNJ", "JPM", "KO"),
    *("LLY", "MRK", "MSFT", "PEP", "PFE", "PG", "RRC", "UNH", "WMT", "XOM"),
)
DATA_FILE = "skfolio/datasets/data/sp500_dataset.csv.gz"
DEMO_START = datetime(2018, 1, 2, tzinfo=UTC)


def stock_history() -> Path:
    """Return the path of the bundled price file; raise FileNotFoundError with the remedy when it is absent."""
    try:
        path = Path(str(distribution("skfolio").locate_file(DATA_FILE)))
    except PackageNotFoundError:
        raise FileNotFoundError("the demo replays prices that skfolio ships; install skfolio") from None
    if not path.is_file():
        raise FileNotFoundError(f"skfolio is installed without {DATA_FILE}; install skfolio 1.12")
    return path


def stock(ticker: str) -> InstrumentConfig:
    """Return one stock as a linear perpetual with a cent tick and hundredth lots."""
    return InstrumentConfig(
        symbol=f"{ticker}USDT",
        base=ticker,
        tick=Decimal("0.01"),
        step=Decimal("0.01"),
        qty_min=Decimal("0.01"),
        qty_max=Decimal(100_000),
        qty_max_market=Decimal(50_000),
    )


def crypto() -> tuple[InstrumentConfig, ...]:
    """Return BTCUSDT and ETHUSDT, linear and spot, with the venue's published grids."""
    linear, spot = MarketKind.LINEAR, MarketKind.SPOT
    return (
        _coin("BTC", linear, "0.10", "0.001", "0.001", "1190", "500", leverage="100"),
        _coin("ETH", linear, "0.01", "0.01", "0.01", "7240", "1500", leverage="100"),
        _coin("BTC", spot, "0.1", "0.000001", "0.000011", "83", "41.5", leverage="1"),
        _coin("ETH", spot, "0.01", "0.00001", "0.00025", "1500", "750", leverage="1"),
    )


def _coin(
    base: str, kind: MarketKind, tick: str, step: str, low: str, high: str, market: str, *, leverage: str
) -> InstrumentConfig:
    spot = kind is MarketKind.SPOT
    return InstrumentConfig(
        symbol=f"{base}USDT",
        kind=kind,
        base=base,
        tick=Decimal(tick),
        step=Decimal(step),
        qty_min=Decimal(low),
        qty_max=Decimal(high),
        qty_max_market=Decimal(market),
        leverage_max=Decimal(leverage),
        maintenance_rate=Decimal("0.005"),
        maker_rate=Decimal("0.001" if spot else "0.0002"),
        taker_rate=Decimal("0.001" if spot else "0.00055"),
    )


def demo_config(
    *,
    seed: int = 7,
    market_start: datetime = DEMO_START,
    usdt: Decimal = Decimal(100_000),
    clock_mode: ClockMode = ClockMode.WALL,
    rate_limits: bool = True,
    funding_rate: Decimal = Decimal("0.0001"),
    lags: LagsConfig | None = None,
) -> BybitConfig:
    """Return the demonstration venue; the market waits at `market_start` until it is advanced."""
    manual = clock_mode is ClockMode.MANUAL
    return BybitConfig(
        seed=seed,
        accounts=(
            AccountConfig(name="main", balances={"USDT": usdt}),
            AccountConfig(name="second", balances={"USDT": usdt}),
        ),
        instruments=(*(stock(ticker) for ticker in STOCKS), *crypto()),
        prices=PricesConfig(
            start={"BTCUSDT": Decimal(60_000), "ETHUSDT": Decimal(3_000)},
            walks=(WalkConfig(symbols=("BTCUSDT", "ETHUSDT"), interval_s=86_400, volatility_bps=Decimal(250)),),
            replay=ReplayConfig(path=stock_history(), columns={f"{ticker}USDT": ticker for ticker in STOCKS}),
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
