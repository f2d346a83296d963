"""Small venues for tests: fixed prices, round numbers, no limits; every room may use them."""

from decimal import Decimal
from typing import Any

from simulators.bybit.simulator import BybitConfig, RateLimitConfig
from simulators.core.config import AccountConfig, InstrumentConfig, KeyConfig, PricesConfig
from simulators.core.types import MarketKind
from simulators.demo import EQUITIES_ACCOUNT, FUTURES_ACCOUNT, crypto, equity, futures, stock
from simulators.tradestation.config import (
    AccountType,
    ClientConfig,
    QuirksConfig,
    QuotaConfig,
    TradeStationAccount,
    TradeStationConfig,
)


def small_config(**changes: Any) -> BybitConfig:
    """Return a Bybit venue with four symbols at fixed prices and account `main` (100,000 USDT); fields may be replaced.

    Besides `main-key` there are keys `reader` (read only), `expired`, `elsewhere` (bound to another address), `spotter`
    (spot only) and `drainer` (may withdraw), each with the secret `<key>-secret`.
    """
    fields: dict[str, Any] = {
        "accounts": (
            AccountConfig(name="main", balances={"USDT": Decimal(100_000)}, keys=_keys()),
            AccountConfig(name="second", balances={"USDT": Decimal(100_000)}),
        ),
        "instruments": (stock("AAPL"), stock("MSFT"), *crypto(), usdc_perpetual()),
        "prices": PricesConfig(
            start={
                "AAPLUSDT": Decimal(200),
                "MSFTUSDT": Decimal(400),
                "BTCUSDT": Decimal(60_000),
                "ETHUSDT": Decimal(3_000),
                "BTCPERP": Decimal(60_000),
            },
            spread_bps=Decimal(2),
        ),
        "rate_limits": RateLimitConfig(enabled=False),
        "price_band": Decimal("0.05"),
        "dcp_accounts": ("main",),
    }
    return BybitConfig(**{**fields, **changes})


def _keys() -> tuple[KeyConfig, ...]:
    return (
        KeyConfig(api_key="main-key", api_secret="main-secret"),  # noqa: S106 - simulated
        KeyConfig(api_key="reader", api_secret="reader-secret", read_only=True),  # noqa: S106
        KeyConfig.model_validate(
            {"api_key": "expired", "api_secret": "expired-secret", "expires_at": "2020-01-01T00:00:00Z"}
        ),
        KeyConfig(api_key="elsewhere", api_secret="elsewhere-secret", ips=("203.0.113.9",)),  # noqa: S106
        KeyConfig(
            api_key="spotter",
            api_secret="spotter-secret",  # noqa: S106
            permissions=frozenset({"spot"}),
        ),
        KeyConfig(
            api_key="drainer",
            api_secret="drainer-secret",  # noqa: S106
            permissions=frozenset({"spot", "derivatives", "wallet", "withdraw"}),
        ),
    )


def usdc_perpetual() -> InstrumentConfig:
    """Return BTCPERP, a perpetual settled in USDC, which has no hedge mode."""
    return InstrumentConfig(
        symbol="BTCPERP",
        kind=MarketKind.LINEAR,
        base="BTC",
        quote="USDC",
        settle="USDC",
        tick=Decimal("0.10"),
        step=Decimal("0.001"),
        qty_min=Decimal("0.001"),
        leverage_max=Decimal(100),
    )


RECORDED_QUIRKS = QuirksConfig(working_ack=True, zero_fields=True, early_out=True, ack_fill_ms=200)
"""How TradeStation's own simulation was seen to tell of orders (recordings of April to June 2026)."""


def small_tradestation_config(**changes: Any) -> TradeStationConfig:
    """Return a TradeStation venue with AAPL, MSFT, MESZ26 and @ES at fixed prices; fields may be replaced.

    User `main` (client `main-id`, secret `main-secret`, refresh token `main-refresh`) owns SIM123456M and SIM123456F
    with 100,000 USD each, and the crypto account SIM123456C, which answers nothing. Besides there are the keys
    `reader-id` (may not trade), `rotating-id` (rotating refresh tokens), `public-id` (PKCE without a secret), each with
    secret and refresh token named likewise, and `other-id`, which owns SIM999999M, a cash account.
    """
    fields: dict[str, Any] = {
        "accounts": (
            TradeStationAccount(name=EQUITIES_ACCOUNT, balances={"USD": Decimal(100_000)}),
            TradeStationAccount(
                name=FUTURES_ACCOUNT, account_type=AccountType.FUTURES, balances={"USD": Decimal(100_000)}
            ),
            TradeStationAccount(name="SIM123456C", account_type=AccountType.CRYPTO),
            TradeStationAccount(name="SIM999999M", account_type=AccountType.CASH, balances={"USD": Decimal(10_000)}),
        ),
        "clients": _clients(),
        "instruments": (equity("AAPL"), equity("MSFT"), *futures()),
        "prices": PricesConfig(
            start={"AAPL": Decimal(200), "MSFT": Decimal(400), "MESZ26": Decimal(6_000), "@ES": Decimal(6_000)},
            spread_bps=Decimal(2),
        ),
        "rate_limits": QuotaConfig(enabled=False),
    }
    return TradeStationConfig(**{**fields, **changes})


def _clients() -> tuple[ClientConfig, ...]:
    mine = (EQUITIES_ACCOUNT, FUTURES_ACCOUNT, "SIM123456C")

    def client(name: str, **changes: Any) -> ClientConfig:
        shared: dict[str, Any] = {
            "client_id": f"{name}-id",
            "client_secret": f"{name}-secret",
            "refresh_tokens": (f"{name}-refresh",),
            "accounts": mine,
        }
        return ClientConfig(**{**shared, **changes})

    return (
        client("main"),
        client("reader", scopes=frozenset({"openid", "offline_access", "MarketData", "ReadAccount"})),
        client("rotating", rotates=True),
        client("public", secret_needed=False),
        client("other", accounts=("SIM999999M",)),
    )
