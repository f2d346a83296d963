"""A small OKX for tests: fixed prices, round numbers, no limits; every room may use it."""

from decimal import Decimal
from typing import Any

from simulators.core.config import AccountConfig, KeyConfig, PricesConfig
from simulators.demo_okx import PRICES, okx_coins, okx_prices
from simulators.okx.simulator import OKXConfig, OKXLimitConfig


def small_okx_config(**changes: Any) -> OKXConfig:
    """Return an OKX venue with BTC and ETH at fixed prices and account `main` (100,000 USDT); fields may be replaced.

    Besides `main-key` there are keys `reader` (read only), `expired`, `elsewhere` (bound to another address),
    `drainer` (may withdraw), `live-only` and `demo-only` (of one environment; all others work in both), each with the
    secret `<key>-secret` and the passphrase `<key>-passphrase`; those of `main-key` are `main-secret` and
    `main-passphrase`.
    """
    fields: dict[str, Any] = {
        "accounts": (
            AccountConfig(name="main", balances={"USDT": Decimal(100_000)}, keys=_keys()),
            AccountConfig(name="second", balances={"USDT": Decimal(100_000)}),
        ),
        "instruments": okx_coins(),
        "prices": PricesConfig(start=okx_prices(**PRICES), spread_bps=Decimal(2)),
        "rate_limits": OKXLimitConfig(enabled=False),
        "price_band": Decimal("0.05"),
        "environments": {"live-only": "live", "demo-only": "demo"},
    }
    return OKXConfig(**{**fields, **changes})


def _keys() -> tuple[KeyConfig, ...]:
    everything = ["spot", "derivatives", "wallet", "withdraw"]
    return (
        _key("main-key", secret="main-secret", passphrase="main-passphrase"),  # noqa: S106 - simulated
        _key("reader", read_only=True),
        _key("expired", expires_at="2020-01-01T00:00:00Z"),
        _key("elsewhere", ips=("203.0.113.9",)),
        _key("drainer", permissions=everything),
        _key("live-only"),
        _key("demo-only"),
    )


def _key(name: str, *, secret: str = "", passphrase: str = "", **fields: Any) -> KeyConfig:
    return KeyConfig.model_validate(
        {
            "api_key": name,
            "api_secret": secret or f"{name}-secret",
            "passphrase": passphrase or f"{name}-passphrase",
            **fields,
        }
    )
