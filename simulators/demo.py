"""The demonstration venues: Bybit with twenty US stocks as linear perpetuals, BTC and ETH; TradeStation too.

The stocks' prices are the real daily ones that skfolio ships (1990 to 2022); the package is never imported, only its
data file is read. All other prices are a seeded walk.
"""

from datetime import UTC, date, datetime
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
from simulators.tradestation.config import (
    AccountType,
    ClientConfig,
    QuotaConfig,
    TradeStationAccount,
    TradeStationConfig,
    TradeStationSymbol,
)
from simulators.tradestation.sessions import AssetType

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
        dcp_accounts=("main", "second"),
    )


# TradeStation
DEMO_CLIENT = ClientConfig(
    client_id="demo-client-id",
    client_secret="demo-client-secret",  # noqa: S106 - simulated
    refresh_tokens=("demo-refresh-token",),
    redirect_uris=("http://localhost:*", "http://127.0.0.1:*"),
)
EQUITIES_ACCOUNT, FUTURES_ACCOUNT = "SIM123456M", "SIM123456F"


def equity(ticker: str) -> TradeStationSymbol:
    """Return one stock with a cent tick and whole shares, at a dollar an order as in TradeStation's simulation."""
    return TradeStationSymbol(
        symbol=ticker,
        base=ticker,
        root=ticker,
        tick=Decimal("0.01"),
        step=Decimal(1),
        qty_min=Decimal(1),
        fee_flat=Decimal(1),
    )


def futures() -> tuple[TradeStationSymbol, ...]:
    """Return a Micro E-mini S&P 500 contract, and the continuous E-mini, which is for data only."""
    shared = {
        "asset_type": AssetType.FUTURE,
        "exchange": "CME",
        "tick": Decimal("0.25"),
        "step": Decimal(1),
        "qty_min": Decimal(1),
        "leverage_max": Decimal(15),
        "maintenance_rate": Decimal("0.06"),
        "fee_unit": Decimal("0.85"),
    }
    micro = TradeStationSymbol.model_validate(
        {
            **shared,
            "symbol": "MESZ26",
            "base": "MES",
            "root": "MES",
            "description": "Micro E-mini S&P 500 Dec 2026",
            "expires_on": date(2026, 12, 18),
            "multiplier": Decimal(5),
        }
    )
    continuous = TradeStationSymbol.model_validate(
        {
            **shared,
            "symbol": "@ES",
            "base": "ES",
            "root": "ES",
            "description": "E-mini S&P 500 Continuous Contract [Dec26]",
            "underlying": "ESZ26",
            "multiplier": Decimal(50),
            "trading": False,
        }
    )
    return micro, continuous


def tradestation_demo_config(
    *,
    seed: int = 7,
    market_start: datetime = DEMO_START,
    usd: Decimal = Decimal(100_000),
    clock_mode: ClockMode = ClockMode.WALL,
    rate_limits: bool = True,
    lags: LagsConfig | None = None,
) -> TradeStationConfig:
    """Return the demonstration TradeStation; the market waits at `market_start` until it is advanced.

    One user signs in as DEMO_CLIENT, or starts from its refresh token, and owns an equities and a futures account.
    """
    manual = clock_mode is ClockMode.MANUAL
    return TradeStationConfig(
        seed=seed,
        clients=(DEMO_CLIENT,),
        accounts=(
            TradeStationAccount(name=EQUITIES_ACCOUNT, balances={"USD": usd}),
            TradeStationAccount(name=FUTURES_ACCOUNT, account_type=AccountType.FUTURES, balances={"USD": usd}),
        ),
        instruments=(*(equity(ticker) for ticker in STOCKS), *futures()),
        prices=PricesConfig(
            start={"MESZ26": Decimal(6_000), "@ES": Decimal(6_000)},
            walks=(WalkConfig(symbols=("MESZ26", "@ES"), interval_s=86_400, volatility_bps=Decimal(100)),),
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
