"""What Binance knows of an account and the shared core does not: margin types, and how a symbol's name is split."""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

from simulators.binance.limits import RequestLimits

FUTURES_WALLET = "@futures"


class MarginType(Enum):
    """How a symbol's position is margined; the words of the two places where Binance prints them."""

    CROSSED = "CROSSED"
    ISOLATED = "ISOLATED"

    @property
    def lower(self) -> str:
        """Return positionRisk's word."""
        return "cross" if self is MarginType.CROSSED else "isolated"


@dataclass(slots=True)
class House:
    """State of one venue beside the core's. `percent_price`, a fraction of the last price, bounds futures' limits."""

    limits: RequestLimits
    percent_price: Decimal | None = None
    spot_multiplier_up: Decimal = Decimal(5)
    spot_multiplier_down: Decimal = Decimal("0.2")
    margin_types: dict[str, dict[str, MarginType]] = field(default_factory=lambda: defaultdict(dict))

    def margin_type(self, account: str, symbol: str) -> MarginType:
        """Return a symbol's margin type; cross until it is changed."""
        return self.margin_types[account].get(symbol, MarginType.CROSSED)


def futures_wallet(coin: str) -> str:
    """Return the name of a coin's wallet of USDⓈ-M futures."""
    return f"{coin}{FUTURES_WALLET}"


def coin_of(wallet: str) -> str:
    """Return the coin of a wallet, whichever product it belongs to."""
    return wallet.removesuffix(FUTURES_WALLET)


def is_futures(wallet: str) -> bool:
    """Tell whether a wallet is one of USDⓈ-M futures."""
    return wallet.endswith(FUTURES_WALLET)
