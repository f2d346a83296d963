"""The demonstration Alpaca: the twenty stocks as equities on the same real prices, and BTC/USD."""

from datetime import datetime
from decimal import Decimal

from simulators.alpaca.config import AlpacaAccount, AlpacaAsset, AlpacaConfig, QuotaConfig
from simulators.core.clock import ClockMode
from simulators.core.config import ClockConfig, LagsConfig, PricesConfig, ReplayConfig, WalkConfig, named_keys
from simulators.core.types import MarketKind
from simulators.demo import DEMO_START, STOCKS, stock_history


def share(ticker: str) -> AlpacaAsset:
    """Return one stock, which may be bought in parts and sold short."""
    return AlpacaAsset(symbol=ticker, base=ticker)


def pair(coin: str, *, tick: str, qty_min: str = "0.000016617") -> AlpacaAsset:
    """Return one coin against the dollar."""
    return AlpacaAsset(
        symbol=f"{coin}/USD",
        kind=MarketKind.SPOT,
        base=coin,
        exchange="CRYPTO",
        tick=Decimal(tick),
        qty_min=Decimal(qty_min),
    )


def alpaca_demo_config(
    *,
    seed: int = 7,
    market_start: datetime = DEMO_START,
    usd: Decimal = Decimal(100_000),
    clock_mode: ClockMode = ClockMode.WALL,
    rate_limits: bool = True,
    lags: LagsConfig | None = None,
) -> AlpacaConfig:
    """Return the demonstration Alpaca, always open; the market waits at `market_start` until it is advanced."""
    manual = clock_mode is ClockMode.MANUAL
    return AlpacaConfig(
        seed=seed,
        accounts=(
            AlpacaAccount(name="main", balances={"USD": usd}, keys=named_keys("main", "alpaca-main")),
            AlpacaAccount(name="second", balances={"USD": usd}),
        ),
        instruments=(*(share(ticker) for ticker in STOCKS), pair("BTC", tick="0.01")),
        prices=PricesConfig(
            start={"BTC/USD": Decimal(60_000)},
            walks=(WalkConfig(symbols=("BTC/USD",), interval_s=86_400, volatility_bps=Decimal(250)),),
            replay=ReplayConfig(path=stock_history(), columns={ticker: ticker for ticker in STOCKS}),
        ),
        clock=ClockConfig(
            mode=clock_mode,
            start=market_start if manual else None,
            market_start=None if manual else market_start,
        ),
        lags=lags or LagsConfig(),
        rate_limits=QuotaConfig(enabled=rate_limits),
    )
