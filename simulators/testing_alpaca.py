"""The small Alpaca for tests: fixed prices, round numbers, no limits."""

from decimal import Decimal
from typing import Any

from simulators.alpaca.config import AlpacaAccount, AlpacaConfig, QuotaConfig
from simulators.core.config import PricesConfig
from simulators.demo_alpaca import pair, share


def small_alpaca_config(**changes: Any) -> AlpacaConfig:
    """Return an Alpaca venue with AAPL, MSFT and BTC/USD at fixed prices, always open; fields may be replaced.

    Accounts `main` and `second` have 100,000 USD each, keys `<name>-key` with secret `<name>-secret`, and margin of
    four.
    """
    fields: dict[str, Any] = {
        "accounts": (
            AlpacaAccount(name="main", balances={"USD": Decimal(100_000)}),
            AlpacaAccount(name="second", balances={"USD": Decimal(100_000)}),
        ),
        "instruments": (share("AAPL"), share("MSFT"), pair("BTC", tick="0.01")),
        "prices": PricesConfig(
            start={"AAPL": Decimal(200), "MSFT": Decimal(400), "BTC/USD": Decimal(60_000)},
            spread_bps=Decimal(2),
        ),
        "rate_limits": QuotaConfig(enabled=False),
    }
    return AlpacaConfig(**{**fields, **changes})
