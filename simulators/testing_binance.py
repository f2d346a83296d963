"""The small Binance for tests: fixed prices, no limits; every room may use it."""

from decimal import Decimal
from typing import Any

from simulators.binance.simulator import BinanceConfig, RateLimitConfig
from simulators.core.config import AccountConfig, KeyConfig, PricesConfig
from simulators.demo_binance import binance_coins, both_wallets


def small_binance_config(**changes: Any) -> BinanceConfig:
    """Return a Binance with BTC and ETH, spot and perpetual, and account `main`; fields may be replaced.

    `main` and `second` hold 100,000 USDT in each of their wallets. Besides `main-key` there are keys `reader` (read
    only), `expired`, `elsewhere` (bound to another address), `spotter` (spot only) and `drainer` (may withdraw), each
    with the secret `<key>-secret`.
    """
    money = both_wallets(Decimal(100_000))
    fields: dict[str, Any] = {
        "accounts": (
            AccountConfig(name="main", balances=money, keys=_keys()),
            AccountConfig(name="second", balances=money),
        ),
        "instruments": binance_coins(),
        "prices": PricesConfig(
            start={"BTCUSDT": Decimal(60_000), "ETHUSDT": Decimal(3_000)},
            spread_bps=Decimal(2),
        ),
        "rate_limits": RateLimitConfig(enabled=False),
        "price_band": Decimal("0.05"),
    }
    return BinanceConfig(**{**fields, **changes})


def _keys() -> tuple[KeyConfig, ...]:
    rows: tuple[dict[str, Any], ...] = (
        {"api_key": "main-key", "api_secret": "main-secret"},
        {"api_key": "reader", "api_secret": "reader-secret", "read_only": True},
        {"api_key": "expired", "api_secret": "expired-secret", "expires_at": "2020-01-01T00:00:00Z"},
        {"api_key": "elsewhere", "api_secret": "elsewhere-secret", "ips": ["203.0.113.9"]},
        {"api_key": "spotter", "api_secret": "spotter-secret", "permissions": ["spot"]},
        {
            "api_key": "drainer",
            "api_secret": "drainer-secret",
            "permissions": ["spot", "derivatives", "wallet", "withdraw"],
        },
    )
    return tuple(KeyConfig.model_validate(row) for row in rows)
